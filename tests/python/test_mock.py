"""The real `openai` package against the real mock server, and the command `trimtab mock`."""

import errno
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import openai
import pytest

import trimtab
from trimtab._trimtab import run_mock

ASK = {"model": "mock", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}


@contextmanager
def mock(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A mock server's process and its URL."""
    command = [sys.executable, "-m", "trimtab.cli", "mock", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert " on http://" in line, process.stderr.read()
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def replicas():
    with mock("--preset", "prefill-fast") as (_, one), mock("--preset", "decode-fast") as (_, two):
        yield [one, two]


def served(lb):
    return [endpoint.successes for endpoint in lb.endpoints]


def idle(lb):
    return all(endpoint.in_flight == 0 for endpoint in lb.endpoints)


def test_openai_sync(replicas):
    lb = trimtab.Balancer(replicas, policy="round_robin")
    http = httpx2.Client(transport=trimtab.httpx2.Transport(lb, load_reports=True))
    with openai.OpenAI(base_url="http://model/v1", api_key="none", http_client=http) as client:
        whole = client.chat.completions.create(**ASK)
        assert whole.usage.completion_tokens == 8
        stream = client.chat.completions.create(**ASK, stream=True)
        chunks = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
        assert "".join(chunks) == whole.choices[0].message.content
        assert client.completions.create(model="mock", prompt="Hello", max_tokens=4).choices
        assert [model.id for model in client.models.list()] == ["mock"]
    assert served(lb) == [2, 2]
    assert idle(lb)


async def test_openai_async_streams_at_once(replicas):
    import asyncio

    lb = trimtab.Balancer(replicas, policy="least_request")
    http = httpx2.AsyncClient(transport=trimtab.httpx2.AsyncTransport(lb))
    client = openai.AsyncOpenAI(base_url="http://model/v1", api_key="none", http_client=http)

    async def ask():
        stream = await client.chat.completions.create(**ASK, stream=True)
        return [chunk async for chunk in stream]

    async with client:
        answers = await asyncio.gather(*(ask() for _ in range(20)))
    assert all(answer[-1].choices[0].finish_reason == "length" for answer in answers)
    assert sum(served(lb)) == 20
    assert min(served(lb)) > 0
    assert idle(lb)


def test_the_servers_own_times_reach_the_log(replicas, tmp_path):
    log = tmp_path / "log.jsonl"
    with (
        trimtab.Balancer(replicas, log=log) as lb,
        httpx2.Client(transport=trimtab.httpx2.Transport(lb)) as client,
    ):
        assert client.post("http://model/v1/chat/completions", json=ASK).status_code == 200
    (row,) = map(json.loads, log.read_text().splitlines())
    assert 0 < row["server_ms"] <= row["latency_ms"]
    assert row["queue_ms"] >= 0


def test_a_replica_that_dies_loses_no_later_request(replicas):
    with mock() as (process, third):
        lb = trimtab.Balancer([*replicas, third], policy="round_robin")
        http = httpx2.Client(transport=trimtab.httpx2.Transport(lb))
        with openai.OpenAI(
            base_url="http://model/v1", api_key="none", http_client=http, max_retries=0
        ) as client:
            for _ in range(3):
                client.chat.completions.create(**ASK)
            process.kill()
            process.wait()
            # Its idle connection may break the one request that was about to use it.
            for _ in range(2):
                try:
                    client.chat.completions.create(**ASK)
                except openai.APIConnectionError:
                    break
            before = sum(served(lb))
            for _ in range(12):
                client.chat.completions.create(**ASK)
        assert sum(served(lb)) == before + 12
        assert idle(lb)


def test_ctrl_c_ends_it():
    with mock() as (process, _):
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
        assert process.returncode == 130
        assert error == ""


def test_ctrl_c_is_heard_while_it_says_that_it_is_ready():
    program = """
import signal
from trimtab._trimtab import run_mock
run_mock(
    "127.0.0.1", 0, "mid", seed=1, network_ms=0.0, model_name="m", max_waiting=1, faults="{}",
    on_ready=lambda url: signal.raise_signal(signal.SIGINT),
)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20
    )
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert "ignored" not in done.stderr


def test_faults_over_http():
    with mock("--faults", '{"fail_fast": true}') as (process, url):
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{url}/health")
        body = json.dumps({"exit_after_s": 0}).encode()
        urllib.request.urlopen(f"{url}/faults", data=body).close()
        process.wait(timeout=20)
        assert process.returncode == 1


def refused(*arguments: str) -> str:
    command = [sys.executable, "-m", "trimtab.cli", "mock", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_port_in_use_is_named(replicas):
    port = replicas[0].rsplit(":", 1)[1]
    said = refused("--port", port)
    assert said.startswith(f"trimtab: 127.0.0.1:{port} is in use")
    with pytest.raises(OSError, match="in use") as caught:
        run_mock(
            "127.0.0.1",
            int(port),
            "mid",
            seed=1,
            network_ms=0.0,
            model_name="m",
            max_waiting=1,
            faults="{}",
            on_ready=print,
        )
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "nope"], "known are mid"),
        (["--faults", '{"x": 1}'], "unknown fault `x`"),
        (["--faults", "{"], "not JSON"),
        (["--host", "nowhere"], "not an IP address"),
        (["--port", "65536"], "0 to 65535"),
        (["--network-ms", "-1"], "network_ms"),
        (["--network-ms", "nan"], "network_ms"),
        (["--max-waiting", "0"], "1 to 1000000"),
    ],
)
def test_bad_arguments_are_named(arguments, said):
    assert said in refused("--port", "0", *arguments)


def test_it_is_as_far_away_as_told():
    with mock("--network-ms", "200") as (_, url):
        lb = trimtab.Balancer([url])
        with httpx2.Client(transport=trimtab.httpx2.Transport(lb)) as client:
            client.get("http://model/v1/models").read()
        (endpoint,) = lb.endpoints
        assert endpoint.mean_latency >= 0.2
