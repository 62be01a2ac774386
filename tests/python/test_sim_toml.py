"""A mapping as TOML: whatever TOML can say comes back as it was."""

import string
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab import ScenarioError
from trimtab.sim._toml import dumps

FIXED = settings(derandomize=True, deadline=None)
SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
KEYS = st.text(string.printable, min_size=1) | st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@FIXED
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_it_comes_back(mapping):
    assert tomllib.loads(dumps(mapping)) == mapping


def test_it_reads_like_a_scenario():
    scenario = {
        "name": "two",
        "warm_up": None,
        "servers": [{"name": "a", "model": {"fifo": {"workers": 1}}}, {"name": "b"}],
        "traffic": {"loads": (0.5, 0.9)},
    }
    assert dumps(scenario) == (
        'name = "two"\n\n[[servers]]\nname = "a"\n\n[servers.model]\n\n[servers.model.fifo]\n'
        'workers = 1\n\n[[servers]]\nname = "b"\n\n[traffic]\nloads = [0.5, 0.9]\n'
    )


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"a": {"b": {1: 2}}}, "a.b: the key 1 is no text"),
        ({"a": {"b": b"x"}}, "a.b: a scenario cannot hold bytes"),
        ({"a": [1, object()]}, "a: a scenario cannot hold object"),
    ],
)
def test_what_toml_cannot_say_is_named(mapping, message):
    with pytest.raises(ScenarioError, match=message):
        dumps(mapping)
