#!/bin/bash
# SPDX-License-Identifier: ISC
#
# Shellcheck has nothing to say about the shell scripts, Python parses the Python ones.
. "$(dirname "$0")/../lib/lint.sh"
lint_need shellcheck

findings() {
	files '*.sh' .ci/run | xargs -r shellcheck -x -P SCRIPTDIR -f gcc
	files '*.py' '*.t' | while read -r f; do
		head -n 1 "$f" 2>/dev/null | grep -q perl && continue
		/usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' \
		    "$f" 2>&1 |
		    sed "s,^,$f: ,"
	done
}
lint "scripts" "$@"
