"""Exec and StreamExec with grpcio: exact output, one end, and dead trees."""

import queue
import subprocess
import sys
import textwrap

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from service import TIMEOUT, collect, failure


def stdin(data):
    return pb.ExecStreamRequest(stdin=data)


CLOSE = pb.ExecStreamRequest(close=pb.ExecStreamClose())


class Requests:
    """Messages sent one by one, when the test decides."""

    def __init__(self):
        self.queue = queue.Queue()

    def send(self, message):
        self.queue.put(message)

    def done(self):
        self.queue.put(None)

    def __iter__(self):
        return iter(self.queue.get, None)


def tree_watch(sandbox, script):
    """Starts `script` with descriptor 3 open on a FIFO. The second value ends when no process holds it any more."""
    sandbox.sh("rm -f /tmp/held; mkfifo /tmp/held")
    gone = sandbox.stub.Exec.future(pb.ExecRequest(sandbox_id=sandbox.id, command=["/bin/cat", "/tmp/held"]),
                                    timeout=TIMEOUT)
    return ["/bin/sh", "-c", f"exec 3>/tmp/held; {script}"], gone


def test_exec_returns_output_and_code(sandbox):
    r = sandbox.run("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert (r.stdout, r.stderr, r.exit_code) == (b"out\n", b"err\n", 3)
    assert (r.stdout_bytes_produced, r.stderr_bytes_produced) == (4, 4)
    assert not r.stdout_truncated and not r.stderr_truncated


def test_exec_sees_its_environment(sandbox):
    assert sandbox.run("/bin/sh", "-c", "printf %s \"$A\"", env={"A": "b c"}).stdout == b"b c"


@pytest.mark.parametrize("field,request_", [
    ("env", {"command": ["true"], "env": {"BIG": "x" * 131068}}),
    ("command", {"command": ["true", "x" * 131072]}),
    ("command", {"command": ["true"], "env": {f"V{i}": "x" * 100_000 for i in range(30)}}),
])
def test_what_no_program_can_be_given_is_refused_by_name(sandbox, field, request_):
    refused = failure(sandbox.stub.Exec, pb.ExecRequest(sandbox_id=sandbox.id, **request_), timeout=TIMEOUT)
    assert (refused.code, refused.violations) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


def test_exec_keeps_what_fits_and_counts_the_rest(sandbox):
    r = sandbox.run("/bin/sh", "-c", "head -c 100000 /dev/zero; echo e >&2", max_output_bytes=1000)
    assert len(r.stdout) == 1000 and r.stdout_truncated and r.stdout_bytes_produced == 100000
    assert r.stderr == b"e\n" and not r.stderr_truncated and r.exit_code == 0


def test_a_missing_command_is_127(sandbox):
    assert sandbox.run("/no/such/program").exit_code == 127
    assert collect(sandbox.stream("no-such-program"))[2] == 127


def test_a_death_by_signal_is_128_and_its_number(sandbox):
    assert sandbox.run("/bin/sh", "-c", "kill -9 $$").exit_code == 137


def facts(call):
    """The trailer that our own client reads (src/wire/exec-facts.h)."""
    text = dict(call.trailing_metadata())["x-cwsandbox-exec-facts"]
    return {word: int(number) for word, number in (item.split("=") for item in text.split())}


def test_trailers_tell_how_a_command_ended(sandbox):
    request = pb.ExecRequest(sandbox_id=sandbox.id, command=["/bin/sh", "-c", "kill -15 $$"])
    response, call = sandbox.stub.Exec.with_call(request, timeout=TIMEOUT)
    told = facts(call)
    assert (response.exit_code, told["signal"], told["oom_killed"]) == (143, 15, 0)
    assert told["duration_ns"] > 0 and told["peak_memory_bytes"] > 0 and told["cpu_ns"] >= 0
    init = pb.ExecStreamRequest(init=pb.ExecStreamInit(sandbox_id=sandbox.id, command=["/bin/true"]))
    stream = sandbox.stub.StreamExec(iter([init]), timeout=TIMEOUT)
    assert list(stream)[-1].exit.exit_code == 0
    assert facts(stream)["signal"] == 0


def test_exec_past_its_deadline_is_killed(sandbox):
    command, gone = tree_watch(sandbox, "setsid sleep 1000 & sleep 1000")
    error = failure(sandbox.stub.Exec, pb.ExecRequest(sandbox_id=sandbox.id, command=command), timeout=1)
    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert gone.result().exit_code == 0


def test_the_service_itself_enforces_the_deadline(service, sandbox):
    """grpcio gives up at the same moment; the log tells that we did not just see it leave."""
    failure(sandbox.stub.Exec, pb.ExecRequest(sandbox_id=sandbox.id, command=["sleep", "1000"]), timeout=0.3)
    sandbox.sh("true")
    calls = [line for line in service.log().splitlines() if " call method=" in line and "/Exec " in line]
    assert any("code=DEADLINE_EXCEEDED" in c or "client=gone" in c for c in calls)


def test_a_stream_ends_with_exactly_one_exit_after_all_output(sandbox):
    out, err, code = collect(sandbox.stream("/bin/sh", "-c", "seq 1 20000; echo err >&2; exit 5"))
    assert out == b"".join(b"%d\n" % i for i in range(1, 20001))
    assert (err, code) == (b"err\n", 5)


def test_one_write_is_one_frame(sandbox):
    call = sandbox.stream("/bin/sh", "-c", "for i in 1 2 3 4 5; do echo tick $i; sleep 0.05; done")
    frames = [f.output.data for f in call if f.WhichOneof("message") == "output"]
    assert frames == [b"tick %d\n" % i for i in range(1, 6)]


def test_stdin_arrives_in_full_before_its_end(sandbox):
    data = [bytes([i % 251]) * 65536 for i in range(100)]
    out, _, code = collect(sandbox.stream("sha256sum", requests=[*map(stdin, data), CLOSE]))
    import hashlib
    assert out.split()[0].decode() == hashlib.sha256(b"".join(data)).hexdigest() and code == 0


def test_half_close_is_the_end_of_stdin_and_of_nothing_else(sandbox):
    assert collect(sandbox.stream("/bin/sh", "-c", "cat; sleep 0.2; echo later")) == (b"later\n", b"", 0)
    out, _, code = collect(sandbox.stream("/bin/cat", requests=[stdin(b"x" * 10)]))
    assert (out, code) == (b"x" * 10, 0)


def test_stdin_is_answered_while_it_is_open(sandbox):
    requests = Requests()
    call = sandbox.stream("/bin/cat", requests=requests)
    assert next(call).WhichOneof("message") == "ready"
    for word in (b"one", b"two", b"three"):
        requests.send(stdin(word))
        assert next(call).output.data == word
    requests.send(CLOSE)
    assert next(call).exit.exit_code == 0
    with pytest.raises(StopIteration):
        next(call) # the call ends although we never half-closed
    requests.done()


def test_an_exit_does_not_wait_for_stdin(sandbox):
    requests = Requests()
    assert collect(sandbox.stream("/bin/sh", "-c", "exit 4", requests=requests))[2] == 4
    requests.done()


def test_a_process_that_does_not_read_holds_its_client_back(service, sandbox):
    """32 MiB into a command that reads nothing: the window fills, the service does not."""
    before = service.memory_peak_kib()
    sent = []

    def messages():
        for _ in range(128):
            sent.append(1)
            yield stdin(b"x" * 262144)

    call = sandbox.stream("/bin/sh", "-c", "echo started; sleep 1; exec head -c 10", requests=messages())
    out, _, code = collect(call)
    assert out == b"started\n" + b"x" * 10 and code == 0
    assert service.memory_peak_kib() - before < 24 << 10


def test_output_nobody_reads_costs_the_service_no_memory(service, sandbox):
    before = service.memory_peak_kib()
    call = sandbox.stream("head", "-c", str(100 << 20), "/dev/zero")
    assert next(call).WhichOneof("message") == "ready"
    for i in range(50): # the connection is not held up by the call that stands still
        assert sandbox.run("echo", str(i)).stdout == b"%d\n" % i
    total = sum(len(f.output.data) for f in call if f.WhichOneof("message") == "output")
    assert total == 100 << 20
    assert service.memory_peak_kib() - before < 100 << 10


def test_cancelling_a_stream_kills_the_whole_tree(sandbox):
    command, gone = tree_watch(sandbox, "setsid sleep 1000 & sleep 1000 & echo started; wait")
    call = sandbox.stream(*command, requests=Requests())
    assert next(call).WhichOneof("message") == "ready"
    assert next(call).output.data == b"started\n"
    call.cancel()
    assert gone.result().exit_code == 0
    assert sandbox.get().status.state == pb.STATE_RUNNING


def test_a_stream_past_its_deadline_is_killed(sandbox):
    command, gone = tree_watch(sandbox, "setsid sleep 1000 & sleep 1000")
    error = failure(sandbox.stream, *command, timeout=1)
    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert gone.result().exit_code == 0


CHILD = textwrap.dedent("""
    import sys
    sys.path[:0] = {path!r}
    import grpc
    from coreweave.sandbox.v1 import sandbox_pb2 as pb, sandbox_pb2_grpc as rpc
    stub = rpc.SandboxServiceStub(grpc.insecure_channel({target!r}))
    def messages():
        yield pb.ExecStreamRequest(init=pb.ExecStreamInit(sandbox_id={id!r}, command={command!r}))
        sys.stdin.read()
    for frame in stub.StreamExec(messages()):
        if frame.WhichOneof("message") == "output":
            print(frame.output.data.decode(), end="", flush=True)
""")


def test_a_lost_connection_kills_the_exec_and_not_the_sandbox(service, sandbox):
    command, gone = tree_watch(sandbox, "setsid sleep 1000 & sleep 1000 & echo started; wait")
    code = CHILD.format(path=sys.path, target=service.unix, id=sandbox.id, command=command)
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"started\n"
    child.kill()
    child.wait()
    child.stdout.close()
    child.stdin.close()
    assert gone.result().exit_code == 0
    assert sandbox.sh("echo alive") == "alive\n"


def test_giving_many_calls_up_does_not_end_the_others_of_the_connection(service):
    box = service.create("/bin/sleep", ["infinity"])
    witness = box.stream("sh", "-c", "echo up; exec sleep 1000")
    assert [next(witness).WhichOneof("message") for _ in range(2)] == ["ready", "output"]
    for _ in range(15):
        followers = [box.logs(follow=True) for _ in range(100)]
        box.get()  # behind them on the same connection: the service has them now
        for call in followers:
            call.cancel()
    box.get()
    assert witness.is_active()
    witness.cancel()
    box.delete()


def test_many_execs_share_a_connection(sandbox):
    futures = [sandbox.stub.Exec.future(pb.ExecRequest(sandbox_id=sandbox.id, command=["echo", str(i)]),
                                        timeout=TIMEOUT) for i in range(100)]
    assert [f.result().stdout for f in futures] == [b"%d\n" % i for i in range(100)]


def read_until(call, text, seen=b""):
    while text not in seen:
        seen += next(call).output.data
    return seen


def test_a_terminal_echoes_resizes_and_ends(sandbox):
    requests = Requests()
    call = sandbox.stream("/bin/bash", "--norc", requests=requests, tty=True, tty_width=100, tty_height=40)
    assert next(call).WhichOneof("message") == "ready"
    requests.send(stdin(b"stty size; echo do''ne\n"))
    seen = read_until(call, b"done")
    assert b"40 100" in seen and b"stty size" in seen # the answer, and the echo of what was typed
    requests.send(pb.ExecStreamRequest(resize=pb.ExecStreamResize(width=77, height=33)))
    requests.send(stdin(b"stty size; echo ag''ain\n"))
    assert b"33 77" in read_until(call, b"again")
    requests.send(stdin(b"exit 9\n"))
    assert [f.exit.exit_code for f in call if f.WhichOneof("message") == "exit"] == [9]
    requests.done()


def test_closing_a_terminal_lets_pending_input_be_read_first(sandbox):
    call = sandbox.stream("/bin/bash", "--norc", requests=[stdin(b"echo fi''rst\nexit 0\n"), CLOSE], tty=True)
    out, _, code = collect(call)
    assert b"first" in out and code == 0


def test_closing_a_terminal_is_end_of_file_not_a_hangup(sandbox):
    out, _, code = collect(sandbox.stream("/bin/sh", "-c", "cat; echo af''ter", requests=[CLOSE], tty=True))
    assert b"after" in out and code == 0


def test_a_deleted_sandbox_ends_its_execs(service):
    box = service.create()
    call = box.stream("sleep", "1000", requests=Requests())
    assert next(call).WhichOneof("message") == "ready"
    box.delete()
    try: # killed, or gone with the sandbox: both are the truth; an exit 0 would not be
        assert [f.exit.exit_code for f in call] == [137]
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE


def test_exec_in_an_ended_sandbox_is_refused(service):
    box = service.create("/bin/true")
    box.get(wait="terminal")
    error = failure(box.run, "true")
    assert error.code == grpc.StatusCode.FAILED_PRECONDITION and error.reason == "CWSANDBOX_SANDBOX_NOT_RUNNING"
