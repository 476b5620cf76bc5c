"""Accuracy of ``pyro-mnar impute`` on the not-MIWAE paper's UCI protocol (arXiv 2006.12871), one set of defaults for every table.

Columns are standardised with the full data; in the first half of them every value above the column's mean goes missing; the root mean
squared error is over the missing cells, in standardised units. Each table goes through the command line as a CSV, direction high.

    python benchmarks/accuracy.py --data-home ../shared/data [--tables banknote red] [--seeds 1]
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
import pandas as pd

from pyro_mnar.tables import amputate, load

TABLES = ("banknote", "concrete", "red", "white", "breast", "diabetes", "wine")


def run(name: str, data_home: str | None, seed: int) -> dict:
    """Return the scores of one table."""
    frame = load(name, data_home).astype(float)
    x = (frame - frame.mean()) / frame.std(ddof=0)
    mask = amputate(x, "hard")
    with tempfile.TemporaryDirectory() as folder:
        table, output = Path(folder, "table.csv"), Path(folder, "completed.csv")
        x.where(mask).to_csv(table, index=False)
        start = time.perf_counter()
        command = [sys.executable, "-m", "pyro_mnar", "impute", str(table), "--output", str(output)]
        subprocess.run(
            [*command, "--mechanism", "self-masking", "--direction", "high", "--seed", str(seed)], check=True, stdout=subprocess.DEVNULL
        )
        seconds = time.perf_counter() - start
        completed = pd.read_csv(output).to_numpy()
    truth = x.to_numpy()
    observed = np.where(mask, truth, np.nan)
    constant = 2 * np.nanmax(observed, 0) - np.nanmean(observed, 0)

    def rmse(values: np.ndarray) -> float:
        return float(np.sqrt(np.mean((np.broadcast_to(values, truth.shape) - truth)[~mask] ** 2)))

    return {
        "table": name,
        "seed": seed,
        "rmse": rmse(completed),
        "observed mean": rmse(np.nanmean(observed, 0)),
        "2 max - mean": rmse(constant),
        "seconds": seconds,
    }


def main() -> None:
    """Print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-home", default="../shared/data", help="folder that holds uci/*.csv")
    parser.add_argument("--tables", nargs="+", default=TABLES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", default="benchmarks/results/accuracy.json")
    options = parser.parse_args()
    rows = []
    for name in options.tables:
        for seed in range(options.seeds):
            rows.append(run(name, options.data_home, seed))
            print(json.dumps(rows[-1]), flush=True)
    print(pd.DataFrame(rows).drop(columns="seed").groupby("table", sort=False).mean().round(3).to_string())
    Path(options.output).parent.mkdir(parents=True, exist_ok=True)
    Path(options.output).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
