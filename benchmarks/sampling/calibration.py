"""Simulation-based calibration: in data sets drawn from the model, the truth's rank among posterior draws is uniform.

Source: Talts, Betancourt, Simpson, Vehtari and Gelman 2018, "Validating Bayesian inference algorithms with simulation-based
calibration", arXiv 1804.06788. Each row is a data set, so that a thousand of them are one batched run.
"""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from scipy import stats
from torch import Tensor, nn

from pyro_mnar import MNAR, GaussianDecoder, GaussianEncoder, SelfMasking, sample_posterior

#: Draws that a rank is among, and bins of the ranks, which they fill evenly.
DRAWS, BINS = 99, 20
#: Draws between two that count: chains remember.
APART = {"hmc": 3, "mala": 10, "ula": 10}


class Shapes(MNAR):
    """A small network decoder with self-masking, parameters at random, and a guide that has learned nothing."""

    def __init__(self, seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            decoder = GaussianDecoder(2, 4, hidden=[16])
            assert decoder.net is not None
            nn.init.normal_(decoder.net[-1].weight, std=0.3)
            super().__init__(decoder, GaussianEncoder(2, 4, [16]), SelfMasking(4, [0, 1, 2], "high"))
        self.double()

    def simulate(self, rows: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return latents, complete rows and masks drawn from the model."""
        z = torch.randn(rows, 2, dtype=torch.float64)
        x = self.decoder(z).sample()
        assert self.mechanism is not None
        return {"z": z}, x, self.mechanism(x).sample().bool()


class Scales(nn.Module):
    """A latent above zero, the scale of a row's three values, some of which are missing at random."""

    def model(self, x: Tensor, mask: Tensor) -> None:
        """Declare rate ~ Gamma(2, 2), x ~ N(0, rate^2)."""
        with pyro.plate("rows", len(x), dim=-1):
            rate = pyro.sample("rate", dist.Gamma(torch.tensor(2.0).double(), 2.0))
            noise = pyro.sample("noise", dist.Normal(torch.zeros(3).double(), 1.0).to_event(1))
            pyro.deterministic("complete", torch.where(mask, x, rate.unsqueeze(-1) * noise), event_dim=1)
            seen = dist.Normal(torch.zeros(3).double(), rate.unsqueeze(-1)).mask(mask).to_event(1)
            pyro.sample("x", seen, obs=torch.where(mask, x, 0.0))

    def guide(self, x: Tensor, mask: Tensor) -> None:
        """Know nothing."""
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample("rate", dist.LogNormal(torch.zeros(len(x)).double(), 1.0))

    def simulate(self, rows: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return latents, complete rows and masks drawn from the model."""
        rate = dist.Gamma(torch.tensor(2.0).double(), 2.0).sample((rows,))
        return {"rate": rate}, rate.unsqueeze(-1) * torch.randn(rows, 3).double(), torch.rand(rows, 3) < 0.7


def ranks(module: nn.Module, method: str, rows: int = 1000, seed: int = 0, sampled: nn.Module | None = None) -> dict[str, Tensor]:
    """Return for each latent and column the rank, from 0 to ``DRAWS``, of the truth in every data set where it is not seen.

    Args:
        module: simulates.
        method: of ``sample_posterior``.
        rows: data sets.
        seed: of everything.
        sampled: whose posterior is sampled, if not the module's own.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        latents, x, mask = module.simulate(rows)
    draws = -(-(DRAWS + 1) // 4) * APART[method]
    posterior = sample_posterior(sampled or module, x, mask, method=method, draws=draws, seed=seed, chunk=rows, progress=False)
    truths = {name: (value, posterior.latents[name]) for name, value in latents.items()} | {"x": (x, posterior.x)}
    found = {}
    for name, (truth, sample) in truths.items():
        kept = sample[:, APART[method] - 1 :: APART[method]].flatten(0, 1)[:DRAWS]
        rank = (kept < truth).sum(0).reshape(rows, -1)
        for j in range(rank.shape[-1]):
            unseen = ~mask[:, j] if name == "x" else torch.ones(rows, dtype=torch.bool)
            if bool(unseen.any()):
                found[f"{name}[{j}]"] = rank[unseen, j]
    return found


def p_value(rank: Tensor) -> float:
    """Return the probability of a chi-square statistic of the binned ranks as large as this one, were they uniform.

    Example:
        >>> p_value(torch.arange(100)), p_value(torch.zeros(100)) < 1e-6
        (1.0, True)
    """
    counts = torch.bincount((rank.long() * BINS) // (DRAWS + 1), minlength=BINS)
    return float(stats.chisquare(counts.numpy()).pvalue)
