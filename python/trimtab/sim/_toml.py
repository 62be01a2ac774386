"""A mapping as TOML 1.0, so that a scenario made in Python takes the same way as a file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.errors import ScenarioError


def dumps(mapping: Mapping[str, Any]) -> str:
    """The mapping as TOML text; keys whose value is None are left out.

    Raises:
        ScenarioError: A key is no text, or a value is none that TOML has.
    """
    return "\n".join(_table(mapping, ())).strip() + "\n"


def _table(mapping: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """A table's lines: its own values first, then its tables, as TOML wants them."""
    lines, later = [], []
    for name, value in mapping.items():
        if not isinstance(name, str):
            raise ScenarioError(f"{_spelled(path)}: the key {name!r} is no text")
        here = (*path, name)
        if value is None:
            continue
        if isinstance(value, Mapping):
            later += ["", f"[{_spelled(here)}]", *_table(value, here)]
        elif _is_tables(value):
            for one in value:
                later += ["", f"[[{_spelled(here)}]]", *_table(one, here)]
        else:
            lines.append(f"{_key(name)} = {_value(value, here)}")
    return lines + later


def _is_tables(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and bool(value)
        and not isinstance(value, str | bytes)
        and all(isinstance(one, Mapping) for one in value)
    )


def _value(value: object, path: tuple[str, ...]) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case float() if math.isfinite(value):
            return repr(float(value))
        case float():
            return "nan" if math.isnan(value) else f"{'-' if value < 0 else ''}inf"
        case str():
            return _text(value)
        case Mapping():
            pairs = (
                f"{_key(name)} = {_value(one, (*path, str(name)))}"
                for name, one in value.items()
                if one is not None
            )
            return f"{{ {', '.join(pairs)} }}"
        case Sequence() if not isinstance(value, bytes):
            return f"[{', '.join(_value(one, path) for one in value)}]"
    if hasattr(value, "item"):  # a number of numpy
        return _value(value.item(), path)
    raise ScenarioError(
        f"{_spelled(path)}: a scenario cannot hold {type(value).__name__}; give text, numbers, "
        "booleans, lists or mappings"
    )


def _spelled(path: tuple[str, ...]) -> str:
    return ".".join(map(_key, path)) or "the mapping"


def _key(name: object) -> str:
    words = str(name)
    plain = words.isascii() and words.replace("_", "a").replace("-", "a").isalnum()
    return words if plain else _text(words)


def _text(words: str) -> str:
    # JSON's escapes are TOML's, but for the delete character, which TOML wants escaped too.
    return json.dumps(words, ensure_ascii=False).replace("\x7f", "\\u007f")
