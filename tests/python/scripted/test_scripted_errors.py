"""From statuses and their details to exceptions; every reason and every status."""

from __future__ import annotations

import copy
import datetime
import pickle

import cwsandbox as cw
import cwsandbox.exceptions
import grpc
import pytest
from cwsandbox import Sandbox
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from scripted_server import ID, Status, exec_error, pack, ready, sandbox

REASONS = {
    **dict.fromkeys(
        ["FILE_NOT_FOUND", "FILE_IS_DIRECTORY", "FILE_IO_FAILED", "FILE_PERMISSION_DENIED", "FILE_TRUNCATED", "FILE_TOO_LARGE"],
        cw.SandboxFileError),
    "SANDBOX_NOT_FOUND": cw.SandboxNotFoundError,
    "SANDBOX_NOT_RUNNING": cw.SandboxNotRunningError,
    "COMMAND_TIMEOUT": cw.SandboxCommandTimeoutError,
    "RUNNER_UNAVAILABLE": cw.SandboxUnavailableError,
    "BACKEND_UNAVAILABLE": cw.SandboxUnavailableError,
    "RUNNER_SHARD_RETIRING": cw.SandboxUnavailableError,
    "FSS_NOT_FOUND": cw.SnapshotNotFoundError,
    "FSS_NOT_READY": cw.SnapshotNotReadyError,
    "FSS_NOT_SUPPORTED": cw.SnapshotNotSupportedError,
    "FSS_SIZE_EXCEEDED": cw.SnapshotSizeExceededError,
    "FSS_QUOTA_EXCEEDED": cw.SnapshotQuotaExceededError,
    "FSS_BUCKET_MISMATCH": cw.SnapshotBucketMismatchError,
    **dict.fromkeys(
        ["FSS_BUCKET_UNAVAILABLE", "FSS_RESTORE_FAILED", "FSS_CREATE_FAILED", "FSS_CREATE_TIMED_OUT", "FSS_AUTH_FAILED",
         "FSS_TRANSPORT_FAILED", "FSS_CANCELED"], cw.SandboxSnapshotError),
    "FSS_WAIT_TIMEOUT": cw.SnapshotWaitTimeoutError,
    "FSS_BACKEND_THROTTLED": cw.SnapshotBackendThrottledError,
    "FSS_INFLIGHT_LIMIT": cw.SnapshotBackendThrottledError,
    "FSS_BUCKET_PROVISIONING": cw.SnapshotBucketProvisioningError,
    "VOLUME_NOT_FOUND": cw.VolumeNotFoundError,
    "VOLUME_NOT_READY": cw.VolumeNotReadyError,
    "VOLUME_PLACEMENT_CONFLICT": cw.VolumePlacementConflictError,
    "VOLUME_TYPE_NOT_SUPPORTED": cw.VolumeTypeNotSupportedError,
    "VOLUME_NOT_SNAPSHOTTABLE": cw.VolumeNotSnapshottableError,
    "VOLUME_RUNNER_INELIGIBLE": cw.VolumeRunnerIneligibleError,
    "VOLUME_BACKEND_NOT_FOUND": cw.VolumeBackendNotFoundError,
    "VOLUME_IN_USE": cw.VolumeInUseError,
    "VOLUME_QUOTA_EXCEEDED": cw.VolumeQuotaExceededError,
    "VOLUME_RUNNER_UNAVAILABLE": cw.VolumeRunnerUnavailableError,
}

STATUSES = {
    "CANCELLED": cw.SandboxNotRunningError,
    "UNKNOWN": cw.SandboxError,
    "INVALID_ARGUMENT": cw.SandboxError,
    "DEADLINE_EXCEEDED": cw.SandboxRequestTimeoutError,
    "NOT_FOUND": cw.SandboxNotFoundError,
    "ALREADY_EXISTS": cw.SandboxError,
    "PERMISSION_DENIED": cw.CWSandboxAuthenticationError,
    "RESOURCE_EXHAUSTED": cw.SandboxResourceExhaustedError,
    "FAILED_PRECONDITION": cw.SandboxError,
    "ABORTED": cw.SandboxError,
    "OUT_OF_RANGE": cw.SandboxError,
    "UNIMPLEMENTED": cw.SandboxError,
    "INTERNAL": cw.SandboxError,
    "UNAVAILABLE": cw.SandboxUnavailableError,
    "DATA_LOSS": cw.SandboxError,
    "UNAUTHENTICATED": cw.CWSandboxAuthenticationError,
}


def error_of(make) -> cw.CWSandboxError:
    with pytest.raises(cw.CWSandboxError) as caught:
        make().result()
    return caught.value


def from_id_error(server, status) -> cw.CWSandboxError:
    server.on("GetSandbox", status)
    return error_of(lambda: Sandbox.from_id(ID))


def test_every_status_of_grpc_is_in_the_table():
    assert {code.name for code in grpc.StatusCode} == {*STATUSES, "OK"}


@pytest.mark.parametrize("code", STATUSES)
def test_a_status_gives_its_class_by_result_and_by_await(server, consume, code):
    server.on("GetSandbox", Status(code, "what the service says"))
    with pytest.raises(cw.CWSandboxError) as caught:
        consume(lambda: Sandbox.from_id(ID))
    error = caught.value
    assert type(error) is STATUSES[code]
    assert "what the service says" in str(error)
    assert (error.reason, error.metadata, error.retry_delay) == (None, {}, None)
    if code == "NOT_FOUND":
        assert error.sandbox_id == ID and "not found" in str(error) and ID in str(error)


@pytest.mark.parametrize("reason", REASONS)
def test_a_trusted_reason_beats_the_status(server, consume, reason):
    server.on("GetSandbox", Status("INTERNAL", "no", reason="CWSANDBOX_" + reason, metadata={"a": "1"}, retry=1.5))
    with pytest.raises(cw.CWSandboxError) as caught:
        consume(lambda: Sandbox.from_id(ID))
    error = caught.value
    assert type(error) is REASONS[reason]
    assert error.reason == "CWSANDBOX_" + reason
    assert error.metadata == {"a": "1"}
    assert error.retry_delay == datetime.timedelta(seconds=1.5)


@pytest.mark.parametrize("domain", ["", "example.com", "cwsandbox.com.example.com", "CWSANDBOX.COM", "api.cwsandbox.com"])
def test_an_untrusted_reason_chooses_nothing_but_is_attached(server, domain):
    error = from_id_error(server, Status("INTERNAL", "no", reason="CWSANDBOX_FSS_NOT_FOUND", domain=domain))
    assert type(error) is cw.SandboxError
    assert error.reason == "CWSANDBOX_FSS_NOT_FOUND"


def test_an_unknown_trusted_reason_leaves_the_choice_to_the_status(server):
    error = from_id_error(server, Status("UNAVAILABLE", "no", reason="CWSANDBOX_SOMETHING_NEW"))
    assert type(error) is cw.SandboxUnavailableError
    assert error.reason == "CWSANDBOX_SOMETHING_NEW"


@pytest.mark.parametrize("code, prefix", [("UNAUTHENTICATED", "Authentication failed"), ("PERMISSION_DENIED", "Permission denied")])
def test_authentication_errors_say_which_of_the_two_it_was(server, code, prefix):
    assert prefix in str(from_id_error(server, Status(code, "no key")))


@pytest.mark.parametrize("code", ["INTERNAL", "NOT_FOUND", "UNAUTHENTICATED", "CANCELLED", "INVALID_ARGUMENT"])
def test_a_status_without_a_text_is_named(server, code):
    assert str(from_id_error(server, Status(code, ""))).endswith(f": {code}")


def test_every_exception_survives_pickle_and_copy():
    details = {"reason": "CWSANDBOX_X", "metadata": {"a": "b"}, "retry_delay": datetime.timedelta(seconds=1)}
    needed = {"RunnerNotFoundError": {"runner_id": "r"}, "ProfileNotFoundError": {"profile_name": "p"}}
    classes = [c for c in vars(cw.exceptions).values() if isinstance(c, type) and issubclass(c, cw.CWSandboxError)]
    assert len(classes) > 30
    for cls in classes:
        given = {k: v for k, v in details.items() if k != "reason" or not issubclass(cls, cw.exceptions._StreamError)}
        error = cls("what happened", **given, **needed.get(cls.__name__, {}))
        error.add_note("a note")
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(twin) is cls and str(twin) == "what happened" and vars(twin) == vars(error)


def test_a_cancelled_call_says_so(server):
    assert "was cancelled" in str(from_id_error(server, Status("CANCELLED", "no reason given")))


def test_field_violations_are_listed_in_the_message(server):
    error = from_id_error(server, Status("INVALID_ARGUMENT", "bad", violations=[("a.b", "too long"), ("", "alone")]))
    assert type(error) is cw.SandboxValidationError
    assert error.field_violations == (cw.FieldViolation("a.b", "too long"), cw.FieldViolation("", "alone"))
    assert "a.b: too long; alone" in str(error)


def test_violations_of_another_status_stay_attributes_only(server):
    error = from_id_error(server, Status("FAILED_PRECONDITION", "bad", violations=[("a", "b")]))
    assert type(error) is cw.SandboxError


def test_a_violation_without_description_says_its_localized_message_or_reason_and_blank_ones_are_dropped(server):
    violation = error_details_pb2.BadRequest.FieldViolation
    items = [violation(field="a", reason="WHY")] + [violation()]
    localized = violation(field="b", reason="WHY")
    localized.localized_message.message = "pourquoi"
    details = error_details_pb2.BadRequest(field_violations=[*items, localized])
    error = from_id_error(server, Status("INVALID_ARGUMENT", raw=[pack(3, "", [details])]))
    assert error.field_violations == (cw.FieldViolation("a", "WHY"), cw.FieldViolation("b", "pourquoi"))


def test_the_first_error_info_with_a_reason_and_the_first_delay_count(server):
    info = error_details_pb2.ErrorInfo
    raw = pack(5, "", [
        info(domain="cwsandbox.com"),
        info(reason="CWSANDBOX_BACKEND_UNAVAILABLE", domain="cwsandbox.com"),
        info(reason="CWSANDBOX_COMMAND_TIMEOUT", domain="cwsandbox.com"),
        error_details_pb2.RetryInfo(),
        error_details_pb2.RetryInfo(retry_delay={"seconds": 3}),
    ])
    error = from_id_error(server, Status("INTERNAL", raw=[raw]))
    assert type(error) is cw.SandboxUnavailableError
    assert error.retry_delay == datetime.timedelta(seconds=3)


def test_a_delay_out_of_range_is_ignored(server):
    raw = pack(14, "", [error_details_pb2.RetryInfo(retry_delay={"seconds": 400_000_000_000})])
    assert from_id_error(server, Status("UNAVAILABLE", raw=[raw])).retry_delay is None


def test_the_first_usable_of_several_details_entries_counts(server):
    info = error_details_pb2.ErrorInfo(reason="CWSANDBOX_BACKEND_UNAVAILABLE", domain="cwsandbox.com")
    error = from_id_error(server, Status("INTERNAL", raw=[b"\xff\xffnonsense", pack(13, "", []), pack(13, "", [info])]))
    assert type(error) is cw.SandboxUnavailableError


@pytest.mark.parametrize("raw", [b"", b"\xff" * 40, b"\x1a\x7f", pack(13, "", [error_details_pb2.ErrorInfo(domain="cwsandbox.com")])],
                         ids=["empty", "garbage", "short", "no reason"])
def test_malformed_details_are_ignored(server, raw):
    error = from_id_error(server, Status("UNAVAILABLE", "busy", raw=[raw]))
    assert type(error) is cw.SandboxUnavailableError
    assert (error.reason, error.metadata, error.retry_delay) == (None, {}, None)


def test_an_unreadable_detail_does_not_hide_its_neighbour(server):
    bad = any_pb2.Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff\xff")
    good = any_pb2.Any()
    good.Pack(error_details_pb2.ErrorInfo(reason="CWSANDBOX_COMMAND_TIMEOUT", domain="cwsandbox.com"))
    from google.rpc import status_pb2

    raw = status_pb2.Status(code=13, details=[bad, good]).SerializeToString()
    assert type(from_id_error(server, Status("INTERNAL", raw=[raw]))) is cw.SandboxCommandTimeoutError


@pytest.mark.parametrize("metadata, expected", [({"filepath": "/said/by/service"}, "/asked")])
def test_a_file_error_names_the_callers_path_first(server, sb, consume, metadata, expected):
    server.on("ReadFile", Status("NOT_FOUND", "gone", reason="CWSANDBOX_FILE_NOT_FOUND", metadata=metadata))
    with pytest.raises(cw.SandboxFileError) as caught:
        consume(lambda: sb.read_file("/asked"))
    assert caught.value.filepath == expected


def test_a_file_error_of_another_call_takes_the_path_of_the_metadata(server):
    error = from_id_error(server, Status("INTERNAL", reason="CWSANDBOX_FILE_IO_FAILED", metadata={"filepath": "/there"}))
    assert error.filepath == "/there"


@pytest.mark.parametrize("code, kind, stream_code, reason", [
    ("STREAM_BACKPRESSURE", cw.SandboxStreamBackpressureError, "STREAM_BACKPRESSURE", None),
    ("STREAM_TRUNCATED", cw.SandboxStreamTruncatedError, "STREAM_TRUNCATED", None),
    ("SOMETHING_ELSE", cw.SandboxExecutionError, "SOMETHING_ELSE", "SOMETHING_ELSE"),
    ("", cw.SandboxExecutionError, None, None),
])
def test_errors_inside_an_exec_stream(server, sb, consume, code, kind, stream_code, reason):
    server.on("StreamExec", [ready(), exec_error(code, "the reason why")])
    with pytest.raises(cw.SandboxExecutionError) as caught:
        consume(lambda: sb.exec(["true"]))
    error = caught.value
    assert type(error) is kind
    assert error.reason == reason and "the reason why" in str(error)
    assert getattr(error, "stream_code", None) == stream_code


@pytest.mark.parametrize("status, missing", [
    (Status("NOT_FOUND", "gone"), True),
    (Status("NOT_FOUND", "gone", reason="CWSANDBOX_SOMETHING", domain="example.com"), True),
    (Status("INTERNAL", "gone", reason="CWSANDBOX_SANDBOX_NOT_FOUND"), True),
    (Status("INTERNAL", "gone", reason="CWSANDBOX_SANDBOX_NOT_FOUND", domain="example.com"), False),
    (Status("PERMISSION_DENIED", "hidden"), False),
])
def test_missing_ok_of_delete_forgives_what_is_missing_and_nothing_else(server, consume, status, missing):
    server.on("DeleteSandbox", status)
    with pytest.raises(cw.CWSandboxError):
        consume(lambda: Sandbox.delete(ID))
    if missing:
        assert consume(lambda: Sandbox.delete(ID, missing_ok=True)) is None
    else:
        with pytest.raises(cw.CWSandboxError):
            consume(lambda: Sandbox.delete(ID, missing_ok=True))


def test_the_metadata_of_an_error_is_a_plain_dict_of_its_own():
    given = {"a": "1"}
    error = cw.SandboxError("x", metadata=given)
    given["a"] = "2"
    assert type(error.metadata) is dict and error.metadata == {"a": "1"}


def test_statuses_of_exec_are_translated_too(server, sb, consume):
    server.on("StreamExec", [Status("RESOURCE_EXHAUSTED", "quota")])
    with pytest.raises(cw.SandboxResourceExhaustedError, match="Execute command.*quota"):
        consume(lambda: sb.exec(["true"]))
    server.on("StreamExec", [Status("ABORTED", "slow", reason="CWSANDBOX_COMMAND_TIMEOUT")])
    with pytest.raises(cw.SandboxCommandTimeoutError):
        consume(lambda: sb.exec(["true"]))
    server.on("StreamExec", [Status("DEADLINE_EXCEEDED", "late", reason="CWSANDBOX_X", metadata={"k": "v"}, retry=2)])
    with pytest.raises(cw.SandboxTimeoutError) as caught:
        consume(lambda: sb.exec(["true"]))
    assert type(caught.value) is cw.SandboxTimeoutError
    assert (caught.value.reason, caught.value.metadata) == ("CWSANDBOX_X", {"k": "v"})
    assert caught.value.retry_delay == datetime.timedelta(seconds=2)


def test_an_answer_that_is_no_message_is_an_error_and_the_connection_survives(server):

    class Raw:
        def SerializeToString(self):
            return b"\xff\xff\xff"

    server.on("GetSandbox", lambda call: Raw(), sandbox("running"))
    assert type(error_of(lambda: Sandbox.from_id(ID))) is cw.SandboxProtocolError
    assert Sandbox.from_id(ID).result().status == "running"
