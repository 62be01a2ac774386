"""Plain-text tables, aligned: text to the left, numbers to the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Value = str | int | float | bool | None


def table(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """Lays ``rows`` out under ``header``; ``None`` is shown as a dash."""
    values = [list(row) for row in rows]
    numeric = [
        all(
            isinstance(row[i], int | float | None) and not isinstance(row[i], bool)
            for row in values
        )
        for i in range(len(header))
    ]
    cells = [list(header), *([text(value) for value in row] for row in values)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def text(value: Value) -> str:
    """A value as a table shows it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"
        case int():
            return f"{value:,}"
    return value


def percent(share: float | None) -> str:
    """A share as a percentage."""
    return "-" if share is None else f"{100 * share:.1f} %"
