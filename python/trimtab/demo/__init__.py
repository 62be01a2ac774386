"""``trimtab demo``: six mock replicas, four policies, one load, measured side by side.

The learned table comes last, trained on the decision log that the runs before it wrote.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

from trimtab.demo import charts, page, scenario
from trimtab.demo.fleet import Fleet
from trimtab.demo.load import Policy, run
from trimtab.demo.summary import Row, like_for_like, summarise, table, verdict

if TYPE_CHECKING:
    from pathlib import Path

POLICIES = (
    Policy("round_robin"),
    Policy("least_request"),
    Policy("peak_ewma", local=True),
    Policy("q_table", local=True),
)


def main(out: Path, *, rate: float = 12.0, seconds: float = 22.0, seed: int = 7) -> None:
    """Plays the demo at ``rate`` requests/s for ``seconds`` a policy, and writes it to ``out``."""
    logs = out / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    rows, training = asyncio.run(_play(logs, out / "model.qtable", rate, seconds, seed))
    sentence = f"{verdict(rows)} {like_for_like(rows)}"
    figure = charts.draw(rows, seconds)
    figure.savefig(out / "demo.png", dpi=110)
    html = page.write(rows, figure, sentence, training, rate=rate, seconds=seconds)
    (out / "demo.html").write_text(html, encoding="utf-8")
    (out / "results.json").write_text(_raw(rows), encoding="utf-8")
    print(f"\n{table(rows)}\n\n{sentence}\n")
    print(f"Charts: {out / 'demo.html'} and {out / 'demo.png'}; raw data: {out / 'results.json'}")


async def _play(
    logs: Path, model: Path, rate: float, seconds: float, seed: int
) -> tuple[list[Row], str]:
    from trimtab.train import train

    schedule = scenario.arrivals(rate, seconds, seed)
    rows: list[Row] = []
    training = ""
    print(f"Starting {len(scenario.REPLICAS)} mock replicas ...", flush=True)
    async with Fleet(seed) as fleet:
        for policy in POLICIES:
            learned = policy.name == "q_table"
            if learned:
                training = train([logs], model).to_text()
                print(training, flush=True)
            print(f"{policy.title}: {len(schedule)} requests in {seconds:g} s ...", flush=True)
            log = logs / f"{policy.name}.jsonl"
            answers, fallbacks = await run(
                fleet,
                policy,
                schedule,
                seconds=seconds,
                log=log,
                model=model if learned else None,
            )
            rows.append(summarise(policy.title, answers, log, fallbacks))
            await fleet.settle()
    return rows, training


def _raw(rows: list[Row]) -> str:
    """Every answer, so that the figures can be checked."""
    return json.dumps([asdict(row) for row in rows])
