"""Memory and time of a table completed row group by row group, at several numbers of rows, each in a process of its own.

    python -m benchmarks.large_tables [--rows 10000 100000] [--members 1] [--columns 4]

Prints rows, seconds, rows a second and peak gigabytes, the libraries' own included, and writes JSON to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.shard_run import impute_shards

GROUP = 50_000


def rows_of(rows: int, columns: int, start: int = 0) -> pa.Table:
    """Return rows of correlated columns, large values of the first one missing, with an id each."""
    rng = np.random.default_rng(start)
    values = rng.normal(size=(rows, columns)) + rng.normal(size=(rows, 1))
    values[values[:, 0] > 1, 0] = np.nan
    table = {"id": pa.array(np.arange(start, start + rows))}
    return pa.table(table | {f"x{j}": pa.array(values[:, j], from_pandas=True) for j in range(columns)})


def _peak_kilobytes() -> int:
    # Not of getrusage, which holds what a parent took before this process was its own.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def measure(folder: str, rows: int, columns: int) -> dict[str, float]:
    """Complete ``rows`` rows with the model in ``folder`` and return seconds and the process's peak memory."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        source = Path(home, "in.parquet")
        with pq.ParquetWriter(source, rows_of(1, columns).schema) as writer:
            for start in range(0, rows, GROUP):
                writer.write_table(rows_of(min(GROUP, rows - start), columns, start))
        imputer, start_time = MNARImputer.load(folder), time.perf_counter()
        imputer.progress, imputer.tolerance = False, 0.2
        impute_shards(imputer, "benchmark", source, Path(home, "out"), label="id")
        seconds = time.perf_counter() - start_time
    return {"rows": rows, "seconds": seconds, "peak gigabytes": _peak_kilobytes() / 2**20}


def main() -> None:
    """Fit a small model, then measure each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--output", default="benchmarks/results", help="folder")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as home:
        frame = rows_of(500, options.columns).drop_columns(["id"]).to_pandas()
        settings = {"members": options.members, "hidden": (16,), "steps": 50, "progress": False}
        MNARImputer("self-masking", {"x0": "high"}, **settings).fit(frame).save(Path(home, "m"))
        for rows in options.rows:
            call = f"print(json.dumps(measure({str(Path(home, 'm'))!r}, {rows}, {options.columns})))"
            code = f"import json; from benchmarks.large_tables import measure; {call}"
            output = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
            results.append(json.loads(output.splitlines()[-1]))
            said = results[-1]
            print(
                f"{rows:9} rows, {said['seconds']:.0f} s, {rows / said['seconds']:.0f} rows/s, {said['peak gigabytes']:.3f} GB",
                flush=True,
            )
    Path(options.output).mkdir(parents=True, exist_ok=True)
    Path(options.output, "large_tables.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
