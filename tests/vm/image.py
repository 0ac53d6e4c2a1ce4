"""
What the machine of tests/vm is made of: a kernel out of Debian's package, an initramfs that loads the modules its disk
needs, and the disk: an ext4 image with a small userland (copied from this machine), the programs of one build and its
test programs. Nothing is installed here; everything is below one work directory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Loaded by the initramfs, dependencies first; what the kernel has built in has no file and is left out.
MODULES = ["virtio_pci", "virtio_blk", "ext4", "overlay"]
# The tests run these inside and around sandboxes.
PACKAGES = ["bash", "coreutils", "dash", "findutils", "grep", "hostname", "libc-bin", "mount", "perl-base", "sed", "util-linux"]
PROGRAM_DIRS = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/")
PYTHON_LEFT_OUT = ("test", "idlelib", "lib2to3", "ensurepip", "tkinter", "turtledemo", "dist-packages")
ROOT_MIB = 260
SCRATCH_MIB = 64

# The links of a merged /usr, as Debian makes them.
ROOT_LINKS = ("bin", "sbin", "lib", "lib32", "lib64")
ROOT_DIRS = ("dev", "etc", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "var")
ETC = {
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "hostname": "vm\n",
    "machine-id": "",  # systemd makes one
    "hosts": "127.0.0.1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
}


# What the machine with systemd boots for.
GUEST_UNIT = """[Unit]
Requires=basic.target
After=basic.target

[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/usr/libexec/tests/guest-systemd
StandardOutput=file:/dev/console
StandardError=file:/dev/console
"""


def output(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


# ---- kernel ----

def fetch_kernel(package: str, work: Path) -> Path:
    """The unpacked kernel package that `package` (a metapackage) means; downloaded once."""
    depends = re.search(r"^\s*Depends: (linux-image-\S+)", output("apt-cache", "depends", package), re.M)
    if not depends:
        raise RuntimeError(f"apt knows no package {package}")
    name = depends.group(1)
    target = work / name
    if not target.is_dir():
        downloads = work / "downloads"
        downloads.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", name], cwd=downloads, check=True, stderr=subprocess.DEVNULL)
        [deb] = downloads.glob(f"{name}_*.deb")
        subprocess.run(["dpkg", "-x", deb, f"{target}.part"], check=True)
        os.rename(f"{target}.part", target)
        deb.unlink()
    return target


def module_order(kernel: Path) -> list[Path]:
    """Module files, each after what it depends on: the package has no modules.dep, the modules know."""
    files = {path.name.removesuffix(".ko").replace("-", "_"): path for path in kernel.glob("lib/modules/*/kernel/**/*.ko")}
    order: list[Path] = []

    def visit(name: str) -> None:
        path = files.get(name.replace("-", "_"))
        if path is None or path in order:
            return  # built in, or there already
        depends = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for other in filter(None, (depends.group(1).decode() if depends else "").split(",")):
            visit(other)
        order.append(path)

    for name in MODULES:
        visit(name)
    return order


def make_initramfs(kernel: Path, work: Path) -> Path:
    tree, target = work / "initramfs", work / "initramfs.cpio"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("bin", "dev", "modules", "proc", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", tree / "bin/busybox")
    shutil.copy(HERE / "initramfs-init", tree / "init")
    order = module_order(kernel)
    for path in order:
        shutil.copy(path, tree / "modules" / path.name)
    (tree / "modules/order").write_text("".join(f"{path.name}\n" for path in order))
    names = "".join(f"{path.relative_to(tree)}\n" for path in sorted(tree.rglob("*")))
    with target.open("wb") as out:
        subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=tree, input=names.encode(), stdout=out,
                       check=True)
    return target


# ---- disk ----

class Tree:
    """A root directory with a merged /usr; what is added brings its shared libraries along."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.rmtree(root, ignore_errors=True)
        for name in ROOT_DIRS:
            (root / name).mkdir(parents=True)
        for name in ROOT_LINKS:
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        for name, text in ETC.items():
            (root / "etc" / name).write_text(text)

    def place(self, path: str) -> Path:
        """Where `path` of this machine goes: its directory's links are followed, its own is kept."""
        return self.root / os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)).lstrip("/")

    def add(self, path: str, at: str | None = None) -> None:
        target = self.place(at or path)
        if os.path.lexists(target) or os.path.isdir(path):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=bool(at))
        if os.path.islink(target):
            goal = os.path.join(os.path.dirname(path), os.readlink(target))
            if os.path.exists(goal) and "/etc/" not in goal:
                self.add(os.path.normpath(goal))
        elif is_elf(target):
            for library in libraries(path):
                self.add(library)

    def add_python(self) -> None:
        self.add("/usr/bin/python3")
        standard = output("/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))").strip()
        for directory, names, files in os.walk(standard):
            names[:] = [n for n in names if n not in PYTHON_LEFT_OUT and not n.startswith("config-")]
            for name in (n for n in files if not n.startswith("_tkinter")):
                self.add(os.path.join(directory, name))


def is_elf(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def libraries(path: str) -> list[str]:
    listed = subprocess.run(["ldd", path], capture_output=True, text=True).stdout  # fails for a static program
    return re.findall(r"(/\S+) \(0x", listed)


def package_programs() -> list[str]:
    listed = output("dpkg", "-L", *PACKAGES).splitlines()
    return [path for path in listed if path.startswith(PROGRAM_DIRS) and os.path.lexists(path)]


def build_files(build: Path) -> dict[str, str]:
    """Programs of a meson build directory -> where they are in the machine, as an installation has them."""
    files = {
        "src/server/cwsandboxd": "/usr/bin/cwsandboxd",
        "src/cli/cwsandbox": "/usr/bin/cwsandbox",
        "src/launch/cwsandbox-launch": "/usr/libexec/cwsandbox/cwsandbox-launch",
        "src/init/cwsandbox-init": "/usr/libexec/cwsandbox/cwsandbox-init",
        "bench/bench-kill": "/usr/libexec/tests/bench-kill",
    }
    tests = [build / "tests/launch/test-launch", *sorted(build.glob("tests/runtime/test-runtime-whole-*"))]
    for path in tests:
        if path.is_file():
            files[str(path.relative_to(build))] = f"/usr/libexec/tests/{path.name.removeprefix('test-').replace('-whole', '')}"
    return files


def add_systemd(tree: Tree) -> None:
    """systemd as its package has it, and the unit that is installed with the service."""
    for path in output("dpkg", "-L", "systemd").splitlines():
        if path.startswith(("/lib/systemd/", "/bin/", "/sbin/", "/usr/bin/", "/usr/lib/")) and os.path.lexists(path):
            tree.add(path)
    unit = (HERE.parent.parent / "dist/cwsandboxd.service.in").read_text().replace("@bindir@", "/usr/bin")
    (tree.root / "etc/cwsandbox").mkdir()
    units = tree.root / "etc/systemd/system"
    units.mkdir(parents=True)
    (units / "cwsandboxd.service").write_text(unit)
    (units / "guest.service").write_text(GUEST_UNIT)


def make_disk(build: Path, work: Path) -> Path:
    tree, target = Tree(work / "disk"), work / "disk.ext4"
    for path in package_programs():
        tree.add(path)
    tree.add_python()
    tree.add("/bin/busybox")
    for name, at in build_files(build).items():
        tree.add(str(build / name), at)
    for library in build.glob("src/client/libcwsandbox.so.0"):
        tree.add(str(library), "/usr/lib/libcwsandbox.so.0")
    add_systemd(tree)
    for name in ("guest-init", "guest-words", "guest-tests", "guest-systemd"):
        tree.add(str(HERE / name), f"/usr/libexec/tests/{name}")
    tree.add(str(HERE.parent.parent / "tools/check-leftovers"), "/usr/libexec/tests/check-leftovers")
    # As an ordinary user: every file shall belong to root in the image.
    prefix = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
    subprocess.run([*prefix, "ldconfig", "-r", tree.root], check=True, stderr=subprocess.DEVNULL)
    make_ext4(target, ROOT_MIB, [*prefix], ["-d", str(tree.root)])
    return target


def make_scratch(work: Path) -> Path:
    """/tmp of the machine: a file system that can shift owners, as most have; 6.1's tmpfs cannot."""
    make_ext4(work / "scratch.ext4", SCRATCH_MIB, [], [])
    return work / "scratch.ext4"


def make_ext4(target: Path, size_mib: int, prefix: list[str], words: list[str]) -> None:
    target.unlink(missing_ok=True)
    subprocess.run([*prefix, "mkfs.ext4", "-q", "-O", "^has_journal", "-E", "root_owner=0:0", *words, str(target),
                    f"{size_mib}M"], check=True, stdout=subprocess.DEVNULL)
