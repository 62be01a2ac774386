"""What a request tells the balancer of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from trimtab.errors import ConfigError

CLASS_HEADER = b"x-trimtab-class"
KEY_HEADER = b"x-trimtab-key"


@dataclass(frozen=True, slots=True)
class Route:
    """What a request tells the balancer of itself. Everything may be left out."""

    request_class: str | None = None
    """The request's class, as learned tables know it."""
    key: str | bytes | int | None = None
    """Requests of one key go to one endpoint under the hashing policies."""


RouteLike: TypeAlias = Route | Mapping[str, Any]
"""A `Route`, or a mapping with its fields."""
RouteOf: TypeAlias = Callable[[Any], RouteLike | None]
"""Tells a request's route; it is given the client's own request object."""

_FIELDS = frozenset({"request_class", "key"})


def as_route(given: RouteLike | None, where: str) -> Route:
    """Read what a user gave at ``where``."""
    if given is None:
        return Route()
    if isinstance(given, Route):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{where} must be a trimtab Route or a mapping, not {type(given).__name__}"
        )
    unknown = set(given) - _FIELDS
    if unknown:
        names = ", ".join(sorted(map(str, unknown)))
        raise ConfigError(f"{where} has unknown fields: {names}; known are key, request_class")
    return Route(**given)
