"""Means over seeds and where they lie with 95 % confidence: Student's t, as the simulator's own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

# The 0.975 quantiles for 1 to 20 degrees of freedom; beyond, the normal one is off by under 7 %.
STUDENT = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281]
STUDENT += [2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860]


class Interval(NamedTuple):
    """A mean, half the width of its 95 % interval (0 for one value), and of how many values."""

    mean: float
    half: float
    values: int

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Its upper end."""
        return self.mean + self.half

    def below(self, other: Interval) -> bool:
        """Lower beyond doubt: the intervals do not touch."""
        return self.high < other.low


def interval(values: Iterable[float | None]) -> Interval | None:
    """The mean of the values that there are and its interval; None if there are none."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    mean = math.fsum(there) / len(there)
    return Interval(mean, _half([value - mean for value in there]), len(there))


def ratio(pairs: Iterable[tuple[float | None, float | None]]) -> Interval | None:
    """The ratio of the means of pairs, by the delta method; None where a figure is missing or 0."""
    there = [(x, y) for x, y in pairs if x is not None and y is not None]
    if not there:
        return None
    below = math.fsum(y for _, y in there) / len(there)
    if below == 0.0:
        return None
    found = math.fsum(x for x, _ in there) / len(there) / below
    return Interval(found, _half([(x - found * y) / below for x, y in there]), len(there))


def _half(deviations: list[float]) -> float:
    n = len(deviations)
    if n < 2:
        return 0.0
    t = STUDENT[n - 2] if n - 2 < len(STUDENT) else 1.96
    return t * math.sqrt(math.fsum(d * d for d in deviations) / (n - 1) / n)
