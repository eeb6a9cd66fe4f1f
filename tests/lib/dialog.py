#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""SMTP conversations from files: one file, one conversation.

    dialog.py HOST PORT FILE...      against any server

    # P2: the title, with the ids of what it shows
    @listener submissions            submission (default), submissions (TLS at once), mx
    @block limit limit "normal" { max_errors = 3 }      instead of the harness's block "limit"
    @set sasl                        blocks, users and peers that dialogs.t has under that name
    @cert dan                        the client's certificate in the TLS handshake
    C: EHLO client.example           sent with CRLF; lines up to the next S: leave in one piece
    C> text                          sent without CRLF
                                     both know \\r \\n \\t \\0 \\xNN \\\\ and {300*text},
                                     {b64 text}, {nonce} of SCRAM, and {proof PASSWORD text},
                                     base64 of text and what is proved for it
    S: 250 2.1.0                     the last line of the next reply begins so
    S64: text                        the next reply is 334 and base64 of what begins so
    S~ STARTTLS                      a line of the last reply holds this
    S!~ AUTH                         no line of it does
    TLS                              STARTTLS was answered: handshake
    LOGIN alice@example.com secret   EHLO, STARTTLS where needed, EHLO, AUTH PLAIN
    CLOSED                           the server closes the connection
    HANGUP                           the client does, without a word
    HALFCLOSE                        the client says no more, and listens
"""
import base64
import os
import re
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import scram
import smtpc


class Failed(AssertionError):
    pass


def repeat(text):
    return re.sub(r"\{(\d+)\*([^{}]*)\}", lambda m: m[2] * int(m[1]), text)


def unescape(text):
    known = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
    out, at = b"", 0
    for m in re.finditer(r"\\(x[0-9a-fA-F]{2}|.)", text):
        out += text[at:m.start()].encode()
        out += bytes([int(m[1][1:], 16)]) if len(m[1]) == 3 else known[m[1]]
        at = m.end()
    return out + text[at:].encode()


class Dialog:
    def __init__(self, path):
        self.path, self.title, self.listener = path, os.path.basename(path), "submission"
        self.blocks, self.steps, self.set, self.cert = {}, [], "", ""
        self.bare = self.server = ""    # SCRAM: the first messages of both sides
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                line = line.rstrip("\n")
                if line.startswith("# ") and not self.steps and self.title.endswith(".smtp"):
                    self.title = line[2:]
                elif line.startswith("@listener "):
                    self.listener = line.split()[1]
                elif line.startswith("@set "):
                    self.set = line.split()[1]
                elif line.startswith("@cert "):
                    self.cert = line.split()[1]
                elif line.startswith("@block "):
                    _, name, text = line.split(" ", 2)
                    self.blocks[name] = text
                elif line and not line.startswith("#"):
                    self.steps.append((number, line))

    def run(self, host, port, tls=False, directory=""):
        client = smtpc.Client(port, host=host, greet=False, timeout=30)
        self.context = smtpc.context()
        if self.cert:
            self.context.load_cert_chain(f"{directory}/{self.cert}.pem",
                                         f"{directory}/{self.cert}.key")
        try:
            if tls:
                client.wrap(ctx=self.context)
            self._play(client, tls)
        finally:
            client.close()

    def _play(self, client, tls):
        out, reply = b"", (0, "")
        for number, line in self.steps:
            word, _, rest = line.partition(" ")
            if word in ("C:", "C>"):
                out += self._fill(rest) + (b"\r\n" if word == "C:" else b"")
                continue
            if out:
                try:
                    client.send(out)
                except smtpc.Gone:
                    if word != "CLOSED":
                        raise
                out = b""
            try:
                reply = self._step(client, tls, word, rest, reply)
            except smtpc.Gone as e:
                raise Failed(f"{self.path}:{number}: {line}: closed by the server {e}") from e
            except AssertionError as e:
                raise Failed(f"{self.path}:{number}: {line}: {e}") from e
        if out:
            client.send(out)

    def _fill(self, text):
        def code(m):
            data = unescape(m[2])
            if m[1] == "b64":
                if b",r=" in data and not data.startswith(b"c="):
                    self.bare = data.split(b",", 2)[2].decode("utf-8", "replace")
                return scram.b64(data)
            return scram.b64(scram.proof(m[1].split()[1], self.bare, self.server,
                                         data.decode())[0])
        nonce = dict(a.partition("=")[::2] for a in self.server.split(",")).get("r", "")
        text, n = repeat(text.replace("{nonce}", nonce)), 1
        while n:                        # from the inside
            text, n = re.subn(r"\{(b64|proof [^ {}]+) ?([^{}]*)\}", code, text)
        return unescape(text)

    def _reply(self, client):
        reply = client.reply()
        if reply[0] == 334:
            said = base64.b64decode(reply[1], validate=True).decode("utf-8", "replace")
            if said.startswith("r="):
                self.server = said
        return reply

    def _step(self, client, tls, word, rest, reply):
        if word == "S64:":
            reply = self._reply(client)
            said = base64.b64decode(reply[1]) if reply[0] == 334 else reply
            if said != unescape(rest) and (not rest or reply[0] != 334 or
                                           not said.startswith(unescape(rest))):
                raise AssertionError(f"the reply was {said!r}")
        elif word == "S:":
            reply = self._reply(client)
            last = f"{reply[0]} " + reply[1].split("\n")[-1]
            if not last.startswith(rest):
                raise AssertionError(f"the reply was {last!r}")
        elif word == "S~":
            if rest not in reply[1]:
                raise AssertionError(f"not in {reply[1]!r}")
        elif word == "S!~":
            if rest in reply[1]:
                raise AssertionError(f"it is in {reply[1]!r}")
        elif word == "TLS":
            client.wrap(ctx=self.context)
        elif word == "LOGIN":
            self._login(client, tls, *rest.split())
        elif word == "CLOSED":
            if not client.closed():
                raise AssertionError("the connection stays open")
        elif word == "HANGUP":
            client.close()
        elif word == "HALFCLOSE":
            client.s.shutdown(socket.SHUT_WR)
        else:
            raise AssertionError("unknown step")
        return reply

    def _login(self, client, tls, user, password):
        client.ehlo()
        if not tls:
            code, text = client.starttls()
            if code != 220:
                raise AssertionError(f"STARTTLS: {code} {text}")
            client.ehlo()
        secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        code, text = client.cmd("AUTH PLAIN " + secret)
        if code != 235:
            raise AssertionError(f"AUTH: {code} {text}")


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    bad = 0
    for path in sys.argv[3:]:
        d = Dialog(path)
        try:
            d.run(sys.argv[1], int(sys.argv[2]), d.listener == "submissions")
            print(f"ok - {d.title}")
        except (AssertionError, OSError) as e:
            bad += 1
            print(f"not ok - {d.title}\n# {e}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
