"""Leases and tokens: each ends once, as it should."""

import asyncio
import gc

import pytest

import trimtab
from conftest import in_flight, totals
from trimtab import Verdict

A, B = "http://a:1", "http://b:1"


@pytest.fixture
def lb():
    return trimtab.Balancer([A])


def test_leaving_the_block_is_a_success(lb):
    with lb.pick() as lease:
        assert not lease.ended
        assert in_flight(lb) == 1
    assert lease.ended
    assert totals(lb) == (1, 0, 0)
    assert "ended" in repr(lease)


async def test_async_with_is_the_same(lb):
    async with lb.pick() as lease:
        assert in_flight(lb) == 1
    assert lease.ended
    with pytest.raises(ZeroDivisionError):
        async with lb.pick():
            raise ZeroDivisionError
    assert totals(lb) == (1, 1, 0)


def test_an_exception_is_a_failure_and_goes_on(lb):
    with pytest.raises(KeyError), lb.pick():
        raise KeyError("x")
    assert totals(lb) == (0, 1, 0)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
def test_giving_up_is_a_cancellation(lb, error):
    with pytest.raises(error), lb.pick():
        raise error
    assert totals(lb) == (0, 0, 1)


def test_what_the_user_said_stands(lb):
    with pytest.raises(KeyError), lb.pick() as lease:
        assert lease.success(status=200)
        raise KeyError
    with lb.pick() as lease:
        lease.fail("timeout")
    assert totals(lb) == (1, 1, 0)


@pytest.mark.parametrize("method", ["success", "fail", "cancel", "ignore", "finish"])
def test_ending_twice_is_harmless(lb, method):
    lease = lb.pick()
    assert getattr(lease, method)()
    before = totals(lb)
    for again in ("success", "fail", "cancel", "ignore", "finish"):
        assert not getattr(lease, again)()
    lease.first_byte()
    assert totals(lb) == before
    assert in_flight(lb) == 0


def test_a_lease_that_is_lost_is_a_cancellation(lb):
    lease = lb.pick()
    del lease
    gc.collect()
    assert in_flight(lb) == 0
    assert totals(lb) == (0, 0, 1)


def test_a_lease_keeps_its_balancer(lb):
    lease = trimtab.Balancer([B]).pick()
    gc.collect()
    assert lease.address == B
    assert lease.endpoint == trimtab.Endpoint(B)
    assert lease.success()


def test_the_first_byte_tells_the_latency(lb):
    lease = lb.pick()
    lease.first_byte()
    (stats,) = lb.endpoints
    early = stats.mean_latency
    lease.first_byte()
    lease.success()
    assert stats.mean_latency == early


def test_a_lease_is_frozen(lb):
    with pytest.raises(AttributeError):
        lb.pick().address = "x"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda lease: lease.fail("slow"), 'unknown kind of failure "slow"; known are connect'),
        (lambda lease: lease.fail(retry_after=-1.0), "retry_after = -1"),
        (lambda lease: lease.finish(9), "verdict 9"),
        (lambda lease: lease.success(server_processing=float("nan")), "server_processing = NaN"),
    ],
)
def test_a_bad_outcome_leaves_it_open(lb, call, says):
    lease = lb.pick()
    with pytest.raises(trimtab.ConfigError, match=says):
        call(lease)
    assert not lease.ended
    assert lease.success()


def test_load_reports_are_kept(lb):
    load = {"cpu_utilization": 0.5, "rps_fractional": 10, "named_metrics": {"kv": 0.25}}
    assert lb.pick().success(load=load, bytes=10, tokens=3)
    with pytest.raises(TypeError):
        lb.pick().success(load=3)


def test_retry_after_is_heard(lb):
    (stats,) = lb.endpoints
    lb.pick().fail(status=503, retry_after=120.0)
    assert 100 < stats.peak_latency < 121


async def test_a_cancelled_task_gives_its_lease_back(lb):
    started = asyncio.Event()

    async def request():
        async with lb.pick():
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(request())
    await started.wait()
    assert in_flight(lb) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert in_flight(lb) == 0
    assert totals(lb) == (0, 0, 1)


def test_a_token_is_a_lease_by_number():
    value = object()
    lb = trimtab.Balancer({A: value})
    token = lb.begin()
    assert isinstance(token, int)
    assert (lb.address_of(token), lb.id_of(token), lb.value_of(token)) == (A, A, value)
    lb.first_byte(token)
    assert in_flight(lb) == 1
    lb.end(token)
    lb.end(lb.begin(), Verdict.STATUS, status=503)
    lb.end(lb.begin(), int(Verdict.CANCELLED))
    lb.end(lb.begin("key", "chat", [B]), Verdict.IGNORED)
    assert in_flight(lb) == 0
    assert totals(lb) == (1, 1, 1)


def test_a_token_that_has_ended_is_refused(lb):
    token = lb.begin()
    lb.end(token)
    other = lb.begin()
    for call in (lb.end, lb.address_of, lb.id_of, lb.value_of, lb.first_byte):
        with pytest.raises(trimtab.TokenError, match=f"token {token} is not open"):
            call(token)
    assert in_flight(lb) == 1
    lb.end(other)
    with pytest.raises(trimtab.TokenError):
        lb.end(123456789)
    with pytest.raises(OverflowError):
        lb.end(-1)


def test_a_token_with_a_bad_verdict_stays_open(lb):
    token = lb.begin()
    with pytest.raises(trimtab.ConfigError, match="verdict 7"):
        lb.end(token, 7)
    with pytest.raises(TypeError, match="stat"):
        lb.end(token, 0, stat=200)
    with pytest.raises(trimtab.ConfigError, match="server_queue = -1"):
        lb.end(token, 0, server_queue=-1.0)
    lb.end(token)


def test_the_retry_budget():
    budget = trimtab.RetryBudget(ratio=0.5, per_second=0.0, cap=2.0)
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]  # it starts full
    for _ in range(10):
        budget.deposit()
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]
