"""What the examples share: the usual methods, one call that fits and imputes, a table of scores."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, fit, impute
from pyro_mnar.results.imputation import Imputation
from pyro_mnar.results.scores import coverage, crps, rmse

#: Okabe and Ito's colours, told apart by the colour-blind: observed, imputed, true.
GREY, ORANGE, BLUE, GREEN = "#555555", "#D55E00", "#0072B2", "#009E73"


def arguments(description: str, name: str, argv: Sequence[str] | None, **defaults: Any) -> argparse.Namespace:
    """Return the arguments of an example: ``output``, ``seed`` and ``defaults``, each an option of its value's type."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--output", default=f"example-output/{name}", help="folder for figure and table")
    parser.add_argument("--seed", type=int, default=0)
    for option, value in defaults.items():
        kind = str if value is None else type(value)
        parser.add_argument(f"--{option.replace('_', '-')}", type=kind, default=value, help=f"default: {value}")
    return parser.parse_args(argv)


def usual_methods(x: Tensor, mask: Tensor, seed: int, trees: int = 50, rounds: int = 10) -> dict[str, np.ndarray]:
    """Return the table completed by column means, nearest neighbours, chained forests (for ``trees`` > 0) and MICE, each (N, D)."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    holed = torch.where(mask, x, torch.nan).numpy()
    methods: dict[str, Any] = {"mean": SimpleImputer(), "KNN": KNNImputer()}
    if trees:
        forest = RandomForestRegressor(trees, random_state=seed)
        methods["random forest"] = IterativeImputer(forest, max_iter=min(rounds, 3), skip_complete=True, random_state=seed)
    methods["MICE"] = IterativeImputer(max_iter=rounds, skip_complete=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fixed number of rounds is the recipe, whether they converged or not
        return {name: method.fit_transform(holed) for name, method in methods.items()}


def fit_and_impute(mnar: MNAR, x: Tensor, mask: Tensor, args: argparse.Namespace, draws: int = 100, **training: Any) -> Imputation:
    """Fit ``mnar`` for ``args.steps`` with ``args.particles``, and impute the same rows."""
    mnar.initialise(x, mask)
    estimator = training.pop("estimator", "dreg")
    settings: dict[str, Any] = {"lr": 1e-2, "mechanism_lr": 5e-2, "weight_decay": 0.0} | training
    fit(IWELBO(mnar, args.particles, estimator), x, mask, steps=args.steps, seed=args.seed, **settings)
    return impute(mnar, x, mask, draws=draws, particles=args.particles_imputing, seed=args.seed)


def scored(found: Mapping[str, Imputation | np.ndarray], truth: Tensor, hidden: Tensor) -> pd.DataFrame:
    """Return RMSE, CRPS and coverage of 90 % intervals of the ``hidden`` cells (N, D); of point methods the first two."""
    rows, there = {}, hidden.numpy()
    for name, result in found.items():
        if isinstance(result, Imputation):
            drawn = result.draws.numpy()[:, there]
            point, spread = result.completed.numpy()[there], coverage(drawn, truth.numpy()[there], 0.9)
        else:
            point, spread = result[there], np.nan
            drawn = point[None]
        values = truth.numpy()[there]
        rows[name] = {"RMSE": rmse(point, values), "CRPS": crps(drawn, values), "90 % coverage": spread}
    return pd.DataFrame(rows).T


def written(figure: Figure, table: pd.DataFrame, output: str, name: str) -> pd.DataFrame:
    """Print the table, write it and the figure to the folder ``output``, and return it."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    print(table.round(3).to_string())
    table.round(4).to_csv(folder / f"{name}.csv")
    figure.savefig(folder / f"{name}.png", dpi=130)
    print(f"written to {folder}: {name}.csv, {name}.png")
    return table
