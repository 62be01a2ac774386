"""The demo's mock replicas: real processes that are slowed down, killed and started again."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Self

from trimtab.demo.scenario import REPLICAS, Replica

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

START_TIMEOUT = 20.0


class ReplicaProcess:
    """One ``trimtab mock`` process on a port of its own."""

    def __init__(self, replica: Replica, port: int, seed: int) -> None:
        self.replica = replica
        self.address = f"http://127.0.0.1:{port}"
        self._command = [
            *(sys.executable, "-m", "trimtab.cli", "mock"),
            *("--port", str(port), "--preset", replica.preset, "--seed", str(seed)),
            *("--network-ms", str(replica.network_ms)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process; `ready` tells when it answers."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def kill(self) -> None:
        """Ends the process at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()
            self._process = None

    async def ready(self) -> None:
        """Waits until the replica answers its health check."""
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        while True:
            try:
                await asyncio.to_thread(self._get, "/health")
            except OSError:
                self._raise_if_ended()
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    async def slow_down(self, factor: float) -> None:
        """Makes each step of the replica take ``factor`` times as long; 1 ends it."""
        await asyncio.to_thread(self._post, "/faults", {"slow_down": factor})

    async def running(self) -> int:
        """Requests that the replica is working on or has queued."""
        text = await asyncio.to_thread(self._get, "/metrics")
        wanted = ("vllm:num_requests_running", "vllm:num_requests_waiting")
        lines = (line for line in text.splitlines() if line.startswith(wanted))
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)

    def _raise_if_ended(self) -> None:
        if self._process is None or self._process.poll() is None:
            return
        error = self._process.stderr.read().decode() if self._process.stderr else ""
        raise RuntimeError(f"replica {self.replica.name} ended at its start: {error.strip()}")

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(self.address + path, timeout=5) as answer:
            return str(answer.read().decode())

    def _post(self, path: str, body: dict[str, object]) -> None:
        request = urllib.request.Request(
            self.address + path,
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=5).close()


class Fleet:
    """All replicas; use it as an async context manager."""

    def __init__(self, seed: int) -> None:
        ports = free_ports(len(REPLICAS))
        self.replicas = [
            ReplicaProcess(replica, port, seed + n)
            for n, (replica, port) in enumerate(zip(REPLICAS, ports, strict=True))
        ]

    async def __aenter__(self) -> Self:
        for replica in self.replicas:
            replica.start()
        try:
            await asyncio.gather(*(replica.ready() for replica in self.replicas))
        except BaseException:
            self._kill_all()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kill_all()

    def __getitem__(self, name: str) -> ReplicaProcess:
        return next(r for r in self.replicas if r.replica.name == name)

    async def settle(self) -> None:
        """Waits until no replica has work left, so that one run does not burden the next."""
        while any([await r.running() for r in self.replicas]):  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # another process cannot set an event here

    def _kill_all(self) -> None:
        for replica in self.replicas:
            replica.kill()


def free_ports(count: int) -> Iterable[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()
