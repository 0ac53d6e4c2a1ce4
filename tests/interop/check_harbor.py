"""`harbor run -e cwsandbox -a oracle`, Harbor unmodified from the registry: ten tasks, with the published client and with our package.

Not part of `make check`, because Harbor's environment is 200 packages: `make check-harbor`.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import BUILD, REPO
from harbor_tasks import TASKS, write_tasks
from making import DIRECTORY, Layout, tar_of
from registry import real_registries
from service import KEY, Service, clean_env

HARBOR, CLIENT = "harbor[cwsandbox]==0.26.0", "cwsandbox==1.22.0"
BUSYBOX, BASH, GETENT = "/bin/busybox", "/bin/bash", "/usr/bin/getent"
PROGRAM = BUILD / "src/image/cwsandbox-image"
LIMIT = 600  # seconds


def find_python() -> str:
    """Harbor needs 3.12."""
    for path in [shutil.which("python3.12"), *sorted(Path.home().glob(".pyenv/versions/3.12.*/bin/python3"))]:
        if path:
            return str(path)
    pytest.skip("no Python 3.12")


@pytest.fixture(scope="session")
def harbor() -> Path:
    """The directory of its environment."""
    root = BUILD / "interop" / "harbor"
    stamp = root / "complete"
    if not stamp.exists() or stamp.read_text() != HARBOR:
        subprocess.run([find_python(), "-m", "venv", root], check=True)
        subprocess.run([root / "bin" / "python", "-I", "-m", "pip", "install", "-q", HARBOR, CLIENT], check=True)
        stamp.write_text(HARBOR)
    return root


@pytest.fixture(scope="session")
def ours(harbor, tmp_path_factory) -> Path:
    """A directory that has our package for the same Python, to be found before the published one."""
    target = tmp_path_factory.mktemp("ours")
    subprocess.run([harbor / "bin" / "python", "-I", "-m", "pip", "install", "-q", "--no-deps", "--target", target, REPO], check=True)
    return target


def libraries(*programs: str) -> dict[str, bytes]:
    """What the loader finds for them, by path."""
    said = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True).stdout
    paths = {word for word in said.split() if word.startswith("/") and not word.endswith(":")}
    return {path: Path(path).read_bytes() for path in paths}


def rootfs() -> bytes:
    """bash and getent with their libraries; all else is busybox. Two users."""
    files = {BASH: Path(BASH).read_bytes(), GETENT: Path(GETENT).read_bytes(), BUSYBOX: Path(BUSYBOX).read_bytes(),
             **libraries(BASH, GETENT)}
    parents = {str(parent)[1:] for path in files for parent in Path(path).parents if str(parent) != "/"}
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    users = b"root:x:0:0::/root:/bin/bash\napp:x:1000:1000::/home/app:/bin/bash\n"
    return tar_of(*[(name, DIRECTORY, {"mode": 0o755}) for name in sorted(parents | {"bin", "etc", "home", "root"})],
                  ("home/app", DIRECTORY, {"mode": 0o755, "uid": 1000, "gid": 1000}), ("work", DIRECTORY, {"mode": 0o777}),
                  *[(path[1:], data, {"mode": 0o755}) for path, data in files.items()],
                  *[(f"bin/{name}", (b"2", "busybox")) for name in applets if name not in ("bash", "busybox", "getent")],
                  ("etc/passwd", users), ("etc/group", b"root:x:0:\napp:x:1000:\n"), ("etc/shells", b"/bin/bash\n"),
                  ("etc/nsswitch.conf", b"passwd: files\ngroup: files\n"), ("tmp", DIRECTORY, {"mode": 0o1777}))


@pytest.fixture(scope="module", params=["memory", "disk"])
def world(request, tmp_path_factory):
    """A service, and the tasks with an image that it has to pull."""
    with real_registries() as start:
        registry, layout = start(), Layout()
        registry.push("harbor/base", "1", layout, layout.image([rootfs()], WorkingDir="/work"))
        tasks = tmp_path_factory.mktemp("tasks")
        write_tasks(tasks, f"{registry.host}/harbor/base:1")
        args = ["--image-path", str(PROGRAM), "--image-pull", "missing", "--image-private-registries", "--root-backing", request.param]
        with Service(args=args) as service:
            yield service, tasks


@pytest.mark.skipif(os.geteuid() != 0, reason="one user is all that an ordinary user's sandboxes have")
@pytest.mark.parametrize("package", ["published", "ours"])
def test_ten_tasks_have_their_reward(world, harbor, package, tmp_path, request):
    service, tasks = world
    path = str(request.getfixturevalue("ours")) if package == "ours" else ""
    env = clean_env(service.dir, HOME=str(tmp_path), HARBOR_TELEMETRY="0", CWSANDBOX_API_KEY=KEY,
                    CWSANDBOX_BASE_URL=f"http://{service.tcp}", PYTHONPATH=path)
    found = subprocess.run([harbor / "bin" / "python", "-c", "import cwsandbox; print(cwsandbox.__version__)"], env=env, check=True,
                           capture_output=True, text=True).stdout
    assert ("+self" in found) == (package == "ours"), found
    done = subprocess.run([harbor / "bin" / "harbor", "run", "-e", "cwsandbox", "-a", "oracle", "-p", tasks, "-o", tmp_path / "jobs",
                           "--job-name", "j", "-y", "-q"], env=env, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    rewards, errors = {}, {}
    for path in (tmp_path / "jobs" / "j").glob("*/result.json"):
        result = json.loads(path.read_text())
        name = path.parent.name.rsplit("__", 1)[0]
        rewards[name] = ((result.get("verifier_result") or {}).get("rewards") or {}).get("reward")
        errors[name] = (result.get("exception_info") or {}).get("exception_type")
    assert rewards == dict.fromkeys(TASKS, 1.0), (rewards, errors)
    assert {name: error for name, error in errors.items() if error} == {"time-out": "AgentTimeoutError"}
    (tree,) = (tmp_path / "jobs" / "j").glob("trees__*/artifacts")
    assert [path.read_text() for path in tree.rglob("said")] == ["ran\n"]
