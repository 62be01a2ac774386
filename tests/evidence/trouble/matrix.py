"""The matrix that brpc's proposal of a Peak-EWMA balancer asks for: 96 fleets in one function."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

SIZES = [4, 16, 64, 256]
FLEETS = ["alike", "mixed"]
TROUBLES = ["none", "one +50 ms", "a tenth +20 ms", "spike"]
LOADS = {"low": 0.3, "knee": 0.7, "saturated": 0.95}
# Large fleets make their requests in less time. A third of it is the spike.
SECONDS = {4: 90, 16: 36, 64: 13.5, 256: 5.4}


class Cell(NamedTuple):
    """One fleet of the matrix; its loads are those of `LOADS`."""

    size: int
    fleet: str
    trouble: str

    @property
    def name(self) -> str:
        """What the raw data calls it."""
        return f"{self.size} {self.fleet} {self.trouble}"


def cells() -> list[Cell]:
    """All of them, the smallest fleets first."""
    return [Cell(*found) for found in itertools.product(SIZES, FLEETS, TROUBLES)]


def scenario(cell: Cell) -> dict[str, Any]:
    """Servers of one worker and 20 ms work, of which some are in trouble."""
    seconds = SECONDS[cell.size]
    if cell.fleet == "alike":
        servers = [{"name": "s", "count": cell.size}]
    else:
        half = cell.size // 2
        servers = [
            {"name": "fast", "count": half, "speed": 1.5},
            {"name": "slow", "count": half, "speed": 0.5},
        ]
    return {
        "name": f"brpc: {cell.size} servers, {cell.fleet}, {cell.trouble}",
        "duration": f"{seconds:g}s",
        "warm_up": f"{seconds / 9:.6g}s",
        "clients": {"count": 8},
        "traffic": {"loads": list(LOADS.values())},
        "classes": [{"name": "all", "work": {"exponential": "20ms"}}],
        "servers": servers,
        "events": _events(cell, seconds),
    }


def _events(cell: Cell, seconds: float) -> list[dict[str, Any]]:
    # The first of a mixed fleet are its fast ones: what hurts most.
    tenth = {"share": 0.1}
    match cell.trouble:
        case "one +50 ms":
            return [{"at": "0s", "action": {"delay": {"by": "50ms"}}, "servers": {"index": [0]}}]
        case "a tenth +20 ms":
            return [{"at": "0s", "action": {"delay": {"by": "20ms"}}, "servers": tenth}]
        case "spike":
            begin, end = f"{seconds / 3:.6g}s", f"{2 * seconds / 3:.6g}s"
            slow = {"slow": {"by": 4}}
            return [{"at": begin, "until": end, "action": slow, "servers": tenth}]
    return []
