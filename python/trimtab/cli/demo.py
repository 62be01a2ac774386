"""``trimtab demo``: four policies side by side on six mock replicas."""

from __future__ import annotations

import argparse
from pathlib import Path

from trimtab.cli._numbers import between, in_range
from trimtab.errors import TrimtabError

HELP = "Play one load through four policies on six mock replicas; a table and charts."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "--out", type=Path, default=Path("trimtab-demo"), metavar="DIR", help="where results go"
    )
    parser.add_argument(
        "--rate",
        type=between(0.1, 1000),
        default=12.0,
        metavar="R",
        help="requests/s (default: %(default)g)",
    )
    parser.add_argument(
        "--seconds",
        type=between(1, 3600),
        default=22.0,
        metavar="S",
        help="length of each policy's run (default: %(default)g)",
    )
    parser.add_argument(
        "--seed", type=in_range(0, 2**32), default=7, metavar="N", help="seed of the arrivals"
    )


def run(args: argparse.Namespace) -> int:
    """Plays the demo."""
    try:
        from trimtab import demo
    except ImportError as error:
        raise TrimtabError(
            f"the demo needs {error.name}: pip install 'trimtab[demo,train]'"
        ) from error
    try:
        demo.main(args.out, rate=args.rate, seconds=args.seconds, seed=args.seed)
    except OSError as error:
        raise TrimtabError(f"the demo cannot go on: {error}") from error
    return 0
