"""Arguments, defaults, exceptions, credentials: everything that is decided before a call is made."""

from __future__ import annotations

import dataclasses
import datetime
import pickle

import cwsandbox
import pytest
from cwsandbox import (
    AuthHeaders,
    CWSandboxAuthenticationError,
    CWSandboxError,
    NetworkOptions,
    PlacementMode,
    ResourceOptions,
    Sandbox,
    SandboxDefaults,
    SandboxStatus,
    _auth,
    _defaults,
    exceptions,
    format_bytes,
    format_cpu,
)
from cwsandbox._options import parse_quantity, to_resources

# ---- SandboxDefaults


def test_documented_values():
    d = SandboxDefaults()
    assert (d.container_image, d.command, d.base_url) == ("python:3.11", "/bin/sh", "https://api.cwsandbox.com")
    assert d.args[0] == "-c" and len(d.args) == 2 and "trap" in d.args[1]
    assert (d.request_timeout_seconds, d.poll_retry_budget_seconds, d.poll_rpc_timeout_seconds) == (300.0, 30.0, 15.0)
    assert d.max_lifetime_seconds is None and d.temp_dir == "/tmp" and d.tags == () and d.runner_ids is None
    assert d.placement_spillover == "strict" and d.environment_variables == {} and d.annotations == {}
    assert [f.name for f in dataclasses.fields(d)][:4] == ["container_image", "command", "args", "base_url"]
    assert d == SandboxDefaults() and SandboxDefaults(tags=("x",)) != d
    with pytest.raises(dataclasses.FrozenInstanceError):
        d.tags = ("x",)


def test_documented_values_are_sent_only_when_chosen():
    """The rule at the head of _defaults.py."""
    d = SandboxDefaults()
    assert _defaults.is_documented(d.container_image) and not _defaults.is_documented(str(d.container_image))
    assert _defaults.is_documented(pickle.loads(pickle.dumps(d)).container_image)
    assert _defaults.is_documented(d.with_overrides(tags=("x",)).command)
    chosen = SandboxDefaults(container_image="python:3.11")
    assert chosen == d and not _defaults.is_documented(chosen.container_image)
    for url, hosted in (
        ("https://api.cwsandbox.com", True), ("https://x.cwsandbox.com:443", True), ("http://api.cwsandbox.com", False),
        ("https://cwsandbox.com.evil.example", False), ("unix:///run/x", False), ("https://example.com", False),
    ):  # fmt: skip
        assert _defaults.is_hosted(url) is hosted
    with pytest.raises(cwsandbox.SandboxFailedError):  # the chosen image goes to this service too
        Sandbox(defaults=SandboxDefaults(container_image="127.0.0.1:1/no-such-image:1")).wait()
    with Sandbox.run(defaults=SandboxDefaults()) as sandbox:
        sandbox.wait()


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_poll_numbers_are_checked(value):
    with pytest.raises(ValueError, match="poll_retry_budget_seconds"):
        SandboxDefaults(poll_retry_budget_seconds=value)
    with pytest.raises(ValueError, match="poll_rpc_timeout_seconds"):
        SandboxDefaults(poll_rpc_timeout_seconds=value)
    with pytest.raises(ValueError, match="poll_retry_budget_seconds"):
        Sandbox(poll_retry_budget_seconds=value)
    with pytest.raises(ValueError, match="poll_rpc_timeout_seconds"):
        Sandbox(poll_rpc_timeout_seconds=0)


def test_defaults_coerce_and_refuse():
    assert SandboxDefaults(tags=["a", "b"]).tags == ("a", "b")
    for bad in ("abc", b"abc", 3):
        with pytest.raises(TypeError, match="tags must be a sequence of strings"):
            SandboxDefaults(tags=bad)
    with pytest.raises(TypeError, match="tags must contain only strings"):
        SandboxDefaults(tags=[1])
    with pytest.raises(ValueError):
        SandboxDefaults(placement_spillover="sideways")
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        SandboxDefaults(nonsense=1)


def test_merges():
    d = SandboxDefaults(tags=("a",), environment_variables={"A": "1"}, annotations={"k": "v"})
    assert d.merge_tags(None) == ["a"] and d.merge_tags(["a", "b"]) == ["a", "a", "b"]
    with pytest.raises(TypeError):
        d.merge_tags("b")
    assert d.merge_environment_variables({"A": "2", "B": "3"}) == {"A": "2", "B": "3"}
    assert d.merge_annotations(None) == {"k": "v"}
    assert d.with_overrides(temp_dir="/x").temp_dir == "/x"


def test_from_dict():
    assert SandboxDefaults.from_dict(None) == SandboxDefaults()
    d = SandboxDefaults.from_dict({
        "container_image": "img", "tags": ["t"], "args": ["a"], "command": None, "unknown": 1,
        "network": {"deny_egress": True}, "resources": {"cpu": "1"}, "environment_variables": {"A": "1"},
    })  # fmt: skip
    assert d.container_image == "img" and d.tags == ("t",) and d.args == ("a",) and d.command == "/bin/sh"
    assert d.network == NetworkOptions(deny_egress=True) and d.resources == {"cpu": "1"}
    for name in ("profile_ids", "profile_names"):
        with pytest.raises(TypeError, match=name):
            SandboxDefaults.from_dict({name: ["x"]})
    with pytest.raises(TypeError, match="must be a sequence of strings"):
        SandboxDefaults.from_dict({"tags": "one"})


# ---- Sandbox()


def test_unknown_and_removed_arguments():
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        Sandbox(nonsense=1)
    for name in ("profile_ids", "profile_names", "s3_mount", "ports", "max_timeout_seconds"):
        with pytest.raises(TypeError, match=rf"{name}.* w(as|ere) removed in cwsandbox 1\.x; use "):
            Sandbox(**{name: ["x"]})
        Sandbox(**{name: None})
    Sandbox(placement_spillover="STRICT")
    with pytest.raises(TypeError, match="base_url"):
        Sandbox.run(base_url="http://x")
    with pytest.raises(TypeError):
        Sandbox("python")


def test_bad_values_are_refused_without_a_call():
    for kwargs, error in (
        ({"tags": "one"}, TypeError), ({"tags": [1]}, TypeError), ({"runner_ids": "r"}, TypeError),
        ({"args": "x"}, TypeError), ({"resources": 3}, TypeError), ({"network": 3}, TypeError),
        ({"placement_mode": "moon"}, ValueError), ({"request_timeout_seconds": -1}, ValueError),
        ({"defaults": 3}, TypeError), ({"max_lifetime_seconds": -1}, ValueError), ({"max_lifetime_seconds": 1e12}, ValueError),
        ({"max_lifetime_seconds": float("nan")}, ValueError), ({"defaults": {"max_lifetime_seconds": float("inf")}}, ValueError),
    ):  # fmt: skip
        with pytest.raises(error):
            Sandbox(**kwargs)


def test_errors_of_the_wire_form_come_from_the_handle():
    with pytest.raises(TypeError, match=r"environment_variables\['A'\] must be a str, not int"):
        Sandbox(environment_variables={"A": 1}).start().result()
    for kwargs, error in (
        ({"runner_ids": ["r"], "placement_mode": PlacementMode.SERVERLESS}, ValueError),
        ({"mounted_files": [{"mount_path": "/x"}]}, KeyError),
        ({"environment_variables": {"A": 1}}, TypeError),
        ({"base_url": "http://host/path"}, ValueError),
        ({"base_url": "ftp://host"}, ValueError),
        ({"base_url": "https://"}, ValueError),
    ):
        sandbox = Sandbox(**kwargs)
        ref = sandbox.start()
        with pytest.raises(error):
            ref.result()
        process = sandbox.exec(["true"])
        assert list(process.stdout) == []
        with pytest.raises(error):
            process.result()
    with pytest.raises(ValueError, match="gRPC does not support URL paths"):
        Sandbox(base_url="http://host/path").start().result()
    with pytest.raises(ValueError, match="URL must use http or https scheme"):
        Sandbox(base_url="ftp://host").start().result()


def test_unreachable_service_is_unavailable():
    with pytest.raises(cwsandbox.SandboxUnavailableError):
        Sandbox(base_url="http://127.0.0.1:9").start().result(timeout=20)


def test_base_url_of_the_environment(monkeypatch):
    monkeypatch.setenv("CWSANDBOX_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(cwsandbox.SandboxUnavailableError):
        Sandbox().start().result(timeout=20)
    with pytest.raises(cwsandbox.SandboxUnavailableError):  # the environment beats the defaults
        Sandbox(defaults=SandboxDefaults(base_url="ftp://x")).start().result(timeout=20)
    with pytest.raises(ValueError):  # an argument beats the environment
        Sandbox(base_url="ftp://x").start().result(timeout=20)


# ---- resources and network


def test_resource_forms():
    assert to_resources(None) is None
    flat = to_resources({"cpu": "1", "memory": "1Gi", "gpu": 2})
    assert flat == ResourceOptions(
        requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "1", "memory": "1Gi"}, gpu={"count": 2}
    )
    assert to_resources({"requests": {"cpu": "1"}}).limits == {"cpu": "1"}
    assert to_resources(ResourceOptions(limits={"memory": "1Gi"})).requests == {"memory": "1Gi"}
    assert to_resources({"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}).requests == {"cpu": "500m"}
    assert ResourceOptions(requests={}).requests is None
    for bad, error, text in (
        (3, TypeError, "resources must be"), ({}, TypeError, "unrecognized resources dict keys"),
        ({"ram": "1"}, TypeError, "unrecognized resources dict keys"),
        ({"cpu": "1", "ram": "1"}, ValueError, "unrecognized resource keys"),
        ({"requests": {"disk": "1"}}, ValueError, "unrecognized resource keys"),
        ({"requests": {"cpu": "1"}, "cpu": "1"}, ValueError, "unrecognized resource keys"),
        ({"cpu": 1}, TypeError, "resource value for cpu request must be a string"),
        ({"requests": {"cpu": "1"}, "limits": {"memory": 1}}, TypeError, "resource value for memory limit must be a string"),
        ({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}, ValueError, "cpu .*exceeds limit"),
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "1G"}}, ValueError, "memory .*exceeds limit"),
        ({"cpu": "fast"}, ValueError, "unrecognized quantity"), ({"cpu": " "}, ValueError, "empty quantity"),
        ({"gpu": {"cores": 1}}, ValueError, "unrecognized GPU keys"), ({"gpu": 0}, ValueError, "gpu count must be a positive int"),
        ({"gpu": {"count": True}}, ValueError, "gpu count must be a positive int"),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            to_resources(bad)
    Sandbox(resources={"gpu": 1})


def test_resources_are_checked_where_a_sandbox_is_made(shared):
    # As in the published client: a value may be built up, and changed with replace(), before it is used.
    for options, error in (
        (ResourceOptions(requests={"cpu": "2"}, limits={"cpu": "1"}), ValueError),
        (ResourceOptions(requests={"disk": "1"}), ValueError),
        (ResourceOptions(limits={"cpu": 1}), TypeError),
        (ResourceOptions(gpu={"count": 0}), ValueError),
    ):
        defaults = SandboxDefaults(resources=options)
        for make in (lambda: Sandbox(resources=options), lambda: Sandbox(defaults=defaults)):  # noqa: B023
            with pytest.raises(error):
                make()


def test_a_mistake_is_told_by_the_name_of_the_argument(shared):
    for call, error, text in (
        (lambda: shared.exec(["true"], timeout_seconds="5"), TypeError, "timeout_seconds must be a number of seconds, not str"),
        (lambda: Sandbox(max_lifetime_seconds="1h"), TypeError, "max_lifetime_seconds must be a number, not str"),
        (lambda: list(shared.stream_logs(tail_lines=-1)), ValueError, "tail_lines must be a number of lines, not -1"),
        (lambda: list(shared.stream_logs(tail_lines="5")), TypeError, "tail_lines must be a number of lines, not '5'"),
        (lambda: Sandbox.from_id(5).result(), TypeError, "sandbox_id must be a str, not int"),
        (lambda: Sandbox.delete(5).result(), TypeError, "sandbox_id must be a str, not int"),
        (lambda: Sandbox.get_snapshot(5).result(), TypeError, "file_system_snapshot_id must be a str, not int"),
        (lambda: cwsandbox.Volume.get(5).result(), TypeError, "volume_id must be a str, not int"),
        (lambda: shared.write_file("/tmp/x", "text").result(), TypeError, "contents must be bytes, not str"),
        (lambda: Sandbox.run(mounted_files=[{"path": "/x"}]), KeyError, "mounted_files.0. has no 'mount_path'"),
        (lambda: Sandbox.from_id("sb-none").result(), cwsandbox.SandboxNotFoundError, "^Get sandbox: sandbox `sb-none` not found$"),
    ):
        with pytest.raises(error, match=text):
            call()


def test_quantities():
    for text, value in (
        ("1", 1), (" 500m ", "0.5"), ("1.5", "1.5"), (".5", "0.5"), ("1Ki", 1024), ("2Gi", 2 * 1024**3), ("1k", 1000),
        ("3E", 3 * 10**18), ("1e3", 1000), ("1E3", 1000), ("2e-1", "0.2"), ("1.", 1),
    ):  # fmt: skip
        assert parse_quantity(text) == type(parse_quantity("1"))(value), text
    for text in ("", "-1", "1e3Ki", "1 Ki", "Ki", "1K", "1mm", "0x1", "1e", "1..2"):
        with pytest.raises(ValueError):
            parse_quantity(text)


def test_quantities_are_compared_exactly_and_too_large_ones_are_none():
    assert parse_quantity("1.00000000000000000000000000000000001") > parse_quantity("1")
    assert parse_quantity("123456789012345678901234567890Ei") == 123456789012345678901234567890 * 1024**6
    for text in ("1e9999999", "9e999999999999999999999"):
        with pytest.raises(ValueError, match="unrecognized quantity"):
            parse_quantity(text)


def test_network():
    assert NetworkOptions() == NetworkOptions(deny_egress=None, deny_ingress=None)
    assert hash(NetworkOptions(deny_egress=True))
    assert NetworkOptions(egress=[]).egress == ()
    with pytest.raises(ValueError, match="cannot be combined"):
        NetworkOptions(deny_egress=True, egress=[{"dns_name": "x"}])
    with pytest.raises(TypeError):
        NetworkOptions(egress="api.example.org")
    with pytest.raises(TypeError):
        NetworkOptions(True)


# ---- enums, formats


def test_status():
    assert [s.value for s in SandboxStatus][:4] == ["running", "creating", "preparing", "pending"]
    assert f"{SandboxStatus.RUNNING}" == "running" and len(SandboxStatus) == 10
    assert all(SandboxStatus.from_proto(s.to_proto()) is s for s in SandboxStatus)
    assert SandboxStatus.RUNNING.to_proto() == 2 and SandboxStatus.PAUSED.to_proto() == 8


def test_unknown_status_is_unspecified_and_logged(caplog):
    assert SandboxStatus.from_proto(99) is SandboxStatus.UNSPECIFIED
    assert "99" in caplog.text


def test_formats():
    assert [format_bytes(n) for n in (0, 1023, 1024, 1536, 1024**2, 1024**3, 1024**4)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 GiB", "1.0 TiB",
    ]  # fmt: skip
    assert format_cpu(1500) == "1.5 vCPU"


# ---- exceptions


def test_exception_tree():
    e = cwsandbox
    assert issubclass(e.SandboxValidationError, e.SandboxError)
    assert issubclass(e.SandboxValidationError, e.CWSandboxValidationError)
    assert issubclass(e.SnapshotBackendThrottledError, e.SandboxUnavailableError)
    assert issubclass(e.SandboxUnavailableError, e.SandboxNotRunningError)
    assert issubclass(e.SnapshotWaitTimeoutError, e.SandboxTimeoutError)
    assert not issubclass(e.SandboxTimeoutError, TimeoutError)
    assert issubclass(e.DiscoveryValidationError, e.CWSandboxValidationError)
    assert issubclass(e.AsyncFunctionError, e.FunctionError)
    for name in (name for name in cwsandbox.__all__ if name.endswith("Error")):
        cls = getattr(exceptions, name)
        assert issubclass(cls, CWSandboxError)
        exc = cls("text", runner_id="r") if name == "RunnerNotFoundError" else cls("text")
        assert str(exc) == "text" and exc.reason is None and exc.metadata == {} and exc.retry_delay is None
    assert not hasattr(cwsandbox, "ProfileNotFoundError") and exceptions.ProfileNotFoundError("x", profile_name="p")


def test_exception_attributes():
    metadata = {"a": "b"}
    exc = cwsandbox.SandboxNotFoundError(
        "m", sandbox_id="id", reason="R", metadata=metadata, retry_delay=datetime.timedelta(seconds=1)
    )
    metadata["a"] = "changed"
    assert (exc.sandbox_id, exc.reason, exc.metadata, exc.retry_delay.seconds) == ("id", "R", {"a": "b"}, 1)
    for cls in (cwsandbox.SandboxStreamBackpressureError, cwsandbox.SandboxStreamTruncatedError):
        assert cls("m", stream_code="X").stream_code == "X"
        with pytest.raises(TypeError):
            cls("m", reason="R")
    with pytest.raises(TypeError):
        cwsandbox.RunnerNotFoundError("m")
    violation = exceptions.FieldViolation("f", "d")
    assert cwsandbox.SandboxValidationError("m", field_violations=[violation]).field_violations == (violation,)


def test_validation_error_of_the_service():
    sandbox = Sandbox(environment_variables={"BAD=NAME": "1"})
    with pytest.raises(cwsandbox.SandboxError) as info:
        sandbox.start().result()
    if isinstance(info.value, cwsandbox.SandboxValidationError):
        assert info.value.field_violations[0].field


# ---- credentials


@pytest.fixture
def auth_mode():
    before = _auth._mode
    yield
    _auth._mode = before


def test_auth_headers():
    assert not AuthHeaders({}, "none") and AuthHeaders({"a": "b"}, "x")
    with pytest.raises(dataclasses.FrozenInstanceError):
        AuthHeaders({}, "none").strategy = "x"


def test_api_key(monkeypatch):
    assert _auth.resolve_auth() == AuthHeaders({}, "none")
    monkeypatch.setenv("CWSANDBOX_API_KEY", "k")
    assert _auth.resolve_auth() == AuthHeaders({"Authorization": "Bearer k"}, "api_key")
    assert _auth.resolve_auth_metadata() == {"authorization": "Bearer k"}


def test_auth_mode_is_asked_when_a_sandbox_opens(auth_mode):
    asked = []

    def get_auth():
        asked.append(1)
        return AuthHeaders({"X-Token": "t"}, "mine")

    cwsandbox.set_auth_mode("mine", get_auth)
    sandbox = Sandbox()
    assert asked == []
    with sandbox:
        sandbox.exec(["true"]).result()
        assert asked == [1]
    Sandbox.list().result()
    assert asked == [1, 1]


def test_auth_mode_errors_come_from_the_handle(auth_mode):
    cwsandbox.set_auth_mode("empty", lambda: None)
    ref = Sandbox.list()
    with pytest.raises(CWSandboxAuthenticationError, match="Configured auth mode empty returned no credentials"):
        ref.result()

    def failing():
        raise CWSandboxAuthenticationError("no token")

    cwsandbox.set_auth_mode("failing", failing)
    sandbox = Sandbox()
    ref = sandbox.start()
    with pytest.raises(CWSandboxAuthenticationError, match="no token"):
        ref.result()
