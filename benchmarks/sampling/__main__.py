"""Effective draws a second of the posterior of white wine's rows, ours and others' on one fitted model; and calibration.

    python -m benchmarks.sampling arms --rows 50          # batched HMC and MALA, Pyro's NUTS (collapsed and joint), NumPyro's NUTS
    python -m benchmarks.sampling wine                    # all rows, four chains: how long to convergence
    python -m benchmarks.sampling growth                  # with rows and with chains, and a figure
    python -m benchmarks.sampling calibration             # p values of simulation-based calibration

The mask is the not-MIWAE paper's hard rule, the model one member of the default ensemble. Seconds are of one thread of a processor, so
that a busy machine does not count, and of everything, warm-up included (NumPyro's compilation apart); effective sample sizes are the
bulk's, by the same code for all, summed over all latents z.
Each prints a table and writes JSON to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from benchmarks.imputation.masks import masked
from benchmarks.sampling import numpyro_peer
from benchmarks.sampling.calibration import Scales, Shapes, p_value, ranks
from pyro_mnar import MNAR, MNARImputer, sample_posterior
from pyro_mnar.data import load
from pyro_mnar.mcmc import convergence
from pyro_mnar.mcmc.row_run import by_row

CHAINS = 4


class Joint(nn.Module):
    """The same model with the missing values as latents, z and their noise together."""

    def __init__(self, mnar: MNAR) -> None:
        super().__init__()
        self.mnar = mnar

    def model(self, x: Tensor, mask: Tensor) -> None:
        """Declare p(z, noise, x, s)."""
        mnar = self.mnar
        y = mnar._warped(x, mask)
        with pyro.plate("rows", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(mnar.zeros, 1.0).to_event(1))
            rows = mnar.decoder(z).base_dist
            noise = pyro.sample("noise", mnar.decoder.noise())
            complete = torch.where(mask, y, rows.loc + rows.scale * noise)
            pyro.deterministic("complete", complete, event_dim=1)
            pyro.sample("x", dist.Normal(rows.loc, rows.scale).mask(mask).to_event(1), obs=torch.where(mask, y, 0.0))
            pyro.sample("mask", mnar.mechanism(complete), obs=mask)

    def guide(self, x: Tensor, mask: Tensor) -> None:
        """Draw z from the member's own guide."""
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample("z", self.mnar.encoder(self.mnar._warped(x, mask), mask))


def fitted(options: argparse.Namespace) -> tuple[MNAR, Tensor, Tensor]:
    """Return one fitted member, and the table it is fitted to, scaled, with its mask."""
    truth, mask = masked(load("white", options.data_home), "hard", seed=0)
    holed = np.where(mask, truth, np.nan)
    imputer = MNARImputer("self-masking", direction="high", members=1, steps=options.steps, progress=False).fit(holed)
    return imputer.members_[0], torch.from_numpy(imputer.codec_.encode(holed)[0]).float(), torch.from_numpy(mask)


def judged(z: Tensor, seconds: float, wall: float) -> dict[str, float]:
    """Return what is reported of draws ``z`` (C, M, N, L) that took so many seconds of one processor, and so many on the wall."""
    sizes, rhat = by_row(convergence.ess, z), by_row(convergence.rhat, z)
    return {
        "chains": z.shape[0],
        "draws": z.shape[1],
        "seconds": seconds,
        "wall": wall,
        "ess a second": float(sizes.sum()) / seconds,
        "least ess": float(sizes.min()),
        "worst rhat": float(rhat.max()),
        "below 1.01": float((rhat < 1.01).double().mean()),
    }


def ours(module: nn.Module, x: Tensor, mask: Tensor, method: str, draws: int, warmup: int, chains: int = CHAINS) -> dict[str, float]:
    """Time ``sample_posterior``."""
    start, wall = time.process_time(), time.perf_counter()
    posterior = sample_posterior(module, x, mask, method=method, chains=chains, draws=draws, warmup=warmup, progress=False)
    return judged(posterior.latents["z"], time.process_time() - start, time.perf_counter() - wall)


def samplers(mnar: MNAR, x: Tensor, mask: Tensor, options: argparse.Namespace) -> dict[str, Callable[[], dict[str, float]]]:
    """Return what is compared on one set of rows; ours stands between the others, since a machine's load changes."""
    joint = Joint(mnar)
    draws, warmup = options.nuts

    def hmc() -> dict[str, float]:
        return ours(mnar, x, mask, "hmc", 500, 200)

    def numpyro(dense: bool) -> dict[str, float]:
        python = Path(options.numpyro) if options.numpyro else numpyro_peer.install()
        return judged(*numpyro_peer.nuts(python, mnar, x, mask, CHAINS, 500, 300, dense))

    return {
        "hmc": hmc,
        "mala": lambda: ours(mnar, x, mask, "mala", 3000, 300),
        "numpyro nuts": lambda: numpyro(False),
        "hmc again": hmc,
        "numpyro nuts, dense": lambda: numpyro(True),
        "hmc third": hmc,
        "pyro nuts": lambda: ours(mnar, x, mask, "nuts", draws, warmup, options.nuts_chains),
        "hmc last": hmc,
        "pyro nuts, joint": lambda: ours(joint, x, mask, "nuts", draws // 5, warmup // 5, 1),
        "hmc, joint": lambda: ours(joint, x, mask, "hmc", 500, 200),
    }


def arms(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run all samplers on the same rows."""
    (mnar, x, mask), rows = fitted(options), []
    for n in options.rows:
        made = samplers(mnar, x[:n], mask[:n], options)
        for name in options.only or made:
            rows.append({"sampler": name, "rows": n} | made[name]())
            print(", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()), flush=True)
    return rows


def wine(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Sample every row, once."""
    mnar, x, mask = fitted(options)
    return [{"sampler": "hmc", "rows": len(x)} | ours(mnar, x, mask, "hmc", options.draws, 200)]


def growth(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure with rows and with chains, and draw it."""
    (mnar, x, mask), rows = fitted(options), []
    for axis, values in (("rows", options.rows), ("chains", options.chains)):
        for value in values:
            n, chains = (value, CHAINS) if axis == "rows" else (50, value)
            for method, draws in (("hmc", 250), ("mala", 1000)):
                found = ours(mnar, x[:n], mask[:n], method, draws, 200, chains)
                rows.append({"axis": axis, "sampler": method, "rows": n} | found)
    draw(rows, options.output / "sampling-growth.png")
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the figure of :func:`growth`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.5), layout="constrained")
    for panel, axis, said in zip(figure.subplots(1, 2, sharey=True), ("rows", "chains"), (f"{CHAINS} chains", "50 rows"), strict=True):
        for method in ("hmc", "mala"):
            points = [row for row in rows if row["axis"] == axis and row["sampler"] == method]
            panel.loglog([row[axis] for row in points], [row["ess a second"] for row in points], "o-", label=method.upper())
        panel.set_xlabel(f"{axis} ({said})")
        panel.grid(alpha=0.3)
    figure.axes[0].set_ylabel("effective draws a second,\nsum over latents, warm-up included")
    figure.axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def calibration(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return p values of the samplers, and of the unadjusted one."""
    models = {"shapes": Shapes(), "scales": Scales()}
    return [
        {"model": name, "sampler": method, "quantity": quantity, "data sets": len(rank), "p": p_value(rank)}
        for name, model in models.items()
        for method in ("hmc", "mala", "ula")
        for quantity, rank in ranks(model, method, options.data_sets).items()
    ]


def main(argv: list[str] | None = None) -> None:
    """Run one of the four."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["arms", "wine", "growth", "calibration"])
    parser.add_argument("--rows", type=int, nargs="+", default=None, help="of arms (50, 1000) and growth (10 to all)")
    parser.add_argument("--chains", type=int, nargs="+", default=[1, 4, 16, 64], help="of growth")
    parser.add_argument("--only", nargs="+", help="samplers of arms")
    parser.add_argument("--nuts", type=int, nargs=2, default=[500, 300], metavar=("DRAWS", "WARMUP"), help="of Pyro's NUTS")
    parser.add_argument("--nuts-chains", type=int, default=CHAINS)
    parser.add_argument("--draws", type=int, default=400, help="of wine, each chain")
    parser.add_argument("--data-sets", type=int, default=1000, help="of calibration")
    parser.add_argument("--steps", type=int, default=1000, help="training updates of the model")
    parser.add_argument("--numpyro", help="python of an environment that has it; by default one is made")
    parser.add_argument("--data-home", default=None)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(argv)
    options.rows = options.rows or {"arms": [50, 1000], "growth": [10, 50, 200, 1000, 5000]}.get(options.what)
    torch.set_num_threads(1)
    found = {"arms": arms, "wine": wine, "growth": growth, "calibration": calibration}[options.what](options)
    print(pd.DataFrame(found).to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    options.output.mkdir(parents=True, exist_ok=True)
    name = f"sampling-{options.what}" + (f"-{'-'.join(map(str, options.rows))}" if options.what == "arms" else "")
    (options.output / f"{name}.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
