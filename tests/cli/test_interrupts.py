"""Interrupts while the service keeps one waiting: it starts, says nothing, or never ends what it began."""

import os
import shutil
import signal
import socket
import threading
import time

import pytest
from conftest import Expect
from scripted_server import ID, sandbox


@pytest.fixture
def slow_start(ordinary_home):
    """An environment in which the service never gets ready, and what tells its pid."""
    home = ordinary_home
    place = home.base / "slow"
    (place / "run").mkdir(parents=True, mode=0o700, exist_ok=True)
    fifo, service = place / "started", place / "cwsandboxd"
    os.mkfifo(fifo)
    service.write_text(f"#!/bin/sh\necho $$ >'{fifo}'\nexec sleep 1000\n")
    service.chmod(0o755)
    for path in (place, place / "run", fifo):
        os.chown(path, home.uid, home.uid)
    told = os.open(fifo, os.O_RDWR)
    yield {"CWSANDBOX_SERVICE_PATH": str(place), "XDG_RUNTIME_DIR": str(place / "run")}, Expect(told)
    os.close(told)
    shutil.rmtree(place)


def test_a_service_that_ends_before_it_is_ready_has_a_log(ordinary_home, slow_start):
    env, _ = slow_start
    place = env["CWSANDBOX_SERVICE_PATH"]
    with open(f"{place}/cwsandboxd", "w") as service:
        service.write("#!/bin/sh\n")
    result = ordinary_home.run("ls", env=env)
    assert result.returncode == 1
    log = f"{place}/run/cwsandbox/cwsandboxd.log"
    assert result.stderr.decode().endswith(f"`{place}/cwsandboxd` ended before it was ready; its log, if it came to one, is `{log}`\n")


@pytest.mark.parametrize("words", [
    "ls", "get ID", "stop ID", "delete ID", "exec ID true", "logs -f ID", "files read ID /x", f"files write ID /x {__file__}",
    "snapshots create ID", "snapshots get ID", "snapshots list", "snapshots delete ID", "doctor",
])  # fmt: skip
def test_every_verb_is_interrupted_at_once(ordinary_home, monkeypatch, words):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setitem(ordinary_home.env, "CWSANDBOX_BASE_URL", f"http://127.0.0.1:{mute.getsockname()[1]}")
        with ordinary_home.start(*words.split()) as process:
            with mute.accept()[0] as connection:
                assert connection.recv(3) == b"PRI"  # HTTP/2's first word: the call is on its way
                began = time.monotonic()
                assert process.kill(signal.SIGINT) == 130
                assert time.monotonic() - began < 5


def test_an_interrupt_does_not_wait_for_a_service_that_starts(ordinary_home, slow_start, monkeypatch):
    env, told = slow_start
    for name, value in env.items():
        monkeypatch.setitem(ordinary_home.env, name, value)
    with ordinary_home.start("ls") as process:
        service = int(told.until(b"\n"))
        began = time.monotonic()
        code = process.kill(signal.SIGINT)
        took = time.monotonic() - began
        os.kill(service, signal.SIGKILL)
        assert code == 130
        assert took < 5, took  # the start itself may take 10 s and more


def test_an_interrupt_while_the_service_says_nothing_waits_for_its_answer(ordinary_home, scripted, monkeypatch):
    # The sandbox that may come of it must not be left: the answer is waited for, a second interrupt is not.
    monkeypatch.setitem(ordinary_home.env, "CWSANDBOX_BASE_URL", scripted.url)
    answer = threading.Event()
    scripted.on("CreateSandbox", lambda call: answer.wait(60) and scripted._healthy_CreateSandbox(call))
    with ordinary_home.start("run", "--", "true") as process:
        scripted.wait_for("CreateSandbox")
        process.popen.send_signal(signal.SIGINT)
        answer.set()
        assert process.popen.wait(30) == 130
    assert len(scripted.of("DeleteSandbox")) == 1 and not scripted.of("StreamExec")


@pytest.mark.parametrize("signals", [1, 2], ids=["patience ends", "a second interrupt ends it"])
def test_a_service_that_never_answers_is_left_with_a_warning(ordinary_home, scripted, monkeypatch, signals):
    monkeypatch.setitem(ordinary_home.env, "CWSANDBOX_BASE_URL", scripted.url)
    scripted.on("GetSandbox", sandbox("running"))  # it does not end
    scripted.on("StreamExec", lambda call: call.hold() or [])
    with ordinary_home.start("run", "--", "true") as process:
        scripted.wait_for("StreamExec")
        process.popen.send_signal(signal.SIGINT)
        scripted.wait_for("DeleteSandbox")
        began = time.monotonic()
        if signals == 2:
            process.popen.send_signal(signal.SIGINT)
        assert process.popen.wait(30) == 130
        assert (time.monotonic() - began < 5) == (signals == 2)
        assert process.popen.stderr.read().endswith(f"Sandbox {ID} may still be running.\n".encode())
