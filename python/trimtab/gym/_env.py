"""The environment by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np

from trimtab.gym._worlds import Floats, Loads, Shown, Weights, Worlds, draw

if TYPE_CHECKING:
    from trimtab.sim._source import Scenario


class RoutingEnv(gymnasium.Env[Floats, np.int64]):
    """Routes the requests of a simulated fleet, one a step.

    A step is one decision: the server for the attempt (a request's first one, a retry or a hedge)
    that the observation shows. Then the simulation goes on to the next one. An episode is
    truncated, never terminated, at the scenario's end, once the last request has ended, or after
    ``max_steps``, with what is under way left out. The same seed and actions give the same
    episode.

    **Action**, ``Discrete(servers)``: the server; ``servers`` has their ids.
    ``info["action_mask"]`` is 1 for those that may be chosen, as ``action_space.sample(mask)``
    takes it: listed by discovery, not ejected, not tried by this request. To one that is masked
    nothing is sent: the balancer draws another, and ``info["server"]`` says which.

    **Observation**, ``Box(float32)``: one flat vector, since that is what networks take and what
    is fastest to write for many environments at once. ``features`` has the name of each entry.
    Only what the client of the request can know by itself is in it. First the request's and the
    client's own entries, then the same ones for each server: with n entries a server,
    ``observation[-len(servers) * n:].reshape(-1, n)`` is a row a server. Entries, bounds:

    ===================== ================================================================= =======
    ``time_sin``          time of day, as the scenario's ``day`` (24 h if it has none)      -1 to 1
    ``time_cos``                                                                            -1 to 1
    ``rate``              the client's requests/s over its mean share of the scenario's     0, 100
    ``mean_latency``      what its requests took, in ``time_scale``                         0, 1000
    ``error_rate``        the part of them that failed                                      0 to 1
    ``attempt``           attempts of this request before this one                          0, 100
    ``prompt_ktokens``    thousands of tokens in the prompt (with LLM servers)              0, 1e4
    ``class=NAME``        1 for the request's class                                         0 or 1
    ``region=NAME``       1 for where the client is (with clients in several places)        0 or 1
    ``ID.up``             1 if listed and not ejected                                       0 or 1
    ``ID.in_flight``      the client's own requests there                                   0, 1e6
    ``ID.mean_latency``   moving average (to the first byte), in ``time_scale``             0, 1000
    ``ID.peak_latency``   the same as peak-EWMA: what to expect now, failures included      0, 1000
    ``ID.error_rate``     failures over answers in the last ten seconds                     0 to 1
    ``ID.round_trip``     the network's round trip, in ``time_scale`` (with a network)      0, 1000
    ``ID.archetype=NAME`` 1 for the kind of server it is said to be                         0 or 1
    ===================== ================================================================= =======

    The client's averages are over about its last 60 requests. What was not measured yet is 0; what
    is out of bounds is cut. With several clients in the scenario the agent routes for all of them,
    and sees each request as its client does.

    **Reward**: ``-(0.5 * response_time + 0.3 * errors + 0.2 * utilization)``, its parts in
    ``info``: the response times of the requests that ended since the last step, summed, in
    ``time_scale``; how many of them failed; and the part of the fleet's workers, cores or sequence
    slots that was in use when the action was taken, the mean over the listed servers. Each request
    counts once, when it ends, so that the return of an episode over its steps is ``-(0.5 * mean
    response time + 0.3 * error rate + 0.2 * mean utilization)`` of all of it. A request that
    failed counts its whole timeout as its response time: failing fast never pays. Requests that
    callers gave up do not count.

    ``info`` further has ``completed``, the number of requests that ended, and ``time``, the
    virtual seconds since the episode began. After a reset it has only ``action_mask`` and ``time``.

    Args:
        scenario: A TOML file, the name of one of `trimtab.sim.scenarios`, TOML text (with a line
            break), or a mapping. By default a small one: eight servers of two kinds, two classes
            of requests, each fast at one kind.
        load: Offered load as a share of the fleet's capacity, in place of the scenario's. Several:
            each episode draws one.
        weights: Of the reward's parts, in place of ``{"response_time": 0.5, "error_rate": 0.3,
            "utilization": 0.2}``; what is left out stays.
        time_scale: Seconds that response times and latencies are told in.
        max_steps: Steps after which an episode is truncated; by default at the scenario's end.
        render_mode: ``"ansi"`` for a table of the fleet as text.

    Raises:
        ScenarioError: The scenario cannot be read or run; the message names the file, the line or
            key, and what is allowed.
        ConfigError: Another argument, or an action, that cannot be used.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 4}  # type: ignore[misc]

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        load: Loads | None = None,
        weights: Weights | None = None,
        time_scale: float = 1.0,
        max_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self._worlds = Worlds(
            scenario,
            num_envs=1,
            load=load,
            weights=weights,
            time_scale=time_scale,
            max_steps=max_steps,
        )
        self.action_space = self._worlds.action_space()
        self.observation_space = self._worlds.observation_space()
        self.render_mode = render_mode
        self._shown: Shown | None = None
        self._action = np.zeros(1, np.int64)
        self._goes_on = np.zeros(1, np.bool_)
        self._seed = np.zeros(1, np.uint64)

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers' ids, by action."""
        return self._worlds.servers

    @property
    def features(self) -> tuple[str, ...]:
        """The names of an observation's entries."""
        return self._worlds.features

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Starts an episode; see `gymnasium.Env.reset`."""
        super().reset(seed=seed, options=options)
        seeds = np.array([draw(self.np_random)], np.uint64)
        self._shown = shown = self._worlds.reset(np.ones(1, np.bool_), seeds)
        info = {"action_mask": shown.masks[0], "time": shown.measures["time"].item()}
        return shown.observations[0], info

    def step(self, action: np.int64 | int) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Sends the request to a server and goes on to the next; see `gymnasium.Env.step`."""
        self._action[0] = action
        self._shown = shown = self._worlds.step(self._action, self._goes_on, self._seed)
        info: dict[str, Any] = {"action_mask": shown.masks[0]}
        for name, measure in shown.measures.items():
            info[name] = measure.item()
        reward, truncated = shown.rewards.item(), shown.truncated.item()
        return shown.observations[0], reward, False, truncated, info

    def render(self) -> str | None:
        """The fleet as a table, with the render mode ``"ansi"``."""
        if self.render_mode != "ansi" or self._shown is None:
            return None
        return self._worlds.text(0, self._shown)
