"""A model that a user of Pyro wrote, with no class of this package."""

import pyro
import pyro.distributions as dist
import torch
from torch import nn


class GammaRate(nn.Module):
    """A user's own model, no class of ours: a Gamma rate, rows named ``complete``, a latent of any name."""

    def __init__(self, latent="rate"):
        super().__init__()
        self.latent = latent

    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            rate = pyro.sample(self.latent, dist.Gamma(2.0, 2.0))
            noise = pyro.sample("noise", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            complete = pyro.deterministic("complete", torch.where(mask, x, rate.unsqueeze(-1) + noise), event_dim=1)
            seen = dist.Normal(rate.unsqueeze(-1).expand(complete.shape), 1.0).mask(mask).to_event(1)
            pyro.sample("x", seen, obs=torch.where(mask, x, 0.0))

    def guide(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample(self.latent, dist.Gamma(torch.full((len(x),), 2.0), 2.0))
