#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The spool: restart, rubbish and damage in it, stock sqlite3 reads it."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import glob
import json
import shutil
import sqlite3
import subprocess

import smtpc
from daemon import USER, Service, patience, variant
from nexthop import NextHop
from tap import equal, ok, run, skip, test, wait_for


def answered(r):
    """Status 1 without a word of complaint: nothing was left to retry."""
    return r.returncode == 0 or "restarted" not in r.stderr and "answers" not in r.stderr


@contextlib.contextmanager
def fixture():
    with NextHop() as hop, Service(next_port=hop.port) as s:
        s.hop = hop
        yield s


def hold(s):
    s.hop.refuse()


def release(s):
    s.hop.answers.clear()


def now(s):
    """Whatever the backoff of the destination says."""
    wait_for(lambda: answered(s.run_ctl("queue", "retry", "--all")), "the queue to answer",
             patience(20), step=0.2)


def database(s):
    for path in glob.glob(s.dir + "/spool/**", recursive=True):
        with contextlib.suppress(OSError):
            with open(path, "rb") as f:
                if f.read(15) == b"SQLite format 3":
                    return path
    skip("no SQLite database in the spool")


@test("DESIGN 6: waiting mail survives kill -9 and is delivered after the restart", 120)
def survive(s):
    hold(s)
    small = smtpc.submit(s, "small@remote.example")
    large = smtpc.submit(s, "large@remote.example", smtpc.letter(body="y" * 70 + "\r\n" * 1 +
                                                                 ("z" * 70 + "\r\n") * 9000))
    ok(small != large, "ids differ")
    s.kill_all()
    release(s)
    s.start()
    now(s)
    for rcpt in ("small@remote.example", "large@remote.example"):
        m = s.hop.wait(1, rcpt=rcpt, seconds=patience(80))[0]
        ok(b"Subject: hello" in m.data, rcpt)


@test("DESIGN 6: files that nobody knows in the spool disturb nothing", 120)
def foreign(s):
    s.stop()
    for folder in glob.glob(s.dir + "/spool/") + glob.glob(s.dir + "/spool/*/"):
        for name in ("core", "00000009.log.bak", "lost+found.txt", "x" * 200):
            with open(folder + name, "wb") as f:
                f.write(b"rubbish" * 100)
    s.start()
    smtpc.submit(s, "foreign@remote.example")
    s.hop.wait(1, rcpt="foreign@remote.example")


@test("DESIGN 6: a damaged body is set aside and reported, the others go on", 240)
def damaged(s):
    hold(s)
    for i in range(3):
        smtpc.submit(s, f"damage{i}@remote.example",
                     smtpc.letter(f"damage {i}", body=f"marker-{i}-marker\r\n"))
    s.kill_all()
    changed = 0
    for path in glob.glob(s.dir + "/spool/**/*.log", recursive=True):
        with open(path, "rb") as f:
            data = f.read()
        if b"marker-1-marker" in data:
            with open(path, "wb") as f:
                f.write(data.replace(b"marker-1-marker", b"MARKER-X-MARKER"))
            changed += 1
    ok(changed, "a segment with the body was found")
    release(s)
    s.start()
    now(s)
    for i in (0, 2):
        s.hop.wait(1, rcpt=f"damage{i}@remote.example", seconds=patience(80))
    wait_for(lambda: [e for e in s.events() if e["event"] in ("spool", "queue")
                      and e.get("level") in ("warn", "error")], "the report", patience(80))
    equal([m for m in s.hop.messages if b"MARKER-X" in m.data], [])


@test("DESIGN 6: stock sqlite3 reads the queue while it runs")
def stock(s):
    hold(s)
    smtpc.submit(s, "sql@remote.example")
    db = sqlite3.connect(f"file:{database(s)}?mode=ro", uri=True, timeout=20)
    tables = {r[0] for r in db.execute("select name from sqlite_master where type = 'table'")}
    ok({"message", "envelope", "recipient", "destination", "segment", "history"} <= tables, tables)
    ok(db.execute("select count(*) from envelope").fetchone()[0] >= 1, "the envelope")
    equal(db.execute("pragma integrity_check").fetchone()[0], "ok")
    db.close()
    release(s)


@test("DESIGN 6: submitctl queue rebuild makes a lost database again, everything held", 120)
def rebuild(s):
    hold(s)
    for i in range(3):
        smtpc.submit(s, f"again{i}@remote.example", smtpc.letter(f"again {i}"))
    r = s.run_ctl("queue", "rebuild")
    equal(r.returncode, 1)                          # not while it runs
    ok("another submitd is using it" in r.stderr, r.stderr)
    s.kill_all()
    for path in glob.glob(database(s) + "*"):
        os.unlink(path)
    ok(" messages for " in s.ctl("queue", "rebuild"), "the count")
    release(s)
    s.start()
    now(s)
    rows = [json.loads(row) for row in s.ctl("--json", "queue", "list").strip().split("\n")]
    ok(all(r["state"] == "held" for r in rows), str(rows))
    s.ctl("queue", "release", "--recipient", "again*")
    for i in range(3):
        s.hop.wait(1, rcpt=f"again{i}@remote.example", seconds=patience(40))


@test("promise 1: killed at any call of a rebuild, the next start has every message", 180)
def rebuild_killed(_):
    with Service(binary=variant("faults")) as s:    # nobody listens there: it stays
        mid = smtpc.submit(s)
        s.stop()
        keep, spool = s.dir + "/keep", s.dir + "/spool"
        os.rename(spool, keep)
        for n in (1, 9, 13, 17, 25, 33, 41, 49, 57):
            shutil.rmtree(spool, ignore_errors=True)
            subprocess.run(["cp", "-a", keep, spool], check=True)
            for path in glob.glob(database(s) + "*"):
                os.unlink(path)
            s.env.update(SUBMITD_FS_FAULT=f"die:{n}", SUBMITD_FS_FAULT_ROLE="queue")
            before = len(s.events(event="process", state="died", role="queue"))
            s.start(wait=False)
            wait_for(lambda: len(s.events(event="process", state="died", role="queue")) > before,
                     f"its death at call {n}", patience(20))
            s.kill_all()
            del s.env["SUBMITD_FS_FAULT"]
            s.start()
            equal([r["mid"] for r in s.queued()], [mid], f"killed at call {n}")
            ok(not os.path.exists(spool + "/rebuilding"), "it ended")
            s.stop()


run(fixture)
