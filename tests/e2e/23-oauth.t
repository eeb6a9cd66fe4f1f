#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Backend oauth: OAUTHBEARER and XOAUTH2 (RFC 7628) with tokens that a server calls active
(RFC 7662) and with signed ones, over a real nginx with TLS."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import base64
import contextlib
import json
import pty
import shutil
import subprocess
import tempfile
import time
import urllib.parse

import peers
import smtpc
from daemon import Service, free_port, make_ca, make_cert, patience
from peer_nginx import Application, Nginx
from tap import equal, ok, run, test, wait_for
from token_issuer import ISSUER, USER, Issuer, b64url

SECRET = "client:secret%&"
OPAQUE = {
    "good-token": {"active": True, "username": USER, "aud": "mail", "scope": "smtp",
                   "mail": ["sales@example.com"]},
    "bob-token": {"active": True, "username": "bob", "aud": ["x", "mail"], "scope": "smtp"},
    "old-token": {"active": True, "username": USER, "aud": "mail", "scope": "smtp", "exp": 1},
    "other-audience": {"active": True, "username": USER, "aud": "calendar", "scope": "smtp"},
    "other-scope": {"active": True, "username": USER, "aud": "mail", "scope": "imap"},
    "strange-answer": {"active": "yes", "username": USER, "aud": "mail", "scope": "smtp"},
}
BLOCKS = """
backend "ask" { type = oauth  introspection_url = "https://localhost:@TLS@/introspect"
  client_id = "submitd"  client_secret = "file:@H@/secret"  ca_file = "@H@/ca.pem"
  audience = {"mail"}  scope = "smtp"  addresses_claim = "mail"  timeout = "3s" }
backend "stranger" { type = oauth  introspection_url = "https://localhost:@TLS@/introspect"
  client_id = "submitd"  client_secret = "file:@H@/wrong"  ca_file = "@H@/ca.pem"
  audience = {"mail"}  timeout = "3s" }
backend "keys" { type = oauth  jwks_url = "https://localhost:@TLS@/keys"  ca_file = "@H@/ca.pem"
  issuer = "https://sso.example.net"  audience = {"mail", "relay"}  scope = "smtp"
  timeout = "3s" }
backend "late" { type = oauth  jwks_url = "https://localhost:@TLS@/late"  ca_file = "@H@/ca.pem"
  issuer = "https://sso.example.net"  audience = {"mail"}  timeout = "3s" }
backend "file" { type = oauth  jwks_file = "@H@/keys.json"  issuer = "https://other.example"
  audience = {"mail"} }
backend "untrusted" { type = oauth  jwks_url = "https://127.0.0.2:@TLS@/keys"
  ca_file = "@H@/ca.pem"  issuer = "https://sso.example.net"  audience = {"mail"} }
"""


@contextlib.contextmanager
def fixture():
    d = tempfile.mkdtemp(prefix="submitd-oauth-")
    os.chmod(d, 0o755)
    state = {"late": 503}
    try:
        make_ca(d)
        cert, key = make_cert(d, "localhost", "localhost")
        issuer, rogue, other = Issuer(d, "k1"), Issuer(d, "rogue"), Issuer(d, "k2")
        for name, text in (("secret", SECRET), ("wrong", "wrong"),
                           ("keys.json", json.dumps({"keys": [other.jwk]}))):
            with open(f"{d}/{name}", "w") as f:
                f.write(text + "\n")
            os.chmod(f"{d}/{name}", 0o600)

        def answer(r):
            if r.path == "/introspect":
                basic = base64.b64decode(r.headers["Authorization"].split(" ")[1]).decode()
                name, _, secret = basic.partition(":")
                if (name, urllib.parse.unquote_plus(secret)) != ("submitd", SECRET):
                    return 401, "{}", "application/json"
                token = urllib.parse.parse_qs(r.body.decode())["token"][0]
                return 200, json.dumps(OPAQUE.get(token, {"active": False})), "application/json"
            if r.path == "/late" and state["late"] != 200:
                return state["late"], "", "text/plain"
            return 200, json.dumps({"keys": [{"kty": "oct", "k": "AAAA"}, issuer.jwk]}), \
                "application/json"
        with Application(answer) as app, Nginx(d, app.port, cert, key) as nginx:
            ports, rows = {}, [BLOCKS.replace("@TLS@", str(nginx.port)).replace("@H@", d)]
            flows = {n: [n] for n in ("ask", "stranger", "keys", "late", "untrusted")}
            flows["chain"] = ["keys", "file", "files"]
            for name, chain in flows.items():
                ports[name] = free_port()
                rows.append(
                    f'auth_flow "{name}" {{ chain = {{{", ".join(chain)}}} }}\n'
                    f'listener "{name}" {{ like = "submission"  auth_flow = "{name}"\n'
                    f'  bind = {{"127.0.0.1:{ports[name]}"}}  tls = implicit }}')
            with Service(blocks={"oauth": "\n".join(rows)}) as s:
                s.ports, s.app, s.nginx, s.state = ports, app, nginx, state
                s.issuer, s.rogue, s.other = issuer, rogue, other
                yield s
    finally:
        shutil.rmtree(d, ignore_errors=True)


def bearer(token, user=USER):
    return f"n,{'a=' + user if user else ''},\x01host=mail.example.com\x01port=465\x01" \
           f"auth=Bearer {token}\x01\x01"


def xoauth2(token, user=USER):
    return f"user={user}\x01auth=Bearer {token}\x01\x01"


@contextlib.contextmanager
def session(s, flow):
    with smtpc.Client(s.ports[flow], tls=True) as c:
        c.ehlo()
        yield c


def auth(c, message, mech="OAUTHBEARER"):
    code, text = c.cmd(f"AUTH {mech} " + base64.b64encode(message.encode()).decode())
    if code == 334:     # the reason as JSON; the client answers, then comes the 535
        ok("status" in json.loads(base64.b64decode(text)), text)
        code, text = c.cmd("AQ==" if mech == "OAUTHBEARER" else "")
    return code


def login(s, flow, token, user=USER):
    with session(s, flow) as c:
        return auth(c, bearer(token, user))


@test("RFC 7628: both mechanisms are offered where an oauth backend is, PLAIN where a password is")
def offered(s):
    for flow, want in (("ask", {"OAUTHBEARER", "XOAUTH2"}),
                       ("chain", {"OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"})):
        with session(s, flow) as c:
            equal(set(c.extensions["AUTH"].split()) & {"OAUTHBEARER", "XOAUTH2", "PLAIN",
                                                       "LOGIN"}, want, flow)


@test("RFC 7662 C8: an active token logs in, its addresses are the user's own")
def introspection(s):
    for mech, message in (("OAUTHBEARER", bearer("good-token")),
                          ("OAUTHBEARER", bearer("good-token", "")),
                          ("XOAUTH2", xoauth2("good-token"))):
        with session(s, "ask") as c:
            equal(auth(c, message, mech), 235, mech)
            for sender, code in ((USER, 250), ("sales@example.com", 250),
                                 ("bob@example.com", 550)):
                equal(c.cmd(f"MAIL FROM:<{sender}>")[0], code, sender)
                c.cmd("RSET")
    equal(login(s, "ask", "bob-token", "bob@example.com"), 235, "completed by default_domain")


@test("RFC 7662 C2: what is not active, expired or for others is a no, a strange answer temporary")
def refused(s):
    for token in ("unknown", "old-token", "other-audience", "other-scope"):
        equal(login(s, "ask", token), 535, token)
    equal(login(s, "ask", "strange-answer"), 454)
    equal(login(s, "stranger", "good-token"), 454, "our own client is refused")
    row = s.wait_log(event="backend", backend="stranger", level="error")
    ok("client_id" in row["text"], row)


@test("RFC 7628: a token does not log in another user than its own")
def claimed(s):
    equal(login(s, "ask", "good-token", "bob@example.com"), 535)
    equal(login(s, "ask", "bob-token", USER), 535)
    equal(login(s, "keys", s.issuer.token(), "bob@example.com"), 535)


@test("RFC 7519: a signed token logs in; the keys are fetched once")
def signed(s):
    for _ in range(3):
        equal(login(s, "keys", s.issuer.token()), 235)
    equal(login(s, "keys", s.issuer.token(aud=["x", "relay"])), 235)
    equal(len([r for r in s.app.requests if r.path == "/keys"]), 1, "fetches")


@test("RFC 7519: forged, changed, expired tokens and those for others are a no")
def forged(s):
    now, good = int(time.time()), s.issuer.token()
    head, body, sig = good.split(".")
    none = b64url(json.dumps({"alg": "none"}).encode())
    eve = b64url(json.dumps({"iss": ISSUER, "aud": "mail", "exp": now + 600, "scope": "smtp",
                             "email": "bob@example.com"}).encode())
    for what, token in {
            "expired": s.issuer.token(exp=now - 60), "early": s.issuer.token(nbf=now + 600),
            "no expiry": s.issuer.token(exp=None), "audience": s.issuer.token(aud="calendar"),
            "scope": s.issuer.token(scope="imap"), "issuer": s.issuer.token(iss=ISSUER + "/"),
            "unverified": s.issuer.token(email_verified=False),
            "nobody": s.issuer.token(email=None), "none": none + "." + body + ".",
            "none with signature": none + "." + body + "." + sig, "other body":
            head + "." + eve + "." + sig, "HMAC":
            s.issuer.hmac_token(s.issuer.public()[0]),
            "rogue as k1": s.rogue.token({"kid": "k1"}), "critical":
            s.issuer.token({"crit": ["x"], "x": 1}), "no JWT": "opaque"}.items():
        equal(login(s, "keys", token, ""), 535, what)
    # 535 only where 30 s have passed and the keys were fetched for it: 30-oauth-keys.t
    ok(login(s, "keys", s.rogue.token(), "") in (454, 535), "a key that nobody knows")
    equal(login(s, "keys", good), 235)


@test("S17: a chain of two issuers and a password file; each judges its own")
def chain(s):
    equal(login(s, "chain", s.issuer.token()), 235)
    equal(login(s, "chain", s.other.token(iss="https://other.example")), 235)
    equal(login(s, "chain", s.other.token({"kid": s.issuer.kid})), 535, "another issuer's key")
    with session(s, "chain") as c:
        equal(c.auth(USER, s.password())[0], 235)


@test("C2: a key set that cannot be had is temporary, and comes back by itself")
def late(s):
    token = s.issuer.token()
    equal(login(s, "late", token), 454)
    equal(login(s, "untrusted", token), 454)
    row = s.wait_log(event="backend", backend="untrusted", level="error")
    ok("certificate" in row["text"], row)
    s.state["late"] = 200
    wait_for(lambda: login(s, "late", token) == 235, "the key set to be fetched again",
             patience(60), 1)


@test("RFC 7628: curl logs in with both mechanisms")
def curl(s):
    peers.need("curl")
    for mech in ("OAUTHBEARER", "XOAUTH2"):
        r = peers.run("curl", "-sS", "--insecure", "--user", USER + ":", "--oauth2-bearer",
                      "good-token", "--login-options", f"AUTH={mech}", "--mail-from", USER,
                      "--mail-rcpt", "x@remote.example", "--upload-file", "-",
                      f"smtps://127.0.0.1:{s.ports['ask']}",
                      input=smtpc.letter())
        equal((r.returncode, r.stderr), (0, ""), mech)


@test("C2: nginx is killed: introspection is temporary, keys that were fetched go on")
def killed(s):
    equal(login(s, "keys", s.issuer.token()), 235)
    s.nginx.kill()
    equal(login(s, "ask", "good-token"), 454)
    equal(login(s, "keys", s.issuer.token()), 235)
    s.nginx.start()
    equal(login(s, "ask", "good-token"), 235)


@test("C6: submitd -t names key sets and secrets that are none")
def config(s):
    path = s.dir + "/check.conf"
    rest = s.fill("\n".join(v for k, v in s.blocks.items() if k != "oauth"))
    for name, text in (("rubbish", "rubbish"), ("empty", "")):
        with open(f"{s.dir}/{name}", "w") as f:
            f.write(text)
        os.chmod(f"{s.dir}/{name}", 0o600)
    keys = 'issuer = "https://i"  audience = {"mail"}  jwks_file = '
    ask = 'introspection_url = "https://i/"  scope = "smtp"  client_id = "x"  client_secret = '
    for options, want in ((f'{keys}"{s.dir}/rubbish"', "is no key set"),
                          (f'{keys}"{s.dir}/missing"', "cannot be read"),
                          (f'{ask}"file:{s.dir}/empty"', "must hold one line"),
                          (f'{ask}"hunter2"', "into a file of its own")):
        with open(path, "w") as f:
            f.write(f'{rest}\nbackend "x" {{ type = oauth  {options} }}\n'
                    'auth_flow "x" { chain = {"x"} }\nlistener "x" { like = "submission"\n'
                    '  auth_flow = "x"  bind = {"127.0.0.1:1"} }\n')
        r = peers.run(s.binary, "-t", "-f", path, env=s.env)
        ok(r.returncode == 1 and want in r.stdout + r.stderr, f"{want}: {r.stdout}{r.stderr}")
        ok("hunter2" not in r.stdout + r.stderr, "a secret is shown")


@test("RFC 7628: msmtp logs in with both mechanisms")
def msmtp(s):
    peers.need("msmtp")
    for mech in ("oauthbearer", "xoauth2"):
        r = peers.run("msmtp", "--file=/dev/null", "--host=localhost", f"--port={s.ports['ask']}",
                      "--tls=on", "--tls-starttls=off", f"--tls-trust-file={s.dir}/ca.pem",
                      f"--auth={mech}", f"--user={USER}", "--passwordeval=echo good-token",
                      f"--from={USER}", USER, input=smtpc.letter(f"by msmtp {mech}"))
        equal(r.returncode, 0, r.stdout + r.stderr)
        s.wait_log(event="auth", mech=mech.upper(), verdict="ok")


@test("RFC 7628: nodemailer logs in with a token")
def nodemailer(s):
    peers.need("node")
    r = peers.nodemailer(s.dir + "/ca.pem", USER, "by node XOAUTH2",
                         f'port: {s.ports["ask"]}, secure: true, auth: {{type: "OAuth2", '
                         f'user: "{USER}", accessToken: "good-token"}}')
    equal(r.returncode, 0, r.stderr)


@test("RFC 4954 RFC 7628: tokens up to 8 KiB are asked for, longer ones refused")
def longest(s):
    for n, code in ((8192, 535), (8193, 535), (9100, 535)):
        with session(s, "ask") as c:
            equal(auth(c, bearer("x" * n)), code, f"{n} octets")
            ok(("longer than 8192" in s.log()) == (n > 8192), "the reason is logged")
    with session(s, "ask") as c:
        equal(auth(c, bearer("x" * 9300)), 500, "the line is too long")


def ask(s, token, *args):
    """(status, rows) of auth-test --token --json."""
    r = s.run_ctl("auth-test", "--json", "--token-stdin", *args, text=token + "\n")
    ok(token not in r.stdout + r.stderr, "the token is shown")
    return r.returncode, [json.loads(x) for x in r.stdout.split("\n") if x]


@test("C2 RFC 7628: auth-test --token: each backend's verdict, TLS peer and answer; no token")
def tester(s):
    status, rows = ask(s, "good-token", "--listener", "ask")
    equal(status, 0, rows)
    asked, result = rows
    equal((asked["backend"], asked["verdict"]), ("ask", "accept"))
    ok(isinstance(asked["ms"], int) and asked["tls"].startswith("TLSv1."), asked)
    said = "\n".join(asked["trace"])
    ok("POST https://localhost" in said and '"active": true' in said, said)
    equal((result["with"], result["code"], result["principal"], result["own"]),
          ("token", 235, USER, ["sales@example.com"]))
    ok("login" not in result, result)
    equal(ask(s, "good-token", "--listener", "ask", USER)[0], 0)
    status, rows = ask(s, "good-token", "--listener", "ask", "bob@example.com")
    equal((status, rows[-1]["code"]), (1, 535))
    ok("another user's" in rows[-1]["reason"], rows)
    status, rows = ask(s, "old-token", "--listener", "ask")
    equal((status, rows[0]["verdict"]), (1, "deny"))
    ok("expired" in rows[0]["reason"], rows)
    # a chain: the password file is passed over, the keys of one issuer after the other
    signed = s.other.token(iss="https://other.example")
    status, rows = ask(s, signed, "--listener", "chain")
    equal([(r["backend"], r.get("verdict")) for r in rows[:-1]],
          [("keys", "unknown"), ("file", "accept"), ("files", None)])
    equal((status, rows[2]["not_asked"]), (0, "it takes no tokens"))
    ok(any("claims: " in x for x in rows[1]["trace"]), rows)
    for part in signed.split(".")[2:]:
        ok(part not in json.dumps(rows), "the signature is shown")
    status, rows = ask(s, s.issuer.token(exp=1), "--listener", "chain")
    equal((status, rows[0]["verdict"], rows[-1]["decided_by"]), (1, "deny", "keys"))
    status, rows = ask(s, signed, "--listener", "late")
    equal((status, rows[0]["verdict"]), (1, "unknown"))


@test("C2: auth-test --token: what AUTH would not take, and where no tokens are taken")
def tester_usage(s):
    for token, args, want in (
            ("x", ("--listener", "submission"), "takes no tokens"),
            ("x", (), "the listeners differ"), ("", ("--listener", "ask"), "1 to 8192"),
            ("x" * 8193, ("--listener", "ask"), "1 to 8192"),
            ("a b", ("--listener", "ask"), "characters that no bearer token has"),
            ("x", ("--listener", "ask", "--cert", "/x"), "at a time"),
            ("x", ("--listener", "ask", " a"), "white space")):
        r = s.run_ctl("auth-test", "--token-stdin", *args, text=token + "\n")
        equal(r.returncode, 2, f"{args}: {r.stdout}{r.stderr}")
        ok(want in r.stderr, f"{want}: {r.stderr}")
    equal(ask(s, "x" * 8192, "--listener", "ask")[1][-1]["code"], 535)
    text = s.run_ctl("auth-test", "--token", "--password-stdin", "--listener", "ask",
                     text="good-token\n").stdout
    for part in ("ask ", "accept", "TLS TLSv1.", "principal  " + USER, "235 2.7.0"):
        ok(part in text, f"{part!r} is missing in\n{text}")


@test("C2: a token that is pasted at the prompt may be longer than a terminal's line")
def tester_prompt(s):
    token = s.issuer.token(pad="x" * 4500)
    ok(len(token) > 4200, len(token))
    master, slave = pty.openpty()
    p = subprocess.Popen([os.path.join(os.path.dirname(s.binary), "submitctl"), "-f", s.conf,
                          "auth-test", "--json", "--token", "--listener", "keys"], stdin=slave,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=s.env)
    try:
        equal(p.stderr.read(7), b"Token: ")
        left = token.encode() + b"\n"
        while left:
            left = left[os.write(master, left[:1000]):]
        out, err = p.communicate(timeout=patience(60))
    finally:
        p.kill()
        os.close(slave)
        os.close(master)
    equal(p.returncode, 0, out + err)
    ok(token.encode() not in out + err, "the token is shown")


@test("A1: no token and no secret in the log")
def secrets(s):
    log = s.log()
    for word in [*OPAQUE, SECRET, s.issuer.token().split(".")[0]]:
        ok(word not in log, word)


run(fixture)
