# SPDX-License-Identifier: ISC
"""The servers that bench.py measures, and how: CPU by cgroup or /proc, memory by Pss,
syncs by strace."""
import contextlib
import itertools
import os
import platform
import re
import signal
import subprocess
import tempfile
import time

from daemon import USER, Service, free_port, load, make_ca, make_cert
import peers
from tap import Skip

TICK = os.sysconf("SC_CLK_TCK")


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    return (f"{os.cpu_count()} cores, {model[1] if model else platform.machine()}, "
            f"Linux {platform.release()}, load {os.getloadavg()[0]:.1f}")


class Cgroup:
    """A group that a server is started in; without one, sums over /proc."""

    numbers = itertools.count()

    def __init__(self, name):
        name += f"-{next(self.numbers)}"
        self.path, self.v2 = None, False
        v1 = f"/sys/fs/cgroup/cpuacct/{name}-{os.getpid()}"
        v2 = f"/sys/fs/cgroup/{name}-{os.getpid()}"
        if os.path.isdir("/sys/fs/cgroup/cpuacct"):
            self.path = v1
        elif os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            self.path, self.v2 = v2, True
        try:
            os.mkdir(self.path)
        except (OSError, TypeError):
            self.path = None

    @contextlib.contextmanager
    def entered(self):
        """What is started in this block belongs to the group; this process does not stay."""
        if not self.path:
            yield
            return
        parent = os.path.dirname(self.path)
        with open(f"/proc/{os.getpid()}/cgroup") as f:
            text = f.read()
        own = re.search(r"^0::(.*)$" if self.v2 else r":[^:]*\bcpuacct\b[^:]*:(.*)$", text, re.M)
        home = parent + own[1] if own else parent
        with open(self.path + "/cgroup.procs", "w") as f:
            f.write(str(os.getpid()))
        try:
            yield
        finally:
            with open((home.rstrip("/") if os.path.isdir(home) else parent) + "/cgroup.procs",
                      "w") as f:
                f.write(str(os.getpid()))

    def pids(self):
        if not self.path:
            return []
        with open(self.path + "/cgroup.procs") as f:
            return [int(x) for x in f.read().split()]

    def cpu(self):
        if not self.path:
            return None
        if self.v2:
            with open(self.path + "/cpu.stat") as f:
                return int(re.search(r"usage_usec (\d+)", f.read())[1]) / 1e6
        with open(self.path + "/cpuacct.usage") as f:
            return int(f.read()) / 1e9

    def remove(self):
        for _ in range(50):
            try:
                if self.path:
                    os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.1)


class Server:
    """name, dir, next (port of the sink), cpu(), pss_kib(), load(…)"""

    def tree(self):
        return self.group.pids()

    def cpu(self):
        value = self.group.cpu()
        if value is not None:
            return value
        total = 0.0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/stat") as f:
                    v = f.read().rsplit(")", 1)[1].split()
                total += sum(int(x) for x in v[11:15]) / TICK
        return total

    def pss_kib(self):
        total = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/smaps_rollup") as f:
                    total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])
        return total


class Submitd(Server):
    name = "submitd"

    def __init__(self, held=False, blocks=None, users=None):
        self.group = Cgroup("bench-submitd")
        out = ('transport "outside" { method = static  hosts = {"127.0.0.1:@NEXT@"}  tls = none\n'
               f'  retry_delay = {{1, 5}}  retry_count = 50  paused = {str(held).lower()} }}')
        self.s = Service(start=False, users=users, blocks={
            "outside": out, "limit": 'limit "normal" { max_per_address = 20000  '
            'max_per_network = 20000  max_messages = 100000 }',
            "server": 'server { hostname = "mail.example.com"  spool = "@D@/spool"\n'
                      '  state = "@D@/state"  control = "@D@/control.sock"  drain_timeout = "5s" }',
            "auth_guard": 'auth_guard { fail_delay = "50ms" }',
            "log": 'log { targets = {"file:@D@/mail.log"} }', **(blocks or {})})
        self.dir, self.next = self.s.dir, self.s.next

    def __enter__(self):
        with self.group.entered():
            self.s.start()
        return self

    def __exit__(self, *error):
        self.s.__exit__(*error)
        self.group.remove()

    def tree(self):
        return self.group.pids() or [self.s.p.pid, *self.s.children()]

    def load(self, *args, wait=True, **options):
        return load(self.s, *args, wait=wait, **options)


SASLDB = ("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {d}/sasldb2\n"
          "mech_list: PLAIN LOGIN\n")
POSTFIX = """
relay_domains = static:all
virtual_mailbox_domains =
relayhost = [127.0.0.1]:{next}
mynetworks =
smtpd_tls_cert_file = {d}/server.pem
smtpd_tls_key_file = {d}/server.key
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = postfix.example
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_auth_rate_limit = 0
in_flow_delay = 0
default_process_limit = 1200
max_use = 1000
initial_destination_concurrency = 20
default_destination_concurrency_limit = 50
smtp_tls_security_level = none
message_size_limit = 52428800
mailbox_size_limit = 0
smtputf8_enable = no
{held}
"""


class PostfixServer(Server):
    name = "postfix"

    def __init__(self, held=False):
        peers.need("postfix", "saslpasswd2")
        peers.need_root("Postfix")
        self.group, self.held = Cgroup("bench-postfix"), held
        self.dir = tempfile.mkdtemp(prefix="submitd-bench-")
        os.chmod(self.dir, 0o755)
        self.next = free_port()
        make_ca(self.dir)
        make_cert(self.dir, "server", "postfix.example")

    def __enter__(self):
        extra = POSTFIX.format(d=self.dir, next=self.next,
                               held="defer_transports = smtp relay" if self.held else "")
        with self.group.entered():
            self.p = peers.Postfix(self.dir, extra=extra, name="postfix.example", processes="1200",
                                   prepare=self.prepare)
        return self

    def prepare(self, etc):
        os.makedirs(etc + "/sasl")
        with open(etc + "/sasl/smtpd.conf", "w") as f:
            f.write(SASLDB.format(d=self.dir))
        r = subprocess.run(["saslpasswd2", "-p", "-c", "-f", self.dir + "/sasldb2", "-u",
                            "postfix.example", "user"], input=b"password", capture_output=True)
        if r.returncode:
            raise Skip("saslpasswd2: " + r.stderr.decode())
        os.chmod(self.dir + "/sasldb2", 0o644)

    def __exit__(self, *_):
        self.p.stop()
        self.group.remove()
        subprocess.run(["rm", "-rf", self.dir])

    def tree(self):
        return self.group.pids()

    def load(self, wait=True, **options):
        fake = type("Fake", (), {"port": self.p.port, "password": lambda self: "password"})()
        options["user"] = "user"
        return load(fake, wait=wait, **options)


def syncs(server, n=100):
    """Sync calls of all its processes while n messages come in one by one."""
    peers.need("strace")
    out = os.path.join(server.dir, "strace")
    command = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,msync",
               "-e", "signal=none", "-o", out]
    for pid in server.tree():
        command += ["-p", str(pid)]
    p = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    time.sleep(1.5)
    r = server.load(connections=1, messages=n, per_connection=n, size=10240, threads=1, timeout=60)
    time.sleep(0.3)
    p.send_signal(signal.SIGTERM)
    p.wait()
    calls = {}
    with open(out) as f:
        for line in f:
            m = re.match(r"\d+\s+(fsync|fdatasync|sync\w*|msync)\((?:\d+<([^>]*)>)?", line)
            if m:
                name = re.sub(r"[0-9A-Fa-f]*\d[0-9A-Fa-f]*", "#", os.path.basename(m[2] or "?"))
                calls[f"{m[1]} {name}"] = calls.get(f"{m[1]} {name}", 0) + 1
    return {"test": "F", "peer": server.name, "ok": r["ok"],
            "per_message": round(sum(calls.values()) / max(r["ok"], 1), 2), "calls": calls}


__all__ = ["Submitd", "PostfixServer", "Cgroup", "machine", "syncs", "USER"]
