"""A latent variable for the mask
==============================

A latent for the mask (masked not-MIWAE): with and without it, over seeds, on a UCI table or on masks that go missing together.

::

    python examples/latent_mask.py --data-home ../shared/data
"""

# sphinx_gallery_thumbnail_path = "figures/latent_mask.png"

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import GREY, ORANGE, arguments, fit_and_impute, over_runs, runs_of, scored, usual_methods, written

from pyro_mnar import MNAR, ConjugateEncoder, GaussianDecoder, LatentMasking, LinearMasking, SelfMasking, amputate
from pyro_mnar.data import load


def together(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return six related columns; three go missing for being large and, row by row, for a reason that has nothing to do with values."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 1, generator=generator) * 0.8 + 0.6 * torch.randn(rows, 6, generator=generator)
    careless = 2.5 * torch.randn(rows, 1, generator=generator)
    mask = torch.ones(rows, 6, dtype=torch.bool)
    mask[:, :3] = torch.rand(rows, 3, generator=generator) > torch.sigmoid(2 * (x[:, :3] - 0.5) + careless - 0.5)
    return x, mask


def data(table: str, args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    if table == "together":
        return together(args.rows, args.seed)
    frame = load(table, args.data_home)
    frame = (frame - frame.mean()) / frame.std(ddof=0)
    return torch.tensor(frame.to_numpy(), dtype=torch.float32), torch.from_numpy(amputate(frame, "hard"))


def run(table: str, args: argparse.Namespace) -> pd.DataFrame:
    """Return scores of the usual methods and of models without a mechanism, with each, and with a latent for the mask as well."""
    x, mask = data(table, args)
    columns = (~mask).any(0).nonzero().flatten().tolist()
    found: dict = usual_methods(x, mask, args.seed, args.trees)
    mechanisms = {
        "self-masking": lambda: SelfMasking(x.shape[1], columns, "high"),
        "linear": lambda: LinearMasking(x.shape[1], columns),
    }
    declared: dict = {"MIWAE": lambda: None}
    for name, make in mechanisms.items():
        declared |= {name: make, f"{name}, with z_m": lambda make=make: LatentMasking(make(), 2)}
    for name, make in declared.items():
        torch.manual_seed(args.seed)
        decoder = GaussianDecoder(min(10, x.shape[1] - 1), x.shape[1], hidden=())
        mnar = MNAR(decoder, ConjugateEncoder(decoder), make())
        found[name] = fit_and_impute(mnar, x, mask, args, mechanism_lr=1e-2 if "linear" in name else 5e-2)
    return pd.concat({table: scored(found, x, ~mask)})


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Compare over seeds on masks that go missing together and, with ``--data-home``, on a UCI table."""
    names = ["together"] if args.data_home is None else ["together", args.table]
    runs = [[run(name, own) for own in runs_of(args)] for name in names]
    figure = Figure(figsize=(6.5, 2.8 * len(names)), layout="constrained")
    for row, (name, tables) in zip(figure.subplots(len(names), 2, squeeze=False), zip(names, runs, strict=True), strict=True):
        for axis, mechanism in zip(row, ("self-masking", "linear"), strict=True):
            for table in tables:
                pair = [table.loc[(name, mechanism + latent), "RMSE"] for latent in ("", ", with z_m")]
                axis.plot([0, 1], pair, color=GREY, marker="o", markerfacecolor=ORANGE)
            axis.set(title=f"{name}: {mechanism}", xticks=[0, 1], xticklabels=["without", "with $z_m$"], xlim=(-0.3, 1.3))
        row[0].set_ylabel("RMSE of hidden cells (sd)")
    return written(figure, pd.concat([over_runs(tables) for tables in runs]), args, "latent_mask")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(
        __doc__,
        "latent_mask",
        argv,
        table="red",
        data_home=None,
        rows=1599,
        seeds=5,
        steps=400,
        particles=10,
        particles_imputing=200,
        trees=10,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
