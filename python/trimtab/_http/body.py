"""Response bodies that keep their lease until they end.

The lease takes its latency at the body's first byte (unless the status is a failure, since a fast
500 must not look like a fast endpoint) and ends with the body: a success at its end, a failure if
it breaks, a cancellation if it is closed before. Two things end a body that is closed early: a
status that is a failure anyway, and the ``[DONE]`` of an event stream, after which clients stop to
read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from trimtab._classify import classify
from trimtab._http.report import Load, parse_load, parse_server_timing
from trimtab._retry_after import parse_retry_after
from trimtab._trimtab import Lease
from trimtab._verdict import Verdict

_DONE = b"[DONE]"
# "data: [DONE]" and the blank line after it fit in here.
_TAIL = 32


class _Body:
    """What the sync and the async body share: how a lease ends."""

    # What most answers do not tell.
    _retry_after: float | None = None
    _load: Load | None = None
    _queue: float | None = None
    _processing: float | None = None
    _size = 0
    _last = b""

    def __init__(self, response: Any, lease: Lease, failed: bool, load: bool) -> None:  # noqa: ANN401
        self._stream = response.stream
        self._lease = lease
        self._status: int = response.status_code
        self._failed = failed
        for name, value in response.headers.raw:
            read = _READ.get(name.lower())
            if read is not None:
                read(self, value.decode("latin-1"), load)

    def _read_retry_after(self, value: str, _load: bool) -> None:
        if self._failed:
            self._retry_after = parse_retry_after(value)

    def _read_load(self, value: str, load: bool) -> None:
        if load:
            self._load = parse_load(value)

    def _read_timing(self, value: str, _load: bool) -> None:
        self._queue, self._processing = parse_server_timing(value)

    def _finished(self) -> None:
        self._finish(Verdict.STATUS if self._failed else Verdict.SUCCESS)

    def _broke(self, error: BaseException) -> None:
        if self._failed:
            self._finished()
        elif isinstance(error, Exception):
            self._finish(classify(error)[0])
        else:
            self._left()

    def _left(self) -> None:
        if self._failed or _DONE in self._last[-_TAIL:]:
            self._finished()
        else:
            self._finish(Verdict.CANCELLED)

    def _finish(self, verdict: int) -> None:
        self._lease.finish(
            verdict,
            status=self._status,
            retry_after=self._retry_after,
            server_processing=self._processing,
            server_queue=self._queue,
            load=self._load,
            bytes=self._size,
        )


# One pass over an answer's headers finds them all.
_READ: dict[bytes, Callable[[_Body, str, bool], None]] = {
    b"retry-after": _Body._read_retry_after,
    b"endpoint-load-metrics": _Body._read_load,
    b"server-timing": _Body._read_timing,
}


class Body(_Body):
    """A body that is read by a sync client."""

    def __iter__(self) -> Iterator[bytes]:
        """Read the body."""
        try:
            for chunk in self._stream:
                if not self._size and not self._failed:
                    self._lease.first_byte()
                self._size += len(chunk)
                self._last = chunk
                yield chunk
        except BaseException as error:
            self._broke(error)
            raise
        self._finished()

    def close(self) -> None:
        """Let go of the connection; a body that has not ended is cancelled."""
        if not self._lease.ended:
            self._left()
        self._stream.close()


class AsyncBody(_Body):
    """A body that is read by an async client."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Read the body."""
        chunks = self._stream.__aiter__()
        try:
            async for chunk in chunks:
                if not self._size and not self._failed:
                    self._lease.first_byte()
                self._size += len(chunk)
                self._last = chunk
                yield chunk
        except BaseException as error:
            self._broke(error)
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
            raise
        self._finished()

    async def aclose(self) -> None:
        """Let go of the connection; a body that has not ended is cancelled."""
        if not self._lease.ended:
            self._left()
        await self._stream.aclose()
