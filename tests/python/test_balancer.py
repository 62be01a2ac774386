"""The balancer: what it takes, what it picks, what it counts, how its fleet changes."""

import gc
import itertools
import math
import subprocess
import sys
import threading
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trimtab
from conftest import in_flight, totals

A, B, C = "http://a:1", "http://b:1", "http://c:1"


def ids(lb):
    return [endpoint.id for endpoint in lb.endpoints]


def test_a_list_of_addresses():
    lb = trimtab.Balancer([A, B])
    with lb.pick() as lease:
        assert lease.address in (A, B)
        assert lease.id == lease.address
        assert lease.value is None
    assert len(lb) == 2
    assert lb.policy == "peak_ewma"
    assert repr(lb) == '<Balancer policy="peak_ewma" endpoints=2>'


def test_a_mapping_keeps_any_object():
    client = object()
    lb = trimtab.Balancer({A: client, trimtab.Endpoint(B, id="b", weight=2.0): "other"})
    values = {endpoint.id: endpoint.value for endpoint in lb.endpoints}
    assert values == {A: client, "b": "other"}
    seen = set()
    while len(seen) < 2:
        with lb.pick() as lease:
            assert lease.value is values[lease.id]
            seen.add(lease.id)


def test_an_iterator_will_do():
    assert len(trimtab.Balancer(address for address in (A, B))) == 2


@pytest.mark.parametrize("policy", trimtab.POLICIES)
def test_every_policy_picks(policy):
    lb = trimtab.Balancer([A, B, C], policy=policy, geo=(48.9, 2.4))
    for n in range(30):
        with lb.pick(key=n, request_class="chat"):
            assert in_flight(lb) == 1
    assert in_flight(lb) == 0
    assert totals(lb) == (30, 0, 0)
    assert lb.policy == policy


@pytest.mark.parametrize("policy", ["source_hash", "rendezvous"])
def test_a_key_keeps_its_endpoint(policy):
    lb = trimtab.Balancer([A, B, C], policy=policy)
    for key in ("user-17", b"user-17", 17):
        first = lb.pick(key=key).id
        assert {lb.pick(key=key).id for _ in range(20)} == {first}
    assert lb.pick(key="17").id == lb.pick(key=17).id
    assert lb.pick(key="é").id == lb.pick(key="é".encode()).id
    assert len({lb.pick(key=n).id for n in range(100)}) == 3


def test_the_same_seed_gives_the_same_picks():
    def picks(seed):
        lb = trimtab.Balancer([A, B, C], policy="random", seed=seed)
        return [lb.pick().id for _ in range(200)]

    assert picks(7) == picks(7)
    assert picks(7) != picks(8)
    assert picks(None) != picks(None)


def test_tried_endpoints_are_avoided_while_there_are_others():
    lb = trimtab.Balancer([A, B, C])
    assert {lb.pick(tried=[A, B]).id for _ in range(20)} == {C}
    assert lb.pick(tried=(A, B, C)).id in (A, B, C)


def test_the_own_region_is_preferred():
    near = trimtab.Endpoint(A, region="eu", zone="eu-1")
    far = trimtab.Endpoint(B, region="us")
    lb = trimtab.Balancer([far, near], region="eu")
    assert {lb.pick().id for _ in range(20)} == {A}
    lb.drain(near)
    assert lb.pick().id == B
    stats = next(endpoint for endpoint in lb.endpoints if endpoint.id == B)
    assert (stats.region, stats.zone) == ("us", "")


def test_geo_score_compares_regions():
    near = trimtab.Endpoint(A, region="eu", latitude=48.9, longitude=2.4)
    far = trimtab.Endpoint(B, region="us", latitude=40.7, longitude=-74.0)
    lb = trimtab.Balancer([near, far], policy="geo_score", region="eu", geo=(48.9, 2.4), seed=1)
    assert {lb.pick().id for _ in range(20)} == {A}
    for _ in range(3):  # fewer than eject it
        lb.pick(tried=[B]).fail()
        lb.pick(tried=[A]).success()
    assert all(endpoint.up for endpoint in lb.endpoints)
    assert {lb.pick().id for _ in range(20)} == {B}


def test_regions_are_ordered_by_measured_round_trips():
    home = trimtab.Endpoint(A, region="home")
    one, two = trimtab.Endpoint(B, region="one"), trimtab.Endpoint(C, region="two")
    lb = trimtab.Balancer([home, one, two], region="home")
    lb.drain(home)
    assert lb.pick().id == B  # distances unknown: in order of name
    lb.record_round_trip(one, 0.2)
    lb.record_round_trip(C, 0.1)
    assert lb.pick().id == C
    lb.record_round_trip(B, 0.05)
    assert lb.pick().id == B
    with pytest.raises(trimtab.ConfigError, match='no endpoint has the id "x"'):
        lb.record_round_trip("x", 0.1)
    with pytest.raises(trimtab.ConfigError, match="round trip = -1"):
        lb.record_round_trip(B, -1.0)


def test_weights_are_followed():
    lb = trimtab.Balancer(
        [trimtab.Endpoint(A, weight=3.0), B], policy="weighted_round_robin", seed=1
    )
    picked = [lb.pick().id for _ in range(400)]
    assert picked.count(A) == 300
    assert [endpoint.weight for endpoint in lb.endpoints] == [3.0, 1.0]


def test_statistics_are_live():
    lb = trimtab.Balancer([A])
    (stats,) = lb.endpoints
    assert stats.success_rate is None
    assert stats.mean_latency is None
    assert stats.peak_latency is None
    lease = lb.pick()
    assert stats.in_flight == 1
    lease.success()
    lb.pick().fail()
    lb.pick().cancel()
    assert (stats.in_flight, stats.successes, stats.failures, stats.cancelled) == (0, 1, 1, 1)
    assert stats.success_rate == 0.5
    assert 0 < stats.mean_latency < 1
    assert stats.peak_latency > 4
    assert stats.up and not stats.draining
    assert stats.address == A
    assert stats.endpoint == trimtab.Endpoint(A)
    assert stats.queue_delay == 0
    assert "successes=1" in repr(stats)


def test_failures_in_a_row_eject():
    lb = trimtab.Balancer([A, B], consecutive_failures=3, base_ejection=60)
    for _ in range(3):
        lb.pick(tried=[B]).fail("reset")
    assert [endpoint.up for endpoint in lb.endpoints] == [False, True]
    assert {lb.pick().id for _ in range(20)} == {B}
    assert lb.counters.ejections == 1
    assert lb.counters.fail_open == 0
    lb.pick(tried=[A]).fail("connect")
    assert lb.pick().id in (A, B)
    assert lb.counters.fail_open == 1


def test_fallbacks_are_counted():
    lb = trimtab.Balancer([A, B], policy="q_table")
    for _ in range(5):
        with lb.pick(request_class="chat"):
            pass
    assert lb.fallbacks == {"no_model": 5}
    assert lb.counters.fallbacks == {"no_model": 5}
    assert "no_model" in repr(lb.counters)


def test_update_keeps_the_statistics_of_those_that_stay():
    lb = trimtab.Balancer({A: 1, B: 2})
    lease = lb.pick(tried=[B])
    lb.update({A: 10, C: 30})
    assert {endpoint.id: endpoint.value for endpoint in lb.endpoints} == {A: 10, C: 30}
    assert lb.endpoints[0].in_flight == 1
    # The lease has what it was given.
    assert (lease.id, lease.value) == (A, 1)
    lb.update([C])
    assert ids(lb) == [C]
    assert (lease.address, lease.ended) == (A, False)
    assert lease.success()
    assert in_flight(lb) == 0


def test_add_remove_and_drain():
    lb = trimtab.Balancer([A])
    lb.add(trimtab.Endpoint(B, id="b"), value="v")
    lease = lb.pick(tried=[A])
    assert (lease.id, lease.value) == ("b", "v")
    lb.drain("b")
    assert {lb.pick().id for _ in range(10)} == {A}
    assert [endpoint.draining for endpoint in lb.endpoints] == [False, True]
    lease.success()
    assert ids(lb) == [A]
    lb.add(C)
    lb.remove(A)
    assert ids(lb) == [C]
    lb.remove(trimtab.Endpoint(C))
    assert len(lb) == 0
    with pytest.raises(trimtab.NoEndpoints, match="the fleet has 0"):
        lb.pick()


@pytest.mark.parametrize("change", ["update", "remove", "add"])
def test_destructors_of_values_find_the_change_complete(change):
    seen = []

    class Client:
        def __del__(self):
            seen.append({endpoint.id: endpoint.value for endpoint in lb.endpoints})
            lb.add(C, value="from the destructor")

    moved = trimtab.Endpoint("http://elsewhere:1", id=A)
    lb = trimtab.Balancer({A: Client(), B: 2})
    if change == "update":
        lb.update({B: 20, C: 30})
        assert seen == [{B: 20, C: 30}]
    elif change == "remove":
        lb.remove(A)
        assert seen == [{B: 2}]
    else:
        lb.add(moved, value="new")
        assert seen == [{A: "new", B: 2}]
    values = {endpoint.id: endpoint.value for endpoint in lb.endpoints}
    assert values[C] == "from the destructor"


def test_an_old_value_is_let_go_after_all_new_ones_are_there():
    seen = []

    class Client:
        def __del__(self):
            seen.append({endpoint.id: endpoint.value for endpoint in lb.endpoints})

    lb = trimtab.Balancer({A: Client()})
    lb.update({A: 1, B: 2})
    assert seen == [{A: 1, B: 2}]


def test_a_draining_endpoint_that_is_added_takes_requests_again():
    lb = trimtab.Balancer([A])
    held = lb.pick()
    lb.drain(A)
    with pytest.raises(trimtab.NoEndpoints, match="1 are draining"):
        lb.pick()
    lb.add(A)
    assert lb.pick().id == A
    held.cancel()


def test_a_balancer_is_a_context_manager():
    with trimtab.Balancer([A]) as lb:
        assert lb.pick().id == A


def test_a_cycle_through_a_value_is_collected():
    class Client:
        pass

    client = Client()
    client.lb = trimtab.Balancer({A: client})
    seen = weakref.ref(client)
    del client
    gc.collect()
    assert seen() is None


def test_endpoint_values():
    endpoint = trimtab.Endpoint(
        A,
        id="x",
        weight=2,
        region="eu",
        zone="z",
        latitude=1,
        longitude=2,
        cost=3,
        labels={"k": "v"},
    )
    assert (endpoint.address, endpoint.id, endpoint.weight) == (A, "x", 2.0)
    assert (endpoint.region, endpoint.zone) == ("eu", "z")
    assert (endpoint.latitude, endpoint.longitude, endpoint.cost) == (1.0, 2.0, 3.0)
    assert endpoint.labels == {"k": "v"}
    assert endpoint == eval(repr(endpoint), {"Endpoint": trimtab.Endpoint})
    assert hash(endpoint) == hash(eval(repr(endpoint), {"Endpoint": trimtab.Endpoint}))
    assert endpoint != trimtab.Endpoint(A)
    with pytest.raises(AttributeError):
        endpoint.weight = 1.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"endpoints": []}, "no endpoints"),
        ({"endpoints": {}}, "no endpoints"),
        ({"endpoints": [A, A]}, f'two endpoints have the id "{A}"'),
        ({"endpoints": [trimtab.Endpoint(A, id="x"), trimtab.Endpoint(B, id="x")]}, '"x"'),
        ({"endpoints": A}, "put 'http://a:1' in a list"),
        ({"endpoints": [""]}, "empty"),
        ({"endpoints": ["http://a b"]}, '"http://a b"'),
        ({"policy": "fastest"}, 'unknown policy "fastest"; known are random'),
        ({"policy": "q_table", "model_max_age": -1.0}, "model_max_age = -1"),
        ({"policy": "random", "model_max_age": 1.0}, '"random"'),
        ({"policy": "fastest", "model_max_age": 1.0}, 'unknown policy "fastest"'),
        ({"explore": 1.5}, "explore = 1.5"),
        ({"explore": math.nan}, "explore = NaN"),
        ({"decay": 0.0}, "decay = 0"),
        ({"decay": -1.0}, "decay = -1"),
        ({"failure_penalty": math.inf}, "failure_penalty = inf"),
        ({"max_ejected": 2.0}, "max_ejected = 2"),
        ({"base_ejection": -1.0}, "base_ejection = -1"),
        ({"geo": (91.0, 0.0)}, "geo: latitude 91"),
        ({"log_sample": 2.0}, "log sample = 2"),
        ({"log_capacity": 0}, "log capacity = 0"),
        ({"log": "/nonexistent/log.jsonl"}, "decision log /nonexistent/log.jsonl"),
    ],
)
def test_bad_settings_are_refused(arguments, says):
    with pytest.raises(trimtab.ConfigError) as caught:
        trimtab.Balancer(**{"endpoints": [A], **arguments})
    assert says in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_bad_weights_are_refused(weight):
    with pytest.raises(trimtab.ConfigError, match='endpoint "http://a:1": weight'):
        trimtab.Endpoint(A, weight=weight)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"cost": -1.0}, "cost -1"),
        ({"cost": math.nan}, "cost NaN"),
        ({"latitude": 100.0, "longitude": 0.0}, "latitude 100"),
        ({"latitude": 10.0}, "longitude NaN"),
    ],
)
def test_bad_endpoints_are_refused(arguments, says):
    with pytest.raises(trimtab.ConfigError, match=says):
        trimtab.Endpoint(A, **arguments)


@pytest.mark.parametrize(
    "call",
    [
        lambda lb: trimtab.Balancer(3),
        lambda lb: trimtab.Balancer([3]),
        lambda lb: trimtab.Balancer([A], archetype_labels="archetype"),
        lambda lb: lb.pick(key=1.5),
        lambda lb: lb.pick(tried=A),
        lambda lb: lb.pick(tried=[1]),
        lambda lb: lb.pick(request_class=1),
        lambda lb: lb.remove(1),
    ],
)
def test_wrong_types_are_type_errors(call):
    with pytest.raises(TypeError):
        call(trimtab.Balancer([A]))


def test_a_failed_update_leaves_the_fleet_as_it_was():
    lb = trimtab.Balancer([A, B])
    for wrong in ([], [C, C], {}):
        with pytest.raises(trimtab.ConfigError):
            lb.update(wrong)
    assert ids(lb) == [A, B]


@pytest.mark.parametrize("change", ["remove", "drain"])
def test_an_unknown_id_is_named(change):
    lb = trimtab.Balancer([A])
    with pytest.raises(trimtab.ConfigError, match='no endpoint has the id "x"'):
        getattr(lb, change)("x")


def test_a_bad_deadline_is_refused():
    lb = trimtab.Balancer([A])
    with pytest.raises(trimtab.ConfigError, match="deadline = -1"):
        lb.pick(deadline=-1.0)
    assert in_flight(lb) == 0


def test_an_error_may_come_back_to_the_balancer():
    """What runs while an error is made (here its import) finds no lock held."""
    program = """
import sys, types, trimtab, trimtab.errors
lb = trimtab.Balancer(["http://a:1"])
lb.remove("http://a:1")
class Errors(types.ModuleType):
    def __getattr__(self, name):
        lb.add("http://b:1")
        token = lb.begin()
        print(lb.id_of(token), flush=True)
        lb.end(token)
        return getattr(real, name)
real = sys.modules["trimtab.errors"]
sys.modules["trimtab.errors"] = Errors("trimtab.errors")
try:
    CALL
except trimtab.TrimtabError as error:
    print(type(error).__name__)
"""
    for call, error in (("lb.pick()", "NoEndpoints"), ("lb.id_of(1)", "TokenError")):
        done = subprocess.run(
            [sys.executable, "-c", program.replace("CALL", call)],
            timeout=60,
            capture_output=True,
            text=True,
        )
        assert done.stdout == f"http://b:1\n{error}\n", done.stderr


def test_threads_share_a_balancer():
    lb = trimtab.Balancer([A, B, C])
    rounds, barrier = 2000, threading.Barrier(4)

    def work():
        barrier.wait()
        for n in range(rounds):
            lease = lb.pick()
            (lease.success, lease.fail, lease.cancel)[n % 3]()

    def change():
        barrier.wait()
        fleets = itertools.cycle([[A, B], [A, B, C]])
        for _ in range(200):
            lb.update(next(fleets))

    threads = [threading.Thread(target=work) for _ in range(3)] + [threading.Thread(target=change)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert in_flight(lb) == 0
    lb.update([A, B])
    assert sum(totals(lb)) <= 3 * rounds


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["pick", "begin", "success", "fail", "cancel", "drop", "end", "update", "drain"]
            ),
            st.integers(0, 10),
        ),
        max_size=80,
    ),
    st.sampled_from(trimtab.POLICIES),
)
def test_in_flight_is_exact_whatever_happens(steps, policy):
    lb = trimtab.Balancer([A, B, C], policy=policy, seed=1)
    leases, tokens = [], []
    for step, n in steps:
        match step:
            case "pick":
                leases.append(lb.pick(key=n))
            case "begin":
                tokens.append(lb.begin(n))
            case "end" if tokens:
                lb.end(tokens.pop(n % len(tokens)), n % 7)
            case "update":
                lb.update([[A, B, C], [C, B], [A]][n % 3])
            case "drain" if len(lb) > 1:
                lb.drain(lb.endpoints[0].id)
                lb.add(lb.endpoints[0].id)
            case "success" | "fail" | "cancel" if leases:
                lease = leases.pop(n % len(leases))
                assert getattr(lease, step)()
                assert not lease.success()
            case "drop" if leases:
                del leases[n % len(leases)]
        open_here = {endpoint.id for endpoint in lb.endpoints}
        held = sum(lease.id in open_here for lease in leases)
        held += sum(lb.id_of(token) in open_here for token in tokens)
        # An endpoint that left and came back starts at zero.
        assert in_flight(lb) <= held
    leases.clear()
    for token in tokens:
        lb.end(token)
    assert in_flight(lb) == 0
