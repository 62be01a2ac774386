"""Transports for httpx: each request goes to an endpoint of the balancer's choice.

>>> import httpx, trimtab, trimtab.httpx
>>> lb = trimtab.Balancer(["http://10.0.0.1:8000", "http://10.0.0.2:8000"])
>>> client = httpx.Client(transport=trimtab.httpx.Transport(lb))
>>> client.get("http://service/health")  # "service" is replaced by the endpoint
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from trimtab._http.body import AsyncBody, Body
from trimtab._http.route import Route, RouteLike, RouteOf
from trimtab._http.transport import AsyncTransport as _AsyncTransport
from trimtab._http.transport import SyncTransport as _SyncTransport

try:
    import httpx
except ImportError as error:
    raise ImportError("trimtab.httpx needs httpx: pip install trimtab[httpx]") from error

__all__ = ["AsyncTransport", "Route", "RouteLike", "RouteOf", "Transport"]


class _Body(Body, httpx.SyncByteStream):
    pass


class _AsyncBody(AsyncBody, httpx.AsyncByteStream):
    pass


class Transport(_SyncTransport[httpx.BaseTransport, httpx.Limits], httpx.BaseTransport):
    """A transport for ``httpx.Client``: each request goes to an endpoint of the balancer's choice.

    The endpoint's address (``http://`` or ``https://``, host, perhaps port and path) takes the
    place of the URL's scheme, host and port; its path goes before the URL's. The request is in
    flight there until the response's body has ended or is closed. 5xx, 429 and broken connections
    are failures of the endpoint. A request that could not connect goes to another one; other errors
    are raised.

    A request's class and key are told, the first that is there, by the headers ``x-trimtab-class``
    and ``x-trimtab-key`` (which are not sent on), by
    ``extensions={"trimtab": {"request_class": ..., "key": ...}}``, or by ``route``.
    """

    _lib: ClassVar = httpx
    _own: ClassVar = httpx.HTTPTransport
    _body: ClassVar = _Body

    if TYPE_CHECKING:

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            """Send ``request`` to an endpoint of the balancer's choice."""


class AsyncTransport(
    _AsyncTransport[httpx.AsyncBaseTransport, httpx.Limits], httpx.AsyncBaseTransport
):
    """A transport for ``httpx.AsyncClient``; all else is as in `Transport`."""

    _lib: ClassVar = httpx
    _own: ClassVar = httpx.AsyncHTTPTransport
    _body: ClassVar = _AsyncBody

    if TYPE_CHECKING:

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            """Send ``request`` to an endpoint of the balancer's choice."""
