"""exec(user=, cwd=): what travels beside the message to our own service."""

from __future__ import annotations

import os

import pytest
from cwsandbox import Sandbox, SandboxValidationError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a sandbox of an ordinary user's service has only root: tests/security")

IDS = ["sh", "-c", "id -u; id -g; id -G; echo $HOME"]


@pytest.fixture(scope="module")
def people(embedded_service):
    with Sandbox.run() as sandbox:
        sandbox.write_file("/etc/passwd", b"root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n7:x:1007:1007::/:/bin/sh\n").result()
        sandbox.write_file("/etc/group", b"root:x:0:\nann:x:1000:\nbuild:x:50:bob,ann\nann-too:x:51:annabel\nwheel:x:60:ann\n").result()
        yield sandbox


@pytest.mark.parametrize(("user", "expected"), [
    ("ann", "1000 1000 1000 50 60 /home/ann"),
    ("1000", "1000 1000 1000 50 60 /home/ann"),
    ("ann:build", "1000 50 50 /home/ann"),
    ("ann:77", "1000 77 77 /home/ann"),
    ("4000", "4000 4000 4000 /"),
    ("4000:4001", "4000 4001 4001 /"),
    ("7", "1007 1007 1007 /"),  # a name wins over the same text as a number
    ("65535:65535", "65535 65535 65535 /"),
    ("root", "0 0 0 /root"),
    ("0:50", "0 50 50 /root"),
])  # fmt: skip
def test_ids_groups_and_home(people, user, expected):
    result = people.exec(IDS, user=user).result()
    assert result.stdout.split() == expected.split(), result.stderr


@pytest.mark.parametrize(("user", "text"), [
    ("bob", "`bob` is not in the sandbox's /etc/passwd"),
    ("ann:nobody", "`ann:nobody` has a group that is not in the sandbox's /etc/group"),
    ("65536", "`65536` is beyond the ids"),
    ("4294967295", "`4294967295` is not in"),
    ("-1", "`-1` is not in"),
])  # fmt: skip
def test_a_user_who_is_not_there_runs_nothing(people, user, text):
    with pytest.raises(SandboxValidationError, match=text) as info:
        people.exec(["touch", "/tmp/ran"], user=user).result()
    assert [v.field for v in info.value.field_violations] == ["user"]
    assert people.exec(["test", "-e", "/tmp/ran"]).result().returncode == 1


@pytest.mark.parametrize("user", ["", ":", "ann:", ":build", "a:b:c", "two words", "tab\t", "ä", "x" * 256])
def test_what_is_no_user_is_refused_at_once(people, user):
    with pytest.raises(ValueError, match="user must be a name or a number, or USER:GROUP"):
        people.exec(["true"], user=user)


def test_a_user_is_a_str(people):
    with pytest.raises(TypeError, match="user must be a str"):
        people.exec(["true"], user=1000)


def test_files_that_lie_do_no_harm(people):
    with Sandbox.run() as sandbox:
        for content in (b"", b":::\n", b"ann\nann:x\nann:x:y:z\n", b"\0" * 100, b"ann:x:1:1" * 40000):
            sandbox.write_file("/etc/passwd", content).result()
            with pytest.raises(SandboxValidationError):
                sandbox.exec(["true"], user="ann").result()
        sandbox.exec(["sh", "-c", "rm /etc/passwd; mkfifo /etc/passwd"], check=True).result()
        with pytest.raises(SandboxValidationError, match="cannot be looked up"):
            sandbox.exec(["true"], user="ann", timeout_seconds=20).result()
        sandbox.exec(["rm", "/etc/passwd", "/etc/group"], check=True).result()
        assert sandbox.exec(["id", "-u"], user="12").result().stdout == "12\n"


def test_own_home_wins(people):
    assert people.exec(["sh", "-c", "echo $HOME"], user="ann", env={"HOME": "/tmp"}).result().stdout == "/tmp\n"


def test_directory_environment_and_input_go_with_it(people):
    result = people.exec(["sh", "-c", "pwd; echo $A; cat; id -un"], user="ann", cwd="/usr/lib", env={"A": "1"}, input="in\n").result()
    assert result.stdout == "/usr/lib\n1\nin\nann\n"


def test_a_directory_costs_no_shell(shared):
    result = shared.exec(["sh", "-c", "pwd; cat /proc/$$/cmdline | tr '\\0' ' '"], cwd="/usr").result()
    assert result.stdout.startswith("/usr\nsh -c pwd")
    assert shared.exec(["readlink", "/proc/self/cwd"], cwd="/tmp/").result().stdout == "/tmp\n"
    shared.exec(["mkdir", "-p", "/tmp/ä 'q\"\n"], check=True).result()
    assert shared.exec(["pwd"], cwd="/tmp/ä 'q\"\n").result().stdout == "/tmp/ä 'q\"\n\n"


def test_a_sandbox_without_a_shell_has_directories(shared):
    with Sandbox.run() as sandbox:
        sandbox.exec(["sh", "-c", "mkdir /tmp/bin; cp /usr/bin/env /tmp/bin/env; rm -f /bin/sh /usr/bin/sh /usr/bin/dash"]).result()
        assert sandbox.exec(["env", "-C", "/", "pwd"], cwd="/usr").result().stdout == "/\n"
        assert sandbox.exec(["pwd"], cwd="/usr").result().stdout == "/usr\n"


def test_a_directory_that_is_not_there(shared):
    result = shared.exec(["pwd"], cwd="/no/such").result()
    assert (result.returncode, result.stderr) == (1, "cd: /no/such: No such file or directory\n")
