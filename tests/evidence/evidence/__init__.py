"""What the tables of evidence share: running studies, keeping their raw data, filling their pages.

A table is a folder beside this package with a ``README.md``, scenarios, and a ``table.py`` with
one function::

    from evidence import ERRORS, P50, P99, Table

    def make(table: Table) -> None:
        study = table.study("sinkhole", "sinkhole.toml", policies=["random", "peak_ewma"])
        table.compare("sinkhole", study, [P50, P99, ERRORS])
        table.expect(
            study.mean("peak_ewma", "error_rate") < study.mean("random", "error_rate"),
            "peak_ewma meets fewer errors than random",
        )

`Table.study` plays the scenario and keeps each run's figures in ``results.json`` (``.json.gz`` if
above 100,000 bytes). `Table.compare` and `Table.write` fill the page between
``<!-- table: sinkhole -->`` and ``<!-- end -->``; everything else in the page is written by hand.
Files are the same, byte for byte, whenever they are made from the same code.
"""

from evidence.course import recovered, used_again
from evidence.interval import Interval
from evidence.page import (
    AMPLIFICATION,
    CACHE_HIT,
    ERRORS,
    FIRST_BYTE_P50,
    FIRST_BYTE_P90,
    FIRST_BYTE_P99,
    GOODPUT,
    IN_FLIGHT,
    LOAD,
    MEAN,
    P50,
    P90,
    P99,
    P999,
    PROBES,
    Column,
    number,
    with_interval,
)
from evidence.study import Study
from evidence.table import Mode, Table

__all__ = [
    "AMPLIFICATION",
    "CACHE_HIT",
    "ERRORS",
    "FIRST_BYTE_P50",
    "FIRST_BYTE_P90",
    "FIRST_BYTE_P99",
    "GOODPUT",
    "IN_FLIGHT",
    "LOAD",
    "MEAN",
    "P50",
    "P90",
    "P99",
    "P999",
    "PROBES",
    "Column",
    "Interval",
    "Mode",
    "Study",
    "Table",
    "number",
    "recovered",
    "used_again",
    "with_interval",
]
