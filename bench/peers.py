"""The peers installed on this machine: how each runs `/bin/echo hello` in a fresh sandbox, and in a running one.

Every peer is a command line tool, so its figures include its own process start; that is how it is used. A peer that is
missing or does not work here is reported with its reason, never dropped silently.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ECHO = ["/bin/echo", "hello"]


@dataclass
class Peer:
    name: str
    note: str
    fresh: list[str] | Callable[[], list[str]] | None = None
    running: list[str] | None = None
    close: list[list[str]] = field(default_factory=list)
    missing: str = ""


def quiet(cmd: list[str], timeout: float = 60.0) -> subprocess.CompletedProcess:
    return subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)


def works(cmd: list[str]) -> str:
    """Empty if the command prints hello; otherwise why not."""
    try:
        done = quiet(cmd)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0 and done.stdout.strip() == "hello":
        return ""
    lines = (done.stderr or done.stdout or f"exit {done.returncode}").strip().splitlines()
    return lines[-1] if lines else f"exit {done.returncode}"


def bare() -> Peer:
    return Peer("bare spawn", "vfork + exec of the program itself, no sandbox", fresh=ECHO, running=ECHO)


def bwrap() -> Peer:
    if not shutil.which("bwrap"):
        return Peer("bwrap", "", missing="not installed")
    cmd = ["bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64",
           "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *ECHO]
    return Peer("bwrap", "all namespaces; no cgroup limits, no seccomp, no overlay", fresh=cmd, missing=works(cmd))


def rootfs(base: Path) -> Path:
    """A root directory for the OCI runtimes: the machine's /usr, bind mounted by their configuration."""
    root = base / "rootfs"
    for d in ("usr", "proc", "dev", "sys", "tmp", "etc"):
        (root / d).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        if not (root / link).is_symlink():
            (root / link).symlink_to(f"usr/{link}")
    return root


def oci_bundle(base: Path, tool: str, args: list[str], cgroups: bool) -> Path:
    bundle = base / f"{tool}-{args[0].strip('/').replace('/', '-')}"
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / "config.json").unlink(missing_ok=True)
    subprocess.run([tool, "spec"], cwd=bundle, check=True, capture_output=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"]["terminal"] = False
    spec["process"]["args"] = args
    spec["root"] = {"path": str(rootfs(base)), "readonly": True}
    spec["mounts"].append({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]})
    if cgroups:
        spec["linux"]["resources"] = {"memory": {"limit": 268435456}, "pids": {"limit": 256}}
    else:
        spec["linux"].pop("resources", None)
        spec["mounts"] = [m for m in spec["mounts"] if m["type"] != "cgroup"]
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "cgroup"]
    (bundle / "config.json").write_text(json.dumps(spec))
    return bundle


def oci(tool: str, base: Path) -> Peer:
    if not shutil.which(tool):
        return Peer(tool, "", missing="not installed")
    reason = ""
    for cgroups, options in ((True, []), (False, ["--cgroup-manager=disabled"] if tool == "crun" else [])):
        bundle = oci_bundle(base, tool, ECHO, cgroups)
        root = base / f"{tool}-state"

        def fresh(bundle=bundle, options=options, root=root) -> list[str]:
            return [tool, f"--root={root}", *options, "run", "--bundle", str(bundle), f"bench-{os.urandom(4).hex()}"]

        reason = works(fresh())
        if not reason:
            sleeper = oci_bundle(base, tool, ["/bin/sleep", "infinity"], cgroups)
            name = f"bench-sleeper-{os.getpid()}"
            started = subprocess.run([tool, f"--root={root}", *options, "run", "--detach", "--bundle", str(sleeper), name],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            running = [tool, f"--root={root}", *options, "exec", name, *ECHO] if started.returncode == 0 else None
            close = [[tool, f"--root={root}", *options, "delete", "--force", name]]
            return Peer(tool, "OCI runtime, v1 memory and pids limits" if cgroups else "OCI runtime, cgroups off",
                        fresh=fresh, running=running, close=close)
    return Peer(tool, "", missing=reason)


def podman(base: Path) -> Peer:
    if not shutil.which("podman"):
        return Peer("podman", "", missing="not installed")
    common = ["podman", f"--root={base}/podman-root", f"--runroot={base}/podman-run", "--cgroup-manager=cgroupfs"]
    # podman asks for more descriptors than a machine without CAP_SYS_RESOURCE may give
    options = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--network=none", "-v", "/usr:/usr:ro", "--rootfs", f"{rootfs(base)}:O"]
    reason = ""
    for runtime in ("crun", "runc"):
        if not shutil.which(runtime):
            continue
        cmd = [*common, f"--runtime={shutil.which(runtime)}", "run", "--rm", *options, *ECHO]
        reason = works(cmd)
        if not reason:
            return Peer("podman", f"run --rootfs with {runtime}, no network", fresh=cmd)
    return Peer("podman", "", missing=reason or "no runtime")


def docker() -> Peer:
    if not shutil.which("docker"):
        return Peer("docker", "", missing="not installed")
    done = quiet(["docker", "info", "--format", "{{.ServerVersion}}"])
    if done.returncode:
        return Peer("docker", "", missing="no Docker engine answers on this machine")
    cmd = ["docker", "run", "--rm", "--network=none", "busybox", "echo", "hello"]
    return Peer("docker", "run --rm busybox", fresh=cmd, missing=works(cmd))


def runsc() -> Peer:
    if not shutil.which("runsc"):
        return Peer("runsc", "", missing="not installed")
    cmd = ["runsc", "--rootless", "--network=none", "do", *ECHO]
    return Peer("runsc", "gVisor `do`: stronger isolation, not like for like", fresh=cmd, missing=works(cmd))


@contextlib.contextmanager
def controllers_parked() -> Iterator[None]:
    """crun refuses a hybrid host whose v2 tree has controllers. Mounting them as v1 takes them out for as long as the mount
    lasts; unmounting gives them back (limits.md A). Without root, or on a pure v2 host, nothing is done."""
    controllers = Path("/sys/fs/cgroup/unified/cgroup.controllers")
    names = controllers.read_text().split() if controllers.exists() and os.geteuid() == 0 else []
    mounted = []
    try:
        for name in names:
            directory = tempfile.mkdtemp(prefix=f"cwsandbox-bench-{name}-")
            if quiet(["mount", "-t", "cgroup", "-o", name, "none", directory]).returncode == 0:
                mounted.append(directory)
            else:
                os.rmdir(directory)
        yield
    finally:
        for directory in mounted:
            quiet(["umount", directory])
            os.rmdir(directory)


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A directory for the peers' state; what they leave mounted there (podman does) is unmounted."""
    base = Path(tempfile.mkdtemp(prefix="cwsandbox-bench-"))
    try:
        yield base
    finally:
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{base}/")), reverse=True):
            quiet(["umount", mount])
        shutil.rmtree(base, ignore_errors=True)


def find(base: Path) -> list[Peer]:
    return [bare(), bwrap(), oci("crun", base), oci("runc", base), podman(base), runsc(), docker()]
