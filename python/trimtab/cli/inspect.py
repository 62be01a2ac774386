"""``trimtab inspect MODEL``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trimtab.train import inspect

if TYPE_CHECKING:
    import argparse

HELP = "Show what a model holds."


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file that `trimtab train` wrote")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    """Prints the model."""
    inspection = inspect(args.model)
    print(json.dumps(inspection.content, indent=2) if args.json else inspection.to_text())
    return 0
