"""A gymnasium environment for routing: a simulated fleet in which an agent picks the servers.

>>> import gymnasium
>>> import trimtab.gym  # registers "trimtab/Routing-v0"
>>> env = gymnasium.make("trimtab/Routing-v0", scenario="scenario.toml", load=0.9)
>>> observation, info = env.reset(seed=1)
>>> action = env.action_space.sample(info["action_mask"])
>>> observation, reward, terminated, truncated, info = env.step(action)

Many at once, stepped in Rust by one call:

>>> envs = gymnasium.make_vec("trimtab/Routing-v0", num_envs=64)

Gymnasium 1.0 and later look for no plugins, so this module has to be imported; in one line,
``gymnasium.make("trimtab.gym:trimtab/Routing-v0")``.

`RoutingEnv` says what is observed and rewarded. A baseline to beat is the server with the fewest of
the client's own requests; it does better than random choice and does not see the request's class:

>>> own = [env.unwrapped.features.index(f"{name}.in_flight") for name in env.unwrapped.servers]
>>> action = np.where(info["action_mask"], observation[own], np.inf).argmin()
"""

try:
    import gymnasium
    import numpy  # noqa: F401
except ImportError as error:
    raise ImportError("trimtab.gym needs gymnasium: pip install trimtab[gym]") from error

from trimtab.gym._env import RoutingEnv
from trimtab.gym._vector import RoutingVectorEnv

__all__ = ["ENV_ID", "RoutingEnv", "RoutingVectorEnv"]

ENV_ID = "trimtab/Routing-v0"

if ENV_ID not in gymnasium.registry:
    gymnasium.register(
        ENV_ID,
        entry_point="trimtab.gym:RoutingEnv",
        vector_entry_point="trimtab.gym:RoutingVectorEnv",
    )
