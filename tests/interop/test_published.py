"""The published Python client, unmodified, against this service over http with an API key."""

import os
import subprocess

import pytest

from service import KEY, clean_env

VERSION = "1.6.0"
EXPECTED = ["create", "exec", "stream", "stdin", "python", "files", "big-files", "timeout", "shell", "list", "stop",
            "ended", "complete", "not-found", "many"]
HERE = os.path.dirname(os.path.abspath(__file__))


def client_env(service):
    return clean_env(service.dir, CWSANDBOX_API_KEY=KEY, CWSANDBOX_BASE_URL=f"http://{service.tcp}")


def test_the_published_python_client(service, venv_factory):
    try:
        venv = venv_factory("published", [f"cwsandbox=={VERSION}"])
    except subprocess.CalledProcessError:
        pytest.skip(f"the package registry does not give cwsandbox=={VERSION}")
    run = subprocess.run([str(venv / "bin" / "python"), os.path.join(HERE, "published_program.py")],
                         env=client_env(service), capture_output=True, text=True, timeout=180)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.split() == EXPECTED
