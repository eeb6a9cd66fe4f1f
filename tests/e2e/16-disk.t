#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""A spool that runs full: 452 before it is full, delivery goes on, nothing acknowledged is lost."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import threading
import time

import disk
import peers
import smtpc
from daemon import USER, Service, patience, variant
from nexthop import NextHop
from tap import equal, ok, run, test, wait_for


def answered(r):
    """Status 1 without a word of complaint: nothing was left to retry."""
    return r.returncode == 0 or "restarted" not in r.stderr and "answers" not in r.stderr


@contextlib.contextmanager
def fixture(**options):
    """The spool is a tmpfs of 200 MiB: the queue keeps 64 MiB of it for its own work."""
    with NextHop() as hop, Service(next_port=hop.port, start=False, **options) as s, \
            disk.small_disk(s, "spool", "size=200m,mode=755"):
        s.hop = hop
        yield s


@contextlib.contextmanager
def running():
    with fixture() as s:
        s.start()
        yield s
        equal(s.stop(), 0)


def fill(s):
    """Sends until refused; gives the recipients that were accepted and the refusal."""
    accepted, reply = [], None
    body = ("x" * 70 + "\r\n") * 14000              # about 1 MiB
    with smtpc.login(s) as c:
        for i in range(250):
            rcpt = f"fill{i}@remote.example"
            try:
                reply = c.message(USER, rcpt, smtpc.letter(f"fill {i}", body=body))
            except smtpc.Gone:
                reply = (421, "gone")
            if reply[0] != 250:
                break
            accepted.append(rcpt)
    return accepted, reply


@test("promise 1: a full spool: 452 4.3.1 before the end, what was acknowledged arrives", 240)
def full(s):
    s.hop.refuse()
    accepted, reply = fill(s)
    ok(len(accepted) >= 5, f"{len(accepted)} accepted, then {reply}")
    equal((reply[0], reply[1][:5]), (452, "4.3.1"))
    free = os.statvfs(s.dir + "/spool")
    ok(free.f_bavail * free.f_frsize > 16 << 20, "there is still room for the queue's own work")
    with smtpc.login(s) as c:
        equal(c.cmd(f"MAIL FROM:<{USER}>")[0], 452)
    s.hop.answers.clear()
    s.restart()
    wait_for(lambda: answered(s.run_ctl("queue", "retry", "--all")), "the queue to answer",
             patience(20), step=0.2)
    for rcpt in accepted:
        s.hop.wait(1, rcpt=rcpt, seconds=patience(90))


@test("promise 1: with room again mail is taken again", 120)
def again(s):
    def taken():
        with smtpc.login(s) as c:
            return c.message(USER, "again@remote.example", smtpc.letter())[0] == 250
    wait_for(taken, "mail to be taken", patience(60), step=0.3)
    s.run_ctl("queue", "retry", "--all")            # whatever the backoff says
    s.hop.wait(1, rcpt="again@remote.example", seconds=patience(30))


@contextlib.contextmanager
def filled(s):
    queue = s.roles()["queue"]
    with disk.greedy(s.dir + "/spool"):
        yield
    equal([s.roles()["queue"], s.events(event="spool", state="failed")], [queue, []])


@test("promise 1: somebody else fills the disk to the last block: 452, the queue lives", 240)
def by_others(s):
    s.hop.refuse()
    with filled(s), smtpc.login(s) as c:
        code, text = c.message(USER, "none@remote.example", smtpc.letter(body="x\r\n" * 9000))
        equal((code, text[:5]), (452, "4.3.1"))
    s.hop.answers.clear()
    again(s)
    equal(s.hop.to("none@remote.example"), [])


@test("promise 1: what is delivered while nothing can be written is not delivered twice", 240)
def delivered_meanwhile(s):
    rcpts = [f"full{i}@remote.example" for i in range(20)]
    s.hop.refuse()
    with smtpc.login(s) as c:
        for rcpt in rcpts:
            equal(c.message(USER, rcpt, smtpc.letter())[0], 250)
    wait_for(lambda: len(s.queued()) == len(rcpts), "all of them waiting", patience(30))
    s.hop.answers.clear()
    with filled(s):
        retry = threading.Thread(target=s.run_ctl, args=("queue", "retry", "--all"))
        retry.start()
        time.sleep(3)                                   # some are sent, or none: both is right
    retry.join()
    s.run_ctl("queue", "retry", "--all")
    for rcpt in rcpts:
        s.hop.wait(1, rcpt=rcpt, seconds=patience(60))
    wait_for(lambda: not s.queued(), "an empty queue", patience(60))
    equal([len(s.hop.to(rcpt)) for rcpt in rcpts], [1] * len(rcpts))


def end_on_full_disk(s, n=20, kill=False):
    """Mail is delivered when the disk has just become full, then the service ends."""
    rcpts = [f"stop{i}@remote.example" for i in range(n)]
    tried, go = threading.Event(), threading.Event()

    def slow(_message):
        tried.set()
        go.wait(patience(60))
        return "250 2.0.0 taken"
    s.start()
    s.hop.answers["END"] = [slow]
    with smtpc.login(s) as c:
        for rcpt in rcpts:
            equal(c.message(USER, rcpt, smtpc.letter())[0], 250)
    ok(tried.wait(patience(30)), "a delivery is under way")
    with disk.greedy(s.dir + "/spool"):
        go.set()
        wait_for(lambda: len(s.events(event="delivery", verdict="ok")) >= n // 2,
                 "deliveries", patience(30))
        began = time.monotonic()
        if kill:
            wait_for(lambda: not s.queued(), "all of it stored", patience(30))
            s.kill_all()
        else:
            equal(s.stop(), 0)
        took = time.monotonic() - began
    s.hop.answers.clear()
    lost = s.events(event="note", role="queue.0", text="spool: ended without room: what became of "
                    "mail since then is not stored, and some of it may be sent again")
    s.start()
    s.run_ctl("queue", "retry", "--all")
    wait_for(lambda: not s.queued(), "an empty queue", patience(60))
    return took, len(lost), [len(s.hop.to(rcpt)) for rcpt in rcpts]


@test("promise 1: the service ends on a full disk: what it delivered is stored, none goes twice",
      240)
def stopped(_):
    with fixture() as s:                # a new spool: its log has no room of its own yet
        took, lost, times = end_on_full_disk(s)
        equal((lost, times), (0, [1] * len(times)))
        ok(took < patience(10), f"the end took {took:.1f} s")


@test("promise 1: what was stored on a full disk is stored: kill -9 of the service", 240)
def killed(_):
    with fixture() as s:
        _, _, times = end_on_full_disk(s, kill=True)
        equal(times, [1] * len(times))


@test("promise 1: while the room that is set aside does not stand, new mail is refused", 240)
def short_of_room(_):
    with fixture(binary=variant("faults")) as s:
        s.env["SUBMITD_TEST_ROOM"] = str(190 << 20)     # more than that disk has
        s.start()
        s.wait_log(event="spool", state="full",
                   reason="no room to set aside: new mail is refused with 452")
        with smtpc.login(s) as c:
            equal(c.cmd(f"MAIL FROM:<{USER}>")[0], 452)
        r = peers.run("mount", "-o", "remount,size=600m", s.dir + "/spool")
        equal(r.returncode, 0, r.stderr)
        again(s)
        equal(s.stop(), 0)


@test("promise 1: nothing could be set aside: the end says so, mail goes twice at most, none is "
      "lost", 240)
def nothing_aside(_):
    with fixture(binary=variant("faults")) as s:
        s.env["SUBMITD_TEST_ROOM"] = "0"
        took, lost, times = end_on_full_disk(s)
        equal(lost, 1)
        ok(all(1 <= n <= 2 for n in times), f"{times}")
        ok(took < patience(15), f"the end took {took:.1f} s")


run(running)
