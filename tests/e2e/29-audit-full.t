#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The audit record when it cannot be written: bounded, quiet, by itself well again, and what is
missing is told with its count. Bounds are made small (a build with -DSUBMITD_FAULTS)."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib

import smtpc
from auditlog import accepted, fill, recorded, records, small_disk, verify
from daemon import USER, Service, Sink, patience, variant
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
def fixture():
    yield None


def lost(s):
    return sum(r.get("lost", 0) for r in records(s, "small/audit.log") if r["kind"] == "gap")


def room_again(s, ballast):
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


run(fixture)
