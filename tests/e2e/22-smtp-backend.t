#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Backend `smtp` (S16, S42) against mailbox servers that people run: Dovecot's submission
service, and Postfix that asks Dovecot."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import base64
import concurrent.futures
import contextlib
import re
import subprocess

import smtpc
from daemon import BINARY, TOP, Service, free_port, make_ca, make_cert, patience
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
        self.before = len(self.s.events(event="auth"))
        c = smtpc.Client(self.s.port)
        with c:
            c.ehlo()
            c.starttls(None, smtpc.context())
            c.ehlo()
            return c.auth(user, password, mech)

    def last(self):
        """What the log says of the last login."""
        return wait_for(lambda: self.s.events(event="auth")[self.before:], "event=auth",
                        patience(20))[-1]


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
        os.mkdir(s.dir + "/other")
        make_ca(s.dir + "/other")
        named = make_cert(s.dir, "named", "imap.example.com")
        w.named = stack.enter_context(Dovecot(s.dir, USERS, *named, hop.port, "plain"))
        w.postfix = stack.enter_context(
            Postfix(s.dir, *key, extra=postfix_sasl(w.strong)))
        os.mkdir(s.dir + "/second")
        w.postfix2 = stack.enter_context(
            Postfix(s.dir + "/second", *key, extra=postfix_sasl(w.cram)))
        s.write_conf(
            auth_flow='auth_flow "people" { chain = {"mta"}  deadline = "8s" }',
            backend='backend "mta" { type = smtp  transport = "mta"  timeout = "6s" }',
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


@test("S42: Postfix that asks Dovecot; mail goes on once logged in", 120)
def postfix(w):
    w.point(w.postfix.port)
    equal(w.login("alice@example.com", "correct horse")[0], 235)
    equal(w.login("bob", USERS["bob"])[0], 235)
    equal(w.last()["principal"], "bob@example.com")
    equal(w.login("alice@example.com", "correct hors")[0], 535)
    w.s.users["alice@example.com"] = "correct horse"
    smtpc.submit(w.s)
    w.hop.wait(1, 30, "x@remote.example")


@test("S42: a certificate that nobody vouches for: no password is sent, 454, an error in the log")
def wrong_ca(w):
    before = w.plain.logged().count("method=")
    w.point(w.plain.port, ca="@D@/other/ca.pem")
    equal(w.login("alice@example.com", "correct horse")[0], 454)
    ok("certificate" in w.last()["reason"], w.last())
    said = w.s.wait_log(event="backend", level="error", backend="mta",
                        state="misconfigured")
    ok("certificate" in said["text"], said)
    wait_for(lambda: "SSL_accept() failed" in w.plain.logged(), "Dovecot's note", patience(20))
    equal(w.plain.logged().count("method="), before)
    w.point(w.plain.port, ca="@D@/other/ca.pem", backend="tls = require")
    equal(w.login("alice@example.com", "correct horse")[0], 235)


@test("S42: a certificate for another name: 454")
def wrong_name(w):
    w.point(w.named.port)
    equal(w.login("alice@example.com", "correct horse")[0], 454)
    ok("certificate" in w.last()["reason"], w.last())
    w.point(w.named.port, host="127.0.0.1")     # the address stands in it
    equal(w.login("alice@example.com", "correct horse")[0], 235)


@test("C2: the server is killed in the middle: 454, and yes again when it is back", 180)
def killed(w):
    w.point(w.plain.port)
    equal(w.login("alice@example.com", "correct horse")[0], 235)
    w.plain.kill()
    for _ in range(3):
        equal(w.login("alice@example.com", "correct horse")[0], 454)
        equal(w.login("alice@example.com", "wrong")[0], 454)
    w.plain.start()
    wait_for(lambda: w.login("alice@example.com", "correct horse")[0] == 235, "a yes",
             patience(40), 0.5)
    equal(w.login("alice@example.com", "wrong")[0], 535)


@test("C2: Postfix whose Dovecot is killed says what it says, and is back with it", 180)
def sasl_killed(w):
    w.point(w.postfix2.port)
    equal(w.login("alice@example.com", "correct horse")[0], 235)
    w.cram.kill()
    # smtpd ends for want of it, or says 454: both are temporary
    equal(w.login("alice@example.com", "correct horse")[0], 454)
    w.cram.start()
    wait_for(lambda: w.login("alice@example.com", "correct horse")[0] == 235, "a yes",
             patience(60), 0.5)


@test("S42: hosts in their order: the first that answers decides, a dead one is passed over", 120)
def failover(w):
    dead = free_port()
    w.point(dead, w.plain.port)
    equal(w.login("alice@example.com", "correct horse")[0], 235)
    equal(w.login("alice@example.com", "wrong")[0], 535)
    w.strong.set_users({"alice@example.com": "another"})
    wait_for(lambda: [w.point(w.plain.port, w.strong.port),
                      w.login("alice@example.com", "another")[0]][1] == 535,
             "the first host's no", patience(20))
    w.strong.set_users(USERS)


@test("S16: logins at the same time, each with its own answer", 180)
def crowd(w):
    w.point(w.strong.port, backend="concurrency = 16")
    names = list(USERS.items()) + [("alice@example.com", "wrong"), ("nobody", "x")]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        got = list(pool.map(lambda i: (i, w.login(*names[i % len(names)])[0]), range(96)))
    for i, code in got:
        equal(code, 535 if i % len(names) >= len(USERS) else 235, names[i % len(names)][0])


@test("submitd -t says which server cannot be reached: a warning")
def reach(w):
    dead = free_port()
    w.point(dead, w.plain.port)
    r = subprocess.run([BINARY, "-t", "-f", w.s.conf], capture_output=True, text=True,
                       env=w.s.env, stdin=subprocess.DEVNULL, timeout=patience(60))
    equal(r.returncode, 0, r.stdout)
    said = [x for x in r.stdout.split("\n") if "cannot be reached now" in x]
    equal(len(said), 1, r.stdout)
    ok('warning: backend "mta": transport "mta": localhost port ' + str(dead) in said[0], said)
    ok("Connection refused" in said[0], said)


@test("C2: auth-test shows every line that was said, and *** for what AUTH carries")
def auth_test(w):
    # lines of ours behind AUTH: with a wrong password SCRAM ends after one
    for server, mech, lines_of_ours in ((w.strong, "SCRAM-SHA-256", (2, 1)),
                                        (w.old, "LOGIN", (2, 2))):
        w.point(server.port)
        for password, code in (("correct horse", 0), ("not this one", 1)):
            r = w.s.run_ctl("auth-test", "--listener", "submission", "--password-stdin",
                            "alice@example.com", text=password + "\n")
            equal(r.returncode, code, r.stdout + r.stderr)
            lines = [x.strip() for x in r.stdout.split("\n")]
            at = 0
            for want in (f"connect to localhost (127.0.0.1:{server.port})", "S: 220 ",
                         "C: EHLO front.example.com", "C: STARTTLS", "TLS: TLSv1.3",
                         "C: EHLO front.example.com", "S: 250-", f"C: AUTH {mech}",
                         "235 2.7.0" if code == 0 else "535 5.7.8", "C: QUIT"):
                found = [i for i, x in enumerate(lines) if i >= at and want in x]
                ok(found, f"{want} behind line {at} of {r.stdout}")
                at = found[0]
            ok(any("TLS TLSv1.3" in x and "CN = mail.example.com" in x for x in lines), r.stdout)
            equal(sum(x.endswith("C: ***") for x in lines), lines_of_ours[code], r.stdout)
            for secret in (password, base64.b64encode(password.encode()).decode(), "=="):
                ok(secret not in r.stdout.replace("====", ""), r.stdout)


@test("README: the ten lines of etc/submitd.conf.minimal are a working set-up", 180)
def minimal(w):
    with open(TOP + "/etc/submitd.conf.minimal", encoding="utf-8") as f:
        conf = f.read()
    with open(TOP + "/README", encoding="utf-8") as f:
        block = re.search(r"^( {4}server .*?)\n\n", f.read(), re.S | re.M)[1]
    equal(block.split(), [x for x in re.sub(r"#.*", "", conf).split()], "README")
    os.mkdir(w.s.dir + "/minimal")
    own = Service(start=False, directory=w.s.dir + "/minimal")
    for a, b in (('hostname = "mail.example.com"', f'hostname = "mail.example.com"  spool = '
                  f'"{own.dir}/spool"  control = "{own.dir}/control.sock"  '
                  f'state = "{own.dir}/state"'),
                 ("/etc/submitd/mail", own.dir + "/server"), ("0.0.0.0:587",
                                                              f"127.0.0.1:{own.port}"),
                 ("10.0.0.10:25", f"127.0.0.1:{w.postfix.port}"),
                 ("tls = require_verify", f'tls = require_verify  ca_file = "{w.s.dir}/ca.pem"'),
                 ('method = "lookup-mx"',
                  f'method = static  hosts = {{"127.0.0.1:{w.hop.port}"}}')):
        equal(conf.count(a) >= 1, True, a)
        conf = conf.replace(a, b)
    own.blocks = {"all": conf}
    own.write_conf()
    own.users["alice@example.com"] = "correct horse"
    with own:
        own.start()
        before = len(w.postfix.messages())
        smtpc.submit(own, "bob@example.com", smtpc.letter("within", rcpt="bob@example.com"))
        wait_for(lambda: len(w.postfix.messages()) > before, "the mail in the mailbox",
                 patience(40))
        smtpc.submit(own, "x@minimal.example")
        w.hop.wait(1, 40, "x@minimal.example")
        with smtpc.Client(own.port) as c:
            c.ehlo()
            c.starttls(None, smtpc.context())
            c.ehlo()
            equal(c.auth("alice@example.com", "wrong")[0], 535)


run(fixture)
