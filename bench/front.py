#!/usr/bin/env python3
"""What the web front costs: one request on a kept connection, and on a new one, through --front and through forward().

    PYTHONPATH=STAGE/python bench/front.py STAGE

Both ways lead through the daemon to the same program, in turns, so what the machine does meanwhile meets both. Not part of `make bench`.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

APP = """
import socket, threading
server = socket.create_server(("127.0.0.1", 8000))
def serve(c):
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while c.recv(65536):
        c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nhello\\n")
while True:
    threading.Thread(target=serve, args=(server.accept()[0],)).start()
"""
KEPT, NEW = 3000, 300


def connect(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    answer = b""
    while not answer.endswith(b"hello\n"):
        part = connection.recv(65536)
        assert part, answer
        answer += part


def ask_new(address: tuple[str, int], request: bytes) -> None:
    with connect(address) as connection:
        ask(connection, request)


def in_turns(n: int, steps: dict) -> None:
    samples = {name: [] for name in steps}
    for _ in range(n):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            samples[name].append((time.perf_counter() - began) * 1e6)
    for name, values in samples.items():
        values.sort()
        print(f"{name:16} p10 {values[n // 10]:6.0f} µs   p50 {values[n // 2]:6.0f}   p99 {values[n * 99 // 100]:6.0f}")


def measure(front: tuple[str, int]) -> None:
    from cwsandbox import Sandbox, Service

    with Sandbox.run("python3", "-c", APP, services=[Service(port=8000, visibility="public")]) as sb:
        ((_, _, url),) = sb.service_urls
        request = f"GET / HTTP/1.1\r\nHost: {url.removeprefix('http://')}\r\n\r\n".encode()
        with sb.forward(8000).result() as web:
            forward = (web.host, web.port)
            up = "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))' 2>/dev/null; do :; done"
            sb.exec(["sh", "-c", up]).result()
            with connect(forward) as a, connect(front) as b:
                in_turns(KEPT, {"forward, kept": lambda: ask(a, request), "front, kept": lambda: ask(b, request)})
            in_turns(NEW, {"forward, new": lambda: ask_new(forward, request), "front, new": lambda: ask_new(front, request)})


def main() -> int:
    stage = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="cwsandbox-bench-") as directory, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        front = free.getsockname()
        free.close()
        url = f"unix://{directory}/s.sock"
        reader, writer = os.pipe()
        service = subprocess.Popen([stage / "bin" / "cwsandboxd", "--config", "/dev/null", "--data-dir", f"{directory}/data", "--listen", url,
                                    "--front", f"http://127.0.0.1:{front[1]}", "--ready-fd", str(writer), "--log-level", "error"],
                                   pass_fds=[writer])
        os.close(writer)
        try:
            assert os.read(reader, 4096) == b"ready\n", "the service did not start"
            os.environ["CWSANDBOX_BASE_URL"] = url
            measure(front)
        finally:
            service.terminate()
            service.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
