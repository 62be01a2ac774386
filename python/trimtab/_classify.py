"""What an exception says of the endpoint that a request went to.

Clients have their own classes for the same few events, and wrap each other's. So an exception is
known by the built-in it derives from, by its class's name, by the HTTP status it carries, and last
by its cause. No client is imported for it.
"""

from __future__ import annotations

from trimtab._retry_after import parse_retry_after
from trimtab._verdict import Verdict

Classified = tuple[int, int | None, float | None]
"""Verdict, HTTP status, and seconds to leave the endpoint alone."""

# Nothing was sent: by class name in httpx, requests and urllib3, aiohttp, grpc tooling.
_CONNECT = frozenset(
    {
        "ClientConnectorError",
        "ConnectError",
        "ConnectTimeout",
        "ConnectTimeoutError",
        "ConnectionTimeoutError",
        "NameResolutionError",
        "NewConnectionError",
        "gaierror",
    }
)
_RESET = frozenset(
    {
        "ChunkedEncodingError",
        "ClientPayloadError",
        "CloseError",
        "IncompleteRead",
        "NetworkError",
        "ProtocolError",
        "ReadError",
        "RemoteProtocolError",
        "ServerDisconnectedError",
        "WriteError",
    }
)
_TIMEOUT = ("Timeout", "TimeoutError", "TimeoutException")
# The client's own doing: the endpoint never saw the request.
_IGNORED = frozenset({"LocalProtocolError", "PoolTimeout", "TrimtabError", "UnsupportedProtocol"})
# A chain of causes longer than this is somebody else's problem.
_DEPTH = 5

_FIRST_STATUS, _LAST_STATUS = 100, 599
TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500


def is_failure(status: int) -> bool:
    """Whether an answer of this HTTP status counts against the endpoint: 5xx and 429."""
    return status >= SERVER_ERROR or status == TOO_MANY_REQUESTS


def classify(error: BaseException) -> Classified:
    """Tell how a request ended that raised ``error``.

    What is no ``Exception`` (cancelled tasks, Ctrl-C, closed generators) is a cancellation. An
    answer with an HTTP status is judged by the status. What nobody knows is a failure.
    """
    if not isinstance(error, Exception):
        return Verdict.CANCELLED, None, None
    cause: BaseException | None = error
    for _ in range(_DEPTH):
        if cause is None:
            break
        known = _known(cause)
        if known is not None:
            return known
        cause = cause.__cause__ or cause.__context__
    return Verdict.STATUS, None, None


def _known(error: BaseException) -> Classified | None:
    answered = _answered(error)
    if answered is not None:
        return answered
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _IGNORED:
        return Verdict.IGNORED, None, None
    if isinstance(error, ConnectionRefusedError) or names & _CONNECT:
        return Verdict.CONNECT, None, None
    if isinstance(error, TimeoutError) or any(name.endswith(_TIMEOUT) for name in names):
        return Verdict.TIMEOUT, None, None
    if isinstance(error, (ConnectionError, EOFError)) or names & _RESET:
        # A wrapper such as requests' ConnectionError knows less than what it wraps.
        inner = error.__cause__ or error.__context__
        return (_known(inner) if inner is not None else None) or (Verdict.RESET, None, None)
    return None


def _answered(error: BaseException) -> Classified | None:
    """Judge by the HTTP status on the error or on its response."""
    response = getattr(error, "response", None)
    for holder in (error, response):
        for name in ("status_code", "status"):
            status = getattr(holder, name, None)
            if type(status) is int and _FIRST_STATUS <= status <= _LAST_STATUS:
                if not is_failure(status):
                    return Verdict.SUCCESS, status, None
                return Verdict.STATUS, status, _retry_after(error, response)
    return None


def _retry_after(error: BaseException, response: object) -> float | None:
    for holder in (response, error):
        get = getattr(getattr(holder, "headers", None), "get", None)
        if get is not None:
            return parse_retry_after(get("retry-after"))
    return None
