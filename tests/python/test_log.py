"""The decision log's file."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

import trimtab

A, B = "http://a:1", "http://b:1"


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_row_an_attempt(tmp_path):
    path = tmp_path / "log.jsonl"
    labels = {"archetype": "h100"}
    lb = trimtab.Balancer(
        [
            trimtab.Endpoint(A, labels=labels, zone="z", cost=2.0),
            trimtab.Endpoint(B, labels=labels),
        ],
        log=path,
        log_client="me",
        seed=1,
    )
    lease = lb.pick(key="k", request_class="chat", region="eu", deadline=2.0, event=42)
    lease.success(status=200, server_processing=0.25, server_queue=0.5, bytes=7, tokens=3)
    lb.pick(tried=[A], event=42).fail("timeout")
    lb.pick().cancel()
    lb.end(lb.begin(None, "batch", event=43), trimtab.Verdict.STATUS, status=503)
    lb.flush()
    first, second, third, fourth = rows(path)
    assert first["client"] == "me"
    assert (first["class"], first["region"], first["event"]) == ("chat", "eu", 42)
    assert first["chosen"] == lease.id
    assert first["archetype"] == "archetype=h100"
    assert 1990 < first["deadline_ms"] <= 2000
    assert (first["server_ms"], first["queue_ms"]) == (250.0, 500.0)
    assert (first["status"], first["code"], first["bytes"], first["tokens"]) == ("ok", 200, 7, 3)
    assert {candidate["endpoint"] for candidate in first["candidates"]} == {A, B}
    assert first["propensity"] == 0.5
    assert (second["kind"], second["attempt"], second["event"]) == ("retry", 1, 42)
    assert (second["status"], second["censored"]) == ("timeout", "timeout")
    assert third["status"] == "cancelled"
    assert (fourth["class"], fourth["status"], fourth["code"]) == ("batch", "status", 503)
    assert fourth["event"] == 43
    assert lb.counters.log_written == 4
    assert lb.counters.log_dropped == 0


@pytest.mark.parametrize("capacity", [4, 65536])
def test_close_flushes_and_later_rows_are_counted(tmp_path, capacity):
    path = tmp_path / "log.jsonl"
    with trimtab.Balancer([A], log=path, log_capacity=capacity) as lb:
        for _ in range(4):
            with lb.pick():
                pass
        late = lb.pick()
    assert len(rows(path)) == 4
    late.success()
    for _ in range(6):
        lb.pick().success()
    lb.close()
    assert lb.counters.log_written == 4
    assert lb.counters.log_dropped == 7
    assert len(rows(path)) == 4


def test_a_balancer_closed_before_its_first_pick_logs_nothing(tmp_path):
    path = tmp_path / "log.jsonl"
    lb = trimtab.Balancer([A], log=path)
    lb.close()
    lb.pick().success()
    lb.close()
    assert (lb.counters.log_written, lb.counters.log_dropped) == (0, 1)
    assert rows(path) == []


def test_dropping_the_balancer_flushes(tmp_path):
    path = tmp_path / "log.jsonl"
    lb = trimtab.Balancer([A], log=path)
    for _ in range(1000):
        lb.pick().success()
    del lb
    assert len(rows(path)) == 1000


def test_exploration_is_told(tmp_path):
    path = tmp_path / "log.jsonl"
    with trimtab.Balancer([A, B], policy="least_request", log=path, explore=0.5, seed=3) as lb:
        held = lb.pick()
        other = B if held.id == A else A
        for _ in range(200):
            lb.pick().success()
        held.cancel()
    logged = rows(path)
    explored = [row for row in logged if row["explored"]]
    # Binomial(200, 0.5): outside 60 to 140 with a chance under 1e-7.
    assert 60 < len(explored) < 140
    assert all(row["epsilon"] == 0.5 for row in logged)
    for row in logged[:200]:
        if not row["explored"]:
            assert row["propensity"] > 0.5 or row["chosen"] != other
        assert 0.2 < row["propensity"] < 0.9


def test_a_sample_stands_for_the_rest(tmp_path):
    path = tmp_path / "log.jsonl"
    with trimtab.Balancer([A], log=path, log_sample=0.25, seed=1) as lb:
        for _ in range(2000):
            lb.pick().success()
    logged = rows(path)
    # Binomial(2000, 0.25), standard deviation 19: 500 +- 130 is seven of them.
    assert 370 < len(logged) < 630
    assert {row["sample_weight"] for row in logged} == {4.0}


def test_two_balancers_share_a_file(tmp_path):
    path = tmp_path / "log.jsonl"
    one = trimtab.Balancer([A], log=path, log_client="one")
    two = trimtab.Balancer([A], log=str(path), log_client="two")
    for lb in (one, two) * 500:
        lb.pick().success()
    one.close()
    two.close()
    clients = [row["client"] for row in rows(path)]
    assert (clients.count("one"), clients.count("two")) == (500, 500)


def test_a_full_disk_costs_rows_and_no_request():
    lb = trimtab.Balancer([A], log="/dev/full")
    for _ in range(10):
        lb.pick().success()
    lb.close()
    assert lb.counters.log_written == 0
    assert lb.counters.log_dropped == 10


def test_a_file_that_cannot_be_opened_costs_rows_and_no_request(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    lb = trimtab.Balancer([A], log=folder / "log.jsonl")
    shutil.rmtree(folder)
    with pytest.warns(RuntimeWarning, match=r"log\.jsonl.*rows are lost") as warned:
        for _ in range(10):
            lb.pick().success()
    assert len(warned) == 1
    assert lb.endpoints[0].successes == 10
    lb.close()
    assert (lb.counters.log_written, lb.counters.log_dropped) == (0, 10)


def test_a_warning_that_is_an_error_fails_no_request(tmp_path):
    path = tmp_path / "log.jsonl"
    program = f"""
import os, warnings, trimtab
warnings.simplefilter("error")
lb = trimtab.Balancer(["http://a:1"], log={str(path)!r} + ".d/log.jsonl")
os.rename({str(path)!r} + ".d", {str(path)!r} + ".e")
lb.pick().success()
print(lb.counters.log_dropped)
"""
    (tmp_path / "log.jsonl.d").mkdir()
    done = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True)
    assert done.stdout == b"1\n", done.stderr


@pytest.mark.parametrize(
    "end", ["", "raise KeyboardInterrupt", "import os; os.kill(os.getpid(), 2)"]
)
def test_the_end_of_the_process_flushes(tmp_path, end):
    path = tmp_path / "log.jsonl"
    program = f"""
import trimtab
lb = trimtab.Balancer(["http://a:1"], log={str(path)!r})
for _ in range(500):
    lb.pick().success()
{end}
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, check=False)
    assert len(rows(path)) == 500


def test_ctrl_c_is_heard_while_a_file_blocks(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR)  # so that opening it does not block
    lb = trimtab.Balancer([A], log=path)
    for _ in range(2000):  # more than a pipe holds
        lb.pick().success()
    old = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            lb.flush()
    finally:
        signal.signal(signal.SIGALRM, old)
        unread = b""
        while unread.count(b"\n") < 2000:
            unread += os.read(reader, 1 << 16)
        lb.close()
        os.close(reader)
    assert lb.counters.log_written == 2000
