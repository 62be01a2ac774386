"""The run over time: requests, errors, median and tail latency a policy, with the events marked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, NamedTuple

from trimtab._report import scale, svg
from trimtab.sim._metrics import at_load
from trimtab.sim._page import controls, events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.sim._document import Document, Timeline

Key = Literal["rate_rps", "error_rate", "p50_ms", "p99_ms"]
WIDTH, LEFT, RIGHT, HEIGHT, GAP = 1180, 64, 1164, 124, 36


class Panel(NamedTuple):
    """One of the charts above each other."""

    key: Key
    title: str
    unit: str
    short: str
    log: bool = False
    factor: float = 1.0


PANELS = (
    Panel("p99_ms", "99th percentile of latency", "ms, log scale", "p99 ms", log=True),
    Panel("p50_ms", "Median latency", "ms, log scale", "p50 ms", log=True),
    Panel("error_rate", "Requests that failed or timed out", "%", "errors %", factor=100.0),
    Panel("rate_rps", "Requests that arrived", "requests/s", "arrivals/s"),
)


def section(document: Document) -> str:
    """The charts of each load under their heading."""
    if not document["timelines"]:
        return ""
    loads = document["loads"]
    drawn = [_drawing(document, n) for n in range(len(loads))]
    scenario = document["scenario"]
    window = document["timelines"][0]["window_s"]
    return (
        f"<style>{events.STYLE}{_STYLE}</style>"
        f'<h2 id="over-time">Over time</h2><p class="note">Windows of {window:g} s, with the '
        f"first seed. The first {scenario['warm_up_s']:g} s (grey) are not in the "
        f"table.</p>{controls.by_load(document, drawn)}{events.listed(document['events'])}"
        '<div class="tip" hidden></div>'
    )


_STYLE = """
svg .warm { fill: var(--soft); opacity: .1 } svg .cross { stroke: var(--ink); stroke-width: 1 }
.timeline:focus-visible { outline: 2px solid var(--accent) }
.tip { position: fixed; pointer-events: none; background: var(--paper); padding: .4rem .6rem;
       border: 1px solid var(--line); font-size: .8rem; box-shadow: 0 2px 8px #0004; z-index: 3 }
.tip table { width: auto } .tip td, .tip th { padding: .05rem .4rem; border: 0 }
"""


def _drawing(document: Document, at: int) -> str:
    load = document["loads"][at]
    lines = [one for one in document["timelines"] if one["load"] == load]
    if not lines:
        return '<p class="note">Nothing was recorded.</p>'
    end = document["scenario"]["duration_s"]
    x = scale.exact(0.0, end, LEFT, RIGHT, ticks=12)
    top = 26.0
    content = []
    for n, panel in enumerate(PANELS):
        first = top + n * (HEIGHT + GAP)
        content += _panel(document, lines, panel, x, first, last=n == len(PANELS) - 1)
    foot = top + len(PANELS) * (HEIGHT + GAP)
    content.append(
        svg.label((LEFT + RIGHT) / 2, foot - 4, "virtual time (s)", anchor="middle", cls="soft")
    )
    hover = (
        f'<line class="cross" x1="0" x2="0" y1="{top:g}" y2="{foot - GAP:g}" visibility="hidden"/>'
    )
    reach = f'data-left="{LEFT}" data-right="{RIGHT}" data-end="{end:g}"'
    drawn = svg.drawing(
        WIDTH,
        foot + 4,
        [*content, hover],
        title=f"Latency, errors and rate over time ({at_load(load)})",
        described=f"{len(lines)} policies; {len(document['events'])} events are listed below",
        extra=f' class="timeline" tabindex="0" {reach}',
    )
    return f'<figure class="wide">{drawn}{_numbers(document, lines)}</figure>'


def _panel(
    document: Document,
    lines: Sequence[Timeline],
    panel: Panel,
    x: scale.Scale,
    first: float,
    *,
    last: bool,
) -> list[str]:
    top, bottom = first + 14, first + HEIGHT
    values = [v for one in lines for v in one[panel.key] if v is not None]
    if panel.log:
        y = scale.logarithmic(values, bottom, top)
        words = [f"{tick:,g}" for tick in y.ticks]
    else:
        y = scale.linear([*values, 1e-3], bottom, top, ticks=3)
        words = [f"{round(tick * panel.factor, 6):,g}" for tick in y.ticks]
    counted = x(document["scenario"]["warm_up_s"])
    content = [
        svg.label(0, first - 8, f"{panel.title} ({panel.unit})", cls="title"),
        svg.box(x.start, top, counted - x.start, bottom - top, cls="warm"),
        *svg.across(x, top, bottom, [f"{tick:g}" if last else "" for tick in x.ticks]),
        *svg.upward(y, x.start, x.end, words),
        *events.marks(document["events"], x, top, bottom),
    ]
    for one in reversed(lines):
        which = document["policies"].index(one["policy"])
        middle = one["window_s"] / 2
        points = [
            None if value is None else (x(start + middle), y(value))
            for start, value in zip(one["start_s"], one[panel.key], strict=True)
        ]
        content.append(svg.group([svg.line(points)], cls=f"s{which}"))
    return content


def _numbers(document: Document, lines: Sequence[Timeline]) -> str:
    """The windows' values for the script, three digits each."""
    policies = document["policies"]
    values = {
        "window": lines[0]["window_s"],
        "start": lines[0]["start_s"],
        "panels": [panel.short for panel in PANELS],
        "policies": [
            {
                "n": policies.index(one["policy"]),
                "name": one["policy"],
                "values": [
                    [None if v is None else _short(v * panel.factor) for v in one[panel.key]]
                    for panel in PANELS
                ],
            }
            for one in lines
        ],
    }
    # A policy's name must not end the script element.
    content = json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json">{content}</script>'


def _short(value: float) -> float:
    return float(f"{value:.3g}")
