"""What a program that listens in a sandbox can do to the service, to its caller and to its neighbours."""

from __future__ import annotations

import contextlib
import socket

from conftest import SECONDS

MANY = 8
MORE_THAN_A_SANDBOX_MAY_HAVE = 300

NEVER_READS = """
import socket, time
s = socket.create_server(("127.0.0.1", 7000), backlog=1000)
print("on", flush=True)
kept = []
while True: kept.append(s.accept()[0])
"""
NEVER_ACCEPTS = """
import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 7000)); s.listen(0)
print("on", flush=True)
time.sleep(1000)
"""
POURS_OUT = """
import socket, threading
s = socket.create_server(("127.0.0.1", 7000), backlog=1000)
print("on", flush=True)
def pour(c):
    while True: c.sendall(bytes(1 << 20))
while True: threading.Thread(target=pour, args=(s.accept()[0],), daemon=True).start()
"""


def listening(sandbox, program):
    process = sandbox.exec(["python3", "-c", program])
    assert next(iter(process.stdout)) == "on\n"


def fill(connection):
    """Until nothing is taken any more; how much was."""
    sent = 0
    connection.settimeout(0.2)
    with contextlib.suppress(TimeoutError, ConnectionError):
        while sent < 64 << 20:
            sent += connection.send(bytes(1 << 16))
    return sent


def memory_kib(service):
    from test_exhaustion import memory_kib as of

    return of(service)


def test_who_never_reads_costs_bounded_memory_and_holds_nobody_up(service, box):
    listening(box, NEVER_READS)
    before = memory_kib(service)
    with box.forward(7000).result(SECONDS) as forward, contextlib.ExitStack() as stack:
        sent = []
        for _ in range(MANY):
            c = stack.enter_context(socket.create_connection((forward.host, forward.port), timeout=SECONDS))
            sent.append(fill(c))
        assert max(sent) < 32 << 20, "a program that reads nothing took it all"
        assert memory_kib(service) - before < 16 << 10
        service.alive()
        assert box.exec(["echo", "here too"]).result(SECONDS).stdout == "here too\n"


def test_who_never_accepts_holds_nobody_up(service, box):
    listening(box, NEVER_ACCEPTS)
    with box.forward(7000).result(SECONDS) as forward, contextlib.ExitStack() as stack:
        for _ in range(MORE_THAN_A_SANDBOX_MAY_HAVE):
            with contextlib.suppress(ConnectionResetError):  # one of those that were too many
                stack.enter_context(socket.create_connection((forward.host, forward.port), timeout=SECONDS))
        service.alive()
        assert box.exec(["echo", "here too"]).result(SECONDS).stdout == "here too\n"


def test_who_pours_out_waits_for_the_caller(service, box):
    """Nobody reads them: the bytes stay inside."""
    listening(box, POURS_OUT)
    before = memory_kib(service)
    with box.forward(7000).result(SECONDS) as forward, contextlib.ExitStack() as stack:
        many = [stack.enter_context(socket.create_connection((forward.host, forward.port), timeout=SECONDS)) for _ in range(MANY)]
        for c in many:
            assert c.recv(1) == b"\0"
        service.alive()
        assert memory_kib(service) - before < 16 << 10


def test_the_machines_own_ports_are_not_the_sandboxes(service, box):
    """The connection is made inside, whatever listens out here under the same number."""
    with socket.create_server(("127.0.0.1", 0)) as ours, box.forward(ours.getsockname()[1]).result(SECONDS) as forward:
        with socket.create_connection((forward.host, forward.port), timeout=SECONDS) as c:
            with contextlib.suppress(ConnectionResetError):
                assert c.recv(1) == b""
        ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            ours.accept()
            raise AssertionError("the machine's own port was reached")
