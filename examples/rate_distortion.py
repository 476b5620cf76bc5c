"""Rate, distortion and bounds
===========================

What a bound says of a representation: rate and distortion over beta, the latent plane, and the bound against K and annealing.

Rate R = E KL(q(z | x) || p(z)) and distortion D = -E log p(x | z) bracket what z says of x, H - D <= I <= R (Alemi et al. 2018,
arXiv 1711.00464), H the entropy of the data; here data of known density, so that H is known and all means are over fresh rows.

I = E log q(z | x) - E log q(z), with q(z) = E q(z | x) over rows. From z ~ q(z | x_1) and M - 1 other rows, the mean of q(z | x_i) over
all M makes a lower bound of I, which cannot pass log M, and that over the M - 1 others an upper bound (Poole et al. 2019, arXiv
1905.06922). Rows of a known density cost nothing: with M far above exp(I) the two meet. On the 8 x 8 digits of scikit-learn: the
decoder's mean over the plane of two latents, a line between two digits, and the mean log-likelihood of a model by the bound at K
particles and by annealed importance sampling (Neal 2001) from the guide.

::

    python examples/rate_distortion.py
"""

# sphinx_gallery_thumbnail_path = "figures/rate_distortion.png"

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
import torch
from matplotlib.figure import Figure
from shared import BLUE, GREY, ORANGE, arguments, written
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, GaussianDecoder, GaussianEncoder, fit
from pyro_mnar.mcmc import kernels


class Known:
    """A normal law of six columns with two strong directions."""

    def __init__(self, seed: int) -> None:
        weight = torch.randn(6, 2, generator=torch.Generator().manual_seed(seed))
        cov = weight @ weight.T + torch.eye(6)
        self.root, self.entropy = torch.linalg.cholesky(cov), float(0.5 * torch.logdet(2 * math.pi * math.e * cov))

    def draw(self, rows: int, seed: int) -> Tensor:
        """Return rows (N, 6)."""
        return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed)) @ self.root.T


@torch.no_grad()
def sandwich(mnar: MNAR, x: Tensor, probes: int) -> dict[str, tuple[float, float]]:
    """Return R, D, and a lower and an upper bound of I, in nats a row, each with its standard error; z of the first ``probes`` rows.

    Rows ``x`` (M, D) are fresh; the standard errors are over the probes.
    """
    law = mnar.encoder(x, torch.ones_like(x, dtype=torch.bool)).base_dist
    loc, scale = law.loc.double(), law.scale.double()
    z = loc[:probes] + scale[:probes] * torch.randn(probes, loc.shape[-1]).double()
    # log q(z_i | x_j) is a quadratic form in z_i: one product of matrices for all pairs.
    constant = -(scale.log() + 0.5 * math.log(2 * math.pi) + 0.5 * (loc / scale).square()).sum(-1, keepdim=True)
    of_rows = torch.cat([-0.5 / scale.square(), loc / scale.square(), constant], -1)
    of_z = torch.cat([z.square(), z, torch.ones(probes, 1).double()], -1)
    own, everyone, others = [], [], []
    for i in torch.arange(probes).split(100):
        pairs = of_z[i] @ of_rows.T
        own.append(pairs[torch.arange(len(i)), i].clone())
        everyone.append(pairs.logsumexp(1) - math.log(len(x)))
        pairs[torch.arange(len(i)), i] = -torch.inf
        others.append(pairs.logsumexp(1) - math.log(len(x) - 1))
    log_q = torch.cat(own)
    values = {
        "R": log_q - mnar.latent_law().log_prob(z.float()),
        "D": -mnar.decoder(z.float()).log_prob(x[:probes]),
        "I, lower": log_q - torch.cat(everyone),
        "I, upper": log_q - torch.cat(others),
    }
    return {name: (float(v.mean()), float(v.std()) / math.sqrt(probes)) for name, v in values.items()}


def annealed(mnar: MNAR, x: Tensor, chains: int, temperatures: int, seed: int) -> Tensor:
    """Return estimates of log p(x), (N,): from q(z | x) to p(z, x), one Metropolis-adjusted Langevin step at each temperature."""
    torch.manual_seed(seed)
    rows, mask = x.repeat_interleave(chains, 0), torch.ones(len(x) * chains, x.shape[1], dtype=torch.bool)
    with torch.no_grad():
        law = mnar.encoder(rows, mask)
    z, log_w = law.sample(), torch.zeros(len(rows))
    step, schedule = 0.3, torch.linspace(0, 1, temperatures + 1)
    for low, high in pairwise(schedule):
        with torch.no_grad():
            gap = mnar.latent_law().log_prob(z) + mnar.decoder(z).log_prob(rows) - law.log_prob(z)
        log_w = log_w + (high - low) * gap

        def target(z: Tensor, t: Tensor = high) -> Tensor:
            joint = mnar.latent_law().log_prob(z) + mnar.decoder(z).log_prob(rows)
            return (1 - t) * law.log_prob(z) + t * joint

        scale = law.base_dist.scale.unsqueeze(-1) * torch.eye(z.shape[-1])
        state, info = kernels.mala(target, kernels.init(target, z), step, torch.randn_like(z), torch.rand(len(z)), scale)
        z = state.position.detach()
        step *= math.exp(0.2 * (float(info.acceptance.mean()) - 0.6))
    return log_w.reshape(len(x), chains).logsumexp(1) - math.log(chains)


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Return rates and distortions; print the bounds against K."""
    from sklearn.datasets import load_digits

    law = Known(args.seed)
    x, fresh, lines = law.draw(args.rows, args.seed + 1), law.draw(args.fresh, args.seed + 2), {}
    for beta in (0.2, 0.5, 1.0, 1.5, 3.0):
        torch.manual_seed(args.seed)
        seen = torch.ones_like(x, dtype=torch.bool)
        mnar = MNAR(GaussianDecoder(2, 6, hidden=()), GaussianEncoder(2, 6, [32]))
        mnar.initialize(x, seen)
        fit(IWELBO(mnar, 1, beta=beta), x, seen, steps=args.steps, lr=1e-2, seed=args.seed, batch_size=128, mechanism_lr=1e-1)
        found = sandwich(mnar, fresh, args.probes)
        line = {"H - D": (law.entropy - found["D"][0], found["D"][1])} | {
            name: found[name] for name in ("I, lower", "I, upper", "R", "D")
        }
        lines[f"beta {beta:g}"] = {k: v for name, (mean, error) in line.items() for k, v in ((name, mean), (f"{name} sd", error))}
    table = pd.DataFrame(lines).T
    notes = [
        f"Entropy H = {law.entropy:.3f} nats. ± is the Monte Carlo standard error over {args.probes} fresh rows. The lower bound of I "
        f"cannot pass log {args.fresh} = {math.log(args.fresh):.1f}.",
    ]

    digits = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    whole = torch.ones_like(digits, dtype=torch.bool)
    torch.manual_seed(args.seed)
    mnar = MNAR(GaussianDecoder(2, 64, hidden=[64, 64]), GaussianEncoder(2, 64, [64]))
    mnar.initialize(digits, whole)
    fit(IWELBO(mnar, 5), digits, whole, steps=2 * args.steps, lr=5e-3, seed=args.seed, batch_size=128, mechanism_lr=1e-1)
    few, counts = digits[: args.rows_annealed], [1, 3, 10, 30, 100, 300, 1000]
    with torch.no_grad():
        torch.manual_seed(args.seed)
        repeats = 5
        ones = torch.ones_like(few, dtype=torch.bool)
        bounds = [float(torch.stack([IWELBO(mnar, k)(few, ones) for _ in range(repeats)]).mean()) for k in counts]
    estimate = float(annealed(mnar, few, 10, args.temperatures, args.seed).mean())

    figure = Figure(figsize=(9, 5.6), layout="constrained")
    (curve, tight), (plane, line) = figure.subplots(2, 2)
    curve.plot(table["D"], table["R"], "o-", color=ORANGE, label="rate R")
    curve.plot(table["D"], table["I, lower"], "s--", color=BLUE, label="information I, between two bounds")
    curve.fill_between(table["D"], table["I, lower"], table["I, upper"], color=BLUE, alpha=0.3)
    curve.plot(table["D"], table["H - D"], ":", color=GREY, label="H - D")
    for name, row in table.iterrows():
        curve.annotate(str(name)[5:], (row["D"], row["R"]), textcoords="offset points", xytext=(5, 5), fontsize=7)
    curve.set(xlabel="distortion D (nats)", ylabel="nats", title="rate and distortion (numbers: beta)")
    tight.plot(counts, bounds, "o-", color=ORANGE, label="bound")
    tight.axhline(estimate, color=BLUE, linestyle="--", label="annealed importance sampling")
    tight.set(xscale="log", xlabel="particles K", ylabel="nats a row", title="bound against K (digits)")
    curve.margins(0.1, 0.12)
    for axis in (curve, tight):
        axis.legend(frameon=False, fontsize=8)
    with torch.no_grad():
        steps = torch.special.ndtri(torch.linspace(0.03, 0.97, 12))
        z = torch.stack(torch.meshgrid(-steps, steps, indexing="ij")[::-1], -1)
        picture = mnar.decoder.mean(z).reshape(12, 12, 8, 8).permute(0, 2, 1, 3).reshape(96, 96).numpy()
        ends = mnar.encoder(digits[:8], whole[:8]).base_dist.loc
        share = torch.linspace(0, 1, 12)[:, None, None]
        between = (
            mnar.decoder.mean((1 - share) * ends[:4] + share * ends[4:])
            .reshape(12, 4, 8, 8)
            .permute(1, 2, 0, 3)
            .reshape(32, 96)
            .numpy()
        )
    plane.imshow(picture, cmap="gray", vmin=0, vmax=1)
    plane.set(title="decoder's mean over the latent plane", xlabel="$z_1$, quantiles .03 to .97", ylabel="$z_2$")
    line.imshow(between, cmap="gray", vmin=0, vmax=1)
    line.set(title="on lines between digits", xlabel="from one digit's $z$ to another's", ylabel="four pairs")
    for axis in (plane, line):
        axis.set(xticks=[], yticks=[])
    names = [*(f"bound, K = {k}" for k in counts), f"annealed, {args.temperatures} temperatures"]
    likelihood = pd.DataFrame({"log p of digits (nats a row)": [*bounds, estimate]}, index=names)
    return written(figure, table, args, "rate_distortion", notes, [likelihood])


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(
        __doc__, "rate_distortion", argv, rows=2000, fresh=100_000, probes=1000, steps=1500, rows_annealed=200, temperatures=100
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
