"""How many steps a second the routing environment takes on one core, alone and many at once.

    python tests/bench/gym_steps.py [--seconds 2] [--rounds 5] [--json FILE]

The default scenario, in steps a second of this process's CPU time (one thread; the machine may be
shared), everything included: resets, infos, and the action, which is random, all servers alike, or
the server with the fewest requests in flight. Forms take turns, round after round. For scale,
gymnasium's CartPole in the same loop, as its own vector environment and one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import gymnasium
import numpy as np

import trimtab
import trimtab.gym

ROUTING = trimtab.gym.ENV_ID


def single(name: str, wrapped: bool):
    """Steps one environment."""
    env = gymnasium.make(name)
    env = env if wrapped else env.unwrapped
    env.reset(seed=1)
    actions = np.random.default_rng(1).integers(env.action_space.n, size=4096).tolist()

    def run(seconds: float) -> tuple[int, float]:
        steps, start = 0, time.process_time()
        while time.process_time() - start < seconds:
            for action in actions:
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
            steps += len(actions)
        return steps, time.process_time() - start

    return run


def vector(name: str, count: int, least_in_flight: bool = False):
    """Steps many environments by one call."""
    envs = gymnasium.make_vec(name, num_envs=count, vectorization_mode="vector_entry_point")
    generator = np.random.default_rng(1)
    servers = int(envs.single_action_space.n)
    own = None
    if least_in_flight:
        own = [envs.features.index(f"{server}.in_flight") for server in envs.servers]
    observations, _ = envs.reset(seed=1)

    def run(seconds: float) -> tuple[int, float]:
        nonlocal observations
        steps, start = 0, time.process_time()
        while time.process_time() - start < seconds:
            for _ in range(64):
                if own is None:
                    actions = generator.integers(servers, size=count)
                else:
                    actions = observations[:, own].argmin(axis=1)
                observations, *_ = envs.step(actions)
            steps += 64 * count
        return steps, time.process_time() - start

    return run


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU time a form and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    forms = {
        "single, unwrapped": single(ROUTING, wrapped=False),
        "single, as gymnasium.make wraps it": single(ROUTING, wrapped=True),
        "vector, 1": vector(ROUTING, 1),
        "vector, 16": vector(ROUTING, 16),
        "vector, 64": vector(ROUTING, 64),
        "vector, 64, least in flight": vector(ROUTING, 64, least_in_flight=True),
        "vector, 256": vector(ROUTING, 256),
        "CartPole, single, unwrapped": single("CartPole-v1", wrapped=False),
        "CartPole, vector, 64": vector("CartPole-v1", 64),
    }
    rates: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(options.rounds):
        for name, run in forms.items():
            steps, took = run(options.seconds)
            rates[name].append(steps / took)
    for name, measured in rates.items():
        print(f"{name:36} {statistics.median(measured):12,.0f} steps per CPU second (median)")
    if options.json:
        result = {
            "command": "python tests/bench/gym_steps.py",
            "steps_per_cpu_second": rates,
            "seconds": options.seconds,
            "rounds": options.rounds,
            "cpus": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "gymnasium": gymnasium.__version__,
            "numpy": np.__version__,
            "version": trimtab.__version__,
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
