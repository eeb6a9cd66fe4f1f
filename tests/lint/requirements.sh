#!/bin/bash
# SPDX-License-Identifier: ISC
#
# The requirements of the main job that no test names. tests/lint/requirements.txt lists
# them; a test names a requirement by its id in its title or in a comment (S11, P6, D2).
. "$(dirname "$0")/../lib/lint.sh"

findings() {
	local id what
	grep -v '^#' tests/lint/requirements.txt | while read -r id what; do
		[ -n "$id" ] || continue
		git grep -qIwF "$id" -- tests ':!tests/lint' ||
		    echo "$id is named by no test: $what"
	done
}
lint "every requirement is named by a test" "$@"
