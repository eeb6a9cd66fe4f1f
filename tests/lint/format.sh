#!/bin/bash
# SPDX-License-Identifier: ISC
#
# clang-format agrees with every C file.
. "$(dirname "$0")/../lib/lint.sh"
lint_need clang-format

findings() {
	files '*.c' '*.h' | while read -r f; do
		[ -f "$f" ] || continue
		clang-format "$f" | cmp -s - "$f" || echo "$f: run clang-format -i on it"
	done
}
lint "layout by clang-format" "$@"
