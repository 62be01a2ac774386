"""What a run's course tells: how long it took until all was well again after a trouble.

A window is a hundredth of the run. "In a row" are `WINDOWS` of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

WINDOWS = 3


def recovered(timeline: Mapping[str, Any], *, before: float, after: float) -> float | None:
    """Seconds from ``after``, the trouble's end, until all was as well as ``before`` it began.

    Well are windows in a row with at most 1 % errors and a p99 of at most twice the calm one: the
    median window's between a tenth of the run and ``before``. None if that never came.
    """
    start, width = timeline["start_s"], timeline["window_s"]
    calm = sorted(
        p99
        for at, p99 in zip(start, timeline["p99_ms"], strict=True)
        if at >= len(start) * width / 10 and at + width <= before and p99 is not None
    )
    if not calm:
        raise ValueError("no calm to compare with: the trouble begins in the run's first tenth")
    limit = 2 * calm[len(calm) // 2]
    well = [
        p99 is not None and p99 <= limit and errors <= 0.01
        for p99, errors in zip(timeline["p99_ms"], timeline["error_rate"], strict=True)
    ]
    return _since(timeline, after, well)


def used_again(
    timeline: Mapping[str, Any],
    endpoints: Mapping[str, Any],
    servers: Collection[int],
    *,
    after: float,
) -> float | None:
    """Seconds from ``after`` until ``servers`` held half as much as the others, windows in a row.

    None if that never came.
    """
    held = endpoints["in_flight"]
    count = len(timeline["start_s"])
    theirs = [sum(held[n][window] for n in servers) / len(servers) for window in range(count)]
    rest = [n for n in range(len(held)) if n not in servers]
    others = [sum(held[n][window] for n in rest) / len(rest) for window in range(count)]
    return _since(timeline, after, [a >= b / 2 for a, b in zip(theirs, others, strict=True)])


def _since(timeline: Mapping[str, Any], after: float, well: list[bool]) -> float | None:
    in_a_row = 0
    for n, at in enumerate(timeline["start_s"]):
        in_a_row = in_a_row + 1 if at >= after - 1e-9 and well[n] else 0
        if in_a_row == WINDOWS:
            return float(timeline["start_s"][n - WINDOWS + 1] - after)
    return None
