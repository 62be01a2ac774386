"""A table learns to route: Q-learning on the default scenario of ``trimtab.gym``, in some seconds.

    pip install trimtab[gym]
    python examples/learn_routing.py

The state is the request's class and how many requests the least loaded server of each kind has of
ours, cut at a few; the action is the kind, and the request goes to its least loaded server. So the
table has 2 x 5 x 5 x 2 numbers. Its return is compared with that of random choice and of the server
with the fewest requests in flight.
"""

import gymnasium
import numpy as np

import trimtab.gym  # registers the environment

CUT = 5
DISCOUNT = 0.9


class Fleet:
    """Where things stand in an observation."""

    def __init__(self, envs):
        features, servers = envs.unwrapped.features, envs.unwrapped.servers
        self.write = features.index("class=write")
        self.own = [features.index(f"{server}.in_flight") for server in servers]
        self.kinds = [
            [place for place, server in enumerate(servers) if server.startswith(kind)]
            for kind in ("reader", "writer")
        ]

    def states(self, observations):
        """The state of each environment, as a number."""
        own = observations[:, self.own]
        readers, writers = (own[:, kind].min(axis=1).clip(0, CUT - 1) for kind in self.kinds)
        return ((observations[:, self.write] * CUT + readers) * CUT + writers).astype(int)

    def servers(self, observations, kinds):
        """The least loaded server of a kind, for each environment."""
        own = observations[:, self.own]
        least = [np.array(kind)[own[:, kind].argmin(axis=1)] for kind in self.kinds]
        return np.where(kinds == 0, *least)


def learn(steps=3000, num_envs=32, seed=1):
    """Q-learning on many environments at once."""
    envs = gymnasium.make_vec(trimtab.gym.ENV_ID, num_envs=num_envs)
    fleet, random = Fleet(envs), np.random.default_rng(seed)
    table = np.zeros((2 * CUT * CUT, 2))
    observations, _ = envs.reset(seed=seed)
    states = fleet.states(observations)
    ended = np.zeros(num_envs, bool)
    for step in range(steps):
        explore = random.random(num_envs) < max(0.05, 1 - 2 * step / steps)
        kinds = np.where(explore, random.integers(2, size=num_envs), table[states].argmax(axis=1))
        observations, rewards, _, truncated, _ = envs.step(fleet.servers(observations, kinds))
        after = fleet.states(observations)
        goals = rewards + DISCOUNT * table[after].max(axis=1)
        rate = 0.02 * (1 - step / steps) + 0.001
        # The step after an episode's end is the reset of the next one: nothing was chosen.
        for env in np.flatnonzero(~ended):
            cell = states[env], kinds[env]
            table[cell] += rate * (goals[env] - table[cell])
        states, ended = after, truncated
    return table


def returns(choose, episodes=16, seed=1000):
    """The mean return of an episode each in as many environments."""
    envs = gymnasium.make_vec(trimtab.gym.ENV_ID, num_envs=episodes)
    fleet = Fleet(envs)
    observations, _ = envs.reset(seed=seed)
    total, going = np.zeros(episodes), np.ones(episodes, bool)
    while going.any():
        observations, rewards, _, truncated, _ = envs.step(choose(fleet, observations))
        total += rewards * going
        going &= ~truncated
    return total.mean()


def main():
    """Learns and compares."""
    random = np.random.default_rng(2)
    table = learn()
    results = {
        "random": returns(lambda fleet, seen: random.integers(8, size=len(seen))),
        "least in flight": returns(lambda fleet, seen: seen[:, fleet.own].argmin(axis=1)),
        "learned table": returns(
            lambda fleet, seen: fleet.servers(seen, table[fleet.states(seen)].argmax(axis=1))
        ),
    }
    for name, value in results.items():
        print(f"{name:16} {value:10.1f}")
    return results


if __name__ == "__main__":
    main()
