# SPDX-License-Identifier: ISC
"""HTTP servers for backends that ask one: a real nginx with TLS, the application behind
it, and a rogue that does what no server should.

    with Application(answer) as app, Nginx(dir, app.port) as nginx:
        nginx.port, app.requests, nginx.access()
"""
import http.server
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading

from daemon import free_port
from peers import Peer, listening, need
from tap import wait_for

CONF = """
@USER@
worker_processes 1;
daemon off;
pid @D@/nginx.pid;
error_log @D@/error.log;
events { worker_connections 256; }
http {
    log_format own '$connection $connection_requests $status "$request"';
    access_log @D@/access.log own;
    client_body_temp_path @D@/body;
    proxy_temp_path @D@/proxy;
    fastcgi_temp_path @D@/fastcgi;
    uwsgi_temp_path @D@/uwsgi;
    scgi_temp_path @D@/scgi;
    keepalive_timeout 60s;
    server {
        listen 127.0.0.1:@PORT@ ssl;
        listen 127.0.0.2:@PORT@ ssl;    # which stands in no certificate
        listen 127.0.0.1:@PLAIN@;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate @CERT@;
        ssl_certificate_key @KEY@;
        location / {
            proxy_pass http://127.0.0.1:@APP@;
            proxy_set_header Authorization $http_authorization;
        }
        location = /yes { return 200 "OK"; }
        location = /moved { return 302 /yes; }
@EXTRA@
    }
}
"""
STATUSES = (201, 204, 400, 401, 403, 404, 405, 408, 410, 429, 500, 502, 503, 504)


class Nginx(Peer):
    def __init__(self, directory, app_port, cert, key):
        need("nginx")
        self.dir = os.path.join(directory, "nginx")
        os.makedirs(self.dir, exist_ok=True)
        self.port, self.plain = free_port(), free_port()
        self.p = None
        text = CONF.replace("@EXTRA@", "\n".join(
            f"        location = /status/{n} {{ return {n}; }}" for n in STATUSES))
        for a, b in (("@D@", self.dir), ("@PORT@", self.port), ("@PLAIN@", self.plain),
                     ("@APP@", app_port), ("@CERT@", cert), ("@KEY@", key),
                     ("@USER@", "user nobody nogroup;" if os.geteuid() == 0 else "")):
            text = text.replace(a, str(b))
        with open(self.dir + "/nginx.conf", "w") as f:
            f.write(text)
        self.start()

    def start(self):
        with open(self.dir + "/start.log", "ab") as f:
            self.p = subprocess.Popen(
                ["/usr/sbin/nginx", "-p", self.dir, "-c", self.dir + "/nginx.conf",
                 "-e", self.dir + "/error.log"],
                stdin=subprocess.DEVNULL, stdout=f, stderr=f, start_new_session=True)
        try:
            wait_for(lambda: self.p.poll() is not None or
                     (listening(self.port) and listening(self.plain)), "nginx to listen")
            if self.p.poll() is not None:
                with open(self.dir + "/start.log", errors="replace") as f:
                    raise AssertionError("nginx ended: " + f.read()[-1500:])
        except BaseException:
            self.kill()
            raise

    def stop(self):
        self.end(signal.SIGTERM)

    def kill(self):
        """At once, with its workers: they are a process group of their own."""
        self.end(signal.SIGKILL)

    def end(self, how):
        if self.p is None:
            return
        try:
            os.killpg(self.p.pid, how)
        except ProcessLookupError:
            pass
        try:
            self.p.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.p.pid, signal.SIGKILL)
            self.p.wait()
        self.p = None
        wait_for(lambda: not listening(self.port), "nginx to be gone")

    def access(self):
        """[(connection, number of the request on it, status, request)]"""
        with open(self.dir + "/access.log") as f:
            rows = [line.rstrip("\n").split(" ", 3) for line in f]
        return [(int(a), int(b), int(c), d.strip('"')) for a, b, c, d in rows]


class Application(Peer):
    """answer(request) gives (status, body, content type); request has method, path, query,
    body (bytes) and headers."""

    def __init__(self, answer):
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(length)
                self.path, _, self.query = self.path.partition("?")
                outer.requests.append(self)
                status, body, kind = answer(self)
                body = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


HEAD = b"HTTP/1.1 200 OK\r\n"


class Rogue(Peer):
    """What it does is chosen by the path that is asked: /hang, /trickle, ... With a
    certificate it speaks TLS; mute=True accepts and never says a word, not even of TLS."""

    def __init__(self, cert=None, key=None, mute=False):
        self.ctx = None
        if cert:
            self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.ctx.load_cert_chain(cert, key)
        self.mute = mute
        self.over = threading.Event()
        self.asked = []
        self.s = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.s.getsockname()[1]
        self.threads = []
        self.main = threading.Thread(target=self.accept)
        self.main.start()

    def accept(self):
        self.s.settimeout(0.1)
        while not self.over.is_set():
            try:
                c = self.s.accept()[0]
            except socket.timeout:
                continue
            t = threading.Thread(target=self.serve, args=(c,))
            t.start()
            self.threads.append(t)

    def serve(self, c):
        try:
            if self.mute:
                self.over.wait()
                return
            c.settimeout(30)
            if self.ctx:
                c = self.ctx.wrap_socket(c, server_side=True)
            data = b""
            while b"\r\n\r\n" not in data:
                more = c.recv(4096)
                if not more:
                    return
                data += more
            path = data.split(b" ")[1].split(b"?")[0].decode().strip("/")
            self.asked.append(path)
            getattr(self, "do_" + path)(c)
        except OSError:
            pass
        finally:
            c.close()

    def flow(self, c, piece, pause):
        while not self.over.wait(pause):
            c.sendall(piece)

    def do_hang(self, c):
        self.over.wait()

    def do_trickle(self, c):
        c.sendall(HEAD + b"Content-Length: 10000\r\n\r\n")
        self.flow(c, b"O", 0.05)

    def do_slow_head(self, c):
        c.sendall(HEAD)
        self.flow(c, b"X-More: yes\r\n", 0.05)

    def do_reset(self, c):
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def do_half(self, c):
        c.sendall(HEAD + b"Content-Length: 100\r\n\r\nOK")

    def do_chunk(self, c):
        c.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nOK\r\n0\r\n\r\n")

    def do_cut_chunk(self, c):
        c.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n")

    def do_huge(self, c):
        c.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        self.flow(c, b"O" * 65536, 0)

    def do_endless(self, c):
        c.sendall(HEAD + b"Connection: close\r\n\r\n")
        self.flow(c, b"O" * 65536, 0)

    def do_huge_head(self, c):
        c.sendall(HEAD)
        self.flow(c, b"X-Fill: " + b"x" * 1000 + b"\r\n", 0)

    def do_continue(self, c):
        self.flow(c, b"HTTP/1.1 100 Continue\r\n\r\n", 0)

    def do_gzip(self, c):
        c.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nOK")

    def do_ancient(self, c):
        c.sendall(b"OK")

    def do_rubbish(self, c):
        c.sendall(b"\x16\x03\x01 OK OK\r\n\r\nOK")

    def do_other_status(self, c):
        c.sendall(b"HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\nOK")

    def do_switch(self, c):
        c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nOK")

    def do_early(self, c):
        # a whole yes and more than was announced
        c.sendall(HEAD + b"Content-Length: 2\r\n\r\nNO" + HEAD + b"Content-Length: 2\r\n\r\nOK")
        self.over.wait()

    def stop(self):
        self.over.set()
        self.main.join()
        self.s.close()
        for t in self.threads:
            t.join(35)
