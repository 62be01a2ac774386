"""Made-up results of the engine's JSON format, for shapes that take the engine long to reach."""

import json
import math
import random
import statistics

NAMES = (
    "peak_ewma", "prequal", "least_request", "round_robin", "random", "weighted_round_robin",
    "least_response_time", "bounded_load", "prefix_affinity", "ring_hash", "maglev",
    "rendezvous", "source_hash", "q_table", "dqn", "bandit", "adaptive",
)  # fmt: skip
KINDS = ("crash", "slow", "deploy")


def results(
    *, policies=9, loads=(0.5, 0.7, 0.8, 0.9), seeds=10, servers=100, windows=100, events=2
):
    """A document as the engine's, with numbers that only look like ones; the same each time."""
    rng = random.Random(5)
    names = list(NAMES[:policies])
    duration = 60.0
    ids = [f"server-{n:03}" for n in range(servers)]
    groups = ["a100" if n < servers * 0.6 else "h100" for n in range(servers)]
    document = {
        "format": 1,
        "scenario": {
            "name": "made-up", "description": "Two kinds of <servers> & a crash.",
            "toml": "# A & B <c>\nname = \"made-up\"\n", "duration_s": duration, "warm_up_s": 10.0,
            "timeout_s": 5.0, "slo_s": 1.0, "clients": 100, "servers": servers,
        },
        "policies": names, "loads": list(loads), "seeds": list(range(1, seeds + 1)),
        "capacity_rps": None if None in loads else 1234.5,
        "runs": [], "summary": [], "timelines": [], "endpoints": [],
        "events": [_event(KINDS[n % 3], 40 * n / events, ids) for n in range(events)],
    }  # fmt: skip
    for load in loads:
        first = {}
        for which, policy in enumerate(names):
            runs = [_run(rng, policy, which, load, seed) for seed in document["seeds"]]
            document["runs"] += runs
            metrics, against = {}, {"policy": names[0]}
            for key in runs[0]:
                if key in ("policy", "load", "seed"):
                    continue
                values = [run[key] for run in runs]
                metrics[key] = _interval(values)
                first.setdefault(key, values)
                if None not in values and 0 not in first[key]:
                    ratio = _interval([a / b for a, b in zip(values, first[key], strict=True)])
                    ratio["ratio"] = ratio.pop("mean")
                    against[key] = ratio
            summary = {
                "policy": policy,
                "load": load,
                "metrics": metrics,
                "against": against if which else None,
            }
            document["summary"].append(summary)
            mean = statistics.fmean(run["p99_ms"] for run in runs)
            document["timelines"].append(_timeline(rng, policy, load, windows, duration, mean))
            spread = 0.05 * (which + 1) / 2
            weights = [rng.gauss(1, spread) * (1.6 if g == "h100" else 1) for g in groups]
            weights = [max(0.0, w) for w in weights]
            hot, busy = 40 * (which % 3 == 2), load or 0.8
            document["endpoints"].append(
                {
                    "policy": policy, "load": load, "ids": ids, "groups": groups,
                    "share": [w / sum(weights) for w in weights],
                    "utilization": [min(1.0, busy * w) for w in weights],
                    "in_flight": [
                        [
                            max(0.0, rng.gauss(4, 1) * w * busy + hot * (n < 2 and 20 < k < 45))
                            for k in range(windows)
                        ]
                        for n, w in enumerate(weights)
                    ],
                }
            )  # fmt: skip
    return document


def _event(kind, later, ids):
    until = None if kind == "deploy" else 20 + later
    text = f"{kind}: {ids[0]}"
    return {"at_s": 12 + later, "until_s": until, "kind": kind, "servers": ids[:1], "text": text}


def as_text(**kwargs):
    return json.dumps(results(**kwargs), separators=(",", ":"))


def _run(rng, policy, which, given, seed):
    load = 0.8 if given is None else given
    base = 40 * (1 + 0.12 * which) / max(0.03, 1.02 - load) * rng.gauss(1, 0.04)
    error = max(0.0, rng.gauss(0.002 * which, 0.001))
    return {
        "policy": policy, "load": given, "seed": seed, "requests": 52000, "ok": 51900,
        "timed_out": 50, "failed": 50, "refused": 0, "cancelled": 0, "attempts": 53000,
        "retries": 900, "hedges": 0, "probes": 0, "mean_ms": base * 1.4, "p50_ms": base,
        "p90_ms": base * 2.2, "p99_ms": min(5000.0, base * 5 * rng.gauss(1, 0.06)),
        "p999_ms": min(5000.0, base * 14), "first_byte_p50_ms": base / 4,
        "first_byte_p90_ms": base / 2, "first_byte_p99_ms": base, "error_rate": error,
        "goodput": 1 - error - 0.01 * which * load, "amplification": 1.01 + error,
        "load_max_over_mean": 1.1 + 0.1 * which, "in_flight_max_over_mean": 1.2,
        "utilization": load, "cache_hit": None, "throughput_rps": 1200 * load,
    }  # fmt: skip


def _interval(values):
    if None in values:
        return {"mean": None, "low": None, "high": None}
    mean = statistics.fmean(values)
    half = 2.26 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    if half is None:
        return {"mean": mean, "low": None, "high": None}
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _timeline(rng, policy, given, windows, duration, p99):
    load = 0.8 if given is None else given
    window = duration / windows
    trouble = [20 < k < 45 for k in range(windows)]
    return {
        "policy": policy, "load": given, "window_s": window,
        "start_s": [round(k * window, 6) for k in range(windows)],
        "rate_rps": [1200 * load * rng.gauss(1, 0.03) for _ in range(windows)],
        "error_rate": [abs(rng.gauss(0.05, 0.02)) if t else 0.0 for t in trouble],
        "p50_ms": [None if k == 60 else p99 / 5 * rng.gauss(1, 0.05) for k in range(windows)],
        "p99_ms": [
            None if k == 60 else p99 * rng.gauss(1.6 if t else 1, 0.1)
            for k, t in enumerate(trouble)
        ],
        "in_flight": [300 * load * rng.gauss(1, 0.1) for _ in range(windows)],
    }  # fmt: skip
