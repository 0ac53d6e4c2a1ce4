"""What a client or a sandbox can make the service spend, and that others are served meanwhile and afterwards."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import os
import re
import signal
import socket
import time
import subprocess
import sys
import textwrap
from pathlib import Path

import cwsandbox
import pytest
from conftest import SECONDS, USER_ID, daemon_below

REFUSED = cwsandbox.SandboxResourceExhaustedError


def memory_kib(service) -> int:
    text = Path(f"/proc/{daemon_below(service.process.pid)}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS")))


def descriptors(service) -> int:
    return len(os.listdir(f"/proc/{daemon_below(service.process.pid)}/fd"))


def outcome(ref):
    try:
        return ref.result(SECONDS).returncode
    except REFUSED:
        return "refused"


def settle(service, before, slack=8):
    """Descriptors are closed in the service's own time: served calls are the clock."""
    for _ in range(500):
        if descriptors(service) <= before + slack:
            return
        service.sandboxes()
    raise AssertionError(f"{descriptors(service)} descriptors, {before} before")


def test_thousands_of_commands_at_once(service, box):
    """More than processes are allowed: each one runs or is refused, none is lost, and nothing stays behind."""
    box.exec(["true"]).result(SECONDS)
    before = descriptors(service)
    outcomes = [outcome(ref) for ref in [box.exec(["true"]) for _ in range(3000)]]
    assert set(outcomes) <= {0, "refused"} and 0 in outcomes
    assert box.exec(["echo", "after"]).result(SECONDS).stdout == "after\n"
    settle(service, before)
    service.alive()


def test_ten_thousand_commands_wait_their_turn(service, box):
    """They wait in the client and in the flow control of its connection, not in the service's memory."""
    before = memory_kib(service)
    refs = [box.exec(["true"]) for _ in range(10000)]
    with service.sandbox() as other:
        assert other.exec(["echo", "served"]).result(SECONDS).stdout == "served\n"
    grown = memory_kib(service) - before
    outcomes = [outcome(ref) for ref in refs]
    assert set(outcomes) <= {0, "refused"}
    assert grown < 200 << 10
    service.alive()


def test_a_thousand_log_streams(service):
    before = descriptors(service)
    with service.sandbox(command="sh", args=["-c", "echo line; sleep 1000"]) as sandbox:
        streams = [sandbox.stream_logs(follow=True) for _ in range(1000)]
        assert {next(iter(stream)).strip() for stream in streams[:100]} == {"line"}
        assert sandbox.exec(["echo", "served"]).result(SECONDS).stdout == "served\n"
        for stream in streams:
            stream.close()
    settle(service, before)
    service.alive()


@pytest.mark.parametrize("command", [
    ["true", *["x"] * 65536],
    ["true", "x" * (1 << 20)],
    ["true", *["y" * 100_000] * 50],
    ["x" * 100_000],
    ["/" + "d/" * 5000 + "x"],
], ids=["65536 words", "a word of 1 MiB", "5 MB of words", "a long name", "a long path"])
def test_enormous_commands(service, box, command):
    """What the kernel takes runs; what it does not ends with an error, or with the exit code of a name that is none."""
    try:
        assert box.exec(command, timeout_seconds=30).result(SECONDS).returncode in (0, 126, 127)
    except (ValueError, cwsandbox.SandboxValidationError) as error:
        assert re.search("longer than 131071 bytes|longer together than|more than 60000 arguments", str(error)), error
    service.alive()


@pytest.mark.parametrize("environment", [
    {f"V{i}": "x" * 100 for i in range(20000)}, {"BIG": "x" * (1 << 20)}, {"B" * 100_000: "x"}],
    ids=["20000 variables", "a value of 1 MiB", "a long name"])
def test_enormous_environments(service, environment):
    try:
        with service.sandbox(environment_variables=environment) as sandbox:
            sandbox.exec(["true"], timeout_seconds=30).result(SECONDS)
    except (ValueError, cwsandbox.SandboxValidationError) as error:
        assert re.search("`BIG` is longer than 131071 bytes|larger than 1048576 bytes", str(error)), error
    service.alive()


@pytest.mark.parametrize("command", [["yes"], ["cat"]])
def test_a_client_that_never_reads(service, box, command):
    """A client is stopped amid its stream: what it does not take stays in the process, and the service holds little."""
    box.exec(["true"]).result(SECONDS)
    before = memory_kib(service)
    client = subprocess.Popen([sys.executable, "-c", textwrap.dedent(f"""
        from cwsandbox import Sandbox
        sandbox = Sandbox.from_id({box.sandbox_id!r}, base_url={service.url!r}).result()
        process = sandbox.exec({command!r}, stdin=True)
        process.stdin.write(b"x\\n").result()
        next(process.stdout)
        print("up", flush=True)
        while True:
            process.stdin.write(b"x" * 65536).result()
    """)], stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdout.readline() == "up\n"
        client.send_signal(signal.SIGSTOP)
        for _ in range(300):
            service.sandboxes()
        assert memory_kib(service) - before < 32 << 10
    finally:
        client.kill()
        client.wait()
        client.stdout.close()
    watch = f"while pgrep -x {command[0]} >/dev/null; do sleep 0.01; done; echo gone"
    assert box.exec(["sh", "-c", watch], timeout_seconds=20).result(SECONDS).stdout == "gone\n"


def test_connections_that_say_little(service):
    """Slow loris: hundreds of connections with half a request each do not keep others out, and are let go when they leave."""
    before = descriptors(service)
    path = service.url.removeprefix("unix://")
    beginnings = itertools.cycle([b"", b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                  b"\0\0\0\4\0\0\0\0\0" b"\0\xff\xff\1\0\0\0\0\1\x82"])
    with contextlib.ExitStack() as stack:
        for _, beginning in zip(range(400), beginnings, strict=False):
            s = stack.enter_context(socket.socket(socket.AF_UNIX))
            s.connect(path)
            s.sendall(beginning)
        service.alive()
    settle(service, before)
    service.alive()


def test_a_client_killed_amid_many_commands(service, box):
    client = subprocess.Popen([sys.executable, "-c", textwrap.dedent(f"""
        from cwsandbox import Sandbox
        sandbox = Sandbox.from_id({box.sandbox_id!r}, base_url={service.url!r}).result()
        running = [sandbox.exec(["sh", "-c", "echo up; exec sleep 4244"]) for _ in range(40)]
        for process in running:
            next(process.stdout)
        print("up", flush=True)
        running[0].result()
    """)], stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == "up\n"
    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()
    watch = "while pgrep -f 'sleep 4244' >/dev/null; do sleep 0.01; done; echo gone".replace("sleep 4244", "[s]leep 4244")
    assert box.exec(["sh", "-c", watch], timeout_seconds=20).result(SECONDS).stdout == "gone\n"
    service.alive()


IN_FLIGHT = """
import array, os, resource, socket, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
null, pairs, error = os.open("/dev/null", os.O_RDONLY), [], None
while error is None and len(pairs) < hard // 4:
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.setblocking(False)
    pairs.append((a, b))
    try:
        while True:
            a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 253))])
    except BlockingIOError:
        pass
    except OSError as e:
        error = e.errno
print(error, flush=True)
sys.stdin.read()
"""


def test_descriptors_in_flight_of_one_sandbox_stop_no_other(service):
    """The kernel counts them per user of the machine, and the sandboxes of a service are one user."""
    with service.sandbox() as attacker, service.sandbox() as neighbour:
        process = attacker.exec(["python3", "-c", IN_FLIGHT], stdin=True)
        assert next(process.stdout).strip() in ("109", "None")  # ETOOMANYREFS
        neighbour.write_file("/tmp/x", b"y").result(SECONDS)
        assert neighbour.read_file("/tmp/x").result(SECONDS) == b"y"
        assert neighbour.exec(["echo", "alive"]).result(SECONDS).stdout == "alive\n"
        terminal = neighbour.shell(["echo", "terminal"])
        assert terminal.result(SECONDS).returncode == 0
        service.alive()
        process.stdin.close().result(SECONDS)
        assert process.result(SECONDS).returncode == 0


TERMINALS = """
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
n = 0
try:
    while n < 4096:
        os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        n += 1
except OSError:
    pass
print(n, flush=True)
sys.stdin.read()
"""


def test_terminals_of_the_machine_are_not_used_up(service):
    """The kernel has 3072 of them for all sandboxes together (kernel.pty.max without kernel.pty.reserve)."""
    with service.sandbox() as attacker, service.sandbox() as neighbour:
        process = attacker.exec(["python3", "-c", TERMINALS], stdin=True)
        assert 0 < int(next(process.stdout)) <= 256
        assert neighbour.shell(["true"]).result(SECONDS).returncode == 0
        process.stdin.close().result(SECONDS)
        process.result(SECONDS)


INOTIFY = """
import ctypes, sys
libc, n = ctypes.CDLL(None), 0
while n < 10000 and libc.inotify_init1(0) >= 0:
    n += 1
print(n, flush=True)
sys.stdin.read()
"""


def test_inotify_of_the_machine_is_not_used_up(service):
    """Also charged to whoever owns the sandbox's user namespace: not to root, and not all of an ordinary user's."""
    def instances_outside():
        as_owner = {"user": USER_ID, "group": USER_ID} if service.as_user and os.geteuid() == 0 else {}
        out = subprocess.run([sys.executable, "-c", INOTIFY], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             check=True, **as_owner)
        return int(out.stdout)

    before = instances_outside()
    with service.sandbox() as attacker, service.sandbox() as neighbour:
        process = attacker.exec(["python3", "-c", INOTIFY], stdin=True)
        used = int(next(process.stdout))
        assert used > 0
        assert instances_outside() >= (before // 3 if service.as_user else before - 8)
        if not service.as_user:
            assert int(neighbour.exec(["python3", "-c", INOTIFY]).result(SECONDS).stdout) == used
        process.stdin.close().result(SECONDS)
        process.result(SECONDS)


def test_descriptors_run_out(own_service):
    """A service at its limit of descriptors refuses, and serves again when they are back."""
    service = own_service(wrapper=("prlimit", "--nofile=256:256"))
    with service.sandbox() as sandbox:
        running = [sandbox.exec(["sleep", "1000"]) for _ in range(50)]
        others = [service.sandbox() for _ in range(20)]
        for other in others:
            with contextlib.suppress(cwsandbox.CWSandboxError):
                other.start().result(SECONDS)
        for process in running:
            process.cancel()
        for other in others:
            with contextlib.suppress(cwsandbox.CWSandboxError):
                other.stop(graceful_shutdown_seconds=0).result(SECONDS)
        assert sandbox.exec(["echo", "again"]).result(SECONDS).stdout == "again\n"
    service.alive()


LOG_BYTES_MAX = 256 << 20  # on disk: SECURITY.md
# Huge writes, and a try to get at what is behind the descriptor.
FLOOD_LOG = """
import os, stat
assert stat.S_ISFIFO(os.fstat(1).st_mode)
block = bytearray(256 << 20)
for i in range(4):
    os.write(1, block)
"""


def test_a_flood_of_the_log_stays_below_its_limit_and_stops_no_neighbour(service):
    """The log is a file of the machine; its writer has a pipe, and waits in it."""
    with service.sandbox() as neighbour, service.sandbox(command="python3", args=["-c", FLOOD_LOG]) as sandbox:
        log = service.dir / "data" / "logs" / f"{sandbox.sandbox_id}.log"
        end = time.monotonic() + SECONDS
        while not log.exists() or log.stat().st_size < 1 << 30:
            assert neighbour.exec(["echo", "served"]).result(20).stdout == "served\n"
            assert not log.exists() or log.stat().st_blocks * 512 <= LOG_BYTES_MAX
            assert time.monotonic() < end
    service.alive()


RESERVE = """
import ctypes, os
fd = os.open("/tmp/file", os.O_CREAT | os.O_RDWR)
os.posix_fallocate(fd, 0, 1 << 20)
full = os.fstat(fd)
assert ctypes.CDLL(None).fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(1 << 19)) == 0  # PUNCH_HOLE | KEEP_SIZE
print(full.st_size, full.st_blocks, os.fstat(fd).st_blocks)
"""


def test_space_is_reserved_and_given_back_within_the_sandbox(shared_box):
    """fallocate(2) takes of the sandbox's own memory and root_size, as writing does; nothing of the machine's disk is in reach."""
    assert shared_box.exec(["python3", "-c", RESERVE]).result(SECONDS).stdout == "1048576 2048 1024\n"
