"""From answers to the numbers of the table."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.demo.scenario import CLASSES, REPLICAS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from trimtab.demo.load import Answer


@dataclass(frozen=True)
class Row:
    """One policy's line; latencies in milliseconds, of answered requests only."""

    title: str
    requests: int
    errors: int
    mean: float
    p50: float
    p99: float
    class_p50: dict[str, float]
    share: dict[str, float]
    class_share: dict[str, dict[str, float]]
    fallbacks: dict[str, int]
    answers: Sequence[Answer]


def summarise(title: str, answers: Sequence[Answer], log: Path, fallbacks: dict[str, int]) -> Row:
    """Counts and quantiles of one run; who served what is read from its decision log."""
    fine = [a for a in answers if a.error is None]
    latencies = sorted(a.latency * 1e3 for a in fine)
    with log.open(encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["status"] == "ok"]
    return Row(
        title=title,
        requests=len(answers),
        errors=len(answers) - len(fine),
        mean=math.fsum(latencies) / len(latencies) if latencies else math.nan,
        p50=quantile(latencies, 0.50),
        p99=quantile(latencies, 0.99),
        class_p50={
            kind.name: quantile(
                sorted(a.latency * 1e3 for a in fine if a.arrival.kind == kind), 0.50
            )
            for kind in CLASSES
        },
        share=shares(rows),
        class_share={
            kind.name: shares([row for row in rows if row["class"] == kind.name])
            for kind in CLASSES
        },
        fallbacks={why: count for why, count in fallbacks.items() if count},
        answers=answers,
    )


def shares(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The share of each replica in log rows."""
    served = Counter(row["chosen"] for row in rows)
    return {r.name: served[r.name] / max(1, len(rows)) for r in REPLICAS}


def quantile(ordered: Sequence[float], q: float) -> float:
    """The ``q`` quantile of ascending values, by nearest rank; NaN of none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def table(rows: Sequence[Row]) -> str:
    """The rows as text, as the terminal shows them."""
    names = [replica.name for replica in REPLICAS]
    header = ["policy", "requests", "errors", "mean ms", "p50 ms", "p99 ms", *names]
    lines = [header]
    for row in rows:
        numbers = [f"{row.mean:.0f}", f"{row.p50:.0f}", f"{row.p99:.0f}"]
        shares = [f"{row.share[name]:.0%}" for name in names]
        lines.append([row.title, str(row.requests), str(row.errors), *numbers, *shares])
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def verdict(rows: Sequence[Row]) -> str:
    """The learned table against the best of the others, figure by figure, in their own numbers."""
    table_row, others = rows[-1], rows[:-1]
    parts = [
        _against(f"{name} ms", value(table_row), min(others, key=value), value)
        for name, value in (("mean", _mean), ("p50", _p50), ("p99", _p99))
    ]
    won = all(value(table_row) < min(map(value, others)) for value in (_mean, _p99))
    errors = ", ".join(f"{row.errors} {row.title}" for row in rows)
    how = "beats the best of the others" if won else "does NOT beat the best of the others"
    return f"{table_row.title} {how}: {'; '.join(parts)}. Failed requests: {errors}."


def like_for_like(rows: Sequence[Row]) -> str:
    """The two policies that see the same replicas, side by side."""
    ours = rows[-1]
    peer = next(row for row in rows if row.title == "peak_ewma + locality")
    return (
        f"Like for like, {peer.title} and {ours.title} both keep to the near region: mean "
        f"{peer.mean:.0f} against {ours.mean:.0f} ms, p99 {peer.p99:.0f} against {ours.p99:.0f} ms."
    )


def _against(name: str, ours: float, best: Row, value: Callable[[Row], float]) -> str:
    theirs = value(best)
    return f"{name} {ours:.0f} against {theirs:.0f} of {best.title} ({theirs / ours:.2f}x)"


def _mean(row: Row) -> float:
    return row.mean


def _p50(row: Row) -> float:
    return row.p50


def _p99(row: Row) -> float:
    return row.p99
