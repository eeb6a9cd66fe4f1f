#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""TLS towards mailbox servers: from the first octet (RFC 8314), and pinned certificates; deliveries
and backend `smtp`, with Postfix and Dovecot."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import shutil
import ssl
import subprocess

import smtpc
from daemon import Service, free_port, make_ca, make_cert, patience
from nexthop import NextHop
from peer_dovecot import Dovecot, postfix_sasl
from peers import Postfix
from tap import equal, ok, run, test, wait_for

USERS = {"alice@example.com": "correct horse"}
WRAPPED = "smtpd_tls_wrappermode = yes\n"
DOMAINS = ('domain "example.com" { ou = "staff"  transport = "@MTA@" }\n'
           'domain "other.example" { ou = "other"  transport = "outside" }\n'
           'domain "any" { transport = "outside" }')
BACKENDS = ('backend "mta" { type = smtp  transport = "@MTA@"  timeout = "6s" }\n'
            'backend "files" { type = file  path = "@D@/users"  allow_plain = true }')


class World:
    """A submitd whose transport "mta" is where it delivers to and where it asks for passwords."""

    def __init__(self, service):
        self.s, self.n, self.points = service, 0, 0

    def point(self, port, tls, host="localhost"):
        self.points += 1                    # each time a destination without a past
        name = f"mta{self.points}"
        self.s.write_conf(
            domains=DOMAINS.replace("@MTA@", name),
            backend=BACKENDS.replace("@MTA@", name),
            mta=f'transport "{name}" {{ method = static  hosts = {{"{host}:{port}"}}  {tls}\n'
                '  retry_delay = {1}  retry_count = 3  connect_timeout = "5s" }')
        equal(self.s.reload()["verdict"], "ok")

    def login(self, password="correct horse"):
        self.before = len(self.s.events(event="auth"))
        with smtpc.Client(self.s.port465, tls=True) as c:
            c.ehlo()
            return c.auth("alice@example.com", password)[0]

    def reason(self):
        return wait_for(lambda: self.s.events(event="auth")[self.before:], "event=auth",
                        patience(20))[-1]["reason"]

    def submit(self):
        """A message for a mailbox; gives its subject and the row of its first delivery."""
        self.n += 1
        subject = f"letter {self.n}"
        with smtpc.Client(self.s.port465, tls=True) as c:
            c.ehlo()
            equal(c.auth("bob@example.com", "battery_staple")[0], 235)
            code, text = c.message("bob@example.com", "box@example.com",
                                   smtpc.letter(subject, sender="bob@example.com"))
            equal(code, 250, text)
        mid = next(w.strip("<>.()")[-36:] for w in text.replace(",", " ").split() if "-" in w)
        return subject, self.s.wait_log(event="delivery", mid=mid)

    def delivered(self, server):
        subject, row = self.submit()
        equal(row["code"], "250", row)
        ok(row.get("tls", "").startswith("TLSv1."), row)
        wait_for(lambda: [m for m in server.messages() if subject in str(m)], "the mailbox",
                 patience(20))

    def deferred(self, why):
        _, row = self.submit()
        equal(row["esc"], "4.7.5", row)
        ok(why in str(row), row)


@contextlib.contextmanager
def fixture():
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(NextHop())
        s = stack.enter_context(Service(next_port=hop.port, start=False))
        w = World(s)
        key = (s.dir + "/server.pem", s.dir + "/server.key")
        w.dovecot = stack.enter_context(
            Dovecot(s.dir, USERS, *key, hop.port, "plain", implicit=True))
        for name in ("named", "other"):
            os.mkdir(f"{s.dir}/{name}")
        w.postfix = stack.enter_context(
            Postfix(s.dir, *key, extra=WRAPPED + postfix_sasl(w.dovecot, "encrypt")))
        named = make_cert(s.dir, "imap", "imap.example.com")
        w.named = stack.enter_context(
            Postfix(s.dir + "/named", *named, extra=WRAPPED + postfix_sasl(w.dovecot)))
        # what a stranger gets who can have certificates for that name from somebody
        make_ca(s.dir + "/other")
        twin = make_cert(s.dir + "/other", "twin", "mail.example.com", "localhost")
        w.twin = stack.enter_context(
            Postfix(s.dir + "/other", *twin, extra=postfix_sasl(w.dovecot)))
        s.write_conf(
            domains=DOMAINS.replace("@MTA@", "mta"), inside="",
            backend=BACKENDS.replace("@MTA@", "mta"),
            auth_flow='auth_flow "people" { chain = {"mta", "files"}  deadline = "8s"\n'
                      '  on_unavailable = next }',
            mta='transport "mta" { method = static  hosts = {"localhost:1465"}  tls = implicit }')
        s.users = {"bob@example.com": "battery_staple"}
        with open(s.dir + "/users", "w") as f:
            f.write("bob@example.com battery_staple\n")
        s.start()
        yield w


@test("RFC 8314 S42: logins on a port that begins with TLS: Dovecot, Postfix in wrapper mode", 120)
def logins(w):
    for server in (w.dovecot.implicit_port, w.postfix.port):
        w.point(server, 'tls = implicit  ca_file = "@D@/ca.pem"')
        equal(w.login(), 235)
        equal(w.login("wrong"), 535)


@test("RFC 8314 S65: deliveries begin with TLS", 120)
def deliveries(w):
    w.point(w.postfix.port, 'tls = implicit  ca_file = "@D@/ca.pem"')
    w.delivered(w.postfix)
    w.delivered(w.postfix)


@test("RFC 8314: a certificate for another name, of another authority: 454, and mail waits", 120)
def wrong(w):
    w.point(w.named.port, 'tls = implicit  ca_file = "@D@/ca.pem"')
    equal(w.login(), 454)
    ok("certificate" in w.reason() and "ostname mismatch" in w.reason(), w.reason())
    w.deferred("ostname mismatch")
    w.point(w.named.port, 'tls = implicit  ca_file = "@D@/ca.pem"', host="127.0.0.1")
    equal(w.login(), 235)
    w.point(w.postfix.port, 'tls = implicit  ca_file = "@D@/other/ca.pem"')
    equal(w.login(), 454)
    ok("certificate" in w.reason(), w.reason())
    w.deferred("certificate")
    equal(len(w.named.messages()), 0)


@test("RFC 8314: a server that wants STARTTLS, one that never begins: unavailable", 120)
def not_implicit(w):
    w.point(w.twin.port, 'tls = implicit  ca_file = "@D@/ca.pem"')
    equal(w.login(), 454)
    w.deferred("TLS")
    with NextHop() as mute:
        mute.answers["BANNER"] = ["stall"]
        w.point(mute.port, 'tls = implicit  timeout = "2s"  ca_file = "@D@/ca.pem"')
        equal(w.login(), 454)
        _, row = w.submit()
        ok(row["esc"].startswith("4."), row)
        ok("timeout" in str(row), row)
    # and the other way round: STARTTLS asked of a port that begins with TLS
    w.point(w.postfix.port, 'tls = require_verify  timeout = "2s"  ca_file = "@D@/ca.pem"')
    equal(w.login(), 454)


@test("S65: pinned: exactly that certificate; another's good name is nothing", 180)
def pinned_leaf(w):
    shutil.copy(w.s.dir + "/imap.pem", w.s.dir + "/pin.pem")
    for tls, host in (("implicit", "localhost"), ("implicit", "127.0.0.1")):
        w.point(w.named.port, f'tls = {tls}  pinned = {{"@D@/pin.pem"}}', host)
        equal(w.login(), 235)
        w.delivered(w.named)
    w.point(w.postfix.port, 'tls = implicit  pinned = {"@D@/pin.pem"}')
    equal(w.login(), 454)
    ok("none of those that are pinned" in w.reason(), w.reason())
    w.deferred("none of those that are pinned")
    said = w.s.wait_log(event="backend", level="error", backend="mta", state="misconfigured")
    ok("certificate" in said["text"], said)
    # by STARTTLS: the twin has the right name, of an authority that is trusted elsewhere
    w.point(w.twin.port, 'tls = require_verify  ca_file = "@D@/other/ca.pem"')
    equal(w.login(), 235)
    w.point(w.twin.port, 'tls = require_verify  pinned = {"@D@/server.pem"}')
    equal(w.login(), 454)
    ok("none of those that are pinned" in w.reason(), w.reason())
    w.deferred("none of those that are pinned")
    w.point(w.twin.port, 'tls = require_verify  pinned = {"@D@/server.pem", "@D@/other/twin.pem"}')
    equal(w.login(), 235)
    w.delivered(w.twin)


@test("S65: pinned: an authority: its certificates pass, with the right name only", 120)
def pinned_ca(w):
    w.point(w.postfix.port, 'tls = implicit  pinned = {"@D@/ca.pem"}')
    equal(w.login(), 235)
    w.delivered(w.postfix)
    w.point(w.named.port, 'tls = implicit  pinned = {"@D@/ca.pem"}')
    equal(w.login(), 454)
    ok("ostname mismatch" in w.reason(), w.reason())
    w.point(w.twin.port, 'tls = require_verify  pinned = {"@D@/ca.pem"}')
    equal(w.login(), 454)
    ok("none of those that are pinned" in w.reason(), w.reason())


@test("S65: pins change with a reload; one that cannot be read leaves all as it was", 180)
def rotated(w):
    pin = w.s.dir + "/pin.pem"
    shutil.copy(w.s.dir + "/imap.pem", pin)
    w.point(w.postfix.port, 'tls = implicit  pinned = {"@D@/pin.pem"}')
    equal(w.login(), 454)
    _, row = w.submit()
    equal(row["esc"], "4.7.5", row)
    # both for a while, as one does it
    with open(pin, "a") as f, open(w.s.dir + "/server.pem") as g:
        f.write(g.read())
    equal(w.login(), 454, "files are read when it starts")
    equal(w.s.reload()["verdict"], "ok")
    equal(w.login(), 235)
    w.point(w.postfix.port, 'tls = implicit  pinned = {"@D@/pin.pem"}')
    w.delivered(w.postfix)
    with open(pin, "w") as f:
        f.write("-----BEGIN CERTIFICATE-----\nrubbish\n")
    equal(w.s.reload()["verdict"], "refused")
    equal(w.login(), 235)
    shutil.copy(w.s.dir + "/server.pem", pin)
    equal(w.s.reload()["verdict"], "ok")
    equal(w.login(), 235)
    w.point(w.named.port, 'tls = implicit  pinned = {"@D@/pin.pem"}')
    equal(w.login(), 454)


@test("submitd -t names pins that are none, and old ones")
def config(w):
    def judge(pinned):
        w.s.write_conf(domains=DOMAINS.replace("@MTA@", "mta"),
                       backend=BACKENDS.replace("@MTA@", "mta"),
                       mta='transport "mta" { method = static  hosts = {"localhost:'
                           f'{w.postfix.port}"}}  tls = implicit  pinned = {{{pinned}}} }}')
        r = subprocess.run([w.s.binary, "-t", "-f", w.s.conf], capture_output=True, text=True,
                           env=w.s.env, stdin=subprocess.DEVNULL, timeout=patience(60))
        return r.returncode, r.stdout + r.stderr
    with open(w.s.dir + "/none.pem", "w") as f:
        f.write("good morning\n")
    for name, want in (("none.pem", "there is no certificate in it"),
                       ("missing.pem", "No such file")):
        code, said = judge(f'"@D@/{name}"')
        equal(code, 1, said)
        ok('transport "mta": pinned: ' in said and want in said, said)
    code, said = judge('"@D@/server.pem"')
    equal(code, 0, said)


run(fixture)
