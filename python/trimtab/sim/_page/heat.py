"""Requests in flight by server and time: a heat map a policy, all of a load on one scale.

Each map is one image of a byte a cell, so that a hundred servers cost kilobytes. The colour goes
with log(1 + requests), since queues differ by orders of magnitude.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trimtab._report import palette, png, scale, svg
from trimtab.sim._metrics import at_load
from trimtab.sim._page import controls, events
from trimtab.sim._page.groups import runs_of

if TYPE_CHECKING:
    from trimtab.sim._document import Document, Endpoints, Load

COLOURS = 48
CELLS = 450_000
"""Cells that all maps of a page may have; beyond, rows are merged."""
NAMED_ROWS = 24
WIDTH, TOP, RIGHT = 400, 30, 382


def section(document: Document) -> str:
    """The maps of each load under their heading."""
    found = [one for one in document["endpoints"] if one["in_flight"] and one["in_flight"][0]]
    if not found:
        return ""
    cells = sum(len(one["in_flight"]) * len(one["in_flight"][0]) for one in found)
    merge = max(1, math.ceil(cells / CELLS))
    drawn = [_figures(document, load, merge) for load in document["loads"]]
    numbers = " Numbers at the top are the events." if document["events"] else ""
    merged = f" Each row is the fullest of {merge} neighbours." if merge > 1 else ""
    return (
        '<h2>In flight by server and time</h2><p class="note">A row a server, the brighter the '
        f"more requests it held; one scale for all policies of a load, by the logarithm.{numbers}"
        f"{merged}</p>"
        f"{controls.by_load(document, drawn)}"
    )


def _figures(document: Document, load: Load, merge: int) -> str:
    found = [one for one in document["endpoints"] if one["load"] == load and one["in_flight"]]
    maps = [(one, _merged(one["in_flight"], merge)) for one in found]
    most = max((v for _, rows in maps for row in rows for v in row), default=0.0) or 1.0
    figures = []
    for one, rows in maps:
        which = document["policies"].index(one["policy"])
        drawn = _drawing(document, one, rows, most)
        figures.append(f'<figure class="s{which}">{drawn}</figure>')
    return f'{_key(most)}<div class="many">{"".join(figures)}</div>'


def _merged(rows: list[list[float | None]], each: int) -> list[list[float]]:
    known = [[value or 0.0 for value in row] for row in rows]
    if each <= 1:
        return known
    parts = (known[n : n + each] for n in range(0, len(known), each))
    return [[max(column) for column in zip(*part, strict=True)] for part in parts]


def _drawing(document: Document, one: Endpoints, rows: list[list[float]], most: float) -> str:
    named = len(one["ids"]) <= NAMED_ROWS
    names = one["ids"] if named else list(dict.fromkeys(one["groups"]))
    left = 12 + min(110.0, 6.4 * max(map(len, names), default=0))
    height = 13.0 * len(rows) if named else min(300.0, max(180.0, 2.2 * len(rows)))
    bottom = TOP + height
    x = scale.exact(0.0, document["scenario"]["duration_s"], left, RIGHT, ticks=5)
    end = x(sum(_windows(document, one)))
    pixels = [bytes(_shade(value, most) for value in row) for row in rows]
    image = png.data_uri(pixels, [palette.sequence(n / (COLOURS - 1)) for n in range(COLOURS)])
    peak = max(value for row in rows for value in row)
    content = [
        svg.label(0, 12, one["policy"], cls="name"),
        svg.label(RIGHT, 12, f"most {peak:,.3g}", cls="soft", anchor="end"),
        *svg.across(x, bottom, bottom, [f"{tick:g} s" for tick in x.ticks]),
        f'<image x="{svg.number(left)}" y="{TOP}" width="{svg.number(end - left)}" '
        f'height="{svg.number(height)}" preserveAspectRatio="none" '
        f'style="image-rendering: pixelated" href="{image}"/>',
        *_names(one, named, left, height, bottom),
        *_moments(document, x),
    ]
    title = f"Requests in flight under {one['policy']} ({at_load(one['load'])})"
    described = f"{len(one['ids'])} servers over time; at most {peak:,.3g} in flight at one"
    return svg.drawing(WIDTH, bottom + 24, content, title=title, described=described)


def _windows(document: Document, one: Endpoints) -> list[float]:
    """The lengths of the map's windows: those of the timeline, else equal parts of the run."""
    count = len(one["in_flight"][0])
    for line in document["timelines"]:
        if line["policy"] == one["policy"] and line["load"] == one["load"]:
            return [line["window_s"]] * count
    return [document["scenario"]["duration_s"] / count] * count


def _names(one: Endpoints, named: bool, left: float, height: float, bottom: float) -> list[str]:
    step = height / len(one["ids"])
    if named:
        return [
            svg.label(
                left - 5,
                TOP + (n + 0.5) * step + 4,
                svg.cut(name, left - 8),
                cls="soft",
                anchor="end",
            )
            for n, name in enumerate(one["ids"])
        ]
    drawn = []
    free = -1e9
    for name, first, after in runs_of(one["groups"]):
        top, low = TOP + first * step, TOP + after * step
        drawn.append(svg.rule(left - 3, top + 1, left - 3, min(low, bottom) - 1, cls="axis"))
        middle = (top + low) / 2 + 4
        if middle - free >= 12:
            drawn.append(
                svg.label(left - 7, middle, svg.cut(name, left - 8), cls="soft", anchor="end")
            )
            free = middle
    return drawn


def _moments(document: Document, x: scale.Scale) -> list[str]:
    drawn = []
    free = -1e9
    for n, event in enumerate(document["events"], 1):
        at = x(event["at_s"])
        if event["at_s"] < x.high and at > free:
            drawn.append(
                svg.label(
                    at, TOP - 4, n, cls="event-name", anchor="middle", hint=events.told(event)
                )
            )
            free = at + 8 * len(str(n))
    return drawn


def _shade(value: float, most: float) -> int:
    share = math.log1p(max(0.0, value)) / math.log1p(most)
    return min(COLOURS - 1, round(share * (COLOURS - 1)))


def _key(most: float) -> str:
    """The scale of colours with its numbers."""
    wide = 300.0
    steps = bytes(range(COLOURS))
    image = png.data_uri([steps], [palette.sequence(n / (COLOURS - 1)) for n in range(COLOURS)])
    content = [
        f'<image x="10" y="2" width="{wide:g}" height="12" preserveAspectRatio="none" '
        f'href="{image}"/>'
    ]
    free = -1e9
    rounds = [0.0, *(f * 10.0**p for p in range(7) for f in (1, 2, 5))]
    for tick in (tick for tick in rounds if tick <= most):
        place = 10 + wide * math.log1p(tick) / math.log1p(most)
        if place - free > 26:
            content.append(svg.rule(place, 14, place, 18, cls="axis"))
            content.append(svg.label(place, 30, f"{tick:,g}", anchor="middle", cls="soft"))
            free = place
    content.append(
        svg.label(wide + 24, 13, "requests in flight at a server, mean of the window", cls="soft")
    )
    drawn = svg.drawing(
        640, 34, content, title="Scale of colours", described=f"From 0 to {most:,.3g}"
    )
    return f'<div style="max-width: 40rem">{drawn}</div>'
