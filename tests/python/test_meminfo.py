"""/proc/meminfo of a sandbox with a memory limit: the limit and what is used of it, by the sandbox's own count."""

from __future__ import annotations

import os

import pytest
from cwsandbox import Sandbox, SandboxError

LIMIT_KIB = 256 << 10
READ = "python3 -c 'for line in open(\"/proc/meminfo\"): print(line, end=\"\")'"


def meminfo(text: str) -> dict[str, int]:
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in text.split("\n") if line)}


@pytest.fixture(scope="module")
def limited():
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("no /dev/fuse for this user: the machine's is shown")
    try:
        sandbox = Sandbox.run(resources={"memory": f"{LIMIT_KIB}Ki"}).wait()
    except SandboxError as error:
        pytest.skip(f"memory cannot be limited here: {error}")
    with sandbox:
        yield sandbox


def test_the_limit_is_the_total_and_what_is_used_is_counted(limited):
    before = meminfo(limited.exec(["sh", "-c", READ], check=True).result().stdout)
    assert before["MemTotal"] == LIMIT_KIB
    assert before["MemFree"] <= before["MemAvailable"] <= LIMIT_KIB and before["SwapTotal"] == 0
    program = "b = b'x' * (100 << 20)\nprint(open('/proc/meminfo').read())"
    during = meminfo(limited.exec(["python3", "-c", program], check=True).result().stdout)
    assert before["MemAvailable"] - during["MemAvailable"] > 90 << 10
    after = meminfo(limited.exec(["sh", "-c", READ], check=True).result().stdout)
    assert after["MemAvailable"] - during["MemAvailable"] > 90 << 10


def test_files_in_memory_are_used_memory(limited):
    before = meminfo(limited.exec(["sh", "-c", READ], check=True).result().stdout)
    limited.exec(["dd", "if=/dev/zero", "of=/dev/shm/f", "bs=1M", "count=50"], check=True).result()
    during = meminfo(limited.exec(["sh", "-c", READ], check=True).result().stdout)
    limited.exec(["rm", "/dev/shm/f"], check=True).result()
    assert during["Shmem"] - before["Shmem"] >= 50 << 10
    assert before["MemAvailable"] - during["MemAvailable"] > 45 << 10


def test_programs_read_it_as_they_read_the_machines(limited):
    assert limited.exec(["sh", "-c", "free -k | awk '/^Mem/ { print $2 }'"], check=True).result().stdout.strip() == str(LIMIT_KIB)
    byte_wise = limited.exec(["dd", "if=/proc/meminfo", "bs=7", "status=none"], check=True).result().stdout
    assert meminfo(byte_wise)["MemTotal"] == LIMIT_KIB
    assert meminfo(limited.read_file("/proc/meminfo").result().decode())["MemTotal"] == LIMIT_KIB
    copied = "import os, sys; os.sendfile(1, os.open('/proc/meminfo', os.O_RDONLY), 0, 4096)"
    assert meminfo(limited.exec(["python3", "-c", copied], check=True).result().stdout)["MemTotal"] == LIMIT_KIB
    again = "f = open('/proc/meminfo'); a = f.read(); b = b'x' * (50 << 20); f.seek(0); print(a + f.read())"
    lines = [int(line.split()[1]) for line in limited.exec(["python3", "-c", again]).result().stdout.splitlines() if "MemFree" in line]
    assert lines[0] - lines[1] > 40 << 10


def test_nothing_done_to_it_holds_up_the_sandbox(limited):
    for command in ["/proc/meminfo", "cd /proc/meminfo", "echo > /proc/meminfo", "rm /proc/meminfo", "chmod 777 /proc/meminfo",
                    "python3 -c 'import mmap; mmap.mmap(open(\"/proc/meminfo\").fileno(), 4096, prot=mmap.PROT_READ)'"]:
        assert limited.exec(["sh", "-c", command]).result().returncode != 0, command
    for words in [["/proc/meminfo"], ["sh", "-c", "printf '#!/proc/meminfo\\n' > /tmp/s; chmod +x /tmp/s; exec /tmp/s"]]:
        assert limited.exec(words).result().returncode == 126, words
    readers = [limited.exec(["sh", "-c", "while :; do cat /proc/meminfo; done > /dev/null"], timeout_seconds=1) for _ in range(8)]
    assert limited.exec(["echo", "alive"]).result().stdout == "alive\n"
    for reader in readers:
        with pytest.raises(SandboxError):
            reader.result()


def test_a_sandbox_ends_while_it_is_read(limited):
    with Sandbox.run(resources={"memory": "64Mi"}) as sandbox:
        reader = sandbox.exec(["sh", "-c", "echo on; while :; do cat /proc/meminfo; done > /dev/null"])
        assert next(iter(reader.stdout)) == "on\n"
    assert sandbox.status.value == "terminated"
    with pytest.raises(SandboxError):
        reader.result()


def test_without_a_limit_it_is_the_machines(shared):
    with open("/proc/meminfo") as machine:
        total = machine.readline()
    assert shared.exec(["head", "-1", "/proc/meminfo"]).result().stdout == total
    assert "meminfo" not in shared.read_file("/proc/self/mountinfo").result().decode()
