"""Table 2: servers in trouble, after the simulations of Finagle, libvmod-prequal and brpc."""

import antagonists
import matrix
from evidence import ERRORS, LOAD, MEAN, P50, P90, P99, P999, Table, number
from evidence.page import best

POLICIES = [
    "peak_ewma",
    "random",
    "round_robin",
    "least_request",
    "least_response_time",
    "prequal",
    "oracle",
]
# Round robin by what servers report of their load.
WEIGHTED = "weighted_round_robin"
# Whoever is slow for two sweeps in a row is out for half a minute, at most a tenth of the fleet.
# The volume is low, for a client sends a server few requests, and a slow one fewer.
OUTLIER = {
    "name": "least_request",
    "label": "least_request + outlier",
    "outlier": {"interval": "5s", "latency": {"request_volume": 4}},
}
LATENCIES = [MEAN, P50, P90, P99, P999, ERRORS, LOAD]
# The matrix is large: those that are anybody's default or recommendation.
OF_THE_MATRIX = ["round_robin", "least_request", "least_response_time", "peak_ewma", "prequal"]


def make(table: Table) -> None:
    """Makes the table."""
    finagle(table)
    libvmod_prequal(table)
    brpc(table)


def finagle(table: Table) -> None:
    """Its four scenarios."""
    studies = {}
    for name in ["cold_start", "slow_middle", "failure", "failure_for_good"]:
        fails = name.startswith("failure")
        policies = POLICIES if fails else [*POLICIES[:-1], OUTLIER, POLICIES[-1]]
        study = table.study(f"finagle_{name}", f"finagle_{name}.toml", policies=policies)
        table.compare(f"finagle_{name}", study, [ERRORS, P99, LOAD] if fails else LATENCIES)
        studies[name] = study
    for name in ["cold_start", "slow_middle"]:
        mean = {policy: studies[name].mean(policy, "mean_ms") for policy in POLICIES}
        table.expect(mean["least_request"] < mean["round_robin"], f"{name}: counting helps")
        table.expect(mean["peak_ewma"] < mean["least_request"], f"{name}: measuring helps more")
    for name in ["failure", "failure_for_good"]:
        errors = {policy: studies[name].mean(policy, "error_rate") for policy in POLICIES}
        table.expect(errors["peak_ewma"] < errors["random"], f"{name}: failures are penalised")


def libvmod_prequal(table: Table) -> None:
    """Its four kinds of trouble."""
    kinds = {
        "spikes": antagonists.spikes,
        "noisy_neighbour": antagonists.noisy_neighbour,
        "correlated": antagonists.correlated,
        "wave": antagonists.wave,
    }
    for name, events in kinds.items():
        description = " ".join((events.__doc__ or "").split())
        scenario = antagonists.scenario(name, description, events())
        policies = [*POLICIES[:-1], WEIGHTED, OUTLIER, POLICIES[-1]]
        study = table.study(f"libvmod_{name}", scenario, policies=policies)
        table.compare(f"libvmod_{name}", study, LATENCIES)
        p99 = {policy: study.mean(policy, "p99_ms") for policy in POLICIES}
        table.expect(p99["peak_ewma"] < p99["round_robin"], f"{name}: p99 under round robin's")
        table.expect(p99["oracle"] < min(p99[p] for p in POLICIES[:-1]), f"{name}: the oracle")


def brpc(table: Table) -> None:
    """The matrix: its p99, and who has the best of each cell."""
    cells = [cell for cell in matrix.cells() if not table.short or cell.size == 16]
    keep = ["p50_ms", "p99_ms", "p999_ms", "error_rate", "load_max_over_mean"]
    wins = {policy: dict.fromkeys(matrix.LOADS, 0) for policy in OF_THE_MATRIX}
    rows: dict[int, list[list[str]]] = {size: [] for size in matrix.SIZES}
    for cell in cells:
        study = table.study(
            f"brpc {cell.name}",
            matrix.scenario(cell),
            policies=OF_THE_MATRIX,
            keep=keep,
            seeds=5,
            short_seeds=1,
        )
        for name, load in matrix.LOADS.items():
            found = [study.interval(policy, "p99_ms", load) for policy in OF_THE_MATRIX]
            bold = best(found)
            texts = []
            for n, one in enumerate(found):
                text = "-" if one is None else number(one.mean)
                texts.append(f"**{text}**" if n in bold else text)
                wins[OF_THE_MATRIX[n]][name] += n in bold
            rows[cell.size].append([f"{cell.fleet}, {cell.trouble}, {name}", *texts])
    if table.short:
        return
    header = [f"`{policy}`" for policy in OF_THE_MATRIX]
    for size in matrix.SIZES:
        table.write(f"brpc_{size}", [f"{size} servers: p99 ms", *header], rows[size])
    table.write(
        "brpc_wins",
        ["policy", *(f"{name} load" for name in matrix.LOADS), "of all"],
        [
            [f"`{p}`", *(str(count) for count in won.values()), str(sum(won.values()))]
            for p, won in wins.items()
        ],
    )
