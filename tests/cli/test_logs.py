"""cwsandbox logs: the output of the main process."""

import re
import signal

import pytest
from scripted_server import ID, log
from scripted_server import sandbox as described


@pytest.fixture
def talker(home):
    """A sandbox whose main process printed five lines and prints more when told so by a file."""
    script = ("for i in 1 2 3 4 5; do echo line $i; done; echo error >&2; mkfifo /tmp/go; "
              "exec 3<>/tmp/go; touch /tmp/ready; while read word <&3; do echo told $word; done")
    sandbox_id = home.run("run", "-d", "--", "sh", "-c", script).stdout.decode().strip()
    home.run("exec", sandbox_id, "sh", "-c", "while ! test -e /tmp/ready; do :; done")
    yield sandbox_id
    assert home.run("delete", "--missing-ok", "-q", sandbox_id).returncode == 0


def tell(home, sandbox_id, word):
    assert home.run("exec", sandbox_id, "sh", "-c", f"echo {word} > /tmp/go").returncode == 0


LINES = b"line 1\nline 2\nline 3\nline 4\nline 5\nerror\n"


def test_all_lines_are_printed_as_they_are(home, talker):
    result = home.run("logs", talker)
    assert (result.returncode, result.stdout, result.stderr) == (0, LINES, b"")


def test_the_tail_is_cut(home, talker):
    assert home.run("logs", "--tail", "2", talker).stdout == b"line 5\nerror\n"
    assert home.run("logs", "--tail", "0", talker).stdout == LINES


def test_a_time_in_the_future_selects_nothing(home, talker):
    assert home.run("logs", "--since", "2200-01-01", talker).stdout == b""
    assert home.run("logs", "--since", "2001-01-01 00:00:00", talker).stdout == LINES


def test_timestamps_begin_the_lines(home, talker):
    lines = home.run("logs", "-t", "--tail", "1", talker).stdout.decode().splitlines()
    assert len(lines) == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z error", lines[0])


def test_following_prints_what_comes_and_ends_with_control_c(home, talker):
    with home.start("logs", "-f", talker) as process:
        process.read_until(b"error\n")
        tell(home, talker, "more")
        process.read_until(b"told more\n")
        assert process.kill(signal.SIGINT) == 0


def test_following_ends_with_the_sandbox(home, talker):
    with home.start("logs", "--follow", talker) as process:
        process.read_until(b"error\n")
        assert home.run("delete", talker).returncode == 0
        assert process.popen.wait(30) in (0, 1)


def test_a_closed_pipe_ends_following(home, talker):
    with home.start("logs", "-f", talker) as process:
        process.read_until(b"line 1\n")
        process.popen.stdout.close()
        assert process.popen.wait(30) == 0


def test_following_what_has_just_been_started(home):
    # It may have ended before the second command asks, and what it printed is printed either way.
    sandbox_id = home.run("run", "-d", "--", "echo", "done").stdout.decode().strip()
    result = home.run("logs", "-f", sandbox_id)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"done\n", b"")


@pytest.mark.parametrize("state", ["completed", "failed", "terminating", "terminated"])
def test_following_what_has_ended_prints_it(ordinary_home, scripted, state):
    scripted.on("GetSandbox", described(state))
    scripted.on("StreamLogs", [log(b"done\n")])
    result = ordinary_home.run("logs", "-f", ID, env={"CWSANDBOX_BASE_URL": scripted.url})
    assert (result.returncode, result.stdout, result.stderr) == (0, b"done\n", b"")
    assert not scripted.of("StreamLogs")[0].request.follow
