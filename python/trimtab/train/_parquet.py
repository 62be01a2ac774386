"""Parquet logs as batches of columns for the Rust fold: buffers and codes, no object a row.

The schema is the one that pyarrow gives our JSON lines: `to_parquet` writes it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from trimtab.errors import LogError
from trimtab.train._logs import need_pyarrow, spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trimtab._trimtab import Evaluator, Trainer

Columns = dict[str, Any]
Buffer: TypeAlias = "memoryview[Any]"

TEXT = ("class", "chosen", "status", "archetype", "censored")
NUMBERS = ("ts", "latency_ms", "server_ms", "sample_weight")
NEEDED = ("class", "chosen", "latency_ms", "status")
TO_JUDGE = ("class", "chosen", "latency_ms", "status", "propensity", "candidates")
BATCH = 1 << 16
"""Rows in a batch: its columns stay in the processor's cache between decoding and folding."""


def fold(trainer: Trainer, path: Path, progress: Callable[[int], object]) -> None:
    """Folds a file for training."""
    with _Log(path, NEEDED) as log:
        names = log.present((*TEXT, *NUMBERS, "in_flight"))
        # What the file's statistics tell need not be read row by row.
        if (span := log.span("ts")) and 0 <= span[0] <= span[1] < 1e11:
            trainer.span(*span)
            names.remove("ts")
        if log.span("sample_weight") == (1.0, 1.0):
            names.remove("sample_weight")
        for first, batch in log.batches(names, progress):
            trainer.fold(spelled(path), first, _rows(batch))


def judge(evaluator: Evaluator, path: Path, progress: Callable[[int], object]) -> None:
    """Takes a file into account for evaluation: the same columns, and the candidates flattened."""
    with _Log(path, TO_JUDGE) as log:
        wanted = (*TEXT, "latency_ms", "sample_weight", "propensity", "eligible", "candidates")
        names = log.present(wanted)
        for first, batch in log.batches(names, progress):
            evaluator.fold(spelled(path), first, _rows(batch), _candidates(path, batch))


class _Log:
    """An open Parquet file with the columns that are needed."""

    def __init__(self, path: Path, needed: tuple[str, ...]) -> None:
        self._pyarrow = need_pyarrow("reading Parquet logs")
        import pyarrow.parquet as parquet

        self._path = path
        try:
            self._schema = parquet.read_schema(path)
        except (OSError, self._pyarrow.ArrowException) as error:
            raise LogError(f"{spelled(path)}: {error}") from error
        names = self._schema.names
        missing = [name for name in needed if name not in names]
        if "server_ms" in names and "latency_ms" in missing and "propensity" not in needed:
            missing.remove("latency_ms")
        if missing:
            columns = ", ".join(sorted(missing))
            raise LogError(f"{spelled(path)}: no row has the columns needed; missing: {columns}")
        types = self._pyarrow.types
        text = [n for n in TEXT if n in names and types.is_string(self._schema.field(n).type)]
        self._file = parquet.ParquetFile(path, memory_map=True, read_dictionary=text)

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._file.close()
        if isinstance(error, OSError | self._pyarrow.ArrowException):
            raise LogError(f"{spelled(self._path)}: {error}") from error

    def present(self, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if name in self._schema.names]

    def span(self, column: str) -> tuple[float, float] | None:
        """The least and greatest of a column without nulls, if the file's statistics tell."""
        metadata = self._file.metadata
        paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        if column not in paths or not metadata.num_row_groups:
            return None
        groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
        known: list[Any] = [group.column(paths.index(column)).statistics for group in groups]
        if not all(k is not None and k.has_min_max and k.null_count == 0 for k in known):
            return None
        return min(k.min for k in known), max(k.max for k in known)

    def batches(
        self, names: list[str], progress: Callable[[int], object]
    ) -> Iterator[tuple[int, Any]]:
        total = max(self._file.metadata.num_rows, 1)
        size, done, first = self._path.stat().st_size, 0, 1
        for batch in self._file.iter_batches(BATCH, columns=names, use_threads=False):
            yield first, batch
            first += batch.num_rows
            now = size * (first - 1) // total
            progress(now - done)
            done = now


def _rows(batch: Any) -> Columns:  # noqa: ANN401 - a RecordBatch
    def column(name: str) -> Any:  # noqa: ANN401 - an Array or None
        place = batch.schema.get_field_index(name)
        return None if place < 0 else batch.column(place)

    columns: Columns = {name: text(column(name)) for name in TEXT}
    for name in ("class", "chosen", "status"):
        columns[name] = columns[name] or nothing(batch.num_rows)
    columns |= {name: numbers(column(name)) for name in NUMBERS}
    columns["in_flight"] = counts(column("in_flight"))
    return columns


def _candidates(path: Path, batch: Any) -> Columns:  # noqa: ANN401 - a RecordBatch
    pyarrow = need_pyarrow("reading Parquet logs")
    listed = batch.column("candidates")
    if not hasattr(listed, "offsets") or not hasattr(listed.values, "field"):
        raise LogError(f"{spelled(path)}: candidates is not a list of structs")
    inside: Any = listed.values
    names = [field.name for field in inside.type]
    missing = [f"candidates.{name}" for name in ("endpoint", "in_flight") if name not in names]
    if missing:
        what = ", ".join(missing)
        raise LogError(f"{spelled(path)}: no row has the columns needed; missing: {what}")

    def of(name: str) -> Any:  # noqa: ANN401 - an Array or None
        return inside.field(name) if name in names else None

    columns: Columns = {name: text(of(name)) for name in ("endpoint", "archetype")}
    columns["endpoint"] = columns["endpoint"] or nothing(len(inside))
    for name in ("in_flight", "queue_delay_ms", "peak_ms", "weight", "eligible", "propensity"):
        columns[name] = numbers(of(name))
    columns["offsets"] = _buffer(listed.offsets.cast(pyarrow.int32()), "i")
    columns["chosen_propensity"] = numbers(batch.column("propensity")) or _nulls(batch.num_rows)
    eligible = batch.schema.get_field_index("eligible")
    columns["eligible_count"] = numbers(batch.column(eligible)) if eligible >= 0 else None
    return columns


def text(column: Any) -> tuple[Buffer, list[str]] | None:  # noqa: ANN401 - an Array or None
    """Codes (negative for null) and the dictionary; ``None`` for a column of nulls."""
    pyarrow = need_pyarrow("reading Parquet logs")
    if column is None or pyarrow.types.is_null(column.type):
        return None
    if pyarrow.types.is_dictionary(column.type) and column.dictionary.null_count:
        column = column.dictionary_decode()
    if not pyarrow.types.is_dictionary(column.type):
        column = column.cast(pyarrow.string()).dictionary_encode()
    codes = column.indices
    if codes.type != pyarrow.int32():
        codes = codes.cast(pyarrow.int32())
    if codes.null_count:
        codes = codes.fill_null(-1)
    return _buffer(codes, "i"), column.dictionary.to_pylist()


def numbers(column: Any) -> Buffer | None:  # noqa: ANN401 - an Array or None
    """64-bit floats, NaN for null; ``None`` for a column of nulls."""
    pyarrow = need_pyarrow("reading Parquet logs")
    if column is None or pyarrow.types.is_null(column.type):
        return None
    if pyarrow.types.is_boolean(column.type):
        column = column.cast(pyarrow.uint8())
    if column.type != pyarrow.float64():
        column = column.cast(pyarrow.float64())
    if column.null_count:
        column = column.fill_null(math.nan)
    return _buffer(column, "d")


def counts(column: Any) -> Buffer | None:  # noqa: ANN401 - an Array or None
    """64-bit integers, -1 for null; ``None`` for a column of nulls."""
    pyarrow = need_pyarrow("reading Parquet logs")
    if column is None or pyarrow.types.is_null(column.type):
        return None
    if column.type != pyarrow.int64():
        column = column.cast(pyarrow.int64())
    if column.null_count:
        column = column.fill_null(-1)
    return _buffer(column, "q")


def nothing(length: int) -> tuple[Buffer, list[str]]:
    """A column of text that is all null."""
    return memoryview(b"\xff" * (4 * length)).cast("i"), []


def _nulls(length: int) -> Buffer:
    pyarrow = need_pyarrow("reading Parquet logs")
    return _buffer(pyarrow.array([math.nan] * length, pyarrow.float64()), "d")


def _buffer(column: Any, kind: Literal["i", "q", "d"]) -> Buffer:  # noqa: ANN401 - an Array
    """The values of an array without nulls, not copied."""
    width = {"i": 4, "q": 8, "d": 8}[kind]
    data: Any = column.buffers()[1]
    start = column.offset * width
    whole: Any = memoryview(b"" if data is None else data)
    part: Buffer = whole[start : start + len(column) * width].cast(kind)
    return part
