"""What the numbers say, in a sentence a load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab._report.html import text
from trimtab.sim._metrics import METRICS, ORACLE, against, at_load, difference

if TYPE_CHECKING:
    from trimtab.sim._document import Document, Load, Summary

P99 = METRICS["p99_ms"]


def listed(document: Document) -> str:
    """The sentences as a list; nothing for a single policy."""
    if len(document["policies"]) < 2:
        return ""
    lines = [_at(document, load) for load in document["loads"]]
    items = "".join(f"<li>{text(line)}</li>" for line in lines if line)
    return f'<ul class="verdict">{items}</ul>' if items else ""


def _at(document: Document, load: Load) -> str:
    rows = [s for s in document["summary"] if s["load"] == load and _mean(s) is not None]
    if not rows:
        return ""
    first = document["policies"][0]
    real = [row for row in rows if row["policy"] != ORACLE]
    best = min(real or rows, key=lambda row: _mean(row) or 0.0)
    words = f"{at_load(load)}: lowest p99 {P99.number(_mean(best))} ms with {best['policy']}"
    if best["policy"] == first:
        return f"{words}, which the others are compared with{_failing(best)}.{_bound(rows)}"
    ratio = against(best, "p99_ms")
    if ratio is not None and ratio["ratio"] is not None:
        words += f", {ratio['ratio']:.2f} times {first}"
        if ratio["low"] is not None:
            words += f" (95 % interval {ratio['low']:.2f} to {ratio['high']:.2f}"
            words += ")" if difference(best, "p99_ms") else ": no difference beyond chance)"
    return f"{words}{_failing(best)}.{_bound(rows)}"


def _bound(rows: list[Summary]) -> str:
    """What the oracle reached, which no policy can."""
    bound = next((row for row in rows if row["policy"] == ORACLE), None)
    return "" if bound is None else f" The all-knowing oracle: {P99.number(_mean(bound))} ms."


def _failing(row: Summary) -> str:
    """The share of errors where it is worth a word: a low latency of few answers is no feat."""
    errors = row["metrics"].get("error_rate")
    if errors is None or errors["mean"] is None or errors["mean"] < 0.001:
        return ""
    return f"; {METRICS['error_rate'].number(errors['mean'])} % of its requests failed"


def _mean(row: Summary) -> float | None:
    found = row["metrics"].get("p99_ms")
    return None if found is None else found["mean"]
