#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""tests/lib/keeper.py: no process of a test outlives it, however the test ends. The test is a
program that starts a daemon, says who both are, and goes on as it is told."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import signal
import subprocess

from daemon import alive
from tap import equal, ok, run, test, wait_for

KEEPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib/keeper.py")
# twice a child of nobody's session, as a daemon makes itself, which hears no SIGTERM
PROGRAM = """
import os, signal, sys, time
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(w, str(os.getpid()).encode())
        os.dup2(os.open("/dev/null", os.O_RDWR), 1)
        time.sleep(1000)
    os._exit(0)
os.wait()
print(os.getpid(), os.read(r, 20).decode(), flush=True)
"""
GO_ON = "time.sleep(1000)"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(0, 0, flush=True); time.sleep(1000)"
KEEP = f"""
import os, subprocess, sys
p = subprocess.Popen([{KEEPER!r}, str(os.getpid()), *sys.argv[1:]])
p.wait()
"""


class Kept:
    def __init__(self, then, between=False, **env):
        """between: the keeper is started by a process of its own, self.p."""
        program = [sys.executable, "-c", PROGRAM + then]
        start = [sys.executable, "-c", KEEP] if between else [KEEPER, str(os.getpid())]
        self.p = subprocess.Popen([*start, *program], stdout=subprocess.PIPE, text=True,
                                  stdin=subprocess.DEVNULL, env={**os.environ, **env})
        self.test, self.daemon = (int(x) for x in self.p.stdout.readline().split())

    def end(self):
        """What it said and its status; everything is gone."""
        out = self.p.communicate(timeout=60)[0]
        for pid in (self.test, self.daemon):
            wait_for(lambda: not alive(pid), f"the end of {pid}")
        return out, self.p.returncode


@test("what a test leaves behind is named, and ended, and no success")
def left(_):
    for status in (0, 3):
        k = Kept(f"sys.exit({status})", KEEPER_GRACE_S="0.1")
        out, got = k.end()
        equal(got, status or 1)
        ok(out.startswith("# left behind: ") and " import os, signal, sys, time " in out, out)
        ok(out.count("\n") == 1, "one line, whatever its name is: " + out)


@test("a test that leaves nothing is not held up, and its status is handed on")
def clean(_):
    for then, status in (("sys.exit(0)", 0), ("sys.exit(3)", 3),
                         ("os.kill(os.getpid(), 9)", 128 + 9)):
        k = subprocess.run([KEEPER, str(os.getpid()), sys.executable, "-c",
                            "import os, sys; " + then], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=60,
                           env={**os.environ, "KEEPER_GRACE_S": "1000"})
        equal((k.returncode, k.stdout), (status, ""), then)


@test("a test that is killed in the middle")
def killed(_):
    k = Kept(GO_ON, KEEPER_GRACE_S="0.1")
    os.kill(k.test, signal.SIGKILL)
    out, status = k.end()
    equal(status, 128 + 9)
    ok("# left behind: " in out, out)


@test("a test whose time is up: told first, then killed with all it has")
def told(_):
    for then in (GO_ON, DEAF):
        k = Kept(then, KEEPER_PATIENCE_S="0.5")
        if then == DEAF:
            k.p.stdout.readline()
        k.p.terminate()
        equal(k.end()[1], 1, then)


@test("whoever runs the tests is killed")
def orphaned(_):
    k = Kept(GO_ON, between=True, KEEPER_PATIENCE_S="0.5")
    k.p.kill()
    k.end()


run()
