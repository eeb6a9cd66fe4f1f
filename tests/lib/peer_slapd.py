# SPDX-License-Identifier: ISC
"""OpenLDAP's slapd on loopback, with the password policy overlay, in clear and with TLS:

    with Slapd(directory, cert, key, ca) as d:
        d.port, d.port_tls, d.suffix, d.kill(), d.start()

and servers that do not behave (Fake), for what must be temporary."""
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

from daemon import free_port
from peers import Peer, listening, need, run
from tap import wait_for

SUFFIX = "dc=example,dc=com"
SERVICE = "cn=submitd,ou=services," + SUFFIX
SERVICE_PASSWORD = "service secret"

CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.3.6.1.4.1.4203.666.1.900 NAME 'proxyAddresses'
  EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.4203.666.1.901 NAME 'mailOwner' SUP top AUXILIARY
  MAY ( proxyAddresses ) )
modulepath /usr/lib/ldap
moduleload back_mdb.la
moduleload ppolicy.la
pidfile @D@/slapd.pid
argsfile @D@/slapd.args
loglevel 256
TLSCACertificateFile @CA@
TLSCertificateFile @CERT@
TLSCertificateKeyFile @KEY@
# what Active Directory does too: success for a name with an empty password
allow bind_anon_dn bind_anon_cred
database mdb
maxsize 16777216
suffix "dc=example,dc=com"
rootdn "cn=admin,dc=example,dc=com"
rootpw adminpw
directory @D@/db
overlay ppolicy
ppolicy_use_lockout
access to attrs=userPassword by self write by anonymous auth by * none
access to * by dn.exact="cn=submitd,ou=services,dc=example,dc=com" read by self read by * none
"""

HEAD = """dn: dc=example,dc=com
objectClass: domain
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=services,dc=example,dc=com
objectClass: organizationalUnit
ou: services

dn: cn=submitd,ou=services,dc=example,dc=com
objectClass: person
cn: submitd
sn: submitd
userPassword: service secret

dn: cn=strict,dc=example,dc=com
objectClass: person
objectClass: pwdPolicy
cn: strict
sn: strict
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 3
pwdFailureCountInterval: 0
pwdMaxAge: 86400
pwdMustChange: TRUE
"""
POLICY = "pwdPolicySubentry: cn=strict," + SUFFIX

# uid: (password, further lines)
PEOPLE = {
    "alice": ("correct_horse", "mail: alice@example.com\nproxyAddresses: SMTP:alice@example.com\n"
                               "proxyAddresses: smtp:sales@example.com\n"
                               "proxyAddresses: X500:/o=Example/cn=alice\n"
                               "proxyAddresses: sip:alice@example.com"),
    "bob": ("battery staple", "mail: bob@example.com"),
    "al*(i)": ("star", "mail: star@example.com"),
    "nomail": ("nomail", "description: x"),
    "multi": ("multi", "mail: multi.first@example.com\nmail: multi.second@example.com"),
    "twin1": ("twin", "mail: twin@example.com"),
    "twin2": ("twin", "mail: twin@example.com"),
    "comma, \\+#\"<>;=": ("comma", "mail: comma@example.com"),
    "locked": ("locked", "mail: locked@example.com\npwdAccountLockedTime: 000001010000Z\n"
                         + POLICY),
    "expired": ("expired", "mail: expired@example.com\npwdChangedTime: 20000101000000Z\n" + POLICY),
    "reset": ("reset", f"mail: reset@example.com\npwdReset: TRUE\n{POLICY}"),
    "counted": ("counted", "mail: counted@example.com\n" + POLICY),
}


def dn_value(text):
    return "".join(c if c.isalnum() or c in "@._-" else "".join(f"\\{b:02x}" for b in c.encode())
                   for c in text)


class Slapd(Peer):
    suffix = SUFFIX

    def __init__(self, directory, cert, key, ca):
        need("slapd", "slapadd")
        self.port, self.port_tls = free_port(), free_port()
        self.dir = os.path.join(directory, "slapd")
        self.p = None
        os.makedirs(self.dir + "/db")
        for name, path in (("srv.pem", cert), ("srv.key", key), ("ca.pem", ca)):
            with open(path, "rb") as f, open(f"{self.dir}/{name}", "wb") as out:
                out.write(f.read())
        text = CONF
        for a, b in (("@D@", self.dir), ("@CA@", self.dir + "/ca.pem"),
                     ("@CERT@", self.dir + "/srv.pem"), ("@KEY@", self.dir + "/srv.key")):
            text = text.replace(a, b)
        with open(self.dir + "/slapd.conf", "w") as f:
            f.write(text)
        with open(self.dir + "/base.ldif", "w") as f:
            f.write(HEAD)
            for uid, (password, more) in PEOPLE.items():
                extra = "\nobjectClass: mailOwner" if "proxyAddresses" in more else ""
                f.write(f"\ndn: uid={dn_value(uid)},ou=people,{SUFFIX}\n"
                        f"objectClass: inetOrgPerson{extra}\nuid: {uid}\ncn: {uid}\nsn: x\n"
                        f"userPassword: {password}\n{more}\n")
        r = run("/usr/sbin/slapadd", "-q", "-f", self.dir + "/slapd.conf", "-l",
                self.dir + "/base.ldif")
        if r.returncode:
            raise AssertionError("slapadd: " + r.stderr)
        if os.geteuid() == 0:
            for top, _, names in os.walk(self.dir):
                for path in (top, *(os.path.join(top, n) for n in names)):
                    os.chown(path, 65534, 65534)
        self.start()

    def start(self):
        """mdb may need a moment before it can be opened again."""
        as_nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}

        def up():
            if self.p is None or self.p.poll() is not None:
                with open(self.dir + "/log", "ab") as f:
                    self.p = subprocess.Popen(
                        ["/usr/sbin/slapd", "-d", "256", "-f", self.dir + "/slapd.conf", "-h",
                         f"ldap://127.0.0.1:{self.port}/ ldaps://127.0.0.1:{self.port_tls}/"],
                        stdin=subprocess.DEVNULL, stdout=f, stderr=f, start_new_session=True,
                        cwd=self.dir, **as_nobody)
                time.sleep(0.1)
            return listening(self.port) and listening(self.port_tls)
        try:
            wait_for(up, "slapd to listen", 60)
        except BaseException:
            self.stop()
            raise

    def log(self):
        with open(self.dir + "/log", errors="replace") as f:
            return f.read()

    def kill(self):
        self.p.kill()
        self.p.wait()

    def stop(self):
        if self.p is not None and self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


def tlv(tag, *parts):
    data = b"".join(parts)
    size = bytes([len(data)]) if len(data) < 128 else b"\x84" + struct.pack(">I", len(data))
    return bytes([tag]) + size + data


def success(message_id, tag=0x61, code=0, text=b""):
    """A BindResponse, or what the tag says; the code may be no success at all."""
    return tlv(0x30, tlv(2, bytes([message_id])),
               tlv(tag, tlv(10, bytes([code])), tlv(4), tlv(4, text)))


def entry(message_id, dn, value):
    """A SearchResultEntry with one attribute."""
    return tlv(0x30, tlv(2, bytes([message_id])),
               tlv(0x64, tlv(4, dn.encode()),
                   tlv(0x30, tlv(0x30, tlv(4, b"mail"), tlv(0x31, tlv(4, value))))))


class Fake(Peer):
    """A server that accepts and then misbehaves, or answers with the octets of a function:

    silent    never says anything
    trickle   a good answer, an octet every half second
    reset     resets the connection after the first request
    garbage   octets that are no LDAP
    endless   a message that says it is huge
    tls       silent after StartTLS was granted
    """

    def __init__(self, how, tls=None):
        self.how = how
        self.tls = tls
        self.seen = []
        self.s = socket.create_server(("127.0.0.1", free_port()))
        self.port = self.s.getsockname()[1]
        self.ended = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.ended.is_set():
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            if self.tls:
                c = self.tls.wrap_socket(c, server_side=True)
            with c:
                while not self.ended.is_set():
                    data = c.recv(65536)
                    if not data:
                        return
                    self.seen.append(data)
                    self.answer(c, data)
        except (OSError, ssl.SSLError):
            pass

    def answer(self, c, data):
        # 30 LL 02 01 ID: requests of the tests are short
        ident = data[4] if data[0] == 0x30 and data[2] == 0x02 else 1
        if callable(self.how):
            c.sendall(self.how(ident, data))
        elif self.how == "trickle":
            for byte in success(ident):
                c.sendall(bytes([byte]))
                if self.ended.wait(0.5):
                    return
        elif self.how == "reset":
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.close()
        elif self.how == "garbage":
            c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
        elif self.how == "endless":
            c.sendall(b"\x30\x84\x7f\xff\xff\xff\x02\x01\x01" + b"\0" * 65536)
        elif self.how == "tls" and b"1.3.6.1.4.1.1466.20037" in data:
            c.sendall(success(ident, 0x78))

    def stop(self):
        self.ended.set()
        try:
            self.s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.s.close()
