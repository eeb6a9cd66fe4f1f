#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""TLS of the listeners: versions, certificates by name, change of certificates."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import shutil
import ssl

import peers
import smtpc
from daemon import Service, make_cert
from nexthop import NextHop
from tap import equal, ok, run, test, wait_for

TLS = ('tls "default" { certificate = "@D@/server.pem"  key = "@D@/server.key" }\n'
       'tls "second" { certificate = "@D@/second.pem"  key = "@D@/second.key" }')


@contextlib.contextmanager
def fixture():
    with NextHop() as hop:
        s = Service(next_port=hop.port, start=False)
        make_cert(s.dir, "second", "smtp.second.example")
        s.write_conf(tls=TLS, submission=s.blocks["submission"].replace(
            '{"default"}', '{"default", "second"}'))
        with s:
            s.start()
            yield s


def names(s, sni, port=None):
    """The DNS names of the certificate that a client sees who asks for sni."""
    ctx = smtpc.context(s.dir + "/ca.pem", check_hostname=False)
    c = smtpc.Client(port or s.port)
    with c:
        c.ehlo()
        c.starttls(sni, ctx)
        cert = c.s.getpeercert()
    return [v for k, v in cert["subjectAltName"] if k == "DNS"]


@test("S36: the certificate is chosen by SNI, the first one for all others")
def sni(s):
    equal(names(s, "smtp.second.example"), ["smtp.second.example"])
    equal(names(s, "mail.example.com"), ["mail.example.com", "localhost"])
    equal(names(s, "unknown.example"), ["mail.example.com", "localhost"])
    equal(names(s, None), ["mail.example.com", "localhost"])


@test("S36: TLS 1.2 and 1.3 are taken, older ones are not")
def versions(s):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        ctx = smtpc.context()
        ctx.minimum_version = ctx.maximum_version = version
        with smtpc.Client(s.port) as c:
            c.ehlo()
            c.starttls(None, ctx)
            equal(c.s.version(), version.name.replace("_", "."))
            equal(c.ehlo()[0], 250)
    old = smtpc.context()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with smtpc.Client(s.port) as c:
        c.ehlo()
        try:
            c.starttls(None, old)
        except (ssl.SSLError, OSError):
            return
        raise AssertionError("TLS 1.1 was taken")


@test("S36: sslscan finds no weak protocol and no weak cipher on 465 and behind STARTTLS", 120)
def sslscan(s):
    peers.need("sslscan")
    for args in ((f"127.0.0.1:{s.port465}",), ("--starttls-smtp", f"127.0.0.1:{s.port}")):
        r = peers.run("sslscan", "--no-colour", *args, seconds=100)
        for old in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
            ok(any(x.split()[:2] == [old, "disabled"] for x in r.stdout.split("\n")
                   if x.startswith(old)), f"{old} in {r.stdout}")
        ok("TLSv1.3   enabled" in r.stdout, r.stdout)
        for weak in ("RC4", "3DES", "NULL-", "EXP-", "anon"):
            ok(weak not in r.stdout.split("Supported Server Cipher")[-1], f"{weak}: {r.stdout}")


@test("S36: a renewed certificate is taken at a reload, open sessions stay")
def renewed(s):
    with smtpc.login(s) as c:
        make_cert(s.dir, "renewed", "renewed.example")
        shutil.copy(s.dir + "/renewed.key", s.dir + "/second.key")
        shutil.copy(s.dir + "/renewed.pem", s.dir + "/second.pem")
        s.reload()
        wait_for(lambda: names(s, "renewed.example") == ["renewed.example"], "the new certificate")
        equal(c.cmd("NOOP")[0], 250)
        equal(c.message("alice@example.com", "x@remote.example", smtpc.letter("kept"))[0], 250)


@test("S36: a key that does not fit its certificate: the reload is refused, the old one stays")
def misfit(s):
    shutil.copy(s.dir + "/second.key", s.dir + "/second.key.good")
    shutil.copy(s.dir + "/server.key", s.dir + "/second.key")
    s.reload()
    equal(names(s, "renewed.example"), ["renewed.example"])
    shutil.copy(s.dir + "/second.key.good", s.dir + "/second.key")
    s.reload()
    smtpc.submit(s)


run(fixture)
