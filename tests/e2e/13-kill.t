#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Each child killed with -9: the service stays up, nothing acknowledged is lost."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import ctypes
import signal
import socket

import peers
import smtpc
from daemon import Service, Sink, load, patience, uuids
from tap import equal, ok, run, test, wait_for


@contextlib.contextmanager
def fixture():
    with contextlib.ExitStack() as stack:
        s = Service(start=False)
        stack.enter_context(s)
        s.sink = stack.enter_context(Sink(s.dir))
        s.next = s.sink.port
        s.write_conf()
        s.start()
        yield s


def kill(s, role):
    pid = wait_for(lambda: s.roles().get(role), f"a {role} process", patience(20))[0]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: pid not in s.children(), "its end")
    wait_for(lambda: s.roles().get(role), f"a new {role} process", patience(20))


def works(s):
    """A message comes through, after the pause that a restart may cost."""
    def submit():
        try:
            return smtpc.submit(s)
        except (AssertionError, OSError, smtpc.Gone):
            return None
    mid = wait_for(submit, "a message to be accepted", patience(30), step=0.2)
    s.wait_log(event="delivery", mid=mid, seconds=patience(30))


@test("DESIGN 3: all roles run, each in its own process")
def roles(s):
    found = wait_for(lambda: set(s.roles()) >= {"front", "auth", "queue", "deliver", "ledger",
                                                "control"} and s.roles(), "the roles")
    equal((len(found["front"]), len(found["queue"]), len(found["deliver"])), (2, 1, 2))


for name in ("front", "auth", "queue", "deliver", "ledger", "control"):
    def kill_one(s, role=name):
        kill(s, role)
        works(s)
    test(f"DESIGN 3: kill -9 of {name}: mail goes on")(kill_one)


def sockets(pid):
    """Descriptors of sockets of a process, oldest first; the first one is the supervisor's."""
    fds = (int(f) for f in os.listdir(f"/proc/{pid}/fd"))
    return sorted(f for f in fds if os.readlink(f"/proc/{pid}/fd/{f}").startswith("socket:"))


def cut(pid, fd):
    """Shuts down a socket of another process, as if one of its two ends had refused the other."""
    libc = ctypes.CDLL(None, use_errno=True)
    mine = libc.syscall(438, os.pidfd_open(pid), fd, 0)        # pidfd_getfd
    if mine == -1:
        raise peers.Skip("pidfd_getfd: " + os.strerror(ctypes.get_errno()))
    with socket.socket(fileno=mine) as s:
        s.shutdown(socket.SHUT_RDWR)


@test("DESIGN 3: roles that lose each other but live are connected again")
def reconnected(s):
    queue = s.roles()["queue"][0]
    for fd in sockets(queue)[1:]:
        cut(queue, fd)
    wait_for(lambda: s.log().count("lost each other: connecting them again") >= 6, "new sockets",
             patience(20))
    equal(s.roles()["queue"], [queue])
    works(s)


@test("DESIGN 3: a session survives the death of queue, deliver, ledger and control")
def session(s):
    with smtpc.login(s) as c:
        for role in ("control", "ledger", "deliver", "queue"):
            kill(s, role)
            code, text = wait_for(lambda: take(c), f"mail after the death of {role}",
                                  patience(30), step=0.2)
            equal(code, 250, text)


def take(c):
    r = c.message("alice@example.com", "x@remote.example", smtpc.letter())
    if r[0] != 250:
        c.cmd("RSET")
        ok(r[0] < 500, f"a temporary answer: {r}")
        return None
    return r


@test("DESIGN 2: kills under load: every acknowledged message arrives", 240)
def under_load(s):
    acked = s.dir + "/acked"
    p = load(s, "--retry", wait=False, connections=10, messages=1500, per_connection=10, size=3000,
             acked=acked)
    for role in ("queue", "deliver", "front", "queue", "deliver", "auth"):
        before = len(uuids(acked))
        kill(s, role)
        wait_for(lambda: len(uuids(acked)) > before + 30 or p.poll() is not None, "mail",
                 patience(40))
    p.communicate()
    done = set(uuids(acked))
    equal(len(done), 1500)
    wait_for(lambda: done <= {x[0] for x in s.sink.received()}, "all at the sink", patience(60))


run(fixture)
