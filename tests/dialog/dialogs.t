#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Every tests/dialog/*.smtp against a running submitd; one service per set of blocks."""
import contextlib
import glob
import json
import os
import sys
import urllib.parse

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lib"))
import scram
from client_certs import client_certs
from daemon import PASSWORD, USER, Service
from dialog import Dialog
from nexthop import NextHop
from peer_nginx import Application
from tap import Skip, diag

# every mechanism: sara has keys, alice's token is good-token, dan and eve have certificates
SASL = {
    "limit": 'limit "normal" { max_per_address = 1000  max_errors = 100  max_auth_failures = 50 }',
    "tls": 'tls "default" { certificate = "@D@/server.pem"  key = "@D@/server.key"\n'
           '  client_ca = "@D@/clients.pem"  client_email = true }',
    "tokens": 'backend "tokens" { type = oauth  introspection_url = "http://127.0.0.1:@APP@/"\n'
              '  client_id = "submitd"  client_secret = "file:@D@/secret"  audience = {"mail"}\n'
              '  allow_plain = true }',
    "auth_flow": 'auth_flow "people" { chain = {"internal", "files", "tokens"} }\n'
                 'user "dan@example.com" { smtp_auth = matching_sender\n'
                 '  client_cert_sha256 = {"@DAN@"} }\n'
                 'user "eve@example.com" { smtp_auth = matching_sender }',
}


def answer(request):
    """Introspection (RFC 7662) for the set sasl."""
    token = urllib.parse.parse_qs(request.body.decode())["token"][0]
    good = {"active": True, "username": USER, "aud": "mail"}
    return 200, json.dumps(good if token == "good-token" else {"active": False}), \
        "application/json"


@contextlib.contextmanager
def service(name, blocks):
    """A running submitd, with what the set of that name needs."""
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(NextHop())
        s = Service(next_port=hop.port, start=False, blocks=dict(blocks))
        if name == "sasl":
            app = stack.enter_context(Application(answer))
            with open(s.dir + "/users", "a") as f:
                f.write(f"sara@example.com {scram.keys(PASSWORD)}\n")
            with open(s.dir + "/secret", "w") as f:
                f.write("secret\n")
            os.chmod(s.dir + "/secret", 0o600)
            dan = client_certs(s.dir)
            s.write_conf(**{k: v.replace("@APP@", str(app.port)).replace("@DAN@", dan)
                            for k, v in {**SASL, **dict(blocks)}.items()})
        elif name:
            raise AssertionError(f"there is no set {name}")
        stack.enter_context(s)
        s.start()
        yield s


def play(service, d):
    port = {"submission": service.port, "submissions": service.port465, "mx": service.port25}
    d.run("127.0.0.1", port[d.listener], d.listener == "submissions", service.dir)


def main():
    words = sys.argv[1:]
    dialogs = [Dialog(p) for p in sorted(glob.glob(f"{HERE}/*.smtp"))]
    dialogs = [d for d in dialogs if not words or any(w in d.path for w in words)]
    groups, number, bad = {}, 0, 0
    for d in dialogs:
        groups.setdefault((d.set, tuple(sorted(d.blocks.items()))), []).append(d)
    for (name, blocks), members in groups.items():
        try:
            with service(name, blocks) as s:
                for d in members:
                    number += 1
                    try:
                        play(s, d)
                        print(f"ok {number} - {d.title}", flush=True)
                    except (AssertionError, OSError) as e:
                        bad += 1
                        print(f"not ok {number} - {d.title}", flush=True)
                        diag(e)
        except Skip as e:
            print(f"1..0 # SKIP {e}")
            return 0
        except AssertionError as e:
            number, bad = number + 1, bad + 1
            print(f"not ok {number} - the service ends well", flush=True)
            diag(e)
    print(f"1..{number}")
    return 1 if bad else 0


sys.exit(main())
