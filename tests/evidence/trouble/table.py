"""Table 2: servers in trouble, after the simulations of Finagle, libvmod-prequal and brpc."""

from evidence import ERRORS, LOAD, MEAN, P50, P90, P99, P999, Table

POLICIES = [
    "peak_ewma",
    "random",
    "round_robin",
    "least_request",
    "least_response_time",
    "prequal",
    "oracle",
]
LATENCIES = [MEAN, P50, P90, P99, P999, LOAD]


def make(table: Table) -> None:
    """Makes the table."""
    finagle(table)


def finagle(table: Table) -> None:
    """Its four scenarios."""
    studies = {}
    for name in ["cold_start", "slow_middle", "failure", "failure_for_good"]:
        study = table.study(f"finagle_{name}", f"finagle_{name}.toml", policies=POLICIES)
        fails = name.startswith("failure")
        table.compare(f"finagle_{name}", study, [ERRORS, P99, LOAD] if fails else LATENCIES)
        studies[name] = study
    for name in ["cold_start", "slow_middle"]:
        mean = {policy: studies[name].mean(policy, "mean_ms") for policy in POLICIES}
        table.expect(mean["least_request"] < mean["round_robin"], f"{name}: counting helps")
        table.expect(mean["peak_ewma"] < mean["least_request"], f"{name}: measuring helps more")
    for name in ["failure", "failure_for_good"]:
        errors = {policy: studies[name].mean(policy, "error_rate") for policy in POLICIES}
        table.expect(errors["peak_ewma"] < errors["random"] / 2, f"{name}: failures are penalised")
