"""cwsandbox sh: a person in front of a terminal."""

import os
import signal

import pytest
from scripted_server import ID, out, ready


def test_without_a_terminal_it_is_an_error(home, sandbox):
    result = home.run("sh", sandbox)
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: ")


def test_a_shell_answers_and_its_exit_code_comes_back(home, sandbox):
    with home.terminal("sh", sandbox) as terminal:
        terminal.read_until("# ")
        assert terminal.settings() != terminal.before  # raw
        terminal.type("echo $((6*7)); exit 23\r")
        terminal.read_until("42")
        assert terminal.wait() == 23
        assert terminal.settings() == terminal.before


# Prints its size at once and after each change; a shell would answer at its next prompt only. The signal is blocked and
# waited for: a handler could run too late, between Python's last look and its read.
SIZES = ("import os, signal; w = {signal.SIGWINCH}; signal.pthread_sigmask(signal.SIG_BLOCK, w); "
         "show = lambda: print('size', *os.get_terminal_size(), flush=True); show(); "
         "[(signal.sigwait(w), show()) for _ in range(2)]")


def test_the_size_follows_the_window(home, sandbox):
    with home.terminal("sh", sandbox, "--cmd", f'python -c "{SIZES}"', rows=33, columns=111) as terminal:
        terminal.read_until("size 111 33")
        terminal.resize(44, 122)
        terminal.read_until("size 122 44")
        terminal.resize(45, 123)
        terminal.read_until("size 123 45")
        assert terminal.wait() == 0


def test_control_c_goes_to_the_remote_command(home, sandbox):
    # Nothing is typed behind the ^C: a terminal throws typed-ahead input away at an interrupt.
    command = "sh -c 'trap \"echo caught; exit 42\" INT; echo u\"\"p; while :; do sleep 1; done'"
    with home.terminal("sh", sandbox, "--cmd", command) as terminal:
        terminal.read_until("up\r\n")
        terminal.type("\x03")
        terminal.read_until("caught")
        assert terminal.wait() == 42


def test_control_d_ends_the_command(home, sandbox):
    with home.terminal("sh", sandbox, "--cmd", "cat") as terminal:
        terminal.type("hello\r")
        terminal.read_until("hello\r\nhello\r\n")
        terminal.type("\x04")
        assert terminal.wait() == 0


@pytest.mark.parametrize("number,code", [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)])
def test_a_signal_from_outside_puts_the_terminal_back(home, sandbox, number, code):
    with home.terminal("sh", sandbox) as terminal:
        terminal.read_until("# ")
        terminal.popen.send_signal(number)
        assert terminal.wait() == code
        assert terminal.settings() == terminal.before


def test_the_terminal_is_put_back_while_suspended(ordinary_home):
    sandbox_id = ordinary_home.run("run", "--keep").stdout.decode().strip()
    with ordinary_home.terminal("sh", sandbox_id) as terminal:
        terminal.read_until("# ")
        raw = terminal.settings()
        terminal.popen.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, terminal.popen.pid, os.WSTOPPED | os.WNOWAIT)
        assert terminal.settings() == terminal.before
        terminal.popen.send_signal(signal.SIGCONT)
        terminal.type("echo agai''n\r")
        terminal.read_until("again\r\n")
        assert terminal.settings() == raw
        terminal.read_until("# ")
        terminal.type("exit 0\r")
        assert terminal.wait() == 0
    assert ordinary_home.run("delete", sandbox_id).returncode == 0


def test_a_session_ends_when_its_sandbox_does(home, sandbox):
    with home.terminal("sh", sandbox) as terminal:
        terminal.read_until("# ")
        assert home.run("delete", sandbox).returncode == 0
        assert terminal.wait() != 0
        assert terminal.settings() == terminal.before


def test_a_session_without_an_exit_code_is_an_error(ordinary_home, scripted, monkeypatch):
    monkeypatch.setitem(ordinary_home.env, "CWSANDBOX_BASE_URL", scripted.url)
    scripted.on("StreamExec", [ready(), out(b"up")])
    with ordinary_home.terminal("sh", ID) as terminal:
        terminal.read_until("up")
        terminal.read_until("Error: the session ended without an exit code\r\n")
        assert terminal.wait() == 1
        assert terminal.settings() == terminal.before


def test_the_words_of_a_command_that_is_not_there_end_their_line(home, sandbox):
    with home.terminal("sh", sandbox, "--cmd", "no-such-command") as terminal:
        terminal.read_until("no-such-command: command not found\r\n")
        assert terminal.wait() == 127


def test_the_command_is_split_like_a_shell_would(home, sandbox):
    with home.terminal("sh", sandbox, "--cmd", "sh -c 'echo \"a  b\"; exit 6'") as terminal:
        terminal.read_until("a  b")
        assert terminal.wait() == 6


def test_bytes_pass_through_unchanged(home, sandbox):
    with home.terminal("sh", sandbox, "--cmd", "sh -c 'stty raw -echo; echo up; head -c 6 | od -An -tx1'") as terminal:
        terminal.read_until("up")
        terminal.type("\x00\x03\x1a\x7f\xe4")
        terminal.read_until("00 03 1a 7f c3 a4")
        assert terminal.wait() == 0
