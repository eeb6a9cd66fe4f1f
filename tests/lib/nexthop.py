# SPDX-License-Identifier: ISC
"""A next hop whose answers a test scripts, and that remembers all it was told.

    hop = NextHop()
    hop.rcpt["x@d.example"] = ["451 4.2.1 later", "250 2.1.5 ok"]    # one per try, the last stays
    hop.answers["MAIL"] = ["421 4.3.2 closing"]                      # likewise for other stages
    hop.wait(1)[0].data
Special answers: DROP closes the connection, STALL says nothing more.
Stages: BANNER EHLO STARTTLS MAIL RCPT DATA END (the reply to the message) BDAT RSET QUIT.
"""
import socket
import socketserver
import ssl
import threading
import time

DROP = "drop"
STALL = "stall"
ALL = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 104857600", "ENHANCEDSTATUSCODES")


class Message:
    def __init__(self, session, sender, params):
        self.session, self.sender, self.params = session, sender, params
        self.rcpts, self.rcpt_params, self.data = [], {}, b""
        self.tls, self.helo, self.time = False, "", time.monotonic()

    def __repr__(self):
        return f"<{self.sender} -> {self.rcpts}, {len(self.data)} octets>"


class Closed(Exception):
    pass


class Session(socketserver.BaseRequestHandler):
    def reply(self, text):
        if text == DROP:
            raise Closed
        if text == STALL:
            self.hop.stopping.wait(120)
            raise Closed
        if isinstance(text, str):
            text = text.encode() + b"\r\n"
        self.request.sendall(text)

    def line(self):
        while b"\n" not in self.buffer:
            more = self.request.recv(65536)
            if not more:
                raise Closed
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def exactly(self, n):
        while len(self.buffer) < n:
            more = self.request.recv(65536)
            if not more:
                raise Closed
            self.buffer += more
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def handle(self):
        self.hop, self.buffer, self.tls, self.helo = self.server.hop, b"", False, ""
        self.message = None
        self.number = self.hop.opened()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request.settimeout(300)
        try:
            self.reply(self.hop.next_answer("BANNER", "220 next.example ESMTP"))
            while True:
                line = self.line()
                verb = line[:4].upper().decode("ascii", "replace")
                self.hop.said.append((self.number, line))
                getattr(self, "do_" + verb, self.unknown)(line)
        except (Closed, OSError, ssl.SSLError):
            pass
        finally:
            self.hop.closed()

    def unknown(self, _line):
        self.reply("502 5.5.2 unknown")

    def do_EHLO(self, line):
        self.helo = line[5:].decode("ascii", "replace")
        said = ["next.example", *self.hop.extensions]
        if self.hop.context and not self.tls:
            said.append("STARTTLS")
        answer = self.hop.next_answer("EHLO", None)
        if answer is not None:
            self.reply(answer)
            return
        self.reply("".join(f"250{'-' if i + 1 < len(said) else ' '}{x}\r\n"
                           for i, x in enumerate(said)).encode())

    def do_HELO(self, line):
        self.helo = line[5:].decode("ascii", "replace")
        self.reply("250 next.example")

    def do_STAR(self, _line):
        self.reply(self.hop.next_answer("STARTTLS", "220 2.0.0 go on"))
        self.request = self.hop.context.wrap_socket(self.request, server_side=True)
        self.tls, self.buffer = True, b""

    def do_MAIL(self, line):
        path, _, params = line[10:].partition(b" ")
        self.message = Message(self.number, path.strip(b"<>").decode(), params.decode())
        self.message.tls, self.message.helo = self.tls, self.helo
        self.reply(self.hop.next_answer("MAIL", "250 2.1.0 ok"))

    def do_RCPT(self, line):
        path, _, params = line[8:].partition(b" ")
        rcpt = path.strip(b"<>").decode()
        answer = self.hop.rcpt_answer(rcpt)
        if answer.startswith("2"):
            self.message.rcpts.append(rcpt)
            self.message.rcpt_params[rcpt] = params.decode()
        self.reply(answer)

    def taken(self):
        answer = self.hop.next_answer("END", "250 2.0.0 taken")
        if callable(answer):
            answer = answer(self.message)
        if answer.startswith("2"):
            self.hop.keep(self.message)
        self.message = None
        self.reply(answer)

    def do_DATA(self, _line):
        if self.message is None or not self.message.rcpts:
            self.reply("554 5.5.1 no valid recipients")
            return
        answer = self.hop.next_answer("DATA", "354 go on")
        self.reply(answer)
        if not answer.startswith("354"):
            return
        data = self.buffer
        while not (data.endswith(b"\r\n.\r\n") or b"\r\n.\r\n" in data[-70000:]
                   or data == b".\r\n"):
            more = self.request.recv(65536)
            if not more:
                raise Closed
            data += more
        end = 0 if data == b".\r\n" else data.index(b"\r\n.\r\n") + 2
        self.buffer = data[end + 3:]
        self.message.data = data[:end].replace(b"\r\n..", b"\r\n.")
        if self.message.data.startswith(b".."):
            self.message.data = self.message.data[1:]
        self.taken()

    def do_BDAT(self, line):
        words = line.split()
        self.message.data += self.exactly(int(words[1]))
        if words[-1].upper() == b"LAST":
            self.taken()
        else:
            self.reply("250 2.0.0 chunk taken")

    def do_RSET(self, _line):
        self.message = None
        self.reply(self.hop.next_answer("RSET", "250 2.0.0 ok"))

    def do_NOOP(self, _line):
        self.reply("250 2.0.0 ok")

    def do_QUIT(self, _line):
        self.reply(self.hop.next_answer("QUIT", "221 2.0.0 bye"))
        raise Closed


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 200


class NextHop:
    def __init__(self, address="127.0.0.1", port=0, extensions=ALL, cert=None):
        self.extensions, self.answers, self.rcpt = list(extensions), {}, {}
        self.messages, self.said, self.sessions, self.open_sessions = [], [], 0, 0
        self.most_open = 0
        self.lock, self.changed = threading.Lock(), threading.Condition()
        self.stopping = threading.Event()
        self.context = None
        if cert:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*cert)
        self.server = Server((address, port), Session)
        self.server.hop = self
        self.address, self.port = self.server.server_address
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def opened(self):
        with self.lock:
            self.sessions += 1
            self.open_sessions += 1
            self.most_open = max(self.most_open, self.open_sessions)
            return self.sessions

    def closed(self):
        with self.lock:
            self.open_sessions -= 1

    def next_answer(self, stage, usual):
        return self._next(self.answers, stage, usual)

    def refuse(self, answer="421 4.3.2 not now"):
        """Takes no mail until answers.clear(), over a kept connection neither."""
        self.answers.update(BANNER=answer, MAIL=answer)

    def rcpt_answer(self, rcpt):
        return self._next(self.rcpt, rcpt, None) or self.next_answer("RCPT", "250 2.1.5 ok")

    def _next(self, table, key, usual):
        with self.lock:
            left = table.get(key)
            if not left:
                return usual
            if isinstance(left, str):
                return left
            return left.pop(0) if len(left) > 1 else left[0]

    def keep(self, message):
        message.time = time.monotonic()
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def to(self, rcpt):
        """The messages for a recipient."""
        return [m for m in self.messages if rcpt in m.rcpts]

    def wait(self, n=1, seconds=30, rcpt=None):
        """Waits for n messages (for rcpt) and gives them."""
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                found = self.to(rcpt) if rcpt else list(self.messages)
                if len(found) >= n:
                    return found
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{len(found)} of {n} messages for {rcpt or 'anybody'} "
                                         f"arrived in {seconds} s")
                self.changed.wait(left)

    def verbs(self, verb):
        return [line for _, line in self.said if line.upper().startswith(verb.encode())]

    def stop(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
