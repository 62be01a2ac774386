"""Load balancing inside your own process, by measured latency, by place, by tables from your logs.

>>> import trimtab
>>> lb = trimtab.Balancer(["http://10.0.0.1:8000", "http://10.0.0.2:8000"])
>>> with lb.pick() as lease:
...     url = lease.address  # send the request there
"""

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
    TokenError,
    TrimtabError,
)

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
    "TokenError",
    "TrimtabError",
    "Verdict",
    "__version__",
]
