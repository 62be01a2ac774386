"""A balancer goes on in forked children: other random numbers, its own log, no lock left held."""

import json
import multiprocessing
import os
import shutil
import threading
import warnings

import pytest

import trimtab
from conftest import in_flight

A, B = "http://a:1", "http://b:1"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def picks(lb, count=64):
    chosen = []
    for _ in range(count):
        with lb.pick() as lease:
            chosen.append(lease.id)
    return chosen


def in_child(work):
    """What `work` returns, from a forked child."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(sink, json.dumps(work()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(sink)
    with os.fdopen(source) as answer:
        text = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(text)


def test_children_pick_otherwise_than_parent_and_siblings():
    lb = trimtab.Balancer([A, B], policy="random", seed=5)
    picks(lb, 3)
    first, second = in_child(lambda: picks(lb)), in_child(lambda: picks(lb))
    own = picks(lb)
    # Three sequences of 64 fair coins: two alike with a chance of 2e-19.
    assert len({tuple(first), tuple(second), tuple(own)}) == 3


def test_a_child_of_an_unused_balancer_picks_otherwise_too():
    lb = trimtab.Balancer([A, B], policy="random", seed=5)
    assert in_child(lambda: picks(lb)) != picks(lb)


def test_a_fork_does_not_change_the_parents_sequence():
    lb, other = (trimtab.Balancer([A, B], policy="random", seed=5) for _ in range(2))
    before = picks(lb, 3)
    in_child(lambda: picks(lb))
    assert before + picks(lb) == picks(other, 67)


def test_each_process_logs_what_it_did(tmp_path):
    path = tmp_path / "log.jsonl"
    lb = trimtab.Balancer([A, B], log=path, log_client="me")
    picks(lb, 100)

    def work():
        picks(lb, 50)
        lb.close()
        return [os.getpid(), lb.counters.log_written]

    child, written = in_child(work)
    picks(lb, 25)
    lb.close()
    clients = [json.loads(line)["client"] for line in path.read_text().splitlines()]
    assert written == 50
    assert clients.count("me") == 125
    assert clients.count(f"me:{child}") == 50


def test_a_child_without_its_log_file_goes_on(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    lb = trimtab.Balancer([A, B], log=folder / "log.jsonl")
    picks(lb, 10)
    lb.flush()
    shutil.rmtree(folder)

    def work():
        return [len(picks(lb, 20)), lb.counters.log_written, lb.counters.log_dropped]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert in_child(work) == [20, 0, 20]
    picks(lb, 5)
    lb.close()
    assert lb.counters.log_written == 15


def test_a_fork_in_the_middle_of_everything(tmp_path):
    lb = trimtab.Balancer([A, B], log=tmp_path / "log.jsonl", log_capacity=256)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            lb.pick().success()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):

            def child():
                picks(lb, 20)
                lb.close()
                return lb.counters.log_written

            assert in_child(child) == 20
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    lb.close()
    assert in_flight(lb) == 0


def send(lb, queue):
    queue.put(picks(lb, 10))


def test_multiprocessing():
    lb = trimtab.Balancer([A, B])
    picks(lb)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    children = [context.Process(target=send, args=(lb, queue)) for _ in range(3)]
    for child in children:
        child.start()
    for _ in children:
        assert len(queue.get()) == 10
    for child in children:
        child.join()
        assert child.exitcode == 0
