"""Memory and time of a table that a model is fitted to and that is completed row group by row group, at several numbers of rows.

    python -m benchmarks.large_tables [--rows 10000 100000] [--members 1] [--columns 4] [--above 1.0]

Each in a process of its own. Prints rows, seconds of processor time for both, the rows a second of each and peak gigabytes, the
libraries' own included, and writes JSON to ``benchmarks/results``. Values of the first column above ``--above`` are missing: of 1 a
quarter, of 3 one in sixty, so that ten million rows can be measured.
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
from pyro_mnar.imputer.shards.parquet_fit import fit_parquet
from pyro_mnar.imputer.shards.shard_run import impute_shards

GROUP = 50_000


def rows_of(rows: int, columns: int, start: int = 0, above: float = 1.0) -> pa.Table:
    """Return rows of correlated columns, values of the first one ``above`` some missing, with an id each."""
    rng = np.random.default_rng(start)
    values = rng.normal(size=(rows, columns)) + rng.normal(size=(rows, 1))
    values[values[:, 0] > above, 0] = np.nan
    table = {"id": pa.array(np.arange(start, start + rows))}
    return pa.table(table | {f"x{j}": pa.array(values[:, j], from_pandas=True) for j in range(columns)})


def peak_kilobytes(process: str = "self") -> int:
    """Return the most memory that a process has had, by its number; this one's."""
    # Not of getrusage, which holds what a parent took before this process was its own.
    (line,) = (line for line in Path("/proc", process, "status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def measure(rows: int, columns: int, members: int, above: float) -> dict[str, float]:
    """Fit a small model to ``rows`` rows and complete them; return processor seconds of each and the process's peak memory so far."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        source = Path(home, "in.parquet")
        with pq.ParquetWriter(source, rows_of(1, columns).schema) as writer:
            for start in range(0, rows, GROUP):
                writer.write_table(rows_of(min(GROUP, rows - start), columns, start, above))
        imputer = MNARImputer("self-masking", {"x0": "high"}, members=members, hidden=(16,), steps=50, tolerance=0.2, progress=False)
        begun = time.process_time()
        fit_parquet(imputer, source, label="id")
        fitted, peak = time.process_time(), peak_kilobytes()
        impute_shards(imputer, "benchmark", source, Path(home, "out"), label="id")
        done = time.process_time()
    found = {"rows": rows, "above": above, "fit seconds": fitted - begun, "fit peak gigabytes": peak / 2**20}
    return found | {"impute seconds": done - fitted, "peak gigabytes": peak_kilobytes() / 2**20}


def main() -> None:
    """Measure each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--above", type=float, default=1.0)
    parser.add_argument("--output", default="benchmarks/results", help="folder")
    options = parser.parse_args()
    results = []
    for rows in options.rows:
        call = f"print(json.dumps(measure({rows}, {options.columns}, {options.members}, {options.above})))"
        code = f"import json; from benchmarks.large_tables import measure; {call}"
        output = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
        results.append(json.loads(output.splitlines()[-1]))
        said = results[-1]
        print(
            f"{rows:9} rows, fit {said['fit seconds']:.0f} s, {said['fit peak gigabytes']:.3f} GB; imputed "
            f"{said['impute seconds']:.0f} s, {rows / said['impute seconds']:.0f} rows/s, {said['peak gigabytes']:.3f} GB",
            flush=True,
        )
    Path(options.output).mkdir(parents=True, exist_ok=True)
    Path(options.output, "large_tables.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
