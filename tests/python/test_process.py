"""exec(): results, options, exit codes, check, output, statistics."""

from __future__ import annotations

import subprocess
import sys

import cwsandbox
import pytest
from cwsandbox import (
    ProcessResult,
    Sandbox,
    SandboxExecutionError,
    SandboxNotRunningError,
    SandboxStreamTruncatedError,
    SandboxTimeoutError,
)


def test_result_has_everything(shared, consume):
    result = consume(lambda: shared.exec(["sh", "-c", "printf out; printf err >&2; exit 3"]))
    assert result == ProcessResult(
        stdout="out", stderr="err", returncode=3, stdout_bytes=b"out", stderr_bytes=b"err",
        command=["sh", "-c", "printf out; printf err >&2; exit 3"],
    )  # fmt: skip


def test_a_result_shows_its_output_once():
    result = ProcessResult(stdout="out\n", stderr="err\n", returncode=3, stdout_bytes=b"out\n", stderr_bytes=b"err\n", command=["x"])
    assert repr(result) == "ProcessResult(stdout='out\\n', stderr='err\\n', returncode=3, command=['x'])"
    assert str(result) == "out\nerr\n[exit code 3]"
    assert str(ProcessResult(stdout="a\n\n", stderr="", returncode=0)) == "a\n"
    killed = ProcessResult(stdout="", stderr="", returncode=137, oom_killed=True, signal=9)
    assert repr(killed).endswith("oom_killed=True, signal=9)") and str(killed) == "[exit code 137, signal 9, oom killed]"
    assert str(ProcessResult(stdout="", stderr="", returncode=0)) == ""
    cut = ProcessResult(stdout="x" * 1_000_000, stderr="", returncode=0, stdout_truncated=True)
    assert len(repr(cut)) < 400 and "1,000,000 characters" in repr(cut) and repr(cut).endswith("stdout_truncated=True)")
    assert str(cut).endswith("[stdout truncated]")


def test_a_result_in_a_notebook_is_escaped_and_bounded():
    html = ProcessResult(stdout="<b>" * 100_000, stderr="", returncode=0)._repr_html_()
    assert "<b>" not in html and "&lt;b&gt;" in html and len(html) < 200_000 and "300,000 characters" in html
    assert "no output" in ProcessResult(stdout="", stderr="", returncode=0)._repr_html_()


def test_output_that_is_not_utf8_is_replaced_in_text_and_kept_in_bytes(shared):
    result = shared.exec(["printf", r"a\377b\303\251"]).result()
    assert result.stdout == "a\ufffdb\u00e9"
    assert result.stdout_bytes == b"a\xffb\xc3\xa9"


def test_check_raises_with_the_result(shared, consume):
    with pytest.raises(SandboxExecutionError, match="exit code 7") as info:
        consume(lambda: shared.exec(["sh", "-c", "echo partial; exit 7"], check=True))
    assert info.value.exec_result.returncode == 7
    assert info.value.exec_result.stdout == "partial\n"
    assert "sh -c" in str(info.value)


def test_check_accepts_success(shared):
    assert shared.exec(["true"], check=True).result().returncode == 0


def test_command_that_does_not_exist_exits_127(shared):
    result = shared.exec(["no-such-program"]).result()
    assert result.returncode == 127
    assert "no-such-program" in result.stderr


def test_cwd(shared):
    assert shared.exec(["pwd"], cwd="/usr").result().stdout == "/usr\n"
    assert shared.exec(["pwd"], cwd="/no/such/dir").result().returncode != 0
    assert shared.exec(["sh", "-c", "echo $1", "x", "a b'c\"d"], cwd="/tmp").result().stdout == "a b'c\"d\n"


def test_command_is_kept_as_given(shared):
    process = shared.exec(["pwd"], cwd="/usr")
    assert process.command == ["pwd"]
    assert process.result().command == ["pwd"]
    tuple_process = shared.exec(("echo", "x"))
    assert tuple_process.command == ["echo", "x"]
    tuple_process.result()


def test_bad_arguments_raise_at_once(shared):
    with pytest.raises(ValueError, match="Command cannot be empty"):
        shared.exec([])
    with pytest.raises(ValueError, match="cwd cannot be empty string"):
        shared.exec(["true"], cwd="")
    with pytest.raises(ValueError, match="cwd must be an absolute path"):
        shared.exec(["true"], cwd="tmp")
    with pytest.raises(TypeError, match="command must be a sequence of strings"):
        shared.exec("echo hello")
    with pytest.raises(TypeError):
        shared.exec(["echo", 3])
    with pytest.raises(ValueError, match="NUL"):
        shared.exec(["echo", "a\0b"])
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        shared.exec(["true"], environ={})
    with pytest.raises(TypeError, match="missing required argument"):
        shared.exec()
    with pytest.raises(ValueError):
        shared.exec(["true"], timeout_seconds=-1)


def test_timeout_kills_the_command(sb, consume):
    with pytest.raises(SandboxTimeoutError):
        consume(lambda: sb.exec(["sh", "-c", "sleep 1000; echo never"], timeout_seconds=0.3))
    assert sb.exec(["sh", "-c", "ps ax 2>/dev/null | grep -c '[s]leep 1000'"]).result().stdout.strip() in ("0", "")


def test_poll_wait_and_returncode(shared):
    process = shared.exec(["sh", "-c", "read x; exit 5"], stdin=True)
    assert process.poll() is None and process.returncode is None
    with pytest.raises(TimeoutError):
        process.wait(timeout=0.01)
    process.stdin.close()
    assert process.wait() == 5
    assert process.poll() == 5 and process.returncode == 5 and process.result().returncode == 5


def test_returncode_appears_when_only_streamed(shared):
    process = shared.exec(["sh", "-c", "echo x; exit 4"])
    assert "".join(process.stdout) == "x\n"
    # the stream's end and the exit arrive together; the code may be a message behind
    process.wait()
    assert process.returncode == 4


def test_poll_is_none_for_a_failed_operation():
    sandbox = Sandbox()
    sandbox.stop().result()
    process = sandbox.exec(["true"])
    with pytest.raises(SandboxNotRunningError):
        process.result()
    assert process.poll() is None and process.returncode is None
    assert list(process.stdout) == [] and list(process.stderr) == []


def test_exit_by_signal_is_128_plus(shared):
    assert shared.exec(["sh", "-c", "kill -9 $$"]).result().returncode == 137


def test_statistics(sb):
    fresh = sb.exec_stats
    assert fresh == {"exec_count": 0, "exec_completed_ok": 0, "exec_completed_nonzero": 0, "exec_failures": 0}
    sb.exec(["true"]).result()
    sb.exec(["false"]).result()
    for chunk in (streamed := sb.exec(["echo", "x"])).stdout:
        assert chunk == "x\n"
    streamed.result()
    assert sb.exec_stats == {"exec_count": 3, "exec_completed_ok": 2, "exec_completed_nonzero": 1, "exec_failures": 0}
    with pytest.raises(SandboxTimeoutError):
        sb.exec(["sleep", "1000"], timeout_seconds=0.2).result()
    assert sb.exec_stats["exec_failures"] == 1


def test_many_at_once(shared):
    processes = [shared.exec(["sh", "-c", f"echo {i}"]) for i in range(100)]
    assert [p.result().stdout for p in processes] == [f"{i}\n" for i in range(100)]


def test_large_output_is_complete(shared):
    result = shared.exec(["sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' a; echo end >&2"]).result()
    assert len(result.stdout_bytes) == 20_000_000 and set(result.stdout_bytes) == {ord("a")}
    assert result.stderr == "end\n"


def test_python_is_there(shared):
    assert shared.exec(["python", "-c", "print(6 * 7)"]).result().stdout == "42\n"


def test_a_large_result_makes_its_output_when_asked(shared):
    import copy
    import dataclasses
    import pickle

    size = 5 << 20
    result = shared.exec(["sh", "-c", f"head -c {size} /dev/zero | tr '\\0' x; printf e >&2"]).result()
    assert "stdout" not in vars(result)
    assert result.stdout_bytes == b"x" * size and result.stdout == "x" * size
    assert (result.stderr, result.stderr_bytes, result.returncode) == ("e", b"e", 0)
    for other in (copy.copy(result), pickle.loads(pickle.dumps(result)), dataclasses.replace(result)):
        assert other == result
    assert dataclasses.asdict(result)["stderr"] == "e"
    assert not hasattr(result, "nothing")


def test_a_large_text_that_is_not_ascii(shared):
    result = shared.exec(["sh", "-c", "yes é | head -n 2000000; printf '\\377'"]).result()
    assert result.stdout == "é\n" * 2_000_000 + "\N{REPLACEMENT CHARACTER}"
    assert result.stdout_bytes == "é\n".encode() * 2_000_000 + b"\xff"


def test_the_text_of_a_large_result_costs_one_copy(shared):
    """Of what arrived; a process of its own, because the kernel tells the peak of a process only."""
    code = f"""
from cwsandbox import Sandbox
sandbox = Sandbox.from_id({shared.sandbox_id!r}).result()
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) >> 10
sandbox.exec(["true"]).result()
before = peak()
assert len(sandbox.exec(["head", "-c", str(100 << 20), "/dev/zero"]).result().stdout) == 100 << 20
print(peak() - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 200 <= int(run.stdout) < 250, run


# ---- what a result keeps


def test_a_result_keeps_a_bounded_part(shared):
    process = shared.exec(["sh", "-c", "yes | head -c 50000000; echo e >&2"], max_output_bytes=1000)
    result = process.result()
    assert result.stdout == "y\n" * 500 and result.stdout_truncated
    assert result.stderr == "e\n" and not result.stderr_truncated
    late = []
    with pytest.raises(SandboxStreamTruncatedError, match="max_output_bytes"):
        late.extend(process.stdout)


def test_a_large_result_says_that_it_is_cut(shared):
    result = shared.exec(["sh", "-c", "yes | head -c 9000000"], max_output_bytes=8_000_000).result()
    assert len(result.stdout_bytes) == 8_000_000 and result.stdout_truncated and not result.stderr_truncated


def test_a_stream_has_what_the_result_does_not(shared):
    process = shared.exec(["sh", "-c", "yes | head -c 5000000"], max_output_bytes=1000)
    assert sum(map(len, process.stdout)) == 5_000_000
    assert len(process.result().stdout) == 1000


def test_the_environment_bounds_results_too(shared, monkeypatch):
    monkeypatch.setenv("CWSANDBOX_MAX_OUTPUT_BYTES", "10")
    assert shared.exec(["echo", "0123456789abc"]).result().stdout == "0123456789"
    monkeypatch.setenv("CWSANDBOX_MAX_OUTPUT_BYTES", "0")
    assert not shared.exec(["echo", "0123456789abc"]).result().stdout_truncated


def test_bounds_that_are_none(shared):
    assert shared.exec(["echo", "x"], max_output_bytes=0).result().stdout == "x\n"
    for bad in (-1, 1.5, "1"):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            shared.exec(["true"], max_output_bytes=bad)


# ---- input


@pytest.mark.parametrize("text", [b"some bytes", "some \u2603", bytearray(b"x"), memoryview(b"abc"), b"", b"y" * 3_000_000])
@pytest.mark.parametrize("name", ["stdin", "input"])
def test_input_is_fed_and_closed(shared, name, text):
    want = text.encode() if isinstance(text, str) else bytes(text)
    assert shared.exec(["cat"], **{name: text}, timeout_seconds=30).result().stdout_bytes == want


@pytest.mark.parametrize("bad", [1, 0, ["x"], object(), 1.5])
@pytest.mark.parametrize("name", ["stdin", "input"])
def test_other_input_is_a_type_error(shared, name, bad):
    with pytest.raises(TypeError, match=name):
        shared.exec(["cat"], **{name: bad})


def test_stdin_and_input_exclude_each_other(shared):
    with pytest.raises(ValueError, match="both"):
        shared.exec(["cat"], stdin=True, input="x")


def test_env_is_for_one_command_and_over_the_sandboxes_variables():
    show = ["sh", "-c", 'printf "%s|%s|%s" "$A" "$B" "$PWD"']
    with Sandbox.run(environment_variables={"A": "sandbox", "B": "b"}) as sandbox:
        assert sandbox.exec(show, env={"A": "x=1\nü"}, cwd="/tmp").result().stdout == "x=1\nü|b|/tmp"
        assert sandbox.exec(show, env={}, cwd="/").result().stdout == "sandbox|b|/"


@pytest.mark.parametrize("env, error", [([("A", "b")], TypeError), ({"A": 1}, TypeError), ({1: "b"}, TypeError),
                                        ({"": "b"}, ValueError), ({"A=B": "c"}, ValueError), ({"A": "\0"}, ValueError),
                                        ({"A": "\ud800"}, ValueError)])  # fmt: skip
def test_a_wrong_env_is_refused(shared, env, error):
    with pytest.raises(error):
        shared.exec(["true"], env=env)


def test_a_timeout_names_its_limit_and_has_the_output_so_far(shared):
    process = shared.exec(["sh", "-c", "printf 'a\\377'; printf b >&2; exec sleep 1000"], timeout_seconds=2.5)
    with pytest.raises(SandboxTimeoutError, match=r"\(limit: 2\.5 s\)") as caught:
        process.result()
    error = caught.value
    assert (error.stdout, error.stdout_bytes, error.stderr, error.stderr_bytes) == ("a\ufffd", b"a\xff", "b", b"b")
    assert SandboxTimeoutError("another").stdout is None


@pytest.mark.parametrize("wait", [lambda p: p.result(), lambda p: cwsandbox.wait([p]), lambda p: list(cwsandbox.as_completed([p]))])
def test_discarded_output_holds_nobody_up(shared, wait):
    process = shared.exec(["sh", "-c", "head -c 50000000 /dev/zero; head -c 50000000 /dev/zero >&2; exit 3"], discard_output=True)
    wait(process)
    result = process.result()
    assert (result.returncode, result.stdout_bytes, result.stderr_bytes, result.stdout_truncated) == (3, b"", b"", False)


def test_a_discarded_stream_that_was_asked_for_comes_in_full(shared):
    process = shared.exec(["sh", "-c", "head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2"], discard_output=True)
    out = process.stdout
    waited = cwsandbox.wait([process], timeout=0)
    assert waited[0] == [] or process.poll() is not None
    assert sum(map(len, out)) == 20_000_000
    assert process.result().stdout_bytes == b""
