"""A scenario out of one's own decision logs: arrivals replayed, service costs fitted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab._trimtab import ScenarioFromLogs
from trimtab.errors import LogError, ScenarioError
from trimtab.train import _logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

COLUMNS = (
    *("class", "chosen", "archetype", "status", "censored", "client", "kind", "attempt"),
    *("sequence", "ts", "latency_ms", "server_ms", "queue_ms", "deadline_ms", "in_flight"),
    *("sample_weight", "policy"),
)
"""What is read of a Parquet log, beside the candidates."""

SHARED = ("endpoint", "archetype", "zone", "weight")
BATCH = 1 << 14
CANDIDATES_EVERY = 64
"""Rows of a Parquet log whose candidates are looked at: they name the same endpoints over again."""


def from_logs(
    logs: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    progress: bool | None = None,
) -> Path:
    """Writes ``scenario.toml`` and ``arrivals.csv``, made of decision logs, into a folder.

    Taken as logged: the first attempt of each request with its time and class, the endpoints by
    archetype and zone, the number of clients. Fitted: how the servers queue, what each class costs
    on each archetype, the network's round trip, the timeout. Assumed: that every client wrote its
    log (a sampled one is filled up), that clocks agree, and that nobody else uses the servers.
    Failures are not rebuilt. The scenario's comments say all this with the log's own numbers.

    Args:
        logs: Files, directories and patterns: JSON lines (also ``.gz``, ``.zst``) or Parquet.
        out: The folder, which is made if it is not there.
        progress: Whether to show a progress bar; by default on a terminal.

    Returns:
        The scenario's path, for `run`.

    Raises:
        LogError: A log cannot be read, lacks columns, has a clock that was set back, or too few
            rows to fit anything to.
        ScenarioError: The folder cannot be written, or lies among the logs.
    """
    given = [logs] if isinstance(logs, str | os.PathLike) else list(logs)
    paths = _logs.find(given)
    folder = Path(out)
    for log in map(Path, given):
        if log.is_dir() and folder.resolve().is_relative_to(log.resolve()):
            raise ScenarioError(f"cannot write to {folder}: it lies among the logs, in {log}")
    reader = ScenarioFromLogs()
    bar = _logs.bar(paths, "reading", show=progress)
    try:
        for path in paths:
            _read(reader, path, bar.update)
    finally:
        bar.close()
    scenario = Path(reader.write(folder))
    if reader.wrong:
        print(f"trimtab: {reader.wrong:,} wrong rows are left out:", file=sys.stderr)
        for row in reader.wrong_rows:
            print(f"  {row}", file=sys.stderr)
    return scenario


def _read(reader: ScenarioFromLogs, path: Path, progress: Callable[[int], object]) -> None:
    reader.open(_logs.spelled(path))
    if _logs.is_parquet(path):
        for lines in _parquet_lines(path):
            reader.push(lines)
        progress(path.stat().st_size)
    else:
        for chunk in _logs.chunks(path, progress):
            reader.push(chunk)
    reader.close()


def _parquet_lines(path: Path) -> Iterable[bytes]:
    """The rows as JSON lines: a row's number is its line's."""
    pyarrow = _logs.need_pyarrow("reading Parquet logs")
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as file:
            known = file.schema_arrow.names
            columns = [name for name in (*COLUMNS, "candidates") if name in known]
            for batch in file.iter_batches(BATCH, columns=columns):
                yield "".join(map(_line, range(batch.num_rows), batch.to_pylist())).encode()
    except (OSError, pyarrow.ArrowException) as error:
        raise LogError(f"{_logs.spelled(path)}: {error}") from error


def _line(number: int, row: dict[str, Any]) -> str:
    candidates = row.pop("candidates", None)
    if candidates and number % CANDIDATES_EVERY == 0:
        row["candidates"] = [{name: c.get(name) for name in SHARED} for c in candidates]
    return json.dumps(row) + "\n"
