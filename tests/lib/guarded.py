# SPDX-License-Identifier: ISC
"""A service with limits of the brake (A7) that tests reach, and attempts from anywhere."""
import contextlib
import json

import smtpc
from daemon import USER, Service, free_port, patience
from tap import equal, wait_for

BOB = "bob@example.com"
GUARD = ('auth_guard { per_address = {"5/10m"}  per_network = {"12/10m"}  per_user = {"8/10m"}\n'
         '  lockout = "10m"  fail_delay = "20ms"  tarpit = "50ms"  exempt = {"127.9.0.0/16"} }')
PROXIED = ('listener "proxied" { like = "submissions"  bind = {"127.0.0.1:@PROXIED@"}\n'
           '  proxy = {"127.0.0.1"}  xclient = {"192.0.2.200"}  tls = starttls  auth = on }')
RULED = ('ou "staff" { domains = {"example.com"}  match_from = true\n'
         '  auth_user_mode = deny  auth_user_filter = {"denied@*"} }\n'
         'ou "other" { domains = {"other.example"} }')
LOCKED = (454, "4.7.0")
RIGHT = (235, "2.7.0")
WRONG = (535, "5.7.8")


@contextlib.contextmanager
def service(guard=GUARD, blocks=None, **options):
    port = free_port()
    ours = {"auth_guard": guard, "proxied": PROXIED.replace("@PROXIED@", str(port)), "ou": RULED,
            "limit": 'limit "normal" { max_errors = 1000  max_auth_failures = 100 }'}
    with Service(blocks={**ours, **(blocks or {})}, **options) as s:
        s.proxied = port
        yield s


def connect(s, source=None, proxy=None):
    """A client after EHLO; source: a local address, proxy: one in a PROXY header."""
    if proxy is None:
        c = smtpc.Client(s.port465, tls=True, source=source)
    else:
        kind, here = ("TCP6", "::1") if ":" in proxy else ("TCP4", "127.0.0.1")
        c = smtpc.Client(s.proxied, first=f"PROXY {kind} {proxy} {here} 4711 25\r\n".encode())
    c.ehlo()
    return c


def login(s, user=USER, password=None, source=None, proxy=None):
    """Code and enhanced code of one attempt, with the right password when none is given."""
    with connect(s, source, proxy) as c:
        code, text = c.auth(user, password or s.password(user))
        return code, text.split(" ")[0]


_guesses = iter(range(1 << 30))


def guess(s, n, user=USER, **where):
    """So many different wrong passwords, which all must get 535."""
    equal([login(s, user, f"guess{next(_guesses)}", **where) for _ in range(n)], [WRONG] * n)


def counted(s, kind=None, key=None):
    return [r for r in s.ctl_rows("account", "list")
            if kind in (None, r["kind"]) and key in (None, r["key"])]


def auth_rows(s, quiet=False):
    """quiet: even if another process does not answer."""
    def rows():
        r = s.run_ctl("stats", "--json")    # says no while a process of a reload ends or begins
        return (r.returncode == 0 or quiet) and [
            json.loads(line) for line in r.stdout.splitlines()]
    return [r for r in wait_for(rows, "all processes to answer", patience(20))
            if r.get("role") == "auth"]


def asked(s, quiet=False):
    """How many attempts have reached the backends."""
    return sum(b["asked"] for r in auth_rows(s, quiet) for b in r["backends"])


def auth_stat(s, key):
    return sum(r[key] for r in auth_rows(s))


def ledger(s, key):
    return next(r for r in s.ctl_rows("stats") if r["role"] == "ledger")["guard"][key]


def written(s):
    wait_for(lambda: not ledger(s, "unwritten"), "the counts to be written", patience(20))


def ledger_when_up(s):
    """Waits for a ledger that was killed; how many questions the new one had."""
    def look():
        r = s.run_ctl("stats", "--json")
        return r.returncode == 0 and '"guard":' in r.stdout
    wait_for(look, "the ledger to answer", patience(20))
    return ledger(s, "asked")
