"""One self-contained HTML page: the table, the charts as inline SVG, and how it was measured."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from trimtab._report.html import page, text
from trimtab.demo.scenario import CLASSES, REPLICAS, TROUBLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from trimtab.demo.summary import Row

STYLE = """
td.bar { background: linear-gradient(90deg, #4f86c64d var(--w), transparent var(--w)) }
tr:last-child td { font-weight: 600 }
/* matplotlib draws for light paper. */
.sheet { background: #fff; border-radius: 4px }
"""


def write(
    rows: Sequence[Row], figure: Figure, verdict: str, training: str, *, rate: float, seconds: float
) -> str:
    """The page as text."""
    svg = io.StringIO()
    figure.savefig(svg, format="svg")
    drawing = svg.getvalue()
    body = f"""<h1>trimtab demo</h1>
<p class="note">The same open-loop load of {rate:g} requests/s for {seconds:g} s, four
times, through four policies, on six mock replicas in real time.</p>
<p class="verdict">{text(verdict)}</p>
{table(rows)}
<p><small>Latency runs from the time a request was due to the end of its answer; errors are not in
it.</small></p>
<figure class="sheet">{drawing[drawing.index("<svg") :]}</figure>
<h2>What was played</h2>
<ul>{"".join(f"<li>{text(line)}</li>" for line in played())}</ul>
<h2>What the table learned</h2>
<pre>{text(training)}</pre>
<h2>How to read it</h2>
<p class="note">With locality a policy keeps to the four replicas nearby and spares the round
trip to the other two; it also gives up their capacity, which is what the peak_ewma row pays for
under this load. peak_ewma sees one latency a replica, whatever the request's class, so a
replica that has just served a long class looks slow; the table knows each class's cost on each
kind of replica. A replica that is killed fails the requests it was working on, and they fail
whatever the policy: those are the crosses, drawn where the requests were sent, a little before
the replica died.</p>
<h2>What this does not show</h2>
<p class="note">One seed, one machine, and servers that follow a model of continuous
batching. The table was trained on the runs above it, on the same two request classes; with one
class, or with replicas that are all alike, it can at best tie with peak_ewma.</p>"""
    return page("trimtab demo", body, style=STYLE)


def table(rows: Sequence[Row]) -> str:
    """The rows as an HTML table."""
    head = ["policy", "requests", "errors", "mean ms", "p50 ms", "p99 ms"]
    head += [f"{kind.name} p50" for kind in CLASSES] + [r.name for r in REPLICAS]
    lines = []
    for row in rows:
        cells = [text(row.title), row.requests, row.errors]
        cells += [f"{value:.0f}" for value in (row.mean, row.p50, row.p99)]
        cells += [f"{row.class_p50[kind.name]:.0f}" for kind in CLASSES]
        line = "".join(f"<td>{cell}</td>" for cell in cells)
        for replica in REPLICAS:
            share = row.share[replica.name]
            line += f'<td class="bar" style="--w:{share * 200:.0f}%">{share:.0%}</td>'
        lines.append(f"<tr>{line}</tr>")
    heads = "".join(f"<th>{text(name)}</th>" for name in head)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def played() -> list[str]:
    """The scenario in words."""
    lines = [
        f"{r.name}: preset {r.preset}, region {r.region}, {r.network_ms:g} ms away"
        for r in REPLICAS
    ]
    lines += [
        f"class {k.name}: {k.prompt_tokens} prompt tokens, {k.output_tokens} answered, "
        f"{k.share:.0%} of the requests"
        for k in CLASSES
    ]
    lines += [
        f"{t.replica} is {'dead' if t.kind == 'dead' else f'{t.factor:g} times slower'} "
        f"from {t.start:.0%} to {t.end:.0%} of each run"
        for t in TROUBLE
    ]
    return lines
