"""Numbers on the command line, refused outside their range."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

N = TypeVar("N", int, float)


def in_range(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number from ``least`` to ``most``."""

    def read(text: str) -> int:
        return _within(text, int(text) if _is_whole(text) else None, least, most)

    return read


def between(least: float, most: float) -> Callable[[str], float]:
    """Reads a number from ``least`` to ``most``."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            return _within(text, None, least, most)
        return _within(text, value, least, most)

    return read


def _is_whole(text: str) -> bool:
    return text.strip().lstrip("+-").isdecimal() and len(text) < 100


def _within(text: str, value: N | None, least: N, most: N) -> N:
    if value is None or not least <= value <= most:
        kind = "a whole number" if isinstance(least, int) else "a number"
        raise argparse.ArgumentTypeError(f"must be {kind} from {least} to {most}, not {text!r}")
    return value
