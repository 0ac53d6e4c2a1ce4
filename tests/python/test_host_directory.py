"""`HostDirectory` on one's own embedded service."""

from __future__ import annotations

import cwsandbox
import pytest
from cwsandbox import HostDirectory, Sandbox


def test_a_directory_of_the_machine_is_there_and_read_only(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("one\n")
    (tmp_path / "d").chmod(0o755)  # a root's service shows what everybody may read
    (tmp_path / "d" / "f").chmod(0o644)
    with Sandbox.run(volumes=[HostDirectory(tmp_path / "d", mount_path="/data/in"), HostDirectory("/usr/share", "/share/")]) as sandbox:
        assert sandbox.exec(["cat", "/data/in/f"]).result().stdout == "one\n"
        (tmp_path / "d" / "f").write_text("two\n")  # no copy
        assert sandbox.read_file("/data/in/f").result() == b"two\n"
        with pytest.raises(cwsandbox.SandboxFileError):
            sandbox.write_file("/data/in/g", b"").result()
        assert sandbox.exec(["touch", "/data/in/f"]).result().returncode != 0
        assert sandbox.exec(["test", "-d", "/share/doc"]).result().returncode == 0
        assert sandbox.get_status() == cwsandbox.SandboxStatus.RUNNING
    assert (tmp_path / "d" / "f").read_text() == "two\n"


def test_what_is_not_there_is_told_by_name():
    for path, why in {"/none/such": "No such file", "/etc/passwd": "Not a directory"}.items():
        with pytest.raises(cwsandbox.SandboxFailedError, match=f"host directory `{path}`: {why}"):
            Sandbox.run(volumes=[HostDirectory(path, "/data")]).wait().result()


@pytest.mark.parametrize(("path", "mount_path"), [("data", "/data"), ("", "/data"), ("/data", "data"), ("/data", "/"), ("/data", "")])
def test_wrong_paths_are_refused_at_once(path, mount_path):
    with pytest.raises(ValueError, match="absolute path"):
        HostDirectory(path, mount_path)
