"""The command ``tests/evidence/run``."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from evidence.table import Mode, Table

HERE = Path(__file__).resolve().parent.parent


def main() -> int:
    """Makes the tables that the command line names."""
    folders = {path.parent for path in HERE.glob("*/table.py")} - {Path(__file__).resolve().parent}
    known = sorted(folder.name for folder in folders)
    parser = argparse.ArgumentParser(
        prog="tests/evidence/run",
        description="Makes tables of evidence anew: plays scenarios, keeps raw data, fills pages.",
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(known)}; all")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--short",
        action="store_true",
        help="play little, into a temporary folder: whether it runs and its main orderings hold",
    )
    how.add_argument("--pages", action="store_true", help="fill the pages from the raw data")
    how.add_argument(
        "--only",
        action="append",
        metavar="STUDY",
        help="play only this study of the one TABLE, and take the others from the raw data; may be "
        "given again",
    )
    options = parser.parse_args()
    if options.only and len(options.tables) != 1:
        parser.error("--only needs the one TABLE that the studies are of")
    wrong = [name for name in options.tables if name not in known]
    if wrong:
        parser.error(f"no table `{wrong[0]}`; there are {', '.join(known)}")
    mode = Mode.SHORT if options.short else Mode.PAGES if options.pages else Mode.FULL
    unmet = 0
    for name in options.tables or known:
        with tempfile.TemporaryDirectory(prefix="trimtab-evidence-") as temporary:
            folder = HERE / name
            out = Path(temporary) if mode is Mode.SHORT else folder
            table = Table(folder, mode, out, options.only)
            _make(folder)(table)
            table.finish()
        for what in table.unmet:
            print(f"{name}: does not hold: {what}", file=sys.stderr)
        unmet += len(table.unmet)
    return 1 if unmet else 0


def _make(folder: Path) -> Callable[[Table], None]:
    """The function of the folder's ``table.py``, which may import the files beside it."""
    sys.path.insert(0, str(folder))
    try:
        make: Callable[[Table], None] = runpy.run_path(str(folder / "table.py"))["make"]
        return make
    finally:
        sys.path.remove(str(folder))
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{folder}{os.sep}"):
                del sys.modules[name]


if __name__ == "__main__":
    sys.exit(main())
