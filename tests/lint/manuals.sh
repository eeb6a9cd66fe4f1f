#!/bin/bash
# SPDX-License-Identifier: ISC
#
# mandoc has no warning about the manuals, and each one that is referred to exists here or
# is somebody else's.
. "$(dirname "$0")/../lib/lint.sh"
lint_need mandoc

findings() {
	local man name section
	files 'submitd/*.[578]' | while read -r man; do
		mandoc -T lint -W warning "$man" | grep -v 'operating system explicitly specified'
		sed -n 's/^\.Xr \([^ ]*\) \([0-9]\).*/\1 \2/p' "$man" | sort -u |
		    while read -r name section; do
			case $name in
			submit*)
				[ -e "submitd/$name.$section" ] ||
				    echo "$man: there is no $name($section)" ;;
			esac
		done
	done
}
lint "manuals" "$@"
