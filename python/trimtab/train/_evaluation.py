"""Off-policy evaluation: what logged decisions say of a model, and what they do not."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab._trimtab import Evaluator
from trimtab.train import _logs, _parquet
from trimtab.train._inspection import content
from trimtab.train._table import percent, table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CAVEAT = """\
What these numbers do not prove: each row is judged as one step, with the queues that the logging
policy had made. Had the model routed, the queues, and so the latencies, would have been others;
in simulations nominal 95 % intervals like this one held the truth in 9 of 30 cases. Take it as a
warning light: if it looks bad, do not enable the model; if it looks good, try a canary in blocks
of time."""


def evaluate(
    model: str | os.PathLike[str] | bytes,
    logs: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    progress: bool | None = None,
) -> Evaluation:
    """Judges a model against logged decisions that it did not make.

    Args:
        model: The model's file or its content.
        logs: Files, directories and patterns, as for `train`. Rows need a propensity.
        progress: Whether to show a progress bar; by default on a terminal.

    Raises:
        ModelError: The model cannot be read.
        LogError: A log cannot be read, lacks columns, or has no row with a propensity.
    """
    evaluator = Evaluator(content(model))
    paths = _logs.find([logs] if isinstance(logs, str | os.PathLike) else logs)
    bar = _logs.bar(paths, "evaluating", show=progress)
    try:
        for path in paths:
            _read(evaluator, path, bar)
    finally:
        bar.close()
    verdict = json.loads(evaluator.verdict())
    return Evaluation(verdict=verdict, wrong_rows=evaluator.wrong_rows)


def _read(evaluator: Evaluator, path: Path, bar: _logs.Bar) -> None:
    if _logs.is_parquet(path):
        _parquet.judge(evaluator, path, bar.update)
        return
    evaluator.open(_logs.spelled(path))
    for chunk in _logs.chunks(path, bar.update):
        evaluator.push(chunk)
    evaluator.close()


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What logged decisions say of a model."""

    verdict: dict[str, Any]
    """Coverage, overlap, effective sample size, estimates and warnings, by name."""
    wrong_rows: list[str]
    """The first rows that could not be used, as ``file:line: reason``."""

    def to_text(self) -> str:
        """The verdict for a person."""
        v = self.verdict
        low, high = v["interval_ms"] or (None, None)
        head = [
            f"{v['rows']:,} rows read, {v['used']:,} used ({v['wrong']:,} wrong,"
            f" {v['without_propensity']:,} refused without a propensity,"
            f" {v['cut']:,} refused for not listing every candidate)",
            *(f"  wrong: {row}" for row in self.wrong_rows),
        ]
        support = [
            ("rows in cells that the model supports", percent(v["coverage"])),
            ("rows that the table alone would decide", percent(v["decided_by_table"])),
            ("overlap with the logging policy", percent(v["overlap"])),
            ("effective sample size", f"{v['effective_sample_size']:,.0f}"),
            (f"weights cut off at {v['clip']:g}", f"{v['clipped']:,}"),
            ("latencies that are only lower bounds", f"{v['censored']:,}"),
        ]
        estimates = [
            ("as logged", v["logged_mean_ms"], None, None, percent(v["logged_failures"])),
            ("the model (SNIPS)", v["snips_mean_ms"], low, high, percent(v["snips_failures"])),
        ]
        warnings = [f"Warning: {warning}" for warning in v["warnings"]]
        parts = [
            "\n".join(head),
            table(["support", ""], support),
            "One-step estimate, with its nominal 95 % interval\n"
            + table(["policy", "mean ms", "from", "to", "failures"], estimates),
            "\n".join(warnings),
            CAVEAT,
        ]
        return "\n\n".join(part for part in parts if part)
