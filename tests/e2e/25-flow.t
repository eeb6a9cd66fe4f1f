#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The chain of backends: units with their own, servers that hang, trickle or reset,
the breaker, the cache, and submitctl auth-test."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import contextlib
import json
import socket
import statistics
import threading
import time

import smtpc
from daemon import PASSWORD, USER, Service, patience
from peer_web import Web
from tap import equal, ok, run, test, wait_for

YAN, YAN_PASSWORD = "yan@other.example", "yellow_submarine"
XENA = "xena@other.example"
HTTP = ('backend "{name}" {{ type = http  method = POST  url = "http://127.0.0.1:{port}/"\n'
        '  body = "u=%u&p=%p"  timeout = "{timeout}"  concurrency = {workers}\n'
        '  breaker_failures = {failures}  breaker_pause = "{pause}" }}\n')


def http(name, web, timeout="1s", workers=4, failures=0, pause="1s"):
    return HTTP.format(name=name, port=web.port, timeout=timeout, workers=workers,
                       failures=failures, pause=pause)


@contextlib.contextmanager
def service(webs, flow='chain = {"files", "web"}  deadline = "3s"', ou="", **more):
    with Service(start=False) as s:
        s.write_conf(webs=webs, auth_flow='auth_flow "people" { ' + flow + ' }',
                     ou='ou "staff" { domains = {"example.com"}  auth_user_mode = deny\n'
                        '  auth_user_filter = {"ceo@*"} }\n'
                        'ou "other" { domains = {"other.example"} ' + ou + ' }', **more)
        s.start()
        yield s


@contextlib.contextmanager
def fixture():
    with Web({YAN: YAN_PASSWORD, XENA: "x"}) as web, \
            service(http("web", web), ou='backends = {"web"}') as s:
        s.web = web
        yield s


def login(s, user, password):
    """(code, seconds)"""
    c = smtpc.Client(s.port, timeout=patience(60))
    try:
        c.ehlo()
        c.starttls()
        c.ehlo()
        begin = time.monotonic()
        return c.auth(user, password)[0], time.monotonic() - begin
    finally:
        c.s.close()


def ask(s, user, password, *args):
    """(status, rows) of auth-test --json."""
    r = s.run_ctl("auth-test", "--json", "--password-stdin", *args, user, text=password + "\n")
    ok(password not in r.stdout + r.stderr, "the password was printed")
    return r.returncode, [json.loads(x) for x in r.stdout.split("\n") if x]


def backends(s):
    auth = [r for r in s.ctl_rows("stats") if r.get("role") == "auth"][0]
    return {b["backend"]: b for b in auth["backends"]}, auth


@test("S16: a unit's backend is asked for its names and for no others")
def units(s):
    before = s.web.asked
    equal(login(s, USER, PASSWORD)[0], 235)
    equal(login(s, USER, "wrong")[0], 535)
    equal(login(s, "nobody", "wrong")[0], 535)
    equal(login(s, "nobody@foreign.example", "wrong")[0], 535)
    equal(s.web.asked, before, "questions to the other unit's server")
    equal(login(s, YAN, YAN_PASSWORD)[0], 235)
    equal(login(s, YAN, "wrong")[0], 535)
    equal(s.web.asked, before + 2)


@test("S17: a known user's wrong password never reaches the next backend")
def known(s):
    before = s.web.asked
    equal(login(s, "zoe@other.example", "wrong")[0], 535)
    equal(s.web.asked, before)


@test("C2: auth-test shows each backend, who it is, and what the client would be told")
def tester(s):
    status, rows = ask(s, YAN, YAN_PASSWORD)
    equal(status, 0)
    files, web, result = rows
    equal((files["backend"], files["type"], files["verdict"]), ("files", "file", "unknown"))
    equal((web["backend"], web["type"], web["verdict"]), ("web", "http", "accept"))
    ok(isinstance(web["ms"], int) and web["trace"], str(web))
    equal([result[k] for k in ("verdict", "code", "esc", "principal", "ou", "decided_by")],
          ["accept", 235, "2.7.0", YAN, "other", "web"])
    status, rows = ask(s, "alice", "mistaken", "--listener", "submission", "--ip", "192.0.2.7")
    equal(status, 1)
    equal((rows[0]["verdict"], rows[0]["reason"]), ("deny", "wrong password"))
    ok("other units" in rows[1]["not_asked"], str(rows[1]))
    equal([rows[2][k] for k in ("code", "login", "address", "client", "name_known")],
          [535, "alice", USER, "192.0.2.7", True])
    text = s.run_ctl("auth-test", "--password-stdin", YAN, text=YAN_PASSWORD + "\n").stdout
    for part in ("files", "unknown", "web", "accept", "principal  " + YAN, "235 2.7.0"):
        ok(part in text, f"{part!r} is missing in\n{text}")
    equal([x for x in text.splitlines() if x != x.rstrip()], [], "no blanks at the end of a line")


@test("C2, S14: auth-test names the rule and its line")
def tester_rule(s):
    status, rows = ask(s, "ceo@example.com", "x" * 9)
    equal(status, 1)
    equal([r.get("not_asked") for r in rows[:-1]],
          ["a rule refuses the name before", "it is kept for names of other units"])
    equal((rows[-1]["rule"], rows[-1]["code"]), ("S14", 535))
    ok(rows[-1]["rule_line"] > 0 and rows[-1]["rule_file"].endswith("submitd.conf"), str(rows))


@test("C2, A1: auth-test is an operator's action and no failed login; the password is nowhere")
def tester_traces(s):
    secret = "never_written_anywhere"
    before = backends(s)[1]
    s.web.mode = "echo"                 # a server that sends back what it was asked
    equal(ask(s, XENA, secret)[0], 1)
    s.web.mode = "answer"
    equal(ask(s, USER, secret)[0], 1)
    after = backends(s)[1]
    for key in ("started", "denied", "malformed", "temporary", "refused_by_rule"):
        equal(after[key], before[key], key)
    row = s.wait_log(event="operator", command="auth.test")
    ok(row["text"].startswith("login=") and "cmd" not in row["text"], row["text"])
    ok("uid" in row["user"] and USER in row["text"], str(row))
    ok('secret' not in row["text"], "the log tells the length of a password")
    with open(f"{s.dir}/audit.log", encoding="utf-8") as f:
        audit = wait_for(lambda: [x for x in f if "auth.test" in x], "the record")
    ok(secret not in s.log() + "".join(audit), "the password was written")


@test("C2, A7: auth-test sees a lock-out, goes on behind it, and adds nothing to it")
def tester_locked(_):
    guard = 'auth_guard { per_address = {"2/1m"}  fail_delay = "0s"  tarpit = "0s" }'
    with Web({}) as web, service(http("web", web), auth_guard=guard) as s:
        for _ in range(5):              # no logins
            equal(ask(s, USER, "mistaken")[1][-1]["code"], 535)
        status, rows = ask(s, USER, PASSWORD)
        equal((status, rows[-1]["guard"], rows[-1]["code"]), (0, "lets through", 235))
        for word in ("mistaken1", "mistaken2"):
            equal(login(s, USER, word)[0], 535)
        equal(login(s, USER, PASSWORD)[0], 454)
        status, rows = ask(s, USER, PASSWORD)
        equal((status, rows[0]["verdict"]), (1, "accept"))
        equal((rows[-1]["guard"], rows[-1]["code"]), ("refuses", 454))
        status, rows = ask(s, USER, PASSWORD, "--ip", "192.0.2.77")
        equal((status, rows[-1]["guard"]), (0, "lets through"))
        text = s.run_ctl("auth-test", "--password-stdin", USER, text=PASSWORD + "\n").stdout
        ok("auth_guard" in text and "454 4.7.0" in text, text)


@test("C2: auth-test takes no password as an argument, and none that AUTH would not take")
def tester_usage(s):
    for args, text in ((("--password-stdin", USER, PASSWORD), PASSWORD), ((USER,), PASSWORD),
                       (("--password-stdin", USER), ""), (("--password-stdin", ""), "x"),
                       (("--password-stdin", USER), "x" * 1025),
                       (("--password-stdin", USER), "a\0b"), (("--password-stdin", "a\nb"), "x"),
                       (("--password-stdin", "--ip", "nowhere", USER), "x"),
                       (("--password-stdin", "--listener", "mx", USER), "x"),
                       (("--password-stdin", "--listener", "none", USER), "x")):
        r = s.run_ctl("auth-test", *args, text=text)
        equal((r.returncode, r.stdout), (2, ""), f"{args} {text[:20]}: {r.stderr}")
        if len(args) == 4:
            ok(args[2] in r.stderr, f"{args[2]} is named: {r.stderr}")


@test("P3: half a password, too much, and one octet at a time at the control socket")
def hostile(s):
    def talk(*parts):
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(patience(30))
            c.connect(f"{s.dir}/control.sock")
            for part in parts:
                c.sendall(part)
                time.sleep(0.01)
            c.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: c.recv(65536), b""))
    line = b'{"cmd":"auth.test","login":"alice","secret":%d}\n' % len(PASSWORD)
    word = PASSWORD.encode()
    ok(b'"code":235' in talk(line + word), "in one piece")
    ok(b'"code":235' in talk(*(bytes((b,)) for b in line + word)), "octet by octet")
    ok(b'"code":235' in talk(line + word + b"more"), "with rubbish behind it")
    ok(b'"code":' not in talk(line + word[:5]), "half a password is tried")
    ok(b'"code":' not in talk(line), "no password is tried")
    equal(login(s, USER, PASSWORD)[0], 235)


def times_of_others(s, stop, values):
    while not stop.is_set():
        code, seconds = login(s, USER, PASSWORD)
        equal(code, 235)
        values.append(seconds)


@test("DESIGN promise 4: hang, trickle, reset: only those who need it wait, no wrong answer")
def slow_servers(s):
    for mode in ("hang", "trickle", "reset", "garbage"):
        s.web.mode = mode
        stop, values, codes = threading.Event(), [], []
        others = threading.Thread(target=times_of_others, args=(s, stop, values))
        needy = [threading.Thread(target=lambda: codes.append(login(s, YAN, YAN_PASSWORD)))
                 for _ in range(12)]    # more than it has workers
        others.start()
        for t in needy:
            t.start()
        for t in needy:
            t.join()
        stop.set()
        others.join()
        s.web.mode = "answer"
        equal({c for c, _ in codes}, {454}, f"{mode}: replies")
        ok(max(t for _, t in codes) < patience(10), f"{mode}: later than the deadline of 3 s")
        ok(values, f"{mode}: nobody else logged in meanwhile")
        ok(statistics.median(values) < patience(0.5), f"{mode}: others took {values}")
        print(f"# {mode}: others logged in {len(values)} times, median "
              f"{statistics.median(values) * 1000:.1f} ms, longest {max(values) * 1000:.1f} ms")
    equal(login(s, YAN, YAN_PASSWORD)[0], 235)


@test("C2: auth-test of a server that hangs says what it waited for")
def tester_hang(s):
    s.web.mode = "hang"
    status, rows = ask(s, YAN, YAN_PASSWORD)
    s.web.mode = "answer"
    equal((status, rows[-1]["code"], rows[1]["verdict"]), (1, 454, "unavailable"))
    ok(rows[1]["ms"] >= 500 and rows[1]["reason"], str(rows[1]))


@test("C2: the breaker opens, answers at once, tries again, closes; auth-test looks past it")
def breaker(_):
    with Web({YAN: YAN_PASSWORD, XENA: "x"}, "hang") as web, \
            service(http("web", web, timeout="300ms", failures=3, pause="1s")) as s:
        wait_for(lambda: (login(s, YAN, "y"), login(s, XENA, "x")) and
                 s.events(event="backend", state="breaker open"), "the breaker to open",
                 patience(30))
        row = backends(s)[0]["web"]
        ok(row["breaker"] != "closed" and row["breaker_opened"] >= 1, str(row))
        equal(login(s, USER, PASSWORD)[0], 235)
        asked = web.asked
        codes = [login(s, YAN, YAN_PASSWORD) for _ in range(5)]
        equal({c for c, _ in codes}, {454})
        ok(web.asked - asked < 5, "an open breaker lets everything through")
        ok(backends(s)[0]["web"]["breaker_spared"] > 0, "breaker_spared")
        ok(s.events(event="auth", reason="breaker open"), "the reason is not in the log")
        rows = ask(s, YAN, YAN_PASSWORD)[1]
        equal(rows[1]["verdict"], "unavailable")
        ok(rows[1]["breaker"] in ("open", "half-open"), str(rows[1]))
        web.mode = "answer"
        equal(ask(s, YAN, YAN_PASSWORD)[1][1]["verdict"], "accept")
        wait_for(lambda: login(s, YAN, YAN_PASSWORD)[0] == 235, "a probe", patience(30))
        s.wait_log(event="backend", state="breaker closed")
        equal(backends(s)[0]["web"]["breaker"], "closed")
        for _ in range(8):              # a no is an answer
            equal(login(s, YAN, "wrong")[0] + login(s, XENA, "wrong")[0], 1070)
        equal(backends(s)[0]["web"]["breaker"], "closed")


@test("S17: on_unavailable: tempfail stops, next goes on, and never makes a no of it")
def unavailable(_):
    with Web({YAN: YAN_PASSWORD}, "reset") as one, Web({YAN: YAN_PASSWORD}) as two:
        webs = http("one", one) + http("two", two)
        with service(webs, 'chain = {"one", "two", "files"}') as s:
            equal(login(s, YAN, YAN_PASSWORD)[0], 454)
            equal((one.asked > 0, two.asked), (True, 0))
            s.write_conf(auth_flow='auth_flow "people" { chain = {"one", "two", "files"}\n'
                         '  on_unavailable = next }')
            equal(s.reload()["verdict"], "ok")
            equal(login(s, YAN, YAN_PASSWORD)[0], 235)
            equal(login(s, YAN, "wrong")[0], 454)
            equal(login(s, "alice", "wrong")[0], 535)   # somebody knows her
            one.mode = "answer"
            s.write_conf(auth_flow='auth_flow "people" { chain = {"one", "two", "files"}\n'
                         '  on_no = stop }')
            equal(s.reload()["verdict"], "ok")
            asked = two.asked
            equal(login(s, YAN, "wrong")[0], 535)
            equal(two.asked, asked)


@test("C2: the cache answers for a dead server, not longer than it may, and only the same login")
def cache(_):
    with Web({YAN: YAN_PASSWORD}) as web, \
            service(http("web", web), 'chain = {"files", "web"}  cache = "1h"') as s:
        equal(login(s, YAN, YAN_PASSWORD)[0], 235)
        equal(web.asked, 1)
        web.mode = "reset"
        equal(login(s, YAN, YAN_PASSWORD)[0], 235)
        equal(web.asked, 1)
        equal(login(s, YAN, "wrong")[0], 454)
        equal(backends(s)[1]["cache"]["hits"], 1)
        equal(ask(s, YAN, YAN_PASSWORD)[1][1]["verdict"], "unavailable")    # past the cache
        # the file that is asked first is read again: it may know him now
        with open(f"{s.dir}/users", "a", encoding="utf-8") as f:
            f.write(f"{YAN} another\n")
        wait_for(lambda: s.events(event="backend", state="reloaded"), "the file", patience(30))
        equal(login(s, YAN, YAN_PASSWORD)[0], 535)
        equal(login(s, YAN, "another")[0], 235)
        web.mode = "answer"
        s.write_conf()
        equal(s.reload()["verdict"], "ok")
        wait_for(lambda: backends(s)[1]["cache"]["entries"] == 0, "the old process to go",
                 patience(30))


run(fixture)
