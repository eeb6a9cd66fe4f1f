#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Hostile clients: silence in each state, vanishing in DATA, floods; others notice nothing."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import socket

import smtpc
from daemon import USER, Service, patience
from nexthop import NextHop
from tap import equal, ok, run, test, wait_for

LIMIT = ('limit "normal" { max_per_address = 60  max_messages = 5  max_commands = 200\n'
         '  command_timeout = "2s"  data_timeout = "2s"  tls_timeout = "2s"\n'
         '  login_timeout = "6s" }')


@contextlib.contextmanager
def fixture():
    with NextHop() as hop, Service(next_port=hop.port, blocks={"limit": LIMIT}) as s:
        s.hop = hop
        yield s


def transaction(c, *more):
    c.cmd(f"MAIL FROM:<{USER}>")
    c.cmd("RCPT TO:<vanished@remote.example>")
    for line in more:
        c.send(line)


def states(s):
    """Sessions in each state; the client says nothing more."""
    yield "greeting", smtpc.Client(s.port)
    c = smtpc.Client(s.port)
    c.ehlo()
    yield "EHLO", c
    c = smtpc.Client(s.port)
    c.ehlo()
    c.cmd("STARTTLS")
    yield "handshake", c
    c = smtpc.Client(s.port465, tls=True)
    c.ehlo()
    c.cmd("AUTH LOGIN")
    yield "AUTH", c
    yield "half a line", half(s)
    c = smtpc.login(s)
    c.cmd(f"MAIL FROM:<{USER}>")
    yield "MAIL", c
    c = smtpc.login(s)
    transaction(c)
    yield "RCPT", c
    c = smtpc.login(s)
    transaction(c, "DATA\r\nSubject: half\r\n\r\nhalf a mess")
    yield "DATA", c
    c = smtpc.login(s)
    transaction(c, "BDAT 1000\r\nSubject: half\r\n")
    yield "BDAT", c


def half(s):
    c = smtpc.Client(s.port)
    c.send("EHL")
    return c


@test("P7: silence in each state ends the session at its time limit", 120)
def stall(s):
    sessions = list(states(s))
    smtpc.submit(s)                                 # others notice nothing
    for name, c in sessions:
        ok(c.closed(patience(20)), f"silence at {name}")
        c.close()
    equal(s.hop.to("vanished@remote.example"), [])


@test("P7: clients that vanish in each state leave nothing behind")
def vanish(s):
    for _, c in states(s):
        c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")    # RST
        c.close()
    smtpc.submit(s)
    wait_for(lambda: s.hop.messages, "the good message")
    equal(s.hop.to("vanished@remote.example"), [])


@test("P7: a client that sends a byte now and then is ended by the login limit", 60)
def slow(s):
    with smtpc.Client(s.port) as c:
        def trickle():
            try:
                c.send("NOOP\r\n")
                c.reply()
                return False
            except (smtpc.Gone, OSError, ValueError):
                return True
        wait_for(trickle, "its end", patience(30), step=0.5)


@test("P7: a client that does not read its replies is bounded and ended", 90)
def no_reader(s):
    with smtpc.Client(s.port) as c:
        c.s.settimeout(1)
        try:
            for _ in range(2000):
                c.s.sendall(b"NOOP\r\n" * 500)
        except OSError:
            pass
        smtpc.submit(s)


@test("P7: connections of one address are bounded, the answer is 421")
def flood(s):
    sessions = []
    try:
        refused = 0
        for _ in range(150):
            try:
                c = smtpc.Client(s.port, timeout=5)
                sessions.append(c)
                refused += c.greeting[0] == 421
            except (smtpc.Gone, OSError):
                refused += 1
        # each front counts for itself: two of them take up to twice as many
        ok(refused >= 30, f"{refused} refused")
    finally:
        for c in sessions:
            c.close()
    wait_for(s.banner, "room again", patience(20))
    smtpc.submit(s)


@test("P7: messages and commands in one session are bounded")
def session_limits(s):
    with smtpc.login(s) as c:
        for _ in range(5):
            equal(c.message(USER, "x@remote.example", smtpc.letter())[0], 250)
        code, text = c.message(USER, "x@remote.example", smtpc.letter())
        ok(code in (421, 452, 450, 451), f"{code} {text}")
    with smtpc.login(s) as c:
        code = 0
        with contextlib.suppress(smtpc.Gone):
            for _ in range(400):
                code, _ = c.cmd("NOOP")
        equal(code, 421)


@test("P7: early talkers, rubbish and endless lines end their own session only", 60)
def rubbish(s):
    for data in (b"\0" * 5000, b"A" * 300000, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                 bytes(range(256)) * 200, b"EHLO x\r\n" * 3000, b"\r\n" * 5000):
        with smtpc.Client(s.port, greet=False) as c:
            with contextlib.suppress(OSError):
                c.s.sendall(data)
                c.s.shutdown(socket.SHUT_WR)
            ok(c.closed(patience(20)), f"{data[:10]!r}")
    smtpc.submit(s)


run(fixture)
