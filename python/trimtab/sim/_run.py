"""Running a simulation."""

from __future__ import annotations

import contextlib
import json
import operator
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

from trimtab import _trimtab
from trimtab.errors import ScenarioError
from trimtab.sim import _source
from trimtab.sim._progress import Bar
from trimtab.sim._results import Results

if TYPE_CHECKING:
    from trimtab.sim._source import Scenario

Progress = Callable[[int, int], object]

Policy: TypeAlias = str | Mapping[str, Any]


def run(
    scenario: Scenario,
    *,
    policies: Iterable[Policy] | None = None,
    seeds: SupportsIndex | Iterable[int] = 10,
    loads: Iterable[float] | None = None,
    progress: Progress | bool | None = None,
    threads: int | None = None,
) -> Results:
    """Plays a scenario under every policy, at every load, with every seed.

    The GIL is let go meanwhile, and Ctrl-C stops it.

    Args:
        scenario: A TOML file, the name of one of `scenarios`, or the same as a mapping.
        policies: Names, as in ``trimtab.POLICIES``, labels of policies that the scenario lists, or
            mappings such as ``{"name": "least_request", "label": "of five", "options": {"choices":
            5}}``. The others are compared with the first. By default those that the scenario lists.
            ``oracle`` knows every queue: what no real policy can reach.
        seeds: How many repetitions (seeds 1, 2, ...), or the seeds. All policies meet the same
            arrivals under a seed.
        loads: Offered load as shares of the full load, such as ``[0.7, 0.9]``: of what the fleet
            can serve, or of the scenario's ``full_load``. By default what the scenario says.
        progress: Called with the runs that have ended and the runs in all, some ten times a second
            at most; or whether to show a progress bar, by default on a terminal.
        threads: How many runs at once; by default a run a processor. The results are the same.

    Raises:
        ScenarioError: The scenario, a policy, a load or a seed cannot be used; the message names
            the file, the line or key, and what is allowed.
    """
    source = _source.read(scenario)
    with contextlib.ExitStack() as stack:
        if progress is None:
            progress = sys.stderr.isatty()
        if isinstance(progress, bool):
            progress = stack.enter_context(Bar()) if progress else None
        return Results(
            _trimtab.simulate(
                source.toml,
                source.file,
                policies=None if policies is None else _policies(policies),
                loads=None if loads is None else _floats(loads),
                seeds=_seeds(seeds),
                threads=threads,
                progress=progress,
            )
        )


def _policies(policies: Iterable[Policy]) -> str:
    """The policies as JSON, each as a scenario would list it."""
    given = [policies] if isinstance(policies, str | Mapping) else list(policies)
    if not given:
        raise ScenarioError("policies must name at least one policy")
    try:
        return json.dumps([{"name": p} if isinstance(p, str) else {**p} for p in given])
    except TypeError as error:
        raise ScenarioError(f"policies must be names or mappings: {error}") from error


def _floats(loads: Iterable[float]) -> list[float]:
    found = [float(load) for load in loads]
    if not found:
        raise ScenarioError("loads must hold at least one load, such as 0.8")
    _each_once(found, "loads")
    return found


def _seeds(seeds: SupportsIndex | Iterable[int]) -> list[int]:
    if isinstance(seeds, Iterable):
        found = [operator.index(seed) for seed in seeds]
    else:
        found = list(range(1, operator.index(seeds) + 1))
    if not found:
        raise ScenarioError("seeds must be at least 1, or hold at least one seed")
    _each_once(found, "seeds")
    wrong = next((seed for seed in found if not 0 <= seed < 2**64), None)
    if wrong is not None:
        raise ScenarioError(f"the seed {wrong} must lie in [0, 2^64)")
    return found


def _each_once(found: Sequence[float], name: str) -> None:
    twice = next((value for n, value in enumerate(found) if value in found[:n]), None)
    if twice is not None:
        raise ScenarioError(f"{name}: {twice} is there twice")
