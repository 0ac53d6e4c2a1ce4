"""cwsandbox files read, files write."""

import hashlib
import os
import signal
import subprocess

import pytest


def local_file(home, name, data):
    path = home.base / name
    path.write_bytes(data)
    path.chmod(0o644)
    return str(path)


@pytest.mark.parametrize("size", [0, 1, 100_000, 17 << 20], ids=["empty", "one byte", "small", "streamed"])
def test_a_file_makes_the_round_trip(home, sandbox, size):
    data = os.urandom(size)
    result = home.run("files", "write", sandbox, "/tmp/file", local_file(home, "up.bin", data))
    assert (result.returncode, result.stdout.decode()) == (0, f"Wrote {size} bytes to /tmp/file.\n"), result.stderr
    assert home.run("files", "read", sandbox, "/tmp/file").stdout == data


def test_a_name_that_is_not_utf8(home, sandbox):
    name = b"/tmp/n\xff\xfe w\n"
    assert home.run("files", "write", sandbox, name, "-", input=b"odd").returncode == 0
    assert home.run("files", "read", sandbox, name).stdout == b"odd"
    assert home.run("exec", sandbox, "sh", "-c", "cat /tmp/n*").stdout == b"odd"


def test_standard_input_is_written(home, sandbox):
    result = home.run("files", "write", sandbox, "/tmp/file", "-", input=b"from a pipe")
    assert result.stdout == b"Wrote 11 bytes to /tmp/file.\n"
    assert home.run("exec", sandbox, "cat", "/tmp/file").stdout == b"from a pipe"


def test_output_goes_to_a_file_without_words(home, sandbox):
    home.run("exec", sandbox, "sh", "-c", "printf content > /tmp/file")
    local = home.base / "down.bin"
    result = home.run("files", "read", sandbox, "/tmp/file", "-o", str(local))
    assert (result.returncode, result.stdout) == (0, b"")
    assert local.read_bytes() == b"content"


def test_a_file_beyond_every_single_call_is_streamed(root_home):
    size = 300 << 20
    sandbox_id = root_home.run("run", "--keep").stdout.decode().strip()
    made = root_home.run("exec", sandbox_id, "sh", "-c", f"head -c {size} /dev/zero | tr '\\0' z > /tmp/big")
    assert made.returncode == 0, made.stderr
    with root_home.start("files", "read", sandbox_id, "/tmp/big") as process:
        digest, count = hashlib.sha256(), 0
        while chunk := process.popen.stdout.read(1 << 20):
            digest.update(chunk)
            count += len(chunk)
        assert process.popen.wait(30) == 0, process.popen.stderr.read()
    assert count == size
    expected = hashlib.sha256()
    for _ in range(300):
        expected.update(b"z" * (1 << 20))
    assert digest.digest() == expected.digest()
    assert root_home.run("delete", sandbox_id).returncode == 0


def test_a_failed_read_leaves_the_local_file_alone(home, sandbox):
    local = local_file(home, "precious.txt", b"precious")
    result = home.run("files", "read", sandbox, "/tmp/none", "-o", local)
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: ") and b"/tmp/none" in result.stderr
    assert (home.base / "precious.txt").read_bytes() == b"precious"


@pytest.mark.parametrize("path", ["/usr", "/dev/null", "relative"])
def test_what_is_no_file_is_refused(home, sandbox, path):
    result = home.run("files", "read", sandbox, path)
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: ")


def test_an_impossible_path_is_an_error(home, sandbox):
    # Below a file no directory can be: whether a service makes missing ones is its own choice.
    result = home.run("files", "write", sandbox, "/etc/hosts/file", local_file(home, "x", b"x"))
    assert result.returncode == 1
    assert b"/etc/hosts/file" in result.stderr


@pytest.mark.parametrize("size", [0, 5, 17 << 20], ids=["empty", "small", "streamed"])
def test_a_relative_path_is_refused_whatever_the_size(home, sandbox, size):
    local = home.base / "sized"
    with local.open("wb") as file:
        file.truncate(size)
    local.chmod(0o644)
    for words, data in ((["relative", str(local)], None), (["relative", "-"], b"x" * size)):
        result = home.run("files", "write", sandbox, *words, input=data)
        assert result.returncode == 1
        assert b"relative" in result.stderr and b"absolute path" in result.stderr and result.stderr.count(b"Error") == 1
    assert home.run("exec", sandbox, "ls").stdout.find(b"relative") < 0


def test_a_streamed_write_to_an_impossible_path_is_an_error(home, sandbox):
    result = home.run("files", "write", sandbox, "/etc/hosts/file", "-", input=b"x" * (4 << 20))
    assert result.returncode == 1
    assert b"/etc/hosts/file" in result.stderr


def test_an_unwritable_local_file_is_an_error(home, sandbox):
    result = home.run("files", "read", sandbox, "/usr/bin/env", "-o", "/nonexistent/x")
    assert result.returncode == 1
    assert b"/nonexistent/x" in result.stderr


@pytest.mark.parametrize("size", [5, 40 << 20], ids=["in one call", "streamed"])
def test_a_full_disk_leaves_an_incomplete_file_and_says_so(home, sandbox, size):
    home.run("exec", sandbox, "sh", "-c", f"head -c {size} /dev/zero > /tmp/file")
    result = home.run("files", "read", sandbox, "/tmp/file", "-o", "/dev/full")
    assert result.returncode == 1
    assert result.stderr == b"Error: write output: No space left on device\n/dev/full is incomplete.\n"


def test_a_closed_pipe_ends_with_0(home, sandbox):
    home.run("exec", sandbox, "sh", "-c", "head -c 5000000 /dev/zero > /tmp/file")
    with home.start("files", "read", sandbox, "/tmp/file") as process:
        process.popen.stdout.read(1)
        process.popen.stdout.close()
        assert process.popen.wait(30) == 0


def test_an_interrupt_is_noticed_while_the_reader_sleeps(home, sandbox):
    home.run("exec", sandbox, "sh", "-c", "head -c 5000000 /dev/zero > /tmp/file")
    with home.start("files", "read", sandbox, "/tmp/file") as process:
        process.popen.stdout.read(1)
        assert process.kill(signal.SIGINT) == 130


def test_an_interrupt_ends_a_streamed_write(home, sandbox):
    with home.start("files", "write", sandbox, "/tmp/file", "-", stdin=subprocess.PIPE) as process:
        process.popen.stdin.write(b"x" * (1 << 20))
        process.popen.stdin.flush()
        assert process.kill(signal.SIGINT) == 130
