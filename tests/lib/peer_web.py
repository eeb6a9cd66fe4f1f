# SPDX-License-Identifier: ISC
"""A web server for the http backend that behaves as a test wants: says OK to the
users it knows, or takes a question and hangs, trickles, resets, lies."""
import socket
import struct
import threading
import time
import urllib.parse


class Web:
    """mode: answer | hold (until let_go()) | hang | trickle | reset | garbage | echo; may be
    changed at any time."""

    def __init__(self, users, mode="answer"):
        self.users, self.mode, self.asked, self.open = dict(users), mode, 0, True
        self.lock = threading.Lock()
        self.go = threading.Event()
        self.connections = set()
        self.s = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.s.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while self.open:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            with self.lock:
                self.connections.add(c)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            while self.one(c):
                pass
        except OSError:
            pass
        with self.lock:
            self.connections.discard(c)
        c.close()

    def read(self, c):
        """The body of one request, or None."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = c.recv(65536)
            if not more:
                return None
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(body) < length:
            more = c.recv(65536)
            if not more:
                return None
            body += more
        return body

    def one(self, c):
        body = self.read(c)
        if body is None:
            return False
        with self.lock:
            self.asked += 1
        mode = self.mode
        if mode == "reset":
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if mode == "garbage":
            c.sendall(b"\0\xff\r\nwho knows\r\n\r\n" * 20)
            return False
        if mode == "hang":
            c.recv(1)                   # until it is given up
            return False
        if mode == "hold":
            self.go.wait(60)
        form = dict(urllib.parse.parse_qsl(body.decode()))
        good = self.users.get(form.get("u")) == form.get("p")
        text = f"NO {form}" if mode == "echo" else "OK" if good else "NO"
        answer = (f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                  f"Content-Length: {len(text)}\r\n\r\n{text}").encode()
        if mode == "trickle":
            for byte in answer:
                c.sendall(bytes((byte,)))
                time.sleep(0.2)
        else:
            c.sendall(answer)
        return True

    def let_go(self):
        """Answers what is held, and what comes."""
        self.mode = "answer"
        self.go.set()

    def drop(self):
        """Ends all connections."""
        with self.lock:
            for c in self.connections:
                try:
                    c.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def stop(self):
        self.open = False
        self.s.shutdown(socket.SHUT_RDWR)
        self.s.close()
        self.drop()
        self.thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
