"""Tables of few rows for their columns: what one layer and ten latents cost there, and what is done instead.

    python -m benchmarks.short_tables [--seeds 0 1 2] [--output benchmarks/results/short_tables.json]

Simulated tables of a few factors with noise, and some rows of two of scikit-learn's; three in ten cells are hidden completely at
random, and missingness is taken as ignorable. ``layer``: one hidden layer of 128 and ten latents, the defaults of long tables.
``none``: the same without a layer. ``shown``: without a layer, and with as many latents as the table shows factors; ``default``: with
twice as many, ten at most. Eight members. RMSE, CRPS and the coverage of 90 % intervals are of hidden cells in units of columns'
standard deviations, means over seeds of table and mask. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer, load_wine

from benchmarks.imputation.masks import masked
from benchmarks.imputation.scoring import score
from pyro_mnar import MNARImputer
from pyro_mnar.imputer.training.factors import factors_of

SCORES = ("rmse", "crps", "coverage_90")
SETTINGS: dict[str, dict[str, Any]] = {
    "layer": {"hidden": (128,), "latent_dim": 10},
    "none": {"latent_dim": 10},
    "shown": {},
    "default": {},
}


def tables(seed: int) -> dict[str, np.ndarray]:
    """Return the tables (N, D), of fewer than five rows a column, by name."""
    rng = np.random.default_rng(seed)

    def simulated(n: int, d: int, factors: int, noise: float) -> np.ndarray:
        return rng.normal(size=(n, factors)) @ rng.normal(size=(factors, d)) / factors**0.5 + noise * rng.normal(size=(n, d))

    def some(x: np.ndarray, n: int) -> np.ndarray:
        return x[rng.permutation(len(x))[:n]]

    return {
        "60 x 40, 4 factors": simulated(60, 40, 4, 0.4),
        "100 x 30, 6 factors": simulated(100, 30, 6, 0.6),
        "50 x 20, 3 factors": simulated(50, 20, 3, 0.5),
        "breast, 60 x 30": some(load_breast_cancer().data, 60),
        "wine, 40 x 13": some(load_wine().data, 40),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run all, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="fewer training steps, for a quick look")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/short_tables.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    shorter = {} if options.steps is None else {"steps": options.steps, "members": 2}
    rows = []
    for seed in options.seeds:
        for name, x in tables(seed).items():
            truth, mask = masked(pd.DataFrame(x), "mcar", seed)
            holed = np.where(mask, truth, np.nan)
            for settings, given in SETTINGS.items():
                shown = {"latent_dim": factors_of(holed, mask)} if settings == "shown" else {}
                imputer = MNARImputer("none", random_state=seed, progress=False, **given, **shown, **shorter)
                found = imputer.fit(holed).impute(holed, draws=100)
                scores = score(found.completed.numpy(), found.draws.numpy(), truth, mask)
                rows.append({"table": name, "settings": settings, "seed": seed} | {key: float(scores[key]) for key in SCORES})
    means = pd.DataFrame(rows).groupby(["table", "settings"], sort=False)[list(SCORES)].mean()
    print(means.unstack().swaplevel(axis=1)[list(SETTINGS)].round(3).to_markdown())
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
