#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""kills.py [--tap] [--seed S] [--only moment|call] N

Promise 1, tried N times: queue, deliver, front and the whole service are killed with -9
under load, half of the time at a random moment, half of the time at a certain call into the
file system (SUBMITD_FS_FAULT; also calls that fail with ENOSPC and EIO). The load generator
writes down each UUID that got a 250, the sink each that it took. In the end every
acknowledged message must have arrived or be the subject of a DSN; copies are counted and
must stay within what promise 1 allows: 16 statuses a connection for each kill. The audit
record has each acknowledged message, none twice, and verifies (A2, A4).
"""
import argparse
import collections
import json
import os
import random
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

from daemon import USER, Service, Sink, load, patience, uuids, variant   # noqa: E402
from tap import Skip, diag, wait_for                                     # noqa: E402

PER_DOMAIN = 4
PERMFAIL = 4
DOMAINS = 300
OUT = ('transport "outside" { method = static  hosts = {"127.0.0.1:@NEXT@"}  tls = none\n'
       f'  retry_delay = {{1}}  retry_count = 500  per_domain = {PER_DOMAIN} }}\n')
INSIDE = OUT.replace("outside", "inside")


def is_refused(address):
    """As smtpsink draws --permfail."""
    h = 5381
    for b in address.encode():
        h = (h * 33 + b) & 0xffffffff
    return h % 100 < PERMFAIL


def recipients(uuid):
    """Whom smtpload sent the message to: its number is the end of the UUID."""
    number = int(uuid[-12:], 16)
    return [f"u{i}@d{(number + i) % DOMAINS}.example.net" for i in range(2)]


class Campaign:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kills = collections.Counter()
        self.s = Service(binary=variant("faults"), start=False, minute_ms=200,
                         blocks={"outside": OUT, "inside": INSIDE})
        assert not is_refused(USER)
        self.sink = Sink(self.s.dir, "--tempfail", "3", "--permfail", str(PERMFAIL), "--dotfail",
                         "2", "--drop", "1")
        self.s.next = self.sink.port
        self.s.write_conf()
        self.acked_path = self.s.dir + "/acked"

    def acked(self):
        return len(uuids(self.acked_path))

    def start_load(self, **options):
        usual = dict(connections=8, per_connection=15, messages=10000000, size=3000, rcpts=2,
                     domains=DOMAINS, pause=20, timeout=20, acked=self.acked_path)
        usual.update(options)
        return load(self.s, "--retry", wait=False, **usual)

    # ---- at a moment ---------------------------------------------------------------------------

    def at_moments(self, n):
        self.s.start()
        loads = [self.start_load(), self.start_load(connections=1, size=400000, pause=200)]
        try:
            for i in range(n):
                before, end = self.acked(), time.monotonic() + patience(20)
                while self.acked() < before + 5 and time.monotonic() < end:
                    time.sleep(0.02)
                if self.acked() < before + 5:
                    raise AssertionError(f"no mail was taken any more after {dict(self.kills)}\n"
                                         + self.s.tell())
                time.sleep(self.random.random() * 0.3)
                self.kill(("queue", "deliver", "front", "service")[i % 4])
        finally:
            for p in loads:
                p.terminate()
                p.communicate()

    def kill(self, what):
        if what == "service":
            self.s.kill_all()
            self.s.start()
        else:
            pids = wait_for(lambda: self.s.roles().get(what), f"a {what} process", 30)
            os.kill(self.random.choice(pids), signal.SIGKILL)
        self.kills[what] += 1

    # ---- at a call -----------------------------------------------------------------------------

    def at_calls(self, n):
        """Call by call from the first one, and some further away."""
        kinds = ("die:%d", "after:%d", "fail:%d:ENOSPC", "die:%d", "after:%d", "fail:%d:EIO")
        for i in range(n):
            call = i + 1 if i < n * 2 // 3 else self.random.randrange(1, 600)
            self.at_call(kinds[i % len(kinds)] % call)

    def at_call(self, fault):
        s = self.s
        s.env.update(SUBMITD_FS_FAULT=fault, SUBMITD_FS_FAULT_ROLE="queue")
        seen = len(s.events(event="process", role="queue", signal=9))
        before = self.acked()
        s.start(wait=False)
        p = self.start_load(connections=4, per_connection=5, pause=0, duration=3, messages=120,
                            size=2000 if self.random.random() < 0.8 else 300000)

        def done():
            return (p.poll() is not None or s.p.poll() is not None
                    or len(s.events(event="process", role="queue", signal=9)) > seen)
        try:
            wait_for(done, "the fault", patience(10))
            time.sleep(self.random.random() * 0.2)
        finally:
            del s.env["SUBMITD_FS_FAULT"]
            p.terminate()
            p.communicate()
            s.kill_all()
        self.kills[fault.split(":")[0] + " at a call"] += 1
        s.start()
        self.drained(60, f"after {fault} ({self.acked() - before} acknowledged under it)")
        s.kill_all()
        self.kills["service"] += 1

    # ---- in the end ----------------------------------------------------------------------------

    def lost(self):
        """Acknowledged UUIDs of which a recipient has neither the mail nor its DSN."""
        copies, dsns = self.received()
        return [u for u in uuids(self.acked_path)
                for r in recipients(u)
                if not (dsns[u] if is_refused(r) else copies.get(u, {}).get(r))]

    def received(self):
        copies, dsns = {}, collections.Counter()
        for uuid, kind, rcpts in self.sink.received():
            if kind == "dsn":
                dsns[uuid] += 1
                continue
            for r in rcpts:
                copies.setdefault(uuid, collections.Counter())[r] += 1
        return copies, dsns

    def drained(self, seconds, when):
        try:
            wait_for(lambda: not self.lost(), "all acknowledged messages to arrive",
                     patience(seconds), step=0.3)
        except AssertionError:
            self.s.keep = True
            lost = self.lost()
            raise AssertionError(f"{len(lost)} acknowledged messages are lost {when}: "
                                 f"{lost[:5]}\n{self.s.tell()}") from None

    def unrecorded(self):
        """Acknowledged messages without an audit record, and mids that have two."""
        ids, mids = set(), collections.Counter()
        with open(self.s.dir + "/audit.log", "rb") as f:
            for line in f:
                try:
                    r = json.loads(line)
                except ValueError:
                    continue                    # torn by a kill; verify looks at it
                if r.get("kind") == "accept":
                    ids.add(r.get("message_id", "").strip("<>").split("@")[0])
                    mids[r["mid"]] += 1
        return (sorted(set(uuids(self.acked_path)) - ids), [m for m, n in mids.items() if n > 1])

    def recorded(self):
        """What is wrong with the audit record; empty: nothing."""
        try:
            wait_for(lambda: not self.unrecorded()[0], "all records", patience(60), step=0.3)
        except AssertionError:
            pass
        missing, doubles = self.unrecorded()
        r = self.s.run_ctl("audit", "verify")
        wrong = ([f"{len(missing)} without a record: {missing[:3]}"] if missing else []) + (
            [f"{len(doubles)} recorded twice: {doubles[:3]}"] if doubles else [])
        if r.returncode:
            wrong.append(f"verify: {r.stdout[-600:]}{r.stderr}")
        if wrong:
            self.s.keep = True
        return "; ".join(wrong)

    def verdict(self):
        if self.s.p is None:
            self.s.start()
        self.drained(120, "in the end")
        wait_for(lambda: not self.s.queued(), "an empty queue", patience(60), step=0.2)
        copies, dsns = self.received()
        extra = sum(k - 1 for c in copies.values() for k in c.values() if k > 1)
        extra_dsn = sum(k - 1 for k in dsns.values() if k > 1)
        kills = sum(self.kills.values())
        return {"kills": kills, "by": dict(self.kills), "acknowledged": self.acked(), "lost": 0,
                "arrived": len(copies), "copies": extra, "dsn": len(dsns), "dsn_copies": extra_dsn,
                "copies_allowed": kills * 16 * PER_DOMAIN,
                "foreign": sum(len(u) != 36 for u in copies), "audit": self.recorded()}


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--tap", action="store_true")
    a.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    a.add_argument("--only", choices=("moment", "call"))
    a.add_argument("n", type=int)
    o = a.parse_args()
    if o.tap:
        print("1..4")
    diag(f"seed {o.seed}")
    start = time.monotonic()
    try:
        c = Campaign(o.seed)
    except Skip as reason:
        if o.tap:
            for i in range(1, 5):
                print(f"ok {i} # SKIP {reason}")
        print(f"# kills: cannot run: {reason}")
        sys.exit(0 if o.tap else 1)
    bad, result = None, None
    try:
        with c.sink, c.s:
            calls = {"moment": 0, "call": o.n}.get(o.only, o.n // 2)
            if o.n - calls:
                c.at_moments(o.n - calls)
                c.drained(120, "after the kills at a moment")
                c.s.kill_all()
            c.at_calls(calls)
            result = c.verdict()
    except AssertionError as e:
        bad = str(e)
        diag(bad)
    good = (result is not None, result is not None and result["copies"] <= result["copies_allowed"],
            result is not None and result["foreign"] == 0,
            result is not None and result["audit"] == "")
    if o.tap:
        what = ("every acknowledged message arrived", "copies only within the window of promise 1",
                "nothing arrived that was not sent",
                "A2 A4: the audit record has each message once, and verifies")
        for i in range(4):
            print(f"{'ok' if good[i] else 'not ok'} {i + 1} - promise 1: {what[i]}")
    seconds = time.monotonic() - start
    print(f"{'# ' if o.tap else ''}kills: "
          + (json.dumps(result) if result else f"FAILED after {dict(c.kills)}")
          + f" in {seconds:.0f} s, seed {o.seed}")
    sys.exit(0 if all(good) else 1)


main()
