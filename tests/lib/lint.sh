# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# For tests/lint/*.sh: findings are lines on the standard output of a function `findings`;
# none means good. With --tap the result is one TAP line.
#
#   . "$(dirname "$0")/../lib/lint.sh"
#   findings() { ...; }
#   lint "what is checked" "$@"

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

files() { git ls-files "$@"; }

# lint_need PROGRAM...: skips, by name, what cannot be checked here
lint_need() {
	local p
	for p in "$@"; do
		command -v "$p" >/dev/null && continue
		echo "ok 1 - ${0##*/} # SKIP $p is not installed"
		echo "1..1"
		exit 0
	done
}

lint() {
	local what=$1 out status
	out=$(findings 2>&1)
	status=0
	[ -z "$out" ] || status=1
	if [ "${2:-}" = --tap ]; then
		[ $status -eq 0 ] && echo "ok 1 - $what" || echo "not ok 1 - $what"
		[ -z "$out" ] || printf '%s\n' "$out" | head -n 200 | sed 's/^/# /'
		echo "1..1"
	elif [ -n "$out" ]; then
		printf '%s\n' "$out"
	fi
	exit $status
}
