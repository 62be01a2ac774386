"""A progress bar over a simulation's runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import TracebackType

    from tqdm import tqdm


class Bar:
    """Shows how much is done on standard error; nothing where tqdm is not installed.

    As a context manager it takes itself off the terminal at the end.
    """

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] | None = None

    def __call__(self, done: int, total: int) -> None:
        """``done`` runs of ``total`` are over."""
        bar = self._bar = self._bar or _bar(total)
        if bar is not None:
            bar.update(done - bar.n)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _exception: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _bar(total: int) -> tqdm[NoReturn] | None:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, desc="simulating", unit="run", file=sys.stderr, leave=False)
