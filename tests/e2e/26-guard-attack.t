#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Ways round the brake against guessed passwords (A7) that are none."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import concurrent.futures
import signal
import subprocess
import time

import peer_web
import scram
from daemon import PASSWORD, USER, patience
from disk import fill, small_disk
from guarded import (BOB, GUARD, LOCKED, RIGHT, WRONG, asked, connect, counted, guess, ledger,
                     ledger_when_up, login, service, written)
from tap import equal, ok, run, test, wait_for

SARA, PENCIL = "sara@example.com", "correct pencil"


@test("A7 S57: no spelling of a name brings further guesses")
def spellings(_):
    with service() as s:
        for i, name in enumerate(("J\u00f6rg@example.com", "j\u00d6RG@example.com",
                                  "jo\u0308rg@EXAMPLE.com", "j\u00f6rg@example.com.",
                                  "J\u00d6\u00adRG@example.com..", "\uff2a\u00f6rg@example.com",
                                  "j\u00f6rg @example.com", "j\u00f6rg@e\u00adxample.com.")):
            guess(s, 1, name, proxy=f"198.51.{i}.1")
        equal(login(s, "J\u00f6rG@example.com", "x", proxy="203.0.113.1"), LOCKED)
        equal(len(counted(s, "user")), 1)
        # and any of them names him to the operator
        s.ctl("account", "clear", "JO\u0308RG@example.com.")
        equal(counted(s, "user"), [])
        equal(login(s, "J\u00f6rG@example.com", "x", proxy="203.0.113.1"), WRONG)
        for i, name in enumerate((USER, USER.upper(), USER + ".", USER.replace("@", " @"))):
            guess(s, 2, name, proxy=f"198.51.{i}.2")
        equal(login(s, proxy="203.0.113.1"), LOCKED)
        s.ctl("account", "clear", USER.upper() + ".")
        equal(login(s, proxy="203.0.113.1"), RIGHT)


def soon(fn, what):
    """What fn gives, which must not have waited for its turn behind others."""
    start = time.monotonic()
    got = fn()
    took = time.monotonic() - start
    ok(took < patience(2), f"{what}: {took:.1f} s")
    return got


@test("A7: exchanges that stop in the middle hold up nobody", seconds=180)
def stalled(_):
    with service(users={SARA: scram.keys(PENCIL)}) as s:
        here = {"proxy": "198.51.100.1"}
        still = []
        for i in range(540):                    # twice as many as may be under way of one key
            c = connect(s, **here)
            still.append(c)
            x = scram.Exchange(c, SARA)
            equal(x.reply[0], 334)
            if i % 2 == 0:
                equal(x.prove(PENCIL)[0], 334)  # the right password, and then nothing
        for _i in range(60):
            c = connect(s, **here)
            still.append(c)
            equal(c.cmd("AUTH LOGIN " + scram.b64(BOB))[0], 334)
        equal(ledger(s, "under_way"), 0)
        equal(soon(lambda: login(s, BOB, **here), "another one there"), RIGHT)
        for there in ({"proxy": "203.0.113.1"}, {"proxy": "2001:db8::1"}):
            equal(soon(lambda: login(s, SARA, PENCIL, **there), "the same one elsewhere"), RIGHT)
            with connect(s, **there) as c:
                equal(soon(lambda: scram.login(c, SARA, PENCIL)[0], "and by SCRAM"), 235)
        equal(counted(s), [])
        for c in still:
            c.close()
        # who had the password and went away without a login is on record
        wait_for(lambda: len(s.events(event="auth", login=SARA, verdict="temp")) == 270,
                 "the records", patience(20))


@test("A7: to look at a salt and cancel is no attempt, a wrong proof is one")
def cancelled(_):
    with service(users={SARA: scram.keys(PENCIL)}) as s:
        with connect(s, source="127.50.0.1") as c:
            for user in [SARA, "nobody@example.com"] * 10:
                equal(scram.Exchange(c, user).reply[0], 334)
                equal(c.cmd("*"), (501, "5.7.0 Authentication cancelled"))
            equal(c.cmd("AUTH LOGIN")[0], 334)
            equal(c.cmd("*")[0], 501)
            equal(counted(s), [])
            for _i in range(5):
                equal(scram.Exchange(c, SARA).prove("wrong")[0], 535)
            equal(scram.Exchange(c, SARA).prove(PENCIL)[0], 454, "the right one, locked out")
        row = counted(s, "user", SARA)[0]
        equal((row["failures"], counted(s, "address")[0]["failures"]), (5, 5))
        with connect(s, source="127.51.0.1") as c:
            equal(scram.login(c, SARA, PENCIL)[0], 235)


@test("P3: without fail_delay a name that a rule refuses is refused no sooner than others")
def pace(_):
    guard = GUARD.replace('"20ms"', '"0s"').replace('"50ms"', '"0s"')
    dear = scram.keys(PENCIL, iterations=300000)    # every name nobody has costs the same
    with service(guard, users={SARA: dear}) as s:
        def took(user, where):
            with connect(s, source=where) as c:
                start = time.monotonic()
                equal(c.auth(user, "wrong")[0], 535)
                return time.monotonic() - start
        others = [took(SARA, "127.50.0.1") for _ in range(4)]
        before = asked(s)
        ruled = [took("denied@example.com", f"127.51.0.{i}") for i in range(1, 5)]
        equal(asked(s), before, "attempts that reached the backend")
        ok(min(ruled) >= min(others) / 2, f"by a rule {ruled}, wrong password {others}")
        r = subprocess.run([s.binary, "-t", "-f", s.conf], capture_output=True, text=True,
                           timeout=60, env=s.env)
        equal(r.returncode, 0)
        ok("warning: auth_guard: fail_delay = 0" in r.stdout + r.stderr, r.stdout + r.stderr)


@test("A7: a device with an old password is the same one after a reload")
def stale(_):
    with service() as s:
        for i in range(4):
            equal(login(s, password="the-old-one", source="127.70.0.1"), WRONG)
            if i == 1:
                s.reload()
            elif i == 2:
                written(s)
                pid = s.roles()["auth"][0]
                os.kill(pid, signal.SIGKILL)
                wait_for(lambda: s.roles().get("auth", [pid])[0] != pid, "a new auth", patience(20))
        equal(counted(s, "address")[0]["failures"], 1)


SLOW = {"backend": 'backend "web" { type = http  method = POST  url = "http://127.0.0.1:@WEB@/"\n'
                   '  body = "u=%u&p=%p"  timeout = "50s"  concurrency = 60 }',
        "auth_flow": 'auth_flow "people" { chain = {"web"}  deadline = "50s" }'}
HOME = {"proxy": "203.0.113.9"}


def slow(web):
    return {k: v.replace("@WEB@", str(web.port)) for k, v in SLOW.items()}


@test("A7: 120 guesses at once from 120 networks, a slow backend, and no ledger for a while", 180)
def many_networks(_):
    with peer_web.Web({USER: PASSWORD}) as web, service(blocks=slow(web)) as s, \
            concurrent.futures.ThreadPoolExecutor(120) as pool:
        equal(login(s, **HOME), RIGHT)
        written(s)
        before, web.mode = web.asked, "hold"
        got = [pool.submit(login, s, USER, f"guess{i}", proxy=f"198.51.{i}.1") for i in range(120)]
        wait_for(lambda: web.asked == before + 8, "as many as may try", patience(20))
        wait_for(lambda: ledger(s, "waiting") > 0, "the others to wait", patience(20))
        pid = s.roles()["ledger"][0]
        os.kill(pid, signal.SIGKILL)            # it knew of eight under way
        wait_for(lambda: s.roles().get("ledger", [pid])[0] != pid, "a new ledger", patience(20))
        ledger_when_up(s)
        wait_for(lambda: ledger(s, "under_way") - ledger(s, "waiting") == 8,
                 "it to know what is under way", patience(20))
        equal(login(s, USER, "guess200", proxy="198.51.200.1"), LOCKED, "one more")
        equal(web.asked - before, 8, "guesses that reached the backend")
        web.let_go()
        codes = [f.result(patience(60)) for f in got]
        equal((codes.count(WRONG), codes.count(LOCKED)), (8, 112))
        equal(web.asked - before, 8, "guesses that reached the backend in the end")
        row = counted(s, "user", USER)[0]
        ok(row["locked"] and row["failures"] == 8, str(row))
        equal(login(s, **HOME), RIGHT, "from where he is known")
        equal(login(s, proxy="198.51.201.1"), LOCKED, "from elsewhere")


@test("A7: auth dies in the middle: nobody is let through, nothing stays under way", 120)
def auth_dies(_):
    with peer_web.Web({USER: PASSWORD}, "hold") as web, service(blocks=slow(web)) as s, \
            concurrent.futures.ThreadPoolExecutor(20) as pool:
        got = [pool.submit(login, s, USER, f"guess{i}", proxy=f"198.51.{i}.1") for i in range(20)]
        wait_for(lambda: web.asked == 8, "as many as may try", patience(20))
        pid = s.roles()["auth"][0]
        os.kill(pid, signal.SIGKILL)
        codes = {f.result(patience(60))[0] for f in got}
        equal(codes, {454})
        wait_for(lambda: s.roles().get("auth", [pid])[0] != pid, "a new auth", patience(20))
        web.let_go()
        wait_for(lambda: ledger(s, "under_way") == 0, "an end of what is under way", patience(20))
        equal(login(s, proxy="198.51.201.1"), RIGHT)


@test("A7: a file that is rubbish in the middle is written anew from what could be read", 120)
def rotten(_):
    with service() as s:
        for i in range(150):
            equal(login(s, proxy=f"198.51.{i}.1"), RIGHT)
        equal(s.stop(), 0)
        with open(f"{s.dir}/state/ledger.db", "r+b") as f:
            size = os.fstat(f.fileno()).st_size
            ok(size > 10 * 4096, f"{size} octets")
            for page in range(5, size // 4096, 2):      # behind the roots of the tables
                f.seek(page * 4096)
                f.write(b"\xa5" * 4096)
        s.start()
        s.wait_log(event="guard", state="damaged")
        ok(os.path.exists(f"{s.dir}/state/ledger.db.damaged"), "it is kept")
        guess(s, 5, source="127.51.0.1")
        known = len(s.ctl_rows("account", "list", "--known", "--limit", "100000"))
        written(s)
        before = len(s.events(event="guard", state="damaged"))
        s.kill_all()
        s.start()
        equal(login(s, BOB, source="127.51.0.1"), LOCKED)
        equal(len(s.ctl_rows("account", "list", "--known", "--limit", "100000")), known)
        equal(len(s.events(event="guard", state="damaged")), before, "once")
        equal(s.events(event="guard", state="failing"), [])


@test("A7: a full disk: what is counted holds, honest users get in, and it is written later", 180)
def full(_):
    with service(start=False) as s, small_disk(s, "state", "size=2m,mode=700") as state:
        ballast = fill(state)
        s.start()                           # with no room at all
        guess(s, 5, source="127.51.0.1")
        equal(login(s, BOB, source="127.51.0.1"), LOCKED)
        equal(login(s, source="127.52.0.1"), RIGHT)
        s.wait_log(event="guard", state="failing")
        os.unlink(ballast)
        s.wait_log(event="guard", state="recovered")
        written(s)
        s.kill_all()
        s.start()
        equal(login(s, BOB, source="127.51.0.1"), LOCKED, "after a restart")
        equal(login(s, source="127.52.0.1"), RIGHT)
        fill(state)      # full again, and a restart in the middle of it
        guess(s, 1, source="127.53.0.1")
        s.kill_all()
        s.start()
        equal(login(s, BOB, source="127.51.0.1"), LOCKED, "after one with a full disk")
        equal(login(s, source="127.52.0.1"), RIGHT)
        equal(s.stop(), 0)


run()
