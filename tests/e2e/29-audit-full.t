#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The audit record when it cannot be written: bounded, quiet, by itself well again, and what is
missing is told with its count. Bounds are made small (a build with -DSUBMITD_FAULTS)."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import signal
import sqlite3

import smtpc
from auditlog import accepted, recorded, records, verify
from daemon import USER, Service, Sink, patience, variant
from disk import fill, small_disk
from tap import equal, ok, run, test, wait_for


@contextlib.contextmanager
def service(on_full, **env):
    audit = f'audit {{ file = "@D@/small/audit.log"  on_full = {on_full}  checkpoint = "2s" }}'
    with Service(start=False, blocks={"audit": audit}, binary=variant("faults"),
                 env={k: str(v) for k, v in env.items()}) as s, small_disk(s) as s.small:
        with Sink(s.dir) as s.sink:
            s.next = s.sink.port
            s.write_conf()
            s.start()
            yield s


@contextlib.contextmanager
def doubtful_disk():
    """Syncs of the ledger fail as long as s.no_sync is there; it has what was sent before."""
    with service("tempfail") as s:
        s.no_sync = s.small + "/no-sync"
        s.env["SUBMITD_FS_FAULT"] = f"sync:{s.no_sync}"
        s.env["SUBMITD_FS_FAULT_ROLE"] = "ledger"
        s.restart()
        with smtpc.login(s) as c:
            first = mids(send(c, 3))
            recorded(s, first, ["small/audit.log"])
            wait_for(lambda: rows(s) == 0, "the ledger's word that it has them", patience(20))
            with open(s.no_sync, "w"):
                pass
            yield s, c, first


@contextlib.contextmanager
def fixture():
    yield None


def lost(s):
    return sum(r.get("lost", 0) for r in records(s, "small/audit.log") if r["kind"] == "gap")


def room_again(s, ballast):
    s.wait_log(event="audit", state="failing", seconds=patience(20))
    os.unlink(ballast)
    s.wait_log(event="audit", state="recovered", seconds=patience(20))


def send(c, n):
    """The answers to n messages over one session."""
    return [c.message(USER, f"to{i}@remote.example", smtpc.letter(f"n {i}")) for i in range(n)]


def mids(answers):
    return [text.split()[-1].strip("<>") for code, text in answers if code == 250]


@test("A2 on_full = tempfail: beyond the bound of the queue 451 4.3.0, no message without a record")
def rows_tempfail(_):
    with service("tempfail", SUBMITD_TEST_AUDIT_ROWS=6000) as s, smtpc.login(s) as c:
        ballast = fill(s.small)
        answers = send(c, 60)
        refused = [a for a in answers if a[0] != 250]
        ok(5 < len(refused) < 55, str(answers))
        equal({(code, text[:5]) for code, text in refused}, {(451, "4.3.0")})
        room_again(s, ballast)
        wait_for(lambda: send(c, 1)[0][0] == 250, "mail again", patience(20), step=0.2)
        recorded(s, mids(answers), ["small/audit.log"])
        equal(max(accepted(s, ["small/audit.log"]).values()), 1)
        equal(lost(s), 0)
        verify(s, "--checkpoints", s.log_path)


@test("A2 on_full = gap: beyond it mail goes on, and the record has the count of what is missing")
def rows_gap(_):
    with service("gap", SUBMITD_TEST_AUDIT_ROWS=6000) as s, smtpc.login(s) as c:
        ballast = fill(s.small)
        answers = send(c, 60)
        equal({code for code, _ in answers}, {250})
        room_again(s, ballast)
        wait_for(lambda: lost(s) > 0, "the gap", patience(20))
        after = mids(send(c, 3))
        recorded(s, after, ["small/audit.log"])
        seen = accepted(s, ["small/audit.log"])
        missing = [m for m in mids(answers) if m not in seen]
        ok(5 < len(missing) < 55, str(len(missing)))
        equal(lost(s), len(missing))
        verify(s, "--checkpoints", s.log_path)


def attempts(s, n, password="wrong_secret"):
    """The codes of n logins that fail, each over a session of its own."""
    codes = []
    for _ in range(n):
        with smtpc.Client(s.port) as c:
            c.ehlo()
            c.starttls()
            c.ehlo()
            codes.append(c.auth(USER, password)[0])
    return codes


def quiet(s):
    """Nobody was cut off, nobody died."""
    equal(s.events(event="ipc"), [])
    equal(s.events(event="process", state="died"), [])


def closed(s, c):
    """The disk is full, the ledger takes nothing any more. Gives the ballast and the answers."""
    ballast = fill(s.small)
    answers = []

    def one():
        answers.extend(send(c, 5))
        return s.events(event="audit", state="closed")
    wait_for(one, "the ledger to close", patience(40), step=0.1)
    return ballast, answers


@test("A1 on_full = tempfail: beyond what the ledger keeps AUTH gets 454; well by itself", 90)
def ledger_tempfail(_):
    with service("tempfail", SUBMITD_TEST_AUDIT_PENDING=8000) as s, smtpc.login(s) as c:
        ballast, answers = closed(s, c)
        # one attempt finds the ledger closed, from the second on it is known
        codes = attempts(s, 1)
        wait_for(lambda: attempts(s, 1) == [454] or codes.append(535), "454", patience(20))
        refused = 1 + attempts(s, 3).count(454)
        equal(refused, 4)
        answers += send(c, 20)                      # mail goes on: its records stand in the spool
        equal({code for code, _ in answers}, {250})
        equal(len(s.events(event="audit", state="closed")), 1)
        room_again(s, ballast)
        s.wait_log(event="audit", state="open again", seconds=patience(20))
        wait_for(lambda: attempts(s, 1) == [535] or None, "logins again", patience(20))
        recorded(s, mids(answers), ["small/audit.log"])
        equal(max(accepted(s, ["small/audit.log"]).values()), 1)
        wait_for(lambda: lost(s) >= refused, "the count of refused attempts", patience(20))
        auth = [r for r in records(s, "small/audit.log") if r["kind"] == "auth"]
        equal(len({(r["src"], r["n"]) for r in auth}), len(auth), "none twice")
        verify(s, "--checkpoints", s.log_path)
        quiet(s)


@test("A1 on_full = gap: logins go on; a leaving process has its records counted", 90)
def ledger_gap(_):
    with service("gap", SUBMITD_TEST_AUDIT_PENDING=8000) as s:
        with smtpc.login(s) as c:
            ballast, answers = closed(s, c)
            before = len(attempts(s, 7))
            answers += send(c, 5)
        equal({code for code, _ in answers}, {250})
        old = s.roles()["auth"]
        r = s.reload()                              # the old auth process leaves with what it has
        equal(r["verdict"], "ok", s.log()[-3000:])
        wait_for(lambda: not set(old) & set(s.children()), "its end", patience(40))
        after = len(attempts(s, 4))
        room_again(s, ballast)
        s.wait_log(event="audit", state="open again", seconds=patience(20))
        recorded(s, mids(answers), ["small/audit.log"])

        def all_told():
            auth = [r for r in records(s, "small/audit.log")
                    if r["kind"] == "auth" and r["verdict"] == "perm"]
            return len(auth) + lost(s) == before + after and len(auth) >= after
        wait_for(all_told, "each attempt in the record or counted", patience(20))
        equal(max(accepted(s, ["small/audit.log"]).values()), 1)
        ok(lost(s) > 0, "what the old process had was counted")
        verify(s, "--checkpoints", s.log_path)
        quiet(s)


def rows(s):
    """How many rows of records the queue keeps."""
    with contextlib.closing(sqlite3.connect(f"file:{s.dir}/spool/queue.db?mode=ro",
                                            uri=True)) as db:
        return db.execute("SELECT count(*) FROM audit_batch").fetchone()[0]


def not_synced(s, c):
    """Three messages whose records may not be on disk: the ledger has noticed."""
    doubtful = mids(send(c, 3))
    recorded(s, doubtful, ["small/audit.log"])
    s.wait_log(event="audit", state="cannot be synced", seconds=patience(40))
    wait_for(lambda: [r for r in records(s, "small/audit.log") if r["kind"] == "sync_failed"],
             "the word of it", patience(20))
    return doubtful


def distinct(s):
    """Numbers of senders that are in the record, and records of the ledger's own."""
    return {(r.get("src", ""), r.get("n", r["seq"])) for r in records(s, "small/audit.log")}


@test("A1 A2: a sync that fails: what may not be on disk comes again; a start knows it too", 120)
def sync_fails(_):
    with doubtful_disk() as (s, c, first):
        pid = s.roles()["ledger"]
        doubtful = not_synced(s, c)
        after = mids(send(c, 3))                    # nobody is told that these are safe
        wait_for(lambda: attempts(s, 1) == [454], "454", patience(20))
        os.unlink(s.no_sync)
        s.wait_log(event="audit", state="open again", seconds=patience(60))
        recorded(s, doubtful + after, ["small/audit.log"])
        wait_for(lambda: rows(s) == 0, "the ledger's word that it has them", patience(20))
        count = accepted(s, ["small/audit.log"])
        equal([count[m] for m in first + doubtful + after], [1] * 3 + [2] * 3 + [1] * 3)
        report = [r for r in s.ctl_rows("audit", "report") if r.get("user") == USER]
        equal([r["messages"] for r in report], [9], "each counts once")
        for m in first + doubtful:
            lines = s.ctl("audit", "search", "--kind", "accept", "--mid", m).splitlines()
            equal([line.endswith(" (repeated)") for line in lines],
                  [False] + [True] * (m in doubtful), lines)
        equal(s.ctl("audit", "tail", "-n", "1000").count(" (repeated)\n"),
              len(records(s, "small/audit.log")) - len(distinct(s)), "shown, and marked")
        equal(s.roles()["ledger"], pid)
        ok("a sync of the disk had failed" in verify(s, "--checkpoints", s.log_path), "a note")
        quiet(s)


@test("A1 A2: a sync that fails, and kill -9 of the ledger: the next trusts no cache", 120)
def sync_fails_killed(_):
    with doubtful_disk() as (s, c, first):
        doubtful = not_synced(s, c)
        pid = s.roles()["ledger"][0]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: pid not in s.children(), "its end", patience(20))
        os.unlink(s.no_sync)
        wait_for(lambda: rows(s) == 0, "the ledger's word that it has them", patience(40))
        count = accepted(s, ["small/audit.log"])
        equal([count[m] for m in first], [1] * 3)
        ok(min(count[m] for m in doubtful) >= 2, "again, and once more if a sync failed once more")
        verify(s, "--checkpoints", s.log_path)


@test("A1 A2 A4: a sync that fails, and the file renamed meanwhile: the same", 120)
def sync_fails_rotated(_):
    with doubtful_disk() as (s, c, first):
        doubtful = not_synced(s, c)
        os.rename(s.small + "/audit.log", s.small + "/audit.log.1")
        s.wait_log(event="audit", state="reopened", seconds=patience(20))
        os.unlink(s.no_sync)
        wait_for(lambda: rows(s) == 0, "the ledger's word that it has them", patience(60))
        names = ["small/audit.log.1", "small/audit.log"]
        count = accepted(s, names)
        equal([count[m] for m in first + doubtful], [1] * 3 + [2] * 3)
        equal([accepted(s, names[1:])[m] for m in doubtful], [1] * 3, "in the file that is synced")
        ok([r for r in records(s, names[1]) if r["kind"] == "sync_failed"], "there it is told too")
        ok("in 2 files" in verify(s, "--checkpoints", s.log_path), "a chain")


run(fixture)
