"""One scenario's runs: every policy at every load with every seed, as figures by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evidence.interval import Interval, interval, ratio

# What tells a run from the others.
KEYS = ("policy", "load", "seed")


class Study:
    """The runs of one scenario.

    ``runs`` holds a mapping a run: ``policy``, ``load``, ``seed``, and the run's figures by the
    names that ``trimtab.sim`` gives them, beside those that the table added. A figure that was not
    measured is None.
    """

    def __init__(self, name: str, runs: Sequence[Mapping[str, Any]]) -> None:
        self.name = name
        self.runs = list(runs)
        self.policies: list[str] = list(dict.fromkeys(run["policy"] for run in self.runs))
        self.loads: list[float | None] = list(dict.fromkeys(run["load"] for run in self.runs))

    def values(self, policy: str, metric: str, load: float | None = None) -> list[float | None]:
        """A figure seed by seed.

        Raises:
            KeyError: There is no such policy, load or figure; the message names what there is.
        """
        if load is None and len(self.loads) == 1:
            load = self.loads[0]
        runs = [run for run in self.runs if run["policy"] == policy and run["load"] == load]
        if not runs or metric not in runs[0]:
            known = ", ".join(runs[0]) if runs else f"{self.policies} at loads {self.loads}"
            raise KeyError(
                f"{self.name}: no {metric} of {policy} at load {load}; there are {known}"
            )
        return [run[metric] for run in runs]

    def interval(self, policy: str, metric: str, load: float | None = None) -> Interval | None:
        """A figure's mean over seeds and its 95 % interval; None if it was not measured."""
        return interval(self.values(policy, metric, load))

    def mean(self, policy: str, metric: str, load: float | None = None) -> float:
        """A figure's mean over seeds.

        Raises:
            ValueError: It was not measured in any run.
        """
        found = self.interval(policy, metric, load)
        if found is None:
            raise ValueError(f"{self.name}: {metric} of {policy} was not measured")
        return found.mean

    def ratio(
        self, policy: str, base: str, metric: str, load: float | None = None
    ) -> Interval | None:
        """A figure against another policy's, paired by seed."""
        ours, theirs = self.values(policy, metric, load), self.values(base, metric, load)
        return ratio(zip(ours, theirs, strict=True))
