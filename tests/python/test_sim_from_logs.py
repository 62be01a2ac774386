"""``trimtab simulate --from-logs``: logs in, a scenario out, and what is refused."""

import json
import random
from itertools import pairwise

import pytest

from trimtab import sim
from trimtab.cli import main
from trimtab.errors import LogError, ScenarioError
from trimtab.train import to_parquet


def rows(count=3000, seed=3):
    """Four servers of two kinds that do one thing at a time, requests at random."""
    luck = random.Random(seed)
    free = dict.fromkeys(("a-0", "a-1", "b-0", "b-1"), 0.0)
    now, made = 1_700_000_000.0, []
    for number in range(count):
        now += luck.expovariate(1 / 0.02)
        kind = luck.choice(("short", "long"))
        chosen = luck.choice(list(free))
        mean = {"a": {"short": 0.008, "long": 0.04}, "b": {"short": 0.016, "long": 0.02}}
        work = luck.expovariate(1 / mean[chosen[0]][kind])
        free[chosen] = max(now, free[chosen]) + work
        made.append(
            {
                "class": kind,
                "chosen": chosen,
                "archetype": f"archetype={chosen[0]}",
                "kind": "first",
                "attempt": 0,
                "client": f"client-{number % 3}",
                "sequence": number,
                "ts": now,
                "latency_ms": (free[chosen] - now) * 1e3,
                "server_ms": work * 1e3,
                "in_flight": 0,
                "status": "ok",
                "policy": "random",
                "candidates": [
                    {"endpoint": name, "archetype": f"archetype={name[0]}", "in_flight": 0}
                    for name in free
                ],
            }
        )
    return made


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("logs") / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def test_the_command_makes_the_scenario_and_runs_it(log, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["simulate", "--from-logs", str(log), "--out", str(out), "--seeds", "2"]
    assert main([*arguments, "--policy", "random", "--policy", "least_request"]) == 0
    printed = capsys.readouterr().out
    assert f"Wrote {out / 'scenario.toml'}" in printed
    assert "least_request" in printed
    text = (out / "scenario.toml").read_text()
    assert text.count("fifo = { workers = 1 }") == 2
    assert "count = 3" in text, "clients"
    assert len((out / "arrivals.csv").read_text().splitlines()) == 3001
    results = sim.Results.from_json(out / "results.json")
    assert results.policies == ["random", "least_request"]
    logged = sum(row["latency_ms"] for row in rows()) / 3000
    simulated = [run["mean_ms"] for run in results.document["runs"] if run["policy"] == "random"]
    # 3000 requests of queues at a third of their load: the mean is known to about a tenth.
    assert sum(simulated) / len(simulated) == pytest.approx(logged, rel=0.3)


def test_without_a_folder_nothing_is_kept_and_the_logs_own_policy_comes_first(log, capsys):
    assert main(["simulate", "--from-logs", str(log), "--seeds", "1"]) == 0
    printed = capsys.readouterr().out
    assert "Give --out DIR to keep the scenario" in printed
    places = [printed.index(f"\n{name} ") for name in ("random", "least_request", "peak_ewma")]
    assert all(a < b for a, b in pairwise(places))


def test_parquet_gives_the_same_scenario(log, tmp_path):
    pytest.importorskip("pyarrow")
    parquet = tmp_path / "mine.parquet"
    to_parquet([log], parquet)
    one = sim.from_logs(log, tmp_path / "one")
    other = sim.from_logs([parquet], tmp_path / "other")
    assert one.read_text() == other.read_text()
    arrivals = [path.with_name("arrivals.csv").read_text() for path in (one, other)]
    assert arrivals[0] == arrivals[1]


def test_what_is_refused(log, tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(LogError, match="no usable rows"):
        sim.from_logs(empty, tmp_path / "out")
    back = tmp_path / "back.jsonl"
    lines = log.read_text().splitlines()
    late = json.loads(lines[12])
    late |= {"ts": late["ts"] - 500}
    lines[12] = json.dumps(late)
    back.write_text("\n".join(lines))
    with pytest.raises(LogError, match=r"back\.jsonl:13: the clock of client .client-0. goes back"):
        sim.from_logs(back, tmp_path / "out")
    with pytest.raises(ScenarioError, match="among the logs"):
        sim.from_logs(log.parent, log.parent / "out")
    assert main(["simulate", "some.toml", "--from-logs", str(log)]) == 2
    assert "not both" in capsys.readouterr().err
    assert main(["simulate", "--from-logs", str(tmp_path / "no.jsonl")]) == 2
    assert "no.jsonl" in capsys.readouterr().err


def test_wrong_rows_are_told_and_left_out(log, tmp_path, capsys):
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text("{\n" + log.read_text())
    scenario = sim.from_logs(mixed, tmp_path / "out")
    assert "1 wrong rows left out" in scenario.read_text()
    assert f"{mixed}:1: malformed" in capsys.readouterr().err
