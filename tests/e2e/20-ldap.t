#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Backend ldap against OpenLDAP, and against servers that do not behave."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import base64
import contextlib
import ssl
import threading
import time

import smtpc
from daemon import Service, free_port, make_ca, make_cert, patience
from nexthop import NextHop
from peer_slapd import SERVICE, SERVICE_PASSWORD, SUFFIX, Fake, Slapd, entry, success
from peers import run as run_program
from tap import equal, ok, run, test, wait_for

FILTER = "(|(uid=%s)(mail=%s))"
DN = "uid=%n,ou=people," + SUFFIX
# answers of Fake: how it goes wrong, or a function of message id and request
FAKES = {
    **{how: how for how in ("silent", "trickle", "reset", "garbage", "endless", "tls")},
    "busy": lambda ident, _: success(ident, code=51),
    "notice": lambda _ident, _: success(0, 0x78, 52),
    "search-result": lambda ident, _: success(ident, 0x65),
    "another-id": lambda ident, _: success(ident + 1),
    "empty-message": lambda _ident, _: b"\x30\x00",
    "referral": lambda ident, _: success(ident, code=10),
    # a yes in clear behind the one to StartTLS must not count
    "inject": lambda ident, _: success(ident, 0x78) + success(ident + 1) + success(ident + 2),
}


class Ldap:
    """Blocks of the configuration, one listener and flow for each way to ask."""

    def __init__(self):
        self.text = ""
        self.port = {}

    def add(self, name, uri, profile="", backend="", chain=None, flow=""):
        uris = ", ".join(f'"{u}"' for u in ([uri] if isinstance(uri, str) else uri))
        self.port[name] = free_port()
        self.text += f"""
ldap "{name}" {{ uri = {{{uris}}}  {profile} }}
backend "{name}" {{ type = ldap  profile = "{name}"  {backend} }}
auth_flow "{name}" {{ chain = {{{chain or f'"{name}"'}}}  {flow} }}
listener "{name}" {{ like = "submission"  bind = {{"127.0.0.1:{self.port[name]}"}}
  tls = implicit  auth_flow = "{name}" }}
"""


def searching(extra=""):
    return (f'base = "{SUFFIX}"  filter = "{FILTER}"  bind_dn = "{SERVICE}"\n'
            f'  bind_secret = "file:@D@/service.secret"  {extra}')


@contextlib.contextmanager
def fixture():
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(NextHop())
        s = Service(next_port=hop.port, start=False)
        stack.enter_context(s)
        with open(s.dir + "/service.secret", "w") as f:
            f.write(SERVICE_PASSWORD + "\n")
        with open(s.dir + "/wrong.secret", "w") as f:
            f.write("wrong\n")
        os.chmod(s.dir + "/service.secret", 0o600)
        os.chmod(s.dir + "/wrong.secret", 0o600)
        make_cert(s.dir, "dir", "directory.example", "localhost")
        os.mkdir(s.dir + "/other")
        make_ca(s.dir + "/other")
        d = stack.enter_context(Slapd(s.dir, s.dir + "/dir.pem", s.dir + "/dir.key",
                                      s.dir + "/ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(s.dir + "/dir.pem", s.dir + "/dir.key")
        s.fakes = {name: stack.enter_context(Fake(how)) for name, how in FAKES.items()}
        s.fakes["tls-trickle"] = stack.enter_context(Fake("trickle", tls=context))
        # tells the request, with its password, back in its text
        s.echo = stack.enter_context(Fake(
            lambda ident, data: success(ident, code=49, text=data[-60:])))
        s.flood = stack.enter_context(Fake(
            lambda ident, _: entry(ident, "uid=x," + SUFFIX, b"x" * 60000) * 100))
        s.ldap = c = Ldap()
        clear = f"ldap://127.0.0.1:{d.port}"
        secure = f"ldaps://127.0.0.1:{d.port_tls}"
        ca = 'ca_file = "@D@/ca.pem"'
        own = 'senders_attribute = "proxyAddresses"  name_attribute = "mail"'
        c.add("search", clear, searching(own))
        c.add("dn", clear, backend=f'bind_as = "{DN}"')
        c.add("dn-own", clear, own, f'bind_as = "{DN}"')
        c.add("dn-service", clear, searching(own), f'bind_as = "{DN}"')
        for name, found in (("name-found", "(entryDN=%s)"),
                            ("name-other", "(&(uid=bob)(!(entryDN=%s)))")):
            c.add(name, clear, searching('name_attribute = "mail"').replace(FILTER, found),
                  'bind_as = "%u"')
        c.add("name", clear, searching(own), 'bind_as = "%u"')
        c.add("ldaps", secure, searching(ca))
        c.add("ldaps-name", f"ldaps://localhost:{d.port_tls}", searching(ca))
        c.add("ldaps-wrong", secure, searching('ca_file = "@D@/other/ca.pem"'))
        c.add("starttls", clear, searching("starttls = true  " + ca))
        c.add("starttls-wrong", clear, searching('starttls = true  ca_file = "@D@/other/ca.pem"'))
        c.add("second", [f"ldap://127.0.0.1:{free_port()}", clear], searching())
        c.add("after-silent", [f"ldap://127.0.0.1:{s.fakes['silent'].port}", clear],
              searching('timeout = "500ms"'))
        c.add("service", clear, searching().replace("service.secret", "wrong.secret"))
        c.add("base", clear, searching().replace(f'base = "{SUFFIX}"', 'base = "dc=nowhere"'))
        # a password file behind it: who is unknown there is asked here (S17)
        c.add("then-files", clear, searching(), chain='"then-files", "files"')
        c.add("dn-then-files", clear, backend=f'bind_as = "{DN}"',
              chain='"dn-then-files", "files"')
        for how, fake in s.fakes.items():
            if how == "tls-trickle":
                c.add(how, f"ldaps://127.0.0.1:{fake.port}", ca + '  timeout = "1s"',
                      f'bind_as = "{DN}"', flow='deadline = "2s"')
            else:
                c.add(how, f"ldap://127.0.0.1:{fake.port}",
                      'timeout = "1s"' + (f"  starttls = true  {ca}"
                                          if how in ("tls", "inject") else ""),
                      f'bind_as = "{DN}"', flow='deadline = "2s"')
        c.add("echo", f"ldap://127.0.0.1:{s.echo.port}", backend=f'bind_as = "{DN}"')
        c.add("flood", f"ldap://127.0.0.1:{s.flood.port}",
              f'base = "{SUFFIX}"  filter = "{FILTER}"  timeout = "3s"')
        c.add("silent-ldaps", f"ldaps://127.0.0.1:{s.fakes['silent'].port}", ca,
              f'bind_as = "{DN}"', flow='deadline = "3s"')
        s.write_conf(ldap=c.text)
        s.dirserver = d
        s.hop = hop
        s.start()
        yield s


def auth(s, way, user, password, want=None):
    with smtpc.Client(s.ldap.port[way], tls=True) as c:
        c.ehlo()
        code, text = c.auth(user, password)
    if want is not None:
        equal(code, want, f"{way}, {user}: {text}")
    return code


def last_auth(s, **match):
    return s.wait_log(event="auth", **match)


@test("S17 S43 S67: right, wrong, unknown and empty, by search and by template")
def verdicts(s):
    for way in ("search", "dn"):
        auth(s, way, "alice", "correct_horse", 235)
        auth(s, way, "alice@example.com", "correct_horse", 235)
        auth(s, way, "alice", "wrong", 535)
        auth(s, way, "nobody", "correct_horse", 535)
        auth(s, way, "alice", "", 535)
        auth(s, way, "bob@example.com", "battery staple", 235)
    equal(last_auth(s, listener="search", verdict="ok")["principal"], "bob@example.com")


@test("S67: names cannot change the filter or the DN")
def hostile_names(s):
    star = 'al*(i)'
    for name in ("*", "al*", "a*", "*)(uid=*", "alice)(uid=*", "alice)(|(uid=*", "\\2a",
                 "alice\\00", "(alice)", "alice,ou=people", "uid=alice,ou=people," + SUFFIX,
                 "alice+cn=x",
                 "alicé", "а" * 100, "%u", "%s", "x" * 255):
        for way in ("search", "dn"):
            code = auth(s, way, name, "correct_horse")
            ok(code in (535, 501), f"{way} {name!r}: {code}")
    # names that hold such characters are found, and only they
    auth(s, "search", star, "star", 235)
    auth(s, "search", 'comma, \\+#"<>;=', "comma", 235)
    auth(s, "search", 'comma, \\+#"<>;=', "star", 535)


@test("S43: NUL in name or password never reaches the server")
def nul(s):
    before = s.dirserver.log().count("BIND")
    for secret in (b"\0alice\0correct_horse\0", b"\0alice\0\0", b"\0alice\0correct\0horse",
                   b"\0al\0ice\0correct_horse", b"\0alice\0"):
        with smtpc.Client(s.ldap.port["dn"], tls=True) as c:
            c.ehlo()
            code = c.cmd("AUTH PLAIN " + base64.b64encode(secret).decode())[0]
            ok(code in (501, 535), f"{secret}: {code}")
    equal(s.dirserver.log().count("BIND"), before, "binds at the server")


@test("S17: two entries are no answer, and an operator is told")
def two_entries(s):
    auth(s, "search", "twin@example.com", "twin", 454)
    row = s.wait_log(event="backend", backend="search", state="misconfigured")
    ok("several entries" in row["text"], row)
    equal(row["level"], "error")


@test("S17: locked, expired and must change are told apart in the log")
def policy(s):
    for way in ("search", "dn"):
        for user, reason in (("locked", "the account is locked"),
                             ("expired", "the password has expired"),
                             ("reset", "the password must be changed")):
            auth(s, way, user, user, 535)
            last_auth(s, listener=way, verdict="perm", reason=reason)
    for _ in range(3):
        auth(s, "search", "counted", "wrong", 535)
    auth(s, "search", "counted", "counted", 535)
    ok([r for r in s.events(event="auth", listener="search", reason="wrong password")], "wrong")
    wait_for(lambda: len(s.events(event="auth", listener="search",
                                  reason="the account is locked")) >= 2, "the lock of counted")


@test("S17: a known user's wrong password ends the chain, an unknown one's does not")
def chain(s):
    # alice and zoe stand in the file, with other passwords; zoe is not in the directory
    auth(s, "then-files", "zoe@other.example", s.users["zoe@other.example"], 235)
    auth(s, "then-files", "bob@example.com", s.users["bob@example.com"], 535)
    # the template cannot tell the two apart: the next backend is asked (S17)
    auth(s, "dn-then-files", "bob@example.com", s.users["bob@example.com"], 235)
    auth(s, "dn-then-files", "zoe@other.example", s.users["zoe@other.example"], 235)


@test("C8: an address of senders_attribute may be used, a foreign one may not")
def senders(s):
    for way, user in (("search", "alice"), ("dn-own", "alice@example.com"),
                      ("dn-service", "ALICE")):
        for sender, want in (("alice@example.com", 250), ("sales@example.com", 250),
                             ("SALES@example.com", 250), ("bob@example.com", 550)):
            with smtpc.Client(s.ldap.port[way], tls=True) as c:
                c.ehlo()
                equal(c.auth(user, "correct_horse")[0], 235)
                code, text = c.message(sender, "x@remote.example", smtpc.letter(sender=sender))
                equal(code, want, f"{way}: {sender}: {text}")
    # without the attribute an alias is foreign
    with smtpc.Client(s.ldap.port["dn"], tls=True) as c:
        c.ehlo()
        equal(c.auth("alice", "correct_horse")[0], 235)
        equal(c.message("sales@example.com", "x@remote.example", smtpc.letter())[0], 550)


@test("S43: bind_as with a name: only who is also what the filter finds gets its addresses")
def by_name(s):
    alice = "uid=alice,ou=people," + SUFFIX
    # OpenLDAP takes DNs only; the filter does not find one: temporary, an operator is told
    auth(s, "name", alice, "correct_horse", 454)
    s.wait_log(event="backend", backend="name", state="misconfigured")
    # no DN at all: OpenLDAP says invalid DN syntax, which is no word about the user
    auth(s, "name", "alice@example.com", "correct_horse", 454)
    auth(s, "name", alice, "wrong", 535)
    # the filter finds the entry that was logged in, and the entry says who it is
    auth(s, "name-found", alice, "correct_horse", 235)
    equal(last_auth(s, listener="name-found", verdict="ok")["principal"], "alice@example.com")
    # the filter finds bob, whose name and addresses are not for who knows alice's password
    auth(s, "name-other", alice, "correct_horse", 535)
    last_auth(s, listener="name-other", verdict="perm",
              reason="the filter finds an entry that has another password")


@test("S43: name_attribute says who it is; several names only with the one that was given")
def names(s):
    for login, want in (("alice", "alice@example.com"), ("ALICE@EXAMPLE.COM", "alice@example.com"),
                        ("multi.first@example.com", "multi.first@example.com"),
                        ("Multi.Second@example.com", "multi.second@example.com"),
                        ("nomail", "nomail@example.com")):
        password = "correct_horse" if "alice" in login.lower() else login.split(".")[0].lower()
        auth(s, "search", login, password.split("@")[0], 235)
        s.wait_log(event="auth", listener="search", verdict="ok", login=login, principal=want)
    auth(s, "search", "multi", "multi", 454)
    wait_for(lambda: [r for r in s.events(event="backend", backend="search", state="misconfigured")
                      if "several values" in r["text"]], "the misconfiguration")


@test("P3: an unknown user lasts as long as a wrong password")
def timing(s):
    times = {"bob": [], "nobody": []}
    for _ in range(9):
        for user in times:      # in turn, so that a load falls on both
            start = time.monotonic()
            auth(s, "search", user, "wrong", 535)
            times[user].append(time.monotonic() - start)
    a, b = (sorted(t)[2] for t in times.values())   # loads make times longer, never shorter
    ok(abs(a - b) < patience(0.025), f"{a * 1000:.1f} and {b * 1000:.1f} ms")


@test("S17: ldaps and StartTLS with the right CA, and never with a wrong one")
def tls(s):
    for way in ("ldaps", "ldaps-name", "starttls"):
        auth(s, way, "alice", "correct_horse", 235)
        auth(s, way, "alice", "wrong", 535)
    binds = s.dirserver.log().count("BIND")
    for way in ("ldaps-wrong", "starttls-wrong"):
        auth(s, way, "alice", "correct_horse", 454)
        row = s.wait_log(event="backend", backend=way, state="down")
        ok("certificate" in row["text"], row)
    equal(s.dirserver.log().count("BIND"), binds, "binds at the server")


@test("S17: with two URIs the second answers when the first is dead, or silent")
def failover(s):
    auth(s, "second", "alice", "correct_horse", 235)
    s.wait_log(event="backend", backend="second", state="down")
    auth(s, "after-silent", "alice", "correct_horse", 235)
    asked = len(s.fakes["silent"].seen)
    ok(asked > 0, "the silent one was asked")
    for _ in range(3):
        auth(s, "after-silent", "alice", "correct_horse", 235)
    equal(len(s.fakes["silent"].seen), asked, "the silent one is asked last for a while")


@test("C2: what is wrong with the service account says nothing about the user")
def service_account(s):
    for way in ("service", "base"):
        auth(s, way, "alice", "correct_horse", 454)
        row = s.wait_log(event="backend", backend=way, state="misconfigured")
        equal(row["level"], "error")
        ok("secret" not in row["text"], row)


@test("C2: silent, trickling, resetting and lying servers are temporary, in time", seconds=180)
def hostile_servers(s):
    result = {}

    def one(way):
        start = time.monotonic()
        code = auth(s, way, "alice", "correct_horse")
        result[way] = (code, time.monotonic() - start)
    ways = [*s.fakes, "silent-ldaps", "flood"]
    threads = [threading.Thread(target=one, args=(w,)) for w in ways]
    for t in threads:
        t.start()
    # meanwhile nobody else waits (DESIGN promise 4)
    for _ in range(5):
        start = time.monotonic()
        auth(s, "search", "bob", "battery staple", 235)
        ok(time.monotonic() - start < patience(1.5), "others log in as fast")
    for t in threads:
        t.join()
    for way in ways:
        code, took = result.get(way, (None, 0))
        equal(code, 454, way)
        ok(took < patience(5), f"{way} took {took:.1f} s")
    for how in ("tls", "inject"):
        ok(s.fakes[how].seen, "StartTLS was asked for")
        ok(not [x for x in s.fakes[how].seen if b"correct_horse" in x], "no password before TLS")


@test("C2: slapd killed and started again: temporary meanwhile, then right, without a restart",
      seconds=180)
def restart(s):
    pids = s.roles()["auth"]
    for way in ("search", "dn", "ldaps"):
        auth(s, way, "alice", "correct_horse", 235)
    s.dirserver.kill()
    for way in ("search", "dn", "ldaps"):
        auth(s, way, "alice", "correct_horse", 454)
        s.wait_log(event="backend", backend=way, state="down")
    s.dirserver.start()
    for way in ("search", "dn", "ldaps"):
        auth(s, way, "alice", "correct_horse", 235)
        auth(s, way, "alice", "wrong", 535)
        s.wait_log(event="backend", backend=way, state="up")
    equal(s.roles()["auth"], pids, "the auth process")


@test("S17: kept connections are used again; one that died is made anew at once")
def kept(s):
    for way in ("search", "ldaps"):
        auth(s, way, "bob", "battery staple", 235)
    before = s.dirserver.log().count("ACCEPT")
    for way in ("search", "ldaps") * 4:
        auth(s, way, "bob", "battery staple", 235)
        auth(s, way, "bob", "wrong", 535)
    equal(s.dirserver.log().count("ACCEPT"), before, "connections to slapd")
    s.dirserver.stop()
    s.dirserver.start()
    for _ in range(3):
        auth(s, "search", "bob", "battery staple", 235)


@test("S17: auth-test tells what was said to whom, and never the password")
def auth_test(s):
    def ask(way, user, password):
        r = s.run_ctl("auth-test", "--listener", way, "--password-stdin", user,
                      text=password + "\n")
        ok(password not in r.stdout + r.stderr, r.stdout)
        return r.returncode, r.stdout
    status, text = ask("ldaps", "alice", "correct_horse")
    equal(status, 0, text)
    for part in (f"ldaps://127.0.0.1:{s.dirserver.port_tls}", "TLSv1.3", "directory.example",
                 "(|(uid=alice)(mail=alice))", "uid=alice,ou=people," + SUFFIX, "0 Success"):
        ok(part in text, f"{part} in {text}")
    status, text = ask("search", "alice", "correct_horse")
    ok("sales@example.com" in text and "sip:" not in text, text)
    status, text = ask("search", "alice", "not the one")
    equal(status, 1, text)
    ok("49 Invalid credentials" in text and "wrong password" in text, text)
    status, text = ask("search", "locked", "the lock")
    ok("Account locked" in text and "the account is locked" in text, text)
    status, text = ask("ldaps-wrong", "alice", "correct_horse")
    ok("unavailable" in text and "no connection: TLS handshake: certificate" in text, text)
    status, text = ask("echo", "alice", "correct_horse")
    ok("a text that holds the password" in text, text)


@test("C1 C8: explain takes the addresses that the directory would give")
def explain(s):
    args = ["explain", "--listener", "search", "--auth", "alice", "--rcpt", "x@remote.example",
            "--from", "sales@example.com"]
    equal(s.run_ctl(*args).returncode, 1)
    own = ["--own", "other@example.com", "--own", "sales@example.com"]
    equal(s.run_ctl(*args, *own).returncode, 0)
    equal(s.run_ctl(*args[:-1], "bob@example.com", *own).returncode, 1)
    equal(s.run_ctl("explain", "--listener", "search", "--from", "a@example.com",
                    "--rcpt", "x@remote.example", "--own", "b@example.com").returncode, 2)


@test("S67: submitd -t finds a secret and a CA that cannot be read, and says what would be right")
def checked(s):
    path = s.dir + "/check.conf"
    with open(s.dir + "/empty", "w", encoding="ascii"):
        pass
    for change, want in ((("service.secret", "none.secret"), "none.secret cannot be read"),
                         (("service.secret", "empty"), "must hold the password of bind_dn"),
                         (("/ca.pem\"", "/none.pem\""), "none.pem"),
                         (("/ca.pem\"", "/empty\""), "empty")):
        with open(s.conf, encoding="utf-8") as f, open(path, "w", encoding="utf-8") as out:
            out.write(f.read().replace(*change))
        r = run_program(s.binary, "-t", "-f", path)
        equal(r.returncode, 1, r.stdout + r.stderr)
        ok(want in r.stdout + r.stderr, f"{want} in {r.stdout}{r.stderr}")


@test("A6: no password in the log")
def no_passwords(s):
    auth(s, "echo", "alice", "correct_horse", 535)
    for secret in ("correct_horse", "battery staple", SERVICE_PASSWORD):
        ok(secret not in s.log(), secret)


run(fixture)
