"""Scales: from values to places on paper, linear or logarithmic, with ticks at round numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` onto places from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[float]
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of ``value``; what is off the scale is kept at its edge.

        A scale of one value has it in the middle.
        """
        value = min(max(value, self.low), self.high)
        if self.low >= self.high:
            share = 0.5
        elif self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def linear(
    values: Iterable[float], start: float, end: float, *, floor: float | None = 0.0, ticks: int = 5
) -> Scale:
    """A linear scale over ``values``, from ``floor`` if it is given, out to round numbers."""
    found = list(values)
    low = min(found, default=0.0) if floor is None else floor
    high = max(found, default=1.0)
    if high - low <= max(abs(low) * 1e-9, 1e-9):
        high = low + (abs(low) or 1.0)
    step = _step((high - low) / max(1, ticks))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = [round(n * step, 12) for n in range(first, last + 1)]
    return Scale(marks[0], marks[-1], start, end, marks)


def exact(low: float, high: float, start: float, end: float, *, ticks: int = 8) -> Scale:
    """A linear scale from ``low`` to ``high`` and no further."""
    if high <= low:
        high = low + 1.0
    step = _step((high - low) / max(1, ticks))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Scale(low, high, start, end, [round(n * step, 12) for n in range(first, last + 1)])


def logarithmic(values: Iterable[float], start: float, end: float) -> Scale:
    """A logarithmic scale over the ``values`` above 0 and a little more."""
    found = [value for value in values if value > 0]
    low, high = min(found, default=1.0), max(found, default=10.0)
    margin = max(1.04, (high / low) ** 0.04)
    low, high = low / margin, high * margin
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # The coarsest round numbers of which three lie within; where none do, the scale is nearly even.
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        every = (factor * 10.0**power for power in powers for factor in factors)
        marks = [round(mark, 9) for mark in every if low <= mark <= high]
        if len(marks) >= 3:
            return Scale(low, high, start, end, marks[:: -(-len(marks) // 8)], log=True)
    return Scale(low, high, start, end, exact(low, high, start, end, ticks=5).ticks, log=True)


def _step(rough: float) -> float:
    """The round number nearest above ``rough``: 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
