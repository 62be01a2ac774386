"""What a simulation came to: tables, files, a page."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trimtab.errors import TrimtabError
from trimtab.sim import _text
from trimtab.sim._document import FORMAT, Document
from trimtab.sim._metrics import against, load_words
from trimtab.sim._table import Table, need_pyarrow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trimtab.sim._document import Load
    from trimtab.sim._table import Value


class Results:
    """The results of `trimtab.sim.run`; ``print(results)`` shows the table.

    The same scenario, policies, loads and seeds give the same results, to the byte.
    """

    def __init__(self, content: str) -> None:
        """Reads a result's JSON, as `to_json` writes it.

        Raises:
            TrimtabError: It is not a result of this format.
        """
        self._content = content
        self._document = _parsed(content)
        self._tables: dict[str, Table] = {}

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Results:
        """Reads a file that `to_json` wrote.

        Raises:
            TrimtabError: The file cannot be read or holds no result.
        """
        try:
            content = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TrimtabError(f"cannot read {os.fspath(path)}: {_why(error)}") from error
        try:
            return cls(content)
        except TrimtabError as error:
            raise TrimtabError(f"{os.fspath(path)}: {error}") from error

    @property
    def document(self) -> Document:
        """Everything, as parsed from the JSON; do not change it."""
        return self._document

    @property
    def policies(self) -> list[str]:
        """The policies, the one that the others are compared with first."""
        return list(self._document["policies"])

    @property
    def loads(self) -> list[Load]:
        """The loads, as shares of the full load; one None for the scenario's own rate."""
        return list(self._document["loads"])

    @property
    def seeds(self) -> list[int]:
        """The seeds, one a repetition."""
        return list(self._document["seeds"])

    @property
    def runs(self) -> Table:
        """A row a run: policy, load, seed, counts, latencies (``_ms``), shares (0 to 1)."""
        scenario = self._document["scenario"]
        about = {"trimtab.scenario": scenario["toml"], "trimtab.format": str(FORMAT)}
        return self._table("runs", lambda: Table.of_rows(self._document["runs"], about))

    @property
    def summary(self) -> Table:
        """A row a policy, load and metric: mean over seeds and its 95 % interval.

        ``ratio`` compares with the first policy under the same arrivals, with its own interval.
        """
        return self._table("summary", lambda: Table.of_rows(_summary(self._document)))

    @property
    def timelines(self) -> Table:
        """A row a policy, load and window of virtual time, with the first seed.

        ``rate_rps`` is of arrivals; errors and latencies are of what ended in the window.
        """
        return self._table("timelines", lambda: Table.of_rows(_timelines(self._document)))

    @property
    def endpoints(self) -> Table:
        """A row a policy, load and server, with the first seed: group, share, utilization."""
        return self._table("endpoints", lambda: Table.of_rows(_endpoints(self._document)))

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Everything as JSON, format 1; written to ``path`` too if it is given.

        Raises:
            TrimtabError: The file cannot be written.
        """
        if path is not None:
            _write(Path(path), self._content.encode())
        return self._content

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Writes `runs` as Parquet (zstd), with the scenario in the file's metadata.

        Raises:
            TrimtabError: pyarrow is not installed, or the file cannot be written.
        """
        need_pyarrow("writing Parquet")
        import pyarrow as pa
        import pyarrow.parquet as parquet

        sink = pa.BufferOutputStream()
        parquet.write_table(self.runs.to_arrow(), sink, compression="zstd")
        _write(Path(path), sink.getvalue().to_pybytes())

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """One self-contained page with charts; written to ``path`` too if it is given.

        Raises:
            TrimtabError: The file cannot be written.
        """
        from trimtab.sim._page import write

        page = write(self._document)
        if path is not None:
            _write(Path(path), page.encode())
        return page

    def __str__(self) -> str:
        return _text.table(self._document)

    def __repr__(self) -> str:
        d = self._document
        return (
            f"<Results of {d['scenario']['name']!r}: {', '.join(d['policies'])} at loads "
            f"{', '.join(map(load_words, d['loads']))}, {len(d['seeds'])} seeds>"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Results) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def __reduce__(self) -> tuple[type[Results], tuple[str]]:
        return Results, (self._content,)

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        from trimtab.sim._page.figures import table

        return table(self._document)

    def _table(self, name: str, make: Callable[[], Table]) -> Table:
        if name not in self._tables:
            self._tables[name] = make()
        return self._tables[name]


def _parsed(content: str) -> Document:
    try:
        document: Any = json.loads(content)
    except ValueError as error:
        raise TrimtabError(f"not a simulation's result: not JSON ({error})") from error
    if not isinstance(document, dict) or "runs" not in document or "format" not in document:
        raise TrimtabError("not a simulation's result: it lacks format and runs")
    if document["format"] != FORMAT:
        raise TrimtabError(
            f"a result of format {document['format']}, and this trimtab reads {FORMAT}: "
            "run the simulation again"
        )
    return cast("Document", document)


def _summary(document: Document) -> list[dict[str, Value]]:
    rows: list[dict[str, Value]] = []
    for one in document["summary"]:
        for metric, interval in one["metrics"].items():
            ratio = against(one, metric)
            paired: Mapping[str, Any] = ratio or {}
            rows.append(
                {
                    "policy": one["policy"],
                    "load": one["load"],
                    "metric": metric,
                    "mean": interval["mean"],
                    "low": interval["low"],
                    "high": interval["high"],
                    "against": (one["against"] or {}).get("policy"),
                    "ratio": paired.get("ratio"),
                    "ratio_low": paired.get("low"),
                    "ratio_high": paired.get("high"),
                }
            )
    return rows


def _timelines(document: Document) -> list[dict[str, Value]]:
    return [
        {
            "policy": one["policy"],
            "load": one["load"],
            "start_s": start,
            "window_s": one["window_s"],
            "rate_rps": one["rate_rps"][n],
            "error_rate": one["error_rate"][n],
            "p50_ms": one["p50_ms"][n],
            "p99_ms": one["p99_ms"][n],
            "in_flight": one["in_flight"][n],
        }
        for one in document["timelines"]
        for n, start in enumerate(one["start_s"])
    ]


def _endpoints(document: Document) -> list[dict[str, Value]]:
    return [
        {
            "policy": one["policy"],
            "load": one["load"],
            "id": name,
            "group": one["groups"][n],
            "share": one["share"][n],
            "utilization": one["utilization"][n],
        }
        for one in document["endpoints"]
        for n, name in enumerate(one["ids"])
    ]


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise TrimtabError(f"cannot write {path}: {_why(error)}") from error


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
