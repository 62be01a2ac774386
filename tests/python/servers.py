"""A small HTTP/1.1 server for tests, in a thread of its own, that does as it is told."""

import asyncio
import contextlib
import json
import threading
from dataclasses import dataclass, field


@dataclass
class Seen:
    """A request as the server saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What to answer; chunks are sent one by one, the last only once `hold` is set."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=lambda: [b'{"ok": true}'])
    hold: threading.Event | None = None
    break_off: bool = False


CHUNK = (
    b'data: {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",'
    b' "choices": [{"index": 0, "delta": {"content": "%s"}, "finish_reason": null}]}\n\n'
)


def chat(seen: Seen) -> Answer:
    """Answers as OpenAI does, in one piece or as a stream."""
    if json.loads(seen.body).get("stream"):
        words = [CHUNK % word for word in (b"one", b"two", b"three")]
        return Answer(
            headers={"content-type": "text/event-stream"}, chunks=[*words, b"data: [DONE]\n\n"]
        )
    message = {"role": "assistant", "content": "hello"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    body = json.dumps({**whole, "choices": [choice]}).encode()
    return Answer(headers={"content-type": "application/json"}, chunks=[body])


class Server:
    """Serves until `close`; what it answers is `answer`, a function of the request."""

    def __init__(self, answer=lambda seen: Answer()):
        self.answer = answer
        self.seen: list[Seen] = []
        self.arrived = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        self._ready.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tasks = set()

        def connected(reader, writer):
            task = asyncio.ensure_future(self._serve(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader, writer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            try:
                while True:
                    await self._answer(await self._read(reader), writer)
            finally:
                writer.close()

    async def _read(self, reader) -> Seen:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        return Seen(method, target, headers, body)

    async def _answer(self, seen: Seen, writer) -> None:
        self.seen.append(seen)
        self.arrived.set()
        answer = self.answer(seen)
        headers = {"transfer-encoding": "chunked", **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} X", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        *first, last = answer.chunks or [b""]
        for chunk in first:
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        await writer.drain()
        if answer.hold is not None:
            await self._held(answer.hold, writer)
        if answer.break_off:
            writer.transport.abort()
            raise ConnectionError
        if last:
            writer.write(b"%x\r\n%s\r\n" % (len(last), last))
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _held(self, hold, writer) -> None:
        while not hold.is_set():
            await asyncio.sleep(0.005)  # an event of threads, not of this loop
            if writer.transport.is_closing():
                raise ConnectionError
