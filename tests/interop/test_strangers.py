"""What somebody without a key can do to those who have one: connections by the thousand, calls, messages, floods."""

import contextlib
import itertools
import resource
import struct

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc

import raw_h2
from raw_h2 import Peer, call_headers, frame, message_prefix
from service import KEY, TIMEOUT, Service

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
LIST = "/coreweave.sandbox.v1.SandboxService/ListSandboxes"
CONNECTIONS_MAX = 4096  # SERVICE_MAX_CONNECTIONS
CALLS_MAX = 20000  # SERVICE_MAX_CALLS


def served(service):
    """A new connection with a key lists its sandboxes."""
    with grpc.insecure_channel(service.tcp, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        rpc.SandboxServiceStub(channel).ListSandboxes(
            pb.ListSandboxesRequest(), timeout=TIMEOUT, metadata=[("authorization", f"Bearer {KEY}")])


@pytest.fixture(scope="module")
def service():
    with Service() as s:
        yield s


def test_strangers_do_not_use_up_the_connections(service):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < CONNECTIONS_MAX + 1000:
        pytest.skip(f"the limit of descriptors is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS_MAX + 100):
            stack.enter_context(Peer(service.port))
        served(service)
    served(service)


@pytest.mark.parametrize("path", [WATCH, CHECK, LIST])
def test_strangers_do_not_use_up_the_calls(service, path):
    """Calls that wait for an event, for their message, or for their refusal to be read."""
    before = service.memory_kib()
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            peer = stack.enter_context(Peer(service.port))
            with contextlib.suppress(ConnectionError):
                for i in range(CALLS_MAX // 2 - 1):
                    peer.send(frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 2 * i + 1, call_headers(path)) +
                              (frame(raw_h2.DATA, raw_h2.END_STREAM, 2 * i + 1, message_prefix(0)) if path == WATCH else b""))
        served(service)
    assert service.memory_kib() - before < 64 << 10


def test_strangers_do_not_fill_the_memory_with_messages(service):
    """100 MiB announced and one of them sent, on each of many calls."""
    before = service.memory_kib()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            peer = stack.enter_context(Peer(service.port))
            with contextlib.suppress(ConnectionError):
                for i in range(30):
                    peer.send(frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 2 * i + 1, call_headers(CHECK)) +
                              frame(raw_h2.DATA, 0, 2 * i + 1, message_prefix(100 << 20) + b"x" * ((1 << 20) - 5)))
        served(service)
        assert service.memory_kib() - before < 64 << 10


@pytest.mark.parametrize("beginning, data, times", [
    # answers that nobody reads: 18 MB, more than the sockets hold, so that they pile up at whatever pace the flood comes
    (b"", frame(raw_h2.PING, 0, 0, bytes(8)) * 1000, 2_000),
    (b"", frame(raw_h2.SETTINGS, 0, 0, struct.pack(">HI", 3, 100)) * 1000, 2_000),
    (frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 1, call_headers(CHECK)), frame(raw_h2.DATA, 0, 1), 200_000),
    (frame(raw_h2.HEADERS, 0, 1, call_headers(CHECK)), frame(raw_h2.CONTINUATION, 0, 1), 200_000),
    (frame(raw_h2.HEADERS, 0, 1, call_headers(CHECK)),
     frame(raw_h2.CONTINUATION, 0, 1, raw_h2.header("x", "y" * 16000)), 20_000),
], ids=["pings", "settings", "empty data", "empty continuations", "continuations"])
def test_a_flood_of_frames_ends_its_connection(service, beginning, data, times):
    before = service.memory_kib()
    with Peer(service.port) as peer:
        peer.send(beginning)
        assert peer.flood(itertools.repeat(data, times))
        served(service)
    assert service.memory_kib() - before < 64 << 10


def test_calls_that_are_reset_at_once_end_their_connection(service):
    """Rapid reset (CVE-2023-44487)."""
    with Peer(service.port) as peer:
        calls = (frame(raw_h2.HEADERS, raw_h2.END_HEADERS, stream, call_headers(CHECK)) +
                 frame(raw_h2.RST_STREAM, 0, stream, struct.pack(">I", 8)) for stream in range(1, 60_000, 2))
        assert peer.flood(calls)
        served(service)
