#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Backend `smtp` (S42, C2) against servers that hang, trickle, reset, talk rubbish or lie: what
they say is never a yes, and a no only where they said no; a stuck one costs only its own users."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import base64
import concurrent.futures
import contextlib
import socket
import struct
import time

import smtpc
from daemon import Service, patience
from peer_script import Script
from tap import equal, ok, run, test, wait_for

TIMEOUT = 2
USER, PASSWORD = "alice@example.com", "correct horse"


class World:
    def __init__(self, service):
        self.s = service
        self.cert = (service.dir + "/server.pem", service.dir + "/server.key")

    def point(self, *ports, backend="", extra=""):
        hosts = ", ".join(f'"localhost:{p}"' for p in ports)
        self.s.write_conf(
            backend=f'backend "mta" {{ type = smtp  transport = "mta"  timeout = "{TIMEOUT}s"  '
                    f'breaker_failures = 0  {backend} }}\n'
                    'backend "files" { type = file  path = "@D@/users"  allow_plain = true }',
            mta=f'transport "mta" {{ method = static  hosts = {{{hosts}}}  '
                f'ca_file = "@D@/ca.pem"  {extra} }}')
        equal(self.s.reload()["verdict"], "ok")

    def login(self, user=USER, password=PASSWORD, port=None):
        with smtpc.Client(port or self.s.port) as c:
            c.ehlo()
            c.starttls(None, smtpc.context())
            c.ehlo()
            return c.auth(user, password)[0]

    def ask(self, script, *, second=None, **options):
        """The code that a client gets with a server that does that, and the reason in the log."""
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Script(x, self.cert)) for x in (script, second) if x]
            self.point(*[s.port for s in servers], **options)
            before = len(self.s.events(event="auth"))
            began = time.monotonic()
            code = self.login()
            self.took = time.monotonic() - began
            said = wait_for(lambda: self.s.events(event="auth")[before:], "event=auth",
                            patience(20))[-1]
            self.heard = [s.heard for s in servers]
            for s in servers:
                equal(s.problems, [])
            for heard in self.heard:
                for line in heard:
                    ok(PASSWORD.encode() not in line, line)
            return code, said.get("reason", "")


@contextlib.contextmanager
def fixture():
    s = Service(start=False)
    w = World(s)
    s.write_conf(
        auth_flow='auth_flow "people" { chain = {"mta"}  deadline = "6s" }\n'
                  'auth_flow "others" { chain = {"files"} }',
        backend='backend "mta" { type = smtp  transport = "mta" }\n'
                'backend "files" { type = file  path = "@D@/users"  allow_plain = true }',
        mta='transport "mta" { method = static  hosts = {"127.0.0.1:9"} }',
        submissions=s.blocks["submissions"].replace("tls = implicit", 'auth_flow = "others"'))
    with s:
        s.start()
        yield w


def scripted(*dialogue, offers=("AUTH LOGIN",)):
    """Says each in turn, after a line was heard."""
    def script(c):
        c.greet(*offers)
        for answer in dialogue:
            c.hear()
            if isinstance(answer, bytes):
                c.raw(answer)
            else:
                c.say(answer)
        c.hang()
    return script


PLAIN = ("AUTH PLAIN",)


@test("S42: 235 is a yes, 535 and 5.7.8 a no, all other replies to AUTH are neither", 180)
def replies(w):
    for answer, want in (
            ("235 2.7.0 ok", 235), ("535 5.7.8 no", 535), ("535 no", 535), ("535 5.7.3 no", 535),
            ("550 5.7.8 no", 535), ("454 4.7.0 later", 454), ("421 4.3.2 bye", 454),
            ("432 4.7.12 change it", 454), ("451 4.3.0 oops", 454), ("530 5.7.0 TLS first", 454),
            ("534 5.7.9 too weak", 454), ("538 5.7.11 encrypt", 454), ("500 5.5.2 what", 454),
            ("501 5.5.4 what", 454), ("502 no", 454), ("504 5.5.4 no such mechanism", 454),
            ("250 2.0.0 ok", 454), ("220 hello", 454), ("354 go on", 454), ("235ok", 454),
            ("2355 ok", 454), ("OK", 454), ("", 454), ("5.7.8 535", 454)):
        code, reason = w.ask(scripted(answer, offers=PLAIN))
        equal(code, want, f"{answer}: {reason}")
        ok(w.took < patience(TIMEOUT + 3), f"{answer} took {w.took} s")


@test("S42: what an operator must put right is an error in the log, once", 120)
def told(w):
    for offers, dialogue, text in (
            ((), (), "offers none of"), (("AUTH NTLM GSSAPI DIGEST-MD5",), (), "offers none of"),
            (PLAIN, ("538 5.7.11 x",), "538 5.7.11"), (PLAIN, ("534 x",), "534")):
        before = len(w.s.events(event="backend", level="error"))
        with Script(scripted(*dialogue, offers=offers), w.cert) as server:
            w.point(server.port)
            for _ in range(2):
                equal(w.login(), 454)
            said = wait_for(lambda n=before: w.s.events(event="backend", level="error")[n:],
                            "an error in the log", patience(20))
            ok("localhost: " in said[0]["text"] and text in said[0]["text"], said)
            equal(len(said), 1)


@test("S42: never in clear: without STARTTLS nothing is said about who logs in")
def clear(w):
    def no_tls(c):
        c.say("220 hi")
        c.hear("EHLO")
        c.say("250-hi", "250 AUTH PLAIN LOGIN")
        c.hear("QUIT")

    def refused(c):
        c.say("220 hi")
        c.hear("EHLO")
        c.say("250-hi", "250-AUTH PLAIN LOGIN", "250 STARTTLS")
        c.hear("STARTTLS")
        c.say("454 4.7.0 not now")
        c.hear("QUIT")

    def injected(c):
        c.say("220 hi")
        c.hear("EHLO")
        c.say("250-hi", "250 STARTTLS")
        c.hear("STARTTLS")
        c.say("220 go", "250-hi", "250 AUTH PLAIN", "235 ok")
        c.tls()
        c.hang()

    for script in (no_tls, refused, injected):
        equal(w.ask(script)[0], 454, script.__name__)
        for backend in ("tls = require", ):
            equal(w.ask(script, backend=backend)[0], 454, script.__name__)
        ok(not any(b"AUTH" in x for x in w.heard[0]), w.heard)
    equal(w.ask(scripted("235 ok", offers=PLAIN), backend="tls = require")[0], 235)

    def open_server(c):
        c.say("220 hi")
        c.hear("EHLO")
        c.say("250-hi", "250 AUTH PLAIN")
        c.hear("AUTH PLAIN")
        c.say("235 ok")
        c.hear("QUIT")
    equal(w.ask(open_server, backend="tls = none  allow_plain = true")[0], 235)


def silence(c):
    c.hang()


def half_a_greeting(c):
    c.raw(b"220-hel")
    c.hang()


def hang_in_tls(c):
    c.say("220 hi")
    c.hear("EHLO")
    c.say("250-hi", "250 STARTTLS")
    c.hear("STARTTLS")
    c.say("220 go")
    c.hang()


def rubbish_in_tls(c):
    c.say("220 hi")
    c.hear("EHLO")
    c.say("250-hi", "250 STARTTLS")
    c.hear("STARTTLS")
    c.say("220 go")
    c.raw(os.urandom(4000))
    c.hang()


def hang_in_auth(c):
    c.greet("AUTH PLAIN")
    c.hear("AUTH")
    c.hang()


def trickle(c):
    for b in b"220-x\r\n" * 10000:
        c.raw(bytes([b]))
        if c.stopping.wait(0.05):
            return


def trickle_in_auth(c):
    c.greet("AUTH PLAIN")
    c.hear("AUTH")
    for b in b"454-x\r\n" * 10000:
        c.raw(bytes([b]))
        if c.stopping.wait(0.05):
            return


def reset(c):
    c.say("220 hi")
    c.hear("EHLO")
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(c):
    c.greet("AUTH PLAIN")
    c.hear("AUTH")


def rubbish(c):
    c.raw(os.urandom(3000) + b"\r\n" + b"\0" * 100000)
    c.hang()


def endless_greeting(c):
    while not c.stopping.is_set():
        c.raw(b"220-and more\r\n" * 100)


def endless_ehlo(c):
    c.say("220 hi")
    c.hear("EHLO")
    while not c.stopping.is_set():
        c.raw(b"250-AUTH PLAIN LOGIN\r\n" * 100)


def endless_line(c):
    while not c.stopping.is_set():
        c.raw(b"2" * 10000)


def many_mechanisms(c):
    c.greet("AUTH " + " ".join(f"X-{i}" for i in range(10000)))
    c.hang()


def endless_challenges(c):
    c.greet("AUTH LOGIN")
    while True:
        c.hear()
        c.say("334 VXNlcm5hbWU6")


def yes_man(c):
    c.say("235 yes")
    while True:
        c.hear()
        c.say("235 yes")


STUCK = (silence, half_a_greeting, hang_in_tls, hang_in_auth, trickle, trickle_in_auth)
QUICK = (rubbish_in_tls, reset, close, rubbish, endless_greeting, endless_ehlo, endless_line,
         many_mechanisms, endless_challenges, yes_man)


@test("C2: hangs, trickles, resets and rubbish are temporary, by the deadline", 300)
def hostile(w):
    for script in STUCK + QUICK:
        code, reason = w.ask(script)
        equal(code, 454, f"{script.__name__}: {reason}")
        ok(w.took < patience(TIMEOUT + 3), f"{script.__name__} took {w.took} s")
        ok(reason and reason != "no answer in time", f"{script.__name__}: {reason}")


def b64(text):
    return base64.b64encode(text.encode()).decode()


@test("S42: a server that says yes too early gets no more than it asked for, and no yes", 180)
def liars(w):
    scram = ("AUTH SCRAM-SHA-256 PLAIN LOGIN",)
    for name, offers, dialogue, lines in (
            ("yes to AUTH LOGIN", ("AUTH LOGIN",), ("235 ok",), 0),
            ("yes to the name", ("AUTH LOGIN",), ("334 " + b64("Username:"), "235 ok"), 1),
            ("yes in one piece", ("AUTH LOGIN",), (b"334 VXNlcm5hbWU6\r\n235 ok\r\n",), 0),
            ("yes to CRAM-MD5", ("AUTH CRAM-MD5",), ("235 ok",), 0),
            ("yes to the first of SCRAM", scram, ("235 ok",), 0),
            ("SCRAM without proof", scram, ("334 " + b64("r=abc,s=QSXCR+Q6sek8bf92,i=4096"),
                                            "235 ok"), 0),
            ("SCRAM costs hours", scram, ("334 " + b64("r=abc,s=QSXCR+Q6sek8bf92,i=4294967295"),
                                          "235 ok"), 0),
            ("a challenge for PLAIN", PLAIN, ("334 " + b64("more"), "235 ok"), 0),
            ("a challenge that is none", ("AUTH LOGIN",), ("334 !", "235 ok"), 0),
            ("a long challenge", ("AUTH LOGIN",), ("334 " + "A" * 3000, "235 ok"), 0),
            ("a NUL in the challenge", ("AUTH LOGIN",), ("334 " + b64("Pass\0word"), "235 ok"),
             0)):
        code, reason = w.ask(scripted(*dialogue, offers=offers))
        equal(code, 454, f"{name}: {reason}")
        after = [x for x in w.heard[0][w.heard[0].index(b"STARTTLS") + 2:]
                 if x not in (b"QUIT", b"*") and not x.startswith(b"AUTH ")]
        equal(len(after), lines, f"{name}: {after}")


def after_proof(*dialogue):
    """SCRAM up to the client's proof; then these, with a line of the client between them."""
    def script(c):
        c.greet("AUTH SCRAM-SHA-256")
        first = base64.b64decode(c.hear("AUTH SCRAM-SHA-256 ").split()[2]).decode()
        nonce = first.split("r=")[1]
        c.say("334 " + b64(f"r={nonce}srv,s=QSXCR+Q6sek8bf92,i=4096"))
        for line in dialogue:
            c.hear()
            c.say(line)
        c.hang()
    return script


@test("S42: SCRAM whose server proves nothing: the password's proof is sent, the yes is no yes")
def scram_proof(w):
    code, reason = w.ask(after_proof("235 2.7.0 take my word for it"))
    equal(code, 454, reason)
    ok("before the exchange is over" in reason, reason)


@test("RFC 5802 S42: SCRAM whose server says why not: its no is a no, a yes behind it is none")
def scram_error(w):
    why = "334 " + b64("e=invalid-proof")
    code, reason = w.ask(after_proof(why, "535 5.7.8 no"))
    equal(code, 535, reason)
    ok("535" in reason, reason)
    for then in ("235 2.7.0 yes", why, "334 " + b64("v=QSXCR+Q6sek8bf92"), "454 4.7.0 later"):
        code, reason = w.ask(after_proof(why, then))
        equal(code, 454, f"{then}: {reason}")


@test("S42: the second host is asked when the first cannot answer, and its no is a no", 120)
def second_host(w):
    no, yes = scripted("535 5.7.8 no", offers=PLAIN), scripted("235 ok", offers=PLAIN)
    for first in (close, reset, scripted("454 4.7.0 x", offers=PLAIN), many_mechanisms, silence):
        equal(w.ask(first, second=no)[0], 535, first.__name__)
        equal(w.ask(first, second=yes)[0], 235, first.__name__)
    equal(w.ask(no, second=yes)[0], 535)
    equal(w.heard[1], [])
    equal(w.ask(yes, second=no)[0], 235)


@test("S42: a host without an address is passed over, by the deadline", 120)
def no_address(w):
    with Script(scripted("235 ok", offers=PLAIN), w.cert) as good:
        for hosts, want in ((f'"nowhere.invalid:25", "localhost:{good.port}"', 235),
                            ('"nowhere.invalid:25"', 454)):
            w.point(good.port)
            w.s.write_conf(mta=w.s.blocks["mta"].replace(f'"localhost:{good.port}"', hosts))
            equal(w.s.reload()["verdict"], "ok")
            began = time.monotonic()
            equal(w.login(), want)
            ok(time.monotonic() - began < patience(TIMEOUT + 5), "in time")


@test("S42: after a host was silent the other one is asked first, for a while")
def memory(w):
    with Script(silence) as dead, Script(scripted("235 ok", offers=PLAIN), w.cert) as good:
        w.point(dead.port, good.port)
        equal(w.login(), 235)
        n = dead.connections
        began = time.monotonic()
        for _ in range(3):
            equal(w.login(), 235)
        ok(time.monotonic() - began < patience(8), "three quick logins")
        equal(dead.connections, n)


@test("S42: no name and no password makes a line of its own", 120)
def injection(w):
    for user, password in (("a b", "x y\u00e9"), ("=", "=="), ("x" * 255, "y" * 1000),
                           ("*", "*"), ("ünï@example.com", "世界 ß"), ("a,b=c", "p,r=1,i=2")):
        for offers, dialogue in ((PLAIN, ("334 ", "535 no")), (PLAIN, ("535 no",)),
                                 (("AUTH LOGIN",), ("334 " + b64("User Name"),
                                                    "334 " + b64("Password"), "535 no"))):
            with Script(scripted(*dialogue, offers=offers), w.cert) as server:
                w.point(server.port)
                ok(w.login(user, password) in (535, 454), (user, password))
                ok(b"STARTTLS" in server.heard, (user, w.s.events(event="auth")[-1]))
                at = server.heard.index(b"STARTTLS") + 2
                for line in server.heard[at:]:
                    ok(len(line) < 510 or not line.startswith(b"AUTH "), line)
                    word = line.split(b" ")[-1] if line.startswith(b"AUTH ") else line
                    if word not in (b"QUIT", b"LOGIN", b"PLAIN", b"*", b"="):
                        base64.b64decode(word, validate=True)
                payload = [x.split(b" ")[-1] for x in server.heard[at:at + 3]
                           if x not in (b"AUTH LOGIN", b"AUTH PLAIN", b"QUIT")]
                # too long for the line, and never asked for
                equal(payload == [], len(user) > 200 and dialogue == ("535 no",))
                ok(not payload or any(user.encode() in base64.b64decode(x) for x in payload),
                   payload)


@test("DESIGN 4: a server that hangs costs only those who need it", 120)
def pool(w):
    w.s.users["bob@example.com"] = "battery_staple"
    with Script(silence) as dead, concurrent.futures.ThreadPoolExecutor(32) as threads:
        w.point(dead.port, backend="concurrency = 4")
        stuck = [threads.submit(w.login) for _ in range(24)]
        wait_for(lambda: dead.connections >= 4, "workers that hang", patience(20))
        for _ in range(10):
            began = time.monotonic()
            equal(w.login("bob@example.com", "battery_staple", w.s.port465), 235)
            ok(time.monotonic() - began < patience(1.5), "others log in at once")
        equal({f.result() for f in stuck}, {454})
        ok(dead.connections <= 24, dead.connections)


run(fixture)
