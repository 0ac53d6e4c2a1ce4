"""What tests of images share: sandboxes of them, and the store of the embedded service."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from cwsandbox import Image, Sandbox, SandboxFailedError


def sh(sandbox: Sandbox, script: str) -> str:
    result = sandbox.exec(["/bin/sh", "-c", script]).result()
    assert result.returncode == 0, result.stderr
    return result.stdout


def of_image(reference: str | Image, *words: str, **more: object) -> Sandbox:
    """A running one."""
    sandbox = Sandbox.run(*words, container_image=reference, **more)
    try:
        return sandbox.wait()
    except SandboxFailedError as error:
        skip_without_idmaps(error)
        raise


def skip_without_idmaps(error: Exception) -> None:
    if "mount layers: Operation not supported" in str(error):
        pytest.skip("the file system of the store has no idmapped mounts here")


def image(*words: object, **more: object) -> subprocess.CompletedProcess:
    program = Path(os.environ["CWS_STAGE"]) / "bin" / "cwsandbox"
    return subprocess.run([program, "image", *words], timeout=60, capture_output=True, text=True, **more)


def inspect(reference: str) -> dict:
    return json.loads(image("inspect", reference, check=True).stdout)
