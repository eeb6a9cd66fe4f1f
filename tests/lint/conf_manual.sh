#!/bin/bash
# SPDX-License-Identifier: ISC
#
# submitd.conf(5) against conf_options.def: every block and option stands in the man
# page, in the order of the table, with its type, words, default and range, and no
# other. Needs python3; mandoc -T lint must have nothing to say, where it is installed.
# shellcheck disable=SC2317 # the functions are called by name
cd "$(dirname "$0")/../.." || exit 2

compare() {
	python3 - submitd/conf/conf_options.def submitd/conf/conf.h submitd/submitd.conf.5 <<'EOF'
import re
import sys

table, header, page = (open(p, encoding="utf-8").read() for p in sys.argv[1:4])
header = re.sub(r"\s*\\\n\s*", " ", header)
WORDS = {
    m[1]: re.findall(r'"([^"]+)"', m[2])
    for m in re.finditer(r'#define CONF_ENUM_(\w+) (.*)', header)
}
TIME = [("ms", 1), ("s", 1000), ("m", 60000), ("h", 3600000), ("d", 86400000)]
SIZE = [("", 1), ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)]


def unit(value, units):
    value = int(value)
    fits = [u for u in units if value and value % u[1] == 0] or units[:1]
    return f"{value // fits[-1][1]}{fits[-1][0]}"


def item(block, name, kind, default, low, high):
    rng = {
        "INT": f"{low} to {high}",
        "INTLIST": f"each {low} to {high}",
        "STR": f"at most {high} octets",
        "LIST": f"at most {high} values" if low == "0" else f"{low} to {high} values",
    }.get(kind, "")
    if kind in ("TIME", "SIZE"):
        units = TIME if kind == "TIME" else SIZE
        rng = f"{unit(low, units)} to {unit(high, units)}"
    what = {
        "BOOL": "Cm true | false",
        "INT": "Ar number",
        "INTLIST": "Ar numbers",
        "TIME": "Ar time",
        "SIZE": "Ar size",
        "STR": "Ar text",
        "LIST": "Ar list",
        "REF": "Ar " + low.replace("CONF_BLOCK_", ""),
        "REFLIST": "Ar list of " + low.replace("CONF_BLOCK_", ""),
    }.get(kind) or "Cm " + " | ".join(WORDS[f"{block}_{name}"])
    text = "required" if default == "CONF_REQUIRED" else \
        "no default" if default == "NULL" else "default " + default.strip('"')
    return f'.It Ic {name} No = {what} Pq "{text}{"; " + rng if rng else ""}"'


want = []
for m in re.finditer(r"^(BLOCK|OPT)\((.*)\)$", table, re.M):
    if m[1] == "BLOCK":
        want.append(".Ss " + m[2].split(",")[0])
        continue
    o = re.match(r'(\w+),\s*(\w+),\s*(\w+),\s*("[^"]*"|\w+),\s*(\w+),\s*(\w+),\s*"', m[2])
    if o is None:
        sys.exit(f"cannot read this row: {m[0]}")
    want.append(item(*o.groups()))
blocks = page[page.index("\n.Sh BLOCKS"):page.index("\n.Sh FILES")]
have = [l for l in blocks.split("\n") if l.startswith((".Ss ", ".It Ic "))]
for line in want:
    if line not in have:
        print("missing or different in submitd.conf.5: " + line)
for line in have:
    if line not in want:
        print("not in conf_options.def: " + line)
if not want or (sorted(want) == sorted(have) and want != have):
    print("submitd.conf.5 has another order than conf_options.def")
EOF
}

check_mandoc() {
	command -v mandoc >/dev/null || return 0
	mandoc -T lint submitd/submitd.conf.5 2>/dev/null | grep -v 'referenced manual not found'
}

tap=0
[ "$1" = --tap ] && tap=1
failed=0
n=0
[ $tap = 1 ] && echo 1..2
for what in compare check_mandoc; do
	n=$((n + 1))
	found=$($what)
	if [ -z "$found" ]; then
		[ $tap = 1 ] && echo "ok $n - submitd.conf.5: $what"
		continue
	fi
	failed=1
	if [ $tap = 1 ]; then
		echo "not ok $n - submitd.conf.5: $what"
		# shellcheck disable=SC2001 # every line gets its mark
		echo "$found" | sed 's/^/# /'
	else
		echo "$found"
	fi
done
exit $failed
