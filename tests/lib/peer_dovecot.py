# SPDX-License-Identifier: ISC
"""Dovecot as a mailbox server on loopback: its submission service, and its auth service for the
AUTH of Postfix.

    with Dovecot(dir, {"alice@example.com": "secret"}, cert, key, relay_port) as d:
        d.port            submission with STARTTLS
    d.implicit_port   the same with TLS from the first octet, with implicit=True
        d.auth_port       for smtpd_sasl_path = inet:127.0.0.1:PORT
        postfix_sasl(d)   what Postfix's main.cf needs
"""
import os
import pwd
import re
import shutil
import signal

from daemon import free_port
from peers import Process, listening, need, need_root
from tap import Skip, wait_for

CONF = """\
base_dir = @D@/run
state_dir = @D@/state
log_path = @D@/log
protocols = @PROTOCOLS@
listen = 127.0.0.1
hostname = dovecot.example
ssl = yes
ssl_cert = <@CERT@
ssl_key = <@KEY@
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = yes
auth_mechanisms = @MECHS@
auth_failure_delay = 0
auth_username_chars =
auth_debug = no
mail_location = maildir:@D@/mail/%u
first_valid_uid = 1
submission_relay_host = 127.0.0.1
submission_relay_port = @RELAY@
submission_relay_ssl = no
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u @D@/passwd
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=@D@/mail
}
service submission-login {
  inet_listener submission {
    port = @PORT@
  }
  inet_listener submissions {
    port = @IMPLICIT@
    ssl = yes
  }
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = @AUTH@
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
mail_max_userip_connections = 0
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
"""


class Dovecot(Process):
    def __init__(self, directory, users, cert, key, relay_port=None, mechs="plain login",
                 submission=True, implicit=False):
        need("dovecot")
        need_root("Dovecot")
        try:
            pwd.getpwnam("dovenull")
        except KeyError:
            raise Skip("Dovecot's users are missing") from None
        if submission and not os.path.exists("/usr/lib/dovecot/submission-login"):
            raise Skip("dovecot-submissiond is not installed")
        self.dir = os.path.join(directory, f"dovecot.{free_port()}")
        self.port, self.auth_port = free_port(), free_port()
        self.implicit_port = free_port() if implicit else 0
        for sub in ("run", "state", "mail"):
            os.makedirs(f"{self.dir}/{sub}")
        os.chown(self.dir + "/mail", 65534, 65534)
        self.submission = submission
        self.text = CONF
        for a, b in (("@D@", self.dir), ("@CERT@", cert), ("@KEY@", key), ("@MECHS@", mechs),
                     ("@PORT@", str(self.port)), ("@AUTH@", str(self.auth_port)),
                     ("@IMPLICIT@", str(self.implicit_port)),
                     ("@RELAY@", str(relay_port or self.port)),
                     ("@PROTOCOLS@", "submission" if submission else "")):
            self.text = self.text.replace(a, b)
        if not submission:
            self.text = re.sub(r"submission_relay.*\n|service submission-login \{\n(.*\n)*?\}\n",
                               "", self.text)
        with open(self.dir + "/dovecot.conf", "w") as f:
            f.write(self.text)
        self.set_users(users)
        self.start()

    def set_users(self, users):
        with open(self.dir + "/passwd.new", "w") as f:
            f.writelines(f"{u}:{{PLAIN}}{p}\n" for u, p in users.items())
        os.chmod(self.dir + "/passwd.new", 0o644)
        os.rename(self.dir + "/passwd.new", self.dir + "/passwd")

    def start(self):
        ports = [self.auth_port] + ([self.port] if self.submission else [])
        super().__init__([shutil.which("dovecot", path="/usr/sbin"), "-F", "-c",
                          self.dir + "/dovecot.conf"], self.dir + "/out",
                         lambda: all(listening(p) for p in ports), "Dovecot")

    def kill(self):
        """kill -9 of master and children, as by the kernel when memory is short."""
        try:
            os.killpg(self.p.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.p.wait()
        wait_for(lambda: not listening(self.auth_port), "Dovecot to be gone")

    def logged(self):
        with open(self.dir + "/log", errors="replace") as f:
            return f.read()


def postfix_sasl(dovecot, level="may"):
    """For `extra` of peers.Postfix: AUTH after STARTTLS, asked of Dovecot."""
    return (f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\n"
            f"smtpd_sasl_path = inet:127.0.0.1:{dovecot.auth_port}\n"
            f"smtpd_sasl_security_options = noanonymous\nsmtpd_tls_auth_only = yes\n"
            f"smtpd_tls_security_level = {level}\n")
