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
import subprocess

import smtpc
from daemon import TOP, Service, patience
from nexthop import NextHop
from tap import equal, ok, run, test

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
