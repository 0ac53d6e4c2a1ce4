"""How commands, terminals, logs and files reach a sandbox."""

from __future__ import annotations

from enum import StrEnum


class DataPlaneMode(StrEnum):
    """By the API (GATEWAY), past it (DIRECT), or whatever is possible (AUTO)."""

    AUTO = "auto"
    GATEWAY = "gateway"
    DIRECT = "direct"


_MODES = tuple(DataPlaneMode)  # by number of cws_data_plane


def to_data_plane_mode(value: DataPlaneMode | str) -> DataPlaneMode:
    """A member from itself or its value in any case. ValueError: there is no such member."""
    return DataPlaneMode(str(value).lower())


def mode_number(value: DataPlaneMode | str) -> int:
    """The number of it in the library. ValueError as above."""
    return _MODES.index(to_data_plane_mode(value))
