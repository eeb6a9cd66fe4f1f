#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Backend `smtp` (S16, S42) against mailbox servers that people run: Dovecot's submission
service, and Postfix that asks Dovecot."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib

import smtpc
from daemon import Service, make_ca, make_cert, patience
from nexthop import NextHop
from peer_dovecot import Dovecot, postfix_sasl
from peers import Postfix
from tap import equal, ok, run, test, wait_for

STRONG = "plain login cram-md5 scram-sha-256"
UTF8 = "grün und 世界 ÿ"
USERS = {"alice@example.com": "correct horse", "bob": "o'=,\"{}\\/+", "zoë@example.com": UTF8,
         "long@example.com": "x" * 900}
TRANSPORT = ('transport "mta" {{ method = static  hosts = {{{hosts}}}  tls = opportunistic\n'
             '  ca_file = "{ca}"  helo = "front.example.com" }}')


class World:
    """A submitd that asks a mailbox server, and the server."""

    def __init__(self, stack, service):
        self.s, self.stack = service, stack

    def point(self, *ports, ca="@D@/ca.pem", host="localhost", backend=""):
        hosts = ", ".join(f'"{host}:{p}"' for p in ports)
        self.s.write_conf(
            backend='backend "mta" { type = smtp  transport = "mta"  timeout = "6s" ' + backend
                    + " }",
            mta=TRANSPORT.format(hosts=hosts, ca=ca))
        equal(self.s.reload()["verdict"], "ok")

    def login(self, user, password, mech="PLAIN"):
        c = smtpc.Client(self.s.port)
        with c:
            c.ehlo()
            c.starttls(None, smtpc.context())
            c.ehlo()
            return c.auth(user, password, mech)

    def last(self):
        return self.s.events(event="auth")[-1]


@contextlib.contextmanager
def fixture():
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(NextHop())
        s = stack.enter_context(Service(next_port=hop.port, start=False))
        w = World(stack, s)
        w.hop = hop
        key = (s.dir + "/server.pem", s.dir + "/server.key")
        w.strong = stack.enter_context(Dovecot(s.dir, USERS, *key, hop.port, STRONG))
        w.plain = stack.enter_context(Dovecot(s.dir, USERS, *key, hop.port, "plain"))
        w.cram = stack.enter_context(Dovecot(s.dir, USERS, *key, hop.port, "plain cram-md5"))
        w.old = stack.enter_context(Dovecot(s.dir, USERS, *key, hop.port, "login"))
        w.postfix = stack.enter_context(
            Postfix(s.dir, *key, extra=postfix_sasl(w.strong)))
        s.write_conf(
            auth_flow='auth_flow "people" { chain = {"mta"}  deadline = "8s" }',
            backend=f'backend "mta" {{ type = smtp  transport = "mta"  timeout = "6s" }}',
            mta=TRANSPORT.format(hosts=f'"localhost:{w.strong.port}"', ca="@D@/ca.pem"))
        s.start()
        yield w


@test("S16, S42: yes and no of a mailbox server, by each mechanism that it offers", 180)
def mechanisms(w):
    for server, name in ((w.strong, "SCRAM-SHA-256"), (w.cram, "CRAM-MD5"), (w.plain, "PLAIN"),
                         (w.old, "LOGIN")):
        w.point(server.port)
        for user, password in USERS.items():
            equal(w.login(user, password)[0], 235, f"{name}, {user}")
            equal(w.last()["backend"], "mta")
        equal(w.login("alice@example.com", "wrong")[0], 535, name)
        equal(w.login("nobody@example.com", "correct horse")[0], 535, name)
        wait_for(lambda s=server, n=name: s.logged().count("method=" + n) >= 4,
                 f"Dovecot to note {name}", patience(20))


run(fixture)
