"""Credentials, metadata, base URLs, as a server sees them."""

from __future__ import annotations

import sys
import types
import typing

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


def test_a_mode_that_is_no_function_or_gives_no_headers_is_an_error(server, consume, auth_mode):
    with pytest.raises(TypeError, match="'mine'.*callable"):
        cw.set_auth_mode("mine", "not a function")
    auth_mode("mine", lambda: "token")
    with pytest.raises(CWSandboxAuthenticationError, match="Configured auth mode mine returned str, expected AuthHeaders"):
        consume(Sandbox.list)


def test_auth_headers_are_true_when_there_are_some():
    assert AuthHeaders({"a": "b"}, "x") and not AuthHeaders({}, "x")
    with pytest.raises(AttributeError):
        AuthHeaders({}, "x").strategy = "y"


# ---- auth=


class Provider:
    """Credentials made of the URL; remembers for which ones it was asked."""

    def __init__(self, answer=lambda url: AuthHeaders({"X-For": url}, "mine")):
        self.answer, self.asked = answer, []

    def resolve_auth(self, *, base_url):
        self.asked.append(base_url)
        return self.answer(base_url)


WITH_AUTH = {
    "list": lambda auth: Sandbox.list(auth=auth).result(),
    "from_id": lambda auth: Sandbox.from_id(ID, auth=auth).result(),
    "delete": lambda auth: Sandbox.delete(ID, auth=auth).result(),
    "get_snapshot": lambda auth: Sandbox.get_snapshot("s", auth=auth).result(),
    "list_snapshots": lambda auth: Sandbox.list_snapshots(auth=auth).result(),
    "delete_snapshot": lambda auth: Sandbox.delete_snapshot("s", auth=auth).result(),
    "get_snapshot_bucket_config": lambda auth: Sandbox.get_snapshot_bucket_config(auth=auth).result(),
    "set_snapshot_bucket_config": lambda auth: Sandbox.set_snapshot_bucket_config(bucket_name="b", auth=auth).result(),
    "run": lambda auth: Sandbox.run(auth=auth).wait(),
    "run_from_template": lambda auth: Sandbox.run_from_template("t", auth=auth).wait(),
    "exec": lambda auth: Sandbox(auth=auth).exec(["x"]).result(),
    "defaults": lambda auth: Sandbox.run(defaults=cw.SandboxDefaults(auth=auth)),
    "mapping": lambda auth: Sandbox.run(defaults={"auth": auth}),
    "list_runners": lambda auth: cw.list_runners(auth=auth),
    "get_runner": lambda auth: cw.get_runner("r", organization_id="o", auth=auth),
    "session": lambda auth: Sandbox.session(auth=auth).sandbox().start().result(),
    "session.sandbox": lambda auth: cw.Session(auth=AuthHeaders({"x-for": "nobody"}, "x")).sandbox(auth=auth).start().result(),
    "session.defaults": lambda auth: cw.Session({"auth": auth}).sandbox().start().result(),
    "session.list": lambda auth: cw.Session({"auth": AuthHeaders({"x-for": "nobody"}, "x")}, auth=auth).list().result(),
    "session.from_id": lambda auth: cw.Session(auth=auth).from_id(ID, adopt=False).result(),
}


def quietly(operation, auth):
    """The scripted server knows no snapshots and no templates; what was sent is the question."""
    try:
        WITH_AUTH[operation](auth)
    except cw.CWSandboxError as error:
        assert not isinstance(error, CWSandboxAuthenticationError), error


@pytest.mark.parametrize("operation", WITH_AUTH)
def test_auth_goes_with_every_call_and_wins_over_the_mode_and_the_key(server, monkeypatch, auth_mode, operation):
    monkeypatch.setenv("CWSANDBOX_API_KEY", "secret")
    auth_mode("mine", lambda: AuthHeaders({"x-mode": "mode"}, "mode"))
    provider = Provider()
    quietly(operation, provider)
    assert server.calls and metadata(server) == [{"x-for": server.url}] * len(server.calls)
    assert provider.asked == [server.url]


def test_headers_are_used_as_they_are(server):
    Sandbox.list(auth=AuthHeaders({"X-One": "1", "Authorization": "Basic x"}, "mine")).result()
    Sandbox.list(auth=AuthHeaders({}, "none")).result()
    assert metadata(server) == [{"x-one": "1", "authorization": "Basic x"}, {}]


def test_two_objects_have_two_credentials(server):
    first, second = Sandbox(auth=AuthHeaders({"x-who": "1"}, "a")), Sandbox(auth=AuthHeaders({"x-who": "2"}, "a"))
    for sandbox in (first, second, first):
        sandbox.exec(["x"]).result()
    assert {m["x-who"] for m in metadata(server)} == {"1", "2"}
    assert [m["x-who"] for c, m in zip(server.calls, metadata(server), strict=True) if c.method == "StreamExec"] == ["1", "2", "1"]


def test_what_a_list_found_keeps_the_credentials_of_the_list(server):
    (sandbox,) = Sandbox.list(auth=AuthHeaders({"x-who": "1"}, "a")).result()
    sandbox.get_status()
    assert metadata(server) == [{"x-who": "1"}] * 2


def test_a_provider_is_asked_once_for_a_sandbox_and_for_the_url_that_is_called(server):
    provider = Provider()
    sandbox = Sandbox(auth=provider, base_url=server.url + "/")
    assert provider.asked == []
    sandbox.wait()
    sandbox.get_status()
    assert provider.asked == [server.url]


@pytest.mark.parametrize("wrong", ["wandb", 1, object(), cw.WandbAuth, {"authorization": "x"}], ids=repr)
def test_an_auth_that_is_none_is_refused_when_it_is_used(server, consume, wrong):
    sandbox, session = Sandbox(auth=wrong), cw.Session(auth=wrong)
    for make in (sandbox.start, session.list, lambda: Sandbox.list(auth=wrong)):
        with pytest.raises(TypeError, match="AuthStrategy"):
            consume(make)
    assert server.calls == []


def test_the_key_asked_for_by_name_must_be_there(server, consume, monkeypatch):
    by_name = cw.AuthStrategy.COREWEAVE_API_KEY
    with pytest.raises(CWSandboxAuthenticationError, match="CWSANDBOX_API_KEY"):
        consume(lambda: Sandbox.list(auth=by_name))
    monkeypatch.setenv("CWSANDBOX_API_KEY", "secret")
    Sandbox.list(auth=by_name).result()
    assert metadata(server) == [{"authorization": "Bearer secret"}]


@pytest.mark.parametrize("answer", [None, {"authorization": "x"}], ids=repr)
def test_a_provider_without_credentials_is_named(server, consume, answer):
    with pytest.raises(CWSandboxAuthenticationError, match="Provider.*returned no credentials"):
        consume(lambda: Sandbox.list(auth=Provider(lambda url: answer)))
    assert server.calls == []


def test_what_a_provider_raises_comes_through(server, consume):
    def refuse(url):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        consume(lambda: Sandbox.list(auth=Provider(refuse)))


def test_credentials_without_a_url_are_for_the_hosted_service(server, consume, monkeypatch):
    monkeypatch.delenv("CWSANDBOX_BASE_URL")

    def refuse(url):
        raise KeyError(url)

    with pytest.raises(KeyError, match="https://api.cwsandbox.com"):
        consume(lambda: Sandbox.list(auth=Provider(refuse)))
    assert cw.Session(auth=Provider(refuse))._url() == "https://api.cwsandbox.com"
    assert cw.Session(auth=AuthHeaders({}, "none"))._url().startswith("unix:")


def test_auth_is_not_shown():
    assert "hidden" not in repr(cw.SandboxDefaults(auth=AuthHeaders({"a": "hidden"}, "x")))
    assert "hidden" not in repr(Sandbox(auth=AuthHeaders({"a": "hidden"}, "x")))


def test_what_provides_credentials_is_a_provider():
    assert isinstance(Provider(), cw.AuthProvider) and isinstance(cw.WandbAuth(), cw.AuthProvider)
    assert not isinstance(object(), cw.AuthProvider)
    assert set(typing.get_args(cw.AuthConfig)) == {cw.AuthStrategy, cw.AuthProvider, AuthHeaders}


# ---- W&B. The package needs an account, so a module with settings stands in for it.

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def wandb(monkeypatch, tmp_path):
    settings = types.SimpleNamespace(api_key=None, base_url="https://api.wandb.ai", entity=None, project=None)
    module = types.ModuleType("wandb")
    module.__version__, module.run = "0.29.1", None
    module.setup = lambda: types.SimpleNamespace(settings=settings)
    module.settings = settings
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return module


def test_wandb_credentials_are_headers_of_their_own(server, wandb):
    wandb.settings.api_key = KEY
    Sandbox.list(auth=cw.AuthStrategy.WANDB).result()
    assert metadata(server) == [{"x-wandb-api-key": KEY, "x-wandb-sdk-version": "0.29.1"}]
    assert cw.WandbAuth().resolve_auth(base_url="").strategy == "wandb_api_key"


def test_entity_and_project_are_the_arguments_then_the_run_then_the_settings(server, wandb):
    wandb.settings.api_key, wandb.settings.entity, wandb.settings.project = KEY, "settings", "settings"

    def named(auth):
        Sandbox.list(auth=auth).result()
        sent = metadata(server)[-1]
        return sent["x-entity-id"], sent["x-project-name"]

    assert named(cw.AuthStrategy.WANDB) == ("settings", "settings")
    wandb.run = types.SimpleNamespace(entity="run", project="run")
    assert named(cw.WandbAuth()) == ("run", "settings")
    assert named(cw.WandbAuth("mine", "ours")) == ("mine", "ours")


def test_a_wandb_server_of_ones_own_is_named_and_its_key_is_in_netrc(server, wandb, tmp_path):
    wandb.settings.base_url = "https://wandb.example.com:8443"
    (tmp_path / "netrc").write_text(f"machine wandb.example.com login user password local-{KEY}\nmachine api.wandb.ai login user password x\n")
    Sandbox.list(auth=cw.AuthStrategy.WANDB).result()
    assert metadata(server)[0]["x-wandb-host"] == "wandb.example.com:8443"
    assert metadata(server)[0]["x-wandb-api-key"] == f"local-{KEY}"


@pytest.mark.parametrize("key, words", [(None, "wandb login"), ("head.payload.signature" * 3, "not an API key"), ("short", "not an API key")])
def test_without_an_api_key_of_wandb_nothing_is_sent(server, consume, wandb, key, words):
    wandb.settings.api_key = key
    with pytest.raises(CWSandboxAuthenticationError, match=words) as caught:
        consume(lambda: Sandbox.list(auth=cw.AuthStrategy.WANDB))
    assert server.calls == [] and (key is None or key not in str(caught.value))


def test_without_the_package_there_is_a_hint(server, consume, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it fails
    with pytest.raises(CWSandboxAuthenticationError, match=r'pip install "cwsandbox\[wandb\]"'):
        consume(lambda: Sandbox.list(auth=cw.AuthStrategy.WANDB))


def test_the_default_never_tries_wandb(server, wandb):
    wandb.settings.api_key = KEY
    Sandbox.list().result()
    assert metadata(server) == [{}]


@pytest.mark.parametrize("names", [dict(entity=""), dict(project=" "), dict(entity="\t", project="x")], ids=repr)
def test_blank_names_of_wandb_are_refused(names):
    with pytest.raises(ValueError, match="blank"):
        cw.WandbAuth(**names)


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
