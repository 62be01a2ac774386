"""Load balancing inside your own process, by measured latency, by place, by tables from your logs.

>>> import trimtab
>>> lb = trimtab.Balancer(["http://10.0.0.1:8000", "http://10.0.0.2:8000"])
>>> with lb.pick() as lease:
...     url = lease.address  # send the request there

``trimtab.httpx`` and ``trimtab.httpx2`` have transports for those clients; they are imported at
their first use, since the clients are no requirement.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from trimtab._trimtab import (
    POLICIES,
    Balancer,
    Counters,
    Endpoint,
    EndpointStats,
    Lease,
    RetryBudget,
    __version__,
)
from trimtab._verdict import Verdict
from trimtab.errors import (
    ConfigError,
    LogError,
    ModelError,
    NoEndpoints,
    ScenarioError,
    TokenError,
    TrimtabError,
)

if TYPE_CHECKING:
    from trimtab import httpx as httpx
    from trimtab import httpx2 as httpx2

__all__ = [
    "POLICIES",
    "Balancer",
    "ConfigError",
    "Counters",
    "Endpoint",
    "EndpointStats",
    "Lease",
    "LogError",
    "ModelError",
    "NoEndpoints",
    "RetryBudget",
    "ScenarioError",
    "TokenError",
    "TrimtabError",
    "Verdict",
    "__version__",
]

_LAZY = frozenset({"httpx", "httpx2", "sim"})


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f"trimtab.{name}")
    raise AttributeError(f"module 'trimtab' has no attribute {name!r}")
