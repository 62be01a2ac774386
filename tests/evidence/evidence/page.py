"""Pages: Markdown tables between markers, beside prose written by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from evidence.interval import Interval


class Column(NamedTuple):
    """A figure as a table shows it: its title, its name, and what it is multiplied with."""

    title: str
    metric: str
    scale: float = 1.0
    lower_is_better: bool = True


MEAN = Column("mean ms", "mean_ms")
P50 = Column("p50 ms", "p50_ms")
P90 = Column("p90 ms", "p90_ms")
P99 = Column("p99 ms", "p99_ms")
P999 = Column("p99.9 ms", "p999_ms")
FIRST_BYTE_P50 = Column("first byte p50 ms", "first_byte_p50_ms")
FIRST_BYTE_P90 = Column("first byte p90 ms", "first_byte_p90_ms")
FIRST_BYTE_P99 = Column("first byte p99 ms", "first_byte_p99_ms")
ERRORS = Column("errors %", "error_rate", 100)
GOODPUT = Column("within the goal %", "goodput", 100, lower_is_better=False)
AMPLIFICATION = Column("attempts / requests", "amplification")
LOAD = Column("load max/mean", "load_max_over_mean")
IN_FLIGHT = Column("in flight max/mean", "in_flight_max_over_mean")
CACHE_HIT = Column("cache hits %", "cache_hit", 100, lower_is_better=False)
PROBES = Column("probes", "probes")


def number(value: float, places: int | None = None) -> str:
    """Three significant digits, at least down to 0.001; or so many decimal places."""
    return f"{value:,.{_places(value) if places is None else places}f}"


def with_interval(found: Interval | None, scale: float = 1.0) -> str:
    """A mean with half its 95 % interval, such as ``53.2 ± 0.4``."""
    if found is None:
        return "-"
    mean, half = found.mean * scale, found.half * scale
    if half < 1e-9 * abs(mean):
        # What rounding leaves of values all alike.
        half = 0.0
    if found.values < 2:
        return number(mean)
    places = _places(mean)
    # Up to two places more, to show that the half is not nothing.
    if half > 0:
        places = max(places, min(places + 2, 3, math.ceil(-math.log10(half))))
    return f"{number(mean, places)} ± {number(half, places)}"


def _places(value: float) -> int:
    size = abs(value)
    return 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 or size == 0 else 3


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(headers) - 1)]
    lines = [headers, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def best(found: Sequence[Interval | None]) -> set[int]:
    """The places of the lowest mean and of those whose interval touches its."""
    there = [(n, one) for n, one in enumerate(found) if one is not None and math.isfinite(one.mean)]
    if not there:
        return set()
    least = min((one for _, one in there), key=lambda one: one.mean)
    return {n for n, one in there if one.low <= least.high}


def fill(path: Path, marker: str, content: str) -> None:
    """Puts ``content`` between the page's markers of that name.

    Raises:
        ValueError: The page lacks the markers.
    """
    page = path.read_text(encoding="utf-8")
    begin = f"<!-- table: {marker} -->"
    pattern = re.compile(rf"({re.escape(begin)}\n).*?(<!-- end -->)", re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise ValueError(f"{path}: needs `{begin}` once, and `<!-- end -->` on a later line")
    page = pattern.sub(lambda found: f"{found[1]}\n{content}\n\n{found[2]}", page)
    path.write_text(page, encoding="utf-8")
