#!/bin/bash
# SPDX-License-Identifier: ISC
#
# The paths and make targets that HACKING.md, README and the demo name exist.
. "$(dirname "$0")/../lib/lint.sh"

findings() {
	local doc path target rooms='(submitd|authbackends|transports|tests|etc|\.ci)'
	for doc in submitd/HACKING.md README; do
		[ -e $doc ] || { echo "$doc is missing"; continue; }
		grep -oE "$rooms/[A-Za-z0-9_./-]*[A-Za-z0-9_]" $doc |
		    grep -v '^etc/\(submitd\|postfix\|ssl\)/' | sort -u | while read -r path; do
			[ -e "$path" ] || [ -e "submitd/$path" ] || case $path in
			*'<'* | *_x.* | *_NAME* | *radius* | *uucp*) ;;
			*) grep -qE "[/<*]${path}|${path}[*<]" $doc ||
				echo "$doc: $path does not exist" ;;
			esac
		done
		grep -oE '`make [a-z-]+' $doc | awk '{ print $2 }' | sort -u |
		    while read -r target; do
			grep -qE "^([a-z -]* )?$target( [a-z -]*)?:" Makefile ||
			    echo "$doc: no make $target"
		done
	done
}
lint "paths that the documents name" "$@"
