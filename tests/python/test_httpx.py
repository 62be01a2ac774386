"""The transports for httpx: every test of `test_httpx2.py`, with the other library."""

import httpx
import pytest

import test_httpx2
import trimtab.httpx
from test_httpx2 import *  # noqa: F403 - the tests themselves


@pytest.fixture(autouse=True)
def _httpx(monkeypatch):
    monkeypatch.setattr(test_httpx2, "LIB", httpx)
    monkeypatch.setattr(test_httpx2, "ADAPTER", trimtab.httpx)
