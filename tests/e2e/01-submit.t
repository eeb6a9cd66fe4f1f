#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Submission with clients that others wrote; what arrives; log and audit."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import json
import smtplib
import ssl
import tempfile

import peers
import smtpc
from daemon import USER, Service, parse_log_line
from nexthop import NextHop
from tap import equal, ok, run, test, wait_for


@contextlib.contextmanager
def fixture():
    with NextHop() as hop, Service(next_port=hop.port) as s:
        s.hop = hop
        yield s


def arrived(s, subject):
    """The message with that subject at the next hop."""
    return wait_for(lambda: next((m for m in s.hop.messages
                                  if f"Subject: {subject}".encode() in m.data), None), subject)


def client(s, *command, text=None, **kw):
    peers.need(command[0])
    r = peers.run(*command, input=text or "", **kw)
    equal(r.returncode, 0, f"{command[0]}: {r.stdout[-800:]}{r.stderr[-800:]}")
    return r


@test("P1 P3 S36: curl on 587 with STARTTLS and AUTH")
def curl(s):
    with tempfile.NamedTemporaryFile("w", suffix=".eml") as f:
        f.write(smtpc.letter("by curl").replace("\r\n", "\n"))
        f.flush()
        client(s, "curl", "-sS", "--ssl-reqd", "--cacert", s.dir + "/ca.pem",
               "--resolve", f"localhost:{s.port}:127.0.0.1",
               "--url", f"smtp://localhost:{s.port}/client.example", "--user",
               f"{USER}:{s.password()}", "--mail-from", USER, "--mail-rcpt", "x@remote.example",
               "--crlf", "--upload-file", f.name)
    m = arrived(s, "by curl")
    equal((m.sender, m.rcpts), (USER, ["x@remote.example"]))


@test("P1 S36: curl on 465 with implicit TLS")
def curl_implicit(s):
    with tempfile.NamedTemporaryFile("w", suffix=".eml") as f:
        f.write(smtpc.letter("by curl on 465").replace("\r\n", "\n"))
        f.flush()
        client(s, "curl", "-sS", "--cacert", s.dir + "/ca.pem",
               "--resolve", f"localhost:{s.port465}:127.0.0.1",
               "--url", f"smtps://localhost:{s.port465}/client.example", "--user",
               f"{USER}:{s.password()}", "--mail-from", USER, "--mail-rcpt", "x@remote.example",
               "--crlf", "--upload-file", f.name)
    arrived(s, "by curl on 465")


@test("P3 S39: swaks with AUTH PLAIN and with AUTH LOGIN")
def swaks(s):
    for mech in ("PLAIN", "LOGIN"):
        client(s, "swaks", "--server", f"127.0.0.1:{s.port}", "--tls", "--auth", mech,
               "--auth-user", USER, "--auth-password", s.password(), "--from", USER,
               "--to", "x@remote.example", "--header", f"Subject: by swaks {mech}")
        arrived(s, f"by swaks {mech}")


@test("P1 P3: s-nail")
def s_nail(s):
    client(s, "s-nail", "-:/", "-Sv15-compat", f"-Smta=submission://localhost:{s.port}",
           "-Ssmtp-use-starttls", "-Ssmtp-auth=plain", f"-Suser={USER.replace('@', '%40')}",
           f"-Spassword={s.password()}", f"-Stls-ca-file={s.dir}/ca.pem",
           f"-Smta=submission://{USER.replace('@', '%40')}:{s.password()}@localhost:{s.port}",
           "-Stls-verify=strict", f"-r{USER}", "-Ssendwait", "-s", "by s-nail",
           "x@remote.example", text="Hello.\n")
    arrived(s, "by s-nail")


@test("P1 P3: msmtp")
def msmtp(s):
    client(s, "msmtp", "--file=/dev/null", "--host=localhost", f"--port={s.port}", "--tls=on",
           f"--tls-trust-file={s.dir}/ca.pem", "--auth=on", f"--user={USER}",
           f"--passwordeval=echo {s.password()}", f"--from={USER}", "x@remote.example",
           text=smtpc.letter("by msmtp").replace("\r\n", "\n"))
    arrived(s, "by msmtp")


@test("P1 P3 S31: smtplib on both ports, several messages in one session")
def python(s):
    ctx = ssl.create_default_context(cafile=s.dir + "/ca.pem")
    with smtplib.SMTP("localhost", s.port, timeout=30) as c:
        c.starttls(context=ctx)
        c.login(USER, s.password())
        for i in range(3):
            c.sendmail(USER, ["x@remote.example", "y@remote.example"],
                       smtpc.letter(f"by smtplib {i}"))
    with smtplib.SMTP_SSL("localhost", s.port465, timeout=30, context=ctx) as c:
        c.login("alice", s.password())          # default_domain completes the name
        c.sendmail(USER, "x@remote.example", smtpc.letter("by smtplib on 465"))
    for i in range(3):
        equal(sorted(arrived(s, f"by smtplib {i}").rcpts), ["x@remote.example", "y@remote.example"])
    arrived(s, "by smtplib on 465")


@test("P1 P3 S78: Postfix as a client: relayhost with SASL, many messages")
def postfix(s):
    with peers.Postfix(s.dir, relay=(s.port, USER, s.password()), ca=s.dir + "/ca.pem") as p:
        with smtplib.SMTP("127.0.0.1", p.port, timeout=30) as c:
            for i in range(20):
                c.sendmail(USER, "x@remote.example", smtpc.letter(f"by Postfix {i}"))
        for i in range(20):
            m = arrived(s, f"by Postfix {i}")
    received = peers.parse(m.data).get_all("Received")
    equal(len(received), 2, "Received fields")


@test("S58: mail to the own domain goes by its transport, unauthenticated on 25")
def incoming(s):
    with smtplib.SMTP("127.0.0.1", s.port25, timeout=30) as c:
        c.starttls()
        c.sendmail("stranger@remote.example", USER, smtpc.letter("from outside"))
    equal(arrived(s, "from outside").rcpts, [USER])


@test("P5: Date, Message-ID and Received with ESMTPSA are added, Bcc is not passed on")
def fixups(s):
    mid = smtpc.submit(s, data="From: alice@example.com\r\nBcc: secret@remote.example\r\n"
                               "Subject: bare\r\n\r\nx\r\n")
    m = peers.parse(arrived(s, "bare").data)
    ok(m["Date"], "a Date")
    ok(m["Message-ID"], "a Message-ID")
    equal(m["Bcc"], None, "Bcc")
    ok("ESMTPSA" in m["Received"], f"with ESMTPSA: {m['Received']}")
    ok(mid in m["Received"], f"the mid in {m['Received']}")


@test("P6: dots, empty and long lines arrive as they were")
def content(s):
    body = b".\r\n..\r\n.x\r\n\r\n" + b"y" * 998 + b"\r\n \t\r\n" + bytes(range(32, 127)) + b"\r\n"
    smtpc.submit(s, data=smtpc.letter("dots", body="").encode() + body)
    data = arrived(s, "dots").data
    ok(data.endswith(b"\r\n\r\n" + body), f"the body: {data[-200:]!r}")


@test("P4: 8-bit bodies with BODY=8BITMIME arrive unchanged")
def eight_bit(s):
    body = "Grüße, žluťoučký kůň\r\n".encode()
    smtpc.submit(s, data=smtpc.letter("eight bit", body="").encode() + body,
                 mail_params=" BODY=8BITMIME")
    m = arrived(s, "eight bit")
    ok(body in m.data, "the body")
    ok("8BITMIME" in m.params, f"MAIL parameters: {m.params}")


@test("P4: EHLO offers each extension exactly when it works")
def ehlo(s):
    with smtpc.Client(s.port) as c:
        c.ehlo()
        before = set(c.extensions)
        c.starttls()
        c.ehlo()
        after = c.extensions
        equal(c.auth(USER, s.password())[0], 235)
        c.ehlo()
    usual = {"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN",
             "CHUNKING", "LIMITS"}
    equal(before, usual | {"STARTTLS"}, "before TLS")
    equal(set(after), usual | {"AUTH"}, "after TLS")
    equal(sorted(after["AUTH"].split()), ["LOGIN", "PLAIN"])
    ok(int(after["SIZE"]) == 50 * 1024 * 1024, f"SIZE {after['SIZE']}")
    ok("STARTTLS" not in c.extensions, "no STARTTLS after STARTTLS")


@test("A2 S70: the log tells one story by mid: accepted, then one delivery per recipient")
def log(s):
    mid = smtpc.submit(s, ["x@remote.example", "y@remote.example"], smtpc.letter("logged"))
    arrived(s, "logged")
    rows = wait_for(lambda: len(s.events(event="delivery", mid=mid)) >= 2
                    and s.events(event="delivery", mid=mid), "two deliveries in the log")
    equal(sorted(r["to"] for r in rows), ["x@remote.example", "y@remote.example"])
    ok(all(r["code"] == "250" and r.get("qid") for r in rows), str(rows))
    accepted = s.wait_log(event="accepted", mid=mid)
    equal(accepted["from"], USER)
    ok(accepted.get("sid"), "a sid")


def records(s):
    with open(s.dir + "/audit.log") as f:
        return [json.loads(x) if x.startswith("{") else parse_log_line(x)
                for x in f.read().split("\n") if x]


@test("A1 A2 A6: the audit has the login and the message, and never a password")
def audit(s):
    mid = smtpc.submit(s, data=smtpc.letter("audited"))
    rows = wait_for(lambda: [r for r in records(s) if r.get("mid") == mid], "the record")
    text = json.dumps(rows)
    ok(USER in text and "127.0.0.1" in text, text)
    auth = [r for r in records(s) if r.get("event") == "auth" or "mech" in r]
    ok(auth and any("PLAIN" in str(r.values()) for r in auth), f"records of AUTH: {auth[:2]}")
    with open(s.dir + "/audit.log") as f:
        ok(s.password() not in f.read(), "no password in the audit")
    ok(s.password() not in s.log(), "no password in the log")


run(fixture)
