"""Two normal columns
==================

Two related normal columns, one of which hides its own large values: what each method makes of the holes.

::

    python examples/gaussian.py
"""

# sphinx_gallery_thumbnail_path = "figures/gaussian.png"

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import BLUE, GREY, ORANGE, arguments, fit_and_impute, over_runs, runs_of, scored, usual_methods, written
from torch import Tensor

from pyro_mnar import MNAR, PROBIT, ConjugateEncoder, GaussianDecoder, SelfMasking
from pyro_mnar.imputation.impute import Imputation

CORRELATION, SLOPE, MIDDLE = 0.6, 3.0, 0.3


def simulate(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the complete table (N, 2) and its mask: P(missing | x_1) = Phi(3 (x_1 - 0.3))."""
    generator = torch.Generator().manual_seed(seed)
    e = torch.randn(rows, 2, generator=generator)
    x = torch.stack([e[:, 0], CORRELATION * e[:, 0] + (1 - CORRELATION**2) ** 0.5 * e[:, 1]], -1)
    mask = torch.ones(rows, 2, dtype=torch.bool)
    mask[:, 1] = torch.rand(rows, generator=generator) > torch.special.ndtr(SLOPE * (x[:, 1] - MIDDLE))
    return x, mask


def declare(mechanism: SelfMasking | None) -> MNAR:
    decoder = GaussianDecoder(1, 2, hidden=())
    return MNAR(decoder, ConjugateEncoder(decoder, [16]), mechanism)


def run(args: argparse.Namespace) -> tuple[pd.DataFrame, Tensor, Tensor, MNAR, Imputation]:
    """Return the comparison's table, data, mask, and the model with its imputations."""
    x, mask = simulate(args.rows, args.seed)
    torch.manual_seed(args.seed)
    mnar = declare(SelfMasking(2, [1], "high", PROBIT))
    found = usual_methods(x, mask, args.seed, args.trees)
    found["MIWAE"] = fit_and_impute(declare(None), x, mask, args)
    result = found["not-MIWAE"] = fit_and_impute(mnar, x, mask, args)
    table = scored(found, x, ~mask)
    completed = [np.asarray(getattr(f, "completed", f))[:, 1] for f in found.values()]
    table["error of the mean of x_1"] = [float(column.mean() - x[:, 1].numpy().mean()) for column in completed]
    return table, x, mask, mnar, result


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Run the comparison for each seed; draw the first."""
    runs = [run(own) for own in runs_of(args)]
    _, x, mask, mnar, result = runs[0]
    with torch.no_grad():
        drawn = mnar.draw(20_000)[1]
        grid = torch.linspace(-3, 3, 121)
        learned = mnar.missing_rate(torch.stack([torch.zeros(121), grid], -1))[:, 1]

    figure = Figure(figsize=(9, 3.1), layout="constrained")
    data, density, curve = figure.subplots(1, 3)
    hidden = ~mask[:, 1]
    data.scatter(*x[mask[:, 1]].T, s=4, color=GREY, label="observed")
    data.scatter(*x[hidden].T, s=4, color=BLUE, label="hidden")
    data.scatter(*result.draws[0, hidden].T, s=4, color=ORANGE, label="imputed, one draw")
    data.set(xlabel="$x_0$", ylabel="$x_1$", title="data and imputations", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
    # The normal's own ellipses, and those of the draws' moments.
    angle = np.linspace(0, 2 * np.pi, 200)
    laws = ((x[mask[:, 1]], GREY, "complete rows", "-"), (drawn, ORANGE, "inferred", "-"), (x, BLUE, "all data", "--"))
    for moments, color, label, line in laws:
        root = np.linalg.cholesky(np.cov(moments.T))
        for radius in (1, 2):
            ellipse = moments.mean(0).numpy()[:, None] + radius * root @ np.stack([np.cos(angle), np.sin(angle)])
            density.plot(*ellipse, color=color, linestyle=line, linewidth=1.2, label=label if radius == 1 else None)
    density.set(xlabel="$x_0$", ylabel="$x_1$", title="inferred density (1 and 2 sd)", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
    curve.plot(grid, torch.special.ndtr(SLOPE * (grid - MIDDLE)), color=BLUE, linestyle="--", label="true")
    curve.plot(grid, learned, color=ORANGE, label="learned")
    curve.plot(x[mask[:, 1], 1], np.full(int(mask[:, 1].sum()), -0.03), "|", color=GREY, alpha=0.3, markersize=4)
    curve.set(xlabel="$x_1$ (ticks: observed)", ylabel="P(missing)", title="missingness")
    for axis in (data, density, curve):
        axis.legend(frameon=False, fontsize=7)
    return written(figure, over_runs([r[0] for r in runs]), args, "gaussian")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(__doc__, "gaussian", argv, rows=1000, seeds=5, steps=1000, particles=20, particles_imputing=500, trees=50)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
