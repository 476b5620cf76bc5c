"""A latent for the mask (masked not-MIWAE): with and without it, over seeds, on a UCI table or on masks that go missing together.

python examples/latent_mask.py --data-home ../shared/data --table red
python examples/latent_mask.py --table together
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import GREY, ORANGE, arguments, fit_and_impute, scored, written

from pyro_mnar import MNAR, ConjugateEncoder, GaussianDecoder, LatentMasking, LinearMasking, SelfMasking, amputate
from pyro_mnar.tables import load


def together(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return six related columns; three go missing for being large and, row by row, for a reason that has nothing to do with values."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 1, generator=generator) * 0.8 + 0.6 * torch.randn(rows, 6, generator=generator)
    careless = 2.5 * torch.randn(rows, 1, generator=generator)
    mask = torch.ones(rows, 6, dtype=torch.bool)
    mask[:, :3] = torch.rand(rows, 3, generator=generator) > torch.sigmoid(2 * (x[:, :3] - 0.5) + careless - 0.5)
    return x, mask


def data(args: argparse.Namespace, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    if args.table == "together":
        return together(args.rows, seed)
    frame = load(args.table, args.data_home)[: args.rows]
    frame = (frame - frame.mean()) / frame.std(ddof=0)
    return torch.tensor(frame.to_numpy(), dtype=torch.float32), torch.from_numpy(amputate(frame, "hard"))


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Fit four models for each seed; return the mean and the standard deviation of their RMSE over seeds."""
    runs = []
    for seed in range(args.seeds):
        x, mask = data(args, seed)
        columns = (~mask).any(0).nonzero().flatten().tolist()
        for name in ("self-masking", "linear"):
            for latent in (False, True):
                torch.manual_seed(seed)
                base = SelfMasking(x.shape[1], columns, "high") if name == "self-masking" else LinearMasking(x.shape[1], columns)
                decoder = GaussianDecoder(min(10, x.shape[1] - 1), x.shape[1], hidden=())
                mnar = MNAR(decoder, ConjugateEncoder(decoder), LatentMasking(base, 2) if latent else base)
                own = argparse.Namespace(**vars(args) | {"seed": seed})
                result = fit_and_impute(mnar, x, mask, own, mechanism_lr=5e-2 if name == "self-masking" else 1e-2)
                line = scored({"": result}, x, ~mask).iloc[0]
                runs.append({"mechanism": name, "latent": "with z_m" if latent else "without", "seed": seed} | dict(line))
    frame = pd.DataFrame(runs)
    grouped = frame.groupby(["mechanism", "latent"], sort=False)[["RMSE", "CRPS", "90 % coverage"]]
    table = grouped.mean().join(grouped.std().add_suffix(" sd")[["RMSE sd"]])

    figure = Figure(figsize=(6.5, 3.0), layout="constrained")
    for axis, name in zip(figure.subplots(1, 2), ("self-masking", "linear"), strict=True):
        part = frame[frame["mechanism"] == name].pivot(index="seed", columns="latent", values="RMSE")
        for _, seed in part.iterrows():
            axis.plot([0, 1], [seed["without"], seed["with z_m"]], color=GREY, marker="o", markerfacecolor=ORANGE)
        axis.set(title=name, xticks=[0, 1], xticklabels=["without", "with $z_m$"], xlim=(-0.3, 1.3), ylabel="RMSE of hidden cells (sd)")
    return written(figure, table, args.output, f"latent_mask_{args.table}")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(
        __doc__,
        "latent_mask",
        argv,
        table="together",
        data_home=None,
        rows=1599,
        seeds=5,
        steps=1000,
        particles=10,
        particles_imputing=200,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
