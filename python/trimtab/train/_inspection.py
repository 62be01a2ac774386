"""A look into a model file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab._trimtab import MODEL_LIMIT, describe_model
from trimtab.errors import ModelError
from trimtab.train._table import table

if TYPE_CHECKING:
    import os


def inspect(model: str | os.PathLike[str] | bytes) -> Inspection:
    """Reads a model's file or its content.

    Raises:
        ModelError: It cannot be read; the message says why.
    """
    return Inspection(content=json.loads(_named(model, lambda: describe_model(content(model)))))


def content(model: str | os.PathLike[str] | bytes) -> bytes:
    """The content of a model's file, never more than a model can have.

    Raises:
        ModelError: It cannot be read, or is none.
    """
    if isinstance(model, bytes):
        return model
    path = Path(model)
    try:
        with path.open("rb") as file:
            read = file.read(MODEL_LIMIT + 1)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    _named(path, lambda: describe_model(read))
    return read


def _named(model: object, describe: Any) -> str:  # noqa: ANN401 - a callable
    """Says which file it was that could not be read."""
    try:
        return str(describe())
    except ModelError as error:
        if isinstance(model, bytes) or str(error).startswith(str(model)):
            raise
        raise ModelError(f"{model}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a model holds."""

    content: dict[str, Any]
    """Classes, archetypes, cells, hashes and counts, by name."""

    def to_text(self) -> str:
        """The model for a person."""
        from trimtab.train._training import moment

        c = self.content
        facts = [
            ("hash", c["hash"]),
            ("feature hash", c["feature_hash"]),
            ("trained on", f"{c['rows']:,} rows"),
            ("from", moment(c["window"][0])),
            ("to", moment(c["window"][1])),
            ("note", c["note"] or "-"),
        ]
        members = [(name, ", ".join(ids) or "(by label)") for name, ids in c["archetypes"]]
        cells = [
            (x["class"], x["archetype"], x["service_ms"], x["slope"], x["rows"]) for x in c["cells"]
        ]
        header = ["class", "archetype", "service ms", "slope", "rows"]
        return "\n\n".join(
            [
                "\n".join(f"{name + ':':<14}{value}" for name, value in facts),
                table(["archetype", "members"], members),
                table(header, cells),
            ]
        )
