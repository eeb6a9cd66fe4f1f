#!/bin/bash
# SPDX-License-Identifier: ISC
#
# cppcheck with warnings, portability and performance.
. "$(dirname "$0")/../lib/lint.sh"
lint_need cppcheck

# Left out, with reasons: it does not follow TAILQ_FOREACH (uninitvar), takes bounded loops
# for unbounded ones (arrayIndexOutOfBounds) and accept4(fd, NULL, NULL) for a fault
# (nullPointer); gcc's -Wnull-dereference and the sanitizers look after these. Declarations may
# leave names out.
findings() {
	cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr \
	    --suppress=uninitvar --suppress=arrayIndexOutOfBounds \
	    --suppress=nullPointer --suppress=nullPointerRedundantCheck \
	    --suppress=funcArgOrderDifferent \
	    --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=syntaxError \
	    --library=gnu \
	    -D_GNU_SOURCE -Isubmitd -I. \
	    --template=gcc -j "$(nproc)" submitd authbackends transports tests/lib
}
lint "cppcheck" "$@"
