"""Run by test_published.py with the interpreter that has the published client: a program as its users write it.

It prints one word per thing that worked; the test compares the list. No source of the client was read for it: names and
behaviour are those that the published client documents and shows.
"""

import cwsandbox
from cwsandbox import Sandbox

TAG = "published-client"


def done(word):
    print(word, flush=True)


with Sandbox.run(tags=[TAG]) as box:
    done("create")
    result = box.exec(["echo", "hello"]).result()
    assert result.stdout == "hello\n" and result.returncode == 0
    result = box.exec(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"]).result()
    assert (result.stdout, result.stderr, result.returncode) == ("out\n", "err\n", 3)
    assert box.exec(["pwd"], cwd="/tmp").result().stdout == "/tmp\n"
    done("exec")

    process = box.exec(["/bin/sh", "-c", "for i in 1 2 3; do echo line $i; done"])
    assert "".join(process.stdout) == "line 1\nline 2\nline 3\n"
    assert process.result().returncode == 0
    done("stream")

    process = box.exec(["cat"], stdin=True)
    process.stdin.write(b"typed\n").result()
    process.stdin.close().result()
    assert process.result().stdout == "typed\n"
    done("stdin")

    assert box.exec(["python", "-c", "print(6 * 7)"]).result().stdout == "42\n"
    done("python")

    box.write_file("/tmp/a/data.bin", bytes(range(256)) * 4096).result()
    assert box.read_file("/tmp/a/data.bin").result() == bytes(range(256)) * 4096
    try:
        box.read_file("/tmp/missing").result()
        raise AssertionError("read a missing file")
    except cwsandbox.SandboxFileError as error:
        assert error.filepath == "/tmp/missing"
    done("files")

    big = b"0123456789abcdef" * (40 << 16)  # 40 MiB: above the unary limit, so the client streams
    box.write_file("/tmp/big", big).result()
    assert box.read_file("/tmp/big").result() == big
    done("big-files")

    try:
        box.exec(["sleep", "60"], timeout_seconds=1).result()
        raise AssertionError("a time-out did not end the command")
    except cwsandbox.SandboxTimeoutError:
        done("timeout")

    with_shell = box.shell(["/bin/sh"])
    with_shell.stdin.write(b"echo te''rm; exit 5\n").result()
    output = b"".join(with_shell.output)
    assert b"term" in output and with_shell.result().returncode == 5
    done("shell")

    mine = [s.sandbox_id for s in Sandbox.list(tags=[TAG]).result()]
    assert box.sandbox_id in mine
    other = Sandbox.from_id(box.sandbox_id).result()
    assert other.exec(["echo", "again"]).result().stdout == "again\n"
    done("list")

    box.stop().result()
    done("stop")

assert box.sandbox_id not in [s.sandbox_id for s in Sandbox.list(tags=[TAG]).result()]
ended = Sandbox.from_id(box.sandbox_id).result()
assert str(ended.status) in ("terminated", "completed"), ended.status
done("ended")

short = Sandbox.run("/bin/sh", "-c", "echo from main; exit 7")
short.wait_until_complete().result()
assert short.returncode == 7
assert "from main" in "".join(short.stream_logs())
done("complete")

try:
    Sandbox.from_id("sb-0000000000000000").result()
    raise AssertionError("found what is not there")
except cwsandbox.SandboxNotFoundError:
    done("not-found")

boxes = [Sandbox.run() for _ in range(10)]
assert [b.exec(["echo", str(i)]).result().stdout for i, b in enumerate(boxes)] == [f"{i}\n" for i in range(10)]
for b in boxes:
    b.stop().result()
done("many")
