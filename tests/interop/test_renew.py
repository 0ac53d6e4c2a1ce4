"""SIGHUP and SIGUSR2 of the main process: the configuration anew, in a new daemon, and every sandbox goes on."""

import os
import shutil
import signal
import socket
import sys
import threading

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc

from service import OPTIONS, TIMEOUT, Service, failure, free_port, programs
from test_files_logs import text
from test_lifecycle import stop_leaves_nothing

# Addresses come from the file alone.
FROM_FILE = [sys.executable, "-c", """if True:
    import os, sys
    words, kept = sys.argv[1:], []
    while words:
        word = words.pop(0)
        if word == "--listen":
            words.pop(0)
        else:
            kept.append(word)
    os.execv(kept[0], kept)
"""]


def configured(as_user, text, **kwargs) -> Service:
    """Not started yet."""
    service = Service(as_user=as_user, **kwargs)
    service.config = service.dir / "conf"
    service.config.write_text(text)
    service.give(service.config)
    service.extra = ["--config", str(service.config)]
    return service


@pytest.fixture
def as_user(own_service):
    return own_service.as_user


class Knocker(threading.Thread):
    """Connects again and again; `refused` are the errors."""

    def __init__(self, service):
        super().__init__()
        self.places = ((socket.AF_UNIX, str(service.socket)), (socket.AF_INET, ("127.0.0.1", service.port)))
        self.refused, self.over = [], threading.Event()

    def run(self):
        while not self.over.is_set():
            for family, address in self.places:
                with socket.socket(family) as s:
                    try:
                        s.connect(address)
                    except OSError as error:
                        self.refused.append(error)
            self.over.wait(0.005)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def runner(service, stub=None) -> str:
    service.create(stub=stub)
    boxes = (stub or service.stub).ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT, wait_for_ready=True).sandboxes
    return boxes[-1].status.runner_id


def renew(service, signo=signal.SIGHUP, says="reloaded"):
    """Waits until the service has said it once more."""
    n = service.log().count(says)
    service.process.send_signal(signo)
    service.wait_log(says, n + 1)


def test_a_changed_configuration_comes_in_force_and_sandboxes_go_on(as_user):
    with configured(as_user, "runner-id = one\n") as service:
        box = service.create("/bin/sh", ["-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done"])
        box.write("/root/f", b"kept")
        assert runner(service) == "one"
        first = service.daemon_pid()
        service.config.write_text("runner-id = two\n")
        with Knocker(service) as knocker:
            renew(service)
            assert runner(service) == "two"
        assert knocker.refused == []
        assert service.daemon_pid() not in (0, first)
        assert "daemon_died" not in service.log()
        assert box.read("/root/f") == b"kept"
        assert box.run("true").exit_code == 0
        box.delete()
        box.get(wait="terminal")
        lines = text(box.logs()).split()
        assert lines == [b"%d" % i for i in range(len(lines))] and lines, "a gap in the log"
        stop_leaves_nothing(service)


def test_nothing_changed_is_no_new_daemon_unless_asked_for(own_service):
    service = own_service()
    first = service.daemon_pid()
    stream = service.create().stream("/bin/sh", "-c", "echo begun; sleep 1000")
    assert next(stream).WhichOneof("message") == "ready"
    renew(service, says="keys_loaded")
    assert service.daemon_pid() == first
    assert next(stream).output.data == b"begun\n"  # nothing was cut
    renew(service, signal.SIGUSR2)
    assert service.daemon_pid() not in (0, first)
    assert failure(lambda: stream).code == grpc.StatusCode.UNAVAILABLE


def test_a_configuration_that_cannot_be_used_changes_nothing(as_user):
    with configured(as_user, "runner-id = one\n") as service:
        first = service.daemon_pid()
        stream = service.create().stream("/bin/sh", "-c", "echo begun; sleep 1000")
        assert next(stream).WhichOneof("message") == "ready"
        for wrong in ("runner-id = two\nno-such-key = 1\n", "service-name = other\n", "user = root\n"):
            service.config.write_text(wrong)
            renew(service, says="reload_failed")
            assert service.daemon_pid() == first
        assert next(stream).output.data == b"begun\n"  # nothing was cut
        stream.cancel()
        assert runner(service) == "one"
        service.config.write_text("runner-id = three\n")
        renew(service)
        assert runner(service) == "three"


def test_listening_sockets_come_and_go(as_user):
    port = free_port()
    service = configured(as_user, "", wrapper=FROM_FILE)
    other, first = service.dir / "other", f"listen = unix://{service.socket}\n"
    service.config.write_text(first)
    with service:
        box = service.create("/bin/sleep", ["1000"])
        service.config.write_text(f"{first}listen = unix://{other}\nlisten = http://127.0.0.1:{port}\n")
        renew(service)
        with grpc.insecure_channel(f"unix:{other}", OPTIONS) as channel:
            stub = rpc.SandboxServiceStub(channel)
            assert stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=box.id), timeout=TIMEOUT).status.state == pb.STATE_RUNNING
        with socket.create_connection(("127.0.0.1", port)):
            pass
        service.config.write_text(f"listen = unix://{other}\n")
        renew(service)
        assert other.exists() and not service.socket.exists()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        service.config.write_text(f"{first}listen = unix:///no/such/directory\n")
        renew(service, says="reload_failed")
        assert other.exists() and not service.socket.exists()
    assert not other.exists()


def test_an_upgrade_that_does_not_start_leaves_the_old_daemon(as_user):
    service = Service(as_user=as_user)
    service.program = service.dir / "cwsandboxd"
    shutil.copy(programs()[0], service.program)
    with service:
        box = service.create("/bin/sleep", ["1000"])
        first = service.daemon_pid()
        good = service.program.rename(service.dir / "good")
        service.program.write_text("#!/bin/sh\nexit 3\n")
        service.program.chmod(0o755)
        renew(service, says="reload_failed")
        assert service.daemon_pid() == first and box.run("true").exit_code == 0
        os.replace(good, service.program)
        renew(service)  # another file: SIGHUP is enough
        assert service.daemon_pid() not in (0, first) and box.run("true").exit_code == 0
