#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Filters before any backend (S3 to S6, S14, S15): by client address and by name. The backend
is a web server that counts who asks."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import http.server
import re
import subprocess
import threading
import time
import urllib.parse

import smtpc
from daemon import USER, Service, free_port, patience
from tap import equal, ok, run, test

PASSWORD = "secret_enough"
COMMON = ('tls = starttls  tls_profile = {"default"}  auth_flow = "web"\n'
          '  default_domain = "example.com"  limit = "normal"')
LISTENERS = {
    "names": 'auth_user_mode = deny\n'
             '  auth_user_filter = {\'/^(root|test|scan)@/\', "*@old.example.com"}',
    "only": 'auth_user_mode = allow  auth_user_filter = {"alice@*"}',
    "nobody": 'auth_user_mode = allow',
    "addresses": 'auth_ip_mode = deny  auth_ip_filter = {"127.0.0.2", "127.0.1.0/24",\n'
                 '  "!127.0.1.9", "127.0.2.*", \'/^127\\.0\\.3\\.[0-4]$/\'}',
    "lan": 'auth_ip_mode = allow  auth_ip_filter = {"127.0.0.1"}',
    "letters": 'auth_user_mode = deny  auth_user_filter = {"\u00f6lga@*"}',
    "slow": 'auth_user_mode = deny  auth_user_filter = {\'/^(a+)+$/\'}',
}


class Counter:
    """Says yes to one password and remembers whom it was asked about."""

    def __init__(self):
        self.asked = []
        counter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                counter.asked.append(query.get("u", [""])[0])
                body = b"OK" if query.get("p") == [PASSWORD] else b"NO"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_address[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def fixture():
    with Counter() as web:
        ports = {name: free_port() for name in LISTENERS}
        more = (f'backend "web" {{ type = http  allow_plain = true\n'
                f'  url = "http://127.0.0.1:{web.port}/?u=$1&p=$2" }}\n'
                'auth_flow "web" { chain = {"web"} }\n')
        for name, options in LISTENERS.items():
            more += (f'listener "{name}" {{ bind = {{"127.0.0.1:{ports[name]}"}}\n'
                     f'  {COMMON}\n  {options} }}\n')
        guard = 'auth_guard { fail_delay = "300ms"  exempt = {"127.0.0.0/8"} }'
        with Service(start=False, blocks={"auth_guard": guard}) as s:
            s.web, s.ports = web, ports
            s.write_conf(more=more, ou='ou "staff" { domains = {"example.com"}\n'
                         '  auth_user_mode = deny  auth_user_filter = {"anybody@*"} }\n'
                         'ou "other" { domains = {"other.example"} }\n'
                         'user "\u00e4nne@b\u00fccher.example" { }')     # smtp_auth = off
            s.start()
            yield s


def session(s, listener, source=None):
    c = smtpc.Client(s.ports[listener], source=source)
    c.ehlo()
    equal(c.starttls()[0], 220)
    c.ehlo()
    return c


def attempt(s, listener, name, password=PASSWORD):
    """(code, text, seconds, how often the backend was asked)"""
    before = len(s.web.asked)
    with session(s, listener) as c:
        start = time.monotonic()
        code, text = c.auth(name, password)
        return code, text, time.monotonic() - start, len(s.web.asked) - before


@test("S5 S6: excluded names contact no backend and look like a wrong password, as late")
def names(s):
    wrong = attempt(s, "names", USER, "wrong")
    equal((wrong[0], wrong[3]), (535, 1))
    for name in ("root@example.com", "ROOT@EXAMPLE.COM", "root", "scan@any.example",
                 "joe@old.example.com", "joe@OLD.example.com"):
        code, text, seconds, asked = attempt(s, "names", name)
        equal((code, text, asked), (535, wrong[1], 0), name)
        ok(seconds >= 0.3 and abs(seconds - wrong[2]) < patience(0.5), f"{name}: {seconds} s")
    for name in (USER, "root2@example.com", "joe@very-old.example.com"):
        equal(attempt(s, "names", name)[::3], (235, 1), name)


@test("S5: an allow list lets in who is listed; S4: an empty one nobody")
def allow(s):
    equal(attempt(s, "only", USER)[::3], (235, 1))
    equal(attempt(s, "only", "bob@example.com")[::3], (535, 0))
    equal(attempt(s, "nobody", USER)[::3], (535, 0))


@test("S14 S15: a unit's filter is for its own names: anybody@* is not anybody elsewhere")
def unit(s):
    equal(attempt(s, "lan", "anybody@example.com")[::3], (535, 0))
    equal(attempt(s, "lan", "anybody@other.example")[::3], (235, 1))
    equal(attempt(s, "lan", "anybody@third.example")[::3], (235, 1))


@test("S5 S14 S18: no other case or form of a letter leads past a filter or a user block")
def letters(s):
    for name in ("\u00f6lga", "\u00d6LGA", "o\u0308lga", "O\u0308lga"):
        equal(attempt(s, "letters", name + "@other.example")[::3], (535, 0), name)
    for name in ("\u00e4nne@b\u00fccher.example", "\u00c4NNE@B\u00dcCHER.example",
                 "A\u0308nne@xn--bcher-kva.example"):
        equal(attempt(s, "lan", name)[::3], (535, 0), name)
    equal(attempt(s, "letters", "\u00f6tto@other.example")[::3], (235, 1))


@test("S3 S4: AUTH is not offered to a forbidden address, nor taken; others may use it")
def addresses(s):
    for source, allowed in (("127.0.0.1", True), ("127.0.0.2", False), ("127.0.0.3", True),
                            ("127.0.1.1", False), ("127.0.1.9", True), ("127.0.2.200", False),
                            ("127.0.3.4", False), ("127.0.3.44", True)):
        before = len(s.web.asked)
        with session(s, "addresses", source) as c:
            equal("AUTH" in c.extensions, allowed, source)
            code, text = c.auth(USER, PASSWORD)
            equal((code, len(s.web.asked) - before), (235, 1) if allowed else (503, 0), source)
            if not allowed:
                ok("S3" in text and source in text, text)
                equal(c.cmd(f"MAIL FROM:<{USER}>")[0], 530)
    with session(s, "lan") as c:
        ok("AUTH" in c.extensions, "offered")
    with session(s, "lan", "127.0.0.2") as c:
        ok("AUTH" not in c.extensions, "not offered")


@test("S6: a hostile pattern with a hostile name is a temporary failure at once, for it alone")
def hostile(s):
    code, _, seconds, asked = attempt(s, "slow", "a" * 200 + "!@example.com")
    equal((code, asked), (454, 0))
    ok(seconds < patience(2), f"{seconds} s")
    equal(attempt(s, "slow", USER)[::3], (235, 1))


@test("C1: explain names the rule and the line")
def explain(s):
    for listener, ip, name, rule in (("names", "127.0.0.1", "root", "S5"),
                                     ("addresses", "127.0.1.77", USER, "S3"),
                                     ("lan", "127.0.0.1", "anybody@example.com", "S14")):
        r = s.run_ctl("explain", "--listener", listener, "--ip", ip, "--auth", name,
                      "--from", USER, "--rcpt", "x@remote.example")
        equal(r.returncode, 1, r.stdout + r.stderr)
        ok(re.search(rf"{rule}\b.*submitd\.conf:\d+", r.stdout), r.stdout)


@test("S4: submitd -t warns of a list that lets nobody in, and refuses what is no pattern")
def check(s):
    def run_t(options):
        path = s.dir + "/other.conf"
        with open(s.conf) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text.replace(LISTENERS["nobody"], options))
        r = subprocess.run([s.binary, "-t", "-f", path], capture_output=True, text=True,
                           env=s.env)
        return r.returncode, r.stdout + r.stderr
    code, text = run_t(LISTENERS["nobody"])
    equal(code, 0, text)
    ok("auth_user_mode = allow with an empty auth_user_filter lets nobody log in" in text, text)
    code, text = run_t("auth_ip_mode = deny  auth_ip_filter = {\"mail.example.com\", '/(/'}")
    equal(code, 1, text)
    ok("no address, network or wildcard" in text and "missing closing parenthesis" in text, text)


run(fixture)
