"""What the scenario made happen, marked on charts over time and told under them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab._report import svg
from trimtab._report.html import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab._report.scale import Scale
    from trimtab.sim._document import Event

STYLE = """
svg .event { fill: var(--bad); opacity: .1 } svg .moment { stroke: var(--bad); opacity: .7 }
svg text.event-name { fill: var(--bad); font-weight: 600; font-size: 11px; opacity: 1 }
"""


def marks(events: Sequence[Event], x: Scale, top: float, bottom: float) -> list[str]:
    """A band an event, a line for one without length, numbered where numbers do not touch."""
    drawn = []
    free = -1e9
    for n, event in enumerate(events, 1):
        if event["at_s"] >= x.high:
            continue
        start = x(event["at_s"])
        until = event["until_s"]
        if until is not None and until > event["at_s"]:
            width = max(1.5, x(until) - start)
            drawn.append(svg.box(start, top, width, bottom - top, cls="event", hint=told(event)))
        else:
            drawn.append(svg.rule(start, top, start, bottom, cls="moment"))
        if start > free:
            drawn.append(svg.label(start + 2, top - 4, n, cls="event-name"))
            free = start + 8 * len(str(n)) + 4
    return drawn


def listed(events: Sequence[Event]) -> str:
    """The events in words, numbered as on the charts."""
    if not events:
        return ""
    items = "".join(f"<li>{text(told(event))}</li>" for event in events)
    if len(events) > 8:
        return (
            f"<details><summary>{len(events)} events, numbered as on the charts</summary>"
            f"<ol>{items}</ol></details>"
        )
    return f'<p class="note">Events, numbered as on the charts:</p><ol class="note">{items}</ol>'


def told(event: Event) -> str:
    """An event in words."""
    until = event["until_s"]
    when = f"{event['at_s']:g}" if until is None else f"{event['at_s']:g} to {until:g}"
    return f"{when} s: {event['text'] or event['kind']}"
