"""Inferred mechanisms and their uncertainty
=========================================

Inferred mechanisms with their uncertainty over refits, and whether masks drawn from the model look like those seen.

::

    python examples/mechanisms.py
"""

# sphinx_gallery_thumbnail_path = "figures/mechanisms.png"

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import BLUE, GREY, ORANGE, arguments, over_runs, runs_of, scored, usual_methods, written
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, PROBIT, ConjugateEncoder, GaussianDecoder, Prior, SelfMasking, fit, impute
from pyro_mnar.imputation.impute import Imputation

#: (slope, intercept) of the probit by which each of the first three columns hides itself.
TRUE = {"rises": (2.0, -0.7), "falls": (-2.0, -0.7), "by chance": (0.0, -0.6)}


def simulate(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return five related columns of unit scale and the mask."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.tensor([[0.8, 0.7, 0.6, 0.8, 0.1], [0.0, 0.4, -0.5, 0.2, 0.8]])
    scale = (1 - weight.square().sum(0)).sqrt()
    x = torch.randn(rows, 2, generator=generator) @ weight + scale * torch.randn(rows, 5, generator=generator)
    mask = torch.ones(rows, 5, dtype=torch.bool)
    for j, (slope, intercept) in enumerate(TRUE.values()):
        mask[:, j] = torch.rand(rows, generator=generator) > torch.special.ndtr(slope * x[:, j] + intercept)
    return x, mask


def refitted(x: Tensor, mask: Tensor, masked: bool, args: argparse.Namespace) -> tuple[list[MNAR], Imputation]:
    """Return an ensemble of models, with a mechanism or without, and what they impute."""
    torch.manual_seed(args.seed)
    members = []
    for prior in Prior.members(args.members, 5, 3):
        decoder = GaussianDecoder(2, 5, hidden=())
        mechanism = SelfMasking(5, [0, 1, 2], "free", PROBIT) if masked else None
        members.append(MNAR(decoder, ConjugateEncoder(decoder, [16]), mechanism, prior=prior))
        members[-1].initialize(x, mask)
    fit([IWELBO(member, 5) for member in members], x, mask, steps=args.steps, seed=args.seed)
    return members, impute(members, x, mask, draws=100, particles=args.particles_imputing, seed=args.seed)


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Fit the ensembles for each seed; return scores of their imputations and of the usual methods. Draw the first seed's."""
    tables = []
    for own in reversed(runs_of(args)):
        x, mask = simulate(args.rows, own.seed)
        found = usual_methods(x, mask, own.seed, args.trees)
        found[f"MIWAE, {args.members} refits"] = refitted(x, mask, False, own)[1]
        members, result = refitted(x, mask, True, own)
        tables.append(scored(found | {f"not-MIWAE, {args.members} refits": result}, x, ~mask))

    figure = Figure(figsize=(9, 4.8), layout="constrained")
    above, below = figure.subplots(2, 3)
    grid, generator = torch.linspace(-3, 3, 121), torch.Generator().manual_seed(args.seed)
    fifth = torch.bucketize(x[:, 3].contiguous(), x[:, 3].quantile(torch.linspace(0, 1, 6))[1:-1])
    for j, (name, (slope, intercept)) in enumerate(TRUE.items()):
        with torch.no_grad():
            rows = torch.zeros(121, 5).index_copy(1, torch.tensor([j]), grid.unsqueeze(-1))
            curves = torch.stack([member.missing_rate(rows)[:, j] for member in members])
            # Masks of the whole table drawn again: complete rows from the posterior, then each its mask.
            again = torch.stack([members[i % len(members)].missing_rate(draw)[:, j] for i, draw in enumerate(result.draws)])
            again = torch.rand(again.shape, generator=generator) < again
        for i, curve in enumerate(curves):
            above[j].plot(grid, curve, color=ORANGE, alpha=0.6, linewidth=1, label=None if i else "refits")
        above[j].plot(grid, torch.special.ndtr(slope * grid + intercept), color=BLUE, linestyle="--", label="true")
        above[j].plot(x[mask[:, j], j], np.full(int(mask[:, j].sum()), -0.04), "|", color=GREY, alpha=0.3, markersize=4)
        above[j].set_title(f"column {j}: missingness {name}", fontsize=9)
        above[j].set(xlabel="value (ticks: observed)", ylim=(-0.08, 1.03))
        shares = torch.stack([again[:, fifth == f].float().mean(1) for f in range(5)], -1).quantile(torch.tensor([0.05, 0.95]), 0)
        below[j].vlines(range(1, 6), *shares.numpy(), color=ORANGE, linewidth=5, alpha=0.6, label="drawn again, 90 %")
        seen = [float((~mask[fifth == f, j]).float().mean()) for f in range(5)]
        below[j].plot(range(1, 6), seen, "o", color=GREY, label="seen")
        below[j].set(xlabel="fifth of the rows by column 3", ylim=(0, 1))
    above[0].set_ylabel("P(missing)")
    below[0].set_ylabel("share missing")
    above[0].legend(frameon=False, fontsize=8)
    below[0].legend(frameon=False, fontsize=8)
    return written(figure, over_runs(tables), args, "mechanisms")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(__doc__, "mechanisms", argv, rows=1000, seeds=5, steps=600, members=6, particles_imputing=200, trees=50)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
