"""Raw data: a run's figures as rows, in JSON that is the same for the same runs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evidence.study import Study

# Larger files are compressed.
PLAIN_UP_TO = 100_000


def write(folder: Path, studies: Iterable[Study]) -> Path:
    """Writes ``results.json``, or ``results.json.gz`` if it is large; six significant digits."""
    content = {"format": 1, "studies": {study.name: _rows(study) for study in studies}}
    text = _text(content).encode()
    plain, compressed = folder / "results.json", folder / "results.json.gz"
    if len(text) <= PLAIN_UP_TO:
        compressed.unlink(missing_ok=True)
        plain.write_bytes(text)
        return plain
    plain.unlink(missing_ok=True)
    compressed.write_bytes(gzip.compress(text, 9, mtime=0))
    return compressed


def read(folder: Path) -> dict[str, Study]:
    """The studies that `write` wrote.

    Raises:
        FileNotFoundError: There are none.
    """
    compressed = folder / "results.json.gz"
    if compressed.exists():
        content = json.loads(gzip.decompress(compressed.read_bytes()))
    else:
        content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {
        name: Study(name, [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]])
        for name, found in content["studies"].items()
    }


def _rows(study: Study) -> dict[str, Any]:
    columns = list(study.runs[0])
    rows = [[_rounded(run[column]) for column in columns] for run in study.runs]
    return {"columns": columns, "rows": rows}


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _text(content: dict[str, Any]) -> str:
    """A line a run, so that a change of one shows as one."""
    studies = []
    for name, found in content["studies"].items():
        rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in found["rows"])
        columns = json.dumps(found["columns"])
        studies.append(f'{json.dumps(name)}: {{"columns": {columns}, "rows": [\n{rows}]}}')
    return f'{{"format": {content["format"]}, "studies": {{\n' + ",\n".join(studies) + "}}\n"
