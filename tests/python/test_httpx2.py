"""The transports for httpx2; `test_httpx.py` runs the same tests for httpx."""

import asyncio
import json
import threading

import httpx2
import pytest

import trimtab
import trimtab.httpx2
from conftest import in_flight, totals
from servers import Answer

LIB, ADAPTER = httpx2, trimtab.httpx2


class Sync:
    """Sends with the sync client."""

    def __init__(self, lb, **options):
        self.transport = ADAPTER.Transport(lb, **options)
        self.client = LIB.Client(transport=self.transport)

    async def get(self, url, **options):
        return await asyncio.to_thread(self.client.get, url, **options)

    async def post(self, url, **options):
        return await asyncio.to_thread(self.client.post, url, **options)

    async def aclose(self):
        self.client.close()


class Async:
    """Sends with the async client."""

    def __init__(self, lb, **options):
        self.transport = ADAPTER.AsyncTransport(lb, **options)
        self.client = LIB.AsyncClient(transport=self.transport)

    async def get(self, url, **options):
        return await self.client.get(url, **options)

    async def post(self, url, **options):
        return await self.client.post(url, **options)

    async def aclose(self):
        await self.client.aclose()


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
async def connect(request):
    opened = []

    def make(lb, **options):
        opened.append(request.param(lb, **options))
        return opened[-1]

    yield make
    for one in opened:
        await one.aclose()


async def test_the_endpoint_takes_the_place_of_the_host(server, connect):
    served = server()
    lb = trimtab.Balancer([served.url])
    answer = await connect(lb).get("https://model.invalid:999/v1/x?a=b%20c", headers={"X-A": "b"})
    assert answer.json() == {"ok": True}
    assert str(answer.request.url) == "https://model.invalid:999/v1/x?a=b%20c"
    (seen,) = served.seen
    assert seen.target == "/v1/x?a=b%20c"
    assert seen.headers["host"] == f"127.0.0.1:{served.port}"
    assert seen.headers["x-a"] == "b"
    assert "endpoint-load-metrics-format" not in seen.headers
    assert totals(lb) == (1, 0, 0)
    assert in_flight(lb) == 0


async def test_an_endpoints_path_comes_first(server, connect):
    served = server()
    lb = trimtab.Balancer([served.url + "/tenant/"])
    await connect(lb).post("http://x/v1/y", content=b"body")
    assert (served.seen[0].target, served.seen[0].body) == ("/tenant/v1/y", b"body")


async def test_a_refused_connection_goes_elsewhere(server, connect, refused):
    served = server()
    lb = trimtab.Balancer([refused, served.url], policy="round_robin", seed=1)
    client = connect(lb)
    for n in range(6):
        answer = await client.post("http://x/", content=b"%d" % n)
        assert answer.status_code == 200
    assert [seen.body for seen in served.seen] == [b"%d" % n for n in range(6)]
    bad, good = lb.endpoints
    assert bad.failures >= 1 and not bad.up
    assert (good.successes, good.failures) == (6, 0)
    assert in_flight(lb) == 0


async def test_a_body_that_is_a_stream_goes_elsewhere_too(server, connect, refused):
    served = server()
    lb = trimtab.Balancer([refused, served.url])
    client = connect(lb)

    def parts():
        yield b"one "
        yield b"two"

    async def aparts():
        for part in parts():
            yield part

    for _ in range(4):
        content = parts() if isinstance(client, Sync) else aparts()
        await client.post("http://x/", content=content)
    assert {seen.body for seen in served.seen} == {b"one two"}


async def test_nobody_there_raises_the_librarys_own(connect, refused):
    lb = trimtab.Balancer([refused])
    with pytest.raises(LIB.ConnectError) as caught:
        await connect(lb).get("http://x/")
    assert str(caught.value.request.url) == "http://x/"
    assert totals(lb) == (0, 1, 0)


async def test_the_retry_budget_holds(connect, refused, server):
    served = server()
    budget = trimtab.RetryBudget(0.0, 0.0, 0.0)
    lb = trimtab.Balancer([refused, served.url], policy="rendezvous")
    key = next(n for n in range(99) if lb.pick(key=n).address == refused)
    client = connect(lb, retry_budget=budget)
    with pytest.raises(LIB.ConnectError):
        await client.get("http://x/", extensions={"trimtab": {"key": key}})
    assert served.seen == []


async def test_an_empty_fleet_raises_the_librarys_own(connect):
    lb = trimtab.Balancer(["http://a:1"])
    client = connect(lb)
    lb.remove("http://a:1")
    with pytest.raises(LIB.ConnectError, match="no endpoint to pick") as caught:
        await client.get("http://x/")
    assert isinstance(caught.value.__cause__, trimtab.NoEndpoints)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, (1, 0)), (204, (1, 0)), (404, (1, 0)), (429, (0, 1)), (500, (0, 1)), (503, (0, 1))],
)
async def test_what_a_status_says(server, connect, status, expected):
    served = server(lambda seen: Answer(status, chunks=[]))
    lb = trimtab.Balancer([served.url])
    assert (await connect(lb).get("http://x/")).status_code == status
    assert totals(lb)[:2] == expected
    assert in_flight(lb) == 0


async def test_a_fast_failure_is_no_low_latency(server, connect):
    served = server(lambda seen: Answer(500, chunks=[b"no", b"pe"]))
    lb = trimtab.Balancer([served.url], failure_penalty=5)
    client = connect(lb)
    for _ in range(3):
        await client.get("http://x/")
    (stats,) = lb.endpoints
    assert stats.failures == 3
    assert stats.mean_latency is None
    assert stats.peak_latency > 4


async def test_retry_after_is_heard(server, connect):
    served = server(lambda seen: Answer(503, headers={"retry-after": "200"}))
    lb = trimtab.Balancer([served.url])
    await connect(lb).get("http://x/")
    assert 190 < lb.endpoints[0].peak_latency < 201


async def test_a_broken_answer_is_a_failure(server, connect):
    served = server(lambda seen: Answer(chunks=[b"a", b"b"], break_off=True))
    lb = trimtab.Balancer([served.url])
    with pytest.raises(LIB.RemoteProtocolError):
        await connect(lb).get("http://x/")
    assert totals(lb) == (0, 1, 0)
    assert in_flight(lb) == 0


async def test_a_timeout_is_a_failure(server, connect):
    hold = threading.Event()
    served = server(lambda seen: Answer(chunks=[b"a", b"b"], hold=hold))
    lb = trimtab.Balancer([served.url])
    with pytest.raises(LIB.ReadTimeout):
        await connect(lb).get("http://x/", timeout=0.05)
    hold.set()
    assert totals(lb) == (0, 1, 0)
    assert in_flight(lb) == 0


async def test_load_reports_are_asked_for_and_read(server, connect):
    load = 'JSON {"cpu_utilization": 0.5, "named_metrics": {"kv_cache_usage_perc": 0.25}}'
    headers = {"endpoint-load-metrics": load, "server-timing": "queue;dur=250, processing;dur=500"}
    served = server(lambda seen: Answer(headers=headers))
    lb = trimtab.Balancer([served.url])
    assert (await connect(lb, load_reports=True).get("http://x/")).status_code == 200
    assert served.seen[0].headers["endpoint-load-metrics-format"] == "JSON"


async def test_a_proxys_time_is_not_the_servers_processing(server, connect, tmp_path):
    # Envoy's time holds the network and the queue too.
    served = server(lambda seen: Answer(headers={"x-envoy-upstream-service-time": "500"}))
    log = tmp_path / "log.jsonl"
    lb = trimtab.Balancer([served.url], log=log)
    await connect(lb).get("http://x/")
    lb.close()
    row = json.loads(log.read_text())
    assert (row["status"], row["server_ms"], row["queue_ms"]) == ("ok", None, None)


async def test_class_and_key_are_told_in_three_ways(server, connect, tmp_path):
    served = server()
    log = tmp_path / "log.jsonl"
    lb = trimtab.Balancer([served.url], log=log)
    plain = connect(lb)
    await plain.get("http://x/", extensions={"trimtab": {"request_class": "extension", "key": "k"}})
    await plain.get("http://x/", headers={"x-trimtab-class": "header", "x-trimtab-key": "k"})
    await plain.get("http://x/")
    routed = connect(lb, route=lambda request: ADAPTER.Route(request_class=request.url.path))
    await routed.get("http://x/route")
    lb.close()
    rows = log.read_text()
    for name in ('"extension"', '"header"', '"/route"', "null"):
        assert rows.count(f'"class":{name}') == 1
    assert not any(name.startswith("x-trimtab") for seen in served.seen for name in seen.headers)


@pytest.mark.parametrize("route", [3, {"klass": "x"}])
async def test_a_bad_route_is_an_error(server, connect, route):
    lb = trimtab.Balancer([server().url])
    with pytest.raises(trimtab.ConfigError, match=r"extensions\['trimtab'\]"):
        await connect(lb).get("http://x/", extensions={"trimtab": route})
    assert in_flight(lb) == 0


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1:8000", "ftp://x", "http://", "http://u:p@x", "http://x?q", "http://x:99999", "x"],
)
def test_a_malformed_address_is_refused_when_built(address):
    lb = trimtab.Balancer(["http://fine:1", address])
    for transport in (ADAPTER.Transport, ADAPTER.AsyncTransport):
        with pytest.raises(trimtab.ConfigError, match="endpoint address"):
            transport(lb)


async def test_a_malformed_address_added_later_is_refused_when_met(connect):
    lb = trimtab.Balancer(["http://fine:1"])
    client = connect(lb)
    lb.update(["nonsense"])
    with pytest.raises(trimtab.ConfigError, match="nonsense"):
        await client.get("http://x/")
    assert in_flight(lb) == 0


async def test_a_malformed_address_fails_no_request_while_there_are_others(server, connect):
    served = server()
    lb = trimtab.Balancer([served.url], policy="round_robin", base_reconnect=60)
    client = connect(lb, retry_budget=trimtab.RetryBudget(0.0, 0.0, 0.0))
    lb.add("nonsense")
    for _ in range(6):
        assert (await client.get("http://x/")).status_code == 200
    good, bad = lb.endpoints
    assert (good.successes, good.failures) == (6, 0)
    assert bad.failures == 1 and not bad.up
    assert in_flight(lb) == 0


async def test_an_own_transport_gets_a_real_request(connect):
    def handle(request):
        assert type(request) is LIB.Request
        return LIB.Response(200, json=[str(request.url), request.headers["host"], request.method])

    lb = trimtab.Balancer(["http://a:1/p"])
    answer = await connect(lb, transport=LIB.MockTransport(handle)).get("http://x/v1?q=1")
    assert answer.json() == ["http://a:1/p/v1?q=1", "a:1", "GET"]
    for transport in (ADAPTER.Transport, ADAPTER.AsyncTransport):
        with pytest.raises(TypeError, match="http2, limits"):
            transport(lb, transport=LIB.MockTransport(handle), http2=True, limits=LIB.Limits())


async def test_redirects_and_cookies_stay_with_the_service(server, connect):
    def answer(seen):
        if seen.target == "/old":
            return Answer(302, headers={"location": "/new", "set-cookie": "a=b"})
        return Answer(headers={"x-cookie": seen.headers.get("cookie", "")})

    lb = trimtab.Balancer([server(answer).url])
    got = await connect(lb).get("http://x.test/old", follow_redirects=True)
    assert str(got.url) == "http://x.test/new"
    assert got.headers["x-cookie"] == "a=b"
    assert totals(lb) == (2, 0, 0)


async def test_fleet_changes_under_way(server, connect):
    hold = threading.Event()
    old, new = server(lambda seen: Answer(chunks=[b"a", b"b"], hold=hold)), server()
    lb = trimtab.Balancer([old.url])
    client = connect(lb)
    first = asyncio.create_task(client.get("http://x/"))
    await asyncio.to_thread(old.arrived.wait)
    lb.update([new.url])
    assert (await client.get("http://x/")).status_code == 200
    hold.set()
    assert (await first).content == b"ab"
    assert [endpoint.successes for endpoint in lb.endpoints] == [1]


def test_a_stream_keeps_its_lease_until_it_ends(server):
    hold = threading.Event()
    served = server(lambda seen: Answer(chunks=[b"first", b"last"], hold=hold))
    lb = trimtab.Balancer([served.url])
    with LIB.Client(transport=ADAPTER.Transport(lb)) as client:
        with client.stream("GET", "http://x/") as answer:
            chunks = answer.iter_raw()
            assert next(chunks) == b"first"
            assert in_flight(lb) == 1
            assert lb.endpoints[0].mean_latency is not None
            hold.set()
            assert list(chunks) == [b"last"]
            assert in_flight(lb) == 0
        assert totals(lb) == (1, 0, 0)
        with client.stream("GET", "http://x/"):
            assert in_flight(lb) == 1
        assert totals(lb) == (1, 0, 1)
    assert in_flight(lb) == 0


async def test_an_async_stream_keeps_its_lease_until_it_ends(server):
    hold = threading.Event()
    served = server(lambda seen: Answer(chunks=[b"first", b"last"], hold=hold))
    lb = trimtab.Balancer([served.url])
    async with LIB.AsyncClient(transport=ADAPTER.AsyncTransport(lb)) as client:
        async with client.stream("GET", "http://x/") as answer:
            chunks = answer.aiter_raw()
            assert await anext(chunks) == b"first"
            assert in_flight(lb) == 1
            assert lb.endpoints[0].mean_latency is not None
            hold.set()
            assert [chunk async for chunk in chunks] == [b"last"]
            assert in_flight(lb) == 0
        assert totals(lb) == (1, 0, 0)
        async with client.stream("GET", "http://x/"):
            assert in_flight(lb) == 1
        assert totals(lb) == (1, 0, 1)
    assert in_flight(lb) == 0


@pytest.mark.parametrize("chunks", [[b"a", b"b"], [b""]], ids=["in the body", "before the head"])
async def test_a_cancelled_task_gives_its_lease_back(server, chunks):
    hold = threading.Event()
    served = server(lambda seen: Answer(chunks=chunks, hold=hold))
    lb = trimtab.Balancer([served.url])
    async with LIB.AsyncClient(transport=ADAPTER.AsyncTransport(lb)) as client:
        task = asyncio.create_task(client.get("http://x/"))
        await asyncio.to_thread(served.arrived.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    hold.set()
    assert in_flight(lb) == 0
    assert totals(lb) == (0, 0, 1)


async def test_many_at_once(server):
    servers = [server() for _ in range(3)]
    lb = trimtab.Balancer([one.url for one in servers])
    async with LIB.AsyncClient(transport=ADAPTER.AsyncTransport(lb)) as client:
        answers = await asyncio.gather(*(client.get(f"http://x/{n}") for n in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(len(one.seen) for one in servers) == 100
    assert totals(lb) == (100, 0, 0)
    assert in_flight(lb) == 0


async def test_an_error_says_which_endpoint_it_came_from(connect, refused):
    lb = trimtab.Balancer([refused])
    with pytest.raises(LIB.ConnectError) as caught:
        await connect(lb).get("http://x/")
    assert caught.value.__notes__ == [f"trimtab: attempt 1, at endpoint {refused}"]


@pytest.mark.parametrize("wrong", [["http://a"], None])
def test_only_a_balancer_balances(wrong):
    with pytest.raises(TypeError, match=r"must be a trimtab\.Balancer, not"):
        trimtab.httpx2.Transport(wrong)
