"""A table of columns that data-frame libraries read without a copy: Arrow's PyCapsule protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from trimtab.errors import TrimtabError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Value = str | int | float | bool | None


class Table:
    """Columns of one length, by name; immutable.

    ``polars.DataFrame(table)``, ``pandas.DataFrame.from_arrow(table)``, ``pyarrow.table(table)``
    and DuckDB read it through Arrow, which needs pyarrow (``pip install 'trimtab[sim]'``). Without
    it, ``table["p99_ms"]`` is a column, ``for row in table`` gives each row as a dict, and
    ``pandas.DataFrame(list(table))`` works too.
    """

    def __init__(self, columns: Mapping[str, Sequence[Value]], metadata: Mapping[str, str]) -> None:
        self._columns = {name: tuple(values) for name, values in columns.items()}
        self._metadata = dict(metadata)
        self._arrow: Any = None

    @classmethod
    def of_rows(
        cls, rows: Sequence[Mapping[str, Value]], metadata: Mapping[str, str] | None = None
    ) -> Table:
        """A table of ``rows``; a column is there if one row has it."""
        names = dict.fromkeys(name for row in rows for name in row)
        return cls({name: [row.get(name) for row in rows] for name in names}, metadata or {})

    @property
    def columns(self) -> list[str]:
        """The columns' names, in order."""
        return list(self._columns)

    def to_dict(self) -> dict[str, list[Value]]:
        """The columns as lists, by name."""
        return {name: list(values) for name, values in self._columns.items()}

    def to_arrow(self) -> Any:  # noqa: ANN401 - a pyarrow.Table, which is optional
        """The table as a ``pyarrow.Table``, made once.

        Raises:
            TrimtabError: pyarrow is not installed.
        """
        if self._arrow is None:
            pyarrow = need_pyarrow("an Arrow table")
            self._arrow = pyarrow.table(
                {
                    # A column of nothing but nulls is one of numbers that are missing.
                    name: pyarrow.array(values, None if _known(values) else pyarrow.float64())
                    for name, values in self._columns.items()
                }
            ).replace_schema_metadata(self._metadata or None)
        return self._arrow

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The table as an Arrow C stream, for data-frame libraries."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        """The table's Arrow schema."""
        return self.to_arrow().schema.__arrow_c_schema__()

    def __dataframe__(self, nan_as_null: bool = False, allow_copy: bool = True) -> object:
        """The table by the data-frame interchange protocol, for libraries without Arrow's."""
        return self.to_arrow().__dataframe__(nan_as_null, allow_copy)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    def __iter__(self) -> Iterator[dict[str, Value]]:
        for row in range(len(self)):
            yield self[row]

    @overload
    def __getitem__(self, key: str) -> list[Value]: ...
    @overload
    def __getitem__(self, key: int) -> dict[str, Value]: ...
    def __getitem__(self, key: str | int) -> list[Value] | dict[str, Value]:
        if isinstance(key, str):
            try:
                return list(self._columns[key])
            except KeyError:
                known = ", ".join(self._columns)
                raise KeyError(f"no column {key!r}; there are {known}") from None
        return {name: values[key] for name, values in self._columns.items()}

    def __repr__(self) -> str:
        return f"<Table of {len(self):,} rows: {', '.join(self._columns)}>"


def _known(values: Sequence[Value]) -> bool:
    return any(value is not None for value in values)


def need_pyarrow(what: str) -> Any:  # noqa: ANN401 - optional, so not typed here
    """The module pyarrow.

    Raises:
        TrimtabError: It is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise TrimtabError(f"{what} needs pyarrow: pip install 'trimtab[sim]'") from error
    return pyarrow
