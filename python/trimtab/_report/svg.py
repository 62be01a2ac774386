"""SVG written by hand: elements, lines with gaps, bands, markers, axes, labels that keep apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab._report.html import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trimtab._report.scale import Scale

Point = tuple[float, float]

STYLE = """
svg text { font: 12px system-ui, sans-serif; fill: var(--ink) }
svg text.soft { fill: var(--soft) } svg text.title { font-weight: 600; font-size: 13px }
svg .grid { stroke: var(--line); stroke-width: 1 }
svg .axis { stroke: var(--soft); stroke-width: 1 }
svg .line { fill: none; stroke: var(--c); stroke-dasharray: var(--dash); stroke-width: 1.8;
            stroke-linejoin: round }
svg .band { fill: var(--c); opacity: .15 } svg .dot { fill: var(--c); stroke: var(--paper) }
svg .stroke { fill: none; stroke: var(--c); stroke-width: 1.8 } svg .fill { fill: var(--c) }
svg .leader { stroke: var(--c); stroke-width: .7; opacity: .6 }
svg text.name { fill: var(--c); font-weight: 600; font-size: 11.5px }
"""


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    short = f"{value:.1f}"
    return short.removesuffix(".0") if short != "-0.0" else "0"


def drawing(
    width: float,
    height: float,
    content: Iterable[str],
    *,
    title: str,
    described: str,
    extra: str = "",
) -> str:
    """An ``svg`` element that a screen reader names by ``title`` and ``described``."""
    label = text(f"{title}. {described}")
    return (
        f'<svg viewBox="0 0 {number(width)} {number(height)}" role="img" '
        f'aria-label="{label}"{extra}>{"".join(content)}</svg>'
    )


def group(content: Iterable[str], *, cls: str = "") -> str:
    """A ``g`` element."""
    return f'<g class="{cls}">{"".join(content)}</g>'


def label(
    x: float, y: float, words: object, *, cls: str = "", anchor: str = "start", hint: str = ""
) -> str:
    """A line of text; ``hint`` shows where the pointer rests."""
    kind = f' class="{cls}"' if cls else ""
    place = f' text-anchor="{anchor}"' if anchor != "start" else ""
    more = f"<title>{text(hint)}</title>" if hint else ""
    return f'<text x="{number(x)}" y="{number(y)}"{kind}{place}>{more}{text(words)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, *, cls: str) -> str:
    """A straight line."""
    return (
        f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}" '
        f'class="{cls}"/>'
    )


def box(x: float, y: float, width: float, height: float, *, cls: str, hint: str = "") -> str:
    """A rectangle; ``hint`` shows where the pointer rests."""
    shape = (
        f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(0, width))}" '
        f'height="{number(max(0, height))}" class="{cls}"'
    )
    return f"{shape}><title>{text(hint)}</title></rect>" if hint else f"{shape}/>"


def line(points: Sequence[Point | None]) -> str:
    """A line through ``points`` with a gap at each ``None``; a lone point becomes a dot."""
    parts: list[str] = []
    run: list[Point] = []
    for point in [*points, None]:
        if point is not None:
            run.append(point)
            continue
        if run:
            # A line of no length is drawn as a dot by its round cap.
            ends = run if len(run) > 1 else run * 2
            parts.append("M" + "L".join(f"{number(x)} {number(y)}" for x, y in ends))
        run = []
    return f'<path d="{"".join(parts)}" class="line" stroke-linecap="round"/>' if parts else ""


def band(low: Sequence[Point], high: Sequence[Point]) -> str:
    """The area between two lines."""
    if len(low) < 2:
        return ""
    around = [*low, *reversed(high)]
    path = "L".join(f"{number(x)} {number(y)}" for x, y in around)
    return f'<path d="M{path}Z" class="band"/>'


def marker(kind: str, x: float, y: float, *, size: float = 4.5, hint: str = "") -> str:
    """A marker of a series."""
    paths = {
        "square": "M-1-1H1V1H-1Z",
        "up": "M0-1.2L1.15 .9H-1.15Z",
        "diamond": "M0-1.35L1.35 0L0 1.35L-1.35 0Z",
        "down": "M0 1.2L1.15-.9H-1.15Z",
        "hex": "M-1.2 0L-.6-1.05H.6L1.2 0L.6 1.05H-.6Z",
        "bar": "M-.5-1.3H.5V1.3H-.5Z",
        "cross": "M-1-.55L-.55-1L0-.45L.55-1L1-.55L.45 0L1 .55L.55 1L0 .45L-.55 1L-1 .55L-.45 0Z",
        "plus": "M-.4-1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2V-.4H-.4Z",
    }
    title = f"<title>{text(hint)}</title>" if hint else ""
    if kind == "circle":
        place = f'cx="{number(x)}" cy="{number(y)}" r="{number(size)}"'
        return f'<circle {place} class="dot">{title}</circle>'
    where = f"translate({number(x)} {number(y)}) scale({number(size)})"
    return (
        f'<path d="{paths[kind]}" transform="{where}" class="dot" '
        f'vector-effect="non-scaling-stroke">{title}</path>'
    )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near ``wanted`` that keep ``gap`` apart, between ``low`` and ``high`` if they fit."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    gap = min(gap, (high - low) / max(1, len(order) - 1))
    places = [0.0] * len(wanted)
    before = low - gap
    for n in order:
        before = places[n] = max(wanted[n], before + gap)
    after = high + gap
    for n in reversed(order):
        after = places[n] = min(places[n], after - gap)
    return places


def across(scale: Scale, top: float, bottom: float, words: Sequence[str]) -> list[str]:
    """A horizontal axis under ``bottom``, with a tick and its word where the words do not touch."""
    drawn = [rule(scale.start, bottom, scale.end, bottom, cls="axis")]
    free = -1e9
    for value, word in zip(scale.ticks, words, strict=True):
        x = scale(value)
        drawn.append(rule(x, top, x, bottom, cls="grid"))
        half = 3.6 * len(word)
        if x - half > free:
            drawn.append(label(x, bottom + 16, word, anchor="middle", cls="soft"))
            free = x + half + 4
    return drawn


def upward(scale: Scale, left: float, right: float, words: Sequence[str]) -> list[str]:
    """A vertical axis at ``left`` with its grid."""
    drawn = []
    for value, word in zip(scale.ticks, words, strict=True):
        y = scale(value)
        drawn.append(rule(left, y, right, y, cls="grid"))
        drawn.append(label(left - 6, y + 4, word, anchor="end", cls="soft"))
    return drawn


def cut(words: str, room: float) -> str:
    """As much of ``words`` as ``room`` pixels hold; nothing if that is under three letters."""
    letters = int(room / 6.6)
    if len(words) <= letters:
        return words
    return f"{words[: letters - 1]}\N{HORIZONTAL ELLIPSIS}" if letters >= 3 else ""
