#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Configuration: every mistake is named with its place; the sample and the smallest file work."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import glob
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

import smtpc
from daemon import BLOCKS, TOP, Service, patience
from nexthop import NextHop
from tap import equal, ok, run, skip, test

MISTAKES = {
    "unknown option": ('limit "x" { max_conections = 5 }', r"max_conections"),
    "unknown section": ('listner "x" { }', r"listner"),
    "wrong number": ('limit "x" { max_errors = many }', r"max_errors"),
    "out of range": ('limit "x" { max_errors = 0 }', r"max_errors"),
    "wrong unit": ('limit "x" { command_timeout = "5 parsecs" }', r"command_timeout"),
    "wrong word": ('listener "x" { like = "submission"  bind = {"127.0.0.1:0"}  tls = maybe }',
                   r"maybe|tls"),
    "duplicate title": ('tls "default" { certificate = "@D@/server.pem"  key = "@D@/server.key" }',
                        r"default"),
    "dangling reference": ('listener "x" { like = "submission"  bind = {"127.0.0.1:0"}'
                           '  auth_flow = "nobody" }', r"nobody"),
    "unreadable certificate": ('tls "x" { certificate = "@D@/missing.pem"\n'
                               '  key = "@D@/server.key" }',
                               r"missing\.pem"),
    "unreadable secret": ('user "p@example.com" { ou = "staff"  smtp_auth = matching_sender'
                          '  secret = "file:@D@/missing.hash" }', r"missing\.hash"),
    "cut short": ('limit "x" { max_errors = 5', r""),
    "open string": ('limit "x" { command_timeout = "5m }', r""),
    "domain in two units": ('ou "more" { domains = {"example.com"} }', r"example\.com"),
    "lookup without a name server": ('transport "x" { method = "lookup-mx:query=nowhere" }',
                                     r"nowhere"),
    "static without hosts": ('transport "x" { method = static }', r"hosts"),
}


@contextlib.contextmanager
def fixture():
    with NextHop() as hop, Service(next_port=hop.port, start=False) as s:
        s.hop = hop
        yield s


def check(s, path=None):
    r = subprocess.run([s.binary, "-t", "-f", path or s.conf], capture_output=True, text=True,
                       env=s.env, stdin=subprocess.DEVNULL, timeout=patience(30))
    return r.returncode, r.stdout + r.stderr


@test("DESIGN 7: -t of a good file: status 0")
def good(s):
    s.write_conf(extra="")
    status, text = check(s)
    equal(status, 0, text)


for title, (block, word) in MISTAKES.items():
    def mistake(s, block=block, word=word):
        s.write_conf(extra=block)
        status, text = check(s)
        equal(status, 1, text)
        ok(re.search(r"submitd\.conf:\d+", text), f"file and line in: {text}")
        ok(re.search(word, text), f"{word} in: {text}")
        s.write_conf(extra="")
    test(f"promise 6: {title}")(mistake)


@test("A4: the audit record has a regular file of its own, at a start and at a reload")
def audit_file(s):
    os.makedirs(f"{s.dir}/record", exist_ok=True)
    os.symlink(f"{s.dir}/elsewhere", f"{s.dir}/linked")
    for block, want in (
            ('audit { file = "@D@/record" }', "is no regular file"),
            ('audit { file = "@D@/linked" }', "follows no link"),
            ('audit { file = "/dev/null" }', "is no regular file"),
            ('audit { file = "@D@/a"  key = "@D@/a" }', "would show the key"),
            ('audit { file = "@D@/users" }', 'password file of backend "files"'),
            ('audit { file = "@D@/a" }\nlog { targets = {"stderr", "file:@D@/a"} }',
             "is the log's file, too")):
        s.write_conf(audit=block, log="" if "log {" in block else s.blocks["log"])
        status, text = check(s)
        equal(status, 1, text)
        ok(want in text, f"{want!r} in: {text}")
    s.write_conf(audit=BLOCKS["audit"], log=BLOCKS["log"])
    os.unlink(f"{s.dir}/linked")


@test("promise 6: all mistakes at once, not only the first")
def all_at_once(s):
    names = [k for k in MISTAKES if k not in ("cut short", "open string")]
    s.write_conf(extra="\n".join(MISTAKES[k][0] for k in names
                                 if k in ("unknown option", "wrong unit", "out of range")))
    status, text = check(s)
    equal(status, 1)
    for word in ("max_conections", "command_timeout", "max_errors"):
        ok(word in text, f"{word} in: {text}")
    s.write_conf(extra="")


@test("S49 C6: a configuration that would relay unauthenticated is refused")
def open_relay(s):
    s.write_conf(extra='listener "open" { bind = {"127.0.0.1:0"}  tls = off  auth = off\n'
                 '  require_auth = false  relay_any_authenticated = true  role = relay }\n'
                 'listener "lockout" { bind = {"127.0.0.1:0"}  tls = off  auth = off\n'
                 '  require_auth = true }')
    status, text = check(s)
    equal(status, 1, text)
    s.write_conf(extra="")


@test("A4: a file that is no signing key is found before the ledger finds it")
def audit_key(s):
    for name, mode, text, want in (("server.key", 0o600, None, "no Ed25519 key"),
                                   ("text.key", 0o600, "hello\n", "no Ed25519 key"),
                                   ("open.key", 0o644, "hello\n", "mode 0600")):
        path = f"{s.dir}/{name}"
        if text:
            with open(path, "w") as f:
                f.write(text)
            os.chmod(path, mode)
        s.write_conf(audit=f'audit {{ file = "@D@/other.log"  key = "{path}" }}')
        status, text = check(s)
        equal(status, 1, text)
        ok(want in text and name in text, text)
    s.write_conf(audit="")


@test("S44: lines of a password file that would be skipped, and none of what stands in them")
def people(s):
    path = s.dir + "/people"
    with open(path, "w") as f:
        f.write("# a comment\nann@example.com:hunter2-in-clear\nbob@example.com\n")
    os.chmod(path, 0o600)
    block = f'backend "x" {{ type = file  path = "{path}" %s}}'
    s.write_conf(extra=block % "")
    status, text = check(s)
    equal(status, 0, text)
    ok("line 2 is skipped: not a hash" in text and "line 3 is skipped" in text, text)
    ok("hunter2" not in text and "ann@" not in text, text)
    s.write_conf(extra=block % "allow_plain = true ")
    _, text = check(s)
    ok("line 2" not in text and "line 3 is skipped" in text, text)
    s.write_conf(extra="")


class TlsServer(threading.Thread):
    """Speaks until TLS stands as its protocol has it, then closes."""
    def __init__(self, s, talk):
        super().__init__(daemon=True)
        self.talk, self.heard = talk, b""
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.load_cert_chain(s.dir + "/server.pem", s.dir + "/server.key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            with c:
                try:
                    for i, say in enumerate(self.talk):
                        if say:
                            c.sendall(say)
                        if i + 1 < len(self.talk):
                            self.heard += c.recv(512)
                    c = self.ctx.wrap_socket(c, server_side=True)
                    self.heard += c.recv(512)
                except (OSError, ssl.SSLError):
                    pass
                c.close()


SMTP = [b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n"]
LDAP_RESULT = bytes.fromhex("300c02010178070a0100" + "04000400")
LDAP_WIDE = bytes.fromhex("30840000001002010178840000000" + "70a010004000400")     # as AD does
LDAP_NO = bytes.fromhex("300c02010178070a0101" + "04000400")


@test("a server whose certificate is not trusted is a warning, and no name is said to it")
def untrusted(s):
    ca = f'ca_file = "{s.dir}/ca.pem"'
    block = {
        "https": 'backend "x" { type = http  url = "https://localhost:%d/"  auth = basic\n'
                 '  expect_status = true  %s }',
        "ldaps": 'ldap "x" { uri = {"ldaps://localhost:%d"}  base = "dc=x"\n'
                 '  filter = "(uid=%%s)"  %s }\nbackend "x" { type = ldap  profile = "x" }',
        "ldap": 'ldap "x" { uri = {"ldap://localhost:%d"}  base = "dc=x"\n'
                '  filter = "(uid=%%s)"  %s  starttls = true }\n'
                'backend "x" { type = ldap  profile = "x" }',
        "smtp": 'backend "x" { type = smtp  transport = "x" }\n'
                'transport "x" { method = static  hosts = {"localhost:%d"}  %s }'}
    talks = {"https": [], "ldaps": [], "ldap": [b"", LDAP_RESULT], "smtp": SMTP,
             "wide": [b"", LDAP_WIDE]}
    for kind, text in [*block.items(), ("wide", block["ldap"])]:
        peer = TlsServer(s, talks[kind])
        for trusted in (False, True):
            s.write_conf(extra=text % (peer.port, ca if trusted else ""))
            status, said = check(s)
            equal(status, 0, said)
            equal(f"port {peer.port} is not trusted" in said, not trusted, f"{kind}: {said}")
            ok("cannot be" not in said, f"{kind}: {said}")
        ok(b"AUTH" not in peer.heard and b"dc=x" not in peer.heard, str(peer.heard))
        peer.listener.close()
    for kind, talk, want in (("ldap", [b"", LDAP_NO], "StartTLS: 1"),
                             ("smtp", [b"220 x\r\n", b"250 x\r\n"], "STARTTLS"),
                             ("smtp", [b"554 go away\r\n"], "says 554"),
                             ("https", [b"HTTP/1.1 200 OK\r\n\r\n"], "TLS handshake")):
        peer = TlsServer(s, talk)
        s.write_conf(extra=block[kind] % (peer.port, ca))
        status, said = check(s)
        equal(status, 0, said)
        ok(f"localhost port {peer.port} cannot be used now" in said and want in said, said)
        peer.listener.close()
    s.write_conf(extra="")


@test("who is not root is told which directories a service of his could not use")
def unprivileged(s):
    if os.geteuid() != 0:
        skip("needs root to become somebody else")
    with tempfile.TemporaryDirectory(prefix="submitd-test-") as own:
        os.chown(own, 65534, 65534)
        for name in ("server.pem", "server.key", "users"):
            shutil.copy(f"{s.dir}/{name}", own)
            os.chown(f"{own}/{name}", 65534, 65534)
        os.chmod(own + "/users", 0o600)
        shutil.copy(s.binary, own + "/submitd")
        with open(own + "/c.conf", "w") as f:
            f.write(f"""server {{ hostname = "mail.example.com"  spool = "{own}/spool"
  state = "/usr/lib/state"  control = "{own}/run/control.sock" }}
tls "t" {{ certificate = "{own}/server.pem"  key = "{own}/server.key" }}
listener "l" {{ bind = {{"127.0.0.1:0"}}  relay_any_authenticated = true }}
backend "people" {{ type = file  path = "{own}/users" }}
auth_flow "f" {{ chain = {{"people"}} }}
domain "any" {{ transport = "t" }}
transport "t" {{ method = lookup-mx }}
""")
        os.chmod(own, 0o755)
        r = subprocess.run([own + "/submitd", "-t", "-f", own + "/c.conf"], capture_output=True,
                           text=True, user=65534, group=65534, extra_groups=[],
                           timeout=patience(60))
    equal(r.returncode, 0, r.stdout)
    ok('state = "/usr/lib/state": who runs this may not write to /usr/lib' in r.stdout, r.stdout)
    ok("spool =" not in r.stdout and "control =" not in r.stdout, r.stdout)


@test("promise 6: a bad configuration never starts")
def no_start(s):
    s.write_conf(extra=MISTAKES["unknown option"][0])
    s.start(wait=False)
    equal(s.p.wait(patience(30)), 1)
    s.p = None
    ok("max_conections" in s.log(), s.log())
    s.write_conf(extra="")


def readme():
    """The smallest configuration, and the lines of it that are others without a mailbox server."""
    with open(TOP + "/README") as f:
        text = f.read()
    found = [re.search(rf"^( {{4}}{word} .*?)\n\n", text, re.S | re.M)
             for word in ("server", 'backend  "people"')]
    ok(all(found), "two configurations in README")
    return found[0][1], found[1][1]


@test("the smallest configuration of the README works with a file of passwords")
def smallest(s):
    conf, others = readme()
    for line in others.split("\n"):
        first = {"backend": r"\s*backend\s", "auth_flow": r"\s*auth_flow\s",
                 "domain": r'\s*domain\s+"example.com"'}[line.split()[0]]
        conf, n = re.subn(rf"^{first}.*$", lambda _, x=line: x, conf, flags=re.M)
        equal(n, 1, line)
    conf = re.sub(r'transport "mailhost".*', "", conf)
    for a, b in (("/etc/submitd/mail.pem", s.dir + "/server.pem"),
                 ("/etc/submitd/mail.key", s.dir + "/server.key"),
                 ("/etc/submitd/users", s.dir + "/users"), ("0.0.0.0:587", f"127.0.0.1:{s.port}"),
                 ("/var/spool/submitd", s.dir + "/spool")):
        conf = conf.replace(a, b)
    if "spool" not in conf:
        conf = conf.replace('hostname = "mail.example.com"',
                            f'hostname = "mail.example.com"  spool = "{s.dir}/spool"  '
                            f'control = "{s.dir}/control.sock"  state = "{s.dir}/state"')
    conf = re.sub(r'transport "internet".*', f'transport "internet" {{ method = static  '
                  f'hosts = {{"127.0.0.1:{s.hop.port}"}} }}', conf)
    own = Service(next_port=s.hop.port, start=False, directory=s.dir, port=s.port)
    own.blocks = {"all": conf}
    own.write_conf()
    os.unlink(own.dir + "/users")
    os.close(os.open(own.dir + "/users", os.O_CREAT | os.O_WRONLY, 0o600))
    own.run_ctl("passwd", "--file", own.dir + "/users", "alice@example.com",
                text=own.password() + "\n").check_returncode()
    with own:
        own.start()
        smtpc.submit(own)
        s.hop.wait(1)


@test("the samples in etc/ are syntactically right")
def samples(s):
    for path in glob.glob(TOP + "/etc/*.conf") + glob.glob(TOP + "/etc/*.conf.*"):
        _, text = check(s, path)
        for bad in ("unknown", "syntax", "expected"):
            ok(bad not in text.lower(), f"{path}: {text[:1500]}")


run(fixture)
