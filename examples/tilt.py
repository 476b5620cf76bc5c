"""An energy that tilts a normal law to a ring
===========================================

A ring with holes: a normal base, an energy that tilts it, and what each imputes where values hid themselves.

Rows lie on a ring; the first coordinate goes missing the more surely the larger it is. A full normal law with the known mechanism is
fitted first, then an energy by the self-normalized likelihood. Writes a figure.

::

    python examples/tilt.py --output tilt.png
"""

# sphinx_gallery_thumbnail_path = "figures/tilt.png"

from __future__ import annotations

import argparse
import math

import torch
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, ConjugateEncoder, EnergyTilt, GaussianDecoder, SelfMasking, SelfNormalized, fit, impute
from pyro_mnar.energy import energy_net, log_normalizer, sample_tilted


def ring(n: int) -> Tensor:
    """Draw n points of radius about 1.4, (n, 2)."""
    angle, radius = 2 * math.pi * torch.rand(n), 1.4 + 0.1 * torch.randn(n)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


def main(args: argparse.Namespace) -> float:
    """Fit, print, draw; return the mean distance of imputed rows from the ring, tilted over base."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    torch.manual_seed(args.seed)
    full = ring(args.rows)
    mechanism = SelfMasking(2, [0], "high")
    with torch.no_grad():
        mechanism.slope = 2.0  # log-odds of missing for each unit
        mask = mechanism(full).sample()
    mechanism.requires_grad_(False)
    x = torch.where(mask, full, 0.0)

    decoder = GaussianDecoder(2, 2, hidden=())
    base = MNAR(decoder, ConjugateEncoder(decoder), mechanism)
    fit(IWELBO(base, 10), x, mask, steps=args.steps, lr=1e-2, seed=args.seed, batch_size=128, mechanism_lr=1e-1)

    tilted = MNAR(decoder, base.encoder, mechanism, tilt=EnergyTilt(energy_net(2)))
    tilted.freeze_base()
    # Many particles: with few, the energy learns to lean to where the base proposes missing values (the report's ``lost``).
    objective = SelfNormalized(IWELBO(tilted, 100))
    history = fit(objective, x, mask, steps=args.steps, batch_size=64, lr=3e-3, weight_decay=1e-1, seed=args.seed, mechanism_lr=1e-1)
    log_z = log_normalizer(tilted)
    print(f"tilt: {history.evaluations[-1].tilt}")
    print(f"log Z {log_z.value:.3f} ± {log_z.standard_error:.3f} ({log_z.method}), log_z {float(tilted.log_z.detach()):.3f}")

    completed = {
        name: impute(module, x, mask, draws=1, particles=500).draws[0] for name, module in (("base", base), ("tilted", tilted))
    }
    away = {name: float((rows[~mask[:, 0]].norm(dim=-1) - 1.4).abs().mean()) for name, rows in completed.items()}
    print(f"mean distance of imputed rows from the ring: base {away['base']:.3f}, tilted {away['tilted']:.3f}")

    figure, axes = pyplot.subplots(1, 4, figsize=(14, 3.9), sharex=True, sharey=True, layout="constrained")
    with torch.no_grad():
        drawn = {"base": base.draw(1000)[1], "tilted": sample_tilted(tilted, 1000, seed=args.seed).x}
        axis = torch.linspace(-3, 3, 121)
        rows = torch.cartesian_prod(axis, axis)
        weight = (tilted.tilt(rows) - tilted.log_z).reshape(121, 121).T.clamp(-10, 6)
    contours = axes[0].contourf(axis, axis, weight, levels=range(-10, 7, 2), cmap="Greys")
    figure.colorbar(contours, ax=axes[0], label="−E − log Z, nats", location="bottom", shrink=0.9)
    for name, color in (("base", "tab:blue"), ("tilted", "tab:orange")):
        axes[0].scatter(*drawn[name][:400].T, s=3, color=color, label=f"draws, {name}")
    axes[0].legend(loc="upper right", markerscale=3, fontsize=8)
    axes[0].set(title="energy, and draws of both models", xlabel="$x_1$", ylabel="$x_2$")
    for panel, (title, rows) in zip(
        axes[1:],
        {"complete rows": full, "imputed by the base": completed["base"], "imputed under the tilt": completed["tilted"]}.items(),
        strict=True,
    ):
        panel.scatter(*rows[mask[:, 0]].T, s=4, color="lightgrey", label="$x_1$ seen")
        panel.scatter(*rows[~mask[:, 0]].T, s=4, color="tab:red", label="$x_1$ missing")
        panel.legend(loc="upper right", markerscale=3, fontsize=8)
        panel.set(title=title, xlabel="$x_1$", xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
    axes[0].set_aspect("equal")
    figure.savefig(args.output, dpi=150)
    pyplot.close(figure)
    print(f"written to {args.output}")
    return away["tilted"] / away["base"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="tilt.png", help="figure to write")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=1000, help="training updates of the base, and of the tilt")
    parser.add_argument("--seed", type=int, default=0)
    torch.set_num_threads(1)
    main(parser.parse_args())
