"""What the demo plays: replicas, request classes, arrivals and trouble.

Everything is a plain value made from one seed, so that each policy meets the same load.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

HERE = "eu"


@dataclass(frozen=True)
class Replica:
    """One mock server: its timing preset, and where it stands."""

    name: str
    preset: str
    region: str
    network_ms: float


@dataclass(frozen=True)
class RequestClass:
    """One kind of request, in tokens, and its share of the arrivals."""

    name: str
    prompt_tokens: int
    output_tokens: int
    share: float


@dataclass(frozen=True)
class Arrival:
    """One request: seconds after the start, and what it asks."""

    at: float
    kind: RequestClass
    number: int


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with a replica, from and until when, in fractions of a run."""

    replica: str
    kind: str
    start: float
    end: float
    factor: float = 1.0


REPLICAS = (
    Replica("eu-prefill-1", "prefill-fast", "eu", 0.0),
    Replica("eu-prefill-2", "prefill-fast", "eu", 0.0),
    Replica("eu-decode-1", "decode-fast", "eu", 0.0),
    Replica("eu-decode-2", "decode-fast", "eu", 0.0),
    Replica("us-prefill-1", "prefill-fast", "us", 120.0),
    Replica("us-decode-1", "decode-fast", "us", 120.0),
)

CLASSES = (
    RequestClass("summarise", prompt_tokens=4000, output_tokens=16, share=0.5),
    RequestClass("chat", prompt_tokens=200, output_tokens=128, share=0.5),
)

TROUBLE = (
    Trouble("eu-prefill-1", "slow", start=0.25, end=0.50, factor=3.0),
    Trouble("eu-decode-1", "dead", start=0.60, end=0.80),
)


def arrivals(rate: float, seconds: float, seed: int) -> list[Arrival]:
    """Poisson arrivals at ``rate`` requests/s for ``seconds``; the same for the same seed."""
    rng = random.Random(seed)
    weights = [kind.share for kind in CLASSES]
    at = rng.expovariate(rate)
    made: list[Arrival] = []
    while at < seconds:
        made.append(Arrival(at, rng.choices(CLASSES, weights)[0], len(made)))
        at += rng.expovariate(rate)
    return made
