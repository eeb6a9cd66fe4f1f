# SPDX-License-Identifier: ISC
"""Programs that no one here wrote, started on loopback for one test and always ended:
Postfix as next hop and as client, aiosmtpd, nsd, unbound. A missing one, or one that
needs root, skips the test by name."""
import email
import email.policy
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time

from daemon import alive, free_port
from tap import Skip, wait_for


def need(*programs):
    for p in programs:
        if not shutil.which(p, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            raise Skip(f"{p} is not installed")


def need_root(why):
    if os.geteuid() != 0:
        raise Skip(f"{why} needs root")


def run(*command, seconds=60, **kw):
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds,
                          stdin=None if "input" in kw else subprocess.DEVNULL, **kw)


def nodemailer(ca, sender, subject, options):
    """Sends by nodemailer; options are those of its createTransport(), without host and tls."""
    script = f"""
        const mailer = require("nodemailer"), fs = require("fs");
        mailer.createTransport({{host: "localhost", tls: {{ca: fs.readFileSync("{ca}")}},
            {options}}}).sendMail({{from: "{sender}", to: "x@remote.example",
            subject: "{subject}", text: "Hello."}})
            .then(() => process.exit(0), (e) => {{ console.error(e); process.exit(1); }});"""
    return run("node", "-e", script, env=dict(os.environ, NODE_PATH="/usr/share/nodejs"))


def listening(port, host="127.0.0.1"):
    try:
        with socket.create_connection((host, port), 1):
            return True
    except OSError:
        return False


def read_maildir(path):
    """The messages in PATH/new as bytes."""
    found = []
    for folder in ("new", "cur"):
        directory = os.path.join(path, folder)
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
            with open(os.path.join(directory, name), "rb") as f:
                found.append(f.read())
    return found


def parse(data):
    return email.message_from_bytes(data, policy=email.policy.default)


class Peer:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Process(Peer):
    """A server that stays in the foreground."""

    def __init__(self, command, log, ready, what):
        self.log = log
        with open(log, "ab") as f:
            self.p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                                      start_new_session=True)
        try:
            wait_for(lambda: self.p.poll() is not None or ready(), what)
            if self.p.poll() is not None:
                with open(log, errors="replace") as f:
                    raise AssertionError(f"{what} ended: {f.read()[-1500:]}")
        except BaseException:
            self.stop()
            raise

    def stop(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(10)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()


class Aiosmtpd(Process):
    def __init__(self, directory, utf8=True):
        need("aiosmtpd")
        self.port = free_port()
        self.box = os.path.join(directory, "aiosmtpd.box")
        super().__init__(["/usr/bin/python3", "-m", "aiosmtpd", "-n", *(["-u"] if utf8 else []),
                          "-l", f"127.0.0.1:{self.port}", "-c", "aiosmtpd.handlers.Mailbox",
                          self.box], os.path.join(directory, "aiosmtpd.log"),
                         lambda: listening(self.port), "aiosmtpd")

    def messages(self):
        return read_maildir(self.box)


MAIN_CF = """
compatibility_level = 3.6
queue_directory = @D@/spool
data_directory = @D@/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = @D@/maillog
maillog_file_prefixes = @D@
myhostname = @NAME@
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
local_transport = error:no local mail
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_event_limit_exceptions = static:all
"""
AS_NEXT_HOP = """
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:box/
virtual_mailbox_base = @D@/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_mailbox_limit = 0
message_size_limit = 104857600
smtpd_tls_cert_file = @CERT@
smtpd_tls_key_file = @KEY@
smtpd_tls_security_level = may
"""
AS_CLIENT = """
relay_domains = static:all
relayhost = [127.0.0.1]:@RELAY@
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:@D@/sasl_passwd
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = encrypt
smtp_tls_CAfile = @CA@
"""


def once(text):
    """The last value of each name. An overridden entry is a warning of every daemon, which
    fills the socket of postlogd before postlogd runs: master then waits for itself."""
    rows = dict(line.split(" = ", 1) if " = " in line else (line.rstrip("= "), "")
                for line in text.split("\n") if line.strip())
    return "".join(f"{k} = {v}\n" for k, v in rows.items())


class Postfix(Peer):
    """with Postfix(dir, cert=…, key=…) as hop   or   Postfix(dir, relay=(port, user, password))"""

    def __init__(self, directory, cert="", key="", ca="", relay=None, name="postfix.example",
                 extra="", processes="-", prepare=None):
        need("postfix", "postconf")
        need_root("Postfix")
        if run("postconf", "mail_version").returncode:
            raise Skip("postconf does not work here")
        self.dir = os.path.join(directory, "postfix." + ("client" if relay else "hop"))
        self.port = free_port()
        self.etc = self.dir + "/etc"
        for sub in ("etc", "spool", "data", "mail"):
            os.makedirs(f"{self.dir}/{sub}")
        user = pwd.getpwnam("postfix")
        os.chown(self.dir + "/data", user.pw_uid, user.pw_gid)
        os.chown(self.dir + "/mail", 65534, 65534)
        text = MAIN_CF + (AS_CLIENT if relay else AS_NEXT_HOP) + extra
        for a, b in (("@D@", self.dir), ("@NAME@", name), ("@CERT@", cert), ("@KEY@", key),
                     ("@CA@", ca), ("@RELAY@", str(relay[0]) if relay else "")):
            text = text.replace(a, b)
        with open(self.etc + "/main.cf", "w") as f:
            f.write(once(text))
        if relay:
            with open(self.dir + "/sasl_passwd", "w") as f:
                f.write(f"[127.0.0.1]:{relay[0]} {relay[1]}:{relay[2]}\n")
        shutil.copy("/usr/share/postfix/master.cf.dist", self.etc + "/master.cf")
        for name in ("dynamicmaps.cf", "postfix-files"):
            if os.path.exists("/etc/postfix/" + name):
                shutil.copy("/etc/postfix/" + name, self.etc)
        self.conf("-MX", "smtp/inet")
        self.conf("-M", f"own/inet=127.0.0.1:{self.port} inet n - n - {processes} smtpd",
                  "postlog/unix-dgram=postlog unix-dgram n - n - 1 postlogd")
        self.conf("-F", "*/*/chroot=n")
        if prepare:
            prepare(self.etc)
        try:
            self.command("start")
            wait_for(lambda: listening(self.port), "Postfix to listen")
        except BaseException:
            self.stop()
            raise

    def command(self, word):
        """Its processes must not inherit a pipe of ours: they would keep it open."""
        with open(self.dir + "/command.log", "ab") as f:
            subprocess.run(["postfix", "-c", self.etc, word], stdin=subprocess.DEVNULL, stdout=f,
                           stderr=f, timeout=40, start_new_session=True)

    def conf(self, *args):
        r = run("postconf", "-c", self.etc, *args)
        if r.returncode:
            raise AssertionError(f"postconf {args}: {r.stderr}")

    def master(self):
        try:
            with open(self.dir + "/spool/pid/master.pid") as f:
                return int(f.read())
        except (OSError, ValueError):
            return None

    def messages(self):
        return read_maildir(self.dir + "/mail/box")

    def log(self):
        try:
            with open(self.dir + "/maillog", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def stop(self):
        pid = self.master()
        try:
            self.command("stop")
        except subprocess.TimeoutExpired:
            pass
        end = time.monotonic() + 15
        while pid and alive(pid) and time.monotonic() < end:
            time.sleep(0.1)
        if pid and alive(pid):
            os.kill(pid, signal.SIGKILL)


class Nsd(Process):
    """zones: {"d1.zone": "records without SOA and NS"}; authoritative, no recursion."""

    def __init__(self, directory, zones):
        need("nsd")
        self.port = free_port()
        d = os.path.join(directory, "nsd")
        os.makedirs(d)
        text = (f'server:\n ip-address: 127.0.0.1@{self.port}\n username: ""\n chroot: ""\n'
                f' database: ""\n zonesdir: "{d}"\n pidfile: "{d}/pid"\n xfrdfile: "{d}/xfrd"\n'
                f' zonelistfile: "{d}/list"\n xfrdir: "{d}"\n server-count: 1\n'
                f' hide-version: yes\nremote-control:\n control-enable: no\n')
        for name, records in zones.items():
            with open(f"{d}/{name}.zone", "w") as f:
                f.write(f"$ORIGIN {name}.\n$TTL 60\n@ IN SOA ns.{name}. root.{name}. 1 60 60 60 5\n"
                        f"@ IN NS ns.{name}.\nns IN A 127.0.0.1\n{records}\n")
            text += f'zone:\n name: "{name}"\n zonefile: "{name}.zone"\n'
        with open(d + "/nsd.conf", "w") as f:
            f.write(text)
        super().__init__(["/usr/sbin/nsd", "-d", "-c", d + "/nsd.conf"], d + "/log",
                         lambda: answers(self.port, next(iter(zones))), "nsd")


class Unbound(Process):
    """A resolver that asks nsd (stubs: {zone: port}) and knows some records itself."""

    def __init__(self, directory, stubs=None, local=(), static_zones=(), silent=()):
        need("unbound")
        self.port = free_port()
        d = os.path.join(directory, f"unbound.{self.port}")
        os.makedirs(d)
        text = (f'server:\n interface: 127.0.0.1@{self.port}\n port: {self.port}\n username: ""\n'
                f' chroot: ""\n directory: "{d}"\n pidfile: ""\n use-syslog: no\n logfile: ""\n'
                ' do-not-query-localhost: no\n module-config: "iterator"\n num-threads: 1\n'
                ' access-control: 127.0.0.0/8 allow\n do-ip6: no\n verbosity: 1\n')
        for z in static_zones:
            text += f' local-zone: "{z}." static\n'
        for record in local:
            text += f" local-data: '{record}'\n"
        text += "remote-control:\n control-enable: no\n"
        for zone, port in (stubs or {}).items():
            text += f'stub-zone:\n name: "{zone}"\n stub-addr: 127.0.0.1@{port}\n'
        for zone in silent:             # asked for ever, never answered
            text += f'forward-zone:\n name: "{zone}"\n forward-addr: 127.0.0.1@9\n'
        with open(d + "/unbound.conf", "w") as f:
            f.write(text)
        some = next(iter(stubs or {}), None) or static_zones[0]
        super().__init__(["/usr/sbin/unbound", "-d", "-c", d + "/unbound.conf"], d + "/log",
                         lambda: answers(self.port, some), "unbound")


def answers(port, name):
    """A DNS server on this port answers a question for the SOA of name."""
    question = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0\0\6\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        try:
            s.sendto(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + question, ("127.0.0.1", port))
            return s.recv(512)[:2] == b"\x12\x34"
        except OSError:
            return False
