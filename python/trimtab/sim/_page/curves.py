"""Metrics by load: a line a policy with its 95 % band; at one load a dot with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from trimtab._report import palette, scale, svg
from trimtab._report.html import text
from trimtab.sim._metrics import METRICS, Metric, at_load, has_llm

if TYPE_CHECKING:
    from trimtab._report.scale import Scale
    from trimtab.sim._document import Document, Interval

PANELS = {
    "p50_ms": "Median latency",
    "p99_ms": "99th percentile of latency",
    "first_byte_p50_ms": "Median time to first byte",
    "first_byte_p99_ms": "99th percentile of time to first byte",
    "goodput": "Requests answered within the SLO",
    "load_max_over_mean": "Busiest server over the mean of all",
}
WIDTH, TOP, LEFT = 600, 34, 58


class Series(NamedTuple):
    """A policy's means and intervals in the order of the loads."""

    which: int
    name: str
    points: list[tuple[float, Interval]]
    """Loads, 0 for the scenario's own rate, and what was measured there."""


def section(document: Document) -> str:
    """All panels under their heading."""
    one = len(document["loads"]) == 1
    draw = _dots if one else _curves
    drawn = "".join(
        f"<figure>{draw(document, METRICS[key])}</figure>"
        for key in PANELS
        if any(_series(document, key)) and (has_llm(document) or not key.startswith("first_byte"))
    )
    note = (
        "Dots are means over seeds, lines their 95 % intervals."
        if one
        else "Lines are means over seeds, bands their 95 % intervals."
    )
    many = len(document["seeds"]) > 1
    title = at_load(document["loads"][0]) if one else "By load"
    return (
        f'<h2>{text(title)}</h2><p class="note">{note if many else "One seed: no intervals."}</p>'
        f'<div class="pair">{drawn}</div>'
    )


def _series(document: Document, key: str) -> list[Series]:
    found = []
    for which, policy in enumerate(document["policies"]):
        points = [
            (row["load"] or 0.0, row["metrics"][key])
            for row in document["summary"]
            if row["policy"] == policy
            and key in row["metrics"]
            and row["metrics"][key]["mean"] is not None
        ]
        if points:
            found.append(Series(which, policy, sorted(points, key=lambda point: point[0])))
    return found


def _curves(document: Document, metric: Metric) -> str:
    series = _series(document, metric.key)
    names = max(len(one.name) for one in series)
    right = WIDTH - 16 - 7.4 * names
    bottom = max(300, TOP + 14 * len(series))
    loads = [load or 0.0 for load in document["loads"]]
    pad = (max(loads) - min(loads)) * 0.03
    x = scale.Scale(min(loads) - pad, max(loads) + pad, LEFT, right, sorted(loads))
    y = _scale(metric, series, bottom, TOP)
    content = [
        svg.label(0, 14, _title(metric), cls="title"),
        *svg.across(x, TOP, bottom, [f"{load:g}" for load in x.ticks]),
        *svg.upward(y, LEFT, right, _words(metric, y)),
        svg.label(
            (LEFT + right) / 2,
            bottom + 34,
            "load (share of the full load)",
            anchor="middle",
            cls="soft",
        ),
    ]
    wanted = [y(_value(one.points[-1][1]["mean"])) for one in series]
    places = svg.spread(wanted, 13, TOP + 4, bottom - 2)
    for one, want, place in reversed(list(zip(series, wanted, places, strict=True))):
        content.append(svg.group(_line(one, metric, x, y, want, place), cls=f"s{one.which}"))
    described = f"{len(series)} policies over {len(loads)} loads; the table has the numbers"
    return svg.drawing(WIDTH, bottom + 42, content, title=_title(metric), described=described)


def _line(one: Series, metric: Metric, x: Scale, y: Scale, want: float, place: float) -> list[str]:
    low = [(x(load), y(_value(i["low"]))) for load, i in one.points if i["low"] is not None]
    high = [(x(load), y(_value(i["high"]))) for load, i in one.points if i["high"] is not None]
    means = [(x(load), y(_value(i["mean"]))) for load, i in one.points]
    end = means[-1][0]
    drawn = [svg.band(low, high), svg.line(means)]
    for (load, interval), (px, py) in zip(one.points, means, strict=True):
        hint = f"{one.name}, load {load:g}: {_spoken(metric, interval)}"
        drawn.append(svg.marker(palette.marker(one.which), px, py, hint=hint))
    drawn.append(svg.rule(end + 6, want, x.end + 10, place, cls="leader"))
    drawn.append(svg.label(x.end + 13, place + 4, one.name, cls="name"))
    return drawn


def _dots(document: Document, metric: Metric) -> str:
    series = _series(document, metric.key)
    left = 16 + 7.4 * max(len(one.name) for one in series)
    right = WIDTH - 30
    bottom = TOP + 26 * len(series) + 4
    x = _scale(metric, series, left, right)
    content = [
        svg.label(0, 14, _title(metric), cls="title"),
        *svg.across(x, TOP - 8, bottom, _words(metric, x)),
    ]
    for row, one in enumerate(series):
        place = TOP + 26 * row + 11
        _, interval = one.points[0]
        drawn = [svg.label(left - 10, place + 4, one.name, cls="name", anchor="end")]
        if interval["low"] is not None and interval["high"] is not None:
            ends = x(interval["low"]), x(interval["high"])
            drawn.append(svg.rule(ends[0], place, ends[1], place, cls="stroke"))
            drawn += [svg.rule(end, place - 4, end, place + 4, cls="stroke") for end in ends]
        hint = f"{one.name}: {_spoken(metric, interval)}"
        at = x(_value(interval["mean"]))
        drawn.append(svg.marker(palette.marker(one.which), at, place, hint=hint))
        content.append(svg.group(drawn, cls=f"s{one.which}"))
    described = f"A dot for each of {len(series)} policies; the table has the numbers"
    return svg.drawing(WIDTH, bottom + 24, content, title=_title(metric), described=described)


def _scale(metric: Metric, series: list[Series], start: float, end: float) -> Scale:
    values = [
        value
        for one in series
        for _, interval in one.points
        for value in (interval["mean"], interval["low"], interval["high"])
        if value is not None
    ]
    if metric.log:
        return scale.logarithmic(_above_nothing(values, series), start, end)
    found = scale.linear(values, start, end, floor=None)
    if metric.percent and found.high > 1:
        ticks = [tick for tick in found.ticks if tick <= 1]
        return scale.Scale(max(0.0, found.low), 1.0, start, end, ticks)
    return found


def _above_nothing(values: list[float], series: list[Series]) -> list[float]:
    """Values for a logarithmic axis, which an interval far below its mean must not stretch."""
    least = min(_value(interval["mean"]) for one in series for _, interval in one.points)
    return [value for value in values if value >= least / 2]


def _value(value: float | None) -> float:
    return 0.0 if value is None else value


def _words(metric: Metric, axis: Scale) -> list[str]:
    factor = 100 if metric.percent else 1
    values = [tick * factor for tick in axis.ticks]
    if metric.log:
        return [f"{value:,g}" for value in values]
    return [f"{value:g}" for value in (round(value, 6) for value in values)]


def _title(metric: Metric) -> str:
    unit = metric.unit or "ratio of load"
    return f"{PANELS[metric.key]} ({unit}{', log scale' if metric.log else ''})"


def _spoken(metric: Metric, interval: Interval) -> str:
    words = f"{metric.number(interval['mean'])} {metric.unit}".strip()
    if interval["low"] is None or interval["high"] is None:
        return words
    return f"{words} ({metric.number(interval['low'])} to {metric.number(interval['high'])})"
