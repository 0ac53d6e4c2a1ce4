"""cwsandbox exec."""

import signal
import subprocess
import time

import pytest


def assert_ends(home, sandbox, pattern):
    """The kill is on its way: a wait that ends when the process has, asked from inside."""
    gone = f"while pgrep -f '{pattern}' >/dev/null; do :; done"
    assert home.run("exec", "-t", "10", sandbox, "sh", "-c", gone).returncode == 0


def test_streams_and_exit_code_are_the_commands(home, sandbox):
    result = home.run("exec", sandbox, "sh", "-c", "printf out; printf err >&2; exit 9")
    assert (result.returncode, result.stdout, result.stderr) == (9, b"out", b"err")


def test_words_of_the_command_stay_its_own(home, sandbox):
    result = home.run("exec", sandbox, "echo", "-t", "--timeout", "--help", "--")
    assert result.stdout == b"-t --timeout --help --\n"
    assert home.run("exec", sandbox, "--", "echo", "-n", "x").stdout == b"x"


def test_a_directory_is_entered(home, sandbox):
    assert home.run("exec", "-w", "/usr", sandbox, "pwd").stdout == b"/usr\n"
    result = home.run("exec", sandbox, "--cwd", "/nonexistent", "pwd")
    assert result.returncode != 0
    assert b"/nonexistent" in result.stderr


def test_stdin_is_forwarded_only_when_asked(home, sandbox):
    assert home.run("exec", sandbox, "cat", input=b"text").stdout == b""
    assert home.run("exec", "-i", sandbox, "cat", input=b"text").stdout == b"text"


def test_a_timeout_kills_the_tree(home, sandbox):
    began = time.monotonic()
    result = home.run("exec", "-t", "0.3", sandbox, "sh", "-c", "setsid sleep 4242 & sleep 4242")
    took = time.monotonic() - began
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: ")
    assert 0.3 <= took < 2.3, took  # the contract's 5 s of margin are for foreign services; the rest is a busy machine
    assert_ends(home, sandbox, "sleep 424[2]")


def test_an_interrupt_kills_the_command_but_not_the_sandbox(home, sandbox):
    with home.start("exec", sandbox, "sh", "-c", "echo up; exec sleep 4343") as process:
        process.read_until(b"up\n")
        assert process.kill(signal.SIGINT) == 130
    assert_ends(home, sandbox, "sleep 434[3]")


def test_a_closed_pipe_ends_with_0(home, sandbox):
    with home.start("exec", sandbox, "yes") as process:
        process.read_until(b"y\n")
        process.popen.stdout.close()
        assert process.popen.wait(30) == 0


def peak_kib(pid):
    """The most memory a process ever had resident."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def test_endless_output_costs_no_memory(home, sandbox):
    with home.start("exec", sandbox, "yes") as process:
        left = 300 << 20
        while left > 0:
            left -= len(process.popen.stdout.read(min(left, 1 << 20)))
        peak = peak_kib(process.popen.pid)
        process.popen.stdout.close()
        assert process.popen.wait(30) == 0
    assert peak < 60 << 10, peak


def test_a_slow_reader_slows_the_command_and_not_the_memory(home, sandbox):
    script = "yes | head -c 100000000; echo done > /tmp/done; yes"
    with home.start("exec", sandbox, "sh", "-c", script) as process:
        process.read_until(b"y\n")  # and no further
        assert home.run("exec", "-t", "1", sandbox, "sh", "-c", "while ! test -e /tmp/done; do :; done").returncode == 1
        assert peak_kib(process.popen.pid) < 60 << 10
        assert process.kill(signal.SIGINT) == 130


def test_both_streams_flow_at_once(home, sandbox):
    script = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"
    result = home.run("exec", sandbox, "sh", "-c", script)
    assert (len(result.stdout), len(result.stderr)) == (3000000, 3000000)


def test_a_terminal_with_exec(home, sandbox):
    with home.terminal("exec", "--tty", sandbox, "sh", "-c", "stty size; exit 4", rows=30, columns=100) as terminal:
        terminal.read_until("30 100")
        assert terminal.wait() == 4


def test_many_at_once(ordinary_home):
    sandbox_id = ordinary_home.run("run", "--keep").stdout.decode().strip()
    running = [ordinary_home.start("exec", sandbox_id, "echo", str(i)) for i in range(12)]
    for i, process in enumerate(running):
        with process:
            out, err = process.popen.communicate(timeout=30)
            assert (process.popen.returncode, out, err) == (0, f"{i}\n".encode(), b"")
    assert ordinary_home.run("delete", sandbox_id).returncode == 0


def test_an_exec_in_a_stopped_sandbox_is_an_error(home):
    sandbox_id = home.run("run", "--keep").stdout.decode().strip()
    assert home.run("stop", sandbox_id).returncode == 0
    result = home.run("exec", sandbox_id, "true", stdin=subprocess.DEVNULL)
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: ")


def test_out_of_memory_is_said_and_kill_9_is_not(home):
    result = home.run("run", "--keep", "--memory", "64Mi")
    if b"this host cannot enforce a memory limit" in result.stderr:
        pytest.skip("an ordinary user without delegated cgroups has no memory limit")
    assert result.returncode == 0, result.stderr.decode()
    sandbox = result.stdout.decode().strip()
    hog = home.run("exec", sandbox, "python3", "-c", "x = bytearray(1 << 30)")
    assert (hog.returncode, hog.stderr) == (137, b"The command was killed: the sandbox is out of memory.\n")
    killed = home.run("exec", sandbox, "sh", "-c", "kill -9 $$")
    assert (killed.returncode, killed.stderr) == (137, b"")
    assert home.run("stop", "--quiet", "--graceful-shutdown-seconds", "0", sandbox).returncode == 0


def test_a_variable_is_set(home, sandbox):
    result = home.run("exec", "-e", "A=1=2", "--env", "FROM_HERE", sandbox, "sh", "-c", "echo $A $FROM_HERE", env={"FROM_HERE": "here"})
    assert (result.returncode, result.stdout) == (0, b"1=2 here\n")
    for word in ("=x", "", "NOT_SET_ANYWHERE"):
        assert home.run("exec", "-e", word, sandbox, "true").returncode == 2


def test_a_user_is_taken_or_refused_by_name(home, sandbox):
    assert home.run("exec", "-u", "root", sandbox, "id", "-u").stdout == b"0\n"
    result = home.run("exec", "--user", "no-such-user", sandbox, "id", "-u")
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"`no-such-user` is not in the sandbox's /etc/passwd" in result.stderr
    other = home.run("exec", "--user", "1234:5", sandbox, "id", "-u")
    assert other.stdout == b"1234\n" or b"has only root" in other.stderr
