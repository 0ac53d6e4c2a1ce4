"""A sandbox of an image that `cwsandbox image import` brought into the store of the embedded service."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cwsandbox import Sandbox, SandboxFailedError

BUSYBOX = "/bin/busybox"  # Debian's busybox-static: one program without libraries


@pytest.mark.skipif("CWS_STAGE" not in os.environ, reason="no installed cwsandbox-image")
@pytest.mark.skipif(not os.access(BUSYBOX, os.X_OK), reason="no busybox-static")
def test_an_image_of_the_store(tmp_path):
    (tmp_path / "root" / "bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, tmp_path / "root" / "bin" / "busybox")
    (tmp_path / "root" / "bin" / "sh").symlink_to("busybox")
    with pytest.raises(SandboxFailedError, match="ErrImagePull: image `127.0.0.1:1/none:1`"):
        Sandbox.run(container_image="127.0.0.1:1/none:1").wait()
    program = Path(os.environ["CWS_STAGE"]) / "bin" / "cwsandbox"
    subprocess.run([program, "image", "import", tmp_path / "root", "cws-test/python:1"], check=True, timeout=60)
    with Sandbox.run(container_image="cws-test/python:1", environment_variables={"A": "given"}, working_dir="/bin") as sandbox:
        try:
            sandbox.wait()
        except SandboxFailedError as error:
            if "mount layers: Operation not supported" in str(error):
                pytest.skip("the file system of the store has no idmapped mounts here")
            raise
        result = sandbox.exec(["/bin/sh", "-c", "echo $A; pwd; echo *"]).result()
        assert (result.returncode, result.stdout) == (0, "given\n/bin\nbusybox sh\n")
        sandbox.write_file("/new", b"written").result()
        assert sandbox.read_file("/new").result() == b"written"
