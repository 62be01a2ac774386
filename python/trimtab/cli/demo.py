"""``trimtab demo``: four policies side by side on six mock replicas."""

from __future__ import annotations

import argparse
from pathlib import Path

from trimtab.errors import TrimtabError

HELP = "Play one load through four policies on six mock replicas; a table and charts."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "--out", type=Path, default=Path("trimtab-demo"), metavar="DIR", help="where results go"
    )
    parser.add_argument(
        "--rate",
        type=_positive,
        default=12.0,
        metavar="R",
        help="requests/s (default: %(default)g)",
    )
    parser.add_argument(
        "--seconds",
        type=_positive,
        default=22.0,
        metavar="S",
        help="length of each policy's run (default: %(default)g)",
    )
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="seed of the arrivals")


def run(args: argparse.Namespace) -> int:
    """Plays the demo."""
    try:
        from trimtab import demo
    except ImportError as error:
        raise TrimtabError(
            f"the demo needs {error.name}: pip install 'trimtab[demo,train]'"
        ) from error
    demo.main(args.out, rate=args.rate, seconds=args.seconds, seed=args.seed)
    return 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text}")
    return value
