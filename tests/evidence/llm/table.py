"""Table 5: requests to language models, after traces of real services."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evidence import (
    CACHE_HIT,
    ERRORS,
    FIRST_BYTE_P50,
    FIRST_BYTE_P90,
    FIRST_BYTE_P99,
    GOODPUT,
    LOAD,
    MEAN,
    P99,
    PROBES,
    Interval,
    Mode,
    Study,
    Table,
    with_interval,
)
from evidence.interval import ratio

# The full traces by the samples that ship, which are their beginnings.
FULL = {
    "mooncake_conversation.jsonl": "mooncake_fast25_conversation.jsonl",
    "mooncake_synthetic.jsonl": "mooncake_fast25_synthetic.jsonl",
    "azure_llm_2023_conv.csv": "azure_llm_2023_conv.csv",
    "azure_llm_2023_code.csv": "azure_llm_2023_code.csv",
}
BLIND = ["random", "round_robin", "least_request", "peak_ewma", "prequal"]
WITH_CACHES = [*BLIND, "rendezvous", "radix_tree", "prefix_affinity", "oracle"]
WITHOUT = [*BLIND, "prefix_affinity", "oracle"]
OURS = "prefix_affinity"
P90_MS = FIRST_BYTE_P90.metric
FIRST_BYTES = [FIRST_BYTE_P50, FIRST_BYTE_P90, FIRST_BYTE_P99]
WITHOUT_CACHES = [*FIRST_BYTES, GOODPUT, MEAN, P99, ERRORS, LOAD]
COLUMNS = [CACHE_HIT, *WITHOUT_CACHES]
KEEP = [column.metric for column in [*COLUMNS, PROBES]]
# How clients come to know the servers' load: what a scenario's servers and clients do in place of
# reports a second.
TOLD = "reports every 1 s"
ASKED = "asked before each pick"
WAYS: dict[str, tuple[dict[str, Any] | None, dict[str, Any]]] = {
    "not at all": (None, {}),
    "a report with each answer": ({"in_band": True}, {}),
    "reports every 500 ms": ({"every": "500ms", "delay": "5ms"}, {}),
    "reports every 250 ms": ({"every": "250ms", "delay": "5ms"}, {}),
    ASKED: (None, {"ask_first": True}),
}


def make(table: Table) -> None:
    """Makes the table."""
    goal: list[list[str]] = []
    for name in ["conversation", "synthetic"]:
        study = table.study(name, scenario(table, name), policies=WITH_CACHES, keep=KEEP)
        table.compare(name, study, COLUMNS)
        asked = ways(table, name, study)
        goal.append(row(f"Mooncake, {name}", study, asked, None))
        p90 = {policy: study.mean(policy, P90_MS) for policy in WITH_CACHES}
        hit = {policy: study.mean(policy, "cache_hit") for policy in WITH_CACHES}
        least = min(p90[policy] for policy in [*BLIND, "rendezvous", "radix_tree"])
        table.expect(p90[OURS] < least, f"{name}: prefix_affinity before all that is real")
        table.expect(hit[OURS] > hit["least_request"], f"{name}: prefix_affinity uses caches")
        table.expect(asked.mean(OURS, P90_MS) < p90[OURS], f"{name}: asking helps")
    for name in ["azure_conversation", "azure_code"]:
        study = table.study(name, scenario(table, name), policies=WITHOUT, keep=KEEP)
        asked = table.study(
            f"{name}, {ASKED}", changed(table, name, ASKED), policies=[OURS], keep=KEEP
        )
        for load in study.loads:
            assert load is not None
            title = f"{name} {load:g}"
            table.compare(title, study, WITHOUT_CACHES, load=load)
            goal.append(row(f"{title.replace('_', ' ').capitalize()} x", study, asked, load))
            found = asked.mean(OURS, P90_MS, load)
            # Bursts of code fill all replicas, whoever chooses.
            helps = name == "azure_code" or found < study.mean(OURS, P90_MS, load)
            table.expect(helps, f"{title}: asking helps")
    headers = ["trace", "`oracle` ms", "`least_request`", f"`{OURS}`, {TOLD}", f"`{OURS}`, {ASKED}"]
    table.write("goal", headers, goal)


def ways(table: Table, name: str, study: Study) -> Study:
    """What it is worth to know the load, and how; returns the study of clients that ask."""
    columns = [CACHE_HIT, *FIRST_BYTES, GOODPUT]
    found = {TOLD: study}
    for way in WAYS:
        found[way] = table.study(
            f"{name}, {way}", changed(table, name, way), policies=[OURS], keep=KEEP
        )
    rows = [
        [
            way,
            *(with_interval(of.interval(OURS, c.metric), c.scale) for c in columns),
            with_interval(of.interval(OURS, PROBES.metric)),
            above(of, study, None),
        ]
        for way, of in sorted(found.items(), key=lambda item: -item[1].mean(OURS, P90_MS))
    ]
    headers = ["the load is known", *(column.title for column in columns), "asked"]
    table.write(f"{name} ways", [*headers, "p90 above the oracle's %"], rows)
    return found[ASKED]


def row(title: str, study: Study, asked: Study, load: float | None) -> list[str]:
    """The p90 of the first byte above the oracle's."""
    theirs = study.values("least_request", P90_MS, load)
    return [
        title,
        with_interval(study.interval("oracle", P90_MS, load)),
        percent(ratio(zip(theirs, study.values("oracle", P90_MS, load), strict=True))),
        above(study, study, load),
        above(asked, study, load),
    ]


def above(study: Study, oracle: Study, load: float | None) -> str:
    """How far the p90 of the first byte lies above the oracle's, paired by seed."""
    ours, best = study.values(OURS, P90_MS, load), oracle.values("oracle", P90_MS, load)
    return percent(ratio(zip(ours, best, strict=True)))


def percent(found: Interval | None) -> str:
    """A ratio as a difference in percent."""
    assert found is not None
    return f"{100 * (found.mean - 1):+.1f} ± {100 * found.half:.1f}"


def changed(table: Table, name: str, way: str) -> dict[str, Any]:
    """A scenario in which clients come to know the load in another way."""
    found = scenario(table, name)
    told, clients = WAYS[way]
    group = found["servers"][0]
    del group["reports"]
    if told is not None:
        group["reports"] = told
    found["clients"] |= clients
    return found


def scenario(table: Table, name: str) -> dict[str, Any]:
    """One of the folder's scenarios on the full trace, or a minute of it on the sample."""
    found = tomllib.loads((table.folder / f"{name}.toml").read_text(encoding="utf-8"))
    trace = found["traffic"]["arrivals"]["trace"]
    sample = (table.folder / trace["path"]).resolve()
    if table.mode is not Mode.FULL:
        trace["path"] = str(sample)
        found |= {"duration": "60s", "warm_up": "5s"}
        return found
    trace["path"] = str(full(os.environ, sample.name))
    return found


def full(environment: Mapping[str, str], sample: str) -> Path:
    """Where the full trace lies."""
    folder = environment.get("TRIMTAB_TRACES")
    if folder is None:
        raise SystemExit(
            "set TRIMTAB_TRACES to the folder with the full traces (tests/traces/README.md says "
            "where to get them), or play the samples with --short"
        )
    return Path(folder).resolve() / FULL[sample]
