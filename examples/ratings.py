"""Ratings given because items are liked
=====================================

Ratings that are given because they are liked: learn from self-chosen ones, predict ratings of items chosen at random.

Coat (``--coat FOLDER`` with its train.ascii and test.ascii) or Yahoo! R3 (``--yahoo FOLDER`` with its two text files), which the user
supplies; else a stand-in of Coat's layout, simulated: most users do not rate what they would rate low.

::

    python examples/ratings.py
"""

# sphinx_gallery_thumbnail_path = "figures/ratings.png"

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import BLUE, GREY, ORANGE, arguments, over_runs, runs_of, usual_methods, written
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pyro_mnar import IWELBO, MNAR, MixedDecoder, SelfMasking, SetEncoder, fit, impute
from pyro_mnar.networks import CategoryHead

LEARNED = "not-MIWAE, slope learned"


def coat(folder: str) -> tuple[Tensor, Tensor]:
    """Return self-chosen and random ratings, (290, 300) each, 0 to 4, NaN where there is none."""
    return tuple(_holed(np.loadtxt(Path(folder, f"{part}.ascii"))) for part in ("train", "test"))


def yahoo(folder: str) -> tuple[Tensor, Tensor]:
    """Return self-chosen and random ratings of the users who have both, (5400, 1000) each."""
    names = ("ydata-ymusic-rating-study-v1_0-train.txt", "ydata-ymusic-rating-study-v1_0-test.txt")
    found = []
    for name in names:
        user, item, rating = np.loadtxt(Path(folder, name), dtype=int).T
        table = np.zeros((15400, 1000))
        table[user - 1, item - 1] = rating
        found.append(_holed(table[:5400]))
    return found[0], found[1]


def _holed(table: np.ndarray) -> Tensor:
    return torch.tensor(np.where(table > 0, table - 1, np.nan), dtype=torch.float32)


def simulate(users: int, items: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return a stand-in: tastes of three dimensions, some 8 % rated, by choice, and 16 random ratings of each user."""
    g = torch.Generator().manual_seed(seed)
    taste = torch.randn(users, 3, generator=g) @ torch.randn(3, items, generator=g) / 3**0.5
    taste = taste + 0.7 * torch.randn(1, items, generator=g) + 0.5 * torch.randn(users, items, generator=g)
    ratings = torch.bucketize(taste, torch.tensor([-1.0, 0.0, 0.8, 1.6])).float()
    chosen = torch.rand(users, items, generator=g) < torch.sigmoid(1.2 * (ratings - 2) - 2.6)
    random = torch.rand(users, items, generator=g).argsort(-1) < 16
    return torch.where(chosen, ratings, torch.nan), torch.where(random & ~chosen, ratings, torch.nan)


class Shared(nn.Module):
    """One slope for all items: of some thirty ratings an item no slope of its own can be learned."""

    def forward(self, raw: Tensor) -> Tensor:
        return raw.mean() + torch.zeros_like(raw)


def read(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    if args.coat:
        return coat(args.coat)
    return yahoo(args.yahoo) if args.yahoo else simulate(args.users, args.items, args.seed)


def run(args: argparse.Namespace) -> tuple[pd.DataFrame, dict[str, list[float]], str]:
    """Return errors on random ratings, the shares of ratings seen, asked for and predicted, and what was learned of the slope."""
    given, test = read(args)
    mask, asked = ~given.isnan(), ~test.isnan()
    x, n_items = given.nan_to_num(), given.shape[1]
    overall = x[mask].mean()
    # Means of few ratings are drawn to the mean of all.
    items = (torch.where(mask, x - overall, 0.0).sum(0)) / (mask.sum(0) + 5)
    users = (torch.where(mask, x - overall - items, 0.0).sum(1)) / (mask.sum(1) + 5)
    found = {"mean of all": overall.expand_as(x), "user and item means": overall + items + users.unsqueeze(-1)}
    # Chained regressions read ten items each; items that nobody rated stay at the mean of all.
    rated = mask.any(0)
    for name, filled in usual_methods(x[:, rated], mask[:, rated], args.seed, args.trees, args.rounds, 10).items():
        if name != "mean":
            found[name] = (
                overall.expand_as(x).clone().index_copy(1, rated.nonzero().flatten(), torch.tensor(filled).float().clamp(0, 4))
            )
    levels = [float((x[mask] == v).float().mean()) for v in range(5)]
    bars = {"self-chosen": levels, "random (truth)": [float((test[asked] == v).float().mean()) for v in range(5)]}
    note = ""
    for name in ("MIWAE", LEARNED, f"not-MIWAE, slope {args.slope:g} stated"):
        torch.manual_seed(args.seed)
        mechanism = None if name == "MIWAE" else SelfMasking(n_items, None, "low")
        decoder = MixedDecoder(args.latent, [CategoryHead(range(n_items), [levels] * n_items)], hidden=())
        mnar = MNAR(decoder, SetEncoder(args.latent, n_items, hidden=[64]), mechanism)
        mnar.initialize(x, mask)
        if mechanism is not None and name == LEARNED:
            parametrize.register_parametrization(mechanism, "raw_slope", Shared())
        elif mechanism is not None:
            mechanism.slope = -args.slope
            mechanism.raw_slope.requires_grad_(False)
        settings = {"batch_size": 64, "lr": 1e-2, "mechanism_lr": 2e-2, "weight_decay": 1.0}
        fit(IWELBO(mnar, args.particles), x, mask, steps=args.steps, seed=args.seed, **settings)
        result = impute(mnar, x, mask, draws=10, particles=args.particles_imputing, seed=args.seed)
        found[name] = result.completed
        bars[f"predicted, {name.removeprefix('not-MIWAE, ')}"] = [float((result.draws[:, asked] == v).float().mean()) for v in range(5)]
        if mechanism is not None and name == LEARNED:
            note = (
                f"Seed {args.seed}: {len(x)} users, {n_items} items, {float(mask.float().mean()):.1%} rated; mean rating (0 to 4) of "
                f"self-chosen {float(x[mask].mean()):.2f}, of random {float(test[asked].mean()):.2f}; slope learned: "
                f"{float(mechanism.slope.detach()[0]):.2f} log-odds of missing a step."
            )
    errors = {name: prediction[asked] - test[asked] for name, prediction in found.items()}
    lines = {
        name: {"RMSE": float(e.square().mean().sqrt()), "MAE": float(e.abs().mean()), "mean error": float(e.mean())}
        for name, e in errors.items()
    }
    return pd.DataFrame(lines).T, bars, note


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Fit on self-chosen ratings, for each seed; draw the first."""
    runs = [run(own) for own in runs_of(args)]
    figure = Figure(figsize=(6.5, 3.0), layout="constrained")
    axis = figure.subplots()
    values = torch.arange(5)
    colors = (GREY, BLUE, "#CCCCCC", "#F0A070", ORANGE)
    for i, ((name, heights), color) in enumerate(zip(runs[0][1].items(), colors, strict=True)):
        axis.bar(values + 0.17 * (i - 2), heights, 0.17, color=color, label=name)
    axis.set(xlabel="rating", ylabel="share of ratings", xticks=values, xticklabels=[str(v + 1) for v in range(5)])
    axis.legend(frameon=False, fontsize=8)
    return written(figure, over_runs([r[0] for r in runs]), args, "ratings", [r[2] for r in runs])


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(
        __doc__,
        "ratings",
        argv,
        coat=None,
        yahoo=None,
        users=290,
        items=300,
        latent=4,
        slope=1.2,
        seeds=3,
        steps=600,
        particles=5,
        particles_imputing=200,
        trees=5,
        rounds=2,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
