"""Machines on which something is mounted below /usr, as every WSL has it."""

import os
from pathlib import Path

import pytest
from conftest import ORDINARY, Home, make_home

COVERED = "/usr/bin/who"


class MountedHome(Home):
    """One whose machine has another file at COVERED."""

    def argv(self, *words: str) -> list[str]:
        other = self.base / "other"
        if not other.exists():
            other.write_text("#!/bin/sh\necho mounted\n")
            other.chmod(0o755)
        script = f'mount --bind {other} {COVERED} && exec setpriv --reuid={self.uid} --regid={self.uid} --clear-groups "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *super().argv(*words)]

    def identity(self) -> dict:
        return {}


@pytest.fixture(params=[0, ORDINARY], ids=["root", "ordinary"])
def mounted(programs, request):
    if os.getuid() != 0:
        pytest.skip("needs root")
    yield from make_home(programs, request.param, MountedHome)


def test_sandboxes_work_beside_what_is_mounted_below_usr(mounted):
    result = mounted.run("run", "--", "sh", "-c", f"{COVERED} >/dev/null; rm {COVERED} 2>/dev/null || echo read-only; touch /tmp/x && echo works")
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode() == ("works\n" if mounted.uid == 0 else "read-only\nworks\n")
    told = "something is mounted below /usr" in mounted.run("doctor").stdout.decode()
    assert told == (mounted.uid != 0)
    assert not Path(COVERED).is_mount()
