"""The demo: values of a real table hidden and recovered
=====================================================

Hide values of a real table because of what they are, get them back, and compare with the usual methods.

The breast-cancer table that ships with scikit-learn (569 x 30); in its first 15 columns large values go missing by soft self-masking.
This package runs three times: told that missingness says nothing (`at random`), told nothing, so that the data choose the reasons, and
told what is true here and what a user may know: large values go missing. Writes the last one's completed table, draws, fitted model and
figures, and reasons.csv: what was decided when nothing was stated.

::

    python examples/demo.py --output demo-output
"""

# sphinx_gallery_thumbnail_path = "figures/imputed.png"

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from pyro_mnar import MNARImputer, amputate
from pyro_mnar.analysis.scores import coverage, crps, rmse
from pyro_mnar.data import load, write_table
from pyro_mnar.imputation.netcdf import write_draws
from pyro_mnar.imputer.summary import assumptions
from pyro_mnar.plots.model import plot_distributions, plot_missingness, plot_training


def column_mean(holed: pd.DataFrame, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the table filled with column means, and draws from the observed values."""
    rng = np.random.default_rng(seed)
    sampled = np.repeat(holed.to_numpy()[None], draws, 0)
    for j in range(holed.shape[1]):
        observed = holed.iloc[:, j].dropna().to_numpy()
        holes = holed.iloc[:, j].isna().to_numpy()
        sampled[:, holes, j] = rng.choice(observed, (draws, holes.sum()))
    return holed.fillna(holed.mean()).to_numpy(), sampled


def mice(holed: pd.DataFrame, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's chained equations (10 rounds): the mean of its posterior draws, and the draws."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that ten rounds did not converge
        point = IterativeImputer(max_iter=10, random_state=seed).fit_transform(holed)
        # A chain costs a fit: few chains, each draw used as often as needed.
        chains = [
            IterativeImputer(max_iter=10, sample_posterior=True, random_state=seed + i).fit_transform(holed)
            for i in range(min(draws, 5))
        ]
    return point, np.stack([chains[i % len(chains)] for i in range(draws)])


def ours(imputer: MNARImputer) -> Callable[[pd.DataFrame, int, int], tuple[np.ndarray, np.ndarray]]:
    """Return a method that fits ``imputer`` and returns its posterior means and draws."""

    def method(holed: pd.DataFrame, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        result = imputer.fit(holed).impute(holed, draws=draws)
        return result.completed.numpy(), result.draws.numpy()

    return method


def imputed_against_truth(hidden: np.ndarray, found: dict[str, np.ndarray]) -> Figure:
    """Return a panel for each method: imputed against true values, of the same hidden cells, in standard deviations."""
    figure = Figure(figsize=(8.0, 3.3), layout="constrained")
    axes = figure.subplots(1, len(found), sharex=True, sharey=True)
    ends = np.quantile(hidden, [0.0, 0.998])
    for axis, (name, point) in zip(axes, found.items(), strict=True):
        axis.plot(ends, ends, color="#444444", linewidth=0.8)
        axis.scatter(hidden, point, s=3, alpha=0.35, linewidths=0, color="#D55E00" if name.startswith("pyro_mnar") else "#0072B2")
        axis.set(title=f"{name}\nRMSE {rmse(point, hidden):.2f}", xlabel="hidden value (sd)", xlim=ends, ylim=ends)
        axis.title.set_fontsize(10)
        axis.set_box_aspect(1)
    axes[0].set_ylabel("imputed value (sd)")
    return figure


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Run the comparison; return its table."""
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    frame = load("breast")
    mask = amputate(frame, "self", rate=args.rate, slope=args.slope, seed=args.seed)
    holed, truth, scale = frame.where(mask), frame.to_numpy(), frame.std(ddof=0).to_numpy()
    settings: dict[str, Any] = {"members": args.members, "steps": args.steps, "random_state": args.seed}
    untold = MNARImputer(**settings)
    told = MNARImputer("self-masking", direction="high", **settings)
    methods = {
        "column mean": column_mean,
        "MICE": mice,
        "pyro_mnar, at random": ours(MNARImputer("none", **settings)),
        "pyro_mnar, nothing stated": ours(untold),
        "pyro_mnar, high stated": ours(told),
    }
    rows, points, sampled = {}, {}, np.empty(0)
    for name, method in methods.items():
        start = time.perf_counter()
        point, sampled = method(holed, args.draws, args.seed)
        seconds = time.perf_counter() - start
        center = truth.mean(0)
        hidden, drawn = ((truth - center) / scale)[~mask], ((sampled - center) / scale)[:, ~mask]
        points[name] = ((point - center) / scale)[~mask]
        rows[name] = {
            "RMSE": rmse(points[name], hidden),
            "CRPS": crps(drawn, hidden),
            "50 % coverage": coverage(drawn, hidden, 0.5),
            "90 % coverage": coverage(drawn, hidden, 0.9),
            "seconds": seconds,
        }
    table = pd.DataFrame(rows).T
    print(f"breast cancer, {frame.shape[0]} x {frame.shape[1]}, {(~mask).sum()} values hidden by self-masking; in standard deviations")
    print(table.round(3).to_string())
    for heading, imputer in (("Nothing stated:", untold), ("High stated:", told)):
        print(heading, *assumptions(imputer), sep="\n")

    untold.reasons_.to_csv(output / "reasons.csv")
    write_table(told.transform(holed), output / "completed.csv")
    write_draws(output / "draws.nc", sampled[:20], mask, list(frame.index), list(frame.columns))
    told.save(output / "model")
    shown = {name: points[name] for name in ("column mean", "MICE", "pyro_mnar, nothing stated")}
    imputed_against_truth(hidden, shown).savefig(output / "imputed.png", dpi=110)
    plot_training(told.histories_).savefig(output / "training.png", dpi=150)
    plot_distributions(truth, mask, sampled, list(frame.columns), truth).savefig(output / "distributions.png", dpi=150)
    curves = told.missingness()
    observed = [holed[name].dropna().to_numpy() for name, _, _ in curves]
    plot_missingness(curves, observed).savefig(output / "missingness.png", dpi=150)
    print(
        f"written to {output}: completed.csv, draws.nc, model, reasons.csv, and as .png imputed, training, distributions, missingness"
    )
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="demo-output", help="folder for what is written")
    parser.add_argument("--rate", type=float, default=0.3, help="share of values hidden in a masked column")
    parser.add_argument("--slope", type=float, default=3.0, help="log-odds of missing per standard deviation")
    parser.add_argument("--steps", type=int, default=1000, help="training updates of each model")
    parser.add_argument("--members", type=int, default=8, help="models of each ensemble")
    parser.add_argument("--draws", type=int, default=200, help="draws of each missing value")
    parser.add_argument("--seed", type=int, default=0)
    torch.set_num_threads(1)
    main(parser.parse_args())
