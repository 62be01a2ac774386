"""Servers that stand side by side and belong together."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def runs_of(groups: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Each run of one group, as its name, its first place and the place after its last."""
    at = 0
    for name, members in groupby(groups):
        count = sum(1 for _ in members)
        yield name, at, at + count
        at += count
