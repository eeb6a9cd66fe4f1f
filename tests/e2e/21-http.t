#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Backend http (S45) against a real nginx with TLS, and against servers that hang, lie
and break. Each backend has a flow and a listener of its own."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import base64
import concurrent.futures
import contextlib
import json
import shutil
import tempfile
import time
import urllib.parse

import peers
import smtpc
from daemon import BLOCKS, Service, free_port, make_ca, make_cert, patience
from peer_nginx import Application, Nginx, Rogue
from tap import equal, ok, run, test, wait_for

ODD = {
    "alice@example.com": "correct_horse",
    "amp&user=root": "p&password=x=y",
    "plus+and space": "50% off %41 +",
    "quote\"'\\{}": "\"},{\"ok\":true,\"x\":\"",
    "münchen@example.com": "pässwörd €",
    "$1$2%u%p": "%p%u$2$1",
    "a" * 200: "b" * 1000,
    "slash/../../admin?x#y": "#?/;,:@",
    "<script>": "`id`;$(id)",
}
RULES = """
  timeout = "3s"  concurrency = 4  ca_file = "@D@/ca.pem" """


def backends(nginx, rogue, mute, tls_rogue, closed):
    """{name: options}"""
    https, plain = f"https://localhost:{nginx.port}", f"http://127.0.0.1:{nginx.plain}"
    form = 'method = POST  body = "username=%u&password=%p"'
    found = {
        "get": f'url = "{https}/get?user=$1&pass=$2"',
        "form": f'{form}  url = "{https}/form?app=mail%20relay"  expect = "OK"',
        "json": f'method = POST  content_type = json  url = "{https}/json"\n'
                "  body = '{\"login\": \"%u\", \"secret\": \"x%p\"}'\n"
                '  expect_field = "result.ok"  user_field = "result.user"\n'
                '  addresses_field = "result.mail"',
        "basic": f'auth = basic  expect_status = true  url = "{https}/basic"',
        "newline": f'{form}  url = "{https}/newline"  expect_newline = true',
        "strict": f'{form}  url = "{https}/newline"',
        "clear": f'{form}  url = "{plain}/form"',
        "moved": f'{form}  url = "{https}/moved"',
        "name": f'{form}  url = "https://127.0.0.1:{nginx.port}/form"',
        "wrong_name": f'{form}  url = "https://127.0.0.2:{nginx.port}/form"',
        "closed": f'{form}  url = "http://127.0.0.1:{closed}/"',
        "mute": f'{form}  url = "http://127.0.0.1:{mute.port}/"',
        "mute_tls": f'{form}  url = "https://127.0.0.1:{mute.port}/"',
        "rename": f'{form}  url = "{https}/odd_json"  expect_field = "ok"  user_field = "user"'
                  '  addresses_field = "mail"',
        "odd_json": f'{form}  url = "{https}/odd_json"  expect_field = "ok"',
    }
    for status in (201, 204, 401, 403, 404, 429, 500, 503):
        found[f"status{status}"] = f'{form}  url = "{https}/status/{status}"'
    for name in dir(rogue):
        if name.startswith("do_"):
            found["rogue_" + name[3:]] = f'{form}  url = "http://127.0.0.1:{rogue.port}' \
                                         f'/{name[3:]}"'
    for name in ("hang", "half", "cut_chunk", "reset"):
        found["tls_" + name] = f'{form}  url = "https://localhost:{tls_rogue.port}/{name}"'
    return {k: v + RULES for k, v in found.items()}


def answer(r):
    q = dict(urllib.parse.parse_qsl(r.query, keep_blank_values=True, strict_parsing=bool(r.query)))
    if r.path == "/get":
        return 200, "OK" if ODD.get(q["user"]) == q["pass"] and len(q) == 2 else "NO", "text/plain"
    if r.path in ("/form", "/newline"):
        f = urllib.parse.parse_qsl(r.body.decode("ascii"), keep_blank_values=True,
                                   strict_parsing=True)
        good = [k for k, _ in f] == ["username", "password"] and ODD.get(f[0][1]) == f[1][1]
        end = "\r\n" if r.path == "/newline" else ""
        return 200, ("OK" if good else "NO") + end, "text/plain"
    if r.path == "/json":
        j = json.loads(r.body.decode("utf-8"))
        good = "x" + ODD.get(j["login"], "") == j["secret"] and r.headers["Content-Type"] == \
            "application/json"
        return 200, json.dumps({"result": {"ok": good, "user": "alice@example.com",
                                           "mail": ["sales@example.com", "not an address", 7]}}), \
            "application/json"
    if r.path == "/basic":
        kind, _, value = r.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(value).decode("utf-8").partition(":")
        good = kind == "Basic" and ODD.get(user) == password
        return (200, "welcome", "text/plain") if good else (401, "who are you", "text/plain")
    if r.path == "/odd_json":
        return 200, ODD_JSON[0], "application/json"
    return 404, "nothing", "text/plain"


ODD_JSON = [""]


@contextlib.contextmanager
def fixture():
    d = tempfile.mkdtemp(prefix="submitd-http-")
    os.chmod(d, 0o755)
    try:
        make_ca(d)
        cert, key = make_cert(d, "localhost", "localhost")
        other = os.path.join(d, "other")
        os.mkdir(other)
        make_ca(other)
        with Application(answer) as app, Nginx(d, app.port, cert, key) as nginx, \
                Rogue() as rogue, Rogue(cert, key) as tls_rogue, Rogue(mute=True) as mute:
            found = backends(nginx, rogue, mute, tls_rogue, free_port())
            found["wrong_ca"] = found["form"].replace("@D@", other)
            ports = {name: free_port() for name in found}
            with service(d, found, ports) as s:
                s.ports, s.app, s.nginx, s.rogue, s.tls_rogue = ports, app, nginx, rogue, tls_rogue
                yield s
    finally:
        shutil.rmtree(d, ignore_errors=True)


def service(d, found, ports):
    rows = []
    for name, options in found.items():
        rows.append(f'backend "{name}" {{ type = http  ' + options.replace("@D@", d) + "}\n"
                    f'auth_flow "{name}" {{ chain = {{"{name}"}} }}\n'
                    f'listener "{name}" {{ like = "submission"  auth_flow = "{name}"\n'
                    f'  bind = {{"127.0.0.1:{ports[name]}"}}  tls = implicit }}')
    ou = BLOCKS["ou"].replace("match_from = true", 'match_from = true  backends = {"rename"}\n'
                              '  auth_user_mode = deny  auth_user_filter = {"ceo@*"}', 1)
    return Service(blocks={"http": "\n".join(rows), "ou": ou})


def login(s, backend, user="alice@example.com", password="correct_horse"):
    with smtpc.Client(s.ports[backend], tls=True) as c:
        c.ehlo()
        return c.auth(user, password)[0]


@test("S45: GET, form, JSON and Basic: the right password is a yes, another a no")
def kinds(s):
    for backend in ("get", "form", "json", "basic", "clear", "name"):
        equal(login(s, backend), 235, backend)
        equal(login(s, backend, password="wrong"), 535, f"{backend}, wrong password")
        equal(login(s, backend, user="nobody"), 535, f"{backend}, unknown user")


@test("S45: names and passwords of any octets come through unchanged and inject nothing")
def odd(s):
    for backend in ("get", "form", "json", "basic"):
        for user, password in ODD.items():
            if user == "alice@example.com":
                continue
            before = len(s.app.requests)
            code = login(s, backend, user, password)
            # a yes for a name that is no address is refused afterwards, the server's name counts
            asked = s.app.requests[before:]
            equal(len(asked), 1, f"{backend} {user!r}: requests")
            status = answer(asked[0])
            good = status[0] == 200 and (status[1] in ("OK", "welcome") or '"ok": true' in
                                         status[1])
            ok(good, f"{backend}: {user!r} was understood as {asked[0].query} {asked[0].body}")
            if backend == "json":
                equal(code, 235, f"{backend} {user!r}")
            equal(login(s, backend, user, password + "x"), 535, f"{backend} {user!r}")


@test("S45: a colon in the name is refused before Basic is tried")
def colon(s):
    before = len(s.app.requests)
    equal(login(s, "basic", "al:ice", "p:w"), 535)
    equal(len(s.app.requests), before, "requests")


@test("S45: the body must equal; a line end behind it only where expect_newline says so")
def newline(s):
    equal(login(s, "newline"), 235)
    equal(login(s, "newline", password="wrong"), 535)
    equal(login(s, "strict"), 535)


@test("C8: the server's own spelling is the principal, its addresses are the user's own")
def fields(s):
    with smtpc.Client(s.ports["json"], tls=True) as c:
        c.ehlo()
        equal(c.auth("münchen@example.com", ODD["münchen@example.com"])[0], 235)
        for sender, code in (("alice@example.com", 250), ("sales@example.com", 250),
                             ("bob@example.com", 550)):
            equal(c.cmd(f"MAIL FROM:<{sender}>")[0], code, sender)
            c.cmd("RSET")


@test("S45 C2: what an answer of the server means: 401 and 403 no, all else temporary")
def statuses(s):
    for status in (401, 403):
        equal(login(s, f"status{status}"), 535, str(status))
    for status in (201, 204, 404, 429, 500, 503):
        equal(login(s, f"status{status}"), 454, str(status))
    equal(login(s, "moved"), 454, "a redirect is not followed")
    row = s.wait_log(event="backend", backend="status404", level="error")
    ok("404" in row["text"], row)
    ok(not s.events(event="backend", backend="status503", level="error"), "503 is no mistake")


@test("S45: JSON that is broken, double, deep, or lacks the member is temporary, false is no")
def odd_json(s):
    for text, code in (('{"ok": true}', 235), ('{"ok": "true"}', 235), ('{"ok": false}', 535),
                       ('{"ok": null}', 535), ('{"ok": "yes"}', 535), ('{"ok": [true]}', 535),
                       ("", 454), ("OK", 454), ('{"ok": true', 454), ('["ok"]', 454)):
        ODD_JSON[0] = text
        equal(login(s, "odd_json"), code, text)


@test("S14 S16: a name that the server tells is held to filters and units like one from a client")
def renamed(s):
    for user, code in (("alice@example.com", 235), ("ann@example.com", 235),
                       ("ceo@example.com", 535), ("zoe@other.example", 535), ("", 454)):
        ODD_JSON[0] = json.dumps({"ok": True, "user": user})
        equal(login(s, "rename"), code, user)
        r = s.run_ctl("auth-test", "--json", "--password-stdin", "--listener", "rename",
                      "alice@example.com", text="correct_horse\n")
        ok(f'"code":{code}' in r.stdout.replace(" ", ""), f"auth-test says so: {r.stdout}")


@test("S8 S16: a unit's own server gives its users no addresses of others")
def foreign_addresses(s):
    mail = ["sales@example.com", "zoe@other.example", "boss@foreign.example", "SALES@EXAMPLE.COM"]
    ODD_JSON[0] = json.dumps({"ok": True, "user": "alice@example.com", "mail": mail})
    for _ in range(2):
        with smtpc.Client(s.ports["rename"], tls=True) as c:
            c.ehlo()
            equal(c.auth("alice@example.com", "correct_horse")[0], 235)
            for sender, code in (("alice@example.com", 250), (mail[0], 250), (mail[1], 550),
                                 (mail[2], 550)):
                equal(c.cmd(f"MAIL FROM:<{sender}>")[0], code, sender)
                c.cmd("RSET")
    r = s.run_ctl("auth-test", "--json", "--password-stdin", "--listener", "rename",
                  "alice@example.com", text="correct_horse\n")
    equal(json.loads(r.stdout.strip().split("\n")[-1])["own"], [mail[0], mail[3]])


@test("S45: an unknown authority and a wrong name in the certificate are temporary, and logged")
def trust(s):
    equal(login(s, "wrong_ca"), 454)
    equal(login(s, "wrong_name"), 454)
    for backend in ("wrong_ca", "wrong_name"):
        row = s.wait_log(event="backend", backend=backend, level="error")
        ok("certificate" in row["text"], row)
    equal(login(s, "form"), 235)


@test("C2: auth-test shows URL, TLS peer, status and answer, and no password that comes back")
def shown(s):
    def tried(backend, password, user="alice@example.com"):
        r = s.run_ctl("auth-test", "--json", "--password-stdin", "--listener", backend, user,
                      text=password + "\n")
        ok(password not in r.stdout + r.stderr, r.stdout)
        return r.stdout
    text = tried("get", "correct_horse")
    for part in ("/get?user=$1&pass=$2", "TLSv1.3", "CN=localhost", "status 200", "OK"):
        ok(part in text, f"{part} in {text}")
    ODD_JSON[0] = json.dumps({"ok": False, "echo": "hunter2 hunter2"})
    ok("*** ***" in tried("odd_json", "hunter2"), "the echo is covered")
    ok("no answer in time" in tried("rogue_hang", "hunter2"), "a server that hangs")
    ok("certificate" in tried("wrong_ca", "hunter2"), "an unknown authority")


@test("S45: connections are kept and used again")
def keep(s):
    for _ in range(6):
        equal(login(s, "form"), 235)
    wait_for(lambda: [r for r in s.nginx.access() if r[1] >= 6 and "/form" in r[3]],
             "a sixth request on one connection")
    before = len({r[0] for r in s.nginx.access() if "/form" in r[3]})
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(lambda _: login(s, "form"), range(60)))
    equal(codes, [235] * 60)
    used = len({r[0] for r in s.nginx.access() if "/form" in r[3]}) - before
    ok(used <= 4, f"60 logins with concurrency 4 opened {used} connections")


@test("S45 C2: servers that hang, trickle, reset, lie, and never end are temporary by the deadline",
      seconds=240)
def rogues(s):
    names = [n for n in s.ports if n.startswith(("rogue_", "tls_", "mute", "closed"))]

    def one(name):
        start = time.monotonic()
        return name, login(s, name), time.monotonic() - start
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        for name, code, seconds in pool.map(one, names):
            # whole and wrong: the second answer behind it must count for nothing
            equal(code, 535 if name == "rogue_early" else 454, name)
            ok(seconds < patience(15), f"{name} took {seconds:.1f} s")
    equal(login(s, "form"), 235, "others are not hurt")


@test("S45 C2: nginx is killed and comes back: temporary meanwhile, and no kept connection hurts",
      seconds=120)
def killed(s):
    equal(login(s, "basic"), 235)
    s.nginx.kill()
    equal(login(s, "basic"), 454)
    s.nginx.start()
    equal(login(s, "basic"), 235)
    s.nginx.stop()
    s.nginx.start()
    equal(login(s, "basic"), 235, "a connection that was closed while it was kept")


@test("A1: no password in the log, and none in URLs but where the configuration says so")
def secrets(s):
    log = s.log()
    for password in ODD.values():
        ok(password not in log and urllib.parse.quote(password, safe="") not in log, password)
    urls = [r[3] for r in s.nginx.access() if "/get?" not in r[3]]
    ok(urls and not any("correct_horse" in u for u in urls), "passwords in URLs")


def check(s, options):
    """What submitd -t says of a backend with these options."""
    path = s.dir + "/check.conf"
    text = "\n".join(v for k, v in {**s.blocks, "ou": BLOCKS["ou"]}.items() if k != "http")
    with open(path, "w") as f:
        f.write(s.fill(text) + f'\nbackend "x" {{ type = http  {options} }}\n'
                'auth_flow "x" { chain = {"x"} }\n'
                'listener "x" { like = "submission"  auth_flow = "x"  bind = {"127.0.0.1:1"} }\n')
    r = peers.run(s.binary, "-t", "-f", path, env=s.env)
    return r.stdout + r.stderr


@test("C6: submitd -t names what a backend cannot be")
def config(s):
    bad = {
        'url = "http://login.example.net/x?u=%u&p=%p"': "would send secrets in clear",
        'url = "https://user:pw@login.example.net/?u=%u&p=%p"': "in front of the host",
        'url = "https://login.example.net/%u?p=%p"': "behind the ? only",
        'url = "https://login.example.net/"': "nothing carries the name",
        'url = "ftp://login.example.net/?u=%u&p=%p"': "does not begin with https://",
        'url = "https://login.example.net/"  method = POST  body = "u=%u&p=%x"': "% is followed by",
        'url = "https://login.example.net/"  method = POST  content_type = json\n'
        "  body = '{\"u\": %u, \"p\": \"%p\"}'": "no JSON object",
        'url = "https://login.example.net/?u=%u&p=%p"  expect_status = true': "is for auth = basic",
        'url = "https://login.example.net/?u=%u&p=%p"  ca_file = "/nonexistent"': "ca_file",
    }
    for options, want in bad.items():
        text = check(s, options)
        ok(want in text, f"{options}: wanted {want!r} in {text}")
    text = check(s, 'url = "https://login.example.net/?u=%u&p=%p"')
    ok("access log" in text and "warning" in text, text)


run(fixture)
