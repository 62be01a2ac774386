"""The routing environment: gymnasium's own checks, and what an agent can rely on."""

import runpy
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode

import trimtab
import trimtab.gym

ID = trimtab.gym.ENV_ID

TWO = """
name = "two"
duration = "2s"
[traffic]
load = 0.5
[[classes]]
name = "all"
work = { exponential = "10ms" }
[[servers]]
name = "s"
count = 2
"""


def make(**options):
    return gymnasium.make(ID, **options).unwrapped


def play(env, choose, seed=None):
    """The return of an episode, and its steps."""
    observation, info = env.reset(seed=seed)
    total, steps, truncated = 0.0, 0, False
    while not truncated:
        action = choose(env, observation, info)
        observation, reward, terminated, truncated, info = env.step(action)
        assert not terminated
        total += reward
        steps += 1
    return total, steps


def at_random(env, observation, info):
    return env.action_space.sample(info["action_mask"])


def least_in_flight(env, observation, info):
    own = [env.features.index(f"{name}.in_flight") for name in env.servers]
    return np.where(info["action_mask"], observation[own], np.inf).argmin()


def by_class(env, observation, info):
    """The least loaded of the servers that are fast at this class."""
    kind = "reader" if observation[env.features.index("class=read")] else "writer"
    own = [env.features.index(f"{name}.in_flight") for name in env.servers]
    other = [1e6 * (not name.startswith(kind)) for name in env.servers]
    return (observation[own] + other).argmin()


@pytest.mark.parametrize(
    "options", [{}, {"scenario": TWO}, {"load": [0.3, 0.9]}, {"render_mode": "ansi"}]
)
def test_gymnasiums_own_checker_passes(options):
    check_env(gymnasium.make(ID, **options).unwrapped)


def test_one_line_is_enough():
    code = f"import gymnasium; gymnasium.make('trimtab.gym:{ID}').reset(seed=1)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_trimtab_alone_does_not_import_gymnasium():
    code = "import sys, trimtab, trimtab.sim; sys.exit('gymnasium' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_seed_gives_the_same_episode():
    env, other = make(scenario=TWO), make(scenario=TWO)
    env.action_space.seed(5)
    other.action_space.seed(5)
    assert play(env, at_random, seed=1) == play(other, at_random, seed=1)
    # What follows the seeded episode is seeded, too, and is another one.
    assert (second := play(env, at_random)) == play(other, at_random)
    env.action_space.seed(5)
    assert play(env, at_random, seed=1) != second


def test_the_reward_is_what_info_says():
    weights = {"response_time": 2.0, "utilization": 0.0}
    env = make(scenario=TWO, weights=weights, time_scale=0.1)
    env.reset(seed=1)
    completed, steps, truncated = 0, 0, False
    while not truncated:
        _, reward, _, truncated, info = env.step(steps % 2)
        assert reward == pytest.approx(-(2 * info["response_time"] + 0.3 * info["errors"]))
        assert 0 <= info["utilization"] <= 1
        completed, steps = completed + info["completed"], steps + 1
    assert completed == steps
    assert info["time"] > 1.9


def test_what_is_masked_is_not_chosen():
    # From one to one and a half seconds only the second server is listed.
    event = """
    [[events]]
    at = "1s"
    until = "1.5s"
    servers = { index = [0] }
    action = "remove"
    """
    env = make(scenario=TWO + event)
    _, info = env.reset(seed=1)
    assert info["action_mask"].tolist() == [1, 1]
    assert info["action_mask"].dtype == np.int8
    masked, truncated = 0, False
    while not truncated:
        mask = info["action_mask"]
        _, _, _, truncated, info = env.step(0)
        assert info["server"] == mask.argmax()
        masked += mask.tolist() == [0, 1]
    assert masked > 20


def test_episodes_are_cut_where_they_are_told_to():
    assert play(make(scenario=TWO, max_steps=7), at_random, seed=1)[1] == 7
    whole = play(make(scenario=TWO), at_random, seed=1)[1]
    assert 120 < whole < 280
    limited = gymnasium.make(ID, scenario=TWO, max_episode_steps=9)
    limited.reset(seed=1)
    truncated = [limited.step(0)[3] for _ in range(9)]
    assert truncated == [False] * 8 + [True]


def test_scenarios_come_as_files_text_and_mappings(tmp_path):
    file = tmp_path / "two.toml"
    file.write_text(TWO)
    mapping = {
        "name": "two",
        "duration": "2s",
        "traffic": {"load": 0.5},
        "classes": [{"name": "all", "work": {"exponential": "10ms"}}],
        "servers": [{"name": "s", "count": 2}],
    }
    played = {
        play(make(scenario=scenario), lambda *_: 0, seed=3)
        for scenario in (TWO, file, str(file), mapping)
    }
    assert len(played) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scenario": "nowhere.toml"}, trimtab.ScenarioError, "nowhere.toml: no such file"),
        ({"scenario": "name = \n"}, trimtab.ScenarioError, "<text>"),
        ({"scenario": 5}, trimtab.ConfigError, "scenario must be a path, TOML text or a mapping"),
        ({"load": 20}, trimtab.ConfigError, "load = 20 must be above 0 and at most 10"),
        ({"load": []}, trimtab.ConfigError, "load"),
        ({"load": "high"}, trimtab.ConfigError, "load = 'high' must be a number"),
        ({"weights": {"latency": 1.0}}, trimtab.ConfigError, "weights has no 'latency'"),
        ({"weights": {"error_rate": -1.0}}, trimtab.ConfigError, "weights.error_rate = -1 must"),
        ({"time_scale": 0}, trimtab.ConfigError, "time_scale = 0 must be seconds above 0"),
        ({"max_steps": 0}, trimtab.ConfigError, "max_steps = 0 must be at least 1"),
        ({"max_steps": -4}, trimtab.ConfigError, "max_steps = -4 must be at least 1"),
        (
            {"scenario": TWO.replace("load = 0.5", "rate = 50"), "load": 0.5},
            trimtab.ConfigError,
            "this one has a rate",
        ),
    ],
)
def test_bad_options_are_refused(options, error, message):
    for cls in (trimtab.gym.RoutingEnv, trimtab.gym.RoutingVectorEnv):
        with pytest.raises(error) as caught:
            cls(**options)
        assert message in str(caught.value)
        assert isinstance(caught.value, ValueError)


def test_wrong_actions_are_refused():
    env = make(scenario=TWO)
    with pytest.raises(trimtab.ConfigError, match="reset the environment"):
        env.step(0)
    env.reset(seed=1)
    for action in (2, -1):
        with pytest.raises(trimtab.ConfigError, match=f"action {action} is no server; there are 2"):
            env.step(action)
    envs = gymnasium.make_vec(ID, num_envs=3, scenario=TWO)
    envs.reset(seed=1)
    with pytest.raises(trimtab.ConfigError, match="2 values for 3 environments"):
        envs.step(np.zeros(2, np.int64))
    with pytest.raises(trimtab.ConfigError, match="num_envs = 0"):
        gymnasium.make_vec(ID, num_envs=0)
    with pytest.raises(trimtab.ConfigError, match="2 seeds for 3"):
        envs.reset(seed=[1, 2])
    with pytest.raises(trimtab.ConfigError, match="reset_mask"):
        envs.reset(options={"reset_mask": np.zeros(3, np.bool_)})


def test_render_shows_the_fleet():
    env = make(render_mode="ansi")
    env.reset(seed=1)
    env.step(3)
    text = env.render()
    assert "next request: " in text
    assert text.count("\n") == 2 + len(env.servers)
    assert make().render() is None


def test_the_vector_environment_does_what_many_single_ones_do():
    """Seeds, autoreset, infos: all as gymnasium's own vector environment has them."""
    options = {"num_envs": 5, "scenario": TWO, "load": [0.2, 0.6]}
    ours = gymnasium.make_vec(ID, vectorization_mode="vector_entry_point", **options)
    theirs = gymnasium.make_vec(ID, vectorization_mode="sync", **options)
    assert isinstance(ours, trimtab.gym.RoutingVectorEnv)
    assert ours.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert data_equivalence(ours.reset(seed=7), theirs.reset(seed=7), exact=True)
    ours.action_space.seed(1)
    ends = 0
    for _ in range(400):
        actions = ours.action_space.sample()
        mine, other = ours.step(actions), theirs.step(actions)
        assert data_equivalence(mine, other, exact=True)
        assert mine[0] in ours.observation_space
        ends += mine[3].sum()
    assert ends >= 5
    assert ours.np_random_seed == theirs.np_random_seed


def test_single_environments_can_be_reset_among_many():
    envs = gymnasium.make_vec(ID, num_envs=3, scenario=TWO)
    first, _ = envs.reset(seed=1)
    envs.step(np.zeros(3, np.int64))
    before, *_ = envs.step(np.zeros(3, np.int64))
    mask = np.array([False, True, False])
    after, info = envs.reset(seed=1, options={"reset_mask": mask})
    assert np.array_equal(after[1], first[1])
    assert np.array_equal(after[[0, 2]], before[[0, 2]])
    assert info["_action_mask"].tolist() == mask.tolist()


def test_arrays_are_not_used_again():
    envs = gymnasium.make_vec(ID, num_envs=2, scenario=TWO)
    observation, info = envs.reset(seed=1)
    kept = observation.copy(), info["action_mask"].copy()
    for _ in range(3):
        envs.step(np.zeros(2, np.int64))
    assert np.array_equal(observation, kept[0])
    assert np.array_equal(info["action_mask"], kept[1])


def test_vector_wrappers_work():
    envs = gymnasium.make_vec(ID, num_envs=4, scenario=TWO, max_episode_steps=20)
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(envs)
    envs = gymnasium.wrappers.vector.NormalizeObservation(envs)
    envs = gymnasium.wrappers.vector.NormalizeReward(envs)
    envs = gymnasium.wrappers.vector.TransformReward(envs, lambda rewards: rewards * 2)
    envs.reset(seed=1)
    lengths = []
    for _ in range(42):
        observation, _, _, _, info = envs.step(envs.action_space.sample())
        assert observation in envs.observation_space
        if "episode" in info:
            lengths.extend(info["episode"]["l"].tolist())
    assert lengths == [20] * 8


def test_better_policies_get_better_returns():
    """Random, least in flight, and one that knows the kinds: each is better than the last."""
    env = make()
    env.action_space.seed(1)
    for seed in range(3):
        random, least, knowing = (
            -play(env, choose, seed=seed)[0] for choose in (at_random, least_in_flight, by_class)
        )
        assert random > 1.1 * least > 1.5 * knowing


def test_a_table_learns_to_route():
    example = Path(__file__).parents[2] / "examples" / "learn_routing.py"
    results = runpy.run_path(str(example))["main"]()
    assert results["learned table"] > 0.7 * results["random"]
    assert results["learned table"] > results["least in flight"]
