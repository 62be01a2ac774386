"""Routing tables learned from decision logs: train one, judge it, look into it.

>>> from trimtab.train import train, evaluate
>>> training = train(["logs/"], "routing.qtable")
>>> print(training.to_text())
>>> print(evaluate("routing.qtable", ["logs/"]).to_text())

Logs are JSON lines (also ``.gz`` and ``.zst``) or Parquet; Parquet and ``.zst`` need the extra
``trimtab[train]``. Paths may be files, directories, or patterns with ``*``.
"""

from trimtab.train._convert import to_parquet
from trimtab.train._evaluation import Evaluation, evaluate
from trimtab.train._inspection import Inspection, inspect
from trimtab.train._training import Training, train

__all__ = [
    "Evaluation",
    "Inspection",
    "Training",
    "evaluate",
    "inspect",
    "to_parquet",
    "train",
]
