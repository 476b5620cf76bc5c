"""Decoders of cells of finite support: yes or no, ratings. Missing values are summed out exactly where their own masks alone read them.

Cells hold the numbers 0, 1, ..., V - 1, and a mechanism reads them as such: a self-masking slope is per step of a rating. Where a mask
reads other columns too, missing values are drawn, and what they teach the decoder comes by way of their score, with the other
particles as baseline (:mod:`pyro_mnar.infer.bound`, ``estimator="iwae"``).
"""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_mnar.models import laws
from pyro_mnar.models.decoders import mlp


class CategoricalDecoder(nn.Module):
    """x_j given z takes one of V values, its log probabilities linear in z or a network's.

    Args:
        latent_dim: L.
        n_columns: D.
        n_values: V, 2 or more.
        hidden: hidden layers; without any, multinomial logistic factor analysis.

    Raises:
        ValueError: for fewer than two values.

    Example:
        >>> CategoricalDecoder(2, 5, 3, hidden=[16])(torch.zeros(7, 2)).sample().shape
        torch.Size([7, 5])
    """

    def __init__(self, latent_dim: int, n_columns: int, n_values: int, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        if n_values < 2:
            raise ValueError(f"n_values: got {n_values}, expected 2 or more")
        self.latent_dim, self.n_columns, self.n_values = latent_dim, n_columns, n_values
        self.net = mlp([latent_dim, *hidden, n_columns * n_values])

    @torch.no_grad()
    def centre(self, means: Tensor) -> None:
        """Start with log probabilities that fall off around ``means`` (D,)."""
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        values = torch.arange(self.n_values, dtype=means.dtype, device=means.device)
        last.bias.copy_(-0.5 * (values - means.unsqueeze(-1)).square().flatten())

    def forward(self, z: Tensor) -> dist.Distribution:
        """Return p(x | z) for latents ``z`` (..., L)."""
        return laws.Categorical(logits=self.net(z).unflatten(-1, (self.n_columns, self.n_values)), validate_args=False).to_event(1)


class BernoulliDecoder(nn.Module):
    """x_j given z is 0 or 1, its log odds linear in z or a network's.

    Args:
        latent_dim: L.
        n_columns: D.
        hidden: hidden layers; without any, logistic factor analysis.

    Example:
        >>> BernoulliDecoder(2, 5)(torch.zeros(7, 2)).event_shape
        torch.Size([5])
    """

    def __init__(self, latent_dim: int, n_columns: int, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        self.latent_dim, self.n_columns = latent_dim, n_columns
        self.net = mlp([latent_dim, *hidden, n_columns])

    @torch.no_grad()
    def centre(self, means: Tensor) -> None:
        """Start with the shares of ones ``means`` (D,)."""
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(torch.logit(means.clamp(0.02, 0.98)))

    def forward(self, z: Tensor) -> dist.Distribution:
        """Return p(x | z) for latents ``z`` (..., L)."""
        return dist.Bernoulli(logits=self.net(z), validate_args=False).to_event(1)
