#!/bin/bash
# SPDX-License-Identifier: ISC
#
# packages.sh SECTION...: installs what is missing of these sections of
# etc/packages.txt. Nothing happens when all is there. Not being root, or not on
# Debian, it says what to install; it fails only where the build cannot go on.
#
#   packages.sh build test        install
#   packages.sh --list build      print the names
#   packages.sh --missing test    print the missing names
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
list=$top/etc/packages.txt

names() {
	awk -v want=" $* " '
		/^\[/ { gsub(/[][]/, ""); on = index(want, " " $1 " "); next }
		{ sub(/#.*/, ""); if (on && NF) print $1 }' "$list" | sort -u
}

missing() {
	local p
	for p in $(names "$@"); do
		# shellcheck disable=SC2016 # a format of dpkg-query, not of the shell
		case $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) in
		installed) ;;
		*) echo "$p" ;;
		esac
	done
}

case ${1:-} in
--list) shift; names "$@"; exit 0 ;;
--missing) shift; missing "$@"; exit 0 ;;
'') echo "usage: packages.sh [--list|--missing] SECTION..." >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "packages.sh: no apt-get here; what is needed stands in etc/packages.txt" >&2
	exit 0
fi
need=$(missing "$@" | tr '\n' ' ')
[ -n "${need// /}" ] || exit 0

run=()
if [ "$(id -u)" -ne 0 ]; then
	if [ -n "${CI:-}" ] && sudo -n true 2>/dev/null; then
		run=(sudo -n)
	else
		echo "packages.sh: these packages are missing; install them as root:" >&2
		echo "    apt-get install --no-install-recommends $need" >&2
		# What only tests need is skipped by name later; what builds must be there.
		for p in $(missing build); do
			echo "packages.sh: cannot build without $p" >&2
			exit 1
		done
		exit 0
	fi
fi

# Debian starts what it installs. For the time of the installation, nothing may start:
# the tests run their own instances on loopback. A policy that is already there stays.
policy=/usr/sbin/policy-rc.d
made=
if ! [ -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | "${run[@]}" tee $policy >/dev/null &&
	    "${run[@]}" chmod 755 $policy && made=1
fi
# shellcheck disable=SC2317 # called by the trap
cleanup() { [ -z "$made" ] || "${run[@]}" rm -f "$policy"; }
trap cleanup EXIT

apt() {
	# shellcheck disable=SC2086 # a list of words
	"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 \
	    -o Dpkg::Use-Pty=0 "$@" </dev/null
}
echo "packages.sh: installing $need" >&2
# shellcheck disable=SC2086 # a list of words
apt install -y --no-install-recommends $need >&2 || {
	apt update >&2 || echo "packages.sh: apt-get update failed" >&2
	# shellcheck disable=SC2086
	apt install -y --no-install-recommends $need >&2
} || {
	echo "packages.sh: apt-get could not install: $(missing "$@" | tr '\n' ' ')" >&2
	[ -z "$(missing build)" ] || exit 1
}
exit 0
