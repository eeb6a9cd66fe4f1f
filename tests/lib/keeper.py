#!/usr/bin/python3 -IS
# SPDX-License-Identifier: ISC
"""Runs a test file, and ends what it has left behind when it is over, however it ended: passed,
failed, killed, or told to end because its time was up. So no server of a test stays, not even
one that made itself a daemon, as Postfix does.

    keeper.py PARENT COMMAND [ARGUMENT...]     PARENT: the process that starts this one

Gives the status of COMMAND, but 1 where that was 0 and something was left; then a line of TAP
says what. SIGTERM, or the end of PARENT: COMMAND gets a SIGTERM and 20 s, then all is killed.
"""
import ctypes
import os
import signal
import sys
import time

PATIENCE_S = float(os.environ.get("KEEPER_PATIENCE_S", "20"))   # for who is told to end
GRACE_S = float(os.environ.get("KEEPER_GRACE_S", "10"))         # for what is about to end by itself
END_S = 60              # a killed process may sit in a system call
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
ASKED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                found += [int(x) for x in f.read().split()]
    except OSError:
        pass                            # it has ended meanwhile
    return found


def descendants(pid):
    for child in children(pid):
        yield child
        yield from descendants(child)


def name(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            words = f.read().replace(b"\0", b" ").decode("utf-8", "replace").split()
        return f"{' '.join(words)[:200]} in {os.readlink(f'/proc/{pid}/cwd')}"
    except OSError:
        return f"process {pid}"


class Keeper:
    def __init__(self, command):
        self.status = None              # of the command, once it has ended
        self.alone = False              # nobody is left
        self.command = os.posix_spawn(command[0], command, os.environ, setsid=True,
                                      setsigmask=())

    def reap(self):
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.command:
                    self.status = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            self.alone = True

    def wait(self, is_over, seconds=None):
        """False: the time is up, or somebody asked for the end."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            self.reap()                 # adopted ones too: nobody else does
            if is_over():
                return True
            left = 3600 if end is None else end - time.monotonic()
            if left <= 0:
                return False
            got = signal.sigtimedwait(ASKED | {signal.SIGCHLD}, left)
            if got is not None and got.si_signo in ASKED:
                return False

    def end_all(self):
        end = time.monotonic() + END_S
        while not self.alone and time.monotonic() < end:
            for pid in descendants(os.getpid()):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.wait(lambda: self.alone, 0.05)

    def run(self):
        if not self.wait(lambda: self.status is not None):
            try:
                os.killpg(self.command, signal.SIGTERM)
            except OSError:
                pass
            self.wait(lambda: self.status is not None, PATIENCE_S)
            self.end_all()
            return 1
        if not self.wait(lambda: self.alone, GRACE_S):
            for pid in children(os.getpid()):
                os.write(1, f"# left behind: {name(pid)}\n".encode())
            self.end_all()
            return self.status or 1
        return self.status


def main():
    libc = ctypes.CDLL(None, use_errno=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, ASKED | {signal.SIGCHLD})
    for option, value in ((PR_SET_CHILD_SUBREAPER, 1), (PR_SET_PDEATHSIG, signal.SIGTERM)):
        if libc.prctl(option, value, 0, 0, 0) == -1:
            sys.exit(f"keeper.py: prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(sys.argv[1]):
        sys.exit("keeper.py: whoever started it is gone")
    status = Keeper(sys.argv[2:]).run()
    sys.exit(status if status >= 0 else 128 - status)


main()
