"""The table of all numbers: means, half their 95 % intervals, differences from the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab._report.html import text
from trimtab.sim._metrics import Metric, against, difference, load_words, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.sim._document import Document, Summary


def table(document: Document) -> str:
    """The table as HTML; it stands without the page, for notebooks."""
    metrics = shown(document)
    heads = "".join(f'<th scope="col">{text(metric.head)}</th>' for metric in metrics)
    bodies = []
    for load in document["loads"]:
        at_load = [s for s in document["summary"] if s["load"] == load]
        bodies.append(f"<tbody>{''.join(_row(document, one, metrics) for one in at_load)}</tbody>")
    return (
        f'<div class="scroll"><table><caption>{_caption(document)}</caption>'
        f'<thead><tr><th scope="col">policy</th><th scope="col">load</th>{heads}</tr></thead>'
        f"{''.join(bodies)}</table></div>"
    )


def _caption(document: Document) -> str:
    seeds = len(document["seeds"])
    if seeds == 1:
        return "One seed, so no intervals: more are needed to compare."
    words = f"Means over {seeds} seeds \N{PLUS-MINUS SIGN} half the 95 % interval of the mean."
    if len(document["policies"]) > 1:
        words += (
            f" \N{DOWNWARDS ARROW} \N{UPWARDS ARROW}: a latency lower or higher than that of"
            f" {document['policies'][0]} beyond chance."
        )
    return text(words)


def _row(document: Document, one: Summary, metrics: Sequence[Metric]) -> str:
    n = document["policies"].index(one["policy"])
    cells = "".join(_cell(one, metric) for metric in metrics)
    name = f'<th scope="row"><span class="key"></span>{text(one["policy"])}</th>'
    return f'<tr class="s{n}">{name}<td>{load_words(one["load"])}</td>{cells}</tr>'


def _cell(one: Summary, metric: Metric) -> str:
    found = one["metrics"].get(metric.key)
    if found is None or found["mean"] is None:
        return "<td>-</td>"
    words = metric.number(found["mean"])
    if found["low"] is not None and found["high"] is not None:
        words += f" <small>\N{PLUS-MINUS SIGN}{metric.spread(found)}</small>"
    side = difference(one, metric.key)
    if side is None:
        return f"<td>{words}</td>"
    ratio = against(one, metric.key)
    hint = (
        f"{ratio['ratio']:.3g} times {(one['against'] or {}).get('policy')}, "
        f"95 % interval {ratio['low']:.3g} to {ratio['high']:.3g}"
        if ratio
        else ""
    )
    arrow = "\N{DOWNWARDS ARROW}" if side == "lower" else "\N{UPWARDS ARROW}"
    kind = "better" if side == metric.better else "worse"
    return (
        f'<td title="{text(hint)}">{words} <span class="{kind}" role="img" '
        f'aria-label="{kind}">{arrow}</span></td>'
    )
