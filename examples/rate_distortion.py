"""What a bound says of a representation: rate and distortion over beta, the latent plane, and the bound against K and annealing.

Rate R = E KL(q(z | x) || p(z)) and distortion D = -E log p(x | z) bracket what z says of x, H - D <= I <= R (Alemi et al. 2018,
arXiv 1711.00464), H the entropy of the data; here data of known density, so that H is known. On the 8 x 8 digits of scikit-learn: the
decoder's mean over the plane of two latents, a line between two digits, and the mean log-likelihood of a model by the bound at K
particles and by annealed importance sampling (Neal 2001) from the guide.

    python examples/rate_distortion.py
"""

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
from pyro_mnar.infer import kernels


def known(rows: int, seed: int) -> tuple[Tensor, float]:
    """Return draws (N, 6) of a normal law with two strong directions, and its entropy in nats."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(6, 2, generator=generator)
    cov = weight @ weight.T + torch.eye(6)
    x = torch.randn(rows, 6, generator=generator) @ torch.linalg.cholesky(cov).T
    return x, float(0.5 * torch.logdet(2 * math.pi * math.e * cov))


@torch.no_grad()
def rate_and_distortion(mnar: MNAR, x: Tensor, seed: int) -> tuple[float, float, float]:
    """Return R, D and I of the encoder, the last by Monte Carlo over the aggregate of its own laws (at most log N), in nats a row."""
    torch.manual_seed(seed)
    mask = torch.ones_like(x, dtype=torch.bool)
    law = mnar.encoder(x, mask)
    z = law.rsample()
    log_q = law.log_prob(z)
    # Each row's z under the encoder's law of every row: log of the mean is the aggregate posterior.
    aggregate = torch.cat([law.log_prob(part.unsqueeze(1)).logsumexp(1) for part in z.split(200)]) - math.log(len(x))
    rate = (log_q - mnar.latent_law().log_prob(z)).mean()
    distortion = -mnar.decoder(z).log_prob(x).mean()
    return float(rate), float(distortion), float((log_q - aggregate).mean())


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

    x, entropy = known(args.rows, args.seed)
    seen, lines = torch.ones_like(x, dtype=torch.bool), {}
    for beta in (0.2, 0.5, 1.0, 1.5, 3.0):
        torch.manual_seed(args.seed)
        mnar = MNAR(GaussianDecoder(2, 6, hidden=()), GaussianEncoder(6, 2, [32]))
        mnar.initialise(x, seen)
        fit(IWELBO(mnar, 1, beta=beta), x, seen, steps=args.steps, lr=1e-2, weight_decay=0.0, seed=args.seed)
        rate, distortion, information = rate_and_distortion(mnar, x, args.seed)
        lines[f"beta {beta:g}"] = {
            "H - D": entropy - distortion,
            "I": information,
            "R": rate,
            "D": distortion,
            "R + D": rate + distortion,
        }
    table = pd.DataFrame(lines).T
    print(f"entropy H = {entropy:.3f} nats; of {len(x)} rows an estimate of I is at most {math.log(len(x)):.2f}, and too low near it")

    digits = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    whole = torch.ones_like(digits, dtype=torch.bool)
    torch.manual_seed(args.seed)
    mnar = MNAR(GaussianDecoder(2, 64, hidden=[64, 64]), GaussianEncoder(64, 2, [64]))
    mnar.initialise(digits, whole)
    fit(IWELBO(mnar, 5), digits, whole, steps=2 * args.steps, lr=5e-3, weight_decay=0.0, seed=args.seed)
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
    curve.plot(table["D"], table["I"], "s--", color=BLUE, label="information I")
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
    likelihood = pd.DataFrame({"log p (nats a row)": [*bounds, estimate]}, index=names)
    return written(figure, pd.concat({"known law": table, "digits": likelihood}), args.output, "rate_distortion")


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return arguments(__doc__, "rate_distortion", argv, rows=2000, steps=1500, rows_annealed=200, temperatures=100)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
