"""Snapshots of a sandbox's files, and the bucket they are kept in: the calls. What they answer is in _snapshots."""

from __future__ import annotations

from . import _core
from ._described import Described
from ._lib import make_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._auth import AuthConfig
    from ._core import OperationRef
    from ._snapshots import FileSystemSnapshot, FileSystemSnapshotBucketConfig


class WithSnapshots(Described):
    """Base of Sandbox."""

    def snapshot(
        self, *, wait_for_ready: bool = True, request_id: str | None = None, retry_budget_seconds: float | None = None
    ) -> OperationRef[str]:
        """Keep the files of the sandbox's scratch volume; handle for the snapshot's id. Starts the sandbox if needed.

        wait_for_ready: done when the snapshot is READY (600 s at most), else when it was accepted.
        request_id: makes the call repeatable; None: a random one.
        retry_budget_seconds: how long the request is repeated while the service says that it cannot for now (30; 0: not at all).
        ValueError: at once, for a budget that is not finite or negative.
        SandboxSnapshotError: it failed, or there are multiple scratch volumes. SnapshotWaitTimeoutError: not READY in time.
        """
        if retry_budget_seconds is not None:
            from ._defaults import check_budget

            check_budget("retry_budget_seconds", retry_budget_seconds)
        try:
            from ._snapshots import finish_id

            ref = self._snapshot(wait_for_ready, request_id, retry_budget_seconds)
        except Exception as exc:
            return _core.failed(exc)
        return _core.derive(ref, finish_id)

    @classmethod
    def get_snapshot(
        cls,
        file_system_snapshot_id: str,
        *,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
    ) -> OperationRef[FileSystemSnapshot]:
        """Handle for the description of a snapshot. SnapshotNotFoundError: there is none."""
        try:
            from ._snapshots import finish_one

            ref = _core.snapshot_get(make_target(base_url, auth), file_system_snapshot_id, timeout_seconds)
        except Exception as exc:
            return _core.failed(exc)
        return _core.derive(ref, finish_one)

    @classmethod
    def list_snapshots(
        cls,
        *,
        source_sandbox_id: str | None = None,
        status: str | None = None,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
    ) -> OperationRef[list[FileSystemSnapshot]]:
        """Handle for the snapshots: all, those of one sandbox, those with a status. A wrong status raises from the handle."""
        try:
            from ._snapshots import finish_list
            from ._snapshots import status_number as snapshot_status_number

            number = snapshot_status_number(status)
            ref = _core.snapshot_list(make_target(base_url, auth), source_sandbox_id, number, timeout_seconds)
        except Exception as exc:
            return _core.failed(exc)
        return _core.derive(ref, finish_list)

    @classmethod
    def delete_snapshot(
        cls,
        file_system_snapshot_id: str,
        *,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
        missing_ok: bool = False,
    ) -> OperationRef[None]:
        """Delete a snapshot. SnapshotNotFoundError when there is none, unless missing_ok."""
        try:
            return _core.snapshot_delete(make_target(base_url, auth), file_system_snapshot_id, missing_ok, timeout_seconds)
        except Exception as exc:
            return _core.failed(exc)

    @classmethod
    def get_snapshot_bucket_config(
        cls, *, base_url: str | None = None, auth: AuthConfig | None = None, timeout_seconds: float | None = None
    ) -> OperationRef[FileSystemSnapshotBucketConfig]:
        """Handle for where snapshots are kept."""
        try:
            from ._snapshots import finish_bucket

            ref = _core.bucket_get(make_target(base_url, auth), timeout_seconds)
        except Exception as exc:
            return _core.failed(exc)
        return _core.derive(ref, finish_bucket)

    @classmethod
    def set_snapshot_bucket_config(
        cls,
        *,
        bucket_name: str,
        region: str = "",
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
    ) -> OperationRef[FileSystemSnapshotBucketConfig]:
        """Keep snapshots in a bucket of one's own; bucket_name "": in the service's again."""
        try:
            from ._snapshots import finish_bucket

            ref = _core.bucket_set(make_target(base_url, auth), bucket_name, region, timeout_seconds)
        except Exception as exc:
            return _core.failed(exc)
        return _core.derive(ref, finish_bucket)
