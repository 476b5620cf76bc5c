"""A ring with hidden sectors
==========================

Points on a ring, one coordinate hidden in angular sectors: where a linear mechanism fails and what a neural one must know.

Column 1 is hidden where the angle is in one sector (15 to 75 degrees), or in it and its opposite. A half-plane cuts one arc from a ring
and not two opposite ones, so a linear mechanism can say the first and not the second; a network can. But whether the gaps in what is
seen are holes of the mask or of the ring itself is not in the data: with a decoder free to have gaps, the neural mechanism learns
nothing. Knowledge decides: a tilt that says "a ring" of an otherwise normal law.

::

    python examples/ring.py
"""

# sphinx_gallery_thumbnail_path = "figures/ring.png"

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import BLUE, GREY, ORANGE, arguments, fit_and_impute, over_runs, runs_of, scored, usual_methods, written
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, ConjugateEncoder, GaussianDecoder, LinearMasking, SelfMasking, fit, impute
from pyro_mnar.energy.normalizer import log_normalizer
from pyro_mnar.energy.objectives import SelfNormalized
from pyro_mnar.mechanisms import Mechanism, NeuralMasking
from pyro_mnar.model import Constraint

WIDTH, NOISE = 0.1, 0.4


def simulate(rows: int, sectors: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return points (N, 2) and their mask."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(rows, generator=generator)
    radius = 1 + WIDTH * torch.randn(rows, generator=generator)
    inside = (torch.remainder(angle, math.pi if sectors == 2 else 2 * math.pi) - math.pi / 4).abs() < math.pi / 6
    mask = torch.ones(rows, 2, dtype=torch.bool)
    mask[:, 1] = torch.rand(rows, generator=generator) > torch.where(inside, 0.97, 0.02)
    return radius.unsqueeze(-1) * torch.stack([angle.cos(), angle.sin()], -1), mask


def known_ring(mechanism: Mechanism | None) -> MNAR:
    """A round normal law, not learned, tilted to radius 1."""
    decoder = GaussianDecoder(2, 2, hidden=())
    with torch.no_grad():
        decoder.linear.weight.copy_(math.sqrt(1 - NOISE**2) * torch.eye(2))
        decoder.linear.bias.zero_()
        decoder.raw_scale.fill_(math.log(math.expm1(NOISE - 0.05)))
    tilt = Constraint(lambda x: -(torch.linalg.vector_norm(x, dim=-1) - 1).square(), strength=0.5 / WIDTH**2)
    mnar = MNAR(decoder, ConjugateEncoder(decoder, [8]), mechanism, tilt=tilt)
    mnar.requires_grad_(False)
    mnar.log_z.fill_(log_normalizer(mnar).value)
    if mechanism is not None:
        mnar.mechanism.requires_grad_()
    return mnar


MECHANISMS = {
    "ignorable": lambda: None,
    "self-masking": lambda: SelfMasking(2, [1], "free"),
    "linear": lambda: LinearMasking(2, [1]),
    "neural": lambda: NeuralMasking(2, [1], hidden=16),
}


def run(args: argparse.Namespace, sectors: int) -> tuple[pd.DataFrame, Tensor, Tensor, dict]:
    """Return scores of all methods on one ring, with the share of draws on the right side of it; data, mask and imputations."""
    x, mask = simulate(args.rows, sectors, args.seed)
    hidden = ~mask[:, 1]
    found: dict = usual_methods(x, mask, args.seed, args.trees)
    torch.manual_seed(args.seed)
    for name in ("ignorable", "neural"):
        decoder = GaussianDecoder(2, 2, hidden=[64, 64])
        free = MNAR(decoder, ConjugateEncoder(decoder), MECHANISMS[name]())
        label = "MIWAE (network decoder)" if name == "ignorable" else f"network decoder, {name}"
        found[label] = fit_and_impute(free, x, mask, args, mechanism_lr=2e-2)
    for name, make in MECHANISMS.items():
        mnar = known_ring(make())
        if mnar.mechanism is not None:
            mnar.mechanism.initialize(x, mask)
            bound = IWELBO(mnar, args.particles_tilted, "iwae")
            with warnings.catch_warnings():  # no draw of the base is quite as near to the circle as the nearest of the rows
                warnings.filterwarnings("ignore", "tilt: ")
                fit(SelfNormalized(bound, 256), x, mask, steps=args.steps, mechanism_lr=3e-2, seed=args.seed, batch_size=128, lr=2e-3)
        found[f"known ring, {name}"] = impute(mnar, x, mask, draws=100, particles=args.particles_imputing, seed=args.seed)
    table = scored(found, x, ~mask)
    sides = [getattr(f, "draws", torch.as_tensor(np.asarray(getattr(f, "completed", f)))[None]) for f in found.values()]
    table["right side"] = [float((side[:, hidden, 1].sign() == x[hidden, 1].sign()).float().mean()) for side in sides]
    return pd.concat({f"{sectors} sector{'s' * (sectors > 1)}": table}), x, mask, found


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Run all methods on both rings for each seed; draw the first."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    panels, tables = figure.subplots(2, 4, sharex=True, sharey=True), []
    for sectors, axes in zip((1, 2), panels, strict=True):
        runs = [run(own, sectors) for own in runs_of(args)]
        tables.append(over_runs([r[0] for r in runs]))
        _, x, mask, found = runs[0]
        hidden = ~mask[:, 1]
        shown = ("network decoder, neural", "known ring, ignorable", "known ring, linear", "known ring, neural")
        for axis, name in zip(axes, shown, strict=True):
            axis.scatter(*x[~hidden].T, s=2, color=GREY, label="observed")
            axis.scatter(*x[hidden].T, s=2, color=BLUE, label="hidden")
            axis.scatter(*found[name].draws[0, hidden].T, s=2, color=ORANGE, label="imputed, one draw")
            axis.set(title=name if sectors == 1 else None, aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6))
            axis.title.set_fontsize(9)
        axes[0].set_ylabel(f"{sectors} sector{'s' * (sectors > 1)}\n$x_1$")
    for axis in panels[1]:
        axis.set_xlabel("$x_0$")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False, markerscale=3
    )
    return written(figure, pd.concat(tables), args, "ring")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(
        __doc__, "ring", argv, rows=1000, seeds=5, steps=500, particles=10, particles_tilted=50, particles_imputing=500, trees=20
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
