"""What is measured: each metric's name for people, its unit, and how its numbers are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.sim._document import Document, Interval, Load, Ratio, Summary

ORACLE = "oracle"
"""The engine's all-knowing router: a bound, not a policy that anybody could choose."""

Side = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """A column of the table and an axis of the charts."""

    key: str
    title: str
    unit: str
    log: bool = False
    percent: bool = False
    better: Side = "lower"

    def number(self, value: float | None) -> str:
        """A value to three digits, without the unit; a dash if there is none."""
        if value is None or not math.isfinite(value):
            return "-"
        return three_digits(100 * value if self.percent else value, most=self.digits)

    def spread(self, found: Interval) -> str:
        """Half an interval to as many digits as its mean; nothing if there is none."""
        if found["low"] is None or found["high"] is None or found["mean"] is None:
            return ""
        factor = 100 if self.percent else 1
        digits = decimals(factor * found["mean"], most=self.digits)
        return f"{factor * (found['high'] - found['low']) / 2:,.{digits}f}"

    @property
    def digits(self) -> int:
        """The most decimals that its numbers are worth."""
        return 2 if self.percent or not self.unit else 4

    @property
    def head(self) -> str:
        """The title with the unit."""
        return f"{self.title} {self.unit}" if self.unit else self.title


_LATENCY = (
    Metric("mean_ms", "mean", "ms", log=True),
    Metric("p50_ms", "p50", "ms", log=True),
    Metric("p90_ms", "p90", "ms", log=True),
    Metric("p99_ms", "p99", "ms", log=True),
    Metric("p999_ms", "p99.9", "ms", log=True),
)
_FIRST_BYTE = (
    Metric("first_byte_p50_ms", "first byte p50", "ms", log=True),
    Metric("first_byte_p99_ms", "first byte p99", "ms", log=True),
)
_ERRORS = Metric("error_rate", "errors", "%", percent=True)
_GOODPUT = Metric("goodput", "in SLO", "%", percent=True, better="higher")
_CACHE = Metric("cache_hit", "cache hits", "%", percent=True, better="higher")
_BALANCE = (
    Metric("amplification", "attempts/req", ""),
    Metric("load_max_over_mean", "max/mean load", ""),
)
METRICS: Mapping[str, Metric] = {
    metric.key: metric for metric in (*_LATENCY, *_FIRST_BYTE, _ERRORS, _GOODPUT, _CACHE, *_BALANCE)
}


def has_llm(document: Document) -> bool:
    """Whether servers are language models: only they have prefix caches and tell a first token."""
    return any(run.get("cache_hit") is not None for run in document["runs"])


def printed(document: Document) -> list[Metric]:
    """The columns of the table in a terminal, in their order."""
    first = _FIRST_BYTE[1:] if has_llm(document) else ()
    return [*_LATENCY, *first, _ERRORS, *_BALANCE]


def shown(document: Document) -> list[Metric]:
    """The columns of the table on the page, in their order."""
    llm = has_llm(document)
    first, cache = (_FIRST_BYTE, (_CACHE,)) if llm else ((), ())
    return [*_LATENCY, *first, _ERRORS, _GOODPUT, *cache, *_BALANCE]


def three_digits(value: float, *, most: int = 4) -> str:
    """A number to about three digits and ``most`` decimals: 0.0123, 1.23, 12.3, 123, 1,234."""
    return f"{value:,.{decimals(value, most=most)}f}"


def decimals(value: float, *, most: int = 4) -> int:
    """The decimals that show three digits of ``value``."""
    size = abs(value)
    if size == 0:
        return min(most, 2)
    return min(most, max(0, 2 - math.floor(math.log10(size))))


def against(summary: Summary, key: str) -> Ratio | None:
    """A metric over the first policy's, if that was compared."""
    found: Ratio | None = (summary["against"] or {}).get(key)
    return found


def load_words(load: Load) -> str:
    """A load as a table shows it."""
    return "-" if load is None else f"{load:g}"


def at_load(load: Load) -> str:
    """A load as a heading."""
    return "The scenario's own rate" if load is None else f"Load {load:g}"


def difference(summary: Summary, key: str) -> Side | None:
    """How a metric lies to the first policy's, if the paired 95 % interval leaves out 1."""
    ratio = against(summary, key)
    if ratio is None or (summary["against"] or {}).get("policy") == summary["policy"]:
        return None
    low, high = ratio["low"], ratio["high"]
    if low is None or high is None:
        return None
    if high < 1:
        return "lower"
    return "higher" if low > 1 else None
