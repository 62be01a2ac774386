"""How a request ended, as the integers that the token form of the API takes."""

import enum


class Verdict(enum.IntEnum):
    """How a request ended. ``Lease.finish`` and ``Balancer.end`` take it, or the plain integer."""

    SUCCESS = 0
    """The endpoint did its work, whatever it answered: a 404 is a success."""
    CONNECT = 1
    """No connection could be made: nothing was sent."""
    RESET = 2
    """The connection broke while the request was under way."""
    TIMEOUT = 3
    """No answer in time."""
    STATUS = 4
    """The answer says that the endpoint failed, such as HTTP 503."""
    IGNORED = 5
    """Says nothing of the endpoint."""
    CANCELLED = 6
    """Given up by the caller."""
