"""Who served how much: a bar a server over an even share, and how busy each was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab._report import scale, svg
from trimtab.sim._metrics import has_llm
from trimtab.sim._page import controls
from trimtab.sim._page.groups import runs_of

if TYPE_CHECKING:
    from trimtab.sim._document import Document, Endpoints, Load

WIDTH, LEFT, TOP, HEIGHT = 400, 40, 30, 118
SHOWN = 400
"""Servers beyond which neighbours share a bar, which then shows their mean."""


def section(document: Document) -> str:
    """The charts of each load under their heading."""
    if not document["endpoints"]:
        return ""
    drawn = [_figures(document, load) for load in document["loads"]]
    busy = (
        "The dots show how busy it was: its workers' time spent over the time there was."
        if _shares_of_time(document)
        else "The dots show how many requests it served at once, on average (right axis)."
    )
    return (
        '<h2>Share by server</h2><p class="note">A bar a server, in the order of the scenario: its '
        f"requests over an even share (1, the line). {busy}</p>"
        f"<style>{_STYLE}</style>{controls.by_load(document, drawn)}"
    )


_STYLE = """
svg .even { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 4 3; opacity: .7 }
svg .busy { stroke: var(--ink); stroke-linecap: round; opacity: .75 }
svg .edge { stroke: var(--soft); stroke-width: 1 }
svg .bars { fill: var(--c); opacity: .75 }
"""


def _figures(document: Document, load: Load) -> str:
    found = [one for one in document["endpoints"] if one["load"] == load]
    most = max((v for one in found for v in _over_even(one)), default=1.0)
    busiest = 1.0
    if not _shares_of_time(document):
        busiest = max((v or 0.0 for one in found for v in one["utilization"]), default=1.0)
    figures = []
    for one in found:
        which = document["policies"].index(one["policy"])
        drawn = _drawing(one, max(most, 1.2), busiest)
        figures.append(f'<figure class="s{which}">{drawn}</figure>')
    return f'<div class="many">{"".join(figures)}</div>'


def _shares_of_time(document: Document) -> bool:
    """Whether utilization is a share; of LLM servers it is the mean number of requests served."""
    return not has_llm(document)


def _over_even(one: Endpoints) -> list[float]:
    return [(share or 0.0) * len(one["ids"]) for share in one["share"]]


def _drawing(one: Endpoints, most: float, busiest: float) -> str:
    count = len(one["ids"])
    each = -(-count // SHOWN)
    right, bottom = WIDTH - 40, TOP + HEIGHT
    y = scale.linear([most], bottom, TOP, ticks=3)
    busy = scale.linear([busiest], bottom, TOP, ticks=2)
    right_words = [f"{tick:.0%}" if busiest == 1.0 else f"{tick:,g}" for tick in busy.ticks]
    bars = -(-count // each)
    step = (right - LEFT) / max(1, bars)
    shares = _binned(_over_even(one), each)
    most_loaded, least_loaded = max(shares, default=0.0), min(shares, default=0.0)
    path, dots = [], []
    wide = min(4.0, max(2.0, step))
    for n, share in enumerate(shares):
        x = LEFT + n * step
        gap = step * 0.12 if step > 3 else 0
        start, end = svg.number(x + gap), svg.number(x + step - gap)
        path.append(f"M{start} {bottom}V{svg.number(y(share))}H{end}V{bottom}Z")
    for n, value in enumerate(_binned([v or 0.0 for v in one["utilization"]], each)):
        place = LEFT + (n + 0.5) * step
        # A line of no length with a round cap is a dot, in a tenth of a circle's characters.
        dots.append(f"M{svg.number(place)} {svg.number(busy(value))}h0")
    content = [
        svg.label(0, 12, one["policy"], cls="name"),
        svg.label(
            WIDTH,
            12,
            f"most {most_loaded:.2f} x, least {least_loaded:.2f} x",
            cls="soft",
            anchor="end",
        ),
        *svg.upward(y, LEFT, right, [f"{tick:g} x" for tick in y.ticks]),
        *(
            svg.label(right + 6, busy(tick) + 4, word, cls="soft")
            for tick, word in zip(busy.ticks, right_words, strict=True)
        ),
        f'<path d="{"".join(path)}" class="bars"/>',
        f'<path d="{"".join(dots)}" class="busy" stroke-width="{svg.number(wide)}"/>',
        svg.rule(LEFT, y(1.0), right, y(1.0), cls="even"),
        *_groups(one, step / each, bottom, right),
        svg.rule(LEFT, bottom, right, bottom, cls="axis"),
    ]
    described = (
        f"{count} servers; the most loaded has {most_loaded:.2f} times an even share, "
        f"the least {least_loaded:.2f}"
    )
    title = f"Share of requests by server under {one['policy']}"
    return svg.drawing(WIDTH, bottom + 20, content, title=title, described=described)


def _groups(one: Endpoints, step: float, bottom: float, right: float) -> list[str]:
    drawn = []
    free = LEFT - 1.0
    for name, first, after in runs_of(one["groups"]):
        start, end = LEFT + first * step, min(right, LEFT + after * step)
        if first:
            drawn.append(svg.rule(start, TOP, start, bottom + 5, cls="edge"))
        words = svg.cut(name, max(end - start, 30))
        if words and start >= free:
            drawn.append(
                svg.label((start + end) / 2, bottom + 15, words, cls="soft", anchor="middle")
            )
            free = (start + end) / 2 + 3.5 * len(words)
    return drawn


def _binned(values: list[float], each: int) -> list[float]:
    if each <= 1:
        return values
    parts = (values[n : n + each] for n in range(0, len(values), each))
    return [sum(part) / len(part) for part in parts]
