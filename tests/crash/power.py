#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""power.py ROUNDS: what power.sh describes; needs root, a loop device and build/faults."""
import os
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

from daemon import Service, Sink, load, tool, uuids, variant     # noqa: E402
from tap import Skip, diag, wait_for                              # noqa: E402

OUT = ('transport "outside" { method = static  hosts = {"127.0.0.1:@NEXT@"}  tls = none\n'
       '  retry_delay = {1}  retry_count = 500 }')


class Disk:
    """ext4 in a file; its log is written out as seldom as possible, as if nothing helped."""

    def __init__(self, directory):
        self.image, self.mounted = directory + "/disk.img", False
        self.path = directory + "/spool"
        os.makedirs(self.path, exist_ok=True)
        with open(self.image, "wb") as f:
            f.truncate(512 << 20)
        self.run("mkfs.ext4", "-q", "-F", self.image)
        self.mount()

    @staticmethod
    def run(*command):
        r = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if r.returncode:
            raise Skip(f"{' '.join(command)}: {r.stderr.strip()}")

    def mount(self):
        self.run("mount", "-o", "loop,commit=300", self.image, self.path)
        self.mounted = True

    def renew(self):
        """A new, empty file system: after a control nothing in the old one can be trusted."""
        self.unmount()
        self.run("mkfs.ext4", "-q", "-F", self.image)
        self.mount()

    def lose_power(self):
        subprocess.run([tool("fsgone"), self.path], check=True)

    def unmount(self):
        if self.mounted:
            for _ in range(50):
                if subprocess.run(["umount", self.path], capture_output=True).returncode == 0:
                    self.mounted = False
                    return
                time.sleep(0.2)
            subprocess.run(["umount", "-l", self.path], capture_output=True)
            self.mounted = False


def stop_everything(s, signum):
    for pid in [s.p.pid, *s.children()]:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            pass


def one_round(s, disk, sync):
    """Gives (acknowledged, lost) of one power failure."""
    s.env.pop("SUBMITD_TEST_SYNC", None)
    if sync != "full":
        s.env["SUBMITD_TEST_SYNC"] = sync
    acked = f"{s.dir}/acked.{sync}"
    if os.path.exists(acked):
        os.unlink(acked)
    s.start()
    load_small = load(s, wait=False, connections=10, messages=100000, size=6000, acked=acked)
    load_large = load(s, wait=False, connections=2, messages=100000, size=400000, pause=50,
                      acked=acked)
    wait_for(lambda: len(uuids(acked)) > 500, "mail to be accepted", 60)
    time.sleep(0.7)
    stop_everything(s, signal.SIGSTOP)
    disk.lose_power()
    s.kill_all()
    for p in (load_small, load_large):
        p.terminate()
        p.communicate()
    disk.unmount()
    disk.mount()
    s.env.pop("SUBMITD_TEST_SYNC", None)
    done = set(uuids(acked))
    with Sink(s.dir, port=s.next) as sink:
        s.start()

        def lost():
            return done - {row[0] for row in sink.received()}
        last, since = len(done) + 1, time.monotonic()
        while lost() and time.monotonic() - since < 15:         # 15 s without progress
            if len(lost()) < last:
                last, since = len(lost()), time.monotonic()
            time.sleep(0.2)
        s.kill_all()
        return len(done), len(lost())


def control(s, disk, sync):
    try:
        return one_round(s, disk, sync)
    except AssertionError as e:         # not even the database was whole
        diag(f"control {sync}: {str(e)[:200]}")
        n = len(uuids(f"{s.dir}/acked.{sync}"))
        s.kill_all()
        return n, n
    finally:
        disk.renew()


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    try:
        s = Service(binary=variant("faults"), start=False, minute_ms=100, blocks={"outside": OUT})
        disk = Disk(s.dir)
    except Skip as reason:
        print(f"power: NOT RUN: {reason}\n1..0 # SKIP {reason}")
        sys.exit(77)
    failed, acknowledged = 0, 0
    try:
        for i in range(rounds):
            n, lost = one_round(s, disk, "full")
            acknowledged += n
            failed += lost > 0
            diag(f"power failure {i + 1}: {n} acknowledged, {lost} lost")
        print(f"{'not ok' if failed else 'ok'} 1 - promise 1: {rounds} power failures, "
              f"{acknowledged} messages acknowledged, all found again")
        for number, sync in ((2, "normal"), (3, "off")):
            tries = [control(s, disk, sync) for _ in range(2)]
            shown = any(lost for _, lost in tries)
            failed += not shown
            print(f"{'ok' if shown else 'not ok'} {number} - control: with sync {sync} mail is "
                  f"lost ({', '.join(f'{x} of {n}' for n, x in tries)})")
    finally:
        if s.p is not None:
            stop_everything(s, signal.SIGCONT)
            s.kill_all()
        disk.unmount()
        s.__exit__(None, None, None)
    print("1..3")
    sys.exit(1 if failed else 0)


main()
