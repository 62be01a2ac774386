"""The real OpenAI client through the transport."""

import json
import threading

import httpx2
import openai
import pytest

import trimtab
import trimtab.httpx2
from conftest import in_flight, totals
from servers import Answer, chat

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def sync_client(lb, **options):
    http = httpx2.Client(transport=trimtab.httpx2.Transport(lb, **options))
    return openai.OpenAI(api_key="k", base_url="http://model/v1", http_client=http)


def async_client(lb, **options):
    http = httpx2.AsyncClient(transport=trimtab.httpx2.AsyncTransport(lb, **options))
    return openai.AsyncOpenAI(api_key="k", base_url="http://model/v1", http_client=http)


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch):
    """Its pause between retries, 0.5 s and more, is not what is tested."""
    calculate = "_calculate_retry_timeout"
    monkeypatch.setattr(openai._base_client.BaseClient, calculate, lambda *_, **__: 0.0)


def test_sync(server):
    served = server(chat)
    lb = trimtab.Balancer([served.url])
    with sync_client(lb) as client:
        answer = client.chat.completions.create(**ASK)
        assert answer.choices[0].message.content == "hello"
        assert served.seen[0].target == "/v1/chat/completions"
        words = [
            c.choices[0].delta.content for c in client.chat.completions.create(**ASK, stream=True)
        ]
    assert words == ["one", "two", "three"]
    assert totals(lb) == (2, 0, 0)
    assert in_flight(lb) == 0


async def test_async(server):
    served = server(chat)
    lb = trimtab.Balancer([served.url])
    async with async_client(lb) as client:
        answer = await client.chat.completions.create(**ASK)
        assert answer.choices[0].message.content == "hello"
        stream = await client.chat.completions.create(**ASK, stream=True)
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["one", "two", "three"]
    assert totals(lb) == (2, 0, 0)
    assert in_flight(lb) == 0


def test_a_stream_left_early_is_a_cancellation(server):
    hold = threading.Event()

    def answer(seen):
        whole = chat(seen)
        whole.hold = hold
        return whole

    lb = trimtab.Balancer([server(answer).url])
    with sync_client(lb) as client:
        stream = client.chat.completions.create(**ASK, stream=True)
        assert next(stream).choices[0].delta.content == "one"
        assert in_flight(lb) == 1
        stream.close()
    hold.set()
    assert totals(lb) == (0, 0, 1)
    assert in_flight(lb) == 0


async def test_an_async_stream_left_early_is_a_cancellation(server):
    hold = threading.Event()

    def answer(seen):
        whole = chat(seen)
        whole.hold = hold
        return whole

    lb = trimtab.Balancer([server(answer).url])
    async with async_client(lb) as client:
        stream = await client.chat.completions.create(**ASK, stream=True)
        assert (await anext(stream)).choices[0].delta.content == "one"
        assert in_flight(lb) == 1
        await stream.close()
    hold.set()
    assert totals(lb) == (0, 0, 1)
    assert in_flight(lb) == 0


def busy(seen):
    return Answer(503, headers={"content-type": "application/json"}, chunks=[b"{}"])


def preferring(lb, address):
    """A key under which a hashing policy prefers `address`."""
    return str(next(n for n in range(999) if lb.pick(key=str(n)).address == address))


def test_a_retry_of_the_sdk_goes_elsewhere(server):
    bad, good = server(busy), server(chat)
    lb = trimtab.Balancer([bad.url, good.url], policy="rendezvous", consecutive_failures=0)
    headers = {"x-trimtab-key": preferring(lb, bad.url)}
    with sync_client(lb) as client:
        for _ in range(5):
            client.chat.completions.create(**ASK, extra_headers=headers)
    assert (len(bad.seen), len(good.seen)) == (5, 5)
    assert [seen.headers["x-stainless-retry-count"] for seen in good.seen] == ["1"] * 5


async def test_an_async_retry_of_the_sdk_goes_elsewhere(server):
    bad, worse, good = server(busy), server(busy), server(chat)
    fleet = [bad.url, worse.url, good.url]
    lb = trimtab.Balancer(fleet, policy="rendezvous", consecutive_failures=0)
    keys = [preferring(lb, bad.url), preferring(lb, worse.url)]
    async with async_client(lb) as client:
        for key in keys * 2:
            await client.chat.completions.create(**ASK, extra_headers={"x-trimtab-key": key})
    assert len(good.seen) == 4
    # Never twice to one of them: at most one attempt each for each of the four.
    assert len(bad.seen) <= 4 and len(worse.seen) <= 4


def test_retries_of_the_sdk_count_against_the_budget(server):
    served = server(busy)
    lb = trimtab.Balancer([served.url], consecutive_failures=0)
    budget = trimtab.RetryBudget(ratio=0.0, per_second=0.0, cap=0.0)
    with sync_client(lb, retry_budget=budget) as client:
        for _ in range(10):
            with pytest.raises(openai.APIError):
                client.chat.completions.create(**ASK)
    assert len(served.seen) == 10


def test_class_by_extra_headers(server, tmp_path):
    served = server(chat)
    log = tmp_path / "log.jsonl"
    with (
        trimtab.Balancer([served.url], log=log) as lb,
        sync_client(lb, route=lambda request: {"request_class": "rule"}) as client,
    ):
        client.chat.completions.create(**ASK, extra_headers={"x-trimtab-class": "told"})
        client.chat.completions.create(**ASK)
    assert '"class":"told"' in log.read_text() and '"class":"rule"' in log.read_text()
    assert "x-trimtab-class" not in served.seen[0].headers


def test_the_attempts_of_one_request_share_an_event_in_the_log(server, tmp_path):
    served, log = server(busy), tmp_path / "log.jsonl"
    other = server(busy)
    with (
        trimtab.Balancer([served.url, other.url], log=log, consecutive_failures=0) as lb,
        sync_client(lb) as client,
    ):
        for _ in range(2):
            with pytest.raises(openai.APIError):
                client.chat.completions.create(**ASK)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    events = [row["event"] for row in rows]
    assert len(set(events)) == 2
    assert all(0 < event < 2**63 for event in events)
    assert [row["attempt"] > 0 for row in rows] == [row["kind"] == "retry" for row in rows]
    assert len(rows) > 2
