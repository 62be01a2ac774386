"""Simulate a fleet in virtual time: the same scenario under several policies, loads and seeds.

>>> from trimtab import sim
>>> results = sim.run("scenario.toml", policies=["peak_ewma", "prequal"], loads=[0.7, 0.9])
>>> print(results)
>>> results.to_html("report.html")
>>> results.runs["p99_ms"]

The engine is the balancer's own code under a virtual clock: what a policy decides here is what it
would decide in front of real servers. The same scenario, policies, loads and seeds give the same
results, to the byte.
"""

from trimtab.errors import ScenarioError
from trimtab.sim._from_logs import from_logs
from trimtab.sim._results import Results
from trimtab.sim._run import run
from trimtab.sim._source import scenarios
from trimtab.sim._table import Table

__all__ = ["Results", "ScenarioError", "Table", "from_logs", "run", "scenarios"]
