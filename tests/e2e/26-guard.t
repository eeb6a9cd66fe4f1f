#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The brake against guessed passwords (A7): counts, delays, lock-outs, and who is spared."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import os.path
import shutil
import signal
import subprocess
import time

import smtpc
from daemon import USER, Service, free_port, patience
from tap import equal, ok, run, skip, test, wait_for

BOB = "bob@example.com"
GUARD = ('auth_guard { per_address = {"5/10m"}  per_network = {"12/10m"}  per_user = {"8/10m"}\n'
         '  lockout = "10m"  fail_delay = "20ms"  tarpit = "50ms"  exempt = {"127.9.0.0/16"} }')
PROXIED = ('listener "proxied" { like = "submissions"  bind = {"127.0.0.1:@PROXIED@"}\n'
           '  proxy = {"127.0.0.1"}  tls = starttls  auth = on }')


@contextlib.contextmanager
def service(guard=GUARD, **options):
    port = free_port()
    blocks = {"auth_guard": guard, "proxied": PROXIED.replace("@PROXIED@", str(port)),
              "limit": 'limit "normal" { max_errors = 1000  max_auth_failures = 100 }'}
    with Service(blocks=blocks, **options) as s:
        s.proxied = port
        yield s


def login(s, user, password, source="127.0.0.1", proxy=None):
    """Code and enhanced code of one attempt; proxy: the client address in a PROXY header."""
    if proxy is None:
        c = smtpc.Client(s.port465, tls=True, source=source)
    else:
        family = "TCP6" if ":" in proxy else "TCP4"
        here = "::1" if ":" in proxy else "127.0.0.1"
        c = smtpc.Client(s.proxied, first=f"PROXY {family} {proxy} {here} 4711 25\r\n".encode())
    with c:
        c.ehlo()
        code, text = c.auth(user, password)
        return code, text.split(" ")[0]


def guess(s, user, n, source="127.0.0.1", proxy=None, stem="guess"):
    return [login(s, user, f"{stem}{i}", source, proxy)[0] for i in range(n)]


def counted(s, kind=None, key=None):
    return [r for r in s.ctl_rows("account", "list")
            if kind in (None, r["kind"]) and key in (None, r["key"])]


def asked(s):
    """How many attempts have reached the backend."""
    rows = s.ctl_rows("stats")
    return sum(b["asked"] for r in rows if r["role"] == "auth" for b in r["backends"])


LOCKED = (454, "4.7.0")


@test("A7 P3: the limit of an address locks it out with 454, and no backend is asked")
def address(_):
    with service() as s:
        equal(guess(s, USER, 5), [535] * 5)
        before = asked(s)
        equal(login(s, BOB, s.password(BOB)), LOCKED)
        equal(login(s, "nobody@example.com", "x"), LOCKED)
        equal(asked(s), before, "attempts that reached the backend")
        equal(login(s, BOB, s.password(BOB), source="127.9.0.1")[0], 235, "exempt")
        e = s.wait_log(event="guard", state="locked", kind="address")
        equal((e["key"], e["count"], e["login"]), ("127.0.0.1", "5", USER))
        row = counted(s, "address", "127.0.0.1")[0]
        ok(row["locked"] and 0 < row["left_s"] <= 600 and row["name"] == USER, str(row))


run()
