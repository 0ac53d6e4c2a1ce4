"""The published Python clients, unmodified, against this service over http with an API key."""

import os
import subprocess

import pytest

from environments import NEWEST, OLDEST, WANDB, published as environment_of
from service import KEY, WANDB_KEY, Service, clean_env

EXPECTED = ["create", "exec", "stream", "stdin", "python", "files", "big-files", "timeout", "shell", "list", "stop",
            "ended", "complete", "not-found", "many"]
EXPECTED_OF_NEWEST = ["unnamed", "copy", "entry-point", "isolation", "not-built", "network", "list", "targets", "data-plane", "volumes",
                      "file", "runners", "snapshots", "failed", "auth", "stop"]
# Of the newest: the body of a protocol, and what its streams call themselves when something breaks
NOT_CALLED = {"AuthProvider.resolve_auth", "StreamWriter.set_exception"}
HERE = os.path.dirname(os.path.abspath(__file__))


def run_isolated(python, program, env):
    """Isolated (-I): a PYTHONPATH may lead to our own package."""
    done = subprocess.run([python, "-I", os.path.join(HERE, program)], env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


@pytest.fixture
def published():
    """Runs a program of this directory with a version of the client."""
    def run(version, program, service):
        try:
            python = str(environment_of(f"published-{version}"))
        except subprocess.CalledProcessError:
            pytest.skip(f"the package registry does not give cwsandbox=={version}")
        env = clean_env(service.dir, CWSANDBOX_API_KEY=KEY, CWSANDBOX_BASE_URL=f"http://{service.tcp}")
        found = subprocess.run([python, "-I", "-c", "import cwsandbox; print(cwsandbox.__version__)"], env=env,
                               capture_output=True, text=True, timeout=60, check=True)
        assert found.stdout.strip() == version, "another package is imported"
        return run_isolated(python, program, env)

    return run


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_what_every_published_client_can_do(service, published, version):
    assert published(version, "published_program.py", service) == EXPECTED


def test_what_the_newest_client_has_more(service, published):
    assert published(NEWEST, "published_newest.py", service) == EXPECTED_OF_NEWEST


def test_the_urls_of_the_newest_client_are_visited(published, front_args):
    with Service(args=front_args) as service:
        assert published(NEWEST, "published_web.py", service) == ["open", "token", "private", "runner", "address", "after"]


def test_everything_public_of_the_newest_client_is_called(service, published):
    assert set(published(NEWEST, "published_every_call.py", service)) <= NOT_CALLED


def test_a_create_of_the_newest_client_waits_for_a_place(own_service, published):
    service = own_service(args=["--max-sandboxes", "1"])
    assert published(NEWEST, "published_full.py", service) == ["refused", "waited"]


def test_the_newest_client_with_its_own_wandb_login(own_service):
    """No call to anybody but the service: the login is a variable, and the service has a static map."""
    try:
        python = str(environment_of("published-wandb"))
    except subprocess.CalledProcessError:
        pytest.skip(f"the package registry does not give {WANDB}")
    service = own_service(args=["--accept-wandb-keys"])
    env = clean_env(service.dir, WANDB_API_KEY=WANDB_KEY, HOME=str(service.dir), CWSANDBOX_BASE_URL=f"http://{service.tcp}")
    assert run_isolated(python, "published_wandb.py", env) == ["strategy", "team", "session"]
    assert "owner=carol" in service.log() and WANDB_KEY not in service.log()
