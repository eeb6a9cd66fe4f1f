#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Delivery to fixed hosts: Postfix and aiosmtpd, order, fail-over, TLS, old servers."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib

import peers
import smtpc
from daemon import USER, Service, free_port, make_cert
from nexthop import NextHop
from tap import equal, ok, run, test, wait_for

FAST = "retry_delay = {1}  retry_count = 3  connect_timeout = \"2s\""


@contextlib.contextmanager
def fixture():
    """Each test's recipients have their own domain and transport."""
    s = Service(start=False)
    with contextlib.ExitStack() as stack:
        s.stack = stack
        stack.enter_context(s)
        s.domains = s.blocks["domains"]
        yield s


def route(s, domain, hosts, more=""):
    s.write_conf(**{domain: f'domain "{domain}" {{ transport = "{domain}" }}\n'
                    f'transport "{domain}" {{ method = static  hosts = {{{hosts}}}\n'
                    f'  {FAST} {more} }}'})
    if s.p is None:
        s.start()
    else:
        s.reload()


def hop_at(hop):
    return f'"127.0.0.1:{hop.port}"'


@test("S59: Postfix as next hop, with opportunistic STARTTLS")
def postfix(s):
    with peers.Postfix(s.dir, cert=s.dir + "/server.pem", key=s.dir + "/server.key") as p:
        route(s, "postfix.example", hop_at(p))
        with smtpc.login(s) as c:
            for i in range(5):
                equal(c.message(USER, ["a@postfix.example", "b@postfix.example"],
                                smtpc.letter(f"to Postfix {i}", body=".dot\r\n"))[0], 250)
        # the recipients of a message are copies of one delivery each
        wait_for(lambda: len(p.messages()) == 10, f"Postfix: {p.log()[-600:]}")
        m = peers.parse(p.messages()[0])
        ok("TLS" in m.get_all("Received")[0] or "ESMTPS" in m.get_all("Received")[0],
           f"TLS to Postfix: {m.get_all('Received')[0]}")
        equal(m.get_content(), ".dot\n")


@test("S59: aiosmtpd as next hop")
def aiosmtpd(s):
    with peers.Aiosmtpd(s.dir) as a:
        route(s, "aio.example", hop_at(a))
        smtpc.submit(s, "x@aio.example", smtpc.letter("to aiosmtpd"))
        m = peers.parse(wait_for(a.messages, "aiosmtpd")[0])
        equal((m["Subject"], m["X-RcptTo"]), ("to aiosmtpd", "x@aio.example"))


@test("S77: the first willing host of a list takes the mail")
def failover(s):
    with NextHop() as closed, NextHop() as good:
        closed.answers["BANNER"] = "421 4.3.2 not now"
        route(s, "fail.example", f'"127.0.0.1:{free_port()}", {hop_at(closed)}, {hop_at(good)}')
        smtpc.submit(s, "x@fail.example", smtpc.letter("third host"))
        good.wait(1)
        equal(closed.messages, [])


@test("S77: order = numeric tries the lowest address first")
def numeric(s):
    with NextHop("127.0.0.3") as high, NextHop("127.0.0.2") as low:
        route(s, "numeric.example",
              f'"127.0.0.3:{high.port}", "127.0.0.2:{low.port}"', "order = numeric")
        smtpc.submit(s, "x@numeric.example")
        low.wait(1)
        equal(high.messages, [])


@test("S78: connections are reused, recipients of one destination share a transaction")
def reuse(s):
    with NextHop() as hop:
        route(s, "reuse.example", hop_at(hop))
        with smtpc.login(s) as c:
            for i in range(30):
                c.message(USER, [f"r{k}@reuse.example" for k in range(20)], smtpc.letter(f"n {i}"))
        hop.wait(30)
        ok(all(len(m.rcpts) == 20 for m in hop.messages), "20 recipients each")
        ok(hop.sessions <= 10, f"{hop.sessions} connections for 30 messages")


@test("S62: no more connections to a destination than per_domain allows")
def per_domain(s):
    with NextHop() as hop:
        hop.answers["END"] = "250 2.0.0 ok"
        route(s, "limited.example", hop_at(hop), "per_domain = 2")
        with smtpc.login(s) as c:
            for i in range(40):
                c.message(USER, "x@limited.example", smtpc.letter(f"n {i}"))
        hop.wait(40)
        ok(hop.most_open <= 2, f"{hop.most_open} connections at once")


@test("S65: tls = require_verify delivers to a good certificate only")
def verify(s):
    cert = make_cert(s.dir, "hop", "localhost")
    with NextHop(cert=cert) as good, NextHop() as clear:
        tls = f'tls = require_verify  ca_file = "{s.dir}/ca.pem"'
        route(s, "verified.example", f'"localhost:{good.port}"', tls)
        smtpc.submit(s, "x@verified.example")
        ok(good.wait(1)[0].tls, "delivered over TLS")
        route(s, "clear.example", hop_at(clear), tls)
        smtpc.submit(s, "x@clear.example")
        wait_for(lambda: [r for r in s.events(event="delivery", to="x@clear.example")
                          if not r.get("code", "").startswith("2")], "the refusal in the log")
        equal(clear.messages, [])


@test("P6: servers without extensions: HELO only, no PIPELINING, no 8BITMIME, no SIZE")
def old(s):
    with NextHop(extensions=()) as hop:
        hop.answers["EHLO"] = "502 5.5.1 what?"
        route(s, "old.example", hop_at(hop))
        smtpc.submit(s, ["x@old.example", "y@old.example"], smtpc.letter("to an old server"))
        m = hop.wait(1)[0]
        equal((sorted(m.rcpts), m.params.strip()), (["x@old.example", "y@old.example"], ""))


@test("P6: what is sent on is dot-stuffed and ends in CRLF, whatever the size")
def stuffing(s):
    with NextHop() as hop:
        route(s, "dots.example", hop_at(hop))
        for n, size in enumerate((10, 4095, 4096, 65535, 65536, 65537, 262143, 262144, 600000)):
            line = b".." + b"z" * 61 + b"\r\n"
            body = line * (size // len(line)) + b"." * max(0, size % len(line) - 2) + b"\r\n"
            smtpc.submit(s, f"r{n}@dots.example",
                         smtpc.letter(f"size {size}", body="").encode() + body)
            m = hop.wait(1, rcpt=f"r{n}@dots.example")[0]
            ok(m.data.endswith(b"\r\n\r\n" + body), f"body of {size}")


run(fixture)
