"""Table 3: what fails, and how long it takes to be well again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evidence import (
    AMPLIFICATION,
    ERRORS,
    LOAD,
    P50,
    P99,
    P999,
    Column,
    Interval,
    Study,
    Table,
    recovered,
    used_again,
    with_interval,
)

POLICIES = [
    "peak_ewma",
    "random",
    "round_robin",
    "least_request",
    "least_response_time",
    "prequal",
    "oracle",
]
FIGURES = [ERRORS, AMPLIFICATION, P50, P99, P999, LOAD]
# gRPC's two rules, with volumes that a tenth of this traffic reaches.
OUTLIER = {
    "name": "least_request",
    "label": "least_request + outlier",
    "outlier": {
        "success_rate": {"request_volume": 20},
        "failure_percentage": {"request_volume": 20},
    },
}
# The rest differs by little where everything is full.
OVERLOADED = ["peak_ewma", "round_robin", "least_request", "prequal"]
# In all of them the trouble begins and ends here, in seconds; the run's end is at 90.
BEGIN, END = 30, 60

Part = Mapping[str, Any]
Policy = str | Mapping[str, Any]


def make(table: Table) -> None:
    """Makes the table."""
    for name, servers in [
        ("sinkhole", range(1)),
        ("sinkhole_30", range(1)),
        ("third_dead", range(5)),
        ("partition", range(5)),
    ]:
        detecting = [*POLICIES[:-1], OUTLIER, POLICIES[-1]]
        policies = detecting if name.startswith("sinkhole") else POLICIES
        study = _study(table, name, servers, policies)
        _show(table, name, study)
        errors = {policy: study.mean(policy, "error_rate") for policy in POLICIES}
        if name != "third_dead":
            table.expect(errors["peak_ewma"] < errors["random"], f"{name}: errors are avoided")
    for name in ["deploy", "stale_discovery"]:
        study = table.study(name, f"{name}.toml", policies=POLICIES)
        table.compare(name, study, FIGURES)
        worst = max(study.mean(policy, "error_rate") for policy in POLICIES)
        table.expect(worst < 1e-3, f"{name}: hardly a request is lost under any policy")
    overloads(table)


def overloads(table: Table) -> None:
    """Twice what the fleet carries, with and without retries and a budget for them."""
    names = ["overload", "overload_budget", "overload_storm"]
    names += [f"{name}_then_lighter" for name in names[1:]]
    studies = {}
    for name in names:
        studies[name] = _study(table, name, policies=OVERLOADED, seeds=6)
        _show(table, name, studies[name])
    for policy in OVERLOADED:
        attempts = {name: study.mean(policy, "amplification") for name, study in studies.items()}
        table.expect(attempts["overload"] == 1, f"{policy}: no request is sent twice")
        table.expect(attempts["overload_budget"] < 1.3, f"{policy}: a budget bounds the attempts")
        table.expect(attempts["overload_storm"] > 2, f"{policy}: without one there is a storm")
        # Well again within the 27 s that are left, or never.
        never = {name: s.values(policy, "recovered_s").count(None) for name, s in studies.items()}
        runs = len(studies["overload"].values(policy, "recovered_s"))
        kept = never["overload_budget_then_lighter"] <= runs / 2
        table.expect(kept, f"{policy}: with a budget it gets well")
        table.expect(never["overload_storm_then_lighter"] > 0, f"{policy}: the storm feeds itself")


def _study(
    table: Table,
    name: str,
    servers: range | None = None,
    policies: Sequence[Policy] = POLICIES,
    seeds: int = 10,
) -> Study:
    def course(timeline: Part, endpoints: Part) -> dict[str, float | None]:
        found = {"recovered_s": recovered(timeline, before=BEGIN, after=END)}
        if servers is not None:
            found["used_again_s"] = used_again(timeline, endpoints, servers, after=END)
        return found

    return table.study(name, f"{name}.toml", policies=policies, seeds=seeds, course=course)


def _show(table: Table, name: str, study: Study) -> None:
    """A row a policy: the figures, and how long it took."""
    times = {"recovered_s": "well again after s", "used_again_s": "used again after s"}
    there = {metric: title for metric, title in times.items() if metric in study.runs[0]}
    rows = []
    for policy in study.policies:
        row = [f"`{policy}`", *(_cell(study, policy, column) for column in FIGURES)]
        rows.append([*row, *(_time(study, policy, metric) for metric in there)])
    table.write(name, ["policy", *(c.title for c in FIGURES), *there.values()], rows)


def _cell(study: Study, policy: str, column: Column) -> str:
    return with_interval(study.interval(policy, column.metric), column.scale)


def _time(study: Study, policy: str, metric: str) -> str:
    """The mean of the runs in which it came to that, and in how many it did not."""
    values = study.values(policy, metric)
    never = values.count(None)
    found: Interval | None = study.interval(policy, metric)
    if found is None:
        return "not by the end"
    return with_interval(found) + (f" ({never} of {len(values)} not by the end)" if never else "")
