"""From answers to the numbers of the table."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.demo.scenario import CLASSES, REPLICAS

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    """Who won, and whether the learned table did, in a sentence made from the figures."""
    table_row = rows[-1]
    best = min(rows[:-1], key=lambda row: row.mean)
    ratio = best.mean / table_row.mean
    tail = best.p99 / table_row.p99
    figures = (
        f"mean {table_row.mean:.0f} against {best.mean:.0f} ms ({ratio:.2f}x), "
        f"p99 {table_row.p99:.0f} against {best.p99:.0f} ms ({tail:.2f}x)"
    )
    if ratio > 1.0:
        return f"{table_row.title} beats the best of the others, {best.title}: {figures}."
    return f"{table_row.title} does NOT beat {best.title} here: {figures}."
