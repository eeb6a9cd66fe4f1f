#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The audit record: nothing acknowledged without its record, nothing twice, whatever is killed;
rotation, reload, a full disk; and what submitctl audit finds and says."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import base64
import contextlib
import csv
import gzip
import json
import signal
import sqlite3
import socket
import subprocess

import peers
import smtpc
from auditlog import accepted, recorded, records, verify
from daemon import PASSWORD, USER, Service, Sink, load, patience, uuids
from disk import fill, small_disk
from tap import equal, ok, run, test, wait_for

AUDIT = 'audit { file = "@D@/audit.log"  checkpoint = "2s" }'


@contextlib.contextmanager
def service(audit=AUDIT, small=False):
    with contextlib.ExitStack() as stack:
        s = Service(start=False, blocks={"audit": audit})
        stack.enter_context(s)
        if small:
            stack.enter_context(small_disk(s))
        s.sink = stack.enter_context(Sink(s.dir))
        s.next = s.sink.port
        s.write_conf()
        s.start()
        yield s


@contextlib.contextmanager
def fixture():
    with service() as s:
        yield s


def attempt(s):
    c = smtpc.Client(s.port)
    c.ehlo()
    c.starttls()
    c.ehlo()
    return c


def kill(s, role):
    pid = wait_for(lambda: s.roles().get(role), f"a {role} process", patience(20))[0]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: pid not in s.children(), "its end", patience(20))


@test("A1 A2 A4: logins, failures, messages, refused relays and operators; all of it verifies")
def content(s):
    mid = smtpc.submit(s, data=smtpc.letter("audited"))
    with attempt(s) as c:
        equal(c.auth(USER, "wrong_secret")[0], 535)
        equal(c.auth("my_pass_word_typed_here", "x")[0], 535)
    with smtpc.Client(s.port25) as c:
        c.ehlo()
        c.cmd("MAIL FROM:<a@foreign.example>")
        equal(c.cmd("RCPT TO:<b@foreign.example>")[0] // 100, 5)
    s.ctl("reload")
    recorded(s, [mid])
    wait_for(lambda: {"begin", "checkpoint", "auth", "accept", "relay", "operator", "config"}
             <= {r["kind"] for r in records(s)}, "all kinds of records", patience(20))
    rows = records(s)
    equal([r["seq"] for r in rows], list(range(1, len(rows) + 1)))
    equal(rows[0]["kind"], "begin")
    row = [r for r in rows if r["kind"] == "accept"][0]
    equal((row["mid"], row["principal"], row["relay"]), (mid, USER, "relay_ou"))
    relay = [r for r in rows if r["kind"] == "relay"][0]["data"]
    equal((relay["from"], relay["to"]), ("a@foreign.example", "b@foreign.example"))
    verdicts = [(r.get("login"), r["verdict"]) for r in rows if r["kind"] == "auth"]
    ok((USER, "ok") in verdicts and (USER, "perm") in verdicts, str(verdicts))
    equal(len({r["n"] for r in rows if r.get("src", "").startswith("auth")}), len(verdicts))
    out = verify(s)
    ok("every one is in its place and unchanged" in out and "not known: whether" in out, out)


@test("A6: never a password, in the record, its key files or the log")
def no_password(s):
    hidden = [r for r in records(s) if r["kind"] == "auth" and "login_hash" in r]
    equal(hidden[0]["login_length"], len("my_pass_word_typed_here"))
    for name in sorted(os.listdir(s.dir)):
        path = f"{s.dir}/{name}"
        if name.startswith("users") or not os.path.isfile(path):
            continue
        with open(path, "rb") as f:
            text = f.read()
        for secret in (PASSWORD, "wrong_secret", "my_pass_word_typed_here"):
            ok(secret.encode() not in text, f"{secret} in {name}")


@test("A1: the same unknown name has the same hash after a restart; files are 0600")
def names(s):
    before = [r["login_hash"] for r in records(s) if "login_hash" in r][0]
    s.restart()
    with attempt(s) as c:
        equal(c.auth("my_pass_word_typed_here", "x")[0], 535)
    wait_for(lambda: [r["login_hash"] for r in records(s) if "login_hash" in r].count(before) == 2,
             "the same hash", patience(20))
    for name in ("audit.log", "audit.log.key", "audit.log.names"):
        equal(os.stat(f"{s.dir}/{name}").st_mode & 0o777, 0o600, name)
    equal(os.stat(f"{s.dir}/audit.log.pub").st_mode & 0o777, 0o644)
    verify(s)


@test("A1: a key for names that somebody else may know is not used")
def names_key(_):
    with service() as s:
        path, away = s.dir + "/audit.log.names", s.dir + "/away"

        def refused():
            s.start(wait=False)
            s.expect_exit = s.p.wait(patience(20))
            ok(s.expect_exit != 0 and path in s.log()[before:], s.log()[before:])

        s.stop()
        before = len(s.log())
        os.chmod(path, 0o644)
        refused()
        os.chmod(path, 0o600)
        os.link(path, away)
        refused()
        os.unlink(path)
        os.symlink(away, path)
        refused()
        os.unlink(path)                             # without one a new one is made
        s.start()
        s.expect_exit = 0


@test("A4: changed, removed, moved and cut: found, named; checkpoints that left the machine")
def tampering(s):
    smtpc.submit(s)
    s.restart()                                     # a checkpoint at the end and at the start
    s.wait_log(event="checkpoint")
    wait_for(lambda: len(s.events(event="checkpoint")) >= 3, "checkpoints", patience(20))
    with open(s.dir + "/audit.log") as f:
        lines = f.read().splitlines(keepends=True)
    copy = s.dir + "/copy"
    at = next(i for i, line in enumerate(lines) if '"kind":"accept"' in line)

    def look(text, *args):
        with open(copy, "w") as f:
            f.write("".join(text))
        return s.run_ctl("audit", "verify", "--pub", s.dir + "/audit.log.pub", *args, copy)

    equal(look(lines).returncode, 0)
    changed = [*lines]
    changed[at] = changed[at].replace("alice@", "malice@")
    r = look(changed)
    equal((r.returncode, f"{copy}:{at + 1}: record {at + 1} was changed" in r.stdout), (1, True))
    r = look(lines[:at] + lines[at + 1:])
    ok(r.returncode == 1 and f"record {at + 1} is missing" in r.stdout, r.stdout)
    r = look(lines[:at - 1] + [lines[at], lines[at - 1]] + lines[at + 1:])
    equal(r.returncode, 1)
    # a cut tail is found by what left the machine, here by the log, and only by that
    equal(look(lines[:at]).returncode, 0)
    r = look(lines[:at], "--checkpoints", s.log_path)
    ok(r.returncode == 1 and "the tail was cut" in r.stdout, r.stdout)
    last = s.events(event="checkpoint")[-1]
    text = ":".join(last[k] for k in ("seq", "hash", "sig"))
    r = look(lines[:at], "--checkpoint", text, "--json")
    equal((r.returncode, json.loads(r.stdout.strip().split("\n")[-1])["verdict"]), (1, "bad"))
    # all of it made anew, or cut to what nobody signed
    r = look(lines[:1])
    ok(r.returncode == 1 and "no checkpoint of key" in r.stdout, r.stdout)
    r = look(lines, "--checkpoints", s.log_path)
    ok(r.returncode == 0 and "left the machine prove" in r.stdout, r.stdout)
    r = look(lines, "--checkpoint", last["seq"] + ":" + last["hash"] + ":1-AAAA")
    equal(r.returncode, 1)
    equal(s.run_ctl("audit", "verify", "--nonsense").returncode, 2)
    r = s.run_ctl("audit", "verify", s.dir + "/no-such-\033[31mfile")
    equal((r.returncode, "\033" in r.stderr), (1, False))


@test("A3 A4: rotation under load keeps the chain, every message has its record", 180)
def rotation(s):
    acked = s.dir + "/acked-rotation"
    p = load(s, "--retry", wait=False, connections=10, messages=1500, per_connection=10, size=2000,
             acked=acked)
    for i in (1, 2, 3):
        wait_for(lambda: len(uuids(acked)) > i * 200 or p.poll() is not None, "mail", patience(40))
        os.rename(s.dir + "/audit.log", f"{s.dir}/audit.log.{9 - i}")
        wait_for(lambda: os.path.exists(s.dir + "/audit.log"), "a new file", patience(20))
    p.communicate()
    names = ["audit.log", *(f"audit.log.{i}" for i in (6, 7, 8))]
    recorded(s, uuids(acked), names)
    equal(max(accepted(s, names).values()), 1)
    ok(records(s)[0]["kind"] == "begin" and records(s)[0]["prev_seq"] > 1, "the chain goes on")
    ok("in 4 files" in verify(s, "--checkpoints", s.log_path), "all of them")
    with open(s.dir + "/audit.log.7", "rb+") as f:      # one of them loses its end
        f.truncate(os.path.getsize(s.dir + "/audit.log.7") // 2)
    equal(s.run_ctl("audit", "verify").returncode, 1)
    for i in (6, 7, 8):
        os.unlink(f"{s.dir}/audit.log.{i}")


@test("A3 A4: renamed while the service was stopped: the next start goes on with the chain", 120)
def rotated_meanwhile(_):
    with service() as s:
        recorded(s, [smtpc.submit(s)])
        s.stop()
        os.rename(s.dir + "/audit.log", s.dir + "/audit.log-20261125")
        s.start()
        recorded(s, [smtpc.submit(s)])
        equal(records(s)[0]["prev_file"], s.dir + "/audit.log-20261125")
        ok("in 2 files" in verify(s, "--checkpoints", s.log_path), "a chain")
        # and a crash tore its last line before that
        s.kill_all()
        with open(s.dir + "/audit.log", "a") as f:
            f.write('{"seq":99,"time":"2026-11-25T1')
        os.rename(s.dir + "/audit.log", s.dir + "/audit.log-20261126")
        s.start()
        recorded(s, [smtpc.submit(s)])
        equal(records(s)[0]["torn"], 30)
        out = verify(s, "--checkpoints", s.log_path)
        ok("in 3 files" in out and "a crash tore this line" in out, out)
        with open(s.dir + "/audit.log-20261126", "r+") as f:
            f.truncate(os.path.getsize(f.name) - 1)
        equal(s.run_ctl("audit", "verify").returncode, 1)


@test("A1: attempts that are refused before a name is known are recorded, too")
def unheard(_):
    with service() as s:
        listener = s.blocks["submissions"]
        s.write_conf(submissions=listener.rstrip("}\n ") + "\n  auth_ip_mode = allow }")
        equal(s.reload()["verdict"], "ok")
        secret = base64.b64encode(b"\0" + USER.encode() + b"\0correct_horse").decode()
        for port, tls, mech, code in ((s.port, False, "PLAIN", 538),
                                      (s.port465, True, "LOGIN", 503),
                                      (s.port, False, "correct_horse", 538)):
            with smtpc.Client(port, tls=tls) as c:
                c.ehlo()
                equal(c.cmd(f"AUTH {mech} {secret}")[0], code)
        with smtpc.Client(s.port) as c:
            c.ehlo()
            c.starttls(ctx=smtpc.context())
            c.ehlo()
            equal(c.cmd(f"AUTH NTLM {secret}")[0], 504)
            equal(c.cmd("AUTH PLAIN correct_horse")[0], 501)
            equal(c.cmd("AUTH LOGIN")[0], 334)
            for pid in s.roles()["auth"]:       # one of before the reload may be there still
                os.kill(pid, signal.SIGKILL)
            equal(c.cmd(base64.b64encode(USER.encode()).decode())[0], 454)
        rows = wait_for(lambda: len(found := [r for r in records(s) if r["kind"] == "refused"]) == 6
                        and found, "six records", patience(20))
        equal([(r.get("mech"), r["verdict"], r["reason"], "tls" in r)
               for r in (row["data"] for row in rows)],
              [("PLAIN", "perm", "AUTH without TLS", False),
               ("LOGIN", "perm", "rule S3 auth_ip", True),
               (None, "perm", "AUTH without TLS", False),
               ("NTLM", "perm", "mechanism not offered", True),
               ("PLAIN", "perm", "no base64", True),
               (None, "temp", "no answer", True)])
        ok(s.events(event="refused", code="538", rule="S1"), s.tell())
        equal(len(s.ctl_rows("audit", "search", "--failed", "--ip", "127.0.0.0/8",
                             "--kind", "refused")), 6)
        text = s.log() + json.dumps(rows)
        ok("correct_horse" not in text and secret not in text, text)


@test("A4 A5: who asks for proof by a log without any gets none; lines that are left out are told")
def silence(_):
    with service() as s:
        recorded(s, [smtpc.submit(s)])
        verify(s, "--checkpoints", s.log_path)
        r = s.run_ctl("audit", "verify", "--checkpoints", "/dev/null")
        ok(r.returncode == 1 and "no checkpoint of key" in r.stdout, r.stdout)
        equal(s.run_ctl("audit", "report").stderr, "")
        path = s.dir + "/damaged"
        with open(s.dir + "/audit.log", "rb") as f, open(path, "wb") as g:
            rows = f.read().split(b"\n")
            g.write(b"\n".join(row + b"\r" if b"login" in row else row for row in rows) + b"torn")
        n = sum(b"login" in row for row in rows) + 1
        for what in ("report", "search"):
            r = s.run_ctl("audit", what, "--file", path)
            ok(f"{n} lines are no record" in r.stderr, r.stdout + r.stderr)


@test("A4 A5: what gzip compressed is read as it is; cut or damaged it never passes", 120)
def compressed(_):
    with service() as s:
        mids = []
        for n in (2, 1):
            mids.append(smtpc.submit(s))
            recorded(s, mids[-1:])
            os.rename(s.dir + "/audit.log", f"{s.dir}/audit.log.{n}")
            wait_for(lambda: os.path.exists(s.dir + "/audit.log"), "a new file", patience(20))
        mids.append(smtpc.submit(s))
        recorded(s, mids[-1:])
        packed = s.dir + "/audit.log.2.gz"
        with open(s.dir + "/audit.log.2", "rb") as f, gzip.open(packed, "wb") as g:
            g.write(f.read())
        r = s.run_ctl("audit", "verify", "--checkpoints", s.log_path)
        ok(r.returncode == 0 and "in 3 files" in r.stdout and "unpacked too" in r.stderr,
           "both of one file: " + r.stdout + r.stderr)
        os.unlink(s.dir + "/audit.log.2")
        ok("in 3 files" in verify(s, "--checkpoints", s.log_path), "one of them compressed")
        for mid in mids:
            ok(mid in s.ctl("audit", "search", "--mid", mid), mid)
        ok(USER in s.ctl("audit", "report", "--file", packed), "a report")
        r = s.run_ctl("audit", "tail", packed)
        ok(r.returncode == 1 and "is compressed" in r.stderr, r.stdout + r.stderr)
        with open(packed, "rb") as f:
            octets = f.read()
        for bad in (octets[:len(octets) // 2], octets[:-9],
                    octets[:len(octets) // 2] + b"\0" * 40 + octets[len(octets) // 2 + 40:]):
            with open(packed, "wb") as f:
                f.write(bad)
            r = s.run_ctl("audit", "verify", "--json")
            last = json.loads(r.stdout.strip().split("\n")[-1])
            equal((r.returncode, last["verdict"]), (1, "bad"), r.stdout)
            ok("could not be read to its end" in r.stdout, r.stdout)
            equal(s.run_ctl("audit", "search", "--mid", mids[0]).returncode, 1)
        with open(packed, "wb") as f:
            f.write(b"\x28\xb5\x2f\xfd" + octets[4:])
        os.rename(packed, s.dir + "/audit.log.2.zst")
        for command in ("verify", "search", "report"):
            r = s.run_ctl("audit", command)
            ok(r.returncode == 1 and "compressed by zstd: unpack it first" in r.stderr, r.stderr)


@test("A1 A2: where the queue's database is lost the record says once that some are missing", 120)
def rebuilt(_):
    with service() as s:
        def gaps():
            return [r for r in records(s) if r["kind"] == "gap"]

        def lose():
            for name in ("queue.db", "queue.db-wal", "queue.db-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{s.dir}/spool/{name}")

        def owed():
            with contextlib.closing(sqlite3.connect(f"file:{s.dir}/spool/queue.db?mode=ro",
                                                    uri=True)) as db:
                row = db.execute("SELECT value FROM meta WHERE key = 'audit_gap'").fetchone()
            return row and row[0]

        s.sink.stop()
        recorded(s, [smtpc.submit(s)])
        s.stop()
        lose()
        s.start()
        wait_for(lambda: len(gaps()) == 1, "the gap", patience(20))
        # offline, and from then on it is owed whatever is killed before it was told
        s.stop()
        lose()
        s.ctl("queue", "rebuild")
        src = owed()
        s.start()
        wait_for(lambda: len(gaps()) == 2, "the second gap", patience(20))
        equal((gaps()[1]["src"], gaps()[1]["n"]), (f"queue:{src:016x}", 1))
        wait_for(lambda: owed() is None, "the word that it is told", patience(20))
        # told again after a crash it is no third one
        s.stop()
        with contextlib.closing(sqlite3.connect(s.dir + "/spool/queue.db")) as db:
            db.execute("INSERT INTO meta VALUES ('audit_gap', ?)", (src,))
            db.commit()
        s.start()
        wait_for(lambda: owed() is None, "the word that it is told", patience(20))
        recorded(s, [smtpc.submit(s)])
        equal(len(gaps()), 2)
        verify(s)


@test("A1 A2: a row that cannot be read is a gap, and holds up no other", 120)
def unreadable(_):
    with service() as s:
        s.stop()
        db = sqlite3.connect(s.dir + "/spool/queue.db")
        db.execute("INSERT INTO audit_batch VALUES (1, 4711, 5, 3, ?)", (b"\x10\0\0\0rubbish",))
        db.commit()
        db.close()
        s.start()
        recorded(s, [smtpc.submit(s)])
        gaps = [r for r in records(s) if r["kind"] == "gap"]
        equal([(r["lost"], r["src"], r["n"]) for r in gaps], [(3, "queue:%016x" % 4711, 7)])
        equal(s.events(event="ipc"), [])
        verify(s)


@test("A1: what an operator does to messages, and what came of it")
def operator(s):
    mid = smtpc.submit(s)
    recorded(s, [mid])
    pid = s.roles()["ledger"]
    s.run_ctl("queue", "hold", "--all")             # none of them waits any more: that too
    row = wait_for(lambda: [r["data"] for r in records(s) if "done" in r.get("data", {})],
                   "the record", patience(20))[0]
    equal(row["done"], "hold")
    ok("uid" in row["user"], str(row))
    equal(([], pid), (s.events(event="ipc"), s.roles()["ledger"]), "nobody cut anybody off")


@test("A1 A2 A4: kill -9 of ledger, queue and auth under load: no record lost, none twice", 300)
def kills(_):
    with service() as s:
        acked = s.dir + "/acked"
        p = load(s, "--retry", wait=False, connections=10, messages=1200, per_connection=10,
                 size=3000, acked=acked)
        for role in ("ledger", "queue", "ledger", "auth", "ledger", "queue"):
            before = len(uuids(acked))
            kill(s, role)
            wait_for(lambda: len(uuids(acked)) > before + 20 or p.poll() is not None, "mail",
                     patience(60))
        p.communicate()
        done = set(uuids(acked))
        equal(len(done), 1200)
        recorded(s, done)
        equal(max(accepted(s).values()), 1, "doubles")
        ok([r for r in records(s) if r["kind"] == "died"], "a record that processes died")
        equal([r for r in records(s) if r["kind"] == "gap"], [])
        verify(s, "--checkpoints", s.log_path)


@test("A2 A4: kill -9 of the whole service under load: the same", 300)
def kill_service(_):
    with service() as s:
        acked = s.dir + "/acked"
        for i in (1, 2):
            p = load(s, wait=False, connections=10, messages=3000, per_connection=20, size=2000,
                     acked=acked, timeout=5)
            wait_for(lambda: len(uuids(acked)) > i * 150 or p.poll() is not None, "mail",
                     patience(60))
            s.kill_all()
            p.kill()
            p.communicate()
            s.start()
        recorded(s, uuids(acked))
        equal(max(accepted(s).values()), 1, "doubles")
        verify(s, "--checkpoints", s.log_path)


@test("A3: a reload switches the record on, moves it with its chain, and off", 120)
def switched(_):
    with service(audit="") as s:
        smtpc.submit(s)
        s.write_conf(audit='audit { file = "@D@/first.log" }')
        equal(s.reload()["verdict"], "ok")
        one = submit_until(s, "first.log")
        ok(not s.events(event="process", state="died"), "the ledger began anew without complaint")
        os.mkdir(s.dir + "/other")
        s.write_conf(audit='audit { file = "@D@/other/second.log"  key = "@D@/first.log.key" }')
        equal(s.reload()["verdict"], "ok")
        two = submit_until(s, "other/second.log")
        equal(records(s, "first.log")[-2]["kind"], "moved")
        equal(records(s, "other/second.log")[0]["prev_file"], s.dir + "/first.log")
        ok(one not in accepted(s, ["other/second.log"]) and two not in accepted(s, ["first.log"]),
           "each message in one of them")
        ok("in 2 files" in verify(s, s.dir + "/first.log", s.dir + "/other/second.log"), "a chain")
        s.write_conf(audit="")
        equal(s.reload()["verdict"], "ok")
        smtpc.submit(s)


def submit_until(s, name):
    """Submits until a message is in that file: a new ledger takes a moment."""
    def one():
        mid = smtpc.submit(s)
        try:
            wait_for(lambda: mid in accepted(s, [name]), "the record", 3)
        except (AssertionError, FileNotFoundError):
            return None
        return mid
    return wait_for(one, f"a record in {name}", patience(40))


@test("A1 on_full: a full disk for the record: mail goes on within the bound, none is lost", 300)
def full(_):
    for on_full in ("tempfail", "gap"):
        with service(start_audit_dir(on_full), small=True) as s:
            directory = s.dir + "/small"
            pid = s.roles()["ledger"][0]
            ballast = fill(directory)
            p = load(s, "--retry", wait=False, connections=5, messages=200, per_connection=5,
                     size=1000, acked=s.dir + "/acked")
            wait_for(lambda: s.events(event="audit", state="failing"), "the failure to be told",
                     patience(40))
            p.communicate()
            equal(len(set(uuids(s.dir + "/acked"))), 200, "mail goes on within the bound")
            equal(s.roles()["ledger"], [pid])
            os.unlink(ballast)
            s.wait_log(event="audit", state="recovered", seconds=patience(20))
            recorded(s, uuids(s.dir + "/acked"), ["small/audit.log"])
            equal(max(accepted(s, ["small/audit.log"]).values()), 1)
            verify(s)


def start_audit_dir(on_full):
    return f'audit {{ file = "@D@/small/audit.log"  on_full = {on_full} }}'


@test("A3: a copy of each record goes to syslog, which may be away and come back", 60)
def syslog(_):
    if os.path.exists("/dev/log"):
        raise peers.Skip("this machine has a syslog of its own")
    peers.need_root("standing in for syslog")
    with service(AUDIT.replace("}", "  syslog = authpriv }")) as s:
        smtpc.submit(s)                             # nobody listens: the copies are lost, no more
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
                log.bind("/dev/log")
                log.settimeout(patience(20))
                mid = smtpc.submit(s)
                text = ""
                while mid not in text:
                    text = log.recv(65536).decode()
        finally:
            os.unlink("/dev/log")
        ok(text.startswith("<85>submitd-audit["), text)
        recorded(s, [mid])
        verify(s)


@test("A5: search, user, report in its three forms, tail -f")
def reading(s):
    with attempt(s) as c:
        equal(c.auth(USER, "wrong_secret")[0], 535)
    mid = smtpc.submit(s)
    recorded(s, [mid])
    ok(mid in s.ctl("audit", "search", "--mid", mid), "by message")
    ok(mid in s.ctl("audit", "search", "--user", USER.upper(), "--kind", "accept"), "by user")
    ok(mid in s.ctl("audit", "search", "--ip", "127.0.0.0/8", "--since", "1h", mid[:20]), "by text")
    equal(s.run_ctl("audit", "search", "--ip", "192.0.2.0/24").returncode, 1)
    for args, right in (("--since yesterday", "an age"), ("--kind login", "auth, accept, relay"),
                        ("--ip everywhere", "a network"), ("--limit few", "a number")):
        r = s.run_ctl("audit", "search", *args.split())
        equal(r.returncode, 2)
        ok(args in r.stderr and right in r.stderr, r.stderr)
    r = s.run_ctl("audit", "tail", "-n", "few")
    equal(r.returncode, 2)
    ok("-n few" in r.stderr, r.stderr)
    r = s.run_ctl("audit", "user", "nobody@example.com")
    equal((r.returncode, r.stdout), (1, ""))
    ok("nobody@example.com" in r.stderr, r.stderr)
    ok('reason="wrong password"' in s.ctl("audit", "search", "--failed"), "quoted")
    failures = [json.loads(x) for x in s.ctl("audit", "search", "--failed", "--json").splitlines()]
    ok(failures and all(r.get("verdict") != "ok" for r in failures), str(failures))
    rows = list(csv.DictReader(s.ctl("audit", "report", "--csv", "--since", "1d").splitlines()))
    row = next(r for r in rows if r["user"] == USER)
    equal((row["network"], row["new"]), ("127.0.0.0/24", "1"))
    ok(int(row["logins"]) > 0 and int(row["failed"]) > 0 and int(row["messages"]) > 0, str(row))
    rows = [json.loads(x) for x in s.ctl("audit", "user", USER, "--json").splitlines()]
    equal({r["user"] for r in rows if "user" in r}, {USER})
    ok(USER in s.ctl("audit", "report"), "as a table")
    p = subprocess.Popen([os.path.join(os.path.dirname(s.binary), "submitctl"), "-f", s.conf,
                          "audit", "tail", "-f", "-n", "1"], stdout=subprocess.PIPE, text=True)
    try:
        p.stdout.readline()
        mid = smtpc.submit(s)
        while mid not in p.stdout.readline():
            pass
    finally:
        p.terminate()
        p.communicate()


run(fixture)
