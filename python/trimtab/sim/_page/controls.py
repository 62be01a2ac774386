"""What shows: a box a policy and a button a load, by style rules alone, and the legend in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab._report import palette, svg
from trimtab._report.html import text
from trimtab.sim._metrics import at_load, load_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.sim._document import Document, Load


def panel(document: Document) -> str:
    """The legend, which stays in sight while the page scrolls."""
    boxes = "".join(
        f'<label class="s{n}"><input type="checkbox" id="policy-{n}" checked>{_key(n)}'
        f"{text(policy)}</label>"
        for n, policy in enumerate(document["policies"])
    )
    chosen = default(document["loads"])
    buttons = "".join(
        f'<label><input type="radio" name="load" id="load-{n}"{" checked" if n == chosen else ""}>'
        f"{load_words(load)}</label>"
        for n, load in enumerate(document["loads"])
    )
    loads = (
        f"<fieldset><legend>Load of the charts over time and by server</legend>{buttons}</fieldset>"
        if len(document["loads"]) > 1
        else ""
    )
    return (
        f'<form class="controls" autocomplete="off"><fieldset><legend>Policies</legend>{boxes}'
        f"</fieldset>{loads}</form>"
    )


def style(document: Document) -> str:
    """The rules by which the boxes and buttons hide what is not wanted."""
    rules = [_STYLE]
    for n in range(len(document["policies"])):
        rules.append(f"body:has(#policy-{n}:not(:checked)) .s{n}:not(label) {{ display: none }}\n")
        rules.append(
            f"body:has(.controls label.s{n}:hover) svg g:is({_others(n, document)}) "
            "{ opacity: .15 }\n"
        )
    if len(document["loads"]) > 1:
        for n in range(len(document["loads"])):
            rules.append(f"body:has(#load-{n}:checked) .load:not(.load-{n}) {{ display: none }}\n")
    return "".join(rules)


def by_load(document: Document, drawn: Iterable[str]) -> str:
    """One block a load of which the chosen one shows; with no such choice all show, named."""
    loads = document["loads"]
    return "".join(
        f'<div class="load load-{n}"><h3>{text(at_load(load))}</h3>{block}</div>'
        for n, (load, block) in enumerate(zip(loads, drawn, strict=True))
    )


def default(loads: list[Load]) -> int:
    """The load that shows at first: the highest that the fleet can carry, else the last."""
    below = [(load, n) for n, load in enumerate(loads) if load is not None and load < 1]
    return max(below)[1] if below else len(loads) - 1


def _others(n: int, document: Document) -> str:
    return ", ".join(f".s{k}" for k in range(len(document["policies"])) if k != n) or ".none"


def _key(n: int) -> str:
    inside = [svg.line([(1, 7), (27, 7)]), svg.marker(palette.marker(n), 14, 7)]
    return f'<svg viewBox="0 0 28 14" aria-hidden="true">{"".join(inside)}</svg>'


_STYLE = """
.controls { position: sticky; top: 0; z-index: 2; background: var(--paper); padding: .4rem 0;
            border-bottom: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: .2rem 2rem }
.controls fieldset { border: 0; padding: 0; margin: 0; display: flex; flex-wrap: wrap;
                     gap: .1rem 1.1rem; align-items: center; font-size: .9rem }
.controls legend { float: left; color: var(--soft); margin-right: .3rem; padding: 0 }
.controls label { display: inline-flex; align-items: center; gap: .3rem; cursor: pointer }
.controls svg { width: 28px; height: 14px }
.controls input { accent-color: var(--c, var(--accent)); margin: 0 }
"""
