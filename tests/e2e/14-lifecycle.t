#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Start and stop: -V, a second one on the spool, drain, restart, sockets of systemd."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import contextlib
import os
import signal
import socket
import subprocess

import smtpc
from daemon import USER, Service, patience
from nexthop import STALL, NextHop
from tap import equal, ok, run, skip, test, wait_for


@contextlib.contextmanager
def fixture():
    with NextHop() as hop, Service(next_port=hop.port) as s:
        s.hop = hop
        yield s


def command(s, *args):
    return subprocess.run([s.binary, *args], capture_output=True, text=True, env=s.env,
                          stdin=subprocess.DEVNULL, timeout=patience(30))


@test("-V prints the version, a wrong option the usage with status 2")
def version(s):
    r = command(s, "-V")
    equal(r.returncode, 0)
    ok("submitd" in r.stdout, r.stdout)
    equal(command(s, "-Z").returncode, 2)


@test("DESIGN 3: a second submitd on the same spool refuses to start, the first goes on")
def second(s):
    with Service(next_port=s.next, start=False) as other:
        other.write_conf(server=other.blocks["server"].replace("@D@/spool", s.dir + "/spool"))
        other.start(wait=False)
        other.expect_exit = wait_for(lambda: other.p.poll() is not None and other.p.returncode,
                                     "its end", patience(40))
        ok("spool" in other.log() or "lock" in other.log(), other.log())
    smtpc.submit(s)


def session(leader):
    """The processes of a session that are not gone."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                state, _, _, sid = f.read().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue
        if sid == str(leader) and state not in "ZX":
            found.append(pid)
    return found


@test("a start that fails leaves no process behind: the next one finds its addresses free")
def failed(s):
    with Service(next_port=s.next) as other:
        equal(other.stop(), 0)
        other.write_conf(server=other.blocks["server"].replace("fronts = 2", "fronts = 32"))
        names = other.dir + "/audit.log.names"
        os.chmod(names, 0o644)                  # auth does not take it, and ends
        for _ in range(3):
            other.start(wait=False)
            leader, status = other.p.pid, other.p.wait(patience(40))
            equal(session(leader), [])
            equal(status, 1)
        other.p = None
        ok("auth did not start: giving up" in other.log(), other.log())
        os.chmod(names, 0o600)
        other.start()


@test("SIGTERM drains: the message in hand is finished, then status 0")
def drain(s):
    c = smtpc.login(s)
    c.cmd(f"MAIL FROM:<{USER}>")
    c.cmd("RCPT TO:<drain@remote.example>")
    equal(c.cmd("DATA")[0], 354)
    c.send(smtpc.letter("in hand")[:40])
    s.p.send_signal(signal.SIGTERM)
    wait_for(lambda: not s.banner(), "new connections to end", patience(20))
    c.send(smtpc.letter("in hand")[40:] + ".\r\n")
    code, text = c.reply()
    c.close()
    equal(s.p.wait(patience(30)), 0)
    s.p = None
    s.start()
    if code == 250:
        s.hop.wait(1, rcpt="drain@remote.example", seconds=patience(30))
    else:
        equal(code, 421, text)


@test("a restart delivers what waited", 240)
def waiting(s):
    s.hop.refuse(STALL)
    smtpc.submit(s, "waited@remote.example")
    s.stop(60)
    s.hop.answers.clear()
    s.start()
    s.hop.wait(1, rcpt="waited@remote.example", seconds=patience(90))


@test("systemd: READY=1 is sent, sockets handed over are used, and kept when it ends")
def systemd(s):
    s.stop()
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as notify, \
            contextlib.closing(socket.socket()) as listen:
        notify.bind(s.dir + "/notify")
        notify.settimeout(patience(20))
        listen.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listen.bind(("127.0.0.1", s.port))
        listen.listen(100)
        log = open(s.log_path, "ab")

        def start():
            # LISTEN_PID must be the daemon's own: a shell sets it and becomes the daemon
            return subprocess.Popen(
                ["/bin/bash", "-c", 'exec 3<&"$0" ; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"',
                 str(listen.fileno()), s.binary, "-d", "-f", s.conf],
                env=dict(s.env, NOTIFY_SOCKET=s.dir + "/notify"), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=[listen.fileno()], cwd=s.dir,
                start_new_session=True)
        s.p = start()
        said = b""
        while b"READY=1" not in said:
            said += notify.recv(4096)
        smtpc.submit(s)
        equal(s.stop(), 0)
        # nobody is refused meanwhile: the socket still listens
        waiting_client = socket.create_connection(("127.0.0.1", s.port), 5)
        s.p = start()
        waiting_client.settimeout(patience(20))
        ok(waiting_client.recv(100).startswith(b"220"), "the client that waited is served")
        waiting_client.close()
        smtpc.submit(s)
        equal(s.stop(), 0)
        log.close()
    s.start()


@test("as an ordinary user on high ports, with a notice that users are not changed")
def ordinary(s):
    if os.geteuid() != 0:
        skip("already an ordinary user: every other test shows it")
    nobody = 65534
    with Service(next_port=s.next, start=False) as other:
        for root, _, files in os.walk(other.dir):
            for f in [root, *(os.path.join(root, x) for x in files)]:
                os.chown(f, nobody, nobody)
        binary = other.dir + "/submitd"
        subprocess.run(["cp", other.binary, binary], check=True)
        os.chmod(binary, 0o755)
        with open(other.log_path, "ab") as log:
            other.p = subprocess.Popen([binary, "-d", "-f", other.conf], env=other.env,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       user=nobody, group=nobody, extra_groups=[],
                                       cwd=other.dir, start_new_session=True)
        other.wait_ready()
        smtpc.submit(other)
        other.wait_log(event="delivery")


@test("DESIGN 3: what ran as root before the users were made goes on as those users")
def users_later(s):
    if os.geteuid() != 0:
        skip("needs root")
    with Service(next_port=s.next) as other:
        equal(other.stop(), 0)
        for name in ("state/ledger.db", "spool/queue.db"):
            equal(os.stat(f"{other.dir}/{name}").st_uid, 0, name)
        with open("/etc/passwd") as f:
            passwd = f.read()
        roles = ("front", "auth", "queue", "deliver", "ledger", "control")
        with open(other.dir + "/passwd", "w") as f:
            f.write(passwd + "".join(f"submitd-{r}:x:{61000 + i}:{61000 + i}::/:/bin/false\n"
                                     for i, r in enumerate(roles)))
        with open(other.dir + "/outside", "w") as f:      # root's, with a second name inside
            f.write("root's")
        os.link(other.dir + "/outside", other.dir + "/state/inside")
        wrapper = other.dir + "/with-users"
        with open(wrapper, "w") as f:
            f.write(f"#!/bin/sh\nmount --bind {other.dir}/passwd /etc/passwd &&"
                    f' exec {other.binary} "$@"\n')
        os.chmod(wrapper, 0o755)
        if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
            skip("unshare -m does not work here")
        other.p = subprocess.Popen(["unshare", "-m", wrapper, "-d", "-f", other.conf],
                                   env=other.env, stdin=subprocess.DEVNULL,
                                   stdout=open(other.log_path, "ab"), stderr=subprocess.STDOUT,
                                   cwd=other.dir, start_new_session=True)
        other.wait_ready()
        equal(os.stat(other.dir + "/state/ledger.db").st_uid, 61000 + roles.index("ledger"))
        equal(os.stat(other.dir + "/spool/queue.db").st_uid, 61000 + roles.index("queue"))
        equal(os.stat(other.dir + "/outside").st_uid, 0, "a file with a second name")
        smtpc.submit(other)
        other.wait_log(event="delivery")


run(fixture)
