#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Signed tokens by every algorithm (RFC 7518, RFC 8037): keys that change on their server, forged
tokens, and long ones."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import base64
import contextlib
import json
import shutil
import tempfile
import time

import smtpc
from daemon import Service, patience
from peer_nginx import Application
from tap import equal, ok, run, test, wait_for
from token_issuer import KEYS, USER, Issuer, b64url, run as openssl_run

ALGS = tuple(KEYS)
BACKEND = ('backend "@A@" { type = oauth  jwks_url = "http://127.0.0.1:@APP@/@A@"\n'
           '  issuer = "https://@A@.example"  audience = {"mail"}  allow_plain = true }\n')
LIMIT = 'limit "normal" { max_per_address = 1000  max_errors = 1000  max_auth_failures = 100 }'


@contextlib.contextmanager
def fixture():
    d = tempfile.mkdtemp(prefix="submitd-keys-")
    try:
        old, new = ({a: Issuer(d, f"{a}-{n}", a, f"https://{a}.example") for a in ALGS}
                    for n in (1, 2))
        served = {a: [old[a].jwk] for a in ALGS}

        def answer(r):
            return 200, json.dumps({"keys": [{"kty": "oct", "kid": "hs", "k": "AAAA"},
                                             *served[r.path[1:]]]}), "application/json"
        with Application(answer) as app:
            blocks = "".join(BACKEND.replace("@A@", a).replace("@APP@", str(app.port))
                             for a in ALGS)
            flow = f'auth_flow "people" {{ chain = {{{", ".join(ALGS)}}} }}'
            with Service(blocks={"backend": blocks, "auth_flow": flow, "limit": LIMIT}) as s:
                s.app, s.old, s.new, s.served, s.scratch = app, old, new, served, d
                yield s
    finally:
        shutil.rmtree(d, ignore_errors=True)


@contextlib.contextmanager
def session(s):
    with smtpc.Client(s.port465, tls=True) as c:
        c.ehlo()
        yield c


def message(token):
    return base64.b64encode(f"n,,\x01auth=Bearer {token}\x01\x01".encode()).decode()


def auth(c, token):
    code, text = c.cmd("AUTH OAUTHBEARER " + message(token))
    if code == 334:
        equal(json.loads(base64.b64decode(text))["status"], "invalid_token")
        code, _ = c.cmd("AQ==")
    return code


def login(s, token):
    with session(s) as c:
        return auth(c, token)


def fetches(s, alg):
    return len([r for r in s.app.requests if r.path == "/" + alg])


@test("RFC 7518 RFC 8037: a token of each algorithm logs in, and its keys are fetched once")
def good(s):
    for alg in ALGS:
        for _ in range(3):
            equal(login(s, s.old[alg].token()), 235, alg)
        row = s.wait_log(event="auth", verdict="ok", backend=alg)
        equal((row["principal"], row["mech"]), (USER, "OAUTHBEARER"))
        equal(fetches(s, alg), 1, alg)


@test("RFC 7519: expired, early, for others, for nobody: a no, by each algorithm", 120)
def claims(s):
    now = int(time.time())
    for alg in ALGS:
        i = s.old[alg]
        with session(s) as c:
            for what, token in {
                    "expired": i.token(exp=now - 60), "early": i.token(nbf=now + 600),
                    "without an end": i.token(exp=None), "audience": i.token(aud="calendar"),
                    "audiences": i.token(aud=["calendar", "mails"]), "nobody": i.token(email=None),
                    "issuer": i.token(iss=f"https://{alg}.example/")}.items():
                equal(auth(c, token), 535, f"{alg}: {what}")
            equal(auth(c, i.token(nbf=now - 5, aud=["calendar", "mail"])), 235, alg)


def forgeries(i, other, rogue):
    """Tokens that nobody with the key has made. other: of another algorithm's issuer."""
    head, body, sig = i.token().split(".")
    octets = base64.urlsafe_b64decode(sig + "=" * (-len(sig) % 4))

    def with_sig(data):
        return f"{head}.{body}.{b64url(data)}"

    def header(**fields):
        return b64url(json.dumps({"alg": i.alg, "kid": i.kid, **fields}).encode())
    eve = i.text(email="bob@example.com").split(".")[1]
    yield from {
        "none": f"{header(alg='none')}.{body}.", "None": f"{header(alg='None')}.{body}.",
        "none with a signature": f"{header(alg='none')}.{body}.{sig}",
        "no signature": f"{head}.{body}.", "another body": f"{head}.{eve}.{sig}",
        "one bit": with_sig(bytes([octets[0] ^ 1]) + octets[1:]),
        "the last bit": with_sig(octets[:-1] + bytes([octets[-1] ^ 1])),
        "cut": with_sig(octets[:-1]), "longer": with_sig(octets + b"\0"),
        "zeroes": with_sig(bytes(len(octets))), "ones": with_sig(b"\1" * len(octets)),
        "a key of the client's own": f"{header(jwk=rogue.jwk)}.{body}." + b64url(
            rogue.sign(f"{header(jwk=rogue.jwk)}.{body}".encode())),
        "another's key with that name": rogue.token({"kid": i.kid}),
        "another's key without a name": rogue.token({"kid": None}),
        "another issuer's key": other.token({"kid": i.kid, "alg": i.alg}, iss=i.iss),
    }.items()
    for alg in ALGS:                    # the right key, called something else
        if alg != i.alg:
            text = i.text({"alg": alg})
            yield f"as {alg}", f"{text}.{b64url(i.sign(text.encode()))}"
    for n, secret in enumerate(i.public()):
        yield f"HS256 {n}", i.hmac_token(secret)
        yield f"HS256 {n} with the oct key's name", i.hmac_token(secret).replace(
            i.text({"alg": "HS256"}).split(".")[0], header(alg="HS256", kid="hs"))
    if i.alg == "ES256":                # ASN.1 is not the form of RFC 7518
        der = openssl_run("dgst", "-sha256", "-sign", i.key, text=f"{head}.{body}".encode())
        yield "ASN.1", with_sig(der)


@test("RFC 8725: none, HS256 with the public key, other algorithms, changed signatures", 180)
def forged(s):
    for n, alg in enumerate(ALGS):
        rogue = Issuer(s.scratch, f"rogue-{alg}", alg, s.old[alg].iss)
        with session(s) as c:
            for what, token in forgeries(s.old[alg], s.old[ALGS[n - 1]], rogue):
                equal(auth(c, token), 535, f"{alg}: {what}")
            equal(auth(c, s.old[alg].token()), 235, alg)


@test("RFC 4954: a token of 8 KiB logs in, one of 16 KiB is too long a line, and no more")
def long(s):
    for alg in ALGS:
        i = s.old[alg]
        pad = 0
        while len(i.token(pad="x" * pad)) < 8150:
            pad += max(1, (8150 - len(i.token(pad="x" * pad))) * 3 // 4)
        equal(login(s, i.token(pad="x" * pad)), 235, alg)
        big = i.token(pad="x" * 12288)
        ok(len(big) >= 16384, len(big))
        with session(s) as c:
            equal(c.cmd("AUTH OAUTHBEARER " + message(big))[0], 500, alg)
            equal(c.cmd("AUTH OAUTHBEARER")[0], 334)
            equal(c.cmd(message(big))[0], 500, alg)
            equal(auth(c, i.token()), 235, alg)


@test("RFC 7517: keys change on the server: 454 until they are fetched, once in 30 s", 180)
def rotated(s):
    before = {a: fetches(s, a) for a in ALGS}
    equal(set(before.values()), {1}, "no forged token made anybody ask for keys again")
    for alg in ALGS:
        s.served[alg] = [s.new[alg].jwk]
    strays = {a: Issuer(s.scratch, f"stray-{a}", a, s.old[a].iss).token() for a in ALGS}
    first = {a: login(s, s.new[a].token()) for a in ALGS}
    codes = {a: [] for a in ALGS}

    def all_asked():
        for a in ALGS:
            if 535 not in codes[a]:
                codes[a].append(login(s, strays[a]))
        return all(535 in codes[a] for a in ALGS)
    wait_for(all_asked, "new keys to be asked for", patience(90), 0.5)
    for alg in ALGS:
        ok(first[alg] in (454, 235), first)     # 235: after more than 30 s it was the one to ask
        ok(set(codes[alg][:-1]) <= {454}, f"{alg}: nobody knows until then: {codes[alg]}")
        equal(login(s, s.new[alg].token()), 235, alg)
        equal(login(s, strays[alg]), 454, f"{alg}: who knows what the server has by now?")
        equal(login(s, s.old[alg].token()), 454, alg)
        n = len(codes[alg])
        equal(fetches(s, alg), 2 + (first[alg] == 235), f"{alg}: fetches in {n} tries")
    row = s.wait_log(event="auth", verdict="temp", backend="RS256")
    ok("too early" in row["reason"], row)
    ok("breaker open" not in s.log(), "strays do not close the backend for others")


@test("A1: no token in the log")
def secrets(s):
    log = s.log()
    for alg in ALGS:
        for i in (s.old[alg], s.new[alg]):
            ok(i.text().split(".")[0] not in log, alg)


run(fixture)
