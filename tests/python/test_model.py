"""Models between Python and Rust: what a log from here teaches routes there, and the reverse."""

import time
from pathlib import Path

import pytest

import trimtab
from decision_rows import CLASSES, ENDPOINTS, rows, write
from trimtab.train import inspect, train


def endpoints(count=4):
    return [trimtab.Endpoint(f"s{i}", labels={"archetype": "xy"[i % 2]}) for i in range(count)]


@pytest.fixture
def model(tmp_path):
    train(write(tmp_path / "a.jsonl", rows()), tmp_path / "m.qtable")
    return tmp_path / "m.qtable"


def served(lb, request_class, count=200):
    kinds = set()
    for _ in range(count):
        with lb.pick(request_class=request_class) as lease:
            kinds.add(ENDPOINTS[lease.address])
    return kinds


def test_a_balancer_routes_by_a_trained_model(model):
    lb = trimtab.Balancer(endpoints(), policy="q_table", model=model, seed=1)
    # Leases end at once here, far quicker than predicted, and the table learns that too: the first
    # picks are the model's own word.
    for name, costs in CLASSES.items():
        token = lb.begin(None, name)
        assert ENDPOINTS[lb.address_of(token)] == min(costs, key=costs.get)
        lb.end(token, 2)
    assert dict(lb.counters.fallbacks) == {} or not any(dict(lb.counters.fallbacks).values())
    lb.close()


def test_without_a_model_it_falls_back_and_counts(model):
    lb = trimtab.Balancer(endpoints(), policy="q_table", seed=1)
    served(lb, "short", 10)
    assert dict(lb.counters.fallbacks)["no_model"] == 10
    lb.set_model(model)
    served(lb, "short", 10)
    assert dict(lb.counters.fallbacks)["no_model"] == 10
    lb.close()


def test_a_model_that_is_too_old_is_not_used(model):
    age = time.time() - 1.7e9  # of the rows that it is trained from, give or take their 2,000 s
    for max_age, fallbacks in ((age + 1e6, {}), (age - 1e6, {"stale": 1})):
        lb = trimtab.Balancer(
            endpoints(), policy="q_table", model=model, model_max_age=max_age, seed=1
        )
        lb.end(lb.begin(None, "short"), 2)
        assert lb.fallbacks == fallbacks


def test_the_log_of_a_python_balancer_trains_a_model_that_routes(tmp_path):
    """The whole way: Python logs, Rust trains, and the model routes in Rust and Python alike."""
    log = tmp_path / "log.jsonl"
    lb = trimtab.Balancer(endpoints(), policy="random", log=log, explore=0.1, seed=2)
    for n in range(1200):
        request_class = ("short", "long")[n % 2]
        token = lb.begin(None, request_class)
        kind = ENDPOINTS[lb.address_of(token)]
        lb.end(token, server_processing=CLASSES[request_class][kind] / 1e3)
    lb.close()
    training = train(log, tmp_path / "m.qtable")
    costs = {(c["class"], c["archetype"]): c["service_ms"] for c in training.report["cells"]}
    for name, by_kind in CLASSES.items():
        for kind, truth in by_kind.items():
            assert costs[name, f"archetype={kind}"] == pytest.approx(truth, rel=0.01)
    test_a_balancer_routes_by_a_trained_model(tmp_path / "m.qtable")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b"", "not a trimtab model"),
        (lambda b: b"PK\x03\x04", "not a trimtab model"),
        (lambda b: b[:40], "truncated"),
        (lambda b: b + b"x", "header says"),
        (lambda b: b[:50] + bytes([b[50] ^ 1]) + b[51:], "corrupt"),
        (lambda b: b[:8] + b"\x07" + b[9:], "format 7 is not known"),
        (lambda b: b"TRIMTABQ" + bytes(17 << 20), "larger than"),
    ],
)
def test_a_bad_model_file_is_a_clear_error_everywhere(model, damage, message):
    model.write_bytes(damage(model.read_bytes()))
    with pytest.raises(trimtab.ModelError, match=message):
        inspect(model)
    with pytest.raises(trimtab.ModelError, match=message):
        trimtab.Balancer(endpoints(), policy="q_table", model=model)


def test_an_absent_model_file_is_named(tmp_path):
    with pytest.raises(trimtab.ModelError, match=r"nowhere\.qtable"):
        inspect(tmp_path / "nowhere.qtable")


def test_inspection_shows_everything(model):
    inspection = inspect(model)
    text = inspection.to_text()
    for word in ("short", "long", "archetype=x", "archetype=y", "1,999 rows", "2023-11-14"):
        assert word in text, text
    assert inspect(model.read_bytes()) == inspection


GOLDEN = Path(__file__).parent.parent / "golden"


def test_the_log_of_a_rust_balancer_trains_a_model_that_routes_here(tmp_path):
    """`core/tests/learn_golden.rs` wrote the log, and tests the other direction."""
    training = train(GOLDEN / "rust_log.jsonl", tmp_path / "m.qtable", min_rows=10)
    assert training.report["wrong"] == 0
    test_a_balancer_routes_by_a_trained_model(tmp_path / "m.qtable")


def test_the_golden_model_is_what_the_golden_log_trains():
    """Rust trains the same bytes from the same log."""
    training = train(GOLDEN / "python_log.jsonl", min_rows=10, note="golden")
    assert training.model == (GOLDEN / "python.qtable").read_bytes()
