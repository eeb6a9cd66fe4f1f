#!/bin/bash
# SPDX-License-Identifier: ISC
#
# STYLE 1 and 12: files of at most 600 lines, functions of 80, lines of 100 columns (a tab is
# 8), the SPDX line first, no function that cannot be used safely, no machine's paths.
. "$(dirname "$0")/../lib/lint.sh"

findings() {
	local f unsafe
	files '*.c' '*.h' '*.py' '*.sh' '*.t' '*.def' .ci/run | while read -r f; do
		[ -f "$f" ] || continue
		head -n 2 "$f" | grep -q 'SPDX-License-Identifier: ISC' || echo "$f:1: no SPDX line"
		awk -v f="$f" '
			NR == 601 { print f ": more than 600 lines" }
			/clang-format off/ { table = 1 }
			/clang-format on/ { table = 0 }
			{
				text = $0; n = 0
				if (!table && text !~ /[^ -~\t]/) {
					while ((i = index(text, "\t")) > 0) {
						n += i - 1; n += 8 - n % 8
						text = substr(text, i + 1)
					}
					n += length(text)
					if (n > 100 && f !~ /\.def$/)
						print f ":" NR ": " n " columns"
				}
			}' "$f"
	done
	# a function: from a { in column 1 to the } in column 1
	files '*.c' '*.h' | while read -r f; do
		[ -f "$f" ] || continue
		awk -v f="$f" '
			/^{$/ { from = NR }
			/^}$/ { if (from && NR - from - 1 > 80)
				print f ":" from ": a function of " NR - from - 1 " lines"
				from = 0 }' "$f"
	done
	unsafe='strcpy|strcat|strncpy|strncat|sprintf|vsprintf|strtok|gets|atoi|atol|alloca'
	files '*.c' '*.h' | grep -v '^tests/' | xargs -r grep -nE \
	    "(^|[^[:alnum:]_])($unsafe)\\(" /dev/null |
	    grep -vE '^[^:]*:[0-9]+:[[:space:]]*(\*|/\*)'
	files | grep -v '^tests/lint/limits.sh$' | xargs -r grep -nIE \
	    '(^|[^[:alnum:]])/(root|work|home/[a-z]+)/' /dev/null
}
lint "limits of STYLE 1" "$@"
