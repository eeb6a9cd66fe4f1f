#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Backend ldap against servers that lie: process auth lives on, nobody is let in or sent away
because of them, and the next server is asked (C2, S17)."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import ssl
import threading
import time

import smtpc
from daemon import Service, free_port, make_cert, patience
from peer_slapd import SUFFIX, Fake, Slapd, entry, success, tlv
from tap import equal, ok, run, test, wait_for

NOTICE = b"1.3.6.1.4.1.1466.20037"
DN = "uid=%n,ou=people," + SUFFIX
PEOPLE = ",ou=people," + SUFFIX


def message(ident, *parts):
    return tlv(0x30, tlv(2, bytes([ident])), *parts)


def notice(name=NOTICE):
    return message(0, tlv(0x78, tlv(10, b"\x34"), tlv(4), tlv(4), tlv(0x8a, name)))


def overlong(ident):
    """An operation that says it is longer than its message."""
    return message(ident, b"\x61\x09\x0a\x01\x00\x04\x00\x04\x00")


def policy(value):
    return tlv(0xa0, tlv(0x30, tlv(4, b"1.3.6.1.4.1.42.2.27.8.5.1"), tlv(4, value)))


def yes(ident, *behind):
    return message(ident, tlv(0x61, tlv(10, b"\0"), tlv(4), tlv(4)), *behind)


# what is said to a bind, and a part of the words for the operator; None: the code is an answer
# of the server's, so that it is not down, and no other is asked
BINDS = {
    # number 0 without a name: ends a process that leaves it to libldap
    "notice-no-name": (lambda _: bytes.fromhex("302402010078") + b"\x1f\x0a\x01\x34\x04\x00\x04\x00"
                       b"\x8a\x00" + b"\0" * 6 + NOTICE, "gave notice"),
    "notice-empty-name": (lambda _: notice(b""), "gave notice"),
    "notice": (lambda _: notice(), "gave notice"),
    "notice-then-yes": (lambda i: notice(b"1.2.3") + yes(i), "gave notice"),
    "overlong": (lambda i: overlong(i) * 3, "too early"),
    "negative": (lambda _: yes(0xff), "negative"),
    "no-number": (lambda _: tlv(0x30, tlv(2), tlv(0x61, tlv(10, b"\0"), tlv(4), tlv(4))),
                  "no possible length"),
    "no-code": (lambda i: message(i, tlv(0x61, tlv(10), tlv(4), tlv(4), tlv(4))),
                "no possible length"),
    "code-is-no-code": (lambda i: message(i, tlv(0x61, tlv(2, b"\0"), tlv(4), tlv(4))), "a code"),
    "negative-code": (lambda i: message(i, tlv(0x61, tlv(10, b"\xff"), tlv(4), tlv(4))),
                      "negative"),
    "indefinite": (lambda i: b"\x30\x80" + yes(i)[2:] + b"\0\0", "cannot be read"),
    "other-answer": (lambda i: success(i, 0x65), "not answer"),
    "intermediate": (lambda i: message(i, tlv(0x79, tlv(0x80, b"1.2"), tlv(0x81, b"x"))) + yes(i),
                     "not answer"),
    "other-number": (lambda i: yes(i + 1), "another request"),
    "nested": (lambda i: message(i, b"\x61\x82\x01\xf4" + b"\x30\x7f" * 250), "a code"),
    "no-texts": (lambda i: message(i, tlv(0x61, tlv(10, b"\0"), b"\x04\x09\x04\x00")),
                 "too early"),
    "policy-unreadable": (lambda i: yes(i, policy(b"\x30\x03\x81\x05\x01")), None),
    "policy-word": (lambda i: yes(i, policy(b"\x30\x06\x81\x04\xff\xff\xff\xff")), None),
    "controls-overlong": (lambda i: yes(i, b"\xa0\x04\x30\x7f\x04\x00"), "too early"),
    "control-without-name": (lambda i: yes(i, tlv(0xa0, tlv(0x30))), "cannot be read"),
    "referrals": (lambda i: message(i, tlv(0x61, tlv(10, b"\x0a"), tlv(4), tlv(4), tlv(
        0xa3, tlv(4, b"ldap://127.0.0.1:1/") * 1000))), None),
}


def values(ident):
    """One entry whose attribute has more values than anybody has addresses."""
    mail = tlv(0x30, tlv(4, b"mail"), tlv(0x31, tlv(4) * 100000))
    own = tlv(0x30, tlv(4, b"proxyAddresses"), tlv(0x31, tlv(4, b"a@b") * 5000))
    return message(ident, tlv(0x64, tlv(4, b"uid=x" + PEOPLE.encode()), tlv(0x30, mail, own)))


def references(ident, n):
    return message(ident, tlv(0x73, tlv(4, b"ldap://127.0.0.1:1/dc=x"))) * n


# what is said to a search, the reply to the login, and the words; a bind gets a yes
SEARCHES = {
    "entries": (lambda i: entry(i, "uid=x", b"x") * 1100, 454, "too many LDAP messages"),
    "references": (lambda i: references(i, 1100), 454, "too many LDAP messages"),
    "two": (lambda i: entry(i, "uid=x", b"x") * 2 + success(i, 0x65), 454, None),
    "no-name": (lambda i: entry(i, "", b"x") + success(i, 0x65), 454, None),
    "blank-name": (lambda i: entry(i, " \t ", b"x") + success(i, 0x65), 454, None),
    "long-name": (lambda i: entry(i, "x" * 5000, b"x") + success(i, 0x65), 454, None),
    "torn": (lambda i: message(i, b"\x64\x08\x04\x7fuid=x") + success(i, 0x65), 454, None),
    "notice": (lambda i: entry(i, "uid=x", b"x") + notice(b""), 454, "gave notice"),
    "referral": (lambda i: success(i, 0x65, 10), 454, None),
    "few-references": (lambda i: references(i, 50) + entry(i, "uid=x" + PEOPLE, b"x@example.com")
                       + success(i, 0x65), 235, None),
    "values": (lambda i: values(i) + success(i, 0x65), 235, None),
}


def asked_for(data):
    """The tag of a short request: 30 LL 02 01 ID TAG, its length in up to five octets."""
    at = 2 + (data[1] & 0x7f if data[1] & 0x80 else 0)
    return data[at + 3]


def search_answer(say):
    return lambda ident, data: say(ident) if asked_for(data) == 0x63 else yes(ident)


@contextlib.contextmanager
def fixture():
    with contextlib.ExitStack() as stack:
        s = Service(start=False)
        stack.enter_context(s)
        make_cert(s.dir, "dir", "directory.example", "localhost")
        d = stack.enter_context(Slapd(s.dir, s.dir + "/server.pem", s.dir + "/server.key",
                                      s.dir + "/ca.pem"))
        s.ways, text = {}, ""

        def add(name, uris, profile, backend=""):
            nonlocal text
            s.ways[name] = free_port()
            text += (f'ldap "{name}" {{ uri = {{{", ".join(uris)}}}  timeout = "5s"  {profile} }}\n'
                     f'backend "{name}" {{ type = ldap  profile = "{name}"  {backend} }}\n'
                     f'auth_flow "{name}" {{ chain = {{"{name}"}} }}\n'
                     f'listener "{name}" {{ like = "submission"  tls = implicit\n'
                     f'  bind = {{"127.0.0.1:{s.ways[name]}"}}  auth_flow = "{name}" }}\n')
        right = f'"ldap://127.0.0.1:{d.port}"'
        template = f'bind_as = "{DN}"'
        for how, (say, _) in BINDS.items():
            fake = stack.enter_context(Fake(lambda ident, _, say=say: say(ident)))
            uri = f'"ldap://127.0.0.1:{fake.port}"'
            add("bind-" + how, [uri], "", template)
            add("next-" + how, [uri, right], "", template)
        for how, (say, _, _) in SEARCHES.items():
            fake = stack.enter_context(Fake(search_answer(say)))
            add("find-" + how, [f'"ldap://127.0.0.1:{fake.port}"'],
                f'base = "{SUFFIX}"  filter = "(uid=%s)"  senders_attribute = "proxyAddresses"')
        s.changing = stack.enter_context(Fake(lambda ident, _: yes(ident)))
        add("changing", [f'"ldap://127.0.0.1:{s.changing.port}"'], "", template)
        s.slow = stack.enter_context(Fake("silent"))
        add("slow", [f'"ldap://127.0.0.1:{s.slow.port}"'], 'connect_timeout = "1s"', template)
        fake = stack.enter_context(Fake(search_answer(
            lambda i: entry(i, "uid=x\nforged line\x1b[2J", b"x") + success(i, 0x65))))
        add("lines", [f'"ldap://127.0.0.1:{fake.port}"'],
            f'base = "{SUFFIX}"  filter = "(uid=%s)"')
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(s.dir + "/dir.pem", s.dir + "/dir.key")
        context.num_tickets = 500
        s.tls = {}
        for how, say in (("notice", lambda _: notice(b"")), ("tickets", yes),
                         ("bundle", lambda i: yes(i) + notice())):
            s.tls[how] = stack.enter_context(
                Fake(lambda ident, _, say=say: say(ident), tls=context))
            add("tls-" + how, [f'"ldaps://127.0.0.1:{s.tls[how].port}"'],
                'ca_file = "@D@/ca.pem"', template)
        add("right", [right], "", template)
        s.write_conf(ldap=text)
        s.start()
        s.pids = s.roles()["auth"]
        yield s


def auth(s, way):
    with smtpc.Client(s.ways[way], tls=True) as c:
        c.ehlo()
        return c.auth("alice", "correct_horse")[0]


def told(s, prefix, words):
    for how, want in words.items():
        if want is None:
            continue
        row = s.wait_log(event="backend", backend=prefix + how, state="down")
        ok(want in row["text"], f"{how}: {row}")


def lives(s):
    equal(s.roles()["auth"], s.pids, "the process auth")
    equal(auth(s, "right"), 235)


@test("C2: lies about a bind: temporary, in time, with words for the operator", seconds=180)
def binds(s):
    for how, (_, words) in BINDS.items():
        start = time.monotonic()
        equal(auth(s, "bind-" + how), 454, how)
        ok(time.monotonic() - start < patience(4), f"{how}: at once, not after a time-out")
        equal(s.roles()["auth"], s.pids, f"the process auth after {how}")
    told(s, "bind-", {how: words for how, (_, words) in BINDS.items()})
    lives(s)


@test("S17: with a liar in front the next server is used, and keeps its place", seconds=180)
def next_server(s):
    for how, (_, words) in BINDS.items():
        if words is None:
            continue
        equal(auth(s, "next-" + how), 235, how)
        equal(auth(s, "next-" + how), 235, how)
    lives(s)


@test("C2: lies about a search: endless answers, names that are none, thousands of values",
      seconds=180)
def searches(s):
    for how, (_, want, words) in SEARCHES.items():
        start = time.monotonic()
        equal(auth(s, "find-" + how), want, how)
        ok(time.monotonic() - start < patience(4), f"{how}: at once, not after a time-out")
        equal(s.roles()["auth"], s.pids, f"the process auth after {how}")
    told(s, "find-", {how: words for how, (_, _, words) in SEARCHES.items()})
    lives(s)


@test("C2: many at once do not end it either", seconds=180)
def at_once(s):
    got = []

    def one(way):
        got.append((way, auth(s, way)))
    threads = [threading.Thread(target=one, args=(w,)) for w in s.ways
               if w.startswith("bind-") for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal({code for _, code in got}, {454}, str(got))
    equal(len(got), 3 * len(BINDS))
    lives(s)


@test("S17: notice of disconnection on a kept connection: a new one is made, and nobody notices")
def kept(s):
    state = {"bind": 0}

    def every_other(ident, _):
        state["bind"] += 1
        return notice() if ident > 1 else yes(ident)
    s.changing.how = every_other
    for _ in range(6):
        equal(auth(s, "changing"), 235)
    ok(state["bind"] > 6, "some were asked twice")
    equal(s.events(event="backend", backend="changing", state="down"), [])
    # unasked, while nobody waits
    s.changing.how = lambda ident, _: yes(ident) + notice()
    for _ in range(4):
        equal(auth(s, "changing"), 235)
    equal(s.events(event="backend", backend="changing", state="down"), [])
    lives(s)


@test("C2 S17: the same below TLS, with hundreds of session tickets")
def tls(s):
    equal(auth(s, "tls-notice"), 454)
    told(s, "tls-", {"notice": "gave notice"})
    for _ in range(4):
        equal(auth(s, "tls-tickets"), 235)
    # what came in one record with the answer: the connection is not used again
    for _ in range(4):
        equal(auth(s, "tls-bundle"), 235)
    equal(len([x for x in s.tls["bundle"].seen if asked_for(x) == 0x60]), 4, "binds")
    equal(s.events(event="backend", backend="tls-bundle", state="down"), [])
    lives(s)


@test("S17: auth-test says what the server did, each in one line")
def auth_test(s):
    def ask(way):
        r = s.run_ctl("auth-test", "--listener", way, "--password-stdin", "alice",
                      text="correct_horse\n")
        return r.stdout
    text = ask("bind-notice-no-name")
    ok("unavailable" in text and "gave notice that it ends the connection" in text, text)
    text = ask("lines")
    ok("uid=x forged line [2J" in text and "\x1b" not in text, text)
    lives(s)


@test("C2: a silent server costs its time and no more")
def silent(s):
    start = time.monotonic()
    equal(auth(s, "slow"), 454)
    took = time.monotonic() - start
    ok(4.9 < took < patience(8), f"{took} s")
    wait_for(lambda: s.events(event="backend", backend="slow", state="down"), "the notice")
    lives(s)


run(fixture)
