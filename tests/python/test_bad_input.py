"""What bad input gets, through the SDK. tests/README.md says which test covers which item; what needs a hostile peer or the raw
interface is in tests/interop/test_bad_input.py, what needs hostile code inside in tests/security.

After each test the shared sandbox must be as before: nothing running, nothing mounted, no descriptor of the service lost.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import textwrap
import threading

import cwsandbox
import pytest
from cwsandbox import Sandbox, SandboxFileError
from embedded import RUNTIME_DIR, daemon_pid

MIB = 1 << 20
SECONDS = 60
# The processes are counted by the shell itself: a pipeline would sometimes count its own other half.
INSIDE = "set -- /proc/[0-9]*; echo $#; wc -l < /proc/self/mountinfo; find /dev/shm /run | wc -l"


@pytest.fixture(autouse=True)
def nothing_left(shared):
    def state():
        inside = shared.exec(["sh", "-c", INSIDE]).result(SECONDS).stdout
        return inside, len(os.listdir(f"/proc/{daemon_pid()}/fd"))

    state()
    inside, descriptors = state()
    yield
    slack = 8  # the warm pool comes and goes: a socket for each blank
    for _ in range(200):  # ends take a moment; calls that are served are the clock
        now_inside, now_descriptors = state()
        if now_inside == inside and now_descriptors <= descriptors + slack:
            return
    raise AssertionError(f"before {inside!r} and {descriptors} descriptors, now {now_inside!r} and {now_descriptors}")


# ---- commands

@pytest.mark.parametrize(("command", "code", "words"), [
    (["no-such-command"], 127, "no-such-command: command not found"),
    (["/no/such/file"], 127, "/no/such/file: No such file or directory"),
    (["/etc/passwd/x"], 127, "/etc/passwd/x: Not a directory"),
    (["/etc/passwd"], 126, "/etc/passwd: Permission denied"),
    (["/tmp"], 126, "/tmp: Permission denied"),
    (["/tmp/none/x"], 127, "/tmp/none/x: No such file or directory"),
])
def test_a_command_that_cannot_run_has_the_shells_code_and_words(shared, command, code, words):
    result = shared.exec(command).result(SECONDS)
    assert result.returncode == code
    assert words in result.stderr
    assert result.stdout == ""


def test_a_script_whose_interpreter_is_missing(shared):
    shared.write_file("/tmp/script", b"#!/no/such/interpreter\n").result()
    shared.exec(["chmod", "755", "/tmp/script"]).result()
    result = shared.exec(["/tmp/script"]).result(SECONDS)
    assert result.returncode in (126, 127) and "/tmp/script" in result.stderr


def test_an_executable_that_is_none(shared):
    shared.write_file("/tmp/noise", b"\x7fELFbut not really").result()
    shared.exec(["chmod", "755", "/tmp/noise"]).result()
    result = shared.exec(["/tmp/noise"]).result(SECONDS)
    assert result.returncode in (2, 126, 127) and result.stderr


@pytest.mark.parametrize("command", [[], [""], ["", "x"]])
def test_an_empty_command_is_refused(shared, command):
    with pytest.raises((ValueError, cwsandbox.SandboxError)) as caught:
        shared.exec(command).result(SECONDS)
    assert "command" in str(caught.value).lower() or "empty" in str(caught.value)


@pytest.mark.parametrize("command", ["echo hello", [1], [b"echo"], None])
def test_what_is_no_list_of_words_is_a_type_error(shared, command):
    with pytest.raises((TypeError, ValueError)):
        shared.exec(command).result(SECONDS)


def test_a_word_with_a_nul_is_refused(shared):
    with pytest.raises(ValueError, match="NUL"):
        shared.exec(["echo", "a\0b"]).result(SECONDS)


LINUX_MAX = 131072  # MAX_ARG_STRLEN: of a word, and of NAME=value, with NUL


@pytest.mark.parametrize(("start", "name"), [
    (lambda sb, n: sb.exec(["true", "x" * n]), "command: the word at index 1"),
    (lambda sb, n: sb.exec(["true"], env={"BIG": "x" * (n - len("BIG="))}), "env: `BIG`"),
    (lambda sb, n: sb.exec(["true"], cwd="/" + "./" * (n // 64) + "tmp"), "cwd is longer than 4095 bytes"),
])
def test_what_no_program_can_be_given_is_refused_before_anything_starts(shared, start, name):
    with pytest.raises(ValueError, match=name):
        start(shared, LINUX_MAX)
    assert shared.exec(["sh", "-c", 'printf %s "$BIG$1" | wc -c', "sh", "x" * 60_000], env={"BIG": "x" * (LINUX_MAX - len("BIG=") - 1)}) \
        .result(SECONDS).stdout.strip() == str(LINUX_MAX - len("BIG=") - 1 + 60_000)


@pytest.mark.parametrize(("words", "arguments", "name"), [
    ((), {"environment_variables": {"BIG": "x" * LINUX_MAX}}, "environment_variables: `BIG`"),
    (("x" * LINUX_MAX,), {}, "command"),
    (("true", "x" * LINUX_MAX), {}, "args: the word at index 0"),
])
def test_a_sandbox_of_words_that_no_program_can_be_given_is_refused(words, arguments, name):
    with pytest.raises(ValueError, match=rf"^{name}.* longer than 131071 bytes"):
        Sandbox.run(*words, **arguments)


def test_words_that_are_too_long_together_are_refused_by_name(shared):
    many = {f"V{i}": "x" * 100_000 for i in range(30)}  # 3 MB; Linux passes a quarter of the stack's limit, at most 6 MiB
    with pytest.raises(cwsandbox.SandboxError, match="command: arguments and environment"):
        shared.exec(["true"], env=many).result(SECONDS)


def test_a_program_whose_words_the_kernel_counts_otherwise_is_refused_too(shared):
    """A script's interpreter gets more words than the script: what is known at execve only is told as what it is."""
    room = int(shared.exec(["sh", "-c", "ulimit -s"]).result(SECONDS).stdout) * 1024 // 4
    shared.write_file("/tmp/long", b"#!/bin/sh " + b"-" + b"e" * 200 + b"\n").result(SECONDS)
    shared.exec(["chmod", "755", "/tmp/long"]).result(SECONDS)
    inside = sum(len(line) + 1 + 8 for line in shared.exec(["env"]).result(SECONDS).stdout.splitlines())
    words, left = ["/tmp/long"], room - inside - len("/tmp/long") - 9 - 150
    while left > 9:
        words.append("x" * min(left - 9, 100_000))
        left -= len(words[-1]) + 9
    with pytest.raises(cwsandbox.SandboxError, match="command: arguments and environment"):
        shared.exec(words).result(SECONDS)


def test_a_relative_cwd_is_refused(shared):
    with pytest.raises(ValueError, match="cwd"):
        shared.exec(["true"], cwd="tmp").result(SECONDS)


@pytest.mark.parametrize("cwd", ["/no/such/directory", "/etc/passwd"])
def test_a_cwd_that_cannot_be_entered_is_said(shared, cwd):
    result = shared.exec(["true"], cwd=cwd).result(SECONDS)
    assert result.returncode != 0
    assert cwd in result.stderr


# ---- files

@pytest.fixture
def files(shared):
    shared.exec(["sh", "-c", """
        cd /tmp; mkdir -p dir; mkfifo fifo; ln -sf /tmp/nowhere dangling; ln -sf loop loop; truncate -s 300M big
        truncate -s 1P sparse; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("/tmp/socket")'
    """]).result(SECONDS)
    yield
    shared.exec(["sh", "-c", "cd /tmp; rm -rf dir fifo dangling loop big sparse socket"]).result(SECONDS)


@pytest.mark.parametrize(("path", "reason"), [
    ("/tmp/missing", "FILE_NOT_FOUND"), ("/tmp/dangling", "FILE_NOT_FOUND"), ("/etc/passwd/x", None),
    ("/tmp/dir", "FILE_IS_DIRECTORY"),
    ("/tmp/fifo", "FILE_IO_FAILED"), ("/dev/zero", "FILE_IO_FAILED"), ("/dev/null", "FILE_IO_FAILED"),
    ("/tmp/socket", "FILE_IO_FAILED"), ("/tmp/loop", None), ("/tmp/" + "x" * 300, None),
    ("/tmp/big", "FILE_TOO_LARGE"), ("/tmp/sparse", None),
])
def test_reading_what_is_no_readable_file(shared, files, path, reason):
    with pytest.raises(SandboxFileError) as caught:
        shared.read_file(path).result(SECONDS)
    assert path in str(caught.value) or caught.value.filepath == path
    if reason:
        assert caught.value.reason == f"CWSANDBOX_{reason}"


@pytest.mark.parametrize(("path", "reason"), [
    ("/tmp/dir", "FILE_IS_DIRECTORY"), ("/tmp/fifo", "FILE_IO_FAILED"),
    ("/dev/full", None), ("/dev/zero", None), ("/tmp/socket", None), ("/tmp/loop", None), ("/etc/passwd/x", None),
    ("/proc/version", None), ("/dev/new", None), ("/tmp/" + "x" * 300, None),
])
def test_writing_where_no_file_can_be(shared, files, path, reason):
    with pytest.raises(SandboxFileError) as caught:
        shared.write_file(path, b"x").result(SECONDS)
    if reason:
        assert caught.value.reason == f"CWSANDBOX_{reason}"


@pytest.mark.parametrize("path", ["", "relative", "./x", "/", "/tmp/", "/" + "x/" * 3000 + "x"])
def test_what_cannot_be_the_path_of_a_file_is_refused(shared, path):
    with pytest.raises((ValueError, cwsandbox.SandboxError)):
        shared.read_file(path).result(SECONDS)
    with pytest.raises((ValueError, cwsandbox.SandboxError)):
        shared.write_file(path, b"x").result(SECONDS)


# ---- output and input

def test_output_that_is_no_utf8(shared):
    result = shared.exec(["printf", r"a\377\376b\303"]).result(SECONDS)
    assert result.stdout_bytes == b"a\xff\xfeb\xc3"
    assert result.stdout == "a\ufffd\ufffdb\ufffd"


def test_100_mib_that_nobody_reads(shared):
    result = shared.exec(["head", "-c", str(100 * MIB), "/dev/zero"]).result(SECONDS)
    assert result.returncode == 0 and len(result.stdout_bytes) == 100 * MIB


def test_output_of_a_forgotten_process_ends_with_it(shared):
    process = shared.exec(["yes"])
    next(process.stdout)
    assert process.cancel()


def test_stdin_closed_early(shared):
    """The command ends without reading: its exit is the result; what could not be delivered fails."""
    process = shared.exec(["sh", "-c", "exec 0<&-; exit 5"], stdin=True)
    with contextlib.suppress(cwsandbox.SandboxExecutionError, cwsandbox.SandboxError, BrokenPipeError):
        for _ in range(100):
            process.stdin.write(b"x" * 65536).result(SECONDS)
    assert process.result(SECONDS).returncode == 5


def test_stdin_closed_by_a_command_that_goes_on(shared):
    process = shared.exec(["sh", "-c", "exec 0<&-; echo closed; sleep 0.2; echo end"], stdin=True)
    assert next(process.stdout) == "closed\n"
    with contextlib.suppress(cwsandbox.SandboxError, BrokenPipeError):
        process.stdin.write(b"x" * (4 * MIB)).result(SECONDS)
        process.stdin.close().result(SECONDS)
    assert list(process.stdout) == ["end\n"]
    assert process.result(SECONDS).returncode == 0


# ---- processes

def test_a_command_that_ignores_sigterm_ends_at_its_time_limit(shared):
    process = shared.exec(["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done"], timeout_seconds=1)
    with pytest.raises(cwsandbox.SandboxTimeoutError):
        process.result(SECONDS)


def test_a_main_process_that_ignores_sigterm_ends_after_the_grace():
    sandbox = Sandbox.run("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    sandbox.wait()
    sandbox.stop(graceful_shutdown_seconds=1).result(SECONDS)
    assert sandbox.get_status() in ("terminated", "failed", "completed")


def test_a_memory_hog_is_killed_or_its_limit_refused():
    """137 where memory can be limited; a refusal that names it where not; the service lives on."""
    hog = ["python3", "-c", "x = bytearray(300 << 20); print(len(x))"]
    try:
        with Sandbox.run(resources={"memory": "64Mi"}) as sandbox:
            assert sandbox.exec(hog).result(SECONDS).returncode == 137
            assert sandbox.exec(["echo", "alive"]).result(SECONDS).stdout == "alive\n"
    except cwsandbox.SandboxError as error:
        assert "memory" in str(error) and os.geteuid() != 0


def test_a_full_disk_is_said_and_room_comes_back(shared):
    fill = shared.exec(["sh", "-c", "cat /dev/zero > /tmp/fill"]).result(SECONDS)
    assert fill.returncode != 0 and "No space left" in fill.stderr
    with pytest.raises(SandboxFileError, match="No space left"):
        shared.write_file("/tmp/more", b"x" * MIB).result(SECONDS)
    shared.exec(["rm", "/tmp/fill"]).result(SECONDS)
    shared.write_file("/tmp/more", b"x" * MIB).result(SECONDS)
    shared.exec(["rm", "/tmp/more"]).result(SECONDS)


# ---- services that are not there, or something else

def client(code, **environment):
    """Runs code with another service configured; what it prints."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CWSANDBOX_")} | environment
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True, timeout=90)


CREATE = """
    import cwsandbox, sys
    try:
        cwsandbox.Sandbox.run().wait()
    except cwsandbox.CWSandboxError as error:
        print(type(error).__name__, error)
"""


@contextlib.contextmanager
def foreign(answer):
    """A TCP service that is not ours: answer(connection) for each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def hang_up_hard(connection: socket.socket) -> None:
    """With a reset instead of the end of the stream."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("url", ["unix:///no/such/socket", "http://127.0.0.1:1", "https://127.0.0.1:1",
                                 "http://name.invalid:80"])
def test_an_unreachable_service_is_named(url):
    out = client(CREATE, CWSANDBOX_BASE_URL=url, CWSANDBOX_API_KEY="k").stdout
    assert out.startswith("SandboxUnavailableError") and url.partition("//")[2].rpartition(":")[0].strip("/") in out


@pytest.mark.parametrize("answer, words", [
    (lambda c: (c.recv(100), c.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")), "not valid HTTP/2"),
    (lambda c: (c.recv(100), c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")), "not valid HTTP/2"),
    (lambda c: (c.recv(100), c.sendall(b"\x15\x03\x01\x00\x02\x02\x46")), ""),  # too short to be anything
    (lambda c: c.recv(100), ""),
    (lambda c: (c.recv(1), c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), hang_up_hard(c)), ""),
], ids=["HTTP/1.1", "ssh", "TLS", "closes", "resets"])
def test_a_service_that_speaks_something_else_is_an_error(answer, words):
    with foreign(answer) as url:
        ran = client(CREATE, CWSANDBOX_BASE_URL=url)
    assert ran.stdout.startswith("SandboxUnavailableError") and url in ran.stdout and words in ran.stdout, ran


def test_an_unknown_key_is_an_authentication_error(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("alice:the-right-key\n")
    keys.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    ready, ready_write = os.pipe()
    daemon = os.readlink(f"/proc/{daemon_pid()}/exe")
    service = subprocess.Popen([daemon, "--config", "/dev/null", "--listen", f"http://127.0.0.1:{port}", "--api-keys",
                                str(keys), "--data-dir", str(tmp_path / "data"), "--ready-fd", str(ready_write)],
                               pass_fds=[ready_write], stderr=subprocess.DEVNULL)
    os.close(ready_write)
    with os.fdopen(ready) as f:
        assert f.read() == "ready\n"
    try:
        url = f"http://127.0.0.1:{port}"
        for environment in ({"CWSANDBOX_API_KEY": "a-wrong-key"}, {}):
            out = client(CREATE, CWSANDBOX_BASE_URL=url, **environment).stdout
            assert out.startswith("CWSandboxAuthenticationError") and "a-wrong-key" not in out
        right = client(CREATE + "    print('accepted')", CWSANDBOX_BASE_URL=url, CWSANDBOX_API_KEY="the-right-key")
        assert right.stdout == "accepted\n"
    finally:
        service.terminate()
        assert service.wait(SECONDS) == 0


def test_a_machine_without_user_namespaces_is_explained(tmp_path):
    """In a user namespace that maps nobody, the kernel refuses the next one, as a machine that forbids them does."""
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    become = {}
    if os.geteuid() == 0:
        become = {"user": 54321, "group": 54321, "extra_groups": []}
        for path in (run, tmp_path, tmp_path.parent, tmp_path.parent.parent):
            path.chmod(0o755)
        run.chmod(0o700)
        os.chown(run, 54321, 54321)
    env = {k: v for k, v in os.environ.items() if not k.startswith("CWSANDBOX_")} | {
        "XDG_RUNTIME_DIR": str(run), "HOME": str(run), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(["unshare", "-U", sys.executable, "-c", textwrap.dedent(CREATE)], env=env, capture_output=True,
                         text=True, timeout=90, **become)
    assert ran.stdout.startswith("SandboxUnavailableError"), ran
    assert "user namespace: Operation not permitted" in ran.stdout and "start as root" in ran.stdout
    assert not (run / "cwsandbox" / "service.sock").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_service_of_somebody_else_is_no_service():
    """No permission: another user's socket, which that user's directory already hides."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CWSANDBOX_")} | {
        "CWSANDBOX_BASE_URL": f"unix://{RUNTIME_DIR}/cwsandbox/service.sock", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(CREATE)], env=env, capture_output=True, text=True, timeout=90,
                         user=54321, group=54321, extra_groups=[])
    assert ran.stdout.startswith("SandboxUnavailableError") and "Permission denied" in ran.stdout, ran
