"""How fast training reads: rows/s on one core from Parquet and from JSON lines.

    python tests/bench/python_train.py [--rows 5000000] [--repeat 5] [--json FILE]

The log is made up but has the distributions of a real one: two classes, three archetypes, forty
endpoints, lognormal latencies with all their digits, server times, in-flight counts, a percent of
timeouts. It is written with every column of the decision log that is flat, in zstd, by pyarrow's
defaults. The best of the repeats counts: the machine is shared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trimtab.train import _parquet, train


def made_up(rows: int, seed: int = 1) -> pa.Table:
    """A log of ``rows`` rows."""

    def uniform(of: int) -> pa.Array:
        return pc.random(rows, initializer=seed + of)

    def pick(of: int, values: list[str | None]) -> pa.Array:
        index = pc.cast(pc.floor(pc.multiply(uniform(of), len(values))), pa.int32())
        return pa.array(values, pa.string()).take(index)

    endpoints = [f"http://10.0.{i // 8}.{i % 8}:8000" for i in range(40)]
    server = pc.exp(pc.add(pc.multiply(pc.add(uniform(1), uniform(2)), 1.5), 1.0))
    in_flight = pc.cast(pc.floor(pc.multiply(uniform(3), 6)), pa.int64())
    late = pc.greater(uniform(4), 0.99)
    text = pa.string()
    return pa.table(
        {
            "ts": pc.add(pa.array(range(rows), pa.float64()), 1.7e9),
            "class": pick(5, ["chat", "complete"]),
            "chosen": pick(6, endpoints),
            "archetype": pick(7, [f"archetype={kind}" for kind in ("a100", "h100", "l4")]),
            "in_flight": in_flight,
            "propensity": pc.divide(pc.add(uniform(8), 0.01), 2.0),
            "latency_ms": pc.multiply(server, pc.add(in_flight, 1.1)),
            "server_ms": pc.if_else(late, pa.scalar(None, pa.float64()), server),
            "status": pc.if_else(late, "timeout", "ok"),
            "censored": pc.if_else(late, "timeout", pa.scalar(None, text)),
            "sample_weight": pa.array([1.0] * rows),
            "explored": pc.greater(uniform(9), 0.95),
            "policy": pa.array(["peak_ewma"] * rows),
        }
    )


class Nobody:
    """Takes batches and does nothing with them."""

    def span(self, *_: object) -> None:
        """Takes the times."""

    def fold(self, *_: object) -> None:
        """Takes a batch."""


def best(repeat: int, run: object) -> float:
    """The shortest of ``repeat`` runs, in seconds of this process's CPU."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        run()  # type: ignore[operator]
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--json-rows", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as folder:
        parquet = Path(folder) / "log.parquet"
        log = made_up(args.rows)
        pq.write_table(log, parquet, compression="zstd")
        lines = Path(folder) / "log.jsonl"
        with lines.open("w") as file:
            file.writelines(json.dumps(r) + "\n" for r in log.slice(0, args.json_rows).to_pylist())
        size = parquet.stat().st_size
        del log
        decode = best(args.repeat, lambda: _parquet.fold(Nobody(), parquet, lambda _: None))
        whole = best(args.repeat, lambda: train(parquet, progress=False))
        text = best(args.repeat, lambda: train(lines, progress=False))
    results = {
        "rows": args.rows,
        "parquet_bytes_per_row": size / args.rows,
        "parquet_rows_per_cpu_second": args.rows / whole,
        "decode_only_rows_per_cpu_second": args.rows / decode,
        "json_rows_per_cpu_second": args.json_rows / text,
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "pyarrow": pa.__version__,
    }
    print(f"Parquet, whole training     {args.rows / whole / 1e6:8.2f} M rows per CPU second")
    print(f"Parquet, pyarrow's decoding {args.rows / decode / 1e6:8.2f} M rows per CPU second")
    print(f"JSON lines, whole training  {args.json_rows / text / 1e6:8.2f} M rows per CPU second")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
