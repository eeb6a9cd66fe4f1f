#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""BDAT, large messages, and many at the same time."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import hashlib

import smtpc
from daemon import USER, Service, Sink, load, patience, uuids
from nexthop import NextHop
from tap import equal, ok, run, test, wait_for


@contextlib.contextmanager
def fixture():
    with NextHop() as hop, Service(next_port=hop.port) as s:
        s.hop = hop
        yield s


def body_of(size):
    line = b"".join(b"%02x" % (i * 7 % 256) for i in range(38)) + b"\r\n"
    return line * (size // len(line))


@test("P4: BDAT in one piece and in many, with dots and without line ends between them")
def bdat(s):
    body = b".\r\n..\r\nend\r\n"
    for n, step in enumerate((10000, 7, 1)):
        data = smtpc.letter(f"bdat {n}", body="").encode() + body
        with smtpc.login(s) as c:
            c.cmd(f"MAIL FROM:<{USER}>")
            c.cmd(f"RCPT TO:<bdat{n}@remote.example>")
            for i in range(0, len(data), step):
                piece = data[i:i + step]
                last = i + step >= len(data)
                c.send(b"BDAT %d%s\r\n" % (len(piece), b" LAST" if last else b"") + piece)
                equal(c.reply()[0], 250)
        ok(s.hop.wait(1, rcpt=f"bdat{n}@remote.example")[0].data.endswith(body), f"step {step}")


@test("P4 P6: BDAT 0 LAST, bare LF in BDAT, DATA after BDAT, BDAT without RCPT")
def bdat_bad(s):
    with smtpc.login(s) as c:
        c.send(b"BDAT 5\r\nhello")
        equal(c.reply()[0], 503)
        c.cmd(f"MAIL FROM:<{USER}>")
        c.cmd("RCPT TO:<x@remote.example>")
        c.send(b"BDAT 10 LAST\r\nA: b\n\nc\r\n\r\n"[:24])
        ok(c.reply()[0] in (550, 554), "a bare LF")
        c.cmd("RSET")
        c.cmd(f"MAIL FROM:<{USER}>")
        c.cmd("RCPT TO:<x@remote.example>")
        c.send(b"BDAT 6\r\nA: b\r\n")
        equal(c.reply()[0], 250)
        equal(c.cmd("DATA")[0], 503)
        c.cmd("RSET")
        code, text = c.cmd("BDAT x")
        ok(code in (501, 503), f"{code} {text}")


@test("P7: 45 MiB arrive octet by octet", 300)
def large(s):
    body = body_of(45 << 20)
    with smtpc.login(s) as c:
        c.s.settimeout(patience(120))
        code, text = c.message(USER, "large@remote.example",
                               smtpc.letter("large", body="").encode() + body,
                               mail_params=f" SIZE={len(body) + 500}")
    equal(code, 250, text)
    data = s.hop.wait(1, rcpt="large@remote.example", seconds=patience(120))[0].data
    equal(hashlib.sha256(data[-len(body):]).hexdigest(), hashlib.sha256(body).hexdigest())


@test("P7: 55 MiB are refused with 552 and leave nothing behind", 300)
def too_large(s):
    with smtpc.login(s) as c:
        c.s.settimeout(patience(120))
        c.cmd(f"MAIL FROM:<{USER}>")
        c.cmd("RCPT TO:<x@remote.example>")
        equal(c.cmd("DATA")[0], 354)
        code = 0
        try:
            c.send(smtpc.letter(body="").encode() + body_of(55 << 20) + b".\r\n")
        except (smtpc.Gone, OSError):
            pass
        try:
            code, text = c.reply()
        except smtpc.Gone:
            return
        equal((code, text[:5]), (552, "5.3.4"))


@test("P1: 2000 messages over 50 connections: each arrives once", 240)
def many(s):
    acked = s.dir + "/acked"
    with Sink(s.dir) as sink:
        s.write_conf(outside='transport "outside" { method = static  retry_delay = {1}\n'
                     f'  hosts = {{"127.0.0.1:{sink.port}"}} }}')
        s.reload()
        for size, n, extra in ((10240, 2000, ()), (300000, 60, ()), (700000, 40, ("--bdat",))):
            r = load(s, *extra, connections=50, messages=n, per_connection=20, size=size,
                     rcpts=2, acked=acked)
            equal((r["ok"], r["lost"]), (n, 0), r["error"])
        wait_for(lambda: sink.stats()["messages"] >= 2100, "the sink", patience(60))
        equal(sorted(x[0] for x in sink.received()), sorted(uuids(acked)))


run(fixture)
