"""An exec as another user of the sandbox: what it has, what it may do, and who is refused."""

from __future__ import annotations

import os

import cwsandbox
import pytest
from conftest import SECONDS, Service

PASSWD = b"root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"


def box_of(as_user: bool):
    service = Service(as_user)
    with service.sandbox() as sandbox:
        sandbox.write_file("/etc/passwd", PASSWD).result(SECONDS)
        yield sandbox
    service.stop()


@pytest.fixture(scope="module")
def root_box():
    if os.geteuid() != 0:
        pytest.skip("a sandbox of an ordinary user's service has only root")
    yield from box_of(as_user=False)


@pytest.fixture
def only_root_box():
    yield from box_of(as_user=True)


def status_of(box, **kwargs) -> dict[str, str]:
    text = box.exec(["cat", "/proc/self/status"], **kwargs).result(SECONDS).stdout
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def test_nothing_of_root_is_left(root_box):
    status, roots = status_of(root_box, user="ann"), status_of(root_box)
    assert status["Uid"].split() == status["Gid"].split() == ["1000"] * 4
    assert status["Groups"] == ""  # init's were dropped, and /etc/group names none
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
    assert status["CapBnd"] == roots["CapBnd"]
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Seccomp_filters"] == roots["Seccomp_filters"]


def test_root_in_another_group_keeps_its_place(root_box):
    status = status_of(root_box, user="0:1000")
    assert (status["Uid"].split()[0], status["Gid"].split()[0], status["Groups"]) == ("0", "1000", "")
    assert status["CapBnd"] == status_of(root_box)["CapBnd"]


def test_no_descriptor_of_init_comes_along(root_box):
    result = root_box.exec(["python3", "-c", "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"], user="ann").result(SECONDS)
    assert result.stdout == "[0, 1, 2]\n", result.stderr


def test_the_way_back_is_closed(root_box):
    root_box.exec(["sh", "-c", "cp /usr/bin/python3 /tmp/rooted; chmod 4755 /tmp/rooted"], check=True).result(SECONDS)
    asked = "import os\nfor call in (os.setuid, os.setgid, lambda n: os.setgroups([n])):\n try: call(0)\n except OSError as e: print(e.errno)\nprint(os.geteuid())"
    assert root_box.exec(["/tmp/rooted", "-c", asked], user="ann").result(SECONDS).stdout.split() == ["1", "1", "1", "1000"]
    denied = ["cat /proc/1/environ", "ls /root/secret", "kill -0 1", "touch /etc/new", "head -c1 /proc/1/mem"]
    root_box.exec(["sh", "-c", "mkdir -p /root/secret; chmod 700 /root"], check=True).result(SECONDS)
    for words in denied:
        assert root_box.exec(["sh", "-c", words], user="ann").result(SECONDS).returncode != 0, words


def test_calls_that_root_must_not_make_are_still_refused(root_box):
    result = root_box.exec(["unshare", "-U", "true"], user="ann").result(SECONDS)
    assert result.returncode != 0 and "unshare failed" in result.stderr


def test_it_is_killed_with_its_tree_and_under_the_limits(root_box):
    with pytest.raises(cwsandbox.SandboxTimeoutError):
        root_box.exec(["sh", "-c", "setsid sleep 4545 & exec sleep 4545"], user="ann", timeout_seconds=0.5).result(SECONDS)
    assert root_box.exec(["pgrep", "-f", "sleep 454[5]"]).result(SECONDS).returncode == 1


def test_an_ordinary_users_service_has_only_root(only_root_box):
    for user in ("ann", "1", "0:5"):
        with pytest.raises(cwsandbox.SandboxValidationError, match="has only root"):
            only_root_box.exec(["touch", "/tmp/ran"], user=user).result(SECONDS)
    assert only_root_box.exec(["test", "-e", "/tmp/ran"]).result(SECONDS).returncode == 1
    for user in ("root", "0", "0:0"):
        assert only_root_box.exec(["id", "-u"], user=user).result(SECONDS).stdout == "0\n"
