#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""SASL mechanisms beside PLAIN and LOGIN (P3), with clients of others and hostile ones."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import json
import smtplib
import ssl
import time

import peers
import scram
import smtpc
from client_certs import client_certs, fingerprint, make_client_cert
from daemon import USER, Service, is_sanitized
from nexthop import NextHop
from tap import diag, equal, ok, run, skip, test, wait_for

SARA, PASSWORD = "sara@example.com", "correct pencil"
LIMIT = 'limit "normal" { max_per_address = 1000  max_errors = 100  max_auth_failures = 100 }'
TLS = ('tls "default" { certificate = "@D@/server.pem"  key = "@D@/server.key"\n'
       '  client_ca = "@D@/clients.pem"  client_email = true }')
FLOW = ('auth_flow "people" { chain = {"internal", "files"} }\n'
        f'user "{SARA}" {{ smtp_auth = matching_sender  secret = "file:@D@/sara.hash" }}\n'
        'user "dan@example.com" { smtp_auth = matching_sender\n'
        '  client_cert_sha256 = {"@DAN@"} }\n'
        'user "eve@example.com" { smtp_auth = matching_sender  secret = "file:@D@/sara.hash" }\n')


@contextlib.contextmanager
def fixture():
    with NextHop() as hop:
        s = Service(next_port=hop.port, start=False, blocks={"limit": LIMIT, "tls": TLS})
        s.blocks["submissions"] = s.blocks["submissions"].replace(
            "tls = implicit", 'tls = implicit  xclient = {"127.0.0.1"}')
        s.flow = FLOW.replace("@DAN@", client_certs(s.dir))
        s.write_conf(auth_flow=s.flow)
        r = s.run_ctl("passwd", "--hash", "--method", "scram-sha-256", text=PASSWORD + "\n",
                      conf=False)
        equal(r.returncode, 0, r.stderr)
        with open(s.dir + "/sara.hash", "w") as f:
            f.write(r.stdout)
        os.chmod(s.dir + "/sara.hash", 0o600)
        s.users[SARA] = PASSWORD
        s.scram = r.stdout.strip()
        s.start()
        with s:
            s.hop = hop
            yield s


def arrived(s, subject):
    return wait_for(lambda: next((m for m in s.hop.messages
                                  if f"Subject: {subject}".encode() in m.data), None), subject)


def client(command, *args, text=None, **kw):
    peers.need(command)
    r = peers.run(command, *args, input=text or "", **kw)
    equal(r.returncode, 0, f"{command}: {r.stdout[-800:]}{r.stderr[-800:]}")
    return r


@contextlib.contextmanager
def session(s):
    with smtpc.Client(s.port465, tls=True) as c:
        c.ehlo()
        yield c


def msmtp(s, mech, user, password, *args):
    subject = f"by msmtp {mech}"
    client("msmtp", "--file=/dev/null", "--host=localhost", f"--port={s.port}", "--tls=on",
           f"--tls-trust-file={s.dir}/ca.pem", f"--auth={mech}", f"--user={user}",
           f"--passwordeval=echo '{password}'", f"--from={user}", *args, "x@remote.example",
           text=smtpc.letter(subject, sender=user).replace("\r\n", "\n"))
    arrived(s, subject)


def curl(s, mech, user, *args):
    subject = f"by curl {mech}"
    path = s.dir + "/letter.eml"
    with open(path, "w") as f:
        f.write(smtpc.letter(subject, sender=user).replace("\r\n", "\n"))
    client("curl", "-sS", "--cacert", s.dir + "/ca.pem",
           "--resolve", f"localhost:{s.port465}:127.0.0.1",
           "--url", f"smtps://localhost:{s.port465}/client.example",
           "--login-options", f"AUTH={mech}", "--mail-from", user,
           "--mail-rcpt", "x@remote.example", "--crlf", "--upload-file", path, *args)
    arrived(s, subject)


@test("P3: what is offered follows from the backends")
def offered(s):
    with session(s) as c:
        equal(sorted(c.extensions["AUTH"].split()), ["LOGIN", "PLAIN", "SCRAM-SHA-256"])
        code, text = c.cmd("AUTH XOAUTH2 dXNlcj1hAWF1dGg9QmVhcmVyIHgBAQ==")
        equal(code, 504)
        ok("SCRAM-SHA-256" in text, text)
        equal(c.cmd("AUTH SCRAM-SHA-256-PLUS " + scram.b64("n,,n=a,r=b"))[0], 504)
        equal(c.cmd("AUTH SCRAM-SHA-1 " + scram.b64("n,,n=a,r=b"))[0], 504)


@test("P3: PLAIN and LOGIN against SCRAM keys: curl, swaks, s-nail, msmtp, smtplib")
def stock_plain(s):
    for mech in ("PLAIN", "LOGIN"):
        curl(s, mech, SARA, "--user", f"{SARA}:{PASSWORD}")
        client("swaks", "--server", f"127.0.0.1:{s.port}", "--tls", "--auth", mech,
               "--auth-user", SARA, "--auth-password", PASSWORD, "--from", SARA,
               "--to", "x@remote.example", "--header", f"Subject: by swaks {mech}")
        arrived(s, f"by swaks {mech}")
        name, word = SARA.replace("@", "%40"), PASSWORD.replace(" ", "%20")
        client("s-nail", "-:/", "-Sv15-compat", "-Ssmtp-use-starttls",
               f"-Ssmtp-auth={mech.lower()}", f"-Stls-ca-file={s.dir}/ca.pem",
               f"-Smta=submission://{name}:{word}@localhost:{s.port}", "-Stls-verify=strict",
               f"-r{SARA}", "-Ssendwait", "-s", f"by s-nail {mech}", "x@remote.example",
               text="Hello.\n")
        arrived(s, f"by s-nail {mech}")
        msmtp(s, mech.lower(), SARA, PASSWORD)
        with smtplib.SMTP_SSL("localhost", s.port465, timeout=30,
                              context=ssl.create_default_context(cafile=s.dir + "/ca.pem")) as c:
            c.ehlo()
            c.user, c.password = SARA, PASSWORD
            code, _ = c.auth(mech, getattr(c, f"auth_{mech.lower()}"))
            equal(code, 235)


@test("P3: SCRAM-SHA-256 by msmtp (GNU SASL)")
def msmtp_scram(s):
    peers.need("msmtp")
    if "scram-sha-256" not in peers.run("msmtp", "--version").stdout:
        skip("this msmtp has no SCRAM-SHA-256")
    msmtp(s, "scram-sha-256", SARA, PASSWORD)


@test("P3: SCRAM-SHA-256 by curl")
def curl_scram(s):
    if " GSASL" not in peers.run("curl", "-V").stdout:
        skip("this curl is built without GNU SASL")
    curl(s, "SCRAM-SHA-256", SARA, "--user", f"{SARA}:{PASSWORD}")


@test("P3: SCRAM-SHA-256 by our own client; the name in all its forms")
def own_scram(s):
    for user, header in ((SARA, "n,,"), ("SARA@Example.com", "y,,"), ("sara", "n,a=sara,")):
        with session(s) as c:
            equal(scram.login(c, user, PASSWORD, header)[0], 235)
            equal(c.cmd(f"MAIL FROM:<{SARA}>")[0], 250)
    ok(s.events(event="auth", mech="SCRAM-SHA-256", verdict="ok", backend="internal"), s.tell())


@test("P3: SCRAM: a name nobody has looks like a user, and keeps its salt")
def scram_unknown(s):
    def salt(user):
        with session(s) as c:
            x = scram.Exchange(c, user)
            equal(x.reply[0], 334)
            return x.attribute("s"), x.attribute("i")
    before = {u: salt(u) for u in ("nobody@example.com", "nobody", USER, SARA, "a=b,c")}
    equal(before["nobody"], before["nobody@example.com"])
    # as a user's, who is found whatever the case of letters
    for one, other in (("nobody", "NoBody@Example.com"), ("gr\u00f6\u00dfe", "GR\u00d6\u00dfE"),
                       ("\u00f6lga@b\u00fccher.example", "\u00d6LGA@B\u00dcCHER.example")):
        equal(salt(one), salt(other), one)
    equal(len({v[1] for v in before.values()}), 1, "iterations")
    equal(len({len(v[0]) for v in before.values()}), 1, "lengths of salts")
    replies = set()
    for user in before:                       # USER has no keys: 535 as for all
        with session(s) as c:
            replies.add(scram.login(c, user, "wrong"))
    equal(len(replies), 1, f"{replies}")
    equal(replies.pop()[0], 535)
    s.restart()
    equal({u: salt(u) for u in before}, before, "after a restart")


@test("P3: SCRAM out of order, with NULs, other headers, endless names: refused, never a crash")
def scram_hostile(s):
    pids = s.roles()["auth"]
    firsts = (b"", b"\0", b"n,,", b"n,,n=sara", b"n,,r=x,n=sara", b"p=tls-exporter,,n=sara,r=x",
              b"n,,m=1,n=sara,r=x", b"n,,n=sa\0ra,r=x", b"n,,n=sa=00ra,r=x", b"n,a=boss,n=sara,r=x",
              b"n,,n=sara,r=\xff", b"n,,n=" + b"x" * 300 + b",r=x", b"n,,n=sara,r=" + b"x" * 4000,
              b"n,,n=sara\n,r=x", b"c=biws,r=x,p=AAAA")
    with session(s) as c:
        for first in firsts:
            code, text = c.cmd("AUTH SCRAM-SHA-256 " + (scram.b64(first) or "="))
            ok(code in (501, 535), f"{first}: {code} {text}")
    finals = ("", "c=biws", "c=biws,r=x,p=AAAA", "p=AAAA", "c=biws,r={r},p=", "c=eSws,r={r},p=AAAA",
              "c=biws,r={r},i=1,p=AAAA", "c=biws,r={r},p=AAAA\0", "c=biws,r={r}{r},p=AAAA")
    for final in finals:
        with session(s) as c:
            x = scram.Exchange(c, SARA)
            code, text = c.cmd(scram.b64(final.replace("{r}", x.attribute("r"))) or "=")
            ok(code in (501, 535), f"{final}: {code} {text}")
    with session(s) as c:                     # a proof is for one exchange only
        x = scram.Exchange(c, SARA)
        equal(x.prove(PASSWORD)[0], 334)
        equal(c.cmd("*")[0], 501)
        equal(c.cmd(f"MAIL FROM:<{SARA}>")[0], 530)
        y = scram.Exchange(c, SARA)
        y.server = x.server                   # replayed
        ok(y.prove(PASSWORD)[0] in (501, 535), f"{y.reply}")
    equal(s.roles()["auth"], pids, "the auth process lives")


def with_cert(s, name, tls13=True):
    """A session on 465 whose client shows that certificate."""
    ctx = ssl.create_default_context(cafile=s.dir + "/ca.pem")
    ctx.check_hostname = False
    if not tls13:
        ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    if name:
        ctx.load_cert_chain(f"{s.dir}/{name}.pem", f"{s.dir}/{name}.key")
    c = smtpc.Client(s.port465, greet=False)
    c.wrap(ctx=ctx)
    equal(c.reply()[0], 220)
    c.ehlo()
    return c


@test("P3 RFC 4422: EXTERNAL is offered to those whose certificate verified, and to nobody else")
def external_offered(s):
    for tls13 in (True, False):
        for name, there in (("dan", True), ("eve", True), ("mallory", False), ("old", False),
                            (None, False)):
            with with_cert(s, name, tls13) as c:
                equal("EXTERNAL" in c.extensions["AUTH"].split(), there, f"{name}, {tls13}")
                if not there:
                    equal(c.cmd("AUTH EXTERNAL =")[0], 504)
                    equal(c.auth(USER, s.password())[0], 235)   # a bad one costs nothing else


@test("P3 RFC 4422: EXTERNAL: by fingerprint, by the address in the certificate, and not as others")
def external(s):
    dan, eve = "dan@example.com", "eve@example.com"
    for name, authzid, code, who in (
            ("dan", None, 235, dan), ("dan", "", 235, dan), ("dan", dan, 235, dan),
            ("dan", SARA, 535, None), ("dan", eve, 535, None), ("eve", "", 235, eve),
            ("eve", eve, 235, eve), ("eve", dan, 535, None), ("eve", "x" * 300, 535, None),
            ("eve", "eve\0", 535, None)):
        with with_cert(s, name) as c:
            if authzid is None:
                equal(c.cmd("AUTH EXTERNAL")[0], 334)
                got = c.cmd("")
            else:
                got = c.cmd("AUTH EXTERNAL " + (scram.b64(authzid) or "="))
            equal(got[0], code, f"{name} as {authzid!r}: {got}")
            if who:
                equal(c.cmd(f"MAIL FROM:<{who}>")[0], 250)


@test("P8 P3: a proxy that speaks XCLIENT lends nobody its certificate")
def external_xclient(s):
    with with_cert(s, "dan") as c:
        equal(c.cmd("XCLIENT ADDR=192.0.2.66")[0], 220)
        c.ehlo()
        ok("EXTERNAL" not in c.extensions["AUTH"].split(), c.extensions["AUTH"])
        equal(c.cmd("AUTH EXTERNAL =")[0], 504)
        equal(c.auth(USER, s.password())[0], 235)
        equal(c.cmd("XCLIENT ADDR=[UNAVAILABLE]")[0], 220)   # nor is anybody logged in by then
        c.ehlo()
        ok("EXTERNAL" not in c.extensions["AUTH"].split(), c.extensions["AUTH"])
        equal(c.cmd("MAIL FROM:<alice@example.com>")[0], 530)


def judge(s, name, *args):
    """(status, rows) of auth-test --cert --json, from a file that holds the key, too."""
    path = s.dir + "/both.pem"
    with open(path, "wb") as f:
        for kind in ("key", "pem"):
            with open(f"{s.dir}/{name}.{kind}", "rb") as part:
                f.write(part.read())
    r = s.run_ctl("auth-test", "--json", "--listener", "submissions", "--cert", path, *args)
    return r.returncode, [json.loads(x) for x in r.stdout.split("\n") if x]


@test("C2 RFC 4422: auth-test --cert: whom EXTERNAL makes of a certificate, and why not")
def tester(s):
    dan, eve = "dan@example.com", "eve@example.com"
    for name, args, code, who, reason in (
            ("dan", (), 235, dan, ""), ("dan", (dan,), 235, dan, ""),
            ("dan", (eve,), 535, None, "another user's"), ("eve", (), 235, eve, ""),
            ("eve", (dan,), 535, None, "another user's"),
            ("eve", ("--ip", "192.0.2.1"), 235, eve, "")):
        status, rows = judge(s, name, *args)
        result = rows[-1]
        equal((result["code"], result.get("principal"), status),
              (code, who, 0 if who else 1), f"{name} {args}: {rows}")
        ok(reason in result.get("reason", ""), result)
        equal((result["with"], result["cert"], result["cert_tls"]),
              ("cert", "CN=" + name, "default"))
        equal([r.get("not_asked") for r in rows[:-1]][-1:], ["it takes no certificates"])
    equal(judge(s, "dan")[1][-1]["cert_sha256"],
          fingerprint(s.dir + "/dan.pem").replace(":", "").lower())
    equal(judge(s, "eve")[1][-1]["cert_emails"], [eve])
    for name, why in (("old", "expired"), ("mallory", "unable to get local issuer")):
        status, rows = judge(s, name)
        equal((status, rows[-1]["code"]), (1, 504), rows)
        ok(why in rows[-1]["cert_problem"], rows)
        ok(all("not_asked" in r for r in rows[:-1]), rows)
    # one that verifies and is nobody's
    make_client_cert(s.dir, "nina", "clients", mail="nina@elsewhere.example")
    status, rows = judge(s, "nina")
    equal((status, rows[0]["verdict"], rows[-1]["code"]), (1, "unknown", 535))
    ok("none has its fingerprint" in rows[0]["reason"], rows)
    ok("none has its fingerprint" in rows[-1]["reason"], rows)
    with with_cert(s, "nina") as c:     # and so it is
        equal(c.cmd("AUTH EXTERNAL =")[0], 535)


@test("C2: auth-test --cert: files that are none, and the text for people")
def tester_usage(s):
    with open(s.dir + "/none.pem", "w") as f:
        f.write("good morning\n")
    for path, args, want in ((s.dir + "/none.pem", (), "no certificate in PEM form"),
                             (s.dir + "/dan.key", (), "no certificate in PEM form"),
                             (s.dir + "/missing", (), "No such file"),
                             (s.dir + "/dan.pem", ("--listener", "mx"), "takes no certificates")):
        r = s.run_ctl("auth-test", "--cert", path, *args)
        equal(r.returncode, 2, r.stdout + r.stderr)
        ok(want in r.stderr, f"{want}: {r.stderr}")
    r = s.run_ctl("auth-test", "--cert", s.dir + "/dan.pem")
    equal(r.returncode, 0, r.stdout + r.stderr)
    for part in ("subject    CN=dan", "sha256     ", "verified   yes (tls \"default\")",
                 "principal  dan@example.com", "235 2.7.0"):
        ok(part in r.stdout, f"{part!r} is missing in\n{r.stdout}")


@test("P3: EXTERNAL by msmtp and curl")
def external_stock(s):
    msmtp(s, "external", "dan@example.com", "unused", f"--tls-cert-file={s.dir}/dan.pem",
          f"--tls-key-file={s.dir}/dan.key")
    curl(s, "EXTERNAL", "dan@example.com", "--cert", s.dir + "/dan.pem", "--key",
         s.dir + "/dan.key", "--user", "dan@example.com:")
    # without a name: curl waits for 334, and says "=" where the book has an empty line
    curl(s, "EXTERNAL", "dan@example.com", "--cert", s.dir + "/dan.pem", "--key",
         s.dir + "/dan.key", "--user", ":")
    ok("CN=dan" in s.wait_log(event="auth", mech="EXTERNAL", login="dan@example.com")["cert"],
       "the subject is logged")


@test("P3: wrong user and wrong password take the same time, whatever the kind of hash")
def timing(_):
    def quartiles(s, *users):
        times = {u: [] for u in users}
        for _ in range(21):                   # in turn: both see the same load
            for u in users:
                with session(s) as c:
                    t = time.monotonic()
                    equal(c.auth(u, "wrong")[0], 535)
                    times[u].append(time.monotonic() - t)
        # the lower quartile: a loaded machine moves medians by more than what is looked for
        return (sorted(times[u])[5] * 1000 for u in users)
    guard = 'auth_guard { fail_delay = "0ms"  exempt = {"127.0.0.0/8"} }'  # nothing hides them
    for method in ("scram-sha-256", "argon2id", "yescrypt"):
        s = Service(start=False, blocks={"limit": LIMIT, "auth_guard": guard})
        r = s.run_ctl("passwd", "--hash", "--method", method, text=PASSWORD + "\n", conf=False)
        with open(s.dir + "/users", "w") as f:
            f.write(f"{SARA} {r.stdout}")
        s.start()
        with s:
            a, b = quartiles(s, SARA, "nobody@example.com")
            diag(f"{method}: wrong password {a:.1f} ms, wrong user {b:.1f} ms")
            ok(abs(a - b) < max(50 if is_sanitized() else 4, a / 3), f"{method}: {a:.1f}, {b:.1f}")


@test("A7: guesses by SCRAM are counted; asking for salts is not")
def guarded(s):
    guard = 'auth_guard { fail_delay = "0ms"  per_address = {"3/1h"}  tarpit = "0s" }'
    with Service(blocks={"limit": LIMIT, "auth_guard": guard}, users={SARA: s.scram}) as own:
        with session(own) as c:
            for _ in range(8):
                equal(scram.Exchange(c, SARA).reply[0], 334)
                equal(c.cmd("*")[0], 501)
            codes = [scram.login(c, SARA, f"guess {i}")[0] for i in range(6)]
            ok(codes[0] == 535 and codes[-1] == 454, f"{codes}")
            equal(scram.login(c, SARA, PASSWORD)[0], 454, "locked out")


@test("P3: nodemailer logs in with PLAIN and LOGIN")
def nodemailer(s):
    peers.need("node")
    for mech in ("PLAIN", "LOGIN"):
        r = peers.nodemailer(s.dir + "/ca.pem", SARA, f"by node {mech}",
                             f'port: {s.port465}, secure: true, authMethod: "{mech}", '
                             f'auth: {{user: "{SARA}", pass: "{PASSWORD}"}}')
        equal(r.returncode, 0, r.stderr)
        arrived(s, f"by node {mech}")


@test("P3 S44: keys that come with a file are offered without a reload, and no longer when gone")
def follows_file(s):
    s.write_conf(auth_flow='auth_flow "people" { chain = {"files"} }')
    s.ctl("reload")

    def has_scram():
        with session(s) as c:
            return "SCRAM-SHA-256" in c.extensions["AUTH"].split()
    wait_for(lambda: not has_scram(), "SCRAM to go with internal's keys")
    s.ctl("passwd", "--method", "scram-sha-256", "nora@example.com", text="ñora 1\n")
    wait_for(has_scram, "SCRAM to come with the file's keys", 30)
    with session(s) as c:
        equal(scram.login(c, "nora@example.com", "ñora 1")[0], 235)
        s.users["nora@example.com"] = "ñora 1"
    smtpc.login(s, "nora@example.com").close()
    s.ctl("passwd", "--delete", "nora@example.com")
    wait_for(lambda: not has_scram(), "SCRAM to go with the file's keys", 30)
    s.write_conf(auth_flow=s.flow)
    s.ctl("reload")


run(fixture)
