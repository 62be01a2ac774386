"""Finding, opening and unpacking logs."""

from __future__ import annotations

import glob
import gzip
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from trimtab.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SUFFIXES = (".jsonl", ".ndjson", ".json", ".log", ".parquet")
PACKED = (".gz", ".zst")
CHUNK = 1 << 20


def find(logs: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files that ``logs`` (files, directories, patterns) lead to, each once, in order of name.

    Raises:
        LogError: One of them leads to nothing.
    """
    found: dict[Path, None] = {}
    for given in logs:
        here = sorted(_find_one(Path(given)))
        if not here:
            why = "no logs in this directory" if Path(given).is_dir() else "no such log"
            raise LogError(f"{spelled(given)}: {why}")
        for path in here:
            if not path.is_file():
                raise LogError(f"{spelled(path)}: not a regular file")
        found.update(dict.fromkeys(here))
    if not found:
        raise LogError("no logs were given")
    return list(found)


def _find_one(given: Path) -> Iterator[Path]:
    if given.is_dir():
        yield from (path for path in given.rglob("*") if _is_log(path))
    elif given.exists():
        yield given
    elif glob.has_magic(str(given)):
        for match in glob.glob(str(given), recursive=True):  # noqa: PTH207 - absolute patterns too
            path = Path(match)
            if path.is_dir():
                yield from _find_one(path)
            else:
                yield path


def _is_log(path: Path) -> bool:
    plain = path.name.removesuffix(".gz").removesuffix(".zst")
    return path.is_file() and not plain.startswith(".") and plain.endswith(SUFFIXES)


def spelled(path: str | os.PathLike[str]) -> str:
    """A path for people: bytes that are no text are replaced."""
    return os.fsencode(path).decode(errors="replace")


def is_parquet(path: Path) -> bool:
    """Whether the file begins as Parquet does."""
    with _opened(path) as file:
        return bool(file.read(4) == b"PAR1")


def chunks(path: Path, progress: Callable[[int], object]) -> Iterator[bytes]:
    """The unpacked bytes of a file of JSON lines; ``progress`` is told of the packed ones."""
    with _opened(path) as file:
        magic = file.peek(4)[:4]
        source: IO[bytes] = file
        if magic.startswith(b"\x1f\x8b"):
            source = cast("IO[bytes]", gzip.GzipFile(fileobj=file))
        elif magic == b"\x28\xb5\x2f\xfd":
            pyarrow = need_pyarrow("reading .zst logs")
            source = pyarrow.CompressedInputStream(pyarrow.PythonFile(file), "zstd")
        done = 0
        try:
            while chunk := source.read(CHUNK):
                yield chunk
                progress(file.tell() - done)
                done = file.tell()
        except (OSError, EOFError) as error:
            raise LogError(f"{spelled(path)}: {error}") from error


def _opened(path: Path) -> Any:  # noqa: ANN401 - a BufferedReader, whose peek typing lacks
    try:
        return path.open("rb")
    except OSError as error:
        raise LogError(f"{spelled(path)}: {error.strerror or error}") from error


def need_pyarrow(what: str) -> Any:  # noqa: ANN401 - optional, so not typed here
    """The module pyarrow.

    Raises:
        LogError: It is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        message = f"{what} needs pyarrow: pip install 'trimtab[train]'"
        raise LogError(message) from error
    return pyarrow


class Bar(Protocol):
    """What is used of a progress bar."""

    def update(self, n: int, /) -> object:
        """Another ``n`` bytes are done."""

    def close(self) -> None:
        """All are done."""


class _NoBar:
    def update(self, n: int, /) -> None:
        pass

    def close(self) -> None:
        pass


def bar(paths: list[Path], what: str, *, show: bool | None) -> Bar:
    """A progress bar over the files' bytes, on standard error; by default only on a terminal."""
    if show is None:
        show = sys.stderr.isatty()
    if not show:
        return _NoBar()
    try:
        from tqdm import tqdm
    except ImportError:
        return _NoBar()
    total = sum(path.stat().st_size for path in paths)
    return tqdm(total=total, desc=what, unit="B", unit_scale=True, file=sys.stderr, leave=False)
