#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""SMTPUTF8 (RFC 6531): addresses and headers, next hops without it, DSNs."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib

import peers
import smtpc
from daemon import USER, Service, patience
from nexthop import NextHop
from tap import equal, ok, run, test, wait_for

ASCII_ONLY = ["PIPELINING", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES"]


@contextlib.contextmanager
def fixture():
    with NextHop() as hop, NextHop(extensions=ASCII_ONLY) as old, \
            NextHop(extensions=["PIPELINING"]) as seven, \
            Service(next_port=hop.port, users={"jörg@example.com": "umlaut"}, start=False) as s:
        s.write_conf(**{name: f'domain "{name}.example" {{ transport = "{name}" }}\n'
                        f'transport "{name}" {{ method = static\n'
                        f'  hosts = {{"127.0.0.1:{h.port}"}} }}'
                        for name, h in (("old", old), ("seven", seven))},
                    more='domain "bücher.example" { transport = "old" }')
        s.start()
        s.hop, s.old, s.seven = hop, old, seven
        yield s


@test("P4: a UTF-8 sender, recipient and header are delivered to a hop that has SMTPUTF8")
def utf8(s):
    with smtpc.login(s, "jörg@example.com") as c:
        equal(c.message("jörg@example.com", "δοκιμή@παράδειγμα.example",
                        smtpc.letter("Grüße", sender="jörg@example.com"),
                        mail_params=" SMTPUTF8")[0], 250)
    m = wait_for(lambda: [x for x in s.hop.messages if "δοκιμή" in str(x.rcpts)], "the message")[0]
    equal(m.sender, "jörg@example.com")
    ok("SMTPUTF8" in m.params, m.params)
    ok("Subject: Grüße".encode() in m.data, m.data)


@test("P4: non-ASCII addresses without SMTPUTF8 are refused")
def without(s):
    with smtpc.login(s) as c:
        code, text = c.message("jörg@example.com", "x@remote.example", smtpc.letter())
        ok(code in (550, 553, 501), f"{code} {text}")
        c.cmd("RSET")
        c.cmd(f"MAIL FROM:<{USER}>")
        code, text = c.cmd("RCPT TO:<jörg@remote.example>")
        ok(code in (550, 553, 501), f"{code} {text}")


@test("P4: a hop without SMTPUTF8: the sender is told with 5.6.7, the message is not mangled")
def old_hop(s):
    with smtpc.login(s) as c:
        equal(c.message(USER, "jörg@old.example", smtpc.letter("for an old hop"),
                        mail_params=" SMTPUTF8")[0], 250)
    dsn = s.hop.wait(1, rcpt=USER, seconds=patience(30))[-1]
    equal(s.old.messages, [])
    m = peers.parse(dsn.data)
    equal(m.get_content_type(), "multipart/report")
    ok(b"5.6.7" in dsn.data, dsn.data[:3000])
    ok("jörg@old.example".encode() in dsn.data or b"j\\x{F6}rg@old.example" in dsn.data,
       dsn.data[:3000])


@test("P4: a hop without SMTPUTF8 gets IDN domains as A-labels; only what needs more comes back")
def idn(s):
    before = len(s.hop.to(USER))
    with smtpc.login(s) as c:
        for line in (f"MAIL FROM:<{USER}> SMTPUTF8", "RCPT TO:<idn@bücher.example>",
                     "RCPT TO:<jörg@bücher.example>", "RCPT TO:<plain@old.example>"):
            equal(c.cmd(line)[0], 250, line)
        equal(c.cmd("DATA")[0], 354)
        equal(c.cmd(smtpc.letter("to books").encode() + b".")[0], 250)
    m = s.old.wait(1, rcpt="idn@xn--bcher-kva.example", seconds=patience(30))[-1]
    equal(sorted(m.rcpts), ["idn@xn--bcher-kva.example", "plain@old.example"])
    ok("SMTPUTF8" not in m.params and all(b < 128 for b in m.data), m.data)
    dsn = wait_for(lambda: s.hop.to(USER)[before:], "the DSN", patience(30))[-1].data
    ok(b"5.6.7" in dsn and dsn.count(b"Final-Recipient") == 1, dsn[:3000])
    # alone, its own Received must not bring the domain back as it was
    smtpc.submit(s, "alone@bücher.example", mail_params=" SMTPUTF8")
    m = s.old.wait(1, rcpt="alone@xn--bcher-kva.example", seconds=patience(30))[-1]
    ok(b"for <alone@xn--bcher-kva.example>" in m.data, m.data)
    # a header that needs it comes back
    smtpc.submit(s, "header@bücher.example", smtpc.letter("Grüße"), mail_params=" SMTPUTF8")
    wait_for(lambda: len(s.hop.to(USER)) > before + 1, "the second DSN", patience(30))
    equal(s.old.to("header@xn--bcher-kva.example"), [])


@test("P4: SMTPUTF8 given but not needed: delivered to a hop without it")
def not_needed(s):
    smtpc.submit(s, "plain@old.example", mail_params=" SMTPUTF8")
    ok("SMTPUTF8" not in s.old.wait(1, rcpt="plain@old.example")[0].params, "the parameter")


@test("P4: an 8-bit body to a hop without 8BITMIME is not sent as it is")
def seven_bit(s):
    smtpc.submit(s, "eight@seven.example", smtpc.letter("eight", body="").encode() +
                 "Grüße\r\n".encode(), mail_params=" BODY=8BITMIME")
    wait_for(lambda: s.seven.to("eight@seven.example") or
             any(b"eight@seven.example" in m.data for m in s.hop.to(USER)), "a delivery or a DSN",
             patience(30))
    for m in s.seven.to("eight@seven.example"):
        ok(all(b < 128 for b in m.data), "7-bit only")


run(fixture)
