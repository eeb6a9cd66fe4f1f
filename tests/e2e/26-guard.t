#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The brake against guessed passwords (A7): counts, delays, lock-outs, and who is spared."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import concurrent.futures
import shutil
import signal
import subprocess
import time

from daemon import USER, patience
from guarded import (BOB, GUARD, LOCKED, RIGHT, WRONG, asked, auth_stat, connect, counted,
                     guess, ledger, ledger_when_up, login, service, written)
from tap import equal, ok, run, skip, test, wait_for

FAST = ('auth_guard { per_address = {"3/1m"}  per_network = {}  per_user = {}  lockout = "3s"\n'
        '  fail_delay = "20ms"  tarpit = "0ms" }')


@test("A7 P3: the limit of an address locks it out with 454, and no backend is asked")
def address(_):
    with service() as s:
        guess(s, 5)
        before = asked(s)
        equal(login(s, BOB), LOCKED)
        equal(login(s, "nobody@example.com", "x"), LOCKED)
        equal(login(s, "denied@example.com", "x"), LOCKED, "a name the policy denies")
        equal(asked(s), before, "attempts that reached the backend")
        equal(login(s, BOB, source="127.9.0.1"), RIGHT, "exempt")
        e = s.wait_log(event="guard", state="locked", kind="address")
        equal((e["key"], e["count"], e["login"]), ("127.0.0.1", "5", USER))
        row = counted(s, "address", "127.0.0.1")[0]
        ok(row["locked"] and 0 < row["left_s"] <= 600 and row["name"] == USER, str(row))
        refusal = s.wait_log(event="auth", verdict="temp", login=BOB)
        ok(refusal["reason"].startswith("locked out"), str(refusal))


@test("A7: guesses from many addresses lock a name out, but not where its user is known")
def victim(_):
    with service() as s:
        equal(login(s, source="127.50.0.1"), RIGHT)
        for i in range(8):
            guess(s, 1, source=f"127.60.{i}.1")
        equal(login(s, source="127.61.0.1"), LOCKED, "a new place")
        equal(login(s, BOB, source="127.61.0.1"), RIGHT, "somebody else there")
        equal(login(s, source="127.50.0.1"), RIGHT, "the usual place")
        equal(login(s, source="127.50.0.77"), RIGHT, "its neighbour")
        row = counted(s, "user", USER)[0]
        ok(row["locked"] and row["failures"] == 8, str(row))
        known = s.ctl_rows("account", "list", "--known")
        ok((USER, "127.50.0.0/24") in [(r["key"], r["network"]) for r in known], str(known))
        ok((USER, "127.50.0.1") in [(r["key"], r["network"]) for r in known], str(known))
        # the usual place is no open door, and a stranger in it shuts none
        guess(s, 8, source="127.50.0.5")
        equal(login(s, source="127.50.0.6"), LOCKED, "elsewhere in the usual network")
        equal(login(s, source="127.50.0.1"), RIGHT, "the very address")
        equal(login(s, source="127.50.0.77"), RIGHT, "and the other one")
        s.restart()
        equal(login(s, source="127.50.0.1"), RIGHT, "after a restart")
        guess(s, 8, source="127.50.0.1")
        equal(login(s, source="127.50.0.1"), LOCKED, "after failures of its own")
        equal(login(s, source="127.50.0.77"), RIGHT, "which are the other one's business as little")
        row = [r for r in counted(s, "home", USER) if r["network"] == "127.50.0.1"][0]
        ok(row["locked"] and row["failures"] == 8, str(row))
        ok(f"{USER} in 127.50.0.1 " in s.ctl("account"), s.ctl("account"))


@test("A7: one NAT: who is known there stays in, a success forgives only its own failures")
def nat(_):
    with service() as s:
        equal(login(s, BOB, proxy="198.51.100.1"), RIGHT)
        guess(s, 3, proxy="198.51.100.1")
        guess(s, 1, BOB, proxy="198.51.100.1")
        equal(login(s, BOB, proxy="198.51.100.1"), RIGHT)
        guess(s, 2, proxy="198.51.100.1")
        equal(login(s, proxy="198.51.100.1"), LOCKED, "a stranger")
        equal(login(s, BOB, proxy="198.51.100.1"), RIGHT, "who is known there")


@test("A7 P8: IPv6 is counted by /64, IPv4-mapped as IPv4, and by the forwarded address")
def addresses(_):
    with service() as s:
        for i in range(12):
            guess(s, 1, f"user{i}@example.com", proxy=f"2001:db8:1:1::{i + 1:x}")
        equal(login(s, proxy="2001:db8:1:1:ffff::9"), LOCKED, "the same /64")
        equal(login(s, proxy="2001:db8:1:2::1"), RIGHT, "the next /64")
        equal(counted(s, "network")[0]["key"], "2001:db8:1:1::/64")
        guess(s, 5, proxy="::ffff:203.0.113.9")
        equal(login(s, BOB, proxy="203.0.113.9"), LOCKED, "IPv4 after IPv4-mapped")
        with connect(s, proxy="192.0.2.200") as c:
            equal(c.cmd("XCLIENT ADDR=203.0.113.9")[0], 220)
            c.ehlo()
            equal(c.auth(BOB, s.password(BOB))[0], 454, "by XCLIENT")
        equal(counted(s, "address", "127.0.0.1"), [], "the proxy is not counted")


@test("A7: a device with an old password locks nobody out")
def repeats(_):
    with service() as s:
        for i in range(30):
            equal(login(s, password="the-old-one", source=f"127.70.0.{1 + i % 15}"), WRONG)
        equal([r for r in counted(s) if r["locked"]], [])
        equal(login(s, BOB, source="127.70.0.1"), RIGHT)
        ok(ledger(s, "repeats") >= 29, "they are counted as repeats")


@test("A7: many connections at once are not many guesses")
def parallel(_):
    with service() as s, concurrent.futures.ThreadPoolExecutor(40) as pool:
        before = asked(s)
        got = list(pool.map(lambda i: login(s, password=f"parallel{i}", source="127.80.0.1"),
                            range(80)))
        equal(sorted(set(got)), sorted([LOCKED, WRONG]))
        ok(got.count(WRONG) <= 5 and asked(s) - before <= 5,
           f"{got.count(WRONG)} answered, {asked(s) - before} reached the backend")
        # one right password on many connections: a service, not guesses
        got = list(pool.map(lambda _: login(s, source="127.81.0.1"), range(80)))
        equal(set(got), {RIGHT})


@test("A7: who logs in again with the same password from the same place is no question")
def unasked(_):
    with service() as s, concurrent.futures.ThreadPoolExecutor(40) as pool:
        equal(login(s), RIGHT)
        before = asked(s), auth_stat(s, "guard_asked"), ledger(s, "successes")
        equal({x for x in pool.map(lambda _: login(s), range(40))}, {RIGHT})
        equal((asked(s) - before[0], auth_stat(s, "guard_asked"), ledger(s, "successes")),
              (40, *before[1:]))
        # guesses beside it are as few as ever; 8 is the limit of a name
        for user, where in ((USER, "127.0.0.1"), ("many@example.com", "127.81.{0}.1")):
            before = asked(s)
            got = list(pool.map(lambda i: login(s, user, f"guess{i}", source=where.format(i)),
                                range(120)))
            equal(set(got), {LOCKED, WRONG})
            equal((got.count(WRONG), asked(s) - before), (8, 8), user)
        equal(login(s), LOCKED, "his own failures there ended it")


@test("A7: answers to repeated failures come later and later")
def tarpit(_):
    with service(GUARD.replace("50ms", "700ms").replace('"5/', '"6/')) as s:
        took = []
        for i in range(6):
            start = time.monotonic()
            guess(s, 1)
            took.append(time.monotonic() - start)
        ok(took[3] >= 0.7 and took[5] >= 0.7, f"the fourth and the last took {took}")
        start = time.monotonic()
        equal(login(s, BOB), LOCKED)
        ok(time.monotonic() - start >= 0.7, "so does a lock-out")
        equal(login(s, BOB, source="127.9.0.1"), RIGHT)


@test("A7: a lock-out ends by itself, and begins again with the next failure")
def expiry(_):
    with service(FAST) as s:
        guess(s, 3)
        equal(login(s), LOCKED)
        wait_for(lambda: login(s, BOB) == RIGHT, "the lock-out to end", patience(20))
        s.wait_log(event="guard", state="unlocked", key="127.0.0.1")
        guess(s, 1)
        equal(login(s), LOCKED)
        e = s.events(event="guard", state="locked")
        equal(len(e), 2)


@test("A7 A4: submitctl account lists, clears and leaves a record; names nobody knows are hidden")
def operator(_):
    with service() as s:
        guess(s, 2, "my-password-by-mistake", source="127.90.0.1")
        guess(s, 5, source="127.91.0.1")
        text = s.ctl("account", "list")
        ok("127.91.0.1" in text and USER in text and "127.91.0.0/24" in text, text)
        names = [r["name"] for r in counted(s, "address", "127.90.0.1")]
        ok("mistake" not in s.ctl("account") and names[0].startswith("22:"), str(names))
        equal(login(s, BOB, source="127.91.0.1"), LOCKED)
        r = s.run_ctl("account", "clear", "127.91.0.9")
        equal(r.returncode, 1)
        ok('"127.91.0.9"' in r.stderr, r.stderr)
        lines = (text + s.ctl("account", "list", "--known")).splitlines()
        equal([x for x in lines if x != x.rstrip()], [], "no blanks at the end of a line")
        equal(s.ctl("account", "clear", "127.91.0.1").strip(), "forgotten: 1")
        equal(login(s, BOB, source="127.91.0.1"), RIGHT)
        s.ctl("account", "clear", names[0])
        equal(counted(s, "user", names[0]), [])
        ok(s.ctl_rows("account", "clear", "--all")[0]["cleared"] >= 3, "cleared the rest")
        equal(counted(s), [])
        ok("nothing is counted" in s.ctl("account"), "says so")
        for bad in (["clear"], ["clear", "x", "--all"], ["forget"], ["list", "x"],
                    ["list", "--limit", "0"], ["clear", "x", "y"]):
            equal(s.run_ctl("account", *bad).returncode, 2, " ".join(bad))
        e = s.wait_log(event="operator", command="account.clear")
        ok("uid" in e["user"], str(e))
        with open(f"{s.dir}/audit.log") as f:
            ok("account.clear" in f.read(), "in the audit record")
        with open(f"{s.dir}/state/ledger.db", "rb") as f:
            ok(b"mistake" not in f.read(), "not in the file")


@test("A7: counts, lock-outs and known places are kept over restarts and kill -9")
def restart(_):
    with service() as s:
        equal(login(s, source="127.50.0.1"), RIGHT)
        guess(s, 5, BOB, source="127.51.0.1")
        guess(s, 3, source="127.52.0.1")
        s.restart()
        equal(login(s, BOB, source="127.51.0.1"), LOCKED)
        guess(s, 1, source="127.52.0.1")
        written(s)
        s.kill_all()
        s.start()
        equal(login(s, BOB, source="127.51.0.1"), LOCKED)
        guess(s, 1, source="127.52.0.1")
        equal(login(s, BOB, source="127.52.0.1"), LOCKED, "three, one and one")
        for i in range(3):
            guess(s, 1, source=f"127.53.{i}.1")
        equal(login(s, source="127.50.0.1"), RIGHT, "the usual place")
        # a reload keeps counts, and takes other limits at once
        s.write_conf(auth_guard=GUARD.replace('"5/10m"', '"2/10m"'))
        s.ctl("reload")
        wait_for(lambda: login(s, BOB, source="127.51.0.1") == LOCKED, "the lock-out", 20)
        guess(s, 2, BOB, source="127.54.0.1")
        equal(login(s, BOB, source="127.54.0.1"), LOCKED)


@test("A7: a damaged file is put aside, and the service runs")
def damaged(_):
    with service() as s:
        guess(s, 5)
        equal(s.stop(), 0)
        with open(f"{s.dir}/state/ledger.db", "r+b") as f:
            f.write(b"rubbish" * 100)
        s.start()
        s.wait_log(event="guard", state="damaged")
        ok(os.path.exists(f"{s.dir}/state/ledger.db.damaged"), "it is kept")
        equal(login(s), RIGHT)
        guess(s, 5, source="127.51.0.1")
        equal(login(s, source="127.51.0.1"), LOCKED)


@test("A7: killing the ledger again and again refuses nobody and lets no guess through")
def killed(_):
    with service() as s, concurrent.futures.ThreadPoolExecutor(4) as pool:
        equal(login(s, source="127.50.0.1"), RIGHT)
        guess(s, 5, source="127.51.0.1")
        written(s)
        stop = []

        def honest():
            got = []
            while not stop:
                start = time.monotonic()
                got.append((login(s, source="127.50.0.1"), time.monotonic() - start))
            return got

        def guessing():
            got = []
            while not stop:
                got.append(login(s, source="127.51.0.1"))
            return got
        honests = [pool.submit(honest) for _ in range(2)]
        guesser = pool.submit(guessing)
        for _ in range(2):
            pid = s.roles()["ledger"][0]
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: s.roles().get("ledger", [pid])[0] != pid, "a new ledger",
                     patience(20))
            before = ledger_when_up(s)
            wait_for(lambda: ledger_when_up(s) > before + 3, "logins", patience(20))
        stop.append(True)
        got = [x for h in honests for x in h.result()]
        equal({code for code, _ in got}, {RIGHT})
        ok(max(t for _, t in got) < patience(4), f"the slowest took {max(t for _, t in got)} s")
        equal(set(guesser.result()), {LOCKED})


@test("A7: a ledger that does not answer is 454 in time, no backend, no lock-out")
def silent(_):
    with service() as s:
        pid = s.roles()["ledger"][0]
        equal(login(s, source="127.86.0.1"), RIGHT)
        before = asked(s)
        os.kill(pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            equal(login(s), LOCKED)
            ok(5 < time.monotonic() - start < patience(12), "within its time")
            equal(login(s, password="wrong"), LOCKED)
            equal(login(s, password="wrong", source="127.86.0.1"), LOCKED)
            equal(asked(s, quiet=True) - before, 0)
            equal(login(s, source="127.86.0.1"), RIGHT, "who was there before")
            r = s.run_ctl("stats")                      # the others answer, and it is named
            ok(r.returncode == 1 and "ledger.0 did not answer" in r.stderr, r.stderr)
        finally:
            os.kill(pid, signal.SIGCONT)
        equal(login(s), RIGHT)
        equal(asked(s) - before, 2, "attempts that reached the backend")
        equal([r for r in counted(s) if r["failures"]], [])


@test("A7 S14: names refused by a rule count for the address, not for the name")
def ruled(_):
    with service() as s:
        before = asked(s)
        guess(s, 5, "denied@example.com", source="127.50.0.1")
        equal(asked(s), before)
        equal(login(s, source="127.50.0.1"), LOCKED)
        equal(counted(s, "user"), [])
        # what is malformed is no guess
        with connect(s, source="127.51.0.1") as c:
            for _ in range(10):
                equal(c.cmd("AUTH PLAIN AAAA")[0], 501)
            equal(c.auth(USER, s.password())[0], 235)


@test("A7: hydra gets nowhere while an honest user logs in", seconds=180)
def hydra(_):
    if shutil.which("hydra") is None:
        skip("hydra is missing")
    guard = GUARD.replace('"50ms"', '"1s"')
    with service(guard) as s:
        equal(login(s, source="127.50.0.1"), RIGHT)
        words = [f"word{i}" for i in range(60)]
        words[45] = s.password()
        with open(f"{s.dir}/words", "w") as f:
            f.write("\n".join(words) + "\n")
        before = asked(s)
        p = subprocess.Popen(
            ["hydra", "-l", USER, "-P", f"{s.dir}/words", "-t", "16", "-I", "-s", str(s.port465),
             "-S", "127.0.0.1", "smtp", "PLAIN"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=s.dir)
        honest = 0
        try:
            end = time.monotonic() + 60
            while p.poll() is None and time.monotonic() < end:
                equal(login(s, source="127.50.0.1"), RIGHT)
                honest += 1
                time.sleep(0.05)
        finally:
            p.kill()
            out = p.communicate()[0]
        ok(s.events(event="auth", client="127.0.0.1", verdict="perm")
           or counted(s, "address", "127.0.0.1"), "hydra was there: " + out)
        ok(f"password: {s.password()}" not in out and "1 valid password" not in out, out)
        reached = asked(s) - before - honest
        ok(1 <= reached <= 5, f"{reached} guesses reached the backend\n{out}")
        ok(honest > 0, "the honest user was there too")
        equal(login(s, source="127.51.0.1"), RIGHT, "nor is the name locked out for all")


run()
