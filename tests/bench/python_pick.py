"""What a pick with its end costs from Python, beside `random.choice` and a lease in pure Python.

All forms run in turn, round after round, in one process; the smallest time of a form's rounds
counts, since whatever else the machine does can only add to it. Nanoseconds a pick, the loop's own
cost included for all alike.

    python tests/bench/python_pick.py [--json FILE]
"""

import argparse
import json
import platform
import random
import threading
import timeit

import trimtab


class PureLease:
    """The least that a lease in Python does: random choice of two, in-flight counts, a lock."""

    __slots__ = ("fleet", "index")

    def __init__(self, fleet):
        counts = fleet.counts
        a, b = random.randrange(len(counts)), random.randrange(len(counts))
        self.fleet = fleet
        self.index = a if counts[a] <= counts[b] else b
        with fleet.lock:
            counts[self.index] += 1

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        with self.fleet.lock:
            self.fleet.counts[self.index] -= 1


class PureFleet:
    def __init__(self, size):
        self.counts = [0] * size
        self.lock = threading.Lock()

    def pick(self):
        return PureLease(self)


def forms(size, policy):
    addresses = [f"http://10.0.{n >> 8}.{n & 255}:8000" for n in range(size)]
    lb = trimtab.Balancer(addresses, policy=policy, seed=1)
    pure = PureFleet(size)
    names = {
        "pick": lb.pick,
        "begin": lb.begin,
        "end": lb.end,
        "pure": pure.pick,
        "choice": random.choice,
        "addresses": addresses,
        "call": lb.__len__,
    }
    return names, {
        "an empty call": "call()",
        "token: end(begin())": "end(begin())",
        "with pick(): pass": "with pick(): pass",
        "with pick() as lease: lease.address": "with pick() as lease: lease.address",
        "pick().success()": "pick().success()",
        "random.choice(addresses)": "choice(addresses)",
        "pure Python: with pick(): pass": "with pure(): pass",
    }


def measure(size, policy, rounds, number):
    names, statements = forms(size, policy)
    timers = {
        form: timeit.Timer(statement, globals=names) for form, statement in statements.items()
    }
    best = dict.fromkeys(timers, float("inf"))
    for _ in range(rounds):
        for form, timer in timers.items():
            best[form] = min(best[form], timer.timeit(number) / number * 1e9)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--number", type=int, default=1000, help="picks a round")
    options = parser.parse_args()
    results = []
    for policy in ("peak_ewma", "least_request", "round_robin"):
        for size in (1, 10, 1000):
            best = measure(size, policy, options.rounds, options.number)
            results.append({"policy": policy, "endpoints": size, "nanoseconds": best})
            print(f"\n{policy}, {size} endpoints")
            base = best["random.choice(addresses)"]
            for form, nanos in best.items():
                print(f"  {form:38} {nanos:7.0f} ns  {nanos / base:5.2f} x random.choice")
    if options.json:
        with open(options.json, "w") as file:  # noqa: PTH123
            json.dump(
                {
                    "command": "python tests/bench/python_pick.py",
                    "python": platform.python_version(),
                    "machine": platform.processor() or platform.machine(),
                    "version": trimtab.__version__,
                    "rounds": options.rounds,
                    "number": options.number,
                    "results": results,
                },
                file,
                indent=1,
            )


if __name__ == "__main__":
    main()
