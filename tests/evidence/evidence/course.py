"""What a run's course tells: how long it took to be well again after a trouble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def recovered(
    timeline: Mapping[str, Any], *, before: float, after: float, windows: int = 3
) -> float | None:
    """Seconds from ``after``, the trouble's end, until all was as well as ``before`` it began.

    Well: in so many windows in a row (a window is a hundredth of the run) at most 1 % errors and a
    p99 of at most twice that of the calm: the median window's between a tenth of the run and
    ``before``. None if that never came.
    """
    start, width = timeline["start_s"], timeline["window_s"]
    calm_from = len(start) * width / 10
    calm = sorted(
        p99
        for at, p99 in zip(start, timeline["p99_ms"], strict=True)
        if calm_from <= at and at + width <= before and p99 is not None
    )
    if not calm:
        raise ValueError("no calm to compare with: the trouble begins in the run's first tenth")
    usual = calm[len(calm) // 2]
    in_a_row = 0
    for n, at in enumerate(start):
        p99 = timeline["p99_ms"][n]
        well = p99 is not None and p99 <= 2 * usual and timeline["error_rate"][n] <= 0.01
        in_a_row = in_a_row + 1 if at >= after - 1e-9 and well else 0
        if in_a_row == windows:
            return float(start[n - windows + 1] - after) if n >= windows - 1 else 0.0
    return None


def drained(timeline: Mapping[str, Any], *, after: float, windows: int = 3) -> float | None:
    """Seconds from ``after`` until at most 1 % of what ended failed, so many windows in a row."""
    in_a_row = 0
    for n, at in enumerate(timeline["start_s"]):
        well = timeline["error_rate"][n] <= 0.01 and timeline["p99_ms"][n] is not None
        in_a_row = in_a_row + 1 if at >= after - 1e-9 and well else 0
        if in_a_row == windows:
            return float(timeline["start_s"][n - windows + 1] - after)
    return None
