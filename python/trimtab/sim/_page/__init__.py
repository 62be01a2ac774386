"""One self-contained HTML page of a result, for a person to look at.

It works without a script: which policies and which load show is chosen by style rules alone. The
script adds the numbers under the pointer of a timeline.
"""

from __future__ import annotations

import shlex
from importlib import resources
from typing import TYPE_CHECKING

from trimtab._report import palette, svg
from trimtab._report.html import page, text
from trimtab.sim._metrics import load_words
from trimtab.sim._page import controls, curves, figures, findings, heat, shares, timeline

if TYPE_CHECKING:
    from trimtab.sim._document import Document


def write(document: Document) -> str:
    """The page as text."""
    scenario = document["scenario"]
    body = f"""<h1>{text(scenario["name"])}</h1>
{_lead(document)}
{findings.listed(document)}
{controls.panel(document)}
{curves.section(document)}
{timeline.section(document)}
{shares.section(document)}
{heat.section(document)}
<h2>All numbers</h2>
{figures.table(document)}
{_reading(document)}
<h2>The scenario</h2>
<p class="note">Save it as <code>scenario.toml</code>; the same scenario, policies, loads and seeds
give the same results, to the byte:</p>
<pre>{text(_command(document))}</pre>
<pre>{text(scenario["toml"].strip())}</pre>
<p><small>Written by trimtab {text(_version())}.</small></p>"""
    style = "".join(
        (svg.STYLE, palette.style(len(document["policies"])), controls.style(document), _STYLE)
    )
    script = resources.files(__name__).joinpath("script.js").read_text(encoding="utf-8")
    return page(f"{scenario['name']} - trimtab simulate", body, style=style, script=script)


_STYLE = """
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 0 2rem }
.many { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr));
        gap: .6rem 1.6rem }
.wide { overflow-x: auto } .wide svg { min-width: 44rem }
tbody + tbody th[rowspan], tbody tr:first-child > * { border-top: 2px solid var(--line) }
td { white-space: nowrap } .better { color: var(--good) } .worse { color: var(--bad) }
th .key, .tip .key { display: inline-block; width: .7em; height: .7em; background: var(--c);
     margin-right: .4em; border-radius: 2px }
@media print { .controls { position: static } }
@media (max-width: 40rem) { .pair, .many { grid-template-columns: 1fr } }
"""


def _lead(document: Document) -> str:
    scenario, seeds = document["scenario"], document["seeds"]
    described = f"<p>{text(scenario['description'])}</p>" if scenario["description"] else ""
    capacity = document["capacity_rps"]
    loads = ", ".join(map(load_words, document["loads"]))
    if document["loads"] == [None]:
        at = "The rate is the scenario's own."
    elif capacity is None:
        at = f"Load {loads}."
    else:
        at = f"Load {loads}, where 1 means {capacity:,.0f} requests/s."
    return f"""{described}
<p class="note">Simulated in virtual time: {scenario["clients"]:,} clients, {scenario["servers"]:,}
servers, {scenario["duration_s"]:g} s of which the first {scenario["warm_up_s"]:g} s do not count;
{len(document["policies"])} policies, {len(seeds)} seed{"s" if len(seeds) > 1 else ""}. {at}</p>"""


def _reading(document: Document) -> str:
    scenario = document["scenario"]
    first = text(document["policies"][0])
    slo = scenario["slo_s"]
    within = (
        "answered without an error"
        if slo is None
        else (f"answered without an error within {slo:g} s (of LLM servers, the first byte)")
    )
    return f"""<h2>How to read it</h2>
<ul class="note">
<li>Every policy meets the same arrivals, request sizes and faults under the same seed. What
differs between two policies is compared seed by seed, which tells them apart better than the
intervals of the means do: an arrow stands where the 95 % interval of the ratio to {first} leaves
out 1.</li>
<li>Of twenty comparisons with no difference behind them, about one still gets an arrow.</li>
<li>Latency runs from the request's arrival at its client to the end of the answer, retries and
backoff included. A request without an answer after {scenario["timeout_s"]:g} s counts with
{scenario["timeout_s"]:g} s. In SLO: {within}.</li>
<li>Attempts/req: what servers were sent, over what clients asked for. Max/mean load: the busiest
server's share of the work over an even share.</li>
</ul>
<h2>What this does not show</h2>
<p class="note">A model, not a measurement: servers, network and faults follow the scenario below,
and costs that it leaves out (connections, serialisation, the balancer's own work) are none.
Differences between policies carry over better than the figures themselves.</p>"""


def _command(document: Document) -> str:
    seeds = document["seeds"]
    wanted = ["trimtab", "simulate", "scenario.toml"]
    for policy in document["policies"]:
        wanted += ["--policy", policy]
    if document["loads"] != [None]:
        wanted += ["--loads", ",".join(map(load_words, document["loads"]))]
    counted = seeds == list(range(1, len(seeds) + 1))
    if counted:
        wanted += ["--seeds", str(len(seeds))]
    command = shlex.join([*wanted, "--html", "report.html"])
    return command if counted else f"{command}\n# from Python, seeds={seeds}"


def _version() -> str:
    from trimtab import __version__

    return __version__
