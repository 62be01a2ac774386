"""What the single and the vector environment share: options, spaces, arrays in and out of Rust."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from numpy.typing import NDArray

from trimtab._trimtab import RoutingEnvs
from trimtab.errors import ConfigError
from trimtab.sim import _source

if TYPE_CHECKING:
    from trimtab.sim._source import Scenario

Weights: TypeAlias = Mapping[str, float]
Loads: TypeAlias = float | Sequence[float]
Floats: TypeAlias = NDArray[np.float32]

WEIGHTS = {"response_time": 0.5, "error_rate": 0.3, "utilization": 0.2}


class Shown(NamedTuple):
    """What the environments show and brought, a row for each of them."""

    observations: Floats
    masks: NDArray[np.int8]
    rewards: NDArray[np.float64]
    truncated: NDArray[np.bool_]
    measures: dict[str, NDArray[Any]]
    """By name, of the step; only ``time`` after a reset."""


class Worlds:
    """Environments of one scenario, stepped in one call."""

    def __init__(
        self,
        scenario: Scenario | None,
        *,
        num_envs: int,
        load: Loads | None,
        weights: Weights | None,
        time_scale: float,
        max_steps: int | None,
    ) -> None:
        source = read(scenario)
        self._rust = RoutingEnvs(
            source.toml,
            source.file,
            num_envs=num_envs,
            loads=_loads(load),
            weights=_weights(weights),
            time_scale=float(time_scale),
            max_steps=max_steps if max_steps is None else _at_least_one("max_steps", max_steps),
        )
        self.count = num_envs
        self.servers = tuple(self._rust.servers)
        features = self._rust.features
        self.features = tuple(name for name, _, _ in features)
        self._low = np.array([low for _, low, _ in features], np.float32)
        self._high = np.array([high for _, _, high in features], np.float32)

    def action_space(self) -> Discrete:
        """One server."""
        return Discrete(len(self.servers))

    def observation_space(self) -> Space[Floats]:
        """One observation."""
        box: Any = Box(self._low, self._high, dtype=np.float32)
        space: Space[Floats] = box
        return space

    def reset(self, resets: NDArray[np.bool_], seeds: NDArray[np.uint64]) -> Shown:
        """Starts an episode in each environment that ``resets`` names."""
        observations, masks = self._arrays()
        times = np.empty(self.count)
        self._rust.reset(resets.view(np.uint8), seeds, observations, masks, times)
        nothing = np.zeros(self.count)
        return Shown(observations, masks, nothing, np.zeros(self.count, np.bool_), {"time": times})

    def step(
        self, actions: NDArray[np.int64], resets: NDArray[np.bool_], seeds: NDArray[np.uint64]
    ) -> Shown:
        """Takes each environment's action, or starts an episode where ``resets`` says so."""
        observations, masks = self._arrays()
        floats = np.empty((4, self.count))
        integers = np.empty((3, self.count), np.int64)
        truncated = np.empty(self.count, np.bool_)
        self._rust.step(
            actions,
            resets.view(np.uint8),
            seeds,
            observations,
            masks,
            floats,
            integers,
            truncated.view(np.uint8),
        )
        measures: dict[str, NDArray[Any]] = {
            "response_time": floats[1],
            "errors": integers[0],
            "completed": integers[1],
            "utilization": floats[2],
            "server": integers[2],
            "time": floats[3],
        }
        return Shown(observations, masks, floats[0], truncated, measures)

    def text(self, env: int, shown: Shown) -> str:
        """One environment's fleet as a table, for people."""
        row = dict(zip(self.features, shown.observations[env].tolist(), strict=True))
        held = self._rust.held(env) or [0] * len(self.servers)
        request = [name.removeprefix("class=") for name in row if name.startswith("class=")]
        request = [name for name in request if row[f"class={name}"]]
        lines = [
            f"{shown.measures['time'][env]:.3f} s, next request: {', '.join(request) or 'none'}",
            f"{'server':<20} {'may':>4} {'own':>6} {'holds':>6} {'latency':>8} {'errors':>7}",
        ]
        for place, name in enumerate(self.servers):
            may = "yes" if shown.masks[env, place] else "no"
            own, latency = row[f"{name}.in_flight"], row[f"{name}.mean_latency"]
            errors = row[f"{name}.error_rate"]
            lines.append(
                f"{name:<20} {may:>4} {own:>6.0f} {held[place]:>6} {latency:>8.3f} {errors:>7.1%}"
            )
        return "\n".join(lines) + "\n"

    def _arrays(self) -> tuple[Floats, NDArray[np.int8]]:
        """Fresh ones each time: users keep what they were given."""
        observations = np.empty((self.count, len(self.features)), np.float32)
        return observations, np.empty((self.count, len(self.servers)), np.int8)


def read(scenario: Scenario | None) -> _source.Source:
    """The text of a scenario: a file, a shipped one's name, TOML, a mapping, or the default one."""
    if scenario is None:
        text = resources.files("trimtab.gym").joinpath("default.toml").read_text(encoding="utf-8")
        return _source.Source(text, "default.toml")
    if isinstance(scenario, str) and "\n" in scenario:
        return _source.Source(scenario, "<text>")
    if not isinstance(scenario, str | os.PathLike | Mapping):
        kind = type(scenario).__name__
        raise ConfigError(f"scenario must be a path, TOML text or a mapping; it is a {kind}")
    return _source.read(scenario)


def draw(generator: np.random.Generator) -> int:
    """An episode's seed."""
    return int(generator.integers(1 << 63))


def _loads(load: Loads | None) -> list[float]:
    if load is None:
        return []
    given = list(load) if isinstance(load, Sequence) else [load]
    if not given or not all(isinstance(one, int | float) for one in given):
        raise ConfigError(f"load = {load!r} must be a number, or some, such as 0.8")
    return [float(one) for one in given]


def _weights(weights: Weights | None) -> tuple[float, float, float]:
    merged = {**WEIGHTS, **(weights or {})}
    if unknown := merged.keys() - WEIGHTS.keys():
        names = ", ".join(WEIGHTS)
        raise ConfigError(f"weights has no {min(unknown)!r}; it takes {names}")
    return merged["response_time"], merged["error_rate"], merged["utilization"]


def _at_least_one(name: str, number: int) -> int:
    if number < 1:
        raise ConfigError(f"{name} = {number} must be at least 1")
    return int(number)
