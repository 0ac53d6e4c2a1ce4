"""Completion as the shells do it: bash, zsh and fish are the real ones, the scripts are those that are installed."""

import os
import pty
import re
import shutil
import subprocess

import pytest

from conftest import Expect, stage

BASH = stage() / "share" / "bash-completion" / "completions" / "cwsandbox"
ZSH = stage() / "share" / "zsh" / "site-functions" / "_cwsandbox"
FISH = stage() / "share" / "fish" / "vendor_completions.d" / "cwsandbox.fish"


def need(shell):
    return pytest.mark.skipif(not shutil.which(shell), reason=f"{shell} is not installed")


def answers(home, *words):
    """What the program answers for these words, the last of which is not finished: {candidate: description}."""
    result = home.run("__complete", *words)
    assert (result.returncode, result.stderr) == (0, b"")
    lines = [line.partition("\t") for line in result.stdout.decode().splitlines()]
    return {word: text for word, _, text in lines}


# ---- the program's answers ----

def test_every_verb_is_offered_and_nothing_hidden(ordinary_home):
    found = answers(ordinary_home, "")
    helped = re.findall(r"^  ([a-z]+)(?: [a-z]+)?  ", ordinary_home.run("--help").stdout.decode(), re.M)
    assert list(found) == list(dict.fromkeys(helped))
    assert found["exec"].startswith("Run a command")
    assert list(answers(ordinary_home, "files", "")) == ["read", "write", "ls", "stat", "mkdir", "rm", "mv"]
    assert list(answers(ordinary_home, "help", "files", "w")) == ["write"]
    assert list(answers(ordinary_home, "--")) == ["--auth", "--version", "--help"]


@pytest.mark.parametrize("verb", ["run", "exec", "sh", "ls", "get", "logs", "cp", "files read", "files write", "files ls", "files stat",
                                  "files mkdir", "files rm", "files mv", "forward", "snapshots create",
                                  "snapshots get", "snapshots list", "snapshots delete", "image pull", "image import", "image export", "image commit", "image ls",
                                  "image inspect", "image rm", "image prune", "stop", "delete",
                                  "doctor", "completion", "version"])
def test_the_options_offered_are_those_of_the_help(ordinary_home, verb):
    helped = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", ordinary_home.run(*verb.split(), "--help").stdout.decode(), re.M)
    assert list(answers(ordinary_home, *verb.split(), "--")) == helped


# (words, what is offered for the last one)
POSITIONS = [
    (["ls", "-o", ""], ["table", "json", "wide"]),
    (["ls", "-oj"], []),
    (["ls", "--output", "j"], ["json"]),
    (["ls", "--output=j"], ["--output=json"]),
    (["ls", "--output=json", "--st"], ["--status"]),
    (["ls", "--status", "run"], ["running"]),
    (["ls", "--tag", "--st"], []),  # the value of --tag
    (["exec", "--", "-"], []),
    (["exec", "id", "ls", "--"], []),  # the command's own
    (["run", "--", "--"], []),
    (["run", "-it", "--me"], ["--memory"]),
    (["run", "--env", "A=b", "--me"], ["--memory"]),
    (["run", "-eA", "--me"], ["--memory"]),
    (["files", "write", "id", "/x", ""], [":files"]),
    (["files", "read", "id", "/x", "--output="], [":files"]),
    (["run", "--file", "/et"], [":files"]),
    (["snapshots", ""], ["create", "get", "list", "delete"]),
    (["snapshots", "create", "--no-wait", "--req"], ["--request-id"]),
    (["snapshots", "list", "--status", ""], ["creating", "ready", "failed", "deleting"]),
    (["completion", ""], ["bash", "zsh", "fish"]),
    (["serve", "--"], []),
    (["no-such-verb", ""], []),
    (["__complete", "l"], []),
]


@pytest.mark.parametrize("words,offered", POSITIONS, ids=[" ".join(words) for words, _ in POSITIONS])
def test_the_place_decides(ordinary_home, words, offered):
    assert list(answers(ordinary_home, *words)) == offered


def test_sandboxes_are_offered_by_id(home, sandbox):
    assert answers(home, "exec", "")[sandbox] == "running"
    assert list(answers(home, "exec", "--cwd", "/tmp", sandbox[:-1])) == [sandbox]
    assert answers(home, "stop", "no-such-beginning") == {}


def test_an_unreachable_service_is_an_empty_answer(home):
    result = home.run("__complete", "exec", "", env={"CWSANDBOX_BASE_URL": "unix:///nonexistent/service.sock"})
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


@pytest.mark.parametrize("shell,path", [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_the_installed_script_is_what_the_program_prints(ordinary_home, shell, path):
    assert ordinary_home.run("completion", shell).stdout == path.read_bytes()


def test_an_unknown_shell_is_a_mistake(ordinary_home):
    result = ordinary_home.run("completion", "csh")
    assert result.returncode == 2
    assert b"'csh'" in result.stderr


# ---- bash ----

def bash_completes(home, line):
    """COMPREPLY for a line, cut into words as bash does."""
    words = [word for part in re.split(r"[ ]+", line) for word in re.findall(r"[=:]|[^=:]+", part) or [""]]
    script = (f'source "{BASH}"; compopt() {{ echo "compopt $*"; }}; COMP_LINE=$1; COMP_POINT=${{#1}}; shift; '
              'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cwsandbox "$1"; printf "%s\\n" "${COMPREPLY[@]}"')
    result = subprocess.run(["bash", "--norc", "-c", script, "bash", line, *words], env=with_program(home), text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, **home.identity())
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.split("\n")[:-1]


def with_program(home):
    return {**home.env, "PATH": f"{home.programs / 'bin'}:{home.env['PATH']}"}


def test_bash_knows_how_to_complete_the_program():
    script = f'source "{BASH}" && complete -p cwsandbox'
    result = subprocess.run(["bash", "--norc", "-c", script], stdout=subprocess.PIPE, text=True, timeout=30)
    assert (result.returncode, result.stdout) == (0, "complete -F _cwsandbox cwsandbox\n")


BASH_LINES = [
    ("cwsandbox ex", ["exec"]),
    ("cwsandbox files ", ["read", "write", "ls", "stat", "mkdir", "rm", "mv"]),
    ("cwsandbox ls --st", ["--status"]),
    ("cwsandbox   ls   -o  j", ["json"]),
    ("cwsandbox ls --output=j", ["json"]),  # bash replaces what is behind the = only
    ("cwsandbox ls --output=", ["table", "json", "wide"]),
    ("cwsandbox run --env A=b:c --mem", ["--memory"]),
    ("cwsandbox run python:3.11 --mem", ["--memory"]),
    ("cwsandbox files write id /x /e", ["compopt -o default", ""]),
    ("cwsandbox exec id ls --", [""]),
]


@pytest.mark.parametrize("line,reply", BASH_LINES, ids=[line for line, _ in BASH_LINES])
def test_bash_completes_a_line(ordinary_home, line, reply):
    assert bash_completes(ordinary_home, line) == reply


def typed(home, argv, prompt, lines):
    """A shell on a terminal: types each text and waits for what must show."""
    pid, fd = pty.fork()
    if pid == 0:
        if home.uid != os.getuid():
            os.setgid(home.uid), os.setuid(home.uid)
        os.execvpe(argv[0], argv, with_program(home))
    try:
        output = Expect(fd)
        output.until(prompt)
        for text, shown in lines:
            os.write(fd, text.encode())
            output.until(shown.encode())
    finally:
        os.close(fd)  # SIGHUP ends the shell
        os.waitpid(pid, 0)


def test_bash_completes_on_a_terminal(ordinary_home):
    (ordinary_home.base / "unique-name.txt").write_text("x")
    file = f"{ordinary_home.base}/unique-n"
    typed(ordinary_home, ["bash", "--norc", "--noprofile", "-i"], b"$ ", [
        (f"PS1=re''ady; source '{BASH}'\n", "ready"),
        ("cwsandbox vers\t", "version "),
        ("\x15cwsandbox ls --output=js\t", "--output=json "),
        (f"\x15cwsandbox files write id /x {file}\t", "unique-name.txt"),
    ])


# ---- zsh and fish ----

@need("zsh")
def test_zsh_accepts_the_script():
    result = subprocess.run(["zsh", "-n", str(ZSH)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    assert (result.returncode, result.stdout) == (0, b"")


@need("zsh")
def test_zsh_completes_on_a_terminal(ordinary_home):
    (ordinary_home.base / "unique-name.txt").write_text("x")
    file = f"{ordinary_home.base}/unique-n"
    typed(ordinary_home, ["zsh", "-f", "-i"], b"% ", [
        (f"PS1=re''ady; fpath=('{ZSH.parent}' $fpath); autoload -U compinit; compinit -u -D\n", "ready"),
        ("cwsandbox vers\t", "version"),
        ("\x15cwsandbox ls --output=js\t", "--output=json"),
        (f"\x15cwsandbox files read id /x --output={file}\t", "unique-name.txt"),
    ])


def fish_completes(home, line):
    result = subprocess.run(["fish", "--no-config", "-c", f'source "{FISH}"; complete -C "$argv[1]"', line],
                            env=with_program(home), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30,
                            **home.identity())
    assert (result.returncode, result.stderr) == (0, "")
    return [candidate.split("\t")[0] for candidate in result.stdout.splitlines()]


@need("fish")
def test_fish_accepts_the_script():
    result = subprocess.run(["fish", "--no-config", "-n", str(FISH)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    assert (result.returncode, result.stdout) == (0, b"")


@need("fish")
@pytest.mark.parametrize("line,reply", [
    ("cwsandbox ex", ["exec"]),
    ("cwsandbox files ", ["ls", "mkdir", "mv", "read", "rm", "stat", "write"]),
    ("cwsandbox ls --st", ["--status"]),
    ("cwsandbox ls --output=j", ["--output=json"]),
    ("cwsandbox exec id ls --", []),
])
def test_fish_completes_a_line(ordinary_home, line, reply):
    assert fish_completes(ordinary_home, line) == reply


@need("fish")
def test_fish_completes_files(ordinary_home):
    (ordinary_home.base / "unique-name.txt").write_text("x")
    file = f"{ordinary_home.base}/unique-n"
    assert fish_completes(ordinary_home, f"cwsandbox files write id /x {file}") == [f"{file}ame.txt"]
    assert fish_completes(ordinary_home, f"cwsandbox files read id /x --output={file}") == [f"--output={file}ame.txt"]
