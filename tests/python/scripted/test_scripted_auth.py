"""Credentials, metadata, base URLs, as a server sees them."""

from __future__ import annotations

import cwsandbox as cw
import pytest
from cwsandbox import AuthHeaders, CWSandboxAuthenticationError, Sandbox, _auth, set_auth_mode
from scripted_server import ID, ScriptedServer

# What HTTP/2 and gRPC themselves add; grpcio shows some of it
OWN = {"user-agent", "grpc-accept-encoding", "accept-encoding", "te", "content-type"}


@pytest.fixture
def auth_mode():
    before = _auth._mode
    yield set_auth_mode
    _auth._mode = before


OPERATIONS = {
    "list": lambda: Sandbox.list().result(),
    "from_id": lambda: Sandbox.from_id(ID).result(),
    "delete": lambda: Sandbox.delete(ID).result(),
    "run": lambda: Sandbox.run().wait(),
    "exec": lambda: Sandbox().exec(["x"]).result(),
    "files": lambda: Sandbox().write_file("/x", b"").result(),
    "logs": lambda: list(Sandbox().stream_logs()),
    "stop": lambda: Sandbox.run().stop().result(),
}


def metadata(server):
    return [{k: v for k, v in call.metadata.items() if k not in OWN} for call in server.calls]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_key_goes_with_every_call(server, monkeypatch, operation):
    monkeypatch.setenv("CWSANDBOX_API_KEY", "secret")
    OPERATIONS[operation]()
    assert server.calls and metadata(server) == [{"authorization": "Bearer secret"}] * len(server.calls)


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_calls_go_without_credentials(server, monkeypatch, key):
    if key is not None:
        monkeypatch.setenv("CWSANDBOX_API_KEY", key)
    for name in ("WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.setenv(name, "x")
    Sandbox.list().result()
    assert metadata(server) == [{}]
    assert not _auth.resolve_auth() and _auth.resolve_auth().strategy == "none"


def test_the_key_is_read_at_each_class_call_and_once_per_sandbox(server, monkeypatch):
    monkeypatch.setenv("CWSANDBOX_API_KEY", "one")
    sb = Sandbox.run()
    monkeypatch.setenv("CWSANDBOX_API_KEY", "two")
    Sandbox.list().result()
    sb.wait()
    assert [m["authorization"] for m in metadata(server)] == ["Bearer one", "Bearer two", "Bearer one"]


def test_a_mode_of_ones_own_replaces_the_key(server, monkeypatch, auth_mode):
    monkeypatch.setenv("CWSANDBOX_API_KEY", "secret")
    auth_mode("mine", lambda: AuthHeaders({"X-My-Header": "v", "Authorization": "Other x"}, "mine"))
    Sandbox.list().result()
    assert metadata(server) == [{"x-my-header": "v", "authorization": "Other x"}]
    auth_mode("nobody", lambda: AuthHeaders({}, "none"))
    Sandbox.list().result()
    assert metadata(server)[1] == {}


def test_no_credentials_is_an_error_that_names_the_mode(server, consume, auth_mode):
    auth_mode("mine", lambda: None)
    with pytest.raises(CWSandboxAuthenticationError, match="mine.*returned no credentials"):
        consume(Sandbox.list)
    assert server.calls == []


@pytest.mark.parametrize("error", [CWSandboxAuthenticationError("mine"), KeyError("mine")], ids=repr)
def test_what_the_callback_raises_comes_through(server, consume, auth_mode, error):
    def refuse():
        raise error

    auth_mode("mine", refuse)
    with pytest.raises(type(error), match="mine"):
        consume(Sandbox.list)


@pytest.mark.parametrize("name, value, words", [
    ("Authorization", "Bearer  ", "starts or ends with a blank"), ("x-a", "\tb", "starts or ends with a blank"),
    ("x-a", "b\n", "not printable ASCII"), ("bad name", "x", "is not a header name"), ("grpc-timeout", "1S", "belongs to the protocol"),
    ("TE", "x", "belongs to the protocol"), ("content-type", "x", "belongs to the protocol"), ("connection", "close", "belongs to the protocol"),
])  # fmt: skip
def test_a_header_that_cannot_be_sent_is_named(server, consume, auth_mode, name, value, words):
    auth_mode("mine", lambda: AuthHeaders({name: value}, "mine"))
    with pytest.raises(ValueError, match=f"`{name.lower()}`.*{words}"):
        consume(Sandbox.list)
    assert server.calls == []


def test_a_key_of_blanks_is_a_value_error_that_does_not_show_it(server, monkeypatch):
    monkeypatch.setenv("CWSANDBOX_API_KEY", "secret ")
    with pytest.raises(ValueError, match="authorization") as caught:
        Sandbox.list().result()
    assert "secret" not in str(caught.value)


def test_a_mode_that_is_no_function_or_gives_no_headers_is_a_type_error(server, consume, auth_mode):
    with pytest.raises(TypeError, match="'mine'.*callable"):
        cw.set_auth_mode("mine", "not a function")
    auth_mode("mine", lambda: "token")
    with pytest.raises(TypeError, match="'mine' must return AuthHeaders, not str"):
        consume(Sandbox.list)


def test_auth_headers_are_true_when_there_are_some():
    assert AuthHeaders({"a": "b"}, "x") and not AuthHeaders({}, "x")
    with pytest.raises(AttributeError):
        AuthHeaders({}, "x").strategy = "y"


# ---- base URLs


@pytest.mark.parametrize("url, words", [
    ("http://127.0.0.1:1/path", "gRPC does not support URL paths"),
    ("https://example.com/v1/", "gRPC does not support URL paths"),
    ("ftp://example.com", "URL must use http or https scheme"),
    ("example.com:80", "URL must use http or https scheme"),
    ("http://", "URL must have a hostname"),
    ("https://:443", "URL must have a hostname"),
])
def test_wrong_urls_are_value_errors(server, consume, url, words):
    for make in (lambda: Sandbox.list(base_url=url), lambda: Sandbox.from_id(ID, base_url=url), lambda: Sandbox.delete(ID, base_url=url)):
        with pytest.raises(ValueError, match=words):
            consume(make)
    with pytest.raises(ValueError, match=words):
        Sandbox(base_url=url).start().result()


def test_a_trailing_slash_is_nothing(server):
    assert len(Sandbox.list(base_url=server.url + "/").result()) == 1
    assert len(Sandbox.list(base_url=server.url.replace("http", "HTTP")).result()) == 1


def test_the_argument_beats_the_environment_which_beats_the_defaults(server):
    other = ScriptedServer()
    try:
        Sandbox(defaults={"base_url": other.url}).start().result()
        assert (len(server.calls), len(other.calls)) == (1, 0)
        Sandbox(base_url=other.url).start().result()
        assert (len(server.calls), len(other.calls)) == (1, 1)
    finally:
        other.close()


def test_messages_may_be_as_large_as_100_mib(server):
    from coreweave.sandbox.v1 import sandbox_pb2 as pb

    content = bytes(99 << 20)
    server.on("ReadFile", pb.ReadFileResponse(content=content))
    assert Sandbox.run().read_file("/x").result() == content


def test_a_host_that_is_not_there_is_unavailable(consume):
    with pytest.raises(cw.SandboxUnavailableError):
        consume(lambda: Sandbox.list(base_url="http://127.0.0.1:1"))
