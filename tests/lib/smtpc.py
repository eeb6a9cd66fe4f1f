# SPDX-License-Identifier: ISC
"""A client that says exactly what a test wants, right or wrong, and reads replies."""
import base64
import contextlib
import socket
import ssl


class Gone(Exception):
    """The server closed the connection."""


def context(ca=None, **options):
    c = ssl.create_default_context(cafile=ca)
    if not ca:
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
    for key, value in options.items():
        setattr(c, key, value)
    return c


class Client:
    def __init__(self, port, tls=False, host="127.0.0.1", sni=None, greet=True, timeout=60,
                 source=None, first=b""):
        self.s = socket.create_connection((host, port), timeout, source and (source, 0))
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.s.sendall(first)           # a PROXY header
        self.buffer = b""
        self.extensions = {}
        if tls:
            self.wrap(sni)
        self.greeting = self.reply() if greet else None

    def wrap(self, sni=None, ctx=None):
        self.s = (ctx or context()).wrap_socket(self.s, server_hostname=sni)
        self.buffer = b""

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        try:
            self.s.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Gone(str(e)) from e

    def reply(self):
        """(code, text) of the next whole reply."""
        lines = []
        while True:
            while b"\r\n" not in self.buffer:
                try:
                    more = self.s.recv(65536)
                except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as e:
                    raise Gone(str(e)) from e
                if not more:
                    raise Gone(self.buffer.decode("utf-8", "replace"))
                self.buffer += more
            line, self.buffer = self.buffer.split(b"\r\n", 1)
            lines.append(line.decode("utf-8", "replace"))
            if line[3:4] != b"-":
                return int(line[:3]), "\n".join(x[4:] for x in lines)

    def cmd(self, line):
        self.send(line + "\r\n" if isinstance(line, str) else line + b"\r\n")
        return self.reply()

    def ehlo(self, name="client.example"):
        code, text = self.cmd("EHLO " + name)
        self.extensions = {}
        for row in text.split("\n")[1:]:
            word, _, rest = row.partition(" ")
            self.extensions[word.upper()] = rest
        return code, text

    def starttls(self, sni=None, ctx=None):
        r = self.cmd("STARTTLS")
        if r[0] == 220:
            self.wrap(sni, ctx)
        return r

    def auth(self, user, password, mech="PLAIN"):
        if mech == "PLAIN":
            secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
            return self.cmd("AUTH PLAIN " + secret)
        self.cmd("AUTH LOGIN")
        self.cmd(base64.b64encode(user.encode()).decode())
        return self.cmd(base64.b64encode(password.encode()).decode())

    def closed(self, seconds=20):
        """True when the server closes the connection; reads away what it still says."""
        self.s.settimeout(seconds)
        try:
            while self.s.recv(65536):
                pass
            return True
        except socket.timeout:
            return False
        except OSError:
            return True

    def message(self, sender, rcpts, data, mail_params="", rcpt_params=""):
        """One transaction; gives the last reply, which is the first refusal."""
        code, text = self.cmd(f"MAIL FROM:<{sender}>{mail_params}")
        if code != 250:
            return code, text
        for r in [rcpts] if isinstance(rcpts, str) else rcpts:
            code, text = self.cmd(f"RCPT TO:<{r}>{rcpt_params}")
            if code not in (250, 251):
                return code, text
        code, text = self.cmd("DATA")
        if code != 354:
            return code, text
        if isinstance(data, str):
            data = data.encode()
        self.send(data.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        return self.reply()

    def close(self):
        with contextlib.suppress(OSError):
            self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def letter(subject="hello", sender="alice@example.com", rcpt="x@remote.example", body="Hello.\r\n",
           extra=""):
    return (f"From: <{sender}>\r\nTo: <{rcpt}>\r\nSubject: {subject}\r\n{extra}\r\n{body}")


def login(service, user="alice@example.com", tls="starttls", mech="PLAIN"):
    """A session of a test's Service, ready for MAIL."""
    if tls == "implicit":
        c = Client(service.port465, tls=True)
        c.ehlo()
    else:
        c = Client(service.port)
        c.ehlo()
        c.starttls()
        c.ehlo()
    code, text = c.auth(user, service.password(user), mech)
    if code != 235:
        raise AssertionError(f"AUTH: {code} {text}")
    return c


def submit(service, rcpts="x@remote.example", data=None, sender="alice@example.com", **params):
    """Sends one message and gives the mid out of the 250."""
    with login(service) as c:
        code, text = c.message(sender, rcpts, data or letter(), **params)
        c.cmd("QUIT")
    if code != 250:
        raise AssertionError(f"not accepted: {code} {text}")
    for word in text.replace(",", " ").split():
        word = word.strip("<>.()")
        if word.startswith("mid="):
            word = word[4:]
        if len(word) == 36 and word.count("-") == 4:
            return word
    raise AssertionError(f"no message id in: {text}")
