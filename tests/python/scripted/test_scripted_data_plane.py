"""data_plane_mode: commands, terminals, logs and files by the API, past it, or whatever is possible."""

from __future__ import annotations

import cwsandbox as cw
import pytest
from cwsandbox import DataPlaneMode, Sandbox
from scripted_server import ID, Status

OPERATIONS = {
    "exec": lambda sb: sb.exec(["x"]).result(),
    "shell": lambda sb: sb.shell(["x"]).result(),
    "logs": lambda sb: list(sb.stream_logs()),
    "read_file": lambda sb: sb.read_file("/x").result(),
    "write_file": lambda sb: sb.write_file("/x", b"").result(),
    "read_file_streaming": lambda sb: list(sb.read_file_streaming("/x")),
    "write_file_streaming": lambda sb: sb.write_file_streaming("/x", b"").result(),
}
MAKES = {
    "constructor": lambda mode: Sandbox(data_plane_mode=mode),
    "run": lambda mode: Sandbox.run(data_plane_mode=mode),
    "defaults": lambda mode: Sandbox(defaults={"data_plane_mode": mode}),
    "list": lambda mode: Sandbox.list(data_plane_mode=mode).result()[0],
    "from_id": lambda mode: Sandbox.from_id(ID, data_plane_mode=mode).result(),
    "session.sandbox": lambda mode: cw.Session().sandbox(data_plane_mode=mode),
    "session": lambda mode: cw.Session({"data_plane_mode": mode}).sandbox(),
    "session.list": lambda mode: cw.Session({"data_plane_mode": mode}).list().result()[0],
    "session.from_id": lambda mode: cw.Session({"data_plane_mode": mode}).from_id(ID, adopt=False).result(),
}


@pytest.mark.parametrize("mode", [DataPlaneMode.GATEWAY, "Gateway"], ids=str)
@pytest.mark.parametrize("make", MAKES)
def test_gateway_never_asks_for_a_connection(server, make, mode):
    server.on("ConnectSandbox", Status("UNIMPLEMENTED"))
    MAKES[make](mode).exec(["x"]).result()
    assert server.of("StreamExec") and server.of("ConnectSandbox") == []


@pytest.mark.parametrize("mode", [DataPlaneMode.AUTO, "Auto"], ids=str)
@pytest.mark.parametrize("make", MAKES)
def test_auto_asks_once_and_goes_through_the_api(server, make, mode):
    server.on("ConnectSandbox", Status("UNIMPLEMENTED"))
    MAKES[make](mode).exec(["x"]).result()
    assert len(server.of("StreamExec")) == len(server.of("ConnectSandbox")) == 1


def test_auto_is_the_default(server):
    server.on("ConnectSandbox", Status("UNIMPLEMENTED"))
    for sandbox in (Sandbox(), Sandbox.run(), cw.Session().sandbox(), Sandbox.list().result()[0], Sandbox.from_id(ID).result()):
        sandbox.exec(["x"]).result()
    assert len(server.of("StreamExec")) == len(server.of("ConnectSandbox")) == 5


@pytest.mark.parametrize("make", MAKES)
def test_direct_that_is_not_possible_says_so(server, consume, make):
    sandbox = MAKES[make]("direct")
    with pytest.raises(cw.SandboxUnavailableError, match="Direct data-plane access is unavailable"):
        consume(lambda: sandbox.exec(["x"]))
    assert server.of("StreamExec") == []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_direct_sends_nothing_of_the_data_through_the_gateway(server, operation):
    sandbox = Sandbox.run(data_plane_mode=DataPlaneMode.DIRECT)
    with pytest.raises(cw.SandboxUnavailableError, match="Direct data-plane access is unavailable"):
        OPERATIONS[operation](sandbox)
    assert {call.method for call in server.calls} <= {"CreateSandbox", "GetSandbox"}
    sandbox.stop().result()  # everything else goes through the API


def test_the_argument_wins_over_the_defaults(server):
    Sandbox(defaults={"data_plane_mode": "direct"}, data_plane_mode="auto").exec(["x"]).result()
    assert server.of("StreamExec")


def test_a_mode_that_is_none_is_a_value_error(server, consume):
    for make in (lambda: Sandbox(data_plane_mode="x"), lambda: cw.SandboxDefaults(data_plane_mode="x"), lambda: cw.Session().sandbox(data_plane_mode="x")):
        with pytest.raises(ValueError, match="DataPlaneMode"):
            make()
    for call in (lambda: Sandbox.list(data_plane_mode="x"), lambda: Sandbox.from_id(ID, data_plane_mode="x")):
        with pytest.raises(ValueError, match="DataPlaneMode"):
            consume(call)
    assert server.calls == []


def test_a_function_takes_it(server):
    @cw.Session().function(data_plane_mode="direct")
    def work():
        return 1

    with pytest.raises(cw.CWSandboxError, match="Direct data-plane access is unavailable"):
        work.remote().result()
