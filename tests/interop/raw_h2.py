"""Just enough HTTP/2 to misbehave: frames by hand, headers without compression (RFC 9113, RFC 7541 6.2.2)."""

import contextlib
import socket
import struct
from collections.abc import Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
REFUSED_STREAM = 7  # an error code
ACK = 1  # of SETTINGS and PING
SETTING = {"max_concurrent_streams": 3, "initial_window_size": 4}


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name: str, value: str) -> bytes:
    def text(s: str) -> bytes:
        n = len(s)
        length = bytes([n]) if n < 127 else b"\x7f" + _varint(n - 127)
        return length + s.encode()
    return b"\0" + text(name) + text(value)


def _varint(n: int) -> bytes:
    out = b""
    while n >= 128:
        out, n = out + bytes([n % 128 + 128]), n // 128
    return out + bytes([n])


def call_headers(path: str, key: str | None = None) -> bytes:
    names = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers",
             "content-type": "application/grpc"} | ({"authorization": f"Bearer {key}"} if key else {})
    return b"".join(header(name, value) for name, value in names.items())


def message_prefix(n: int) -> bytes:
    return b"\0" + struct.pack(">I", n)


class Peer:
    """A connection that has said hello. Bytes from the service are read only when asked for."""

    def __init__(self, where: int | str, receive_buffer: int | None = None, **settings: int):
        """@where: a port of this machine, or a path. @receive_buffer: bytes that wait to be read (the kernel's own choice)."""
        self.socket = socket.socket(socket.AF_INET if isinstance(where, int) else socket.AF_UNIX)
        self.socket.settimeout(60)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if isinstance(where, int):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect(("127.0.0.1", where) if isinstance(where, int) else where)
        pairs = b"".join(struct.pack(">HI", SETTING[name], value) for name, value in settings.items())
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, pairs))
        self.file = self.socket.makefile("rb")
        self.receive()  # their settings, which hold once we say so
        self.socket.sendall(frame(SETTINGS, ACK, 0))

    def receive(self) -> tuple[int, int, int, bytes]:
        """One frame: type, flags, stream, payload."""
        head = self.file.read(9)
        if len(head) < 9:
            raise ConnectionError("the service hung up")
        return head[3], head[4], struct.unpack(">I", head[5:])[0], self.file.read(int.from_bytes(head[:3], "big"))

    def send(self, data: bytes):
        self.socket.sendall(data)

    def send_messages(self, streams: list[int], n: int) -> set[int]:
        """@n bytes of DATA on each stream, as far as the windows let; returns the streams that were answered instead."""
        answered, left, room = set(), {s: n for s in streams}, {s: 1 << 20 for s in streams}
        while left:
            for s in list(left):
                part = min(left[s], room[s], 1 << 18)
                if part > 0:
                    self.send(frame(DATA, 0, s, bytes(part)))
                    left[s], room[s] = left[s] - part, room[s] - part
                if left[s] == 0:
                    del left[s]
            while left and not any(room[s] for s in left):
                kind, _, s, payload = self.receive()
                if kind == WINDOW_UPDATE and s in room:
                    room[s] += struct.unpack(">I", payload)[0]
                elif kind == HEADERS:
                    answered.add(s)
                    left.pop(s, None)
        return answered

    def flood(self, pieces: Iterable[bytes]) -> bool:
        """True: the service has hung up on it."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
            while self.socket.recv(1 << 16):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
        except TimeoutError:
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.file.close()
            self.socket.close()
