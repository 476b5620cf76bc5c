"""What it is worth to model a value that repeats, on simulated tables of which three of eight columns have it.

    python -m benchmarks.semicontinuous [--masks hard steep-low] [--seeds 1]

``cut``: a normal column cut at 0, so that 0 and the smallest values go together. ``coin``: whether a value is 0 has reasons of its own,
and the others are gamma. Both as the imputer infers them and as ``continuous``. Prints a table of means over seeds and writes JSON to
``benchmarks/results/semicontinuous.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from tqdm import tqdm

from benchmarks.imputation.masks import MASKS, masked
from benchmarks.imputation.scoring import score
from pyro_mnar import MNARImputer

N_MASSED = 3
SHOWN = {"rmse": "RMSE", "crps": "CRPS", "coverage_90": "coverage 90 %", "interval_90": "interval score"}


def simulated(kind: str, seed: int, rows: int = 1000) -> pd.DataFrame:
    """Return a table (rows, 8) of four factors, the first three columns with a half or more zeros."""
    rng = np.random.default_rng(seed)
    z, weight = rng.normal(size=(rows, 4)), rng.normal(size=(4, 8))
    x = z @ weight + 0.8 * rng.normal(size=(rows, 8))
    x /= x.std(0)
    if kind == "cut":
        x[:, :N_MASSED] = np.maximum(x[:, :N_MASSED] - 0.1, 0.0)
    else:
        some = stats.gamma(2).ppf(stats.norm.cdf(x[:, :N_MASSED]).clip(1e-6, 1 - 1e-6))
        reasons = z @ rng.normal(size=(4, N_MASSED))
        coin = 0.7 * reasons / reasons.std(0) + 0.7 * rng.normal(size=(rows, N_MASSED)) > 0
        x[:, :N_MASSED] = np.where(coin, some, 0.0)
    return pd.DataFrame(x)


def main(options: argparse.Namespace) -> pd.DataFrame:
    """Run the cells; return the table of means over seeds."""
    torch.set_num_threads(1)
    cells = []
    grid = [
        (t, m, k, s) for t in ("cut", "coin") for m in options.masks for k in ("continuous", "inferred") for s in range(options.seeds)
    ]
    for table, name, kind, seed in tqdm(grid, unit="fit", disable=None):
        x, mask = masked(simulated(table, 1 + seed), name, seed)
        holed = np.where(mask, x, np.nan)
        kinds = {j: "continuous" for j in range(N_MASSED)} if kind == "continuous" else None
        settings = {"members": options.members, "steps": options.steps, "kinds": kinds, "progress": False}
        result = MNARImputer("self-masking", MASKS[name].direction, **settings).fit(holed).impute(holed, draws=200)
        scores = score(result.completed.numpy(), result.draws.numpy(), x, mask)
        cells.append({"table": table, "mask": name, "kind": kind, "seed": seed} | scores)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(cells, indent=1))
    means = pd.DataFrame(cells).groupby(["table", "mask", "kind"], sort=False)[list(SHOWN)].mean().rename(columns=SHOWN)
    print(means.round(3).to_markdown())
    return means


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--masks", nargs="+", choices=MASKS, default=["hard", "soft-high", "soft-low", "steep-high", "steep-low", "mcar"]
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/semicontinuous.json"))
    main(parser.parse_args())
