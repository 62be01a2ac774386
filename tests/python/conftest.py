"""What the tests of the package share."""

import signal
import socket

import pytest

from servers import Server

# A shell that starts the tests in the background has them ignore Ctrl-C, and their children too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def server():
    """Starts servers; all are closed at the end."""
    running = []

    def start(*args):
        running.append(Server(*args))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture
def refused():
    """The URL of a port that nobody listens on, and nobody else can take while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def in_flight(lb):
    """Requests under way in the whole fleet."""
    return sum(endpoint.in_flight for endpoint in lb.endpoints)


def totals(lb):
    """Successes, failures and cancellations of the whole fleet."""
    endpoints = lb.endpoints
    return tuple(
        sum(getattr(e, n) for e in endpoints) for n in ("successes", "failures", "cancelled")
    )
