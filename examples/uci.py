"""One table of the accuracy benchmark
===================================

One table of the accuracy benchmark, by the published hard rule and by soft self-masking: what each method makes of it.

Methods, masks and scores are those of ``python -m benchmarks.imputation``, which runs all tables, masks and seeds (hours).

::

    python examples/uci.py --data-home ../shared/data
"""

# sphinx_gallery_thumbnail_path = "figures/uci.png"

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import GREY, ORANGE, arguments, over_runs, runs_of, written

from pyro_mnar.data import load

sys.path.append(str(Path(__file__).parents[1]))  # the benchmarks stand beside the examples

from benchmarks.imputation.masks import MASKS, masked
from benchmarks.imputation.methods import METHODS
from benchmarks.imputation.scoring import score

SHOWN = {
    "mean": "mean",
    "knn": "KNN",
    "missforest": "random forest",
    "mice": "MICE",
    "constant": "constant, 2 max - mean",
    "censored-normal": "censored normal, Gibbs",
    "ours-none": "imputer, no mechanism",
    "ours-told": "imputer, self-masking",
}


def run(name: str, args: argparse.Namespace) -> pd.DataFrame:
    """Return the scores of every method on a table with one mask."""
    truth, mask = masked(load(args.table, args.data_home)[: args.rows], name, args.seed)
    lines = {}
    for method, label in SHOWN.items():
        if args.methods and method not in args.methods.split(","):
            continue
        function = METHODS[method].function
        completed, draws = function(np.where(mask, truth, np.nan), seed=args.seed, draws=200, direction=MASKS[name].direction)
        found = score(completed, draws, truth, mask)
        lines[label] = {"RMSE": found["rmse"], "CRPS": found["crps"], "90 % coverage": found.get("coverage_90", np.nan)}
    return pd.concat({f"{args.table}, {name}": pd.DataFrame(lines).T.astype(float)})


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Run both masks for each seed."""
    table = pd.concat([over_runs([run(name, own) for own in runs_of(args)]) for name in ("hard", "soft-high")])
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axis, name in zip(figure.subplots(1, 2, sharey=True), ("hard", "soft-high"), strict=True):
        part = table.loc[f"{args.table}, {name}"]
        axis.barh(list(part.index), part["CRPS"], color=[ORANGE if "self-masking" in label else GREY for label in part.index])
        axis.set(title=name, xlabel="CRPS of hidden cells (standard deviations)")
    axis.invert_yaxis()
    return written(figure, table, args, "uci")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    args = arguments(__doc__, "uci", argv, table=None, data_home=None, rows=10_000, methods=None, seeds=1)
    args.table = args.table or ("wine" if args.data_home is None else "banknote")
    return args


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
