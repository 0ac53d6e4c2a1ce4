"""SandboxStatus and its numbers on the wire."""

from __future__ import annotations

from enum import StrEnum


class SandboxStatus(StrEnum):
    """State of a sandbox. Members are strings: ``sb.status == "running"``."""

    RUNNING = "running"
    CREATING = "creating"
    PREPARING = "preparing"
    PENDING = "pending"
    PAUSED = "paused"
    TERMINATING = "terminating"
    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"
    UNSPECIFIED = "unspecified"

    @classmethod
    def from_proto(cls, value: int) -> SandboxStatus:
        """The status with this number of the wire's State; unknown numbers are UNSPECIFIED, with a logged warning."""
        if 0 <= value < len(BY_NUMBER):
            return BY_NUMBER[value]
        import logging

        logging.getLogger(__name__).warning("unknown sandbox state %d, taken as UNSPECIFIED", value)
        return cls.UNSPECIFIED

    def to_proto(self) -> int:
        """The number of the wire's State."""
        return BY_NUMBER.index(self)


# By number: cws_status in cwsandbox.h. The extension reads this table.
BY_NUMBER = (
    SandboxStatus.UNSPECIFIED,
    SandboxStatus.CREATING,
    SandboxStatus.RUNNING,
    SandboxStatus.COMPLETED,
    SandboxStatus.FAILED,
    SandboxStatus.TERMINATING,
    SandboxStatus.TERMINATED,
    SandboxStatus.PENDING,
    SandboxStatus.PAUSED,
    SandboxStatus.PREPARING,
)
