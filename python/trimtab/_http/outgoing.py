"""A request as it leaves for its endpoint.

The library's own transport reads five attributes of a request and four of its URL. Copying a
request and its URL costs more than the rest of the adapter, so that transport is given a stand-in
that has those and makes the real copy when anything else is asked for. A transport of the user's
always gets the real copy.
"""

from __future__ import annotations

from typing import Any

from trimtab._http.target import Target

RawHeaders = list[tuple[bytes, bytes]]


class _Url:
    __slots__ = ("port", "raw_host", "raw_path", "raw_scheme")

    def __init__(self, target: Target, path: bytes) -> None:
        self.raw_scheme = target.scheme
        self.raw_host = target.host
        self.port = target.port
        self.raw_path = path


class _Headers:
    __slots__ = ("raw",)

    def __init__(self, raw: RawHeaders) -> None:
        self.raw = raw


class Outgoing:
    """Stands for ``request`` on its way to ``target``."""

    __slots__ = ("_lib", "_request", "_target", "extensions", "headers", "method", "stream", "url")

    def __init__(self, lib: Any, request: Any, target: Target, headers: RawHeaders) -> None:  # noqa: ANN401
        self._lib = lib
        self._request = request
        self._target = target
        self.method = request.method
        self.url = _Url(target, target.prefix + request.url.raw_path)
        self.headers = _Headers(headers)
        self.stream = request.stream
        self.extensions = request.extensions

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(copied(self._lib, self._request, self._target, self.headers.raw), name)


def copied(lib: Any, request: Any, target: Target, headers: RawHeaders) -> Any:  # noqa: ANN401
    """Make the request of the library ``lib`` that goes to ``target``."""
    return lib.Request(
        request.method,
        (target.base + request.url.raw_path).decode("ascii"),
        headers=headers,
        stream=request.stream,
        extensions=request.extensions,
    )
