#!/bin/bash
# SPDX-License-Identifier: ISC
#
# submitd-events(7) has every event and every key of log_events.def, and no other event.
. "$(dirname "$0")/../lib/lint.sh"

findings() {
	local def=submitd/base/log_events.def man=submitd/submitd-events.7 name words
	words=$(grep -v '^\.\\"' $man | tr -c 'A-Za-z0-9_\n' ' ')
	sed -n 's/^LOG_\(EVENT\|KEY\)([A-Z0-9_]*, "\([a-z0-9_]*\)").*/\2/p' $def | sort -u |
	    while read -r name; do
		grep -qw -- "$name" <<<"$words" || echo "$man: $name is missing"
	done
	# the list under EVENTS
	sed -n '/^\.Sh EVENTS/,/^\.Sh KEYS/s/^\.It Cm //p' $man | while read -r name; do
		grep -q "^LOG_EVENT([A-Z0-9_]*, \"$name\")" $def ||
		    echo "$man: there is no event $name"
	done
}
lint "submitd-events(7) and log_events.def agree" "$@"
