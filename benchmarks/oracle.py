"""Intervals against exact ones: a simulated table of which the law of every missing cell is known.

    python -m benchmarks.oracle [--seeds 3] [--ways nothing told] [--members 8] [--steps 1000] [--jobs 2]

After the simulation of MissBGM (2026). A row has 5 anchors, which are complete, and 45 targets,

    a ~ N(0, I),    y_j = beta_j' a + b_j + sigma_j e,    beta ~ N(0, .4^2),  b ~ N(0, .3^2),  sigma ~ U(.6, 1.2),  e ~ N(0, 1)

and y_j is missing exactly where it lies above beta_j' a + b_j + sigma_j kappa, kappa = Phi^-1(1 - rate): by itself, at a threshold that
moves with the anchors. Given the anchors (the other targets say nothing more) a missing cell is that normal cut from below, and

    its quantile at p = beta_j' a + b_j + sigma_j Phi^-1(1 - rate + p rate),

so that an imputer's interval has an exact one beside it. Ways: ``nothing`` stated, ``none`` (ignorable), ``told`` that high values go
missing. Prints coverage, width relative to the exact interval's, RMSE and CRPS relative to the exact law's; writes JSON to
``benchmarks/results/oracle.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import ndtri
from tqdm import tqdm

from pyro_mnar import MNARImputer
from pyro_mnar.analysis.scores import coverage, crps, interval_width, rmse

N_ANCHORS = 5
N_TARGETS = 45
WAYS: dict[str, dict[str, Any]] = {"nothing": {}, "none": {"mechanism": "none"}, "told": {"direction": "high"}}


class Oracle:
    """A simulated table (N, 50): ``values``, complete; ``mask``, True = observed; ``location`` and ``scale`` of the targets."""

    def __init__(self, rows: int, rate: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        anchors = rng.normal(size=(rows, N_ANCHORS))
        beta, b = 0.4 * rng.normal(size=(N_ANCHORS, N_TARGETS)), 0.3 * rng.normal(size=N_TARGETS)
        self.rate, self.scale = rate, rng.uniform(0.6, 1.2, N_TARGETS)
        self.location = anchors @ beta + b
        noise = rng.normal(size=(rows, N_TARGETS))
        self.values = np.column_stack([anchors, self.location + self.scale * noise])
        self.mask = np.column_stack([np.ones_like(anchors, bool), noise <= ndtri(1 - rate)])

    def quantile(self, p: np.ndarray | float) -> np.ndarray:
        """Return the exact quantile at ``p`` of each missing cell, (..., C), in the order of ``values[~mask]``."""
        inner = self.location + self.scale * ndtri(1 - self.rate + self.rate * np.asarray(p)[..., None, None])
        return inner[..., ~self.mask[:, N_ANCHORS:]]


def cell(rows: int, rate: float, seed: int, way: str, draws: int, level: float = 0.9, **settings: Any) -> dict[str, float]:
    """Return the scores of one imputation; ``settings`` are of :class:`~pyro_mnar.MNARImputer`."""
    oracle = Oracle(rows, rate, seed)
    holed, hidden = np.where(oracle.mask, oracle.values, np.nan), oracle.values[~oracle.mask]
    start = time.perf_counter()
    imputer = MNARImputer(random_state=seed, progress=False, **WAYS[way], **settings)
    result = imputer.fit(holed).impute(holed, draws=draws)
    seconds = time.perf_counter() - start
    drawn, point = result.draws.numpy()[:, ~oracle.mask], result.completed.numpy()[~oracle.mask]
    low, high = oracle.quantile((1 - level) / 2), oracle.quantile((1 + level) / 2)
    # As many exact draws as there are of the imputer's, evenly spaced: their mean is the exact one but for 1 / draws.
    exact = oracle.quantile((np.arange(draws) + 0.5) / draws)
    return {
        "coverage": coverage(drawn, hidden, level),
        "exact coverage": float(((hidden >= low) & (hidden <= high)).mean()),
        "relative width": interval_width(drawn, level) / float((high - low).mean()),
        "relative RMSE": rmse(point, hidden) / rmse(exact.mean(0), hidden),
        "relative CRPS": crps(drawn, hidden) / crps(exact, hidden),
        "seconds": seconds,
    }


def main(options: argparse.Namespace) -> pd.DataFrame:
    """Run the ways for each seed; return the table of means."""
    torch.set_num_threads(1)
    settings = {"members": options.members, "steps": options.steps, "n_jobs": options.jobs}
    cells = []
    for seed, way in tqdm([(s, w) for s in range(options.seeds) for w in options.ways], unit="fit", disable=None):
        found = cell(options.rows, options.rate, seed, way, options.draws, **settings)
        cells.append({"way": way, "seed": seed, "rows": options.rows, "rate": options.rate, **settings} | found)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(cells, indent=1))
    means = pd.DataFrame(cells).groupby("way", sort=False)[list(found)].mean()
    print("90 % intervals, means over seeds; widths, RMSE and CRPS over those of the exact law")
    print(means.round(3).to_string())
    return means


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--rate", type=float, default=0.5, help="of missing targets")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1, help="processes that fit the members of one imputer")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/oracle.json"))
    main(parser.parse_args())
