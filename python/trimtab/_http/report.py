"""What a server says of itself in its answer's headers."""

from __future__ import annotations

import json
import math
from typing import Any, TypeAlias

Load: TypeAlias = dict[str, float | dict[str, float]]

_NAMED = "named_metrics."


def parse_load(value: str) -> Load | None:
    """Read an ``endpoint-load-metrics`` header, in JSON or TEXT; None if it is neither."""
    form, _, body = value.strip().partition(" ")
    try:
        if form == "JSON":
            return _numbers(json.loads(body))
        if form == "TEXT":
            return _from_text(body)
    except (ValueError, TypeError, AttributeError):
        return None
    return None


def parse_server_timing(value: str) -> tuple[float | None, float | None]:
    """Read seconds of queue and of processing from a ``Server-Timing`` header."""
    seconds: dict[str, float] = {}
    for metric in value.split(","):
        name, *parameters = (part.strip() for part in metric.split(";"))
        for parameter in parameters:
            if parameter.lower().startswith("dur="):
                took = _millis(parameter[4:].strip('"'))
                if took is not None:
                    seconds[name.lower()] = took
    return seconds.get("queue"), seconds.get("processing")


def _millis(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value / 1e3 if math.isfinite(value) and value >= 0 else None


def _numbers(given: dict[str, Any]) -> Load:
    load: Load = {}
    for name, value in given.items():
        if name == "named_metrics":
            load[name] = {str(key): float(number) for key, number in value.items()}
        elif isinstance(value, (int, float)):
            load[name] = float(value)
    return load


def _from_text(body: str) -> Load:
    load: Load = {}
    named: dict[str, float] = {}
    for pair in body.split(","):
        name, _, number = pair.strip().partition("=")
        if name.startswith(_NAMED):
            named[name.removeprefix(_NAMED)] = float(number)
        elif name:
            load[name] = float(number)
    if named:
        load["named_metrics"] = named
    return load
