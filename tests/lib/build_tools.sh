#!/bin/bash
# SPDX-License-Identifier: ISC
#
# build_tools.sh [DIR]: compiles the helpers of the tests into DIR (build/tools) where
# they are missing or older than their sources. The Makefile's warnings come in
# TOOLS_CFLAGS when make calls it.
set -eu
cd "$(dirname "$0")/../.."
dir=${1:-build/tools}
mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9

tool() { # NAME LIBS SOURCE...
	local name=$1 libs=$2 s
	shift 2
	for s in "$@" tests/lib/"$name".h "$0"; do
		[ -e "$s" ] || continue
		if ! [ -e "$dir/$name" ] || [ "$s" -nt "$dir/$name" ]; then
			echo "  CC    $dir/$name" >&2
			# shellcheck disable=SC2086 # lists of words
			${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra ${TOOLS_CFLAGS:-} \
			    -o "$dir/$name.new" "$@" $libs
			mv "$dir/$name.new" "$dir/$name"
			return
		fi
	done
}
src=tests/lib
tool smtpload "-lssl -lcrypto -lpthread" $src/smtpload.c $src/smtpload_conn.c \
    $src/smtpload_smtp.c
tool smtpsink "-lssl -lcrypto" $src/smtpsink.c $src/smtpsink_smtp.c
tool fsgone "" tests/crash/fsgone.c
