"""``trimtab train LOGS... -o MODEL``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trimtab import __version__
from trimtab.train import train
from trimtab.train._logs import spelled

if TYPE_CHECKING:
    import argparse

HELP = "Fit a routing table to decision logs, and say whether it is worth enabling."


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument(
        "logs",
        nargs="+",
        metavar="LOG",
        help="JSON lines (also .gz, .zst) or Parquet: files, directories, patterns",
    )
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="where the model goes")
    parser.add_argument(
        "--archetype-labels",
        type=lambda value: [label for label in value.split(",") if label],
        metavar="KEY,...",
        help="the labels that make an archetype, as the balancer was told (default: the log's)",
    )
    parser.add_argument(
        "--min-rows",
        type=int,
        default=30,
        metavar="N",
        help="rows below which a cell is left to the fallback policy (default: 30)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.25,
        metavar="RATIO",
        help="how much endpoints without labels may differ within one archetype (default: 0.25)",
    )
    parser.add_argument(
        "--note", help="where the model comes from, for people (default: this version and the logs)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _provenance(logs: list[str]) -> str:
    named = f"trimtab {__version__} train {' '.join(map(spelled, logs))}"
    return named if len(named) <= 200 else f"{named[:197]}..."


def run(args: argparse.Namespace) -> int:
    """Trains, writes the model, prints the report."""
    training = train(
        args.logs,
        args.out,
        min_rows=args.min_rows,
        archetype_labels=args.archetype_labels,
        tolerance=args.tolerance,
        note=args.note if args.note is not None else _provenance(args.logs),
    )
    if args.json:
        report = {
            **training.report,
            "out": args.out,
            "seconds": training.seconds,
            "wrong_rows": training.wrong_rows,
        }
        print(json.dumps(report, indent=2))
    else:
        print(f"{training.to_text()}\n\nWrote {args.out} ({len(training.model):,} bytes)")
    return 0
