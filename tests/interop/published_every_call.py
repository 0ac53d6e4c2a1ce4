"""Run by test_published.py with the interpreter that has the published client 1.22.0: calls everything public that it has.

What this service does not have is refused with the typed error. The client stays as it is: a profile function notes which code ran, and
the names whose code did not run are printed at the end, one a line; the test knows which those are. No source of the client was read.
"""

import asyncio
import inspect
import sys
import threading
import traceback

ran = set()


def note(frame, event, argument):
    if event == "call":
        ran.add(frame.f_code)


threading.setprofile(note)
sys.setprofile(note)

import cwsandbox
from cwsandbox import AuthHeaders, FileSystemSnapshotOptions, PvcVolumeSource, Sandbox, SandboxDefaults, Session, Volume

TAG = "published-every-call"
SPECIAL = {"__enter__", "__exit__", "__aenter__", "__aexit__", "__await__", "__iter__", "__next__", "__aiter__", "__anext__", "__bool__"}


def say(kind, error, trace):
    """No line of the client, only ours: what is inside it is none of our business."""
    ours = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == __file__]
    print(f"lines {ours}: {kind.__name__}: {error}", file=sys.stderr)


sys.excepthook = say


def public_code():
    """{name: code} of the functions, methods and properties of the public names."""
    found = {}
    for name in cwsandbox.__all__:
        value = getattr(cwsandbox, name)
        if inspect.isfunction(value):
            found[name] = value.__code__
        if not inspect.isclass(value) or issubclass(value, BaseException):
            continue
        for member in {m for cls in value.__mro__ if cls.__module__.startswith("cwsandbox") for m in vars(cls)}:
            if member.startswith("_") and member not in SPECIAL:
                continue
            raw = inspect.getattr_static(value, member)
            raw = raw.fget if isinstance(raw, property) else getattr(raw, "__func__", raw)
            if inspect.isfunction(raw):
                found[f"{value.__name__}.{member}"] = inspect.unwrap(raw).__code__
    return found


def refused(error, make):
    """It is that error or one below it, and none of the client's own making."""
    try:
        result = make()
        getattr(result, "result", lambda: None)()
    except error as e:
        assert isinstance(e, cwsandbox.CWSandboxError) or error in (ValueError, TypeError), e
        return e
    raise AssertionError(f"not refused: {inspect.getsource(make)}")


def sandboxes():
    box = Sandbox.run("/bin/sh", "-c", "echo started; sleep infinity & wait", tags=[TAG], container_image="python:3.11")
    assert box.wait() is box and box.get_status() == box.status == "running"
    assert cwsandbox.SandboxStatus.from_proto(box.status.to_proto()) is box.status
    for name in sorted(n for n in dir(Sandbox) if not n.startswith("_") and isinstance(inspect.getattr_static(Sandbox, n), property)):
        getattr(box, name)
    assert [s.sandbox_id for s in Sandbox.list(tags=[TAG]).result()] == [box.sandbox_id]
    assert Sandbox.from_id(box.sandbox_id).result().tags == (TAG,)
    done, pending = cwsandbox.wait([box], timeout=60)
    assert (done, pending) == ([box], [])
    return box


def commands(box):
    process = box.exec(["/bin/sh", "-c", "cat; echo err >&2"], stdin=True)
    assert process.poll() is None and process.returncode is None and process.command
    process.stdin.write(b"a\n").result()
    process.stdin.writeline("b").result()
    process.stdin.close().result()
    process.wait(30)
    assert process.returncode == 0 and "".join(process.stdout) == "a\nb\n" and next(iter(process.stderr)) == "err\n"
    assert cwsandbox.results([box.exec(["echo", str(i)]) for i in range(3)])[2].stdout == "2\n"
    long = box.exec(["sleep", "60"])
    long.cancel()
    terminal = box.shell(["/bin/sh"], width=80, height=24)
    terminal.resize(100, 30)
    terminal.stdin.write(b"exit 4\n").result()
    terminal.wait(30)
    assert terminal.result().returncode == terminal.returncode == 4 and terminal.command == ["/bin/sh"]
    assert isinstance(terminal.stdin.closed, bool)
    terminal.output.close()
    reader = box.stream_logs(tail_lines=1)
    assert "".join(reader) == "started\n"


def files(box):
    box.write_file("/tmp/a", b"x").result()
    box.write_file_streaming("/tmp/b", [b"y" * 100000, b"z"]).result()
    assert box.read_file("/tmp/a").result(timeout=30) == b"x"
    assert b"".join(box.read_file_streaming("/tmp/b"))[-1:] == b"z"


async def awaited(box):
    process = box.exec(["echo", "awaited"])
    assert "".join([text async for text in process.stdout]) == "awaited\n" and (await process).returncode == 0
    terminal = box.shell(["/bin/true"])
    assert (await terminal).returncode == 0
    assert await box is box and await box.read_file("/tmp/a") == b"x"
    async with Sandbox(tags=[TAG], container_image="python:3.11") as other:
        await other
    async with Session(SandboxDefaults(tags=(TAG,))) as session:
        assert session.sandbox_count == 0


def double(n):
    return 2 * n


def sessions(box):
    defaults = SandboxDefaults.from_dict({"tags": [TAG], "container_image": "python:3.11"}).with_overrides(max_lifetime_seconds=600)
    assert defaults.merge_tags(["x"]) == [TAG, "x"]
    assert defaults.merge_environment_variables({"a": "b"}) == defaults.merge_annotations({"a": "b"}) == {"a": "b"}
    with Sandbox.session(defaults) as session:
        session.sandbox().start().result()
        assert len(session.list().result()) >= 2
        session.from_id(box.sandbox_id, adopt=False).result()
        mine = Sandbox.run(tags=[TAG])
        session.adopt(mine)
        remote = session.function()(double)
        assert remote.local(2) == 4 and remote.remote(3).result() == 6
        assert [ref.result() for ref in remote.map([(1,), (2,)])] == [2, 4]
        assert session.get_metrics()["cwsandbox/sandboxes_created"] >= 1 and session.log_metrics() is False
    session.close().result()


def snapshots(box):
    unsupported = cwsandbox.SandboxError
    assert FileSystemSnapshotOptions(mount_path="/work").to_scratch_volume().mount_path == "/work"
    refused(unsupported, box.snapshot)
    for make in (lambda: Sandbox.get_snapshot("s"), Sandbox.list_snapshots, lambda: Sandbox.delete_snapshot("s"),
                 Sandbox.get_snapshot_bucket_config, lambda: Sandbox.set_snapshot_bucket_config(bucket_name="b")):
        refused(unsupported, make)


def volumes():
    ghost = Volume(volume_id="v")
    assert Volume.list().result() == []
    for make in (lambda: Volume.get("v"), lambda: ghost.update(description="d"), ghost.validate, ghost.delete, ghost.wait_until_ready,
                 lambda: Volume.create("v", pvc=PvcVolumeSource(runner_id="r", namespace="n", claim_name="c"))):
        refused(cwsandbox.VolumeError, make)


def others():
    refused(cwsandbox.SandboxError, lambda: Sandbox.run_from_template("t"))
    refused(cwsandbox.SandboxError, lambda: Sandbox.run_from_file(b"services: {app: {image: host}}", primary_service="app"))
    token = cwsandbox.EndpointShareToken("secret")
    assert "secret" in str(token.as_headers()) and token.get_secret_value() == "secret" and "secret" not in repr(token)
    refused(cwsandbox.CWSandboxAuthenticationError, lambda: Sandbox.list(auth=cwsandbox.WandbAuth()))
    (runner,) = cwsandbox.list_runners()
    assert cwsandbox.get_runner(runner.runner_id, organization_id=runner.organization_id).runner_id == runner.runner_id
    assert cwsandbox.format_bytes(1536) == "1.5 KiB" and cwsandbox.format_cpu(1500) == "1.5 vCPU"
    assert AuthHeaders({"a": "b"}, "s") and not AuthHeaders({}, "s")
    with Sandbox(tags=[TAG]) as box:
        box.stop().result()
    Sandbox.delete(Sandbox.run(tags=[TAG]).sandbox_id).result()


def main():
    cwsandbox.disable_signal_handlers()
    box = sandboxes()
    for work in (commands, files, sessions, snapshots):
        work(box)
    asyncio.run(awaited(box))
    volumes()
    others()
    box.stop().result()
    assert box.wait_until_complete(raise_on_termination=False).result() is box
    import os

    cwsandbox.set_auth_mode("mine", lambda: AuthHeaders({"Authorization": f"Bearer {os.environ['CWSANDBOX_API_KEY']}"}, "mine"))
    assert Sandbox.list(tags=[TAG]).result() == []
    sys.setprofile(None)
    print("\n".join(sorted(name for name, code in public_code().items() if code not in ran)))


main()
