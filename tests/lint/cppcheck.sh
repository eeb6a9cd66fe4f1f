#!/bin/bash
# SPDX-License-Identifier: ISC
#
# cppcheck with warnings, portability and performance.
. "$(dirname "$0")/../lib/lint.sh"
lint_need cppcheck

findings() {
	cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr \
	    --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=syntaxError --library=gnu \
	    -D_GNU_SOURCE -Isubmitd -I. \
	    --template=gcc -j "$(nproc)" submitd authbackends transports tests/lib
}
lint "cppcheck" "$@"
