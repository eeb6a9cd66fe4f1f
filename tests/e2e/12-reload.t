#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Reload: under load nothing is refused or cut, a bad configuration changes nothing."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import json

import smtpc
from daemon import USER, Service, Sink, load, patience, uuids
from tap import equal, ok, run, test, wait_for


@contextlib.contextmanager
def fixture():
    with contextlib.ExitStack() as stack:
        s = Service(start=False)
        stack.enter_context(s)
        s.sink = stack.enter_context(Sink(s.dir))
        s.next = s.sink.port
        s.write_conf()
        s.start()
        yield s


@test("P6 of DESIGN 2: a bad configuration changes nothing and says file, line and what is wrong")
def bad(s):
    with smtpc.login(s) as c:
        with open(s.conf) as f:
            good = f.read()
        with open(s.conf, "w") as f:
            f.write(good + '\nlistener "x" { bin = {"127.0.0.1:0"} }\n')
        s.reload()
        wait_for(lambda: [e for e in s.events(event="config") if e.get("line")], "the error")
        equal(c.cmd("NOOP")[0], 250)
        smtpc.submit(s)
        r = s.run_ctl("reload")
        equal(r.returncode, 1, f"submitctl reload: {r.stdout}{r.stderr}")
        ok("submitd.conf" in r.stdout + r.stderr, r.stdout + r.stderr)
        with open(s.conf, "w") as f:
            f.write(good)
        s.ctl("reload")
        equal(c.message(USER, "x@remote.example", smtpc.letter())[0], 250)


@test("DESIGN 3: ten reloads under load: no connection refused, no session cut", 240)
def load_and_reload(s):
    acked = s.dir + "/acked"
    p = load(s, wait=False, connections=20, messages=1000000, per_connection=5, size=4096,
             acked=acked)
    wait_for(lambda: len(uuids(acked)) > 20, "the load")
    for _ in range(10):
        before = len(uuids(acked))
        s.reload()
        wait_for(lambda: len(uuids(acked)) > before + 20, "mail between reloads", patience(20))
        # a third generation would hurry the first one: its sessions get 421 between messages
        wait_for(lambda: len(s.roles().get("front", [])) == 2, "the old fronts to end",
                 patience(20))
    p.terminate()
    r = json.loads(p.communicate()[0].strip().split("\n")[-1])
    equal((r["connect_errors"], r["refused_perm"], r["refused_temp"], r["lost"]), (0, 0, 0, 0),
          str(r))
    done = set(uuids(acked))
    wait_for(lambda: done <= {x[0] for x in s.sink.received()}, "all at the sink", patience(60))


@test("DESIGN 3: new settings are in force for new sessions, old sessions keep theirs")
def in_force(s):
    with smtpc.login(s) as c:
        s.write_conf(ou='ou "staff" { domains = {"example.com"}  match_from = true\n'
                     '  auth_user_mode = deny  auth_user_filter = {"alice@*"} }\n'
                     'ou "other" { domains = {"other.example"} }')
        s.reload()
        with smtpc.Client(s.port465, tls=True) as d:
            d.ehlo()
            equal(d.auth(USER, s.password())[0], 535)
        equal(c.message(USER, "x@remote.example", smtpc.letter())[0], 250)
    s.write_conf(ou='ou "staff" { domains = {"example.com"} }\n'
                 'ou "other" { domains = {"other.example"} }')
    s.reload()
    smtpc.submit(s)


@test("DESIGN 3: idle sessions of the old generation get 421 after drain_timeout")
def drained(s):
    with smtpc.login(s) as c:
        s.reload()
        c.s.settimeout(patience(20))
        equal(c.reply()[0], 421)
    wait_for(lambda: len(s.roles().get("front", [])) == 2, "the old fronts to end", patience(20))


@test("DESIGN 3: what processes hold from their start cannot change by a reload")
def fixed(s):
    good = s.blocks["server"]
    for changed in (good.replace("@D@/spool", "@D@/other"),
                    good.replace("server {", 'server { user_prefix = "other"')):
        s.write_conf(server=changed)
        r = s.run_ctl("reload")
        equal(r.returncode, 1, r.stdout + r.stderr)
        ok("cannot take the place of" in r.stdout + r.stderr, r.stdout + r.stderr)
    s.write_conf(server=good)
    s.reload()
    smtpc.submit(s)


@test("DESIGN 3: a changed bind opens the new port and closes the old one")
def bind(s):
    from daemon import free_port
    port = free_port()
    s.write_conf(extra='listener "more" { like = "submission"  '
                 f'bind = {{"127.0.0.1:{port}"}} }}')
    s.reload()
    with smtpc.Client(port) as c:
        equal(c.ehlo()[0], 250)
    s.write_conf(extra="")
    s.reload()

    def closed():
        try:
            smtpc.Client(port).close()
            return False
        except OSError:
            return True
        except smtpc.Gone:
            return False
    wait_for(closed, "the port to close", patience(20))


run(fixture)
