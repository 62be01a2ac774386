"""The command ``trimtab``.

Each command is a module of this package with ``HELP``, ``configure(parser)`` and ``run(args)``,
named in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING

from trimtab import TrimtabError, __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = ("train", "evaluate", "simulate", "inspect", "mock", "demo")

USAGE = 2
"""Exit code for bad usage and bad input."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0 fine, 2 bad usage or input."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except TrimtabError as error:
        print(f"trimtab: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="trimtab",
        description="Client-side load balancing: learned tables, simulation, mock servers.",
    )
    top.add_argument("--version", action="version", version=f"trimtab {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        command = importlib.import_module(f"{__name__}.{name}")
        own = commands.add_parser(name, help=command.HELP, description=command.HELP)
        command.configure(own)
        own.set_defaults(run=command.run)
    return top
