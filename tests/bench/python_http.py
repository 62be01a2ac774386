"""What the transports add to httpx2 and httpx: requests a second and CPU a request.

A small server runs in another process, on the loopback. The bare client and the one with the
balancer's transport (over that one endpoint) take turns, round after round, with the same limits; a
97-byte POST is answered with 240 bytes. CPU is this process's own, user and system. Medians of the
rounds, and for CPU their minima too: whatever else the machine does can only add to it.

The figures of "memory" leave the network out: the library's transport is replaced by one that
answers at once, on both sides. They tell what the adapter itself costs, with little noise.

    python tests/bench/python_http.py [--json FILE]
"""

import argparse
import asyncio
import json
import multiprocessing
import platform
import statistics
import time

import httpx
import httpx2

import trimtab
import trimtab.httpx
import trimtab.httpx2

BODY = b"x" * 97
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 240\r\n\r\n" + b"y" * 240
LIBRARIES = {"httpx2": (httpx2, trimtab.httpx2), "httpx": (httpx, trimtab.httpx)}
LIMITS = {"max_connections": 1000, "max_keepalive_connections": 100}


class Echo(asyncio.Protocol):
    """Answers each request once its body is here."""

    def connection_made(self, transport):
        self.transport, self.read = transport, b""

    def data_received(self, data):
        self.read += data
        while True:
            _head, end, rest = self.read.partition(b"\r\n\r\n")
            if not end or len(rest) < len(BODY):
                return
            self.read = rest[len(BODY) :]
            self.transport.write(ANSWER)


def serve(ports):
    async def run():
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Echo, "127.0.0.1", 0) for _ in range(2)]
        ports.put([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.Event().wait()

    asyncio.run(run())


async def async_round(client, url, count, concurrency):
    left = iter(range(count))

    async def worker():
        for _ in left:
            answer = await client.post(url, content=BODY)
            assert answer.status_code == 200

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return (time.perf_counter() - wall) / count, (time.process_time() - cpu) / count


def sync_round(client, url, count):
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        assert client.post(url, content=BODY).status_code == 200
    return (time.perf_counter() - wall) / count, (time.process_time() - cpu) / count


def canned(library, base):
    """The library's async transport, answering from memory."""

    class Body(library.AsyncByteStream):
        async def __aiter__(self):
            yield b"y" * 240

    class Canned(base):
        async def handle_async_request(self, request):
            # What the real one reads.
            url = request.url
            _ = (url.raw_scheme, url.raw_host, url.port, url.raw_path, request.headers.raw)
            headers = [(b"content-type", b"text/plain"), (b"content-length", b"240")]
            return library.Response(200, headers=headers, stream=Body())

    return Canned


async def measure(urls, rounds, count):
    """Each library, sync and async: the bare client and the balanced one in turn."""
    results = []
    for name, (library, adapter) in LIBRARIES.items():
        limits = library.Limits(**LIMITS)
        lb = trimtab.Balancer(urls[:1])
        bare = library.Client(transport=library.HTTPTransport(limits=limits))
        balanced = library.Client(transport=adapter.Transport(lb))
        abare = library.AsyncClient(transport=library.AsyncHTTPTransport(limits=limits))
        abalanced = library.AsyncClient(transport=adapter.AsyncTransport(lb))
        memory = canned(library, library.AsyncHTTPTransport)
        over_memory = type("Transport", (adapter.AsyncTransport,), {"_own": memory})
        mbare = library.AsyncClient(transport=memory())
        mbalanced = library.AsyncClient(transport=over_memory(lb))
        kinds = (("memory", 1), ("sync", 1), ("async", 1), ("async", 32))
        for kind, concurrency in kinds:
            samples = {"bare": [], "trimtab": []}
            size = count if name == "httpx2" or concurrency == 1 else count // 3
            for turn in range(rounds + 1):
                pairs = [("bare", bare, abare), ("trimtab", balanced, abalanced)]
                if kind == "memory":
                    pairs = [("bare", None, mbare), ("trimtab", None, mbalanced)]
                for which, client, aclient in pairs if turn % 2 else reversed(pairs):
                    if kind == "sync":
                        sample = sync_round(client, urls[0], size)
                    else:
                        sample = await async_round(aclient, urls[0], size, concurrency)
                    if turn:  # the first round warms up
                        samples[which].append(sample)
            results.append(summary(name, kind, concurrency, samples))
        bare.close()
        balanced.close()
        await abare.aclose()
        for client in (abalanced, mbare, mbalanced):
            await client.aclose()
    return results


def summary(name, kind, concurrency, samples):
    figures = {
        which: {
            "requests_per_second": 1 / statistics.median(wall for wall, _ in taken),
            "cpu_us": statistics.median(cpu for _, cpu in taken) * 1e6,
            "least_cpu_us": min(cpu for _, cpu in taken) * 1e6,
        }
        for which, taken in samples.items()
    }
    bare, balanced = figures["bare"], figures["trimtab"]
    added = {name: balanced[name] - bare[name] for name in ("cpu_us", "least_cpu_us")}
    print(
        f"{name:7} {kind:6} {concurrency:3}  "
        f"bare {bare['requests_per_second']:6.0f}/s {bare['cpu_us']:6.0f} us   "
        f"trimtab {balanced['requests_per_second']:6.0f}/s {balanced['cpu_us']:6.0f} us   "
        f"adds {added['cpu_us']:6.1f} us CPU (least {added['least_cpu_us']:6.1f}), "
        f"{balanced['requests_per_second'] / bare['requests_per_second']:.3f} of the requests/s",
        flush=True,
    )
    return {
        "client": name,
        "kind": kind,
        "concurrency": concurrency,
        "figures": figures,
        "added": added,
        "samples_seconds_wall_cpu": samples,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=600, help="requests a round")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ports = context.SimpleQueue()
    server = context.Process(target=serve, args=(ports,), daemon=True)
    server.start()
    urls = [f"http://127.0.0.1:{port}" for port in ports.get()]
    try:
        results = asyncio.run(measure(urls, options.rounds, options.count))
    finally:
        server.terminate()
        server.join()
    if options.json:
        with open(options.json, "w") as file:  # noqa: PTH123
            json.dump(
                {
                    "command": "python tests/bench/python_http.py",
                    "python": platform.python_version(),
                    "machine": platform.processor() or platform.machine(),
                    "versions": {
                        "trimtab": trimtab.__version__,
                        "httpx": httpx.__version__,
                        "httpx2": httpx2.__version__,
                    },
                    "rounds": options.rounds,
                    "count": options.count,
                    "results": results,
                },
                file,
                indent=1,
            )


if __name__ == "__main__":
    main()
