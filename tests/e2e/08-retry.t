#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Retries: delays, 4xx and 5xx, timeouts, giving up; with minutes of milliseconds."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib

import smtpc
from daemon import USER, Service, free_port, patience, variant
from nexthop import DROP, STALL, NextHop
from tap import equal, ok, run, test, wait_for

MINUTE_MS = 2000                # the schedule looks once a second
OUT = ('transport "outside" { method = static  hosts = {"127.0.0.1:@NEXT@"}  tls = none\n'
       '  retry_delay = {1, 1, 2}  retry_count = 3  timeout = "2s"  data_timeout = "2s"\n'
       '  idle_timeout = "0s" }\n'
       'transport "discard" { method = static  hosts = {"127.0.0.1:@NEXT@"}  tls = none\n'
       '  retry_delay = {1}  retry_count = 1  on_give_up = discard }\n'
       'transport "warn" { method = static  hosts = {"127.0.0.1:@NEXT@"}  tls = none\n'
       '  retry_delay = {2}  retry_count = 30  warn_after = 4 }\n'
       'transport "dead" { method = static  hosts = {"127.0.0.1:@DEAD@"}  tls = none\n'
       '  retry_delay = {1}  retry_count = 8  warn_after = 2 }\n'
       'domain "dead.example" { transport = "dead" }\n'
       'domain "discard.example" { transport = "discard" }\n'
       'domain "warn.example" { transport = "warn" }')


@contextlib.contextmanager
def fixture():
    out = OUT.replace("@DEAD@", str(free_port()))
    with NextHop() as hop, Service(binary=variant("faults"), next_port=hop.port,
                                   minute_ms=MINUTE_MS, blocks={"outside": out}) as s:
        s.hop = hop
        yield s


def tries(s, rcpt):
    return s.events(event="delivery", to=rcpt)


def empty(s):
    wait_for(lambda: not s.queued(), "an empty queue", patience(40))


@test("S62: 4xx is tried again until it is taken")
def temporary(s):
    s.hop.rcpt["later@remote.example"] = ["451 4.2.1 later", "450 4.2.0 later", "250 2.1.5 ok"]
    smtpc.submit(s, "later@remote.example")
    s.hop.wait(1, rcpt="later@remote.example", seconds=patience(30))
    equal([r["code"] for r in wait_for(lambda: len(tries(s, "later@remote.example")) == 3
                                       and tries(s, "later@remote.example"), "three tries")],
          ["451", "450", "250"])
    equal([r["try"] for r in tries(s, "later@remote.example")], ["1", "2", "3"])


@test("S62 S63: after the first try and retry_count more the sender is told")
def give_up(s):
    s.hop.rcpt["never@remote.example"] = "451 4.2.1 never"
    smtpc.submit(s, "never@remote.example", smtpc.letter("never"))
    dsn = s.hop.wait(1, rcpt=USER, seconds=patience(40))[-1]
    equal(dsn.sender, "")
    ok(b"never@remote.example" in dsn.data and b"4.2.1 never" in dsn.data, dsn.data[:3000])
    equal(len(tries(s, "never@remote.example")), 4)


@test("S63: on_give_up = discard sends nothing")
def discard(s):
    before = len(s.hop.to(USER))
    s.hop.rcpt["x@discard.example"] = "451 4.2.1 never"
    smtpc.submit(s, "x@discard.example")
    empty(s)
    equal(len(tries(s, "x@discard.example")), 2)
    equal(len(s.hop.to(USER)), before)


@test("S62: 5xx is final at once")
def permanent(s):
    s.hop.rcpt["no@remote.example"] = "550 5.1.1 no such user here"
    smtpc.submit(s, "no@remote.example")
    wait_for(lambda: any(b"no such user here" in m.data for m in s.hop.to(USER)), "the DSN")
    equal(len(tries(s, "no@remote.example")), 1)


@test("S62: a delivered recipient is never tried again")
def mixed(s):
    s.hop.rcpt["slow@remote.example"] = ["451 4.2.1 later", "250 2.1.5 ok"]
    smtpc.submit(s, ["quick@remote.example", "slow@remote.example"])
    s.hop.wait(1, rcpt="slow@remote.example", seconds=patience(30))
    empty(s)
    equal(len(s.hop.to("quick@remote.example")), 1)
    equal(len(s.hop.to("slow@remote.example")), 1)


@test("S62: timeouts, dropped connections and nonsense are temporary, at each stage", 240)
def stages(s):
    for stage in ("BANNER", "EHLO", "MAIL", "RCPT", "DATA", "END"):
        for bad in (DROP, STALL, "421 4.3.2 closing", "xyz what"):
            if bad == STALL and stage in ("EHLO", "RCPT", "DATA"):
                continue                    # more stages of waiting show nothing new
            rcpt = f"{stage.lower()}-{len(s.hop.said)}@remote.example"
            s.hop.answers[stage] = [bad, None] if stage == "EHLO" else \
                [bad, {"BANNER": "220 hi", "DATA": "354 go"}.get(stage, "250 2.0.0 ok")]
            smtpc.submit(s, rcpt)
            s.wait_log(event="delivery", to=rcpt, verdict="temp")
            s.hop.answers.clear()
            s.run_ctl("queue", "retry", "--all")
            s.hop.wait(1, rcpt=rcpt, seconds=patience(30))
            equal(len(s.hop.to(rcpt)), 1, f"copies after {bad} at {stage}")


@test("S62: a host that cannot be reached costs no attempt of the message beyond its schedule")
def unreachable(s):
    s.hop.refuse()
    smtpc.submit(s, "wait@remote.example")
    wait_for(lambda: tries(s, "wait@remote.example") or s.events(event="destination"), "a failure")
    s.hop.answers.clear()
    s.hop.wait(1, rcpt="wait@remote.example", seconds=patience(30))


@test("D3: a delay warning after warn_after minutes, once")
def warning(s):
    s.hop.rcpt["x@warn.example"] = ["451 4.2.1 busy"] * 4 + ["250 2.1.5 ok"]
    before = len(s.hop.to(USER))
    smtpc.submit(s, "x@warn.example", smtpc.letter("delayed"))
    s.hop.wait(1, rcpt="x@warn.example", seconds=patience(40))
    empty(s)
    new = s.hop.to(USER)[before:]
    equal(len(new), 1, "warnings")
    ok(b"Action: delayed" in new[0].data, new[0].data[:2000])


@test("D3 S63: what only waits behind a dead destination is told of the delay, once, and ends")
def waits_only(s):
    before, names = len(s.hop.to(USER)), [f"w{i}@dead.example" for i in range(12)]
    for name in names:
        smtpc.submit(s, name, smtpc.letter("waiting"))
    empty(s)
    ok(any(not tries(s, n) for n in names), "all of them were tried")
    ok(any(tries(s, n) for n in names), "none of them was tried")
    new = [m.data for m in s.hop.to(USER)[before:]]
    for name in names:
        about = [d for d in new if f"rfc822;{name}".encode() in d.replace(b"; ", b";")]
        actions = ["delayed" if b"Action: delayed" in d else
                   "failed" if b"Action: failed" in d else d for d in about]
        equal(actions, ["delayed", "failed"], f"reports for {name}")


@test("S62: a restart keeps the schedule and loses nothing")
def restart(s):
    s.hop.rcpt["over@remote.example"] = ["451 4.2.1 later", "250 2.1.5 ok"]
    smtpc.submit(s, "over@remote.example")
    wait_for(lambda: tries(s, "over@remote.example"), "the first try")
    s.restart()
    s.hop.wait(1, rcpt="over@remote.example", seconds=patience(30))
    equal(len(s.hop.to("over@remote.example")), 1)


run(fixture)
