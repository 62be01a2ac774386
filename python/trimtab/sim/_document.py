"""The shape of a result as the engine writes it: JSON, format 1.

Times named ``_ms`` are milliseconds, ``_s`` seconds of virtual time; rates and shares run from 0 to
1. A latency is null where nothing finished; a load, where the scenario gives a rate of its own.
"""

from __future__ import annotations

from typing import Any, TypedDict

FORMAT = 1

Load = float | None
"""A share of the full load; None where the scenario gives a rate of its own."""

Run = dict[str, Any]
"""One policy at one load with one seed: ``policy``, ``load``, ``seed``, and its figures."""


class Scenario(TypedDict):
    """What was played."""

    name: str
    description: str
    toml: str
    duration_s: float
    warm_up_s: float
    timeout_s: float
    slo_s: float | None
    clients: int
    servers: int


class Interval(TypedDict):
    """A mean over seeds with its 95 % confidence interval."""

    mean: float | None
    low: float | None
    high: float | None


class Ratio(TypedDict):
    """A policy's mean over the first policy's, seed by seed, with its 95 % confidence interval."""

    ratio: float | None
    low: float | None
    high: float | None


class Summary(TypedDict):
    """One policy at one load over all seeds."""

    policy: str
    load: Load
    metrics: dict[str, Interval]
    against: dict[str, Any] | None


class Timeline(TypedDict):
    """One policy at one load by windows of time, with the first seed."""

    policy: str
    load: Load
    window_s: float
    start_s: list[float]
    rate_rps: list[float | None]
    error_rate: list[float | None]
    p50_ms: list[float | None]
    p99_ms: list[float | None]
    in_flight: list[float | None]


class Endpoints(TypedDict):
    """One policy at one load by server, with the first seed.

    ``in_flight`` has a row a server, a number a window.
    """

    policy: str
    load: Load
    ids: list[str]
    groups: list[str]
    share: list[float | None]
    utilization: list[float | None]
    in_flight: list[list[float | None]]


class Event(TypedDict):
    """Something that the scenario made happen."""

    at_s: float
    until_s: float | None
    kind: str
    servers: list[str]
    text: str


class Document(TypedDict):
    """A whole result."""

    format: int
    scenario: Scenario
    policies: list[str]
    loads: list[Load]
    seeds: list[int]
    capacity_rps: float | None
    runs: list[Run]
    summary: list[Summary]
    timelines: list[Timeline]
    endpoints: list[Endpoints]
    events: list[Event]
