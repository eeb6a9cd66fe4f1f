# SPDX-License-Identifier: ISC
"""A server that does what a function says, once per connection, in a thread of its own:

    def liar(c):
        c.say("220 hi")
        c.hear("EHLO")
        ...
    with Script(liar, cert=(pem, key)) as server:
        server.port, server.heard      # heard: all lines of all connections
"""
import socket
import ssl
import threading


class Gone(Exception):
    pass


class Connection:
    def __init__(self, server, sock):
        self.server, self.sock, self.buffer = server, sock, b""
        self.stopping = server.stopping

    def say(self, *lines):
        self.raw(b"".join((x.encode() if isinstance(x, str) else x) + b"\r\n" for x in lines))

    def raw(self, data):
        self.sock.sendall(data)

    def hear(self, verb=""):
        while b"\n" not in self.buffer:
            more = self.sock.recv(65536)
            if not more:
                raise Gone
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        line = line.rstrip(b"\r")
        self.server.heard.append(line)
        if verb and not line.upper().startswith(verb.encode()):
            raise AssertionError(f"expected {verb}, heard {line!r}")
        return line

    def tls(self):
        self.sock = self.server.context.wrap_socket(self.sock, server_side=True)

    def hang(self):
        """Until the peer is gone or the test is over."""
        while not self.stopping.is_set():
            self.sock.settimeout(0.2)
            try:
                if not self.sock.recv(65536):
                    return
            except (socket.timeout, ssl.SSLWantReadError):
                continue

    def greet(self, *offers):
        """Up to the answer to EHLO inside TLS."""
        self.say("220 script.example")
        self.hear("EHLO")
        self.say("250-script.example", "250 STARTTLS")
        self.hear("STARTTLS")
        self.say("220 go on")
        self.tls()
        self.hear("EHLO")
        self.say("250-script.example", *[f"250-{x}" for x in offers], "250 8BITMIME")


class Script:
    def __init__(self, run, cert=None, port=0):
        self.run, self.heard, self.problems, self.connections = run, [], [], 0
        self.stopping = threading.Event()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if cert:
            self.context.load_cert_chain(*cert)
        self.listener = socket.create_server(("127.0.0.1", port), backlog=200)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        c = Connection(self, sock)
        sock.settimeout(120)
        try:
            self.run(c)
        except (Gone, OSError):
            pass
        except AssertionError as e:
            self.problems.append(str(e))
        finally:
            c.sock.close()

    def stop(self):
        self.stopping.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
