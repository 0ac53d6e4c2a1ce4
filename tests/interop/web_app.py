"""What runs in a sandbox of test_web.py: one path for each way in which a program answers."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        with open("/tmp/requests", "a") as f:
            f.write(self.path + "\n")

    def reply(self, body, *fields, status=200):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        getattr(self, "get" + path.replace("/", "_").replace("-", "_"), self.get_)(query)

    do_HEAD = do_GET

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            left = int(self.headers.get("Content-Length", 0))
            while left > 0 and (part := self.rfile.read(min(left, 1 << 20))):
                left -= len(part)
                yield part
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def do_POST(self):
        if self.path == "/upload":
            self.reply(str(sum(map(len, self.body()))).encode())
        else:
            self.reply(b"".join(self.body()))

    do_PUT = do_POST

    def get_(self, query):
        self.reply(b"")

    def get_hello(self, query):
        self.reply(b"hello " + query.encode())

    def get_echo(self, query):
        self.reply(json.dumps(self.headers.items()).encode(), ("X-Hop", "1"), ("Connection", "X-Hop"))

    def get_nothing(self, query):
        self.reply(b"", status=204)

    def get_peer(self, query):
        self.reply(str(self.client_address[1]).encode())

    def get_chunked(self, query):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n")

    def get_until_close(self, query):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"all of it")
        self.close_connection = True

    def get_close_in_silence(self, query):
        self.reply(b"")
        self.close_connection = True

    def get_cut_length(self, query):
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"not all")
        self.close_connection = True

    def get_cut_chunks(self, query):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"7\r\nnot all\r\n")
        self.close_connection = True

    def get_cookies(self, query):
        host = self.headers["Host"].split(":")[0]
        self.reply(b"", ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/; Domain=sandbox.localhost"),
                   ("Set-Cookie", "b=2; domain = .localhost"), ("Set-Cookie", f"c=3; Domain={host}; Secure"))

    def get_big(self, query):
        self.send_response(200)
        self.send_header("Content-Length", query)
        self.end_headers()
        for _ in range(int(query) >> 20):
            self.wfile.write(b"x" * (1 << 20))

    def get_events(self, query):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.close_connection = True
        try:
            for i in range(1 << 30):
                self.wfile.write(b"data: %d\n\n" % i)
        except OSError:
            open("/tmp/events-left", "w").close()

    def get_hints(self, query):
        for _ in range(int(query)):
            self.wfile.write(b"HTTP/1.1 100 Continue\r\nX: " + b"x" * 16000 + b"\r\n\r\n")
        self.reply(b"")

    def get_never(self, query):
        threading.Event().wait()

    def get_socket(self, query):
        """A WebSocket that sends back what comes, without its mask of zeros."""
        accept = hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        self.close_connection = True
        opcode = 0
        while opcode != 8:
            first, second = self.rfile.read(2)
            opcode = first & 15
            self.rfile.read(4)
            self.wfile.write(bytes([first, second & 127]) + self.rfile.read(second & 127))


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server(("127.0.0.1", 8000), App).serve_forever()
