"""Two fits, one likelihood, different imputations
===============================================

Two fits, one likelihood, different imputations: a model that data cannot decide, and the column that decides it.

One yes-or-no column of which "yes" may be withheld more, or less, than "no". The data say two numbers, the shares of observed yes and
observed no; the model has three (share of yes, two rates). So every direction explains the data equally well, with different
imputations. A second column, related to the first and not to its mask given the first (a shadow variable), makes it identified.

::

    python examples/identifiability.py
"""

# sphinx_gallery_thumbnail_path = "figures/identifiability.png"

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import BLUE, ORANGE, arguments, written

from pyro_mnar import IWELBO, MNAR, GaussianEncoder, MixedDecoder, SelfMasking, fit, impute
from pyro_mnar.networks import OrdinalHead

SHARE, RATE_YES, RATE_NO, AGREE = 0.5, 0.6, 0.2, 0.85


def simulate(rows: int, columns: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (N, columns) of 0 and 1 and the mask: column 0 is withheld by its value, column 1 agrees with it in 85 % of rows."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(rows, 3, generator=generator)
    first = (u[:, 0] < SHARE).float()
    second = torch.where(u[:, 1] < AGREE, first, 1 - first)
    x, mask = torch.stack([first, second], -1)[:, :columns], torch.ones(rows, columns, dtype=torch.bool)
    mask[:, 0] = u[:, 2] > torch.where(first == 1, RATE_YES, RATE_NO)
    return x, mask


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Fit from starts that suppose either direction; return bounds and imputed shares."""
    lines = {}
    for columns, what in ((1, "alone"), (2, "with a related column")):
        x, mask = simulate(args.rows, columns, args.seed)
        for start in (-2.0, 0.0, 2.0):
            torch.manual_seed(args.seed)
            mechanism = SelfMasking(columns, [0], "free")
            coins = OrdinalHead(range(columns), [[0.5, 0.5]] * columns, [0.0] * columns, [1.0] * columns)
            mnar = MNAR(MixedDecoder(1, [coins], hidden=()), GaussianEncoder(1, columns, [16]), mechanism)
            mnar.initialize(x, mask)
            mechanism.slope = start
            fit(IWELBO(mnar, 10), x, mask, steps=args.steps, batch_size=500, lr=2e-2, seed=args.seed, mechanism_lr=1e-1)
            with torch.no_grad():
                torch.manual_seed(args.seed)
                bound = float(IWELBO(mnar, 100)(x, mask).mean())
            found = impute(mnar, x, mask, particles=200).completed[~mask[:, 0], 0]
            lines[f"{what}, slope from {start:+.0f}"] = {
                "bound (log likelihood a row)": bound,
                "slope": float(mechanism.slope.detach()),
                "imputed share of yes": float(found.mean()),
                "true share": float(x[~mask[:, 0], 0].mean()),
            }
    table = pd.DataFrame(lines).T

    figure = Figure(figsize=(6.5, 3.0), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, part, title in zip(axes, (table[:3], table[3:]), ("the column alone", "with a related column"), strict=True):
        axis.plot(
            part["bound (log likelihood a row)"]
            - table.groupby(table.index.str[:5])["bound (log likelihood a row)"].max()[part.index[0][:5]],
            part["imputed share of yes"],
            "o",
            color=ORANGE,
            label="fits from three starts",
        )
        axis.axhline(part["true share"].iloc[0], color=BLUE, linestyle="--", label="true share")
        axis.set(title=title, xlabel="bound less the best (nats a row)", ylim=(0, 1), xlim=(-0.02, 0.002))
        axis.ticklabel_format(axis="x", useOffset=False)
        axis.locator_params(axis="x", nbins=4)
    axes[0].set_ylabel("imputed share of yes")
    axes[0].legend(frameon=False, fontsize=8)
    return written(figure, table, args, "identifiability")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(__doc__, "identifiability", argv, rows=4000, steps=1500)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
