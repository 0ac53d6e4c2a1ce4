"""Numbers for people."""

from __future__ import annotations


def format_bytes(value: int) -> str:
    """1536 -> "1.5 KiB"."""
    for exponent, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if value >= 1024**exponent:
            return f"{value / 1024**exponent:.1f} {unit}"
    return f"{value} B"


def format_cpu(millicores: int) -> str:
    """1500 -> "1.5 vCPU"."""
    return f"{millicores / 1000:.1f} vCPU"
