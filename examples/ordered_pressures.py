"""An inequality that imputations must keep
========================================

A rule that imputations must keep: systolic pressure is never below diastolic.

A table of diastolic and systolic pressure and age with holes, simulated. A VAE fitted to it imputes a few pairs in the wrong order; a
constraint attached to the fitted model, with nothing to train, leaves hardly any. Folded into the base by posterior regularization,
the rule also shows in rows drawn without the tilt.

::

    python examples/ordered_pressures.py --output ordered_pressures.png
"""

# sphinx_gallery_thumbnail_path = "figures/ordered_pressures.png"

from __future__ import annotations

import argparse
import copy

import torch
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, ConjugateEncoder, GaussianDecoder, fit, impute
from pyro_mnar.energy import Constraint, PosteriorRegularized, log_normalizer

#: In mmHg. One scale for both pressures, so that their order stays.
CENTRE, SCALE = 90.0, 15.0
#: Nats for each unit, 15 mmHg, of the wrong order.
STRENGTH = 100.0


def table(n: int) -> Tensor:
    """Return diastolic and systolic pressure and age, (n, 3), standardized."""
    age = torch.randn(n)
    low = 80 + 3 * age + 9 * torch.randn(n)
    pulse = 1 + torch.distributions.Gamma(1.5, 0.2).sample((n,)) * torch.exp(0.15 * age)
    return torch.stack([(low - CENTRE) / SCALE, (low + pulse - CENTRE) / SCALE, age], -1)


def with_holes(full: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and mask, holes at random."""
    mask = torch.rand_like(full) > torch.tensor([0.3, 0.3, 0.1])
    return torch.where(mask, full, 0.0), mask


def in_order(x: Tensor) -> Tensor:
    """Return 0 where systolic is at least diastolic, else minus by how much it is not."""
    return (x[..., 1] - x[..., 0]).clamp(max=0)


def fitted_base(x: Tensor, mask: Tensor, seed: int, steps: int = 1500) -> MNAR:
    """Return a VAE of the rows with holes."""
    decoder = GaussianDecoder(2, 3, hidden=[32])
    base = MNAR(decoder, ConjugateEncoder(decoder, [32]))
    base.initialize(x, mask)
    fit(IWELBO(base, 10), x, mask, steps=steps, lr=5e-3, seed=seed, batch_size=128, mechanism_lr=1e-1)
    return base


def constrained(base: MNAR) -> MNAR:
    """Return the fitted model with the rule attached."""
    model = MNAR(base.decoder, base.encoder, tilt=Constraint(in_order, STRENGTH))
    model.log_z.data.fill_(log_normalizer(model).value)
    return model


def folded(base: MNAR, x: Tensor, mask: Tensor, seed: int, steps: int = 500) -> MNAR:
    """Return a base that has learned the rule, without a tilt."""
    model = constrained(copy.deepcopy(base))
    fit(
        PosteriorRegularized(IWELBO(model, 10, "iwae"), imagined=1.0),
        x,
        mask,
        steps=steps,
        lr=2e-3,
        seed=seed,
        batch_size=128,
        mechanism_lr=1e-1,
    )
    return MNAR(model.decoder, model.encoder)


def main(args: argparse.Namespace) -> dict[str, float]:
    """Fit, print, draw; return the share of draws in the wrong order."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    torch.manual_seed(args.seed)
    full = table(args.rows)
    x, mask = with_holes(full)
    base = fitted_base(x, mask, args.seed, args.steps)
    models = {"base": base, "constraint": constrained(base), "folded in": folded(base, x, mask, args.seed, max(1, args.steps // 3))}
    touched, pulses, wrong = ~(mask[:, 0] & mask[:, 1]), {}, {}
    for name, model in models.items():
        found = impute(model, x, mask, draws=20, particles=args.particles, seed=args.seed)
        pulses[name] = (found.draws[:, touched, 1] - found.draws[:, touched, 0]) * SCALE
        wrong[name] = float((pulses[name] < 0).float().mean())
        error = ((found.completed - full) / full.std(0))[~mask].square().mean().sqrt()
        print(f"{name:>10}: {wrong[name]:.2%} of imputed pairs in the wrong order, RMSE {float(error):.3f} standard deviations")
    with torch.no_grad():
        for name in ("base", "folded in"):
            rows = models[name].draw(20_000)[1]
            wrong[f"rows drawn, {name}"] = float((rows[:, 1] < rows[:, 0]).float().mean())
            print(f"{name:>10}: {wrong[f'rows drawn, {name}']:.2%} of new rows in the wrong order")

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for axis, name, color in zip(axes, ("base", "constraint"), ("tab:blue", "tab:orange"), strict=False):
        rows = impute(models[name], x, mask, draws=1, particles=args.particles, seed=args.seed).draws[0][touched] * SCALE + CENTRE
        broken = rows[:, 1] < rows[:, 0]
        axis.scatter(rows[~broken, 0], rows[~broken, 1], s=6, color=color, label="in order")
        axis.scatter(rows[broken, 0], rows[broken, 1], s=14, marker="x", color="tab:red", label="in the wrong order")
        axis.axline((80, 80), slope=1, color="black", linewidth=0.8)
        axis.set(title=f"rows imputed: {name}", xlabel="diastolic, mmHg", ylabel="systolic, mmHg", xlim=(40, 125), ylim=(40, 150))
        axis.legend(loc="upper left", fontsize=8)
    true = (full[touched, 1] - full[touched, 0]) * SCALE
    shown = {"true": (true, "black"), "base": (pulses["base"], "tab:blue"), "constraint": (pulses["constraint"], "tab:orange")}
    for name, (values, color) in shown.items():
        axes[2].hist(values.flatten(), bins=torch.arange(-15.0, 41.0, 2.5), density=True, histtype="step", color=color, label=name)
    axes[2].axvline(0, color="black", linewidth=0.8)
    axes[2].set(title="imputed rows' systolic less diastolic", xlabel="mmHg", ylabel="density, per mmHg")
    axes[2].legend()
    figure.savefig(args.output, dpi=130)
    pyplot.close(figure)
    print(f"written to {args.output}")
    return wrong


def options(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="ordered_pressures.png", help="figure to write")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=1500, help="training updates of the base; a third as many to fold the rule in")
    parser.add_argument("--particles", type=int, default=500, help="in imputing")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
