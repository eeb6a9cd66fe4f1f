#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The password file as people keep it (S44): very large, and written anew in place."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import subprocess
import time

import smtpc
from daemon import USER, Service, patience
from tap import equal, ok, run, test, wait_for

RIGHT, WRONG = 235, 535


@contextlib.contextmanager
def fixture():
    with Service() as s:
        yield s


def login(s, user=USER, password=None):
    with smtpc.Client(s.port465, tls=True) as c:
        c.ehlo()
        return c.auth(user, password or s.password(user))[0]


def until(s, code, *who):
    wait_for(lambda: login(s, *who) == code, f"{who} to get {code}", patience(30))


def lines(s):
    return "".join(f"{u} {p}\n" for u, p in s.users.items())


@test("S44: whoever writes the file in place, slowly, locks nobody out meanwhile")
def in_place(s):
    for half in ("", "zoe@other.example zebra_zebra\nalice@exam"):
        before = s.events(event="backend", state="reloaded")
        with open(f"{s.dir}/users", "w") as f:
            f.write(half)
            f.flush()
            end = time.monotonic() + 4      # twice as long as a change takes
            while time.monotonic() < end:
                equal(login(s), RIGHT)
            f.seek(0)
            f.write(lines(s) + f"new{len(half)}@example.com new\n")
        until(s, RIGHT, f"new{len(half)}@example.com", "new")
        equal(len(s.events(event="backend", state="reloaded")), len(before) + 1)


@test("S44: changes are taken while the file is replaced again and again")
def restless(s):
    end = time.monotonic() + patience(40)
    n = 0
    while True:                                 # as submitctl passwd in a loop
        n += 1
        with open(f"{s.dir}/users.new", "w") as f:
            f.write(lines(s) + f"early@example.com early\nn{n}@example.com n\n")
        os.rename(f"{s.dir}/users.new", f"{s.dir}/users")
        time.sleep(0.02)
        if n % 20 == 0 and login(s, "early@example.com", "early") == RIGHT:
            break
        ok(time.monotonic() < end, "it is never taken")


@test("S44: emptied in place for good, it has no users any more")
def emptied(s):
    with open(f"{s.dir}/users", "w"):
        pass
    until(s, WRONG)
    with open(f"{s.dir}/users.new", "w") as f:      # without a last line end it is waited for
        f.write(lines(s).rstrip("\n"))
    os.rename(f"{s.dir}/users.new", f"{s.dir}/users")
    until(s, RIGHT)


@test("S44: a million users: submitd -t, start, re-read and reload take the file")
def million(s):
    hashed = "$6$rounds=1000$" + "s" * 16 + "$" + "h" * 86
    with open(f"{s.dir}/users.new", "w") as f:
        f.write(lines(s))
        f.writelines(f"user{i}@example.com:{hashed}\n" for i in range(1000000))
        f.write("last@example.com last\n")
    os.rename(f"{s.dir}/users.new", f"{s.dir}/users")
    ok(os.stat(f"{s.dir}/users").st_size > 100 << 20, "it is large")
    until(s, RIGHT, "last@example.com", "last")
    r = subprocess.run([s.binary, "-t", "-f", s.conf], capture_output=True, text=True,
                       timeout=patience(60))
    equal(r.returncode, 0, r.stdout + r.stderr)
    equal(s.reload()["verdict"], "ok")
    s.restart()
    equal(login(s, "last@example.com", "last"), RIGHT)
    equal(login(s, "user999999@example.com", "x"), WRONG)


run(fixture)
