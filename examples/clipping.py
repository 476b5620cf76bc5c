"""A clipped photograph
====================

A sensor that saturates: the bright part of a photograph is clipped, and brightness is inferred beyond the largest value seen.

The photograph is one that ships with scikit-learn. Patches are rows, pixels columns; the mechanism is a threshold at the clip.

::

    python examples/clipping.py
"""

# sphinx_gallery_thumbnail_path = "figures/clipping.png"

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import arguments, over_runs, runs_of, scored, train_only, usual_methods, written

from pyro_mnar import MNAR, THRESHOLD, ConjugateEncoder, GaussianDecoder, SelfMasking, impute

SIDE = 8


def photograph(height: int, width: int) -> np.ndarray:
    """Return brightness (height, width) from 0 to 1."""
    from sklearn.datasets import load_sample_image

    grey = load_sample_image("flower.jpg").mean(-1) / 255
    grey = grey[: 2 * (grey.shape[0] // 2), : 2 * (grey.shape[1] // 2)]
    small = grey.reshape(grey.shape[0] // 2, 2, grey.shape[1] // 2, 2).mean((1, 3))
    top, left = (small.shape[0] - height) // 2, (small.shape[1] - width) // 2
    return small[top : top + height, left : left + width]


def patches(image: np.ndarray, stride: int) -> torch.Tensor:
    """Return patches (N, 64)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE))[::stride, ::stride]
    return torch.tensor(windows.reshape(-1, SIDE * SIDE), dtype=torch.float32)


def image_of(rows: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the image that patches side by side make."""
    return rows.reshape(height // SIDE, width // SIDE, SIDE, SIDE).transpose(0, 2, 1, 3).reshape(height, width)


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Clip, complete by each method, compare."""
    image = photograph(args.height, args.width)
    clip, center, scale = float(np.quantile(image, 1 - args.clipped)), image.mean(), image.std()
    standard = (image - center) / scale
    train, rows = patches(standard, SIDE // 2), patches(standard, SIDE)  # the second are among the first
    level = (clip - center) / scale
    mask = rows <= level
    found: dict = {"clipped value": torch.where(mask, rows, level).numpy()}
    found |= usual_methods(rows, mask, args.seed, args.trees, args.rounds)
    # What is not fitted from a random start is run once.
    tables = [scored(found, rows, ~mask)]
    columns = (~mask).any(0).nonzero().flatten().tolist()
    for own in reversed(runs_of(args)):
        for name in ("MIWAE", "not-MIWAE, threshold"):
            torch.manual_seed(own.seed)
            decoder = GaussianDecoder(12, SIDE**2, hidden=[64])
            mechanism = None if name == "MIWAE" else SelfMasking(SIDE**2, columns, "high", THRESHOLD)
            mnar = MNAR(decoder, ConjugateEncoder(decoder), mechanism)
            train_only(mnar, train, train <= level, own)
            found[name] = impute(mnar, rows, mask, draws=50, particles=own.particles_imputing, seed=own.seed)
        tables.append(scored({name: found[name] for name in ("MIWAE", "not-MIWAE, threshold")}, rows, ~mask))
    table = over_runs(tables)
    table[[column for column in table if "coverage" not in column]] *= 255 * scale

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    shown = {
        "original": rows.numpy(),
        "clipped": found["clipped value"],
        "MICE": found["MICE"],
        "MIWAE": found["MIWAE"].completed.numpy(),
        "not-MIWAE, threshold": found["not-MIWAE, threshold"].completed.numpy(),
        "one draw": found["not-MIWAE, threshold"].draws[0].numpy(),
    }
    top = float(image.max())
    for axis, (name, values) in zip(figure.subplots(2, 3).ravel(), shown.items(), strict=True):
        picture = axis.imshow(255 * (image_of(values, args.height, args.width) * scale + center), cmap="magma", vmin=0, vmax=255 * top)
        axis.set_title(name, fontsize=9)
        axis.set_axis_off()
    figure.colorbar(picture, ax=figure.axes, shrink=0.7, label=f"brightness (0 to 255; clipped at {255 * clip:.0f})")
    return written(
        figure, table.rename(columns=lambda c: c.replace("RMSE", "RMSE (of 255)").replace("CRPS", "CRPS (of 255)")), args, "clipping"
    )


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(
        __doc__,
        "clipping",
        argv,
        height=200,
        width=304,
        clipped=0.15,
        seeds=5,
        steps=1000,
        particles=5,
        particles_imputing=100,
        trees=5,
        rounds=3,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
