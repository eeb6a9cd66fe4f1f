#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""submitctl against a running service: queue, history, log, stats, explain, passwd, reload."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import concurrent.futures
import contextlib
import fcntl
import pty
import signal
import stat
import struct
import subprocess
import termios
import time
import unicodedata

import smtpc
from daemon import USER, Service, patience
from nexthop import NextHop
from tap import equal, ok, run, skip, test, wait_for


@contextlib.contextmanager
def fixture():
    with NextHop() as hop, Service(next_port=hop.port, start=False) as s:
        s.hop = hop
        s.write_conf(log='log { targets = {"stderr", "file:@D@/mail.log"} }',
                     more='transport "paused" { method = static  hosts = {"127.0.0.1:@NEXT@"}\n'
                     '  paused = true }\n'
                     'domain "paused.example" { transport = "paused" }\n'
                     'domain "second.example" { transport = "paused" }')
        s.start()
        yield s


def waiting(s, rcpt="x@paused.example", **kw):
    """A message that stays in the queue; gives its mid."""
    mid = smtpc.submit(s, rcpt, **kw)
    wait_for(lambda: [r for r in s.queued() if r["mid"] == mid], "the row")
    return mid


def rows(s, *selection):
    return s.ctl_rows("queue", "list", *selection)


@test("S68: queue list: a table for people, objects for programs, selections")
def listing(s):
    a, b = waiting(s), waiting(s, "y@second.example")
    table = s.ctl("queue")
    ok("x@paused.example" in table or "paused" in table, table)
    equal({r["mid"] for r in rows(s)} & {a, b}, {a, b})
    for selection, want in ((("--domain", "second.example"), {b}), (("--recipient", "x@*"), {a}),
                            (("--sender", "alice@*"), {a, b}), (("--sender", "bob@*"), set()),
                            (("--transport", "paused"), {a, b}), ((a,), {a}),
                            (("--older", "1h"), set()), (("--younger", "1h"), {a, b})):
        equal({r["mid"] for r in rows(s, *selection)} & {a, b}, want, str(selection))
    row = rows(s, a)[0]
    equal((row["sender"], row["transport"], row["rcpts"]), (USER, "paused", 1))
    equal({r["qid"] for r in rows(s, str(row["qid"]))}, {row["qid"]})


@test("S68: queue show: recipients, reasons, who sent it from where, and the header")
def show(s):
    mid = waiting(s, data=smtpc.letter("shown"))
    shown = s.ctl("queue", "show", mid)
    for want in (mid, "x@paused.example", "Subject: shown", USER, "127.0.0.1", "submission"):
        ok(want in shown, f"{want} in {shown}")
    o = s.ctl_rows("queue", "show", mid)[0]
    equal([r["rcpt"] for r in o["recipients"]], ["x@paused.example"])


@test("S64: mail of a paused transport waits, and goes when it is resumed")
def paused(s):
    waiting(s, "resume@paused.example")
    s.write_conf(more=s.blocks["more"].replace("paused = true", "paused = false"))
    s.reload()
    s.hop.wait(1, rcpt="resume@paused.example", seconds=patience(30))
    s.write_conf(more=s.blocks["more"].replace("paused = false", "paused = true"))
    s.reload()


@test("S68: hold and release, remove, bounce: said, counted, logged with the operator's name")
def actions(s):
    mid = waiting(s)
    s.ctl("queue", "hold", mid)
    equal(wait_for(lambda: [r["state"] for r in rows(s, mid)] == ["held"], "held"), True)
    s.ctl("queue", "release", mid)
    wait_for(lambda: [r["state"] for r in rows(s, mid)] != ["held"], "released")
    s.ctl("queue", "remove", mid)
    wait_for(lambda: not rows(s, mid), "removed")
    before = len(s.hop.to(USER))
    mid = waiting(s, data=smtpc.letter("bounced by hand"))
    s.ctl("queue", "bounce", mid)
    dsn = s.hop.wait(before + 1, rcpt=USER, seconds=patience(30))[-1]
    ok(b"bounced by hand" in dsn.data, "the DSN")
    wait_for(lambda: not rows(s, mid), "gone from the queue")
    ok(s.events(event="operator"), "event=operator")


@test("S68: an action without a selection does nothing and is wrong usage")
def no_selection(s):
    mid = waiting(s)
    for action in ("remove", "retry", "bounce", "hold"):
        equal(s.run_ctl("queue", action).returncode, 2, action)
    ok(rows(s, mid), "still there")
    s.ctl("queue", "remove", "--all")
    wait_for(lambda: not s.queued(), "an empty queue")


@test("S68: history: who, to whom, by which host, with what answer")
def history(s):
    mid = smtpc.submit(s, "h@remote.example")
    s.hop.wait(1, rcpt="h@remote.example")
    row = wait_for(lambda: s.ctl_rows("history", mid), "the row")[0]
    equal((row["rcpt"], row["sender"], int(row["code"])), ("h@remote.example", USER, 250))
    ok("h@remote.example" in s.ctl("history", "--recipient", "h@*"), "the table")


@test("S70: log by mid, qid, address, free text and /regexp/")
def log(s):
    mid = smtpc.submit(s, "logged@remote.example", smtpc.letter("log me"))
    event = s.wait_log(event="delivery", mid=mid)
    for query in (mid, f"{mid}:{event['qid']}", event["qid"], "logged@remote.example",
                  "/logged@rem[o]te/", "LOGGED@remote"):
        found = s.ctl("log", query)
        ok(mid in found, f"{query}: {found[:500]}")
    accepted = s.wait_log(event="accepted", mid=mid)
    ok(mid in s.ctl("log", "sid:" + accepted["sid"]), "by sid")
    equal(s.run_ctl("log", "nothing-of-the-kind").returncode, 1)


def on_terminal(s, columns, *args):
    """What submitctl prints on a terminal of that width: the lines."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [os.path.join(os.path.dirname(s.binary), "submitctl"), "-f", s.conf, *args]
    p = subprocess.Popen(command, stdout=theirs, env={**s.env, "NO_COLOR": "1"})
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 65536):
            text += part
    except OSError:                         # EIO: the other side is closed
        pass
    os.close(ours)
    equal(p.wait(patience(60, s.binary)), 0)
    return text.decode().replace("\r\n", "\n").strip("\n").split("\n")


@test("S68: tables are as wide as the terminal, and whole in a pipe")
def width(s):
    reason = "451 4.2.1 " + "a long reason of the next host, " * 6 + "and its end"
    s.hop.rcpt["long@remote.example"] = reason
    mid = smtpc.submit(s, "long@remote.example")
    wait_for(lambda: any("its end" in r["reason"] for r in rows(s, mid)), "the reason")
    ok("and its end" in s.ctl("queue", "list", mid), "whole in a pipe")
    for columns in (90, 160):
        lines = on_terminal(s, columns, "queue", "list", mid)
        equal([max(len(line) for line in lines), lines[-1][-1]], [columns, "\u2026"], lines)
    ok("and its end" in on_terminal(s, 400, "queue", "list", mid)[-1], "whole where there is room")
    s.ctl("queue", "remove", mid)


@test("stats and state name every role")
def stats(s):
    for what in ("stats", "state"):
        text = s.ctl(what)
        for role in ("front", "auth", "queue", "deliver", "ledger"):
            ok(role in text, f"{role} in {what}: {text}")
    ok(s.ctl_rows("stats"), "objects")


@test("stats: a process of before a reload may leave without an answer")
def stats_while_one_leaves(s):
    with smtpc.Client(s.port) as c:
        c.ehlo()                        # for this the old front stays
        old = set(s.roles()["front"])
        s.reload()
        wait_for(lambda: len(set(s.roles()["front"]) - old) == len(old), "new fronts", patience(20))
        stays = [pid for pid in s.roles()["front"] if pid in old]
        ok(stays, "the one that has the session")
        for pid in stays:
            os.kill(pid, signal.SIGSTOP)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(s.run_ctl, "--json", "stats")
            time.sleep(0.5)             # asked, most likely; if not, it finds them gone
            for pid in stays:
                os.kill(pid, signal.SIGKILL)
            r = answer.result()
    equal((r.returncode, r.stderr), (0, ""))
    ok('"role":"ledger"' in r.stdout.replace(" ", ""), r.stdout)


EXPLAIN = (
    # auth, from, rcpt, status, word
    (USER, USER, "x@remote.example", 0, ""),
    (USER, "ceo@bank.example", "x@remote.example", 1, "S11"),
    ("zoe@other.example", "zoe@other.example", "x@remote.example", 1, "5.7.1"),
    ("zoe@other.example", "zoe@other.example", USER, 0, ""),
    (None, USER, "x@remote.example", 1, "5.7.0"),
)


@test("C1 S8 S11 S53: explain says what the front does, with rule, file and line")
def explain(s):
    for auth, sender, rcpt, status, word in EXPLAIN:
        args = ["explain", "--listener", "submission", "--ip", "127.0.0.1", "--from", sender,
                "--rcpt", rcpt] + (["--auth", auth] if auth else [])
        r = subprocess.run([os.path.join(os.path.dirname(s.binary), "submitctl"), "--socket",
                            s.dir + "/control.sock", *args], capture_output=True, text=True)
        equal(r.returncode, status, r.stdout + r.stderr)
        ok(word in r.stdout and "submitd.conf:" in r.stdout, f"{word} in {r.stdout}")
        if status == 0:
            ok("outside" in r.stdout or "inside" in r.stdout, f"the transport in {r.stdout}")
        if auth:
            with smtpc.login(s, auth) as c:
                code, text = c.message(sender, rcpt, smtpc.letter(sender=sender))
        else:
            with smtpc.Client(s.port465, tls=True) as c:
                c.ehlo()
                code, text = c.cmd(f"MAIL FROM:<{sender}>")
        equal(code == 250, status == 0, f"{code} {text}")
        if status:
            ok(text.split("\n")[0] in r.stdout, f"the reply {text} in {r.stdout}")


@test("S55 S57 S58: explain on 25: strangers to internal addresses, and no further")
def explain_mx(s):
    args = ("explain", "--listener", "mx", "--ip", "192.0.2.1", "--from", "a@remote.example")
    equal(s.run_ctl(*args, "--rcpt", USER).returncode, 0)
    r = s.run_ctl(*args, "--rcpt", "x@third.example")
    equal(r.returncode, 1)
    ok("550" in r.stdout and "5.7.1" in r.stdout, r.stdout)


@test("passwd: a hash in the file, mode and owner kept, in force at once")
def passwd(s):
    path = s.dir + "/users"
    s.ctl("passwd", "carol@example.com", text="a-new-password\n")
    with open(path) as f:
        text = f.read()
    ok("carol@example.com" in text and "$y$" in text and "a-new-password" not in text, text)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    s.users["carol@example.com"] = "a-new-password"

    def login():
        try:
            smtpc.login(s, "carol@example.com").close()
            return True
        except AssertionError:
            return False
    if not login():
        s.reload()
        wait_for(login, "the new user")
    s.ctl("passwd", "--delete", "carol@example.com")
    r = s.run_ctl("passwd", "--backend", "nowhere", "carol@example.com", text="")
    equal(r.returncode, 1, "a wrong backend is told before a password is asked for")
    ok('"nowhere"' in r.stderr, r.stderr)
    with open(path) as f:
        ok("carol" not in f.read(), "deleted")
    ok("$y$" in s.ctl("passwd", "--hash", text="x\n"), "a hash alone")
    ok("$6$" in s.ctl("passwd", "--hash", "--method", "sha512", text="x\n"), "sha512")


@test("passwd --password-stdin: one line of standard input, of a terminal too, as for auth-test")
def passwd_stdin(s):
    ours, theirs = pty.openpty()
    command = [os.path.join(os.path.dirname(s.binary), "submitctl"), "-f", s.conf, "passwd",
               "--password-stdin", "dora@example.com"]
    try:
        os.write(ours, b"dora's password\n")
        r = subprocess.run(command, stdin=theirs, capture_output=True, text=True, env=s.env,
                           timeout=patience(60, s.binary))
    finally:
        os.close(theirs)
        os.close(ours)
    equal((r.returncode, r.stderr), (0, ""), "nothing is asked for")
    ok("dora's" not in r.stdout, r.stdout)
    test = ("auth-test", "--listener", "submission", "--password-stdin", "dora@example.com")
    wait_for(lambda: s.run_ctl(*test, text="dora's password\n").returncode == 0, "the new user",
             patience(20))
    s.ctl("passwd", "--password-stdin", "dora@example.com", text="another one\nand more\n")
    wait_for(lambda: s.run_ctl(*test, text="another one\n").returncode == 0, "the new password",
             patience(20))
    equal(s.run_ctl("passwd", "--password-stdin", "dora@example.com", text="").returncode, 1)
    equal(s.run_ctl("passwd", "--password-stdin", "--delete", "dora@example.com").returncode, 2)
    s.ctl("passwd", "--delete", "dora@example.com")


@test("P3: passwords of the user file work with every kind of hash")
def hashes(s):
    methods = ("yescrypt", "bcrypt", "sha512", "argon2id", "scram-sha-256")
    for method in methods:
        user = f"{method}@example.com"
        s.ctl("passwd", "--method", method, user, text="pässword-1\n")
        s.users[user] = "pässword-1"
    s.reload()
    for method in methods:
        for mech in ("PLAIN", "LOGIN"):
            smtpc.login(s, f"{method}@example.com", mech=mech).close()
    # the same word as another system writes it
    s.users["yescrypt@example.com"] = unicodedata.normalize("NFD", "pässword-1")
    smtpc.login(s, "yescrypt@example.com").close()


@test("usage errors are status 2, an unreachable service is status 1 with advice")
def errors(s):
    equal(s.run_ctl("nonsense").returncode, 2)
    equal(s.run_ctl("queue", "--no-such-option").returncode, 2)
    r = s.run_ctl("--socket", s.dir + "/none.sock", "queue")
    equal(r.returncode, 1)
    ok("none.sock" in r.stderr, r.stderr)
    r = s.run_ctl("-f", s.dir + "/mistyped.conf", "queue", conf=False)
    equal(r.returncode, 1, "another service than the one that was meant")
    ok("mistyped.conf" in r.stderr, r.stderr)


@test("DESIGN 7: strangers may not use the control socket")
def strangers(s):
    if os.geteuid() != 0:
        skip("needs root to become somebody else")
    copy = s.dir + "/submitctl.copy"
    subprocess.run(["cp", os.path.join(os.path.dirname(s.binary), "submitctl"), copy], check=True)
    os.chmod(copy, 0o755)
    r = subprocess.run([copy, "--socket", s.dir + "/control.sock", "queue"], capture_output=True,
                       text=True, user=65534, group=65534, extra_groups=[])
    equal(r.returncode, 1, r.stdout)


run(fixture)
