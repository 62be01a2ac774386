"""Training: logs in, a model and a report out."""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab._trimtab import Trainer
from trimtab.errors import ConfigError, ModelError
from trimtab.train import _logs, _parquet
from trimtab.train._table import percent, table

if TYPE_CHECKING:
    from collections.abc import Iterable

Report = dict[str, Any]


def train(
    logs: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    min_rows: int = 30,
    archetype_labels: Iterable[str] | None = None,
    tolerance: float = 0.25,
    note: str = "",
    progress: bool | None = None,
) -> Training:
    """Fits a routing table to decision logs.

    Args:
        logs: Files, directories and patterns: JSON lines (also ``.gz``, ``.zst``) or Parquet.
        out: Where the model goes; the file is replaced whole or not at all.
        min_rows: Rows below which a class on an archetype is left to the fallback policy.
        archetype_labels: The labels that make an archetype, as the balancer was told; by default
            those that the log has.
        tolerance: How much the costs of endpoints without labels may differ within one archetype,
            as a ratio.
        note: Where the model comes from, for people.
        progress: Whether to show a progress bar; by default on a terminal.

    Raises:
        LogError: A log cannot be read, lacks columns, or has no usable rows.
        ConfigError: A setting is out of range or does not fit the log.
        ModelError: The model cannot be written.
    """
    if not 1 <= min_rows <= 10**9:
        raise ConfigError(f"min_rows = {min_rows} must lie in [1, 1e9]")
    paths = _logs.find([logs] if isinstance(logs, str | os.PathLike) else logs)
    if out is not None:
        check_out(Path(out), paths)
    trainer = Trainer()
    bar = _logs.bar(paths, "training", show=progress)
    start = time.perf_counter()
    try:
        for path in paths:
            read(trainer, path, bar)
    finally:
        bar.close()
    labels = None if archetype_labels is None else list(archetype_labels)
    model, report = trainer.fit(
        min_rows=min_rows, archetype_labels=labels, tolerance=tolerance, note=note
    )
    training = Training(
        model=bytes(model),
        report=json.loads(report),
        wrong_rows=trainer.wrong_rows,
        seconds=time.perf_counter() - start,
    )
    if out is not None:
        training.save(out)
    return training


def check_out(out: Path, logs: Iterable[Path]) -> None:
    """Refuses what a model must not replace, before hours are spent on training."""
    if not out.absolute().parent.is_dir():
        raise ModelError(f"cannot write {out}: no such directory")
    if out.exists() and not out.is_file():
        raise ModelError(f"cannot write {out}: it is there and not a regular file")
    if out.exists() and any(out.samefile(log) for log in logs):
        raise ModelError(f"cannot write {out}: it is one of the logs")


def read(trainer: Trainer, path: Path, bar: _logs.Bar) -> None:
    """Folds one log into ``trainer``."""
    if _logs.is_parquet(path):
        _parquet.fold(trainer, path, bar.update)
        return
    trainer.open(_logs.spelled(path))
    for chunk in _logs.chunks(path, bar.update):
        trainer.push(chunk)
    trainer.close()


@dataclass(frozen=True, kw_only=True)
class Training:
    """A fitted model and what there is to say of it."""

    model: bytes
    """The model file's content; `trimtab.Balancer` takes it as ``model=`` too."""
    report: Report
    """Coverage, archetypes, gain and advice, by name."""
    wrong_rows: list[str]
    """The first rows that could not be used, as ``file:line: reason``."""
    seconds: float
    """How long reading and fitting took."""

    @property
    def advised(self) -> bool:
        """Whether the log speaks for enabling the model."""
        return bool(self.report["advice"]["enable"])

    def save(self, out: str | os.PathLike[str]) -> None:
        """Writes the model; a reader sees the old file or the new one, never a part."""
        path = Path(out)
        try:
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            temporary = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(self.model)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.chmod(0o644)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ModelError(f"cannot write {path}: {error.strerror or error}") from error

    def to_text(self) -> str:
        """The report for a person."""
        return "\n\n".join(_paragraphs(self))


def _paragraphs(training: Training) -> Iterable[str]:
    report = training.report
    yield _rows_read(training)
    rows = [
        (
            cell["class"],
            cell["archetype"],
            cell["rows"],
            cell["answered"],
            cell["censored"],
            cell["failed"],
            cell["service_ms"],
            cell["slope"],
            cell["p50_ms"],
            cell["p99_ms"],
            "yes" if cell["supported"] else f"no (< {report['min_rows']} rows)",
        )
        for cell in report["cells"]
    ]
    header = ["class", "archetype", "rows", "answered", "censored", "failed"]
    header += ["service ms", "slope", "p50 ms", "p99 ms", "supported"]
    yield "Coverage by cell (service without queues; p50 and p99 with them)\n" + table(header, rows)
    found = [
        (a["name"], a["endpoints"], a["mean_work_ms"], _members(a["members"]))
        for a in report["archetypes"]
    ]
    yield "Archetypes\n" + table(["archetype", "endpoints", "mean work ms", "members"], found)
    yield "\n".join(_summary(report))


def _rows_read(training: Training) -> str:
    report = training.report
    lines = [
        f"{report['rows']:,} rows read in {training.seconds:.1f} s"
        f" ({report['wrong']:,} wrong, {report['unclassified']:,} without a class)"
    ]
    if report["window"]:
        lines.append("from {} to {}".format(*map(moment, report["window"])))
    lines += [f"  wrong: {row}" for row in training.wrong_rows]
    more = report["wrong"] - len(training.wrong_rows)
    if training.wrong_rows and more > 0:
        lines.append(f"  ... and {more:,} more")
    return "\n".join(lines)


def _summary(report: Report) -> Iterable[str]:
    yield f"Archetype labels: {', '.join(report['archetype_labels'])}"
    if report["left_out"]:
        yield f"Left out for too few rows: {_members(report['left_out'])}"
    by_latency = [c["name"] for c in report["classes"] if c["basis"] == "latency"]
    if by_latency:
        yield (
            f"No server processing times for {', '.join(by_latency)}:"
            " costs are the lowest tenth of latency."
        )
    yield f"Traffic in supported cells: {percent(report['coverage'])}"
    gain = report["gain"]
    ratio = "unknown" if gain is None else f"{gain['ratio']:.2f} x the load of class-blind routing"
    yield f"Gain that the fitted costs allow: {ratio}"
    advice = report["advice"]
    yield f"Advice: {'enable it' if advice['enable'] else 'do not enable it'}"
    yield from (f"  {reason}" for reason in advice["reasons"])


def _members(members: list[str]) -> str:
    shown = ", ".join(members[:4])
    return f"{shown}, ... ({len(members)})" if len(members) > 4 else shown


def moment(unix: float) -> str:
    """A Unix time for people, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(unix))
