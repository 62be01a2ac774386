"""The way of one request through the balancer: what it tells, where it has been.

A request that could not connect was not sent, so it may go elsewhere, within the retry budget. What
came back from a server is given to the caller; if the caller's SDK then tries again, it says so in
a header and comes back here with a new request in the same task or thread. A context variable
remembers where the last failure of that task or thread was.
"""

from __future__ import annotations

import itertools
import random
from contextvars import ContextVar
from typing import Any

from trimtab._http.outgoing import RawHeaders
from trimtab._http.route import CLASS_HEADER, KEY_HEADER, Route, RouteOf, as_route

RETRY_HEADER = b"x-stainless-retry-count"
LOAD_FORMAT = (b"endpoint-load-metrics-format", b"JSON")
_OURS = frozenset({b"host", CLASS_HEADER, KEY_HEADER, RETRY_HEADER})

# Ties a request's attempts together in the decision log. 63 bits, which all readers keep whole.
_events = itertools.count(random.getrandbits(62) + 1)
# Whose failure, which path, the ids of the endpoints tried, and the request's event.
_failed: ContextVar[tuple[int, bytes, tuple[str, ...], int] | None] = ContextVar(
    "trimtab_failed", default=None
)


class Attempts:
    """One request's attempts, in one call of the transport."""

    __slots__ = ("_owner", "_path", "event", "headers", "is_retry", "key", "request_class", "tried")

    def __init__(self, owner: int, request: Any, route_of: RouteOf | None, load: bool) -> None:  # noqa: ANN401
        """Read ``request`` for the transport ``owner``."""
        self._owner = owner
        self._path = request.url.raw_path
        self.request_class: str | None = None
        self.key: str | bytes | int | None = None
        self.tried: list[str] = []
        self.is_retry = False
        self.event = next(_events)
        self.headers: RawHeaders = [(b"Host", b"")]
        add = self.headers.append
        for header in request.headers.raw:
            name = header[0].lower()
            if name in _OURS:
                if name == RETRY_HEADER:
                    self.is_retry = header[1] != b"0"
                    add(header)
                elif name == CLASS_HEADER:
                    self.request_class = header[1].decode("utf-8", "replace")
                elif name == KEY_HEADER:
                    self.key = header[1]
            else:
                add(header)
        if load:
            add(LOAD_FORMAT)
        given = request.extensions.get("trimtab")
        if given is not None:
            self._tell(as_route(given, "extensions['trimtab']"))
        elif route_of is not None:
            self._tell(as_route(route_of(request), "what route= returned"))
        if self.is_retry:
            last = _failed.get()
            if last is not None and last[:2] == (owner, self._path):
                self.tried.extend(last[2])
                self.event = last[3]

    def _tell(self, route: Route) -> None:
        # A header of this one request says more than a rule for all.
        if self.request_class is None:
            self.request_class = route.request_class
        if self.key is None:
            self.key = route.key

    def failed(self, endpoint: str) -> None:
        """Remember that the request failed at ``endpoint``, for the retry that may follow."""
        _failed.set((self._owner, self._path, (*self.tried, endpoint), self.event))
