#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""What is refused: credentials, relaying, malformed and hostile input."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import base64
import contextlib
import time

import peers
import smtpc
from daemon import USER, Service, is_sanitized
from nexthop import NextHop
from tap import equal, ok, run, test, wait_for

LIMIT = ('limit "normal" { max_per_address = 1000  max_errors = 50  max_auth_failures = 3\n'
         '  command_timeout = "4s"  data_timeout = "4s"  tls_timeout = "4s" }')


@contextlib.contextmanager
def fixture():
    with NextHop() as hop, Service(next_port=hop.port, blocks={"limit": LIMIT}) as s:
        s.hop = hop
        yield s


def refused(reply, *codes, esc=None):
    code, text = reply
    ok(code in codes, f"got {code} {text}, wanted {codes}")
    ok(text.split(" ")[0].count(".") == 2, f"an enhanced code in: {code} {text}")
    if esc:
        ok(text.startswith(esc), f"got {code} {text}, wanted {esc}")


@test("S1 P3: AUTH is neither offered nor taken before TLS")
def before_tls(s):
    with smtpc.Client(s.port) as c:
        c.ehlo()
        ok("AUTH" not in c.extensions, "AUTH is not offered")
        refused(c.auth(USER, s.password()), 538, 530, 503, 502)
        refused(c.cmd("MAIL FROM:<alice@example.com>"), 530)


@test("P3: a wrong password and an unknown user get the same 535")
def wrong(s):
    replies = []
    for user, password in ((USER, "wrong"), ("nobody@example.com", "wrong"), ("nobody", "")):
        with smtpc.Client(s.port465, tls=True) as c:
            c.ehlo()
            replies.append(c.auth(user, password))
    refused(replies[0], 535, esc="5.7.8")
    equal(replies[1], replies[0])


@test("P3: wrong user and wrong password take the same time (medians within a few ms)")
def timing(s):
    def median(user):
        times = []
        for _ in range(9):
            with smtpc.Client(s.port465, tls=True) as c:
                c.ehlo()
                t = time.monotonic()
                c.auth(user, "wrong")
                times.append(time.monotonic() - t)
        return sorted(times)[4]
    a, b = median(USER), median("nobody@example.com")
    ok(abs(a - b) < (0.05 if is_sanitized() else 0.012), f"{a * 1000:.1f} and {b * 1000:.1f} ms")


@test("P3: cancelled, malformed and overlong AUTH; the session goes on or ends politely")
def auth_rubbish(s):
    with smtpc.Client(s.port465, tls=True) as c:
        c.ehlo()
        equal(c.cmd("AUTH PLAIN")[0], 334)
        refused(c.cmd("*"), 501)
        refused(c.cmd("AUTH PLAIN ====%%"), 501, 535)
    with smtpc.Client(s.port465, tls=True) as c:
        c.ehlo()
        refused(c.cmd("AUTH X-UNKNOWN"), 504)
        refused(c.cmd("AUTH"), 501)
        secret = base64.b64encode(b"\0alice@example.com\0x\0y").decode()
        refused(c.cmd("AUTH PLAIN " + secret), 501, 535)
    with smtpc.Client(s.port465, tls=True) as c:
        c.ehlo()
        refused(c.cmd("AUTH PLAIN " + "A" * 20000), 500, 501, 535)
    with smtpc.login(s) as c:
        refused(c.auth(USER, s.password()), 503)


@test("P7: too many failed logins end the session")
def auth_failures(s):
    with smtpc.Client(s.port465, tls=True) as c:
        c.ehlo()
        codes = []
        try:
            for _ in range(6):
                codes.append(c.auth(USER, "wrong")[0])
        except smtpc.Gone:
            pass
        ok(len(codes) <= 4, f"answers: {codes}")


@test("P2: bytes in clear behind STARTTLS are never executed and end the session")
def injection(s):
    with smtpc.Client(s.port) as c:
        c.ehlo()
        c.send("STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<x@example.com>\r\n")
        code, _ = c.reply()
        ok(code in (554, 220), f"got {code}")
        ok(c.closed(), "the connection is closed")
    s.wait_log(event="injection")


@test("P2: what was said before STARTTLS is forgotten")
def forgotten(s):
    with smtpc.Client(s.port25) as c:
        c.ehlo()
        equal(c.cmd("MAIL FROM:<a@remote.example>")[0], 250)
        c.cmd("RSET")
        c.starttls()
        refused(c.cmd(f"RCPT TO:<{USER}>"), 503)
        refused(c.cmd("MAIL FROM:<a@remote.example>"), 503)


@test("S2: submission without AUTH is refused")
def require_auth(s):
    with smtpc.Client(s.port465, tls=True) as c:
        c.ehlo()
        refused(c.cmd("MAIL FROM:<alice@example.com>"), 530, esc="5.7.0")


@test("S11: a foreign sender is refused, with what to do")
def foreign_sender(s):
    for sender in ("bob@example.com", "alice@other.example", "ceo@bank.example"):
        with smtpc.login(s) as c:
            refused(c.message(sender, "x@remote.example", smtpc.letter()), 550, 553, esc="5.7.1")
    s.wait_log(event="refused")


@test("S8 S11: the own address in other letters is the same address")
def own_sender(s):
    smtpc.submit(s, sender="Alice@EXAMPLE.com")


@test("S8: a user whose OU has no grant sends to internal addresses only")
def no_grant(s):
    with smtpc.login(s, "zoe@other.example") as c:
        refused(c.message("zoe@other.example", "x@remote.example", smtpc.letter()), 550,
                esc="5.7.1")
        c.cmd("RSET")
        equal(c.message("zoe@other.example", USER,
                        smtpc.letter(sender="zoe@other.example"))[0], 250)


@test("S49 S58: nobody relays unauthenticated")
def relay(s):
    with smtpc.Client(s.port25) as c:
        c.ehlo()
        for sender in ("a@remote.example", USER, ""):
            equal(c.cmd(f"MAIL FROM:<{sender}>")[0], 250)
            for rcpt in ("x@third.example", "x%third.example@example.com@third.example",
                         '"x@third.example"@other-remote.example', "@example.com:x@third.example"):
                refused(c.cmd(f"RCPT TO:<{rcpt}>"), 550, 553, 501)
            refused(c.cmd("DATA"), 503, 554)
            c.cmd("RSET")


@test("S49: nmap's smtp-open-relay finds nothing")
def nmap(s):
    peers.need("nmap")
    r = peers.run("nmap", "-Pn", "-n", "-p", str(s.port25), "--script", "smtp-open-relay",
                  "--script-args", "smtp-open-relay.domain=remote.example,"
                  "smtp-open-relay.to=x@third.example,smtp-open-relay.from=y@fourth.example",
                  "127.0.0.1", seconds=80)
    ok("open" in r.stdout, r.stdout)
    ok("is an open relay" not in r.stdout and "/16" not in r.stdout, r.stdout)


@test("P6: bare LF and bare CR in DATA are refused, nothing behind them is executed")
def bare_lf(s):
    before = len(s.hop.messages)
    for end in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\0\r\n"):
        with smtpc.login(s) as c:
            c.cmd(f"MAIL FROM:<{USER}>")
            c.cmd("RCPT TO:<x@remote.example>")
            equal(c.cmd("DATA")[0], 354)
            c.send(smtpc.letter().encode() + b"text" + end +
                   b"MAIL FROM:<alice@example.com>\r\nRCPT TO:<smuggled@remote.example>\r\n"
                   b"DATA\r\nx\r\n.\r\n")
            refused(c.reply(), 550, 554, esc="5.6.0")
    smtpc.submit(s, data=smtpc.letter("after bare LF"))
    wait_for(lambda: len(s.hop.messages) > before, "the good message")
    equal(s.hop.to("smuggled@remote.example"), [])
    equal(len(s.hop.messages), before + 1)


@test("P6: lines longer than 998 octets are refused")
def long_line(s):
    with smtpc.login(s) as c:
        refused(c.message(USER, "x@remote.example", smtpc.letter(body="x" * 999 + "\r\n")),
                550, 554, 552, 500)
        equal(c.message(USER, "x@remote.example", smtpc.letter(body="x" * 998 + "\r\n"))[0], 250)


@test("P7: commands that are too long, unknown, out of order or malformed")
def commands(s):
    with smtpc.login(s) as c:
        refused(c.cmd("NOOP " + "x" * 10000), 500, 501)
        refused(c.cmd("WIZ"), 500, 502)
        refused(c.cmd("RCPT TO:<x@remote.example>"), 503)
        refused(c.cmd("DATA"), 503)
        refused(c.cmd("MAIL FROM:alice@example.com BODY=9BIT"), 501, 555)
        refused(c.cmd("MAIL FROM:<alice@example.com> FOO=BAR"), 555, 501)
        refused(c.cmd("MAIL FROM:<alice@@example.com>"), 501, 553)
        refused(c.cmd("MAIL FROM:<alice@example.com"), 501, 553)
        refused(c.cmd(b"MAIL FROM:<\xff\xfe@example.com>"), 501, 553, 550)
        refused(c.cmd(b"MAIL FROM:<al\0ice@example.com>"), 500, 501, 553)
        equal(c.cmd(f"MAIL FROM:<{USER}>")[0], 250)
        refused(c.cmd(f"MAIL FROM:<{USER}>"), 503)
        refused(c.cmd("RCPT TO:<x@-.example>"), 501, 550, 553)
        refused(c.cmd("RCPT TO:<" + "x" * 65 + "@remote.example>"), 501, 553, 550)
        equal(c.cmd("RCPT TO:<x@remote.example>")[0], 250)
        equal(c.cmd("QUIT")[0], 221)


@test("P7: 10,000 recipients: the first 1000 are taken, 452 for the others, then it goes on")
def recipients(s):
    with smtpc.login(s) as c:
        c.cmd(f"MAIL FROM:<{USER}>")
        c.send("".join(f"RCPT TO:<r{i}@remote.example>\r\n" for i in range(10000)))
        codes = {}
        try:
            for _ in range(10000):
                code = c.reply()[0]
                codes[code] = codes.get(code, 0) + 1
        except smtpc.Gone:
            pass
        equal(codes.get(250), 1000)
        ok(set(codes) <= {250, 452, 421}, str(codes))
    smtpc.submit(s)


@test("P7: SIZE that is too large is refused at MAIL, and a lie about it at the end")
def size(s):
    with smtpc.login(s) as c:
        refused(c.cmd(f"MAIL FROM:<{USER}> SIZE=99999999"), 552, esc="5.3.4")
        c.cmd("RSET")
        equal(c.cmd(f"MAIL FROM:<{USER}> SIZE=1000")[0], 250)


@test("P7: a header without end is refused")
def header(s):
    with smtpc.login(s) as c:
        head = "".join(f"X-Field-{i}: {'y' * 900}\r\n" for i in range(400))
        refused(c.message(USER, "x@remote.example", head + "\r\nbody\r\n"), 552, 550, 554)


@test("P7: a message that has seen too many hosts loops: 5.4.6")
def hops(s):
    received = "Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\r\n" * 31
    with smtpc.login(s) as c:
        refused(c.message(USER, "x@remote.example", received + smtpc.letter()), 554, 550,
                esc="5.4.6")


@test("P7: too many errors end the session with 421")
def errors(s):
    with smtpc.Client(s.port) as c:
        code = 0
        try:
            for _ in range(200):
                code, _ = c.cmd("RUBBISH")
        except smtpc.Gone:
            pass
        equal(code, 421)


@test("P8 S36: TLS rubbish and TLS on the clear port end only that session")
def tls_rubbish(s):
    with smtpc.Client(s.port) as c:
        c.ehlo()
        c.cmd("STARTTLS")[0]
        c.s.sendall(b"\x16\x03\x01 this is not a handshake at all" * 10)
        ok(c.closed(), "the session ends")
    with smtpc.Client(s.port465, greet=False) as c:
        c.s.sendall(b"EHLO clear.example\r\n")
        ok(c.closed(), "clear text on 465")
    with smtpc.Client(s.port) as c:
        c.s.sendall(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\0" * 160 + b"\r\n")
        try:
            c.reply()
        except smtpc.Gone:
            pass
    smtpc.submit(s)


run(fixture)
