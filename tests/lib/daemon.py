# SPDX-License-Identifier: ISC
"""Starts submitd for a test: in a directory of its own, on free ports, with a
configuration made of blocks that a test can replace.

    with Service(blocks={"limit": 'limit "l" { max_errors = 3 }'}) as s:
        s.port, s.port465, s.port25, s.wait_log(event="accepted"), s.ctl("queue", "list")

SUBMITD names the binary (default: build/release/submitd); submitctl is beside it.
The end of the `with` stops it and fails when it did not end well or a sanitizer
had something to say.
"""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from tap import Skip, wait_for

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("SUBMITD", os.path.join(TOP, "build/release/submitd")))
PASSWORD = "correct_horse"
USER = "alice@example.com"


def variant(name):
    """The binary of another build (faults, asan); its tests are skipped where it was not made."""
    own = os.environ.get("SUBMITD", "")
    if name == "faults" and ("/asan" in own or "/faults" in own):
        return BINARY                   # both are built with -DSUBMITD_FAULTS
    path = os.path.join(os.path.dirname(os.path.dirname(BINARY)), name, "submitd")
    if not os.path.exists(path):
        path = os.path.join(TOP, "build", name, "submitd")
    if not os.path.exists(path):
        raise Skip(f"{os.path.relpath(path, TOP)} is missing: make VARIANT={name}")
    return path


def is_sanitized(binary=BINARY):
    return "/asan" in binary


def patience(seconds, binary=BINARY):
    return seconds * (4 if is_sanitized(binary) else 1)


_given = set()


def free_port(address="127.0.0.1"):
    """A port below the ones the kernel gives to clients, so that nobody takes it meanwhile."""
    while True:
        port = random.randrange(20000, 32000)
        if port in _given:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((address, port))
            except OSError:
                continue
        _given.add(port)
        return port


def tool(name):
    """smtpload, smtpsink, fsgone: compiled when missing or old."""
    directory = os.environ.get("TOOLS", os.path.join(TOP, "build/tools"))
    subprocess.run([os.path.join(TOP, "tests/lib/build_tools.sh"), directory], check=True,
                   stdin=subprocess.DEVNULL)
    return os.path.join(directory, name)


def openssl(*args):
    r = subprocess.run(["openssl", *args], capture_output=True, stdin=subprocess.DEVNULL)
    if r.returncode:
        raise RuntimeError(f"openssl {args[0]}: {r.stderr.decode()}")


def make_ca(directory):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "30", "-subj", "/CN=submitd test CA", "-addext",
            "basicConstraints=critical,CA:TRUE", "-keyout", f"{directory}/ca.key",
            "-out", f"{directory}/ca.pem")


def make_cert(directory, stem, *names):
    """A certificate for these names and 127.0.0.1; gives (certificate, key)."""
    base = os.path.join(directory, stem)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={names[0]}", "-keyout", base + ".key", "-out", base + ".csr")
    with open(base + ".ext", "w") as f:
        f.write("subjectAltName=" + ",".join("DNS:" + n for n in names) + ",IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", base + ".csr", "-CA", f"{directory}/ca.pem",
            "-CAkey", f"{directory}/ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", base + ".ext", "-out", base + ".pem")
    return base + ".pem", base + ".key"


def parse_log_line(line):
    """key=value with quotes, behind the time."""
    fields = {}
    for key, quoted, plain in re.findall(r'([a-z_0-9]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))', line):
        fields[key] = re.sub(r'\\(x[0-9a-f]{2}|.)', lambda m: chr(int(m[1][1:], 16))
                             if len(m[1]) == 3 else m[1], quoted) if quoted else plain
    return fields


BLOCKS = {
    "server": 'server { hostname = "mail.example.com"  spool = "@D@/spool"\n'
              '  control = "@D@/control.sock"  drain_timeout = "12s"  fronts = 2  delivers = 2 }',
    "log": 'log { targets = {"stderr"}  level = info }',
    "audit": 'audit { file = "@D@/audit.log" }',
    "tls": 'tls "default" { certificate = "@D@/server.pem"  key = "@D@/server.key" }',
    "backend": 'backend "files" { type = file  path = "@D@/users"  allow_plain = true }',
    "auth_flow": 'auth_flow "people" { chain = {"files"} }',
    "auth_guard": 'auth_guard { fail_delay = "50ms"  exempt = {"127.0.0.0/8", "::1"} }',
    "limit": 'limit "normal" { max_per_address = 1000 }',
    "submission": 'listener "submission" { bind = {"127.0.0.1:@PORT@"}  tls = starttls\n'
                  '  tls_profile = {"default"}  auth_flow = "people"\n'
                  '  default_domain = "example.com"  relay_ou = {"staff"}  limit = "normal" }',
    "submissions": 'listener "submissions" { like = "submission"\n'
                   '  bind = {"127.0.0.1:@PORT465@"}  tls = implicit }',
    "mx": 'listener "mx" { bind = {"127.0.0.1:@PORT25@"}  role = relay  tls = starttls\n'
          '  tls_profile = {"default"}  auth = off  require_auth = false  limit = "normal" }',
    "ou": 'ou "staff" { domains = {"example.com"}  match_from = true }\n'
          'ou "other" { domains = {"other.example"} }',
    "domains": 'domain "example.com" { ou = "staff"  transport = "inside" }\n'
               'domain "other.example" { ou = "other"  transport = "inside" }\n'
               'domain "any" { transport = "outside" }',
    "inside": 'transport "inside" { method = static  hosts = {"127.0.0.1:@NEXT@"}  tls = none\n'
              '  retry_delay = {1}  retry_count = 3 }',
    "outside": 'transport "outside" { method = static  hosts = {"127.0.0.1:@NEXT@"}  tls = none\n'
               '  retry_delay = {1}  retry_count = 3 }',
}
USERS = {"alice@example.com": PASSWORD, "bob@example.com": "battery_staple",
         "zoe@other.example": "zebra_zebra"}


class Service:
    def __init__(self, blocks=None, binary=None, env=None, next_port=None, minute_ms=None,
                 directory=None, users=None, args=(), start=True, **ports):
        self.binary = binary or BINARY
        if not os.path.exists(self.binary):
            raise Skip(f"{self.binary} is missing: make")
        self.own_directory = directory is None
        self.dir = directory or tempfile.mkdtemp(prefix="submitd-test-")
        os.chmod(self.dir, 0o755)
        self.blocks = dict(BLOCKS)
        self.blocks.update(blocks or {})
        self.users = dict(USERS, **(users or {}))
        self.next = next_port or free_port()
        self.port = ports.get("port") or free_port()
        self.port465 = ports.get("port465") or free_port()
        self.port25 = ports.get("port25") or free_port()
        self.env = dict(os.environ, **(env or {}))
        if minute_ms is not None:
            self.env["SUBMITD_TEST_MINUTE_MS"] = str(minute_ms)
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            self.env[name] = f"log_path={self.dir}/sanitizer:print_stacktrace=1:" \
                             "detect_leaks=0:handle_abort=1:exitcode=99"
        self.conf = f"{self.dir}/submitd.conf"
        self.log_path = f"{self.dir}/log"
        self.args = list(args)
        self.p = None
        self.keep = bool(os.environ.get("KEEP"))
        self.expect_exit = 0
        if not os.path.exists(f"{self.dir}/ca.pem"):
            make_ca(self.dir)
            make_cert(self.dir, "server", "mail.example.com", "localhost")
        with open(f"{self.dir}/users", "w") as f:
            f.writelines(f"{u} {p}\n" for u, p in self.users.items())
        os.chmod(f"{self.dir}/users", 0o600)
        self.write_conf()
        if start:
            try:
                self.start()
            except BaseException:
                self.keep = True
                self.kill_all()
                raise

    def password(self, user=USER):
        return self.users[user]

    def fill(self, text):
        for key, value in (("@D@", self.dir), ("@PORT@", self.port), ("@PORT465@", self.port465),
                           ("@PORT25@", self.port25), ("@NEXT@", self.next)):
            text = text.replace(key, str(value))
        return text

    def write_conf(self, **changed):
        self.blocks.update(changed)
        server = self.blocks.get("server", "state =")
        if "state =" not in server:     # the default directory is for one service only
            self.blocks["server"] = server.replace("server {", 'server { state = "@D@/state"', 1)
        text = "\n".join(b for b in self.blocks.values() if b)
        with open(self.conf + ".new", "w") as f:
            f.write(self.fill(text) + "\n")
        os.rename(self.conf + ".new", self.conf)

    # ---- life --------------------------------------------------------------------------------

    def start(self, wait=True):
        self.log_file = open(self.log_path, "ab")
        self.log_start = self.log_file.tell()
        self.p = subprocess.Popen([self.binary, "-d", "-f", self.conf, *self.args], env=self.env,
                                  stdin=subprocess.DEVNULL, stdout=self.log_file,
                                  stderr=self.log_file, start_new_session=True, cwd=self.dir)
        self.log_file.close()
        if wait:
            self.wait_ready()

    def banner(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                s.settimeout(2)
                return s.recv(200).startswith(b"220")
        except OSError:
            return False

    def wait_ready(self, seconds=20):
        def ready():
            if self.p.poll() is not None:
                raise AssertionError(f"submitd ended with {self.p.returncode}:\n{self.tell()}")
            return self.banner()
        wait_for(ready, "submitd to answer on its port", patience(seconds, self.binary))

    def stop(self, seconds=30):
        """SIGTERM; gives the exit status."""
        if self.p is None:
            return None
        self.p.send_signal(signal.SIGTERM)
        try:
            status = self.p.wait(patience(seconds, self.binary))
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise AssertionError("submitd did not stop") from None
        self.p = None
        return status

    def restart(self):
        status = self.stop()
        if status != 0:
            raise AssertionError(f"submitd ended with {status}")
        self.start()

    def kill_all(self):
        """kill -9 of the whole service at once."""
        if self.p is None:
            return
        pids = [self.p.pid, *self.children()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.p.wait()
        self.p = None
        wait_for(lambda: not any(alive(p) for p in pids), "the killed processes to be gone", 10)

    def children(self):
        found = []
        try:
            with open(f"/proc/{self.p.pid}/task/{self.p.pid}/children") as f:
                found = [int(x) for x in f.read().split()]
        except OSError:
            pass
        return found

    def roles(self):
        """{"front": [pid, …], …}"""
        found = {}
        for pid in self.children():
            try:
                with open(f"/proc/{pid}/comm") as f:
                    name = f.read().strip()
            except OSError:
                continue
            if name.startswith("sd-"):
                found.setdefault(name[3:], []).append(pid)
        return found

    def reload(self):
        """SIGHUP; gives the fields of the event that tells how it went."""
        before = len(self.events(event="reload"))
        self.p.send_signal(signal.SIGHUP)
        return wait_for(lambda: self.events(event="reload")[before:], "event=reload",
                        patience(20, self.binary))[-1]

    # ---- what it says ------------------------------------------------------------------------

    def log(self):
        if not os.path.exists(self.log_path):
            return ""                       # it was never started
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def events(self, **match):
        rows = [parse_log_line(line) for line in self.log().split("\n") if " event=" in line]
        return [r for r in rows if all(r.get(k) == str(v) for k, v in match.items())]

    def wait_log(self, seconds=20, **match):
        return wait_for(lambda: self.events(**match), f"a log line with {match}",
                        patience(seconds, self.binary))[-1]

    def tell(self):
        return "log:\n" + "\n".join(self.log().split("\n")[-40:])

    def sanitizer(self):
        text = ""
        for name in sorted(os.listdir(self.dir)):
            if name.startswith("sanitizer"):
                with open(os.path.join(self.dir, name), errors="replace") as f:
                    text += f.read()[:6000]
        return text

    def run_ctl(self, *args, text=None, conf=True):
        """submitctl; gives the finished process."""
        command = [os.path.join(os.path.dirname(self.binary), "submitctl")]
        if conf:
            command += ["-f", self.conf]
        return subprocess.run([*command, *args], input=text, capture_output=True, text=True,
                              env=self.env, timeout=patience(60, self.binary))

    def ctl(self, *args, text=None):
        r = self.run_ctl(*args, text=text)
        if r.returncode:
            raise AssertionError(f"submitctl {' '.join(args)}: status {r.returncode}\n"
                                 f"{r.stdout}{r.stderr}")
        return r.stdout

    def ctl_rows(self, *args):
        """The objects of submitctl --json, one a line or one list."""
        r = self.run_ctl(*args, "--json")
        out = r.stdout.strip()
        if r.returncode and (out or r.stderr):
            raise AssertionError(f"submitctl {' '.join(args)}: status {r.returncode}\n"
                                 f"{out}{r.stderr}")
        if not out:                     # nothing found is status 1
            return []
        if out.startswith("["):
            return json.loads(out)
        return [json.loads(line) for line in out.split("\n")]

    def queued(self):
        """Rows of envelope tables, read with stock sqlite3's library."""
        return self.ctl_rows("queue", "list")

    # ---- with ---------------------------------------------------------------------------------

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        problem = ""
        children = []
        if self.p is not None:
            early = self.p.poll()
            children = self.children()
            try:
                status = early if early is not None else self.stop()
                if status != self.expect_exit:
                    problem = f"submitd ended with {status}"
            except AssertionError as e:
                problem = str(e)
            if not problem and any(alive(p) for p in children):
                problem = "processes were left behind"
        problem = self.sanitizer() or problem
        if problem:
            problem += "\n" + self.tell()
        if self.keep or (problem and os.environ.get("KEEP_FAILED")):
            print(f"# kept: {self.dir}", flush=True)
        elif self.own_directory:
            shutil.rmtree(self.dir, ignore_errors=True)
        if problem and kind is None:
            raise AssertionError(problem)
        return False


def alive(pid):
    """A killed one whose threads are still within a system call keeps its files and locks."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            state = f.read().rsplit(")", 1)[1].split()[0]
        return state != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


class Sink:
    """smtpsink as next hop."""

    def __init__(self, directory, *args, port=0):
        self.log_path = os.path.join(directory, "sink.log")
        self.stats_path = os.path.join(directory, "sink.stats")
        self.args = args
        self.directory = directory
        self.p = None
        self.port = port
        self.start()

    def start(self, *args):
        self.p = subprocess.Popen(
            [tool("smtpsink"), "--port", str(self.port), "--log", self.log_path, "--stats",
             self.stats_path, *(args or self.args)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True, bufsize=1)
        self.port = int(self.p.stdout.readline().split()[1])

    def received(self):
        """[(uuid, kind, [recipients])]"""
        with open(self.log_path) as f:
            rows = [line.rstrip("\n").split("\t") for line in f]
        return [(r[0], r[1], r[2].split(",")) for r in rows]

    def stats(self):
        import struct
        with open(self.stats_path, "rb") as f:
            values = struct.unpack("<7Q", f.read(56))
        return dict(zip("messages rcpts tempfailed permfailed connections bytes last_ns".split(),
                        values))

    def stop(self):
        if self.p is not None:
            self.p.terminate()
            self.p.wait()
            self.p.stdout.close()
            self.p = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def load(service, *args, wait=True, **options):
    """Runs smtpload against a service; gives its JSON, or the process when wait is false."""
    command = [tool("smtpload"), "--port", str(options.pop("port", service.port)), "--user", USER,
               "--password", service.password(), "--from", USER]
    for key, value in options.items():
        command += ["--" + key.replace("_", "-"), str(value)]
    command += list(args)
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if not wait:
        return p
    out = p.communicate()[0]
    if p.returncode:
        raise AssertionError(f"smtpload ended with {p.returncode}")
    return json.loads(out.strip().split("\n")[-1])


def uuids(path):
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return [line.strip() for line in f if line.endswith("\n")]


def now():
    return time.monotonic()
