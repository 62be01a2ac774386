"""A table: a folder with scenarios, a page, raw data, and a ``table.py`` that makes them."""

from __future__ import annotations

import enum
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evidence import page, raw
from evidence.page import Column
from evidence.study import KEYS, Study

Course = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, float | None]]


class Mode(enum.Enum):
    """How a table is made."""

    FULL = "plays everything"
    SHORT = "plays little, into a temporary folder"
    PAGES = "fills the pages from the raw data that is there"


class Table:
    """One table being made. ``short`` tells whether only a taste of it is."""

    def __init__(
        self, folder: Path, mode: Mode, out: Path, only: Collection[str] | None = None
    ) -> None:
        self.folder = folder
        self.mode = mode
        self.out = out
        self.unmet: list[str] = []
        self._only = () if mode is Mode.PAGES else only
        self._known = {} if self._only is None else raw.read(folder)
        self._studies: dict[str, Study] = {}
        if out != folder:
            shutil.copy(folder / "README.md", out / "README.md")

    @property
    def short(self) -> bool:
        """Whether little is played, to see that it runs."""
        return self.mode is Mode.SHORT

    def study(
        self,
        name: str,
        scenario: str | Mapping[str, Any],
        *,
        policies: Sequence[str | Mapping[str, Any]] | None = None,
        loads: Sequence[float] | None = None,
        seeds: int = 10,
        short_seeds: int = 2,
        keep: Sequence[str] | None = None,
        course: Course | None = None,
    ) -> Study:
        """Plays a scenario and keeps its runs' figures under a name.

        Args:
            name: What the raw data calls it; each name once a table.
            scenario: A file in the table's folder, or a mapping as ``trimtab.sim.run`` takes it.
            policies: As ``trimtab.sim.run`` takes them; those of the scenario if left out.
            loads: Loads in place of the scenario's.
            seeds: How many repetitions.
            short_seeds: How many when little is played.
            keep: The figures to keep; all if left out.
            course: Figures to add to each run, read off its timeline and what each server did: both
                as `trimtab.sim.Results.document` has them.
        """
        if name in self._studies:
            raise ValueError(f"{self.folder.name}: the study `{name}` is there twice")
        if self._only is not None and name not in self._only:
            if name not in self._known:
                raise ValueError(f"{self.folder.name}: no raw data of `{name}`; play it first")
            self._studies[name] = self._known[name]
            return self._known[name]
        given = scenario if isinstance(scenario, Mapping) else self.folder / scenario
        count = min(seeds, short_seeds) if self.short else seeds
        began = time.monotonic()
        runs = _play(given, policies, loads, range(1, count + 1), keep, course)
        print(
            f"{self.folder.name}: {name}: {len(runs)} runs in {time.monotonic() - began:.0f} s",
            file=sys.stderr,
        )
        self._studies[name] = Study(name, runs)
        return self._studies[name]

    def compare(
        self,
        marker: str,
        study: Study,
        columns: Iterable[Column],
        *,
        load: float | None = None,
        policies: Sequence[str] | None = None,
        unranked: Sequence[str] = ("oracle",),
    ) -> None:
        """Fills a table of the page: a row a policy, a column a figure.

        The best of each column is bold, and what cannot be told from it, but for the ``unranked``.
        """
        columns = list(columns)
        shown = list(policies or study.policies)
        cells: dict[str, list[str]] = {policy: [] for policy in shown}
        for column in columns:
            found = {p: study.interval(p, column.metric, load) for p in shown}
            ranked = [p for p in shown if p not in unranked and column.lower_is_better]
            bold = {ranked[n] for n in page.best([found[p] for p in ranked])}
            for policy in shown:
                text = page.with_interval(found[policy], column.scale)
                cells[policy].append(f"**{text}**" if policy in bold else text)
        rows = [[f"`{policy}`", *cells[policy]] for policy in shown]
        self.write(marker, ["policy", *(column.title for column in columns)], rows)

    def write(self, marker: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Fills a table of the page with any rows."""
        page.fill(self.out / "README.md", marker, page.table(headers, rows))

    def expect(self, holds: bool, what: str) -> None:
        """Notes whether something holds that the page says; the command fails if it does not."""
        if not holds:
            self.unmet.append(what)

    def finish(self) -> None:
        """Writes the raw data."""
        unknown = set(self._only or ()) - self._studies.keys()
        if unknown:
            raise ValueError(f"{self.folder.name}: no study `{min(unknown)}`")
        if self.mode is not Mode.PAGES and self._studies:
            path = raw.write(self.out, self._studies.values())
            print(f"{self.folder.name}: {path}", file=sys.stderr)


def _play(
    scenario: Path | Mapping[str, Any],
    policies: Sequence[str | Mapping[str, Any]] | None,
    loads: Sequence[float] | None,
    seeds: Iterable[int],
    keep: Sequence[str] | None,
    course: Course | None,
) -> list[dict[str, Any]]:
    from trimtab import sim

    def play(seeds: list[int]) -> Any:
        results = sim.run(scenario, policies=policies, loads=loads, seeds=seeds, progress=False)
        return results.document

    def kept(run: Mapping[str, Any]) -> dict[str, Any]:
        return {key: run[key] for key in (run if keep is None else [*KEYS, *keep])}

    if course is None:
        return [kept(run) for run in play(list(seeds))["runs"]]
    # Results hold the courses of the first seed's runs only.
    runs = []
    for seed in seeds:
        document = play([seed])
        of_runs = zip(document["runs"], document["timelines"], document["endpoints"], strict=True)
        for run, timeline, endpoints in of_runs:
            if any(run[key] != timeline[key] or run[key] != endpoints[key] for key in KEYS):
                raise ValueError("runs and their courses do not go in step")
            runs.append({**kept(run), **course(timeline, endpoints)})
    order = {key: n for n, key in enumerate(dict.fromkeys(map(_kind, runs)))}
    return sorted(runs, key=lambda run: order[_kind(run)])


def _kind(run: Mapping[str, Any]) -> tuple[str, float | None]:
    return run["policy"], run["load"]
