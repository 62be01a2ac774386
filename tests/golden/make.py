"""Writes the golden log and model of the Python side anew: ``python tests/golden/make.py``."""

from pathlib import Path

import trimtab
from trimtab.train import train

HERE = Path(__file__).parent
COSTS = {"short": {"x": 10.0, "y": 40.0}, "long": {"x": 40.0, "y": 10.0}}


def main() -> None:
    """Two classes over four endpoints of two kinds, as a real balancer logs them."""
    log = HERE / "python_log.jsonl"
    log.unlink(missing_ok=True)
    kinds = {f"s{i}": "xy"[i % 2] for i in range(4)}
    endpoints = [trimtab.Endpoint(name, labels={"archetype": kind}) for name, kind in kinds.items()]
    lb = trimtab.Balancer(
        endpoints, policy="random", log=log, log_client="golden", explore=0.1, seed=5
    )
    for n in range(100):
        request_class = ("short", "long")[n % 2]
        token = lb.begin(None, request_class)
        cost = COSTS[request_class][kinds[lb.address_of(token)]]
        lb.end(token, server_processing=cost / 1e3)
    lb.close()
    train(log, HERE / "python.qtable", min_rows=10, note="golden")


if __name__ == "__main__":
    main()
