"""Handwritten digits with holes
=============================

Handwritten digits with holes: bright pixels hidden by their brightness, or a disc hidden wherever it falls.

Convolutional decoder and encoder. MNIST's test images from ``--data-home`` (the file ``mnist/MNIST/raw/t10k-images-idx3-ubyte.gz``
there; fetched by torchvision where it is not); without ``--data-home`` the 8 x 8 digits that ship with scikit-learn.

::

    python examples/images.py --data-home ../shared/data
"""

# sphinx_gallery_thumbnail_path = "figures/images.png"

from __future__ import annotations

import argparse
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyro.distributions as dist
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from shared import arguments, fit_and_impute, scored, usual_methods, written
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_mnar import MNAR, PROBIT, GaussianDecoder, SelfMasking, impute


def digits(data_home: str | None) -> Tensor:
    """Return images (N, S, S), brightness from 0 to 1."""
    if data_home is None:
        from sklearn.datasets import load_digits

        return torch.tensor(load_digits().images / 16, dtype=torch.float32)
    packed = Path(data_home, "mnist", "MNIST", "raw", "t10k-images-idx3-ubyte.gz")
    if not packed.is_file():
        from torchvision.datasets import MNIST  # the extra "data"

        MNIST(str(packed.parents[2]), train=False, download=True)
    # Its header is four big-endian integers: a magic number, the count, rows, columns.
    content = gzip.decompress(packed.read_bytes())
    shape = np.frombuffer(content, ">i4", 4)[1:]
    return torch.tensor(np.frombuffer(content, np.uint8, offset=16).reshape(shape) / 255, dtype=torch.float32)


class ConvolutionalDecoder(GaussianDecoder):
    """The mean is a linear part and a convolutional network from a quarter of the side up."""

    def __init__(self, latent_dim: int, side: int, channels: int = 16) -> None:
        super().__init__(latent_dim, side * side, hidden=())
        self.side, self.channels = side, channels
        self.conv = nn.Sequential(
            nn.Linear(latent_dim, channels * (side // 4) ** 2),
            nn.ReLU(),
            nn.Unflatten(-1, (channels, side // 4, side // 4)),
            nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1),
        )

    def mean(self, z: Tensor) -> Tensor:
        return super().mean(z) + self.conv(z.flatten(0, -2)).reshape(*z.shape[:-1], -1)


class ConvolutionalEncoder(nn.Module):
    """A network of two channels, the image with 0 in the holes and the mask."""

    def __init__(self, latent_dim: int, side: int, channels: int = 16) -> None:
        super().__init__()
        self.side = side
        self.conv = nn.Sequential(
            nn.Conv2d(2, channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * channels * (side // 4) ** 2, 2 * latent_dim),
        )

    def forward(self, x: Tensor, mask: Tensor) -> dist.Distribution:
        seen = torch.stack([torch.where(mask, x, 0.0), mask.to(x)], -2).reshape(-1, 2, self.side, self.side)
        loc, raw = self.conv(seen).reshape(*x.shape[:-1], -1).chunk(2, -1)
        return dist.Normal(loc, softplus(raw) + 1e-3).to_event(1)


def hide(images: Tensor, how: str, seed: int) -> Tensor:
    """Return the mask (N, S * S)."""
    generator = torch.Generator().manual_seed(seed)
    n, side, _ = images.shape
    if how == "bright":  # P(missing) is a half at brightness .6
        return torch.rand(n, side * side, generator=generator) > torch.special.ndtr(5 * (images.flatten(1) - 0.6))
    middle = side * (0.3 + 0.4 * torch.rand(n, 2, 1, 1, generator=generator))
    axis = torch.arange(side).float()
    far = (axis[:, None] - middle[:, 0]) ** 2 + (axis[None, :] - middle[:, 1]) ** 2 > (side / 4.5) ** 2
    return far.flatten(1)


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Hide, fit, impute; return the errors in the holes, in units of brightness."""
    images = digits(args.data_home)
    rows = torch.randperm(len(images), generator=torch.Generator().manual_seed(args.seed))[: args.rows]
    images = images[rows]
    side = images.shape[-1]
    x = images.flatten(1)
    tables, shown = [], []
    for how in ("bright", "disc"):
        mask = hide(images, how, args.seed)
        mask[0] = mask[0] | ~mask.any(0)  # every pixel is seen somewhere
        # Chained regressions read ten pixels each, drawn by their correlation: on all 784 they would take hours.
        found: dict = usual_methods(x, mask, args.seed, args.trees, args.rounds, 10)
        models = {"MIWAE": None, "not-MIWAE": SelfMasking(side * side, None, "high", PROBIT)} if how == "bright" else {"MIWAE": None}
        for name, mechanism in models.items():
            torch.manual_seed(args.seed)
            mnar = MNAR(ConvolutionalDecoder(args.latent, side), ConvolutionalEncoder(args.latent, side), mechanism)
            fit_and_impute(mnar, x, mask, args, draws=0, lr=3e-3, batch_size=64)
            found[name] = impute(mnar, x[: args.shown], mask[: args.shown], draws=30, particles=args.particles_imputing, seed=args.seed)
        first = slice(0, args.shown)
        found = {name: f if hasattr(f, "draws") else f[first] for name, f in found.items()}
        tables.append(
            pd.concat({f"{how} pixels hidden" if how == "bright" else "a disc hidden": scored(found, x[first], ~mask[first])})
        )
        last = found[list(models)[-1]]
        shown.append([x[first], torch.where(mask[first], x[first], torch.nan), last.completed, last.draws[0], last.draws[1]])

    figure = Figure(figsize=(9, 5.4), layout="constrained")
    panels = figure.subplots(2, 1)
    for axis, grids, title in zip(panels, shown, ("bright pixels hidden, not-MIWAE", "a disc hidden, MIWAE"), strict=True):
        count = min(12, args.shown)
        picture = np.ma.masked_invalid(
            torch.cat([g[:count].reshape(count, side, side).permute(1, 0, 2).reshape(side, count * side) for g in grids]).numpy()
        )
        axis.imshow(picture, cmap=colormaps["gray"].with_extremes(bad="#D55E00"), vmin=0, vmax=1)
        labels = ("original", "masked", "imputed mean", "draw", "draw")
        axis.set(title=title, xticks=[], yticks=[(i + 0.5) * side for i in range(5)], yticklabels=labels)
        axis.tick_params(labelsize=8, length=0)
    return written(figure, pd.concat(tables), args, "images")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(
        __doc__,
        "images",
        argv,
        data_home=None,
        rows=2000,
        shown=200,
        latent=16,
        steps=600,
        particles=5,
        particles_imputing=200,
        trees=5,
        rounds=1,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
