"""The embedded service: one per user, private, gone when idle."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc

from conftest import users
from service import TIMEOUT, USER_ID, as_user_args, clean_env, programs


class Starter:
    """Does what the SDK does: starts instances, reads what they say, connects."""

    def __init__(self, as_user):
        self.as_user = as_user
        self.home = Path(tempfile.mkdtemp(prefix="cws-embedded-"))
        self.uid = USER_ID if as_user and os.geteuid() == 0 else os.geteuid()
        os.chown(self.home, self.uid, -1)
        self.home.chmod(0o755)
        self.dir = self.home / "cwsandbox"
        self.processes = []

    def start(self, *args, idle=3600, data=True, **env):
        daemon, launch, init = programs()
        read_end, write_end = os.pipe()
        p = subprocess.Popen(
            [str(daemon), "--embedded", "--launch-path", str(launch), "--init-path", str(init),
             *(["--data-dir", str(self.home / "data")] if data else []), "--ready-fd", str(write_end), *args], pass_fds=[write_end], start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=clean_env(self.home, XDG_RUNTIME_DIR=str(self.home), CWSANDBOX_IDLE_SECONDS=str(idle), **env),
            **as_user_args(self.as_user))
        os.close(write_end)
        self.processes.append(p)
        return p, os.fdopen(read_end)

    def stub(self):
        channel = grpc.insecure_channel(f"unix:{self.dir}/service.sock")
        return channel, rpc.SandboxServiceStub(channel)

    def close(self):
        for p in self.processes:
            if p.poll() is None:
                p.terminate()
            p.wait(TIMEOUT)
            p.stdin.close()
            p.stdout.close()
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture(params=users())
def starter(request):
    s = Starter(request.param == "user")
    yield s
    s.close()


def test_many_starts_give_one_service(starter):
    started = [starter.start() for _ in range(6)]
    said = [(p, ready.read()) for p, ready in started]
    assert sorted(text for _, text in said) == ["ready\n"] + ["running\n"] * 5
    for p, text in said:
        if text == "running\n":
            assert p.wait(TIMEOUT) == 0
        else:
            assert p.poll() is None
    assert (starter.dir / "service.sock").stat().st_mode & 0o777 == 0o600
    assert starter.dir.stat().st_mode & 0o777 == 0o700


def test_the_starters_stdio_is_let_go(starter):
    p, ready = starter.start()
    assert ready.read() == "ready\n"
    assert p.stdout.read() == b"" # end of file while the service lives
    assert p.poll() is None
    assert "listening" in (starter.dir / "cwsandboxd.log").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="root and a user are needed")
def test_only_its_own_user_is_served(starter):
    """Root connects to the socket of another user and is turned away; the user itself is served."""
    _, ready = starter.start()
    assert ready.read() == "ready\n"
    channel, stub = starter.stub()
    with channel:
        if starter.uid == 0:
            stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT)
        else:
            with pytest.raises(grpc.RpcError) as error:
                stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT)
            assert error.value.code() == grpc.StatusCode.UNAVAILABLE
            assert "this user may not connect" in (starter.dir / "cwsandboxd.log").read_text()


def test_an_idle_service_leaves_and_the_next_one_comes(starter):
    p, ready = starter.start(idle=1)
    assert ready.read() == "ready\n"
    assert p.wait(TIMEOUT) == 0
    assert not (starter.dir / "service.sock").exists()
    p, ready = starter.start()
    assert ready.read() == "ready\n" and p.poll() is None


@pytest.mark.parametrize("name, option", [("CWSANDBOX_NETWORK", "network"), ("CWSANDBOX_ROOT_BACKING", "root-backing")])
def test_who_starts_it_says_what_it_gives(starter, name, option):
    p, ready = starter.start(**{name: "sometimes"})
    assert ready.read().startswith(f"--{option}: `sometimes` is")
    assert p.wait(TIMEOUT) == 2


@pytest.fixture
def own_starter():
    """Of the user who runs the tests, and may therefore connect."""
    s = Starter(False)
    yield s
    s.close()


def test_a_data_directory_of_its_own_goes_with_it(starter):
    """Made by default below the home; anything that is kept in it keeps it."""
    p, ready = starter.start(idle=1, data=False, XDG_DATA_HOME=str(starter.home / "share"))
    assert ready.read() == "ready\n"
    share = starter.home / "share" / "cwsandbox"
    if starter.uid != 0:  # root's is below /var/lib, for all its runtime directories
        assert [d.name.startswith("embedded-") for d in share.iterdir()] == [True]
    used = Path(f"/proc/{p.pid}/fd")
    lock = next(path for path in map(os.readlink, used.iterdir()) if path.endswith("/lock") and "/embedded-" in path)
    assert p.wait(TIMEOUT) == 0
    assert not Path(lock).parent.exists()


def test_what_is_kept_in_the_data_directory_stays(starter):
    p, ready = starter.start(idle=1, data=False, XDG_DATA_HOME=str(starter.home / "share"))
    assert ready.read() == "ready\n"
    used = Path(f"/proc/{p.pid}/fd")
    lock = next(path for path in map(os.readlink, used.iterdir()) if path.endswith("/lock") and "/embedded-" in path)
    kept = Path(lock).parent / "images" / "kept"
    kept.write_text("x")
    assert p.wait(TIMEOUT) == 0
    assert kept.read_text() == "x"
    shutil.rmtree(Path(lock).parent)


def test_it_stays_while_a_sandbox_lives_and_leaves_after(own_starter):
    starter = own_starter
    p, ready = starter.start(idle=1)
    assert ready.read() == "ready\n"
    channel, stub = starter.stub()
    with channel:
        request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(
            containers=[pb.Container(name="main", command="/bin/sleep", args=["3"])])))
        box = stub.CreateSandbox(request, timeout=TIMEOUT)
        assert box.status.state == pb.STATE_RUNNING
    with pytest.raises(subprocess.TimeoutExpired):
        p.wait(2) # longer than the idle time; the sandbox lives
    assert p.wait(TIMEOUT) == 0
    log = (starter.dir / "cwsandboxd.log").read_text()
    assert 'why="idle"' in log and "sandbox_ended" in log


def test_a_leftover_of_a_crash_is_cleared(starter):
    p, ready = starter.start()
    assert ready.read() == "ready\n"
    p.send_signal(signal.SIGKILL)
    p.wait(TIMEOUT)
    assert (starter.dir / "service.sock").exists()
    p, ready = starter.start()
    assert ready.read() == "ready\n"


def test_a_directory_that_is_not_ours_alone_is_refused(starter):
    starter.dir.mkdir(mode=0o700)
    starter.dir.chmod(0o755)
    os.chown(starter.dir, starter.uid, -1)
    p, ready = starter.start()
    assert "is open to others" in ready.read() and p.wait(TIMEOUT) == 1
    starter.dir.rmdir()
    elsewhere = starter.home / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    os.chown(elsewhere, starter.uid, -1)
    starter.dir.symlink_to(elsewhere)
    p, ready = starter.start()
    assert "open directory" in ready.read() and p.wait(TIMEOUT) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make somebody else's directory")
def test_a_directory_of_somebody_else_is_refused(starter):
    starter.dir.mkdir(mode=0o700)
    os.chown(starter.dir, 4711, -1)
    p, ready = starter.start()
    said = ready.read()
    assert p.wait(TIMEOUT) == 1 and ("belongs to uid 4711" in said or "Permission denied" in said)


def test_a_long_log_is_emptied_at_the_start(starter):
    starter.dir.mkdir(mode=0o700)
    log = starter.dir / "cwsandboxd.log"
    log.write_bytes(b"x" * ((1 << 20) + 1))
    for path in (starter.dir, log):
        os.chown(path, starter.uid, -1)
    _, ready = starter.start()
    assert ready.read() == "ready\n"
    assert log.stat().st_size < 1 << 20
