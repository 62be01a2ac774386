"""The exceptions of trimtab, and what it reads from other people's."""

import importlib
import socket
import subprocess
import sys

import httpx
import httpx2
import openai
import pytest

import trimtab
from trimtab import Verdict
from trimtab._classify import classify
from trimtab._retry_after import parse_retry_after

REQUEST = httpx2.Request("GET", "http://x")


@pytest.mark.parametrize(
    ("ours", "builtin"),
    [
        (trimtab.NoEndpoints, ConnectionError),
        (trimtab.ConfigError, ValueError),
        (trimtab.ModelError, ValueError),
        (trimtab.ScenarioError, ValueError),
        (trimtab.TokenError, ValueError),
    ],
)
def test_one_base_and_a_builtin_each(ours, builtin):
    assert issubclass(ours, trimtab.TrimtabError)
    assert issubclass(ours, builtin)
    assert ours.__module__ == "trimtab"


def with_status(status, **headers):
    response = httpx2.Response(status, headers=headers, request=REQUEST)
    return httpx2.HTTPStatusError("x", request=REQUEST, response=response)


def wrapped(inner):
    try:
        try:
            raise inner
        except Exception as error:
            raise openai.APIConnectionError(request=REQUEST) from error
    except openai.APIConnectionError as error:
        return error


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ConnectionRefusedError(), Verdict.CONNECT),
        (socket.gaierror(), Verdict.CONNECT),
        (httpx.ConnectError(""), Verdict.CONNECT),
        (httpx2.ConnectError(""), Verdict.CONNECT),
        (httpx2.ConnectTimeout(""), Verdict.CONNECT),
        (TimeoutError(), Verdict.TIMEOUT),
        (httpx2.ReadTimeout(""), Verdict.TIMEOUT),
        (httpx.WriteTimeout(""), Verdict.TIMEOUT),
        (openai.APITimeoutError(request=REQUEST), Verdict.TIMEOUT),
        (ConnectionResetError(), Verdict.RESET),
        (BrokenPipeError(), Verdict.RESET),
        (EOFError(), Verdict.RESET),
        (httpx2.ReadError(""), Verdict.RESET),
        (httpx.RemoteProtocolError(""), Verdict.RESET),
        (httpx2.PoolTimeout(""), Verdict.IGNORED),
        (httpx2.UnsupportedProtocol(""), Verdict.IGNORED),
        (trimtab.ConfigError(""), Verdict.IGNORED),
        (ValueError(), Verdict.STATUS),
        (KeyboardInterrupt(), Verdict.CANCELLED),
        (with_status(503), Verdict.STATUS),
        (with_status(429), Verdict.STATUS),
        (with_status(404), Verdict.SUCCESS),
        (wrapped(httpx2.ConnectError("")), Verdict.CONNECT),
        (wrapped(httpx2.ReadError("")), Verdict.RESET),
    ],
)
def test_what_an_exception_says(error, verdict):
    assert classify(error)[0] == verdict


def test_a_status_brings_its_retry_after():
    assert classify(with_status(503, **{"retry-after": "7"})) == (Verdict.STATUS, 503, 7.0)
    response = httpx2.Response(429, headers={"retry-after": "3"}, request=REQUEST)
    error = openai.RateLimitError("x", response=response, body=None)
    assert classify(error) == (Verdict.STATUS, 429, 3.0)


def test_a_mock_that_answers_anything_is_no_status():
    class OddError(Exception):
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return "x"

    assert classify(OddError())[0] == Verdict.STATUS


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(value, seconds):
    assert parse_retry_after(value) == seconds


def test_retry_after_as_a_date():
    seconds = parse_retry_after("Wed, 21 Oct 2122 07:28:00 GMT")
    assert seconds is not None and seconds > 1e9


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_missing_library_is_named_with_its_extra(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"trimtab.{library}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install trimtab\[{library}\]"):
        importlib.import_module(f"trimtab.{library}")


@pytest.mark.parametrize(
    "content", [b"", b"TRIMTABQ", b"nonsense", b"TRIMTABQ" + b"\xff" * 64, b"\x00" * 4096]
)
def test_a_model_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "routing.qtable"
    path.write_bytes(content)
    for given in (path, str(path)):
        with pytest.raises(trimtab.ModelError, match=r"routing\.qtable"):
            trimtab.Balancer(["http://a:1"], policy="q_table", model=given)
    for given in (content, bytearray(content), memoryview(content)):
        with pytest.raises(trimtab.ModelError, match="model bytes"):
            trimtab.Balancer(["http://a:1"], policy="q_table", model=given)


def test_a_model_that_is_not_there(tmp_path):
    lb = trimtab.Balancer(["http://a:1"], policy="q_table")
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(trimtab.ModelError, match=str(path)) as caught:
            lb.set_model(path)
        assert isinstance(caught.value.__cause__, OSError)
    assert lb.pick(request_class="chat").id == "http://a:1"


def test_an_endless_file_is_no_model():
    with pytest.raises(trimtab.ModelError, match="not a regular file"):
        trimtab.Balancer(["http://a:1"], policy="q_table", model="/dev/zero")


def test_adapters_are_imported_at_their_first_use():
    program = """
import sys, trimtab
assert not {"httpx", "httpx2", "trimtab.httpx", "asyncio"} & set(sys.modules)
assert trimtab.httpx2.Transport.__name__ == "Transport"
assert "httpx2" in sys.modules and "httpx" not in sys.modules
assert not hasattr(trimtab, "nonsense")
from trimtab import *
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
