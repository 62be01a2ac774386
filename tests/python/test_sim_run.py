"""Simulations from Python: the same seed gives the same bytes, errors say where, Ctrl-C stops."""

import os
import signal
import subprocess
import sys
import threading
import tomllib

import pytest

import trimtab
from trimtab import sim

SMALL = """
name = "small"
description = "Two kinds of servers, one crash."
duration = "4s"
warm_up = "1s"
slo = "50ms"

[clients]
count = 3

[traffic]
loads = [0.5, 0.8]

[[classes]]
name = "all"
work = { exponential = "10ms" }

[[servers]]
name = "fast"
speed = 2

[[servers]]
name = "slow"
count = 3

[[events]]
at = "2s"
until = "3s"
action = "crash"
servers = { group = "slow", count = 1 }

[[policies]]
name = "peak_ewma"

[[policies]]
name = "least_request"
label = "of three"
options = { choices = 3 }
"""
LONG = SMALL.replace('"4s"', '"100000s"')


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def results():
    return sim.run(tomllib.loads(SMALL), seeds=4)


def test_a_run_gives_every_policy_at_every_load_with_every_seed(results):
    assert results.policies == ["peak_ewma", "of three"]
    assert results.loads == [0.5, 0.8]
    assert results.seeds == [1, 2, 3, 4]
    runs = results.runs
    assert len(runs) == 16
    assert min(runs["requests"]) > 500
    # Five times the work of a slow server in a second, a half of it for three seconds.
    assert results.document["capacity_rps"] == pytest.approx(500)
    assert all(0 < p50 < p99 for p50, p99 in zip(runs["p50_ms"], runs["p99_ms"], strict=True))
    for run in runs:
        ended = ("ok", "failed", "timed_out", "refused", "cancelled")
        assert sum(run[name] for name in ended) == run["requests"]
    (event,) = results.document["events"]
    assert (event["at_s"], event["until_s"], event["kind"]) == (2.0, 3.0, "crash")


def test_every_shape_of_results_is_there(results):
    document = results.document
    assert len(document["summary"]) == len(document["timelines"]) == len(document["endpoints"]) == 4
    known = set(document["runs"][0]) - {"policy", "load", "seed"}
    assert all(set(one["metrics"]) == known for one in document["summary"])
    assert sum(document["endpoints"][0]["share"]) == pytest.approx(1)
    assert document["endpoints"][0]["groups"] == ["fast", "slow", "slow", "slow"]
    line = document["timelines"][0]
    assert len({len(line[key]) for key in ("start_s", "rate_rps", "p50_ms", "in_flight")}) == 1
    page = results.to_html()
    assert "crash" in page and ">of three<" in page
    text = str(results)
    assert "peak_ewma" in text and "±" in text


def test_the_same_seeds_give_the_same_bytes_on_any_number_of_threads(small, results):
    one = sim.run(small, seeds=2, threads=1)
    assert one.to_json() == sim.run(str(small), seeds=[1, 2], threads=2).to_json()
    assert sim.run(small, seeds=[3], loads=[0.8]).runs["p99_ms"] != one.runs["p99_ms"][2:3]
    alone = sim.run(small, policies="of three", seeds=[4], loads=[0.8]).runs[0]
    assert alone == next(r for r in results.runs if r["seed"] == 4 and r == alone)


def test_a_mapping_is_a_scenario(small, results):
    assert sim.run(small, seeds=4).runs.to_dict() == results.runs.to_dict()


def test_policies_by_name_by_label_and_by_mapping(small):
    own = {"name": "least_request", "label": "of five", "options": {"choices": 5}}
    wanted = ["random", own, "of three"]
    some = sim.run(small, policies=wanted, seeds=1, loads=[0.5])
    assert some.policies == ["random", "of five", "of three"]
    assert len(set(some.runs["mean_ms"])) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("slo =", "sloo =", r"(?s)small\.toml: .*line 6, column 1.*unknown field `sloo`.*warm_up"),
        ('"50ms"', "50", r"(?s)small\.toml: .*line 6"),
        ('"4s"', '"4 parsecs"', r"(?s)small\.toml: .*line 4.*4 parsecs.*20ms"),
        ('group = "slow"', 'group = "slwo"', r"small\.toml: `events\[0\]\.servers\.group`.*slwo"),
        ('"of three"', '"peak_ewma"', "two policies have the label `peak_ewma`"),
        ("choices = 3", "choice = 3", "knows no option `choice`"),
    ],
)
def test_a_wrong_scenario_names_file_and_place(small, old, new, message):
    small.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(sim.ScenarioError, match=message):
        sim.run(small)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"policies": ["peek"]}, r"names no policy: `peek`; known are random, .*peak_ewma"),
        ({"policies": []}, "at least one policy"),
        ({"policies": [{"nam": "x"}]}, "unknown field `nam`"),
        ({"policies": [{"name": object()}]}, "names or mappings"),
        ({"policies": ["random", "random"]}, "label `random`"),
        ({"loads": [0.5, -1]}, "load -1 must be above 0"),
        ({"loads": [0.5, 0.5]}, "0.5 is there twice"),
        ({"loads": []}, "at least one load"),
        ({"seeds": 0}, "at least 1"),
        ({"seeds": [3, 3]}, "3 is there twice"),
        ({"seeds": [-1]}, "seed -1 must lie in"),
        ({"threads": 0}, "threads must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused(small, wanted, message):
    with pytest.raises(sim.ScenarioError, match=message) as caught:
        sim.run(small, **wanted)
    assert isinstance(caught.value, trimtab.TrimtabError)
    assert isinstance(caught.value, ValueError)


def test_a_scenario_that_is_not_there(tmp_path):
    with pytest.raises(sim.ScenarioError, match=r"none\.toml: no such file"):
        sim.run(tmp_path / "none.toml")
    with pytest.raises(sim.ScenarioError, match="directory"):
        sim.run(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(sim.ScenarioError, match="not UTF-8"):
        sim.run(tmp_path / "latin.toml")


@pytest.mark.parametrize("name", sim.scenarios())
def test_every_shipped_scenario_is_sound(name):
    assert sim.scenarios()[name], "says what it shows"
    with pytest.raises(sim.ScenarioError, match="names no policy"):
        sim.run(name, policies=["none"])


def test_progress_is_told_up_to_the_end(small):
    told = []
    sim.run(small, seeds=3, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (12, 12)
    assert told == sorted(told)


def test_what_progress_raises_ends_it(tmp_path):
    (tmp_path / "long.toml").write_text(LONG)

    def enough(done, total):
        raise RuntimeError(f"{done} of {total}")

    with pytest.raises(RuntimeError, match="0 of 40"):
        sim.run(tmp_path / "long.toml", progress=enough)


def test_other_threads_go_on_meanwhile(tmp_path):
    (tmp_path / "long.toml").write_text(LONG)
    asked, answered = threading.Event(), threading.Event()

    def answer():
        asked.wait()
        answered.set()

    def look(done, total):
        if answered.is_set():
            raise StopAsyncIteration
        asked.set()

    other = threading.Thread(target=answer)
    other.start()
    with pytest.raises(StopAsyncIteration):
        sim.run(tmp_path / "long.toml", progress=look)
    other.join()


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_stops_it(tmp_path):
    (tmp_path / "long.toml").write_text(LONG)
    program = (
        "import sys; from trimtab import sim\n"
        "tell = lambda done, total: print('going', flush=True)\n"
        "sim.run(sys.argv[1], progress=tell)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "long.toml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "going\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    assert process.returncode != 0


def test_a_plain_import_reaches_it() -> None:
    code = "import trimtab; print(callable(trimtab.sim.run))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"
