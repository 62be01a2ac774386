"""Many environments, stepped by one call into Rust."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from trimtab.errors import ConfigError
from trimtab.gym._worlds import Floats, Loads, Shown, Weights, Worlds, draw

if TYPE_CHECKING:
    from trimtab.sim._source import Scenario

Stepped = tuple[Floats, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class RoutingVectorEnv(VectorEnv[Floats, NDArray[np.int64], NDArray[Any]]):
    """Environments like `RoutingEnv`, all of one scenario and stepped by one call into Rust.

    ``gymnasium.make_vec("trimtab/Routing-v0", num_envs=64)`` makes one. It does what
    `gymnasium.vector.SyncVectorEnv` does with as many `RoutingEnv`: the same seeds give the same
    episodes, ``reset(seed=n)`` seeds them with n, n + 1, ... An environment whose episode has ended
    is reset at the next step (`AutoresetMode.NEXT_STEP`), whose action it does not take. ``info``
    has an array a key, and ``_key`` says which environments it is of.

    Args:
        num_envs: How many.
        scenario: As for `RoutingEnv`, and so are the others that are not here.
        max_episode_steps: The same as ``max_steps``, as gymnasium calls it; the lower one holds.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["ansi"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        scenario: Scenario | None = None,
        *,
        load: Loads | None = None,
        weights: Weights | None = None,
        time_scale: float = 1.0,
        max_steps: int | None = None,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs = {num_envs} must be at least 1")
        limits = [limit for limit in (max_steps, max_episode_steps) if limit is not None]
        self._worlds = Worlds(
            scenario,
            num_envs=num_envs,
            load=load,
            weights=weights,
            time_scale=time_scale,
            max_steps=min(limits, default=None),
        )
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.single_action_space = self._worlds.action_space()
        self.single_observation_space = self._worlds.observation_space()
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._generator_seeds = [-1] * num_envs
        self._seeds = np.zeros(num_envs, np.uint64)
        self._ended = np.zeros(num_envs, np.bool_)
        self._shown: Shown | None = None

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers' ids, by action."""
        return self._worlds.servers

    @property
    def features(self) -> tuple[str, ...]:
        """The names of an observation's entries."""
        return self._worlds.features

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Each environment's generator."""
        return tuple(self._generator(env) for env in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """What each environment's generator was seeded with."""
        for env in range(self.num_envs):
            self._generator(env)
        return tuple(self._generator_seeds)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Floats, dict[str, Any]]:
        """Starts an episode in each environment, or in those that ``options["reset_mask"]`` names.

        Args:
            seed: For the first one; the next have the next numbers. Or one for each.
            options: ``reset_mask``, an array of truth values, is all that is looked at.
        """
        given = options.get("reset_mask") if options else None
        resets = np.ones(self.num_envs, np.bool_) if given is None else self._mask(given)
        for env, own in enumerate(self._each(seed)):
            if resets[env]:
                if own is not None:
                    self._generators[env], self._generator_seeds[env] = seeding.np_random(own)
                self._seeds[env] = draw(self._generator(env))
        self._shown = shown = self._worlds.reset(resets, self._seeds)
        self._ended = self._ended & ~resets
        return shown.observations, _infos(shown, resets, resets)

    def step(self, actions: NDArray[np.int64]) -> Stepped:
        """Sends each environment's request to a server; see `gymnasium.vector.VectorEnv.step`."""
        resets = self._ended
        if resets.any():
            for env in np.flatnonzero(resets).tolist():
                self._seeds[env] = draw(self._generator(env))
        actions = np.ascontiguousarray(actions, np.int64)
        self._shown = shown = self._worlds.step(actions, resets, self._seeds)
        self._ended = shown.truncated.copy()
        terminated = np.zeros(self.num_envs, np.bool_)
        everywhere = np.ones(self.num_envs, np.bool_)
        infos = _infos(shown, everywhere, ~resets)
        return shown.observations, shown.rewards, terminated, shown.truncated, infos

    def render(self) -> tuple[str, ...] | None:
        """Each environment's fleet as a table, with the render mode ``"ansi"``."""
        if self.render_mode != "ansi" or self._shown is None:
            return None
        return tuple(self._worlds.text(env, self._shown) for env in range(self.num_envs))

    def _generator(self, env: int) -> np.random.Generator:
        generator = self._generators[env]
        if generator is None:
            generator, self._generator_seeds[env] = seeding.np_random()
            self._generators[env] = generator
        return generator

    def _each(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int):
            return range(seed, seed + self.num_envs)
        if len(seed) != self.num_envs:
            raise ConfigError(f"{len(seed)} seeds for {self.num_envs} environments")
        return seed

    def _mask(self, mask: Any) -> NDArray[np.bool_]:  # noqa: ANN401 - whatever a user gave
        resets = np.asarray(mask)
        if resets.dtype != np.bool_ or resets.shape != (self.num_envs,) or not resets.any():
            raise ConfigError(
                f"options['reset_mask'] must be an array of {self.num_envs} truth values, "
                "one of them true"
            )
        return np.ascontiguousarray(resets)


def _infos(shown: Shown, present: NDArray[np.bool_], stepped: NDArray[np.bool_]) -> dict[str, Any]:
    """The infos; ``present`` says whose are told, ``stepped`` which of these took a step."""
    infos: dict[str, Any] = {"action_mask": shown.masks, "_action_mask": present}
    for name, measure in shown.measures.items():
        infos[name] = measure
        infos[f"_{name}"] = present if name == "time" else stepped
    return infos
