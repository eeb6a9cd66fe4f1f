#!/bin/bash
# SPDX-License-Identifier: ISC
#
# make demo: submitd from nothing to a delivered message, in a directory of its own
# under /tmp, on loopback and high ports, as root or as anybody. It says what it does,
# shows the audit record, a refusal and its explanation, and takes everything away again.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
bin=$top/${BUILD:-build/release}
cd "$top" || exit 1

pids=()
dir=$(mktemp -d "${TMPDIR:-/tmp}/submitd-demo-XXXXXX") || exit 1
chmod 755 "$dir"
# shellcheck disable=SC2317 # called by the trap
cleanup() {
	local p
	for p in "${pids[@]}"; do
		kill -TERM "$p" 2>/dev/null && wait "$p" 2>/dev/null
	done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n== %s\n' "$*"; }
show() { sed 's/^/    /'; }
fail() {
	printf '\ndemo: %s\n' "$*" >&2
	[ ! -s "$dir/log" ] || tail -n 30 "$dir/log" >&2
	exit 1
}
free_port() {
	local p
	for _ in $(seq 200); do
		p=$((RANDOM % 10000 + 20000))
		(exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || {
			echo $p
			return
		}
	done
	fail "no free port"
}
await() { # WHAT COMMAND...: up to 15 s
	local what=$1
	shift
	for _ in $(seq 150); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	fail "waited in vain for $what"
}

for f in "$bin/submitd" "$bin/submitctl"; do
	[ -x "$f" ] || fail "$f is missing: run make"
done
port=$(free_port)
next=$(free_port)

say "1. A certificate for localhost, from a CA of our own"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 60 \
    -subj "/CN=submitd demo" -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" \
    -keyout "$dir/mail.key" -out "$dir/mail.pem" 2>/dev/null || fail "openssl"
echo "$dir/mail.pem" | show

say "2. A user, with a yescrypt hash made by: submitctl passwd"
password=$(openssl rand -hex 12)
(umask 077 && : >"$dir/users")
printf '%s\n' "$password" | "$bin/submitctl" passwd --file "$dir/users" alice@example.com \
    2>"$dir/err" | show
[ -s "$dir/users" ] || fail "submitctl passwd: $(cat "$dir/err")"
show <"$dir/users"

say "3. The whole configuration"
cat >"$dir/submitd.conf" <<CONF
server   { hostname = "mail.example.com"  spool = "$dir/spool"  state = "$dir/state"
           control = "$dir/control.sock" }
audit    { file = "$dir/audit" }
tls      "default"    { certificate = "$dir/mail.pem"  key = "$dir/mail.key" }
listener "submission" { bind = {"127.0.0.1:$port"}  auth_flow = "staff"
                        default_domain = "example.com"  relay_ou = {"staff"} }
backend  "users"      { type = file  path = "$dir/users" }
auth_flow "staff"     { chain = {"users"} }
ou       "staff"      { domains = {"example.com"}  match_from = true }
domain   "example.com" { ou = "staff"  transport = "next" }
domain   "any"        { transport = "next" }
transport "next"      { method = static  hosts = {"127.0.0.1:$next"}  tls = none }
CONF
show <"$dir/submitd.conf"
"$bin/submitd" -t -f "$dir/submitd.conf" 2>&1 | show
[ "${PIPESTATUS[0]}" -eq 0 ] || fail "submitd -t refuses the configuration"

say "4. A next hop that takes mail, and submitd itself"
"$top/tests/lib/build_tools.sh" build/tools || fail "the next hop could not be built"
mkdir "$dir/arrived"
build/tools/smtpsink --port "$next" --log "$dir/sink.log" --save "$dir/arrived" >/dev/null &
pids+=($!)
"$bin/submitd" -d -f "$dir/submitd.conf" >"$dir/log" 2>&1 &
service=$!
pids=("$service" "${pids[@]}")
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$port" && read -r -t 2 x <&3 && [[ $x == 220* ]]); }
await "submitd on port $port" answers
echo "submitd -d -f $dir/submitd.conf      process $service, port $port" | show

say "5. A message: STARTTLS, AUTH, and it is accepted"
printf '%s\r\n' 'From: Alice <alice@example.com>' 'To: bob@remote.example' 'Subject: first mail' \
    '' 'Hello Bob.' >"$dir/mail"
send() { # SENDER RECIPIENT
	curl -sS --ssl-reqd --cacert "$dir/mail.pem" --url "smtp://localhost:$port/client.example" \
	    --resolve "localhost:$port:127.0.0.1" --user "alice@example.com:$password" \
	    --mail-from "$1" --mail-rcpt "$2" --upload-file "$dir/mail" "${@:3}"
}
send alice@example.com bob@remote.example -v 2>"$dir/dialogue" || fail "$(cat "$dir/dialogue")"
# the line with the password is the client's business, not ours to print
tr -d '\r' <"$dir/dialogue" | awk '/^[<>]/ { print secret && /^>/ ? "> …" : $0; secret = /^< 334/ }' | show

say "6. Delivered to the next hop"
arrived() { ls "$dir"/arrived/0* && grep -q event=delivery "$dir/log"; }
await "the message at the next hop" arrived
tr -d '\r' <"$(find "$dir/arrived" -type f | sort | head -n 1)" | show
grep -E 'event=(accepted|delivery)' "$dir/log" | show

say "7. The audit record"
await "the audit record" grep -q alice "$dir/audit"
show <"$dir/audit"

say "8. A foreign sender is refused"
if send ceo@bank.example bob@remote.example -v 2>"$dir/dialogue"; then
	fail "a foreign sender was accepted"
fi
grep -E '^< 5' "$dir/dialogue" | tr -d '\r' | show

say "9. Why? submitctl explain asks the same function that refused"
"$bin/submitctl" --socket "$dir/control.sock" explain --listener submission --ip 127.0.0.1 \
    --auth alice@example.com --from ceo@bank.example --rcpt bob@remote.example 2>&1 | show

say "10. Stop: sessions end, nothing is left in the queue"
kill -TERM "$service"
wait "$service"
status=$?
pids=("${pids[@]:1}")
[ $status -eq 0 ] || fail "submitd ended with status $status"
echo "status 0" | show
say "That was submitd. README tells how to go on."
