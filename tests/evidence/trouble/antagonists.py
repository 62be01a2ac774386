"""libvmod-prequal's kinds of trouble on a hundred servers: who is slowed when, and by how much."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

SECONDS = 40
SERVERS = 100

Event = dict[str, Any]


def scenario(name: str, description: str, events: list[Event]) -> dict[str, Any]:
    """Servers of one core at 70 % of their load, of which ``events`` take their parts."""
    return {
        "name": f"libvmod-prequal: {name}",
        "description": description,
        "duration": f"{SECONDS}s",
        "warm_up": "12s",
        "clients": {"count": 10},
        "traffic": {"load": 0.7},
        "classes": [{"name": "all", "work": {"exponential": "20ms"}}],
        "servers": [
            {
                "name": "s",
                "count": SERVERS,
                "model": {"ps": {"cores": 1}},
                "reports": {"every": "1s", "delay": "10ms"},
            }
        ],
        "events": events,
    }


def spikes() -> list[Event]:
    """With 0.1 a tenth of a second, 1 to 10 servers take twice as long for 2 s.

    The original always takes the first ones; here they are drawn anew, from a fixed seed.
    """
    rng, at, events = random.Random(1), 0.0, []
    while at < SECONDS:
        at += 0.1
        if rng.random() < 0.1:
            hit = sorted(rng.sample(range(SERVERS), rng.randint(1, 10)))
            events.append(_slow(at, at + 2, 2, hit))
            at += 2
    return events


def noisy_neighbour() -> list[Event]:
    """A tenth of the servers take 2.5 times as long, always."""
    return [_slow(0, None, 2.5, range(10))]


def correlated() -> list[Event]:
    """Every 3 s the next ten servers take three times as long for half a second."""
    starts = range(3, SECONDS, 3)
    return [
        _slow(at, at + 0.5, 3, range(10 * n % SERVERS, 10 * n % SERVERS + 10))
        for n, at in enumerate(starts)
    ]


def wave() -> list[Event]:
    """Three in ten servers take 1 to 2 times as long, up and down in 5 s, in steps of 0.25 s."""
    events = []
    for step in range(4 * SECONDS):
        middle = (step + 0.5) / 4
        by = 1 + (math.sin(2 * math.pi * middle / 5) + 1) / 2
        events.append(_slow(step / 4, None, round(by, 3), range(30)))
    return events


def _slow(at: float, until: float | None, by: float, servers: Iterable[int]) -> Event:
    return {
        "at": f"{at:.6g}s",
        "until": None if until is None else f"{until:.6g}s",
        "action": {"slow": {"by": by}},
        "servers": {"index": list(servers)},
    }
