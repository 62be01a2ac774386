"""Where a scenario comes from: a file, a shipped one by its name, or a mapping."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from trimtab.errors import ScenarioError
from trimtab.sim._toml import dumps

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Scenario: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]


class Source(NamedTuple):
    """A scenario's TOML, and the file that errors name and that relative paths start from."""

    toml: str
    file: str


def scenarios() -> dict[str, str]:
    """The scenarios that come with trimtab: their names, with what each shows."""
    found = {}
    for name, file in sorted(_shipped().items()):
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        found[name] = " ".join(str(content.get("description", "")).split())
    return found


def read(scenario: Scenario) -> Source:
    """The text of a scenario.

    Raises:
        ScenarioError: There is no such file and none of that name is shipped, or a mapping holds
            what TOML cannot.
    """
    if isinstance(scenario, Mapping):
        return Source(dumps(scenario), "<mapping>")
    path = Path(scenario)
    if isinstance(scenario, str) and not path.exists() and (known := _shipped()).get(scenario):
        return Source(known[scenario].read_text(encoding="utf-8"), f"{scenario}.toml")
    try:
        return Source(path.read_text(encoding="utf-8"), os.fspath(path))
    except FileNotFoundError as error:
        raise ScenarioError(f"{path}: no such file; {_known()}") from error
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or f"not UTF-8 text ({error})"
        raise ScenarioError(f"{path}: {why}") from error


def _shipped() -> dict[str, Traversable]:
    folder = resources.files("trimtab.sim").joinpath("scenarios")
    if not folder.is_dir():
        return {}
    return {
        file.name.removesuffix(".toml"): file
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    }


def _known() -> str:
    names = ", ".join(sorted(_shipped()))
    return f"those that come with trimtab: {names}" if names else "none comes with trimtab"
