"""The table of a result for a terminal: means, half their 95 % intervals, differences."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from trimtab.sim._metrics import Metric, difference, load_words, printed

if TYPE_CHECKING:
    from trimtab.sim._document import Document, Summary

ARROWS = {"lower": "↓", "higher": "↑", None: " "}
PLAIN = {"lower": "<", "higher": ">", None: " "}


def table(document: Document, *, ascii_only: bool = False) -> str:
    """The table: a line a policy and load, under it what its marks mean."""
    marks = PLAIN if ascii_only else ARROWS
    compared = {key for one in document["summary"] for key in one["against"] or ()}
    metrics = printed(document)
    header = ["policy", "load", *(metric.head for metric in metrics)]
    blocks: list[list[list[str]]] = []
    for load in document["loads"]:
        block = []
        for summary in document["summary"]:
            if summary["load"] == load:
                cells = [_cell(summary, metric, marks, compared) for metric in metrics]
                block.append([summary["policy"], load_words(load), *cells])
        blocks.append(block)
    lines = [header, *(line for block in blocks for line in block)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    out = [_line(header, widths), "  ".join("-" * width for width in widths)]
    for n, block in enumerate(blocks):
        out += [""] if n else []
        out += [_line(line, widths) for line in block]
    return "\n".join([*out, "", *_notes(document, marks, ascii_only=ascii_only)])


def encodable(words: str) -> bool:
    """Whether standard output can show ``words``."""
    try:
        words.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _line(cells: list[str], widths: list[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([first, *rest]).rstrip()


def _cell(
    summary: Summary, metric: Metric, marks: dict[str | None, str], compared: set[str]
) -> str:
    """A mean, half its interval if there is one, and room for a mark where others have one."""
    found = summary["metrics"].get(metric.key)
    if found is None or found["mean"] is None:
        return "-"
    words = metric.number(found["mean"])
    if half := metric.spread(found):
        plus_minus = "+-" if marks is PLAIN else "±"
        mark = f" {marks[difference(summary, metric.key)]}" if metric.key in compared else ""
        words += f" {plus_minus}{half}{mark}"
    return words


def _notes(document: Document, marks: dict[str | None, str], *, ascii_only: bool) -> list[str]:
    scenario, seeds = document["scenario"], len(document["seeds"])
    first = document["policies"][0]
    dash = "-" if ascii_only else "\u2013"
    span = f"{scenario['warm_up_s']:g}{dash}{scenario['duration_s']:g} s"
    head = (
        f"{scenario['name']}: {scenario['clients']:,} clients, {scenario['servers']:,} servers, "
        f"{span} of virtual time"
    )
    if document["capacity_rps"] is not None:
        head += f", load 1 = {document['capacity_rps']:,.0f} requests/s"
    head += "."
    if seeds == 1:
        return [head, "One seed: no intervals. Ask for more (--seeds 10) before you compare."]
    notes = [head, f"Means over {seeds} seeds, with half the 95 % interval of the mean."]
    if len(document["policies"]) > 1:
        notes.append(
            f"{marks['lower']} {marks['higher']}: a latency lower or higher than that of {first} "
            "under the same arrivals: the 95 % interval of the ratio leaves out 1."
        )
    return notes
