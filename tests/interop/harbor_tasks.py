"""Ten tasks for Harbor, written as the directories that `harbor run -p` takes. Each one's reward is 1 if what it names holds."""

from pathlib import Path

AGENT_USER, VERIFIER_ROOT = '[agent]\nuser = "app"\n', '[verifier]\nuser = "root"\n'

# name: (what task.toml has more, the solution, the test's condition)
TASKS = {
    "root": ("", "id -u > /work/who", '[ "$(cat /work/who)" = 0 ]'),
    "another-user": (AGENT_USER + VERIFIER_ROOT, "id -un > /work/who; umask > /work/mask",
                     '[ "$(cat /work/who)" = app ] && [ "$(stat -c %U /work/who)" = app ] && [ "$(id -u)" = 0 ]'),
    "user-by-number": ("[agent]\nuser = 1000\n" + VERIFIER_ROOT, "id -u > /work/who", '[ "$(cat /work/who)" = 1000 ]'),
    "separate-verifier": ('artifacts = ["/work/answer"]\n[verifier]\nenvironment_mode = "separate"\n', "echo 42 > /work/answer; touch /work/mine",
                          '[ "$(cat /work/answer)" = 42 ] && [ ! -e /work/mine ]'),
    # Harbor mounts a scratch volume of at least 10 GiB there
    "scratch": (AGENT_USER + VERIFIER_ROOT, "head -c 50000000 /dev/zero > /tmp/large; stat -f -c '%b %S' /tmp > /work/room",
                'read blocks size < /work/room; [ "$(stat -c %s /tmp/large)" = 50000000 ] && [ $((blocks * size)) -ge 9000000000 ]'),
    "trees": ('artifacts = ["/work/tree"]\n', "cp -a /solution/tree /work/tree; /work/tree/deep/er/run > /work/tree/said",
              '[ "$(cat /work/tree/said)" = ran ] && [ "$(readlink /work/tree/link)" = deep/er/run ] && [ -f /tests/more/file ]'),
    "no-network": ('[environment]\nnetwork_mode = "no-network"\n', "ls /sys/class/net > /work/devices 2>/dev/null; cat /proc/net/route > /work/routes",
                   '[ "$(wc -l < /work/routes)" = 1 ]'),
    # The agent's time is up; whatever it started is gone when the verifier looks
    "time-out": ("[agent]\ntimeout_sec = 3\n", "(sleep 3333 &); echo begun > /work/state; sleep 3333",
                 '[ "$(cat /work/state)" = begun ] && ! grep -aqs "3333" /proc/[0-9]*/cmdline'),
    "out-of-memory": ("[environment]\nmemory_mb = 96\n", "tail /dev/zero; echo $? > /work/code; echo on > /work/state",
                      '[ "$(cat /work/code)" = 137 ] && [ "$(cat /work/state)" = on ]'),
    "service-port": ("", "cd /work && echo served > page && httpd -p 127.0.0.1:8080",
                     '[ "$(wget -q -O - http://127.0.0.1:8080/page)" = served ]'),
}


def toml_of(image: str, more: str) -> str:
    """The tables of `more` join those that every task has."""
    tables = {"": 'version = "1.0"\n', "environment": f'docker_image = "{image}"\nworkdir = "/work"\n', "agent": "", "verifier": "timeout_sec = 60\n"}
    name = ""
    for line in more.splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        else:
            tables[name] += line + "\n"
    return tables.pop("") + "".join(f"[{name}]\n{text}" for name, text in tables.items())


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/bash\n" + text)
    path.chmod(0o755)


def write_tasks(directory: Path, image: str) -> None:
    for name, (more, solution, condition) in TASKS.items():
        task = directory / name
        script(task / "solution" / "solve.sh", solution + "\n")
        script(task / "tests" / "test.sh", f"if {condition}; then echo 1; else echo 0; fi > /logs/verifier/reward.txt\n")
        (task / "environment").mkdir()
        (task / "instruction.md").write_text(f"{name}\n")
        (task / "task.toml").write_text(toml_of(image, more))
    trees = directory / "trees"
    script(trees / "solution" / "tree" / "deep" / "er" / "run", "echo ran\n")
    (trees / "solution" / "tree" / "link").symlink_to("deep/er/run")
    script(trees / "tests" / "more" / "file", "")
