"""The fleet of Prequal's testbed: as the paper tells it, and as it is taken to be elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

# What a server is promised, a tenth of a machine with 64 cores.
PROMISED = 6.4
# Milliseconds: the work is normal with this mean and deviation, negative values drawn anew.
WORK = 60.0
# The mean of such a normal, cut at 0, over the mean before the cut.
CUT = 1.2876


class Part(NamedTuple):
    """Servers alike: how many, what they get of the promised cores, and how fast a core is."""

    servers: int
    cores: float
    speed: float


# Machines with heavy, middling and light antagonists.
FLEET = [Part(10, 0.85, 0.75), Part(30, 0.92, 0.88), Part(60, 1.8, 1.0)]


def scenario(
    name: str,
    parts: Sequence[Part] = FLEET,
    *,
    loads: Sequence[float] = (0.7, 0.9),
    promised: float = PROMISED,
    work: float = WORK,
    seconds: int = 30,
    antagonist: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A hundred clients and the fleet; load 1 is what the promised cores carry."""
    speed = sum(part.servers * part.speed for part in parts)
    return {
        "name": f"Prequal: {name}",
        "duration": f"{seconds}s",
        # Weighted round robin believes reports after 10 s.
        "warm_up": "12s",
        "clients": {"count": 100, "timeout": "5s", "consecutive_failures": 0},
        "traffic": {
            "loads": list(loads),
            "full_load": round(promised * speed / (work / 1000 * CUT), 1),
        },
        "classes": [
            {"name": "all", "work": {"normal": {"mean": f"{work}ms", "deviation": f"{work}ms"}}}
        ],
        "network": {"round_trip": "500us"},
        "servers": [
            {
                "name": f"part{n}",
                "count": part.servers,
                "model": {"ps": {"cores": round(promised * part.cores, 3)}},
                "speed": part.speed,
                # Utilization is of what was promised: a server does not know what it would get.
                "reports": {"every": "1s", "of": promised},
                **({"antagonist": antagonist} if antagonist else {}),
            }
            for n, part in enumerate(parts)
        ],
    }
