"""Many biased rows and a few unbiased ones
========================================

Many biased rows and a few unbiased ones: a tilt puts the shares right.

Three groups make up .8, .1 and .1 of 5000 rows that happened to be collected, and .3, .4 and .3 of the population, of which 100 rows
were drawn at random. A VAE is fitted to the many, a tilt of it to the few; neither is told of the groups.

::

    python examples/debiasing.py --output debiasing.png
"""

# sphinx_gallery_thumbnail_path = "figures/debiasing.png"

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, ConjugateEncoder, EnergyTilt, GaussianDecoder, SelfNormalized, fit
from pyro_mnar.energy import energy_net, sample_tilted

CENTRES = torch.tensor([[-1.4, -0.8], [1.4, -0.8], [0.0, 1.5]])
SPREAD = 0.3
BIASED, UNBIASED = (0.8, 0.1, 0.1), (0.3, 0.4, 0.3)


def groups(x: Tensor) -> Tensor:
    """Return the group of each row: its nearest center."""
    return torch.cdist(x, CENTRES).argmin(-1)


def shares(labels: Tensor) -> Tensor:
    """Return the share of each group."""
    return torch.bincount(labels, minlength=3) / len(labels)


def rows(labels: Tensor) -> Tensor:
    """Draw a row of each group."""
    return CENTRES[labels] + SPREAD * torch.randn(len(labels), 2)


def biased_base(x: Tensor, seed: int, steps: int = 2000) -> MNAR:
    """Return a VAE of the biased rows ``x`` (N, 2)."""
    decoder = GaussianDecoder(2, 2, hidden=[64, 64])
    base = MNAR(decoder, ConjugateEncoder(decoder, [64]))
    mask = torch.ones_like(x, dtype=torch.bool)
    base.initialize(x, mask)
    fit(IWELBO(base, 10), x, mask, steps=steps, lr=5e-3, seed=seed, batch_size=128, mechanism_lr=1e-1)
    return base


def debiased(base: MNAR, x: Tensor, seed: int, steps: int = 1000) -> MNAR:
    """Return the VAE with a tilt learned from unbiased rows ``x`` (M, 2)."""
    model = MNAR(base.decoder, base.encoder, tilt=EnergyTilt(energy_net(2)))
    model.freeze_base()
    # Few rows: a penalty on the energy's slope keeps it from learning them by heart.
    objective = SelfNormalized(IWELBO(model, 1), draws=512, gradient_penalty=0.03)
    mask = torch.ones_like(x, dtype=torch.bool)
    fit(objective, x, mask, steps=steps, batch_size=len(x), lr=3e-3, weight_decay=1e-1, seed=seed, mechanism_lr=1e-1)
    return model


def main(args: argparse.Namespace) -> dict[str, float]:
    """Fit, print, draw; return the largest error of a share, of the base, the few rows and the tilted model."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    torch.manual_seed(args.seed)
    many = rows(torch.multinomial(torch.tensor(BIASED), args.biased, replacement=True))
    few = rows(torch.multinomial(torch.tensor(UNBIASED), args.unbiased, replacement=True))
    base = biased_base(many, args.seed, args.steps)
    model = debiased(base, few, args.seed, max(1, args.steps // 2))
    drawn = sample_tilted(model, 5000, polish=10, seed=args.seed).x
    with torch.no_grad():
        start = base.draw(5000)[1]
    truth, errors = torch.tensor(UNBIASED), {}
    found = {"base": start, "few": few, "tilted": drawn}
    print(f"{'truth':>7}: {' '.join(f'{s:.2f}' for s in UNBIASED)}")
    for name, x in found.items():
        share = shares(groups(x))
        errors[name] = float((share - truth).abs().max())
        print(f"{name:>7}: {' '.join(f'{float(s):.2f}' for s in share)}, largest error {errors[name]:.3f}")
    figure, axes = pyplot.subplots(1, 4, figsize=(14, 3.8), layout="constrained")
    panels = (
        (f"{args.biased} biased rows", many[:1000], "tab:grey"),
        (f"{args.unbiased} unbiased rows", few, "black"),
        ("drawn under the tilt", drawn[:1000], "tab:orange"),
    )
    for axis, (title, x, color) in zip(axes, panels, strict=False):
        axis.scatter(*x.T, s=4, color=color)
        axis.set(title=title, xlabel="$x_1$", ylabel="$x_2$", xlim=(-3, 3), ylim=(-2.5, 3), aspect="equal")
    bars = (("base", "tab:blue", "VAE"), ("few", "black", f"the {args.unbiased}"), ("tilted", "tab:orange", "tilted"))
    for i, (name, color, label) in enumerate(bars):
        axes[3].bar([k + 0.26 * (i - 1) for k in range(3)], shares(groups(found[name])).tolist(), 0.24, color=color, label=label)
    axes[3].hlines(UNBIASED, [-0.4, 0.6, 1.6], [0.4, 1.4, 2.4], color="tab:red", linestyle="--", label="population")
    axes[3].set(title="shares", xlabel="group", ylabel="share", xticks=range(3), xticklabels=["left", "right", "top"])
    axes[3].legend(fontsize=8)
    figure.savefig(args.output, dpi=130)
    pyplot.close(figure)
    print(f"written to {args.output}")
    return errors


def options(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="debiasing.png", help="figure to write")
    parser.add_argument("--biased", type=int, default=5000, help="rows that the base is fitted to")
    parser.add_argument("--unbiased", type=int, default=100, help="rows that the tilt is learned from")
    parser.add_argument("--steps", type=int, default=2000, help="training updates of the base; half as many for the tilt")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
