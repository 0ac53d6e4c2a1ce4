"""--container, against a scripted service: which container a call names."""

import messages  # noqa: F401  makes the next imports work
import pytest
from scripted_server import ID

COMMANDS = {
    "StreamExec": ["exec", "{}", ID, "true"],
    "StreamLogs": ["logs", "{}", ID],
    "ReadFile": ["files", "read", "{}", ID, "/x"],
    "WriteFile": ["files", "write", "{}", ID, "/x", "/etc/passwd"],
}


def container_of(call):
    request = call.requests[0] if call.method == "StreamExec" else call.request
    return request.init.container if call.method == "StreamExec" else request.container


@pytest.mark.parametrize("method", COMMANDS)
@pytest.mark.parametrize("given, sent", [([], ""), (["--container", "db"], "db"), (["--container="], "")], ids=["none", "db", "empty"])
def test_a_call_names_the_container(ordinary_home, scripted, method, given, sent):
    words = [part for word in COMMANDS[method] for part in (given if word == "{}" else [word])]
    result = ordinary_home.run(*words, env={"CWSANDBOX_BASE_URL": scripted.url})
    assert result.returncode == 0, result.stderr
    (call,) = scripted.of(method)
    assert container_of(call) == sent


def test_a_streamed_write_names_it_too(ordinary_home, scripted):
    words = ["files", "write", "--container", "db", ID, "/x", "-"]
    assert ordinary_home.run(*words, input=b"x", env={"CWSANDBOX_BASE_URL": scripted.url}).returncode == 0
    (call,) = scripted.of("StreamExec")
    assert container_of(call) == "db"


def test_a_shell_in_a_container(ordinary_home, scripted):
    ordinary_home.env["CWSANDBOX_BASE_URL"] = scripted.url
    try:
        with ordinary_home.terminal("sh", "--container", "db", ID) as terminal:
            terminal.wait()
    finally:
        del ordinary_home.env["CWSANDBOX_BASE_URL"]
    (call,) = scripted.of("StreamExec")
    assert container_of(call) == "db"


def test_a_container_that_is_not_there_is_an_error(home, sandbox):
    result = home.run("exec", "--container", "nobody", sandbox, "true")
    assert result.returncode == 1 and b"nobody" in result.stderr
    assert home.run("exec", "--container", "main", sandbox, "true").returncode == 0
