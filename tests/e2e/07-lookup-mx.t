#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Delivery by MX: order, null MX, addresses without MX, zone and query, 50 domains."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import socket

import peers
import smtpc
from daemon import USER, Service, patience
from nexthop import DROP, NextHop
from tap import equal, ok, run, test, wait_for

ZONES = {
    "mx.e2e": "@ IN MX 20 b\n@ IN MX 10 a\n@ IN MX 30 c\na IN A 127.0.0.11\n"
              "b IN A 127.0.0.12\nc IN A 127.0.0.13\n"
              "pick IN MX 10 a\npick IN MX 20 b\n"
              "null IN MX 0 .\n"
              "plain IN A 127.0.0.12\n"
              "alias IN CNAME plain\n"
              "dangling IN MX 10 nowhere\n"
              "half IN MX 10 nowhere\nhalf IN MX 20 b\n"
              "self IN MX 5 me\nself IN MX 10 b\nme IN A 127.0.0.1\n"
              "first IN MX 10 me.mail.example.com.\n"
              "xn--mnchen-3ya IN MX 10 b\n"
              "many IN MX 10 a\nmany IN MX 10 b\nmany IN MX 10 c\n"
              "empty IN TXT \"no mail\"\n",
    "suffix.e2e": "customer.remote IN MX 10 gw\ngw IN A 127.0.0.13\n",
}
N = 50


def fifty():
    rows = [f"d{i} IN MX 10 host{i}\nhost{i} IN A 127.0.1.{i + 1}\n" for i in range(N)]
    return "".join(rows)


@contextlib.contextmanager
def fixture():
    with contextlib.ExitStack() as stack:
        s = Service(start=False, env=None)
        stack.enter_context(s)
        nsd = stack.enter_context(peers.Nsd(s.dir, dict(ZONES, **{"fifty.e2e": fifty()})))
        dns = stack.enter_context(peers.Unbound(
            s.dir, stubs={z: nsd.port for z in (*ZONES, "fifty.e2e")}, silent=["silent.e2e"]))
        s.hops = {}
        port = s.next
        for name in ("127.0.0.11", "127.0.0.12", "127.0.0.13"):
            s.hops[name[-1]] = stack.enter_context(NextHop(name, port))
        s.port_mx, server = port, f"127.0.0.1:{dns.port}"
        common = (f'port = {port}  tls = none  retry_delay = {{1}}  retry_count = 2\n'
                  '  connect_timeout = "3s"')
        s.write_conf(
            outside=f'transport "outside" {{ method = "lookup-mx:query={server}"  {common} }}\n'
                    f'transport "zone" {{ method = "lookup-mx:zone=suffix.e2e;query={server}"'
                    f'  {common} }}',
            extra='domain "customer.remote" { transport = "zone" }')
        s.start()
        yield s


def failure(s, rcpt):
    """The log line of a try that did not deliver."""
    return wait_for(lambda: [r for r in s.events(event="delivery", to=rcpt)
                             if not r.get("code", "").startswith("2")], f"a failure for {rcpt}",
                    patience(40))[-1]


@test("S59: the exchanger with the lowest preference gets the mail")
def order(s):
    smtpc.submit(s, "x@mx.e2e")
    s.hops["1"].wait(1, rcpt="x@mx.e2e")


@test("S59: the next preference when the first refuses the session")
def second(s):
    s.hops["1"].answers["BANNER"] = "554 5.3.2 go away"
    smtpc.submit(s, "second@pick.mx.e2e")
    s.hops["2"].wait(1, rcpt="second@pick.mx.e2e")
    s.hops["1"].answers.clear()


@test("S59: exchangers of one preference are all used")
def shared(s):
    for i in range(40):
        smtpc.submit(s, f"many{i}@many.mx.e2e")
        if all(any("many" in str(m.rcpts) for m in h.messages) for h in s.hops.values()):
            break
    wait_for(lambda: sum("@many." in str(m.rcpts) for h in s.hops.values() for m in h.messages)
             >= i + 1, "all of them")


@test("S59: no MX: the address of the domain itself; a CNAME is followed")
def address(s):
    smtpc.submit(s, ["x@plain.mx.e2e", "x@alias.mx.e2e"])
    s.hops["2"].wait(1, rcpt="x@plain.mx.e2e")
    s.hops["2"].wait(1, rcpt="x@alias.mx.e2e")


@test("S59: null MX (RFC 7505): 556 5.1.10 at once and a DSN")
def null(s):
    smtpc.submit(s, "x@null.mx.e2e")
    ok(failure(s, "x@null.mx.e2e")["esc"] == "5.1.10", "the enhanced code")


@test("S59: a domain that does not exist is a permanent failure")
def nxdomain(s):
    smtpc.submit(s, "x@nonexistent.mx.e2e")
    ok(failure(s, "x@nonexistent.mx.e2e")["esc"].startswith("5.1."), "the enhanced code")


@test("S59: a domain without MX and address cannot take mail")
def empty(s):
    smtpc.submit(s, "x@empty.mx.e2e")
    ok(failure(s, "x@empty.mx.e2e")["esc"].startswith("5."), "a permanent failure")


@test("S59: exchangers without address are skipped; none left is a failure")
def dangling(s):
    smtpc.submit(s, "x@half.mx.e2e")
    s.hops["2"].wait(1, rcpt="x@half.mx.e2e")
    smtpc.submit(s, "x@dangling.mx.e2e")
    failure(s, "x@dangling.mx.e2e")


@test("S59: DNS without an answer is temporary, never a bounce")
def silent(s):
    smtpc.submit(s, "x@silent.e2e")
    row = failure(s, "x@silent.e2e")
    ok(row.get("esc", "4.").startswith("4."), str(row))


@test("S59: internationalized domains are looked up in ASCII form")
def idn(s):
    with smtpc.login(s) as c:
        equal(c.message(USER, "x@münchen.mx.e2e", smtpc.letter("idn"),
                        mail_params=" SMTPUTF8")[0], 250)
    wait_for(lambda: any("nchen" in str(m.rcpts) for m in s.hops["2"].messages), "the message")


@test("S60 S61: zone= appends a suffix, query= asks that server")
def zone(s):
    smtpc.submit(s, "x@customer.remote")
    s.hops["3"].wait(1, rcpt="x@customer.remote")


@test("S59: one message to 50 domains, one of them dead: 49 at once", 120)
def fifty_domains(s):
    dead = 7
    with contextlib.ExitStack() as stack:
        hops = [stack.enter_context(NextHop(f"127.0.1.{i + 1}", s.port_mx))
                for i in range(N) if i != dead]
        # the dead one takes connections and says nothing
        mute = stack.enter_context(contextlib.closing(socket.socket()))
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        mute.bind((f"127.0.1.{dead + 1}", s.port_mx))
        mute.listen(50)
        smtpc.submit(s, [f"x@d{i}.fifty.e2e" for i in range(N)])
        for h in hops:
            h.wait(1, seconds=patience(15))
        equal([len(h.messages) for h in hops], [1] * (N - 1))
        equal(s.events(event="delivery", to=f"x@d{dead}.fifty.e2e", code="250"), [])


@test("S59: a connection that is dropped in the middle is temporary")
def dropped(s):
    s.hops["1"].answers["DATA"] = DROP
    s.hops["2"].answers["DATA"] = DROP
    s.hops["3"].answers["DATA"] = DROP
    smtpc.submit(s, "dropped@mx.e2e")
    row = failure(s, "dropped@mx.e2e")
    ok(row.get("esc", "4.").startswith("4."), str(row))
    for h in s.hops.values():
        h.answers.clear()


run(fixture)
