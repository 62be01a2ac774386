"""``trimtab simulate SCENARIO``: policies side by side in virtual time.

``trimtab simulate --from-logs LOG...`` first makes the scenario of decision logs.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab import sim
from trimtab.cli._numbers import in_range
from trimtab.errors import ScenarioError, TrimtabError
from trimtab.sim import Results, _source, _table, _text

if TYPE_CHECKING:
    from collections.abc import Callable

HELP = "Play a fleet in virtual time under several policies; table and charts."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "scenario",
        nargs="?",
        metavar="SCENARIO",
        help="a TOML file, or the name of one that comes with trimtab (see --list)",
    )
    parser.add_argument(
        "--from-logs",
        nargs="+",
        metavar="LOG",
        help="make the scenario of decision logs instead (files, directories, patterns): arrivals "
        "are replayed; how servers queue, what classes cost on them, round trip and timeout are "
        "fitted; failures are not rebuilt. With --out it is kept there, its comments say what was "
        "fitted by what and what is assumed: read it, edit it, run it again",
    )
    parser.add_argument(
        "--policy",
        action="append",
        metavar="NAME",
        help="a policy; again for more. The others are compared with the first "
        "(default: the scenario's)",
    )
    parser.add_argument(
        "--seeds",
        type=in_range(1, 10_000),
        default=10,
        metavar="N",
        help="repetitions under other seeds (default: %(default)s)",
    )
    parser.add_argument(
        "--loads",
        type=_loads,
        metavar="L,...",
        help="offered loads as shares of the full load, such as 0.7,0.9 (default: the scenario's)",
    )
    parser.add_argument(
        "--threads",
        type=in_range(1, 1024),
        metavar="N",
        help="runs at once (default: one a processor)",
    )
    files = parser.add_argument_group("files to write")
    files.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="results.json, runs.parquet, report.html and a scenario made of logs",
    )
    files.add_argument("--json", type=Path, metavar="FILE", help="everything, as JSON")
    files.add_argument("--parquet", type=Path, metavar="FILE", help="a row a run, as Parquet")
    files.add_argument("--html", type=Path, metavar="FILE", help="one page with all charts")
    parser.add_argument("--quiet", action="store_true", help="print no table and no progress")
    parser.add_argument("--list", action="store_true", help="name the scenarios that come along")
    parser.add_argument(
        "--example",
        metavar="NAME",
        help="print one of them, to start one's own from: --example NAME > scenario.toml",
    )


def run(args: argparse.Namespace) -> int:
    """Plays the scenario, or tells of those there are."""
    if args.list:
        print(_listed())
        return 0
    if args.example is not None:
        print(_example(args.example), end="")
        return 0
    if args.from_logs is not None and args.scenario is not None:
        raise ScenarioError(f"give a scenario or --from-logs, not both: {args.scenario}")
    if args.scenario is None and args.from_logs is None:
        raise ScenarioError("say which scenario: a TOML file, or a name from `simulate --list`")
    files = _files(args)
    with contextlib.ExitStack() as stack:
        scenario = args.scenario or _from_logs(args, stack)
        return _play(scenario, args, files)


def _from_logs(args: argparse.Namespace, stack: contextlib.ExitStack) -> Path:
    """The scenario made of the logs, in the folder for files or in one that is gone in the end."""
    folder = args.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trimtab-")))
    scenario = sim.from_logs(args.from_logs, folder, progress=False if args.quiet else None)
    if not args.quiet:
        kept = f"Wrote {scenario}" if args.out else "Give --out DIR to keep the scenario"
        print(f"{kept}; its comments say what is fitted and what is assumed.\n")
    return scenario


def _play(scenario: str | Path, args: argparse.Namespace, files: list[Kind]) -> int:
    results = sim.run(
        scenario,
        policies=args.policy,
        seeds=args.seeds,
        loads=args.loads,
        threads=args.threads,
        progress=False if args.quiet else None,
    )
    if not args.quiet:
        plain = not _text.encodable("\N{DOWNWARDS ARROW}\N{PLUS-MINUS SIGN}")
        print(_text.table(results.document, ascii_only=plain))
    _write(results, files, quiet=args.quiet)
    return 0


Kind = tuple[Path, "Callable[[Results, Path], object]"]


def _files(args: argparse.Namespace) -> list[Kind]:
    """What to write where; what could not be written is found before the simulation runs."""
    wanted: list[Kind] = [
        (path, write)
        for path, write in (
            (args.json, Results.to_json),
            (args.parquet, Results.to_parquet),
            (args.html, Results.to_html),
        )
        if path is not None
    ]
    for path, _ in wanted:
        if path.is_dir():
            raise TrimtabError(f"cannot write {path}: it is a directory")
        if not path.absolute().parent.is_dir():
            raise TrimtabError(f"cannot write {path}: no such directory")
    if args.parquet is not None:
        _table.need_pyarrow("--parquet")
    if args.out is not None:
        try:
            args.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrimtabError(f"cannot write to {args.out}: {error.strerror}") from error
        wanted.append((args.out / "results.json", Results.to_json))
        wanted.append((args.out / "report.html", Results.to_html))
        try:
            _table.need_pyarrow("runs.parquet")
        except TrimtabError as error:
            print(f"trimtab: {error}; it is left out", file=sys.stderr)
        else:
            wanted.append((args.out / "runs.parquet", Results.to_parquet))
    return wanted


def _write(results: Results, files: list[Kind], *, quiet: bool) -> None:
    for path, write in files:
        write(results, path)
    if files and not quiet:
        print(f"\nWrote {', '.join(str(path) for path, _ in files)}")


def _loads(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        message = f"must be numbers with commas between, such as 0.7,0.9, not {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def _listed() -> str:
    known = sim.scenarios()
    if not known:
        return "no scenario comes with this trimtab"
    width = max(map(len, known))
    return "\n".join(f"{name:{width}}  {shows}".rstrip() for name, shows in known.items())


def _example(name: str) -> str:
    known = sim.scenarios()
    if name not in known:
        raise ScenarioError(
            f"no scenario {name!r} comes with trimtab; there are {', '.join(known)}"
        )
    return _source.read(name).toml
