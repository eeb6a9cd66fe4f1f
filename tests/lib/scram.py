# SPDX-License-Identifier: ISC
"""The client's side of SCRAM-SHA-256 over tests' SMTP sessions (RFC 7677, RFC 4954)."""
import base64
import hashlib
import hmac
import os


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def proof(password, bare, server, final):
    """The client's final message whole, for its part before the proof; and the salted password."""
    rows = dict(a.split("=", 1) for a in server.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(rows["s"]),
                                 int(rows["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    sign = hmac.digest(hashlib.sha256(key).digest(), f"{bare},{server},{final}".encode(), "sha256")
    return f"{final},p=" + b64(bytes(a ^ b for a, b in zip(key, sign))), salted


def keys(password, salt=b"salt and pepper!", iterations=4096):
    """A line of hashes, as submitctl passwd makes it."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{b64(salt)}${b64(stored)}:{b64(server)}"


class Exchange:
    """One AUTH command; each step gives (code, text)."""

    def __init__(self, client, user, header="n,,"):
        self.client, self.header = client, header
        self.nonce = b64(os.urandom(18)).replace(",", "x")
        self.bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"
        self.reply = client.cmd("AUTH SCRAM-SHA-256 " + b64(header + self.bare))
        self.server = base64.b64decode(self.reply[1]).decode() if self.reply[0] == 334 else ""
        self.salted = None

    def attribute(self, name):
        return next(a[2:] for a in self.server.split(",") if a.startswith(name + "="))

    def prove(self, password):
        final = f"c={b64(self.header)},r={self.attribute('r')}"
        self.signed = f"{self.bare},{self.server},{final}".encode()
        final, self.salted = proof(password, self.bare, self.server, final)
        self.reply = self.client.cmd(b64(final))
        return self.reply

    def server_is_right(self):
        """The server's own proof, in the challenge behind ours."""
        want = hmac.digest(hmac.digest(self.salted, b"Server Key", "sha256"), self.signed, "sha256")
        return base64.b64decode(self.reply[1]).decode() == "v=" + b64(want)


def login(client, user, password, header="n,,"):
    """The whole exchange; gives the last reply."""
    x = Exchange(client, user, header)
    if x.reply[0] != 334 or x.prove(password)[0] != 334:
        return x.reply
    if not x.server_is_right():
        raise AssertionError("the server proves nothing")
    return client.cmd("")
