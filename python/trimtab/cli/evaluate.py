"""``trimtab evaluate MODEL LOGS...``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trimtab.train import evaluate

if TYPE_CHECKING:
    import argparse

HELP = "Estimate from decision logs what a model would have done, and how far to trust that."


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file that `trimtab train` wrote")
    parser.add_argument(
        "logs",
        nargs="+",
        metavar="LOG",
        help="JSON lines (also .gz, .zst) or Parquet: files, directories, patterns",
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def run(args: argparse.Namespace) -> int:
    """Prints the verdict."""
    evaluation = evaluate(args.model, args.logs)
    if args.json:
        print(json.dumps({**evaluation.verdict, "wrong_rows": evaluation.wrong_rows}, indent=2))
    else:
        print(evaluation.to_text())
    return 0
