"""cwsandbox run: streams, exit codes, options, and that nothing is left behind."""

import os
import signal
import subprocess

import pytest


def test_streams_and_exit_code_are_the_commands(home, nothing_left):
    result = home.run("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.returncode, result.stdout, result.stderr) == (7, b"out\n", b"err\n")


@pytest.mark.parametrize("code", [0, 1, 126, 127, 130, 255])
def test_every_exit_code_comes_through(ordinary_home, code):
    assert ordinary_home.run("run", "--", "sh", "-c", f"exit {code}").returncode == code


def test_a_command_that_does_not_exist_exits_with_127(home, nothing_left):
    result = home.run("run", "--", "no-such-program")
    assert result.returncode == 127
    assert b"no-such-program" in result.stderr


def test_piped_stdin_reaches_the_command(home, nothing_left):
    data = os.urandom(3 << 20)
    result = home.run("run", "--", "cat", input=data)
    assert result.returncode == 0
    assert result.stdout == data


def test_a_command_that_ignores_stdin_does_not_wait_for_it(home, nothing_left):
    with home.start("run", "--", "true", stdin=subprocess.PIPE) as process:
        assert process.popen.wait(30) == 0


def test_a_command_that_closes_stdin_early_is_no_error(home, nothing_left):
    result = home.run("run", "--", "head", "-c", "3", input=b"x" * (8 << 20))
    assert (result.returncode, result.stdout) == (0, b"xxx")


def test_input_that_cannot_be_read_is_an_error(home, nothing_left):
    directory = os.open("/", os.O_RDONLY)
    result = home.run("run", "--", "cat", stdin=directory)
    os.close(directory)
    assert (result.returncode, result.stdout, result.stderr) == (1, b"", b"Error: read input: Is a directory\n")


def test_an_input_that_is_only_for_writing_is_none(home, nothing_left):
    null = os.open("/dev/null", os.O_WRONLY)  # what nohup(1) puts in place of a terminal
    result = home.run("run", "--", "cat", stdin=null)
    os.close(null)
    assert (result.returncode, result.stderr) == (0, b"")


def test_output_arrives_while_the_command_runs(home, nothing_left):
    with home.start("run", "--", "sh", "-c", "echo first; read line; echo $line", stdin=subprocess.PIPE) as process:
        assert process.read_until(b"first\n") == b"first\n"
        process.popen.stdin.write(b"second\n")
        process.popen.stdin.flush()
        assert process.read_until(b"second\n") == b"second\n"
        assert process.popen.wait(30) == 0


def test_large_output_is_byte_exact(ordinary_home):
    script = "head -c 20000000 /dev/zero | tr '\\0' x; echo end"
    result = ordinary_home.run("run", "--", "sh", "-c", script)
    assert result.returncode == 0
    assert result.stdout == b"x" * 20000000 + b"end\n"


@pytest.mark.parametrize("number,code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)])
def test_a_signal_kills_the_command_and_leaves_nothing(home, nothing_left, number, code):
    with home.start("run", "--", "sh", "-c", "sleep 1000 & echo up; wait") as process:
        process.read_until(b"up\n")
        assert process.kill(number) == code


def test_a_signal_while_output_is_blocked_is_noticed(home, nothing_left):
    with home.start("run", "--", "sh", "-c", "yes") as process:
        process.read_until(b"y\n")  # and read no further: the pipe fills up
        assert process.kill(signal.SIGINT) == 130


def test_an_ignored_interrupt_stays_ignored(ordinary_home):
    # What a shell does for `cwsandbox run … &` in a script.
    ignore = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    with ordinary_home.start("run", "--", "sh", "-c", "echo up; read line; exit 5", stdin=subprocess.PIPE, **ignore) as process:
        process.read_until(b"up\n")
        process.popen.send_signal(signal.SIGINT)
        process.popen.stdin.write(b"go\n")
        process.popen.stdin.flush()
        assert process.popen.wait(30) == 5


def test_a_reader_that_goes_away_ends_everything_with_0(home, nothing_left):
    with home.start("run", "--", "sh", "-c", "echo first; exec sleep 1000") as process:
        process.read_until(b"first\n")
        process.popen.stdout.close()  # nothing more is printed: the closed pipe alone must be noticed
        assert process.popen.wait(30) == 0


def test_head_ends_an_endless_command(ordinary_home):
    with ordinary_home.start("run", "--", "yes") as process:
        head = subprocess.run(["head", "-n", "2"], stdin=process.popen.stdout, stdout=subprocess.PIPE, timeout=30)
        process.popen.stdout.close()
        assert head.stdout == b"y\ny\n"
        assert process.popen.wait(30) == 0


def test_a_timeout_kills_the_command(home, nothing_left):
    result = home.run("run", "--timeout", "0.3", "--", "sleep", "1000")
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: ")


def test_environment_and_directory_are_given(home, nothing_left):
    result = home.run("run", "-e", "A=1 2", "--env", "TAKEN", "-w", "/usr", "--", "sh", "-c", 'echo "$A|$TAKEN|$(pwd)"',
                      env={"TAKEN": "from here"})
    assert result.stdout == b"1 2|from here|/usr\n"


def test_files_are_put_in_place(home, nothing_left):
    local = home.base / "a:b.txt"
    local.write_bytes(b"\0binary\xff")
    local.chmod(0o644)
    result = home.run("run", "--file", f"{local}:/data/in/x.bin", "--", "cat", "/data/in/x.bin")
    assert (result.returncode, result.stdout) == (0, b"\0binary\xff"), result.stderr


def test_a_directory_of_the_machine_is_shown(home, nothing_left):
    shown = home.base / "a:b"
    shown.mkdir()
    (shown / "f").write_text("in\n")
    for path in (shown, shown / "f"):
        path.chmod(0o755)
    result = home.run("run", "-v", f"{shown}/:/data:ro", "--host-directory", f"{shown}:/d:ata", "--", "cat", "/data/f", "/d:ata/f")
    assert (result.stdout, result.stderr) == (b"in\nin\n", b"")
    relative = home.run("run", "-v", "./a:b:/data", "--", "cat", "/data/f", cwd=home.base)
    assert (relative.stdout, relative.stderr) == (b"in\n", b"")
    for word in ["/data", "/data:", ":/data", "/data:data", f"{shown}:/data:rw"]:
        assert b"--host-directory" in home.run("run", "-v", word, "--", "true").stderr, word
    assert b"No such file" in home.run("run", "-v", "none/such:/data", "--", "true", cwd=home.base).stderr


def test_a_refused_quantity_is_an_error_not_a_crash(home, nothing_left):
    result = home.run("run", "--memory", "lots", "--", "true")
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: ")
    assert b"lots" in result.stderr


def test_a_memory_limit_is_enforced(root_home):
    hog = "x = bytearray(400 << 20)\nprint(len(x))"
    result = root_home.run("run", "--memory", "64Mi", "--cpu", "1", "--", "python", "-c", hog)
    assert result.returncode in (1, 137), result.stderr
    assert b"419430400" not in result.stdout


def test_keep_leaves_the_sandbox_and_says_so(home):
    result = home.run("run", "--keep", "--tag", "kept", "--", "sh", "-c", "echo x > /tmp/f; exit 3")
    assert result.returncode == 3
    sandbox_id = result.stderr.decode().split()[1]
    assert sandbox_id in home.ids()
    assert home.run("exec", sandbox_id, "cat", "/tmp/f").stdout == b"x\n"
    assert home.run("stop", sandbox_id).returncode == 0


@pytest.mark.parametrize("words", [["--keep"], ["-d", "--", "sleep", "1000"]], ids=" ".join)
def test_a_sandbox_whose_id_cannot_be_told_is_not_kept(home, nothing_left, words):
    with open("/dev/full", "w") as full:
        result = home.run("run", *words, stdout=full)
    assert result.returncode == 1
    assert result.stderr == b"Error: write to stdout: No space left on device\n"


def test_detach_makes_the_command_the_main_process(home):
    sandbox_id = home.run("run", "-d", "--", "sh", "-c", "echo main; exec sleep 1000").stdout.decode().strip()
    assert sandbox_id in home.ids()
    assert home.run("logs", sandbox_id).stdout == b"main\n"
    assert home.run("delete", sandbox_id).returncode == 0


def test_a_lifetime_ends_the_sandbox(ordinary_home):
    result = ordinary_home.run("run", "--max-lifetime", "1", "--", "sleep", "1000")
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: ")


def test_signals_have_their_defaults_inside(home, nothing_left):
    # The program ignores SIGPIPE and blocks others; neither may be inherited by way of the service it starts.
    result = home.run("run", "--", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
    blocked, ignored = (int(line.split()[1], 16) for line in result.stdout.decode().splitlines())
    internal = 1 << 31 | 1 << 32  # 32 and 33, which posix_spawn of glibc leaves ignored and nobody can use
    assert (blocked, ignored & ~internal) == (0, 0), result.stdout


def test_an_unreachable_service_is_an_error(home):
    result = home.run("run", "--", "true", env={"CWSANDBOX_BASE_URL": "unix:///nonexistent/service.sock"})
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: ")


def test_a_bad_url_is_an_error(home):
    result = home.run("ls", env={"CWSANDBOX_BASE_URL": "ftp://x"})
    assert result.returncode == 1
    assert b"CWSANDBOX_BASE_URL: URL must use http or https" in result.stderr


def test_tty_without_a_terminal_is_an_error(home):
    result = home.run("run", "-t", "--", "true")
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: --tty needs a terminal")


def test_a_terminal_with_run(home, nothing_left):
    with home.terminal("run", "-it", "--", "sh", "-c", "tty; stty size; read x; echo got:$x") as terminal:
        seen = terminal.read_until("24 80\r\n")
        assert "/dev/pts/" in seen
        terminal.type("word\r")
        terminal.read_until("got:word")
        assert terminal.wait() == 0
        assert terminal.settings() == terminal.before
