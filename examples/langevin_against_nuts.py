"""Langevin and Hamiltonian steps beside NUTS
==========================================

Langevin, Hamiltonian steps and NUTS on one fitted model: what an effective draw of a row's posterior costs.

A table of two-dimensional structure, large values of two columns hidden. The fitted model's posterior of each row is sampled, through
one call, by batched MALA, batched HMC and Pyro's own NUTS, and by the ``Langevin`` kernel under ``pyro.infer.MCMC``. The figure shows
one row's draws, and effective draws a second.

::

    python examples/langevin_against_nuts.py --output langevin-output
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pyro.infer import MCMC
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, PROBIT, ConjugateEncoder, GaussianDecoder, Langevin, SelfMasking, fit, sample_posterior
from pyro_mnar.mcmc.convergence import ess, rhat

COLUMNS, HIDDEN = 5, [0, 1]


def simulate(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return a table (N, 5) and its mask, the largest values of two columns missing."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, 2, generator=generator)
    curve = torch.stack([z[:, 0], z[:, 1], z[:, 0] + z[:, 1], z[:, 0] - 0.5 * z[:, 1].square(), torch.sin(2 * z[:, 0])], -1)
    x = curve + 0.3 * torch.randn(rows, COLUMNS, generator=generator)
    missing = torch.sigmoid(4 * (x - 0.7)) > torch.rand(rows, COLUMNS, generator=generator)
    missing[:, [j for j in range(COLUMNS) if j not in HIDDEN]] = False
    return x, ~missing


def fitted(x: Tensor, mask: Tensor, steps: int, seed: int) -> MNAR:
    """Return a trained model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = GaussianDecoder(2, COLUMNS, hidden=[32])
        mnar = MNAR(decoder, ConjugateEncoder(decoder), SelfMasking(COLUMNS, HIDDEN, "high", PROBIT))
    mnar.initialize(x, mask)
    fit(IWELBO(mnar, particles=10), x, mask, steps=steps, lr=1e-2, seed=seed, batch_size=128, mechanism_lr=1e-1)
    return mnar


def by_pyro(mnar: MNAR, x: Tensor, mask: Tensor, draws: int, warmup: int, chains: int) -> Tensor:
    """Return draws of z, (C, M, N, L), by the Langevin kernel under Pyro's own driver, one chain after the other."""
    parts = []
    for chain in range(chains):
        torch.manual_seed(chain)
        mcmc = MCMC(Langevin(mnar.model), draws, warmup, disable_progbar=True)
        mcmc.run(x, mask)
        parts.append(mcmc.get_samples()["z"])
    return torch.stack(parts)


def draw(z: dict[str, Tensor], row: int, table: pd.DataFrame, path: Path) -> None:
    """Write the figure: a row's draws by each sampler, and effective draws a second."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(3 * (len(z) + 1), 3.2), layout="constrained")
    panels = figure.subplots(1, len(z) + 1)
    for panel, (name, draws) in zip(panels[:-1], z.items(), strict=True):
        panel.plot(*draws[0, :, row].T.numpy(), ".", markersize=3, alpha=0.5)
        panel.set(title=name, xlabel="$z_1$")
        panel.sharex(panels[0])
        panel.sharey(panels[0])
    panels[0].set_ylabel(f"$z_2$ of row {row}, first chain")
    panels[-1].barh(table.index, table["effective draws a second"])
    panels[-1].set(xscale="log", xlabel="effective draws a second", title="all rows and chains")
    panels[-1].xaxis.set_minor_formatter(NullFormatter())
    panels[-1].set_xlim(left=10 ** np.floor(np.log10(table["effective draws a second"].min())))
    panels[-1].invert_yaxis()
    figure.savefig(path, dpi=120)


def main(args: argparse.Namespace) -> pd.DataFrame:
    """Fit, sample with each, and return a table."""
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    x, mask = simulate(args.rows, args.seed)
    mnar = fitted(x, mask, args.steps, args.seed)
    few, seen = x[: args.sampled], mask[: args.sampled]

    def ours(method: str, draws: int) -> Callable[[], Tensor]:
        settings = {"method": method, "draws": draws, "warmup": args.warmup, "chains": args.chains, "seed": args.seed}
        return lambda: sample_posterior(mnar, few, seen, **settings).latents["z"]

    samplers = {
        "MALA, batched": ours("mala", args.draws),
        "HMC, batched": ours("hmc", args.draws),
        "Langevin in MCMC": lambda: by_pyro(mnar, few, seen, args.draws, args.warmup, args.chains),
        "NUTS of Pyro": ours("nuts", args.draws),
    }
    z, rows = {}, {}
    for name, sample in samplers.items():
        start = time.perf_counter()
        z[name] = sample()
        seconds = time.perf_counter() - start
        sizes = ess(z[name])
        rows[name] = {
            "seconds": seconds,
            "effective draws a second": float(sizes.sum()) / seconds,
            "least ESS": float(sizes.min()),
            "worst R-hat": float(rhat(z[name]).max()),
        }
    table = pd.DataFrame(rows).T
    print(f"{args.sampled} rows, {args.chains} chains of {args.draws} draws after {args.warmup} of warm-up")
    print(table.to_string(float_format=lambda value: f"{value:.4g}"))
    hard = int((~seen).sum(-1).argmax())
    draw(z, hard, table, output / "langevin_against_nuts.png")
    print(f"written to {output / 'langevin_against_nuts.png'}")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="langevin-output", help="folder of the figure")
    parser.add_argument("--rows", type=int, default=500, help="of the simulated table")
    parser.add_argument("--sampled", type=int, default=40, help="rows whose posterior is sampled")
    parser.add_argument("--steps", type=int, default=1000, help="training updates")
    parser.add_argument("--draws", type=int, default=400, help="of each chain")
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    torch.set_num_threads(1)
    main(parser.parse_args())
