"""Ports of a sandbox on this machine's loopback: who listens is a program inside, the sandbox has no network."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import socket
import threading
import urllib.request

import pytest

import cwsandbox

LIMIT = 30  # seconds; only a hang takes that long

ECHO = """
import socket, threading
s = socket.create_server(("127.0.0.1", 7000), backlog=128)
print("on", flush=True)
def serve(c):
    while b := c.recv(65536): c.sendall(b)
    c.sendall(b"<end>")
    c.close()
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""

# Sends all it has, ends its direction, and then hears what comes.
FIRST_TO_END = """
import hashlib, socket
s = socket.create_server(("127.0.0.1", 7001))
print("on", flush=True)
c, _ = s.accept()
c.sendall(b"mine")
c.shutdown(socket.SHUT_WR)
h = hashlib.sha256()
while b := c.recv(65536): h.update(b)
print(h.hexdigest(), flush=True)
"""


def listening(sandbox, program):
    process = sandbox.exec(["python3", "-c", program])
    lines = iter(process.stdout)
    assert next(lines) == "on\n"
    return process, lines


def connect(forward):
    return socket.create_connection((forward.host, forward.port), timeout=LIMIT)


def read_all(connection):
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.fixture(scope="module")
def echo(shared):
    process, _ = listening(shared, ECHO)
    with shared.forward(7000).result() as forward:
        yield forward
    process.cancel()


def test_a_web_server_is_reached(sb):
    sb.write_file("/srv/index.html", b"<p>from inside</p>").result()
    process = sb.exec(["python3", "-u", "-m", "http.server", "-d", "/srv", "-b", "127.0.0.1", "8000"])
    assert next(iter(process.stdout)).startswith("Serving HTTP")
    with sb.forward(8000).result() as forward:
        assert forward.remote_port == 8000
        assert f"127.0.0.1:{forward.port} to port 8000" in repr(forward)
        with urllib.request.urlopen(f"http://{forward.host}:{forward.port}/", timeout=LIMIT) as answer:
            assert answer.read() == b"<p>from inside</p>"
    process.cancel()


def test_the_caller_may_end_its_direction_first(echo):
    with connect(echo) as c:
        c.sendall(b"hello")
        c.shutdown(socket.SHUT_WR)
        assert read_all(c) == b"hello<end>"


def test_the_inside_may_end_its_direction_first(sb):
    data = os.urandom(3 << 20)
    _, lines = listening(sb, FIRST_TO_END)
    with sb.forward(7001).result() as forward, connect(forward) as c:
        assert read_all(c) == b"mine"
        c.sendall(data)
        c.shutdown(socket.SHUT_WR)
        assert next(lines).strip() == hashlib.sha256(data).hexdigest()


def test_many_connections_at_once_keep_their_bytes(echo):
    wrong = []

    def talk(i):
        data = bytes([i]) * (200_000 + i)
        with connect(echo) as c:
            sender = threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
            sender.start()
            if read_all(c) != data + b"<end>":
                wrong.append(i)
            sender.join()

    threads = [threading.Thread(target=talk, args=(i,)) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_who_does_not_read_is_waited_for(echo):
    """More than all buffers on the way hold, and not read until all is sent: nothing is lost, nobody else waits."""
    data = os.urandom(16 << 20)
    with connect(echo) as slow:
        sender = threading.Thread(target=lambda: (slow.sendall(data), slow.shutdown(socket.SHUT_WR)))
        sender.start()
        with connect(echo) as other:
            other.sendall(b"hello")
            other.shutdown(socket.SHUT_WR)
            assert read_all(other) == b"hello<end>"
        got = read_all(slow)
        sender.join()
    assert got == data + b"<end>"


def test_a_port_where_nobody_listens_resets(shared):
    with shared.forward(7999).result() as forward:
        with connect(forward) as c, pytest.raises(ConnectionResetError):
            c.recv(1)


def test_what_the_inside_breaks_off_is_reset_here(sb):
    """An end of file would say that this was all."""
    _, _ = listening(sb, "import socket, struct\n"
                         "s = socket.create_server(('127.0.0.1', 7002))\n"
                         "print('on', flush=True)\n"
                         "c, _ = s.accept()\n"
                         "c.recv(1)\n"
                         "c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\n"
                         "c.close()\n")
    with sb.forward(7002).result() as forward, connect(forward) as c:
        c.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            c.recv(1)


def test_the_local_port_is_the_one_that_was_asked_for(shared):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(cwsandbox.CWSandboxError, match=f"127.0.0.1:{port}"):
            shared.forward(7000, local_port=port).result()
    with shared.forward(7000, local_port=port).result() as forward:
        assert forward.port == port


def test_wrong_ports_are_refused(shared):
    for wrong in (0, -1, 65536, 1 << 80):
        with pytest.raises(ValueError, match="port must be 1 to 65535"):
            shared.forward(wrong).result()
    for wrong in ("80", 80.0, True):
        with pytest.raises(TypeError, match="port must be an int"):
            shared.forward(wrong).result()
    with pytest.raises(ValueError, match="local_port must be 0 to 65535"):
        shared.forward(80, local_port=-1).result()


def ended(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_close_ends_listener_and_connections(shared, echo):
    forward = shared.forward(7000).result()
    with connect(forward) as c:
        c.sendall(b"x")
        assert c.recv(1) == b"x"
        assert not forward.closed
        forward.close()
        forward.close()
        assert forward.closed
        assert ended(c)


def test_one_that_is_dropped_is_closed(shared, echo):
    ref = shared.forward(7000)
    with connect(ref.result()) as c:
        c.sendall(b"x")
        assert c.recv(1) == b"x"
        del ref
        gc.collect()
        assert ended(c)


def test_the_end_of_the_sandbox_ends_its_connections():
    with cwsandbox.Sandbox.run() as sandbox:
        listening(sandbox, ECHO)
        with sandbox.forward(7000).result() as forward, connect(forward) as c:
            c.sendall(b"x")
            assert c.recv(1) == b"x"
            sandbox.stop().result()
            assert ended(c)


def test_it_is_awaited_as_any_handle(shared, echo):
    async def main():
        with await shared.forward(7000) as forward:
            reader, writer = await asyncio.open_connection(forward.host, forward.port)
            writer.write(b"async")
            writer.write_eof()
            assert await reader.read() == b"async<end>"
            writer.close()

    asyncio.run(main())


def test_a_sandbox_that_has_ended_is_an_error():
    with cwsandbox.Sandbox.run("true") as sandbox:
        sandbox.wait_until_complete().result()
        with pytest.raises(cwsandbox.SandboxNotRunningError):
            sandbox.forward(7000).result()
