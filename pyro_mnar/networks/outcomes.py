r"""Outcomes: p(y | x), learned together with the model of x, its holes and their reasons.

    z ~ p(z),   x | z ~ decoder,   s | x ~ mechanism,   y | x ~ outcome

In a table the outcome is the last column. It stands inside the weight, log w = ... + log p(y | x_obs, x_mis), with the missing values
drawn given z and the mask, so that what y says of them trains the model, and what the model says of them trains the regressor. A row
whose y is missing counts as any other row. Prediction averages p(y | x)
over draws of the missing values (:mod:`pyro_mnar.imputation.predict`); imputed, an outcome has its expected value, of classes that of
their numbers (of two the probability of class 1).

Any module of this contract will do: ``forward(x)`` takes complete rows (..., D) and returns a law of y of batch shape (...).
"""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_mnar.distributions import continuous
from pyro_mnar.networks.layers import inverse_softplus, mlp, noise_scale


class GaussianOutcome(nn.Module):
    """y given x ~ N(m(x), d^2), m a network, or linear without hidden layers.

    Args:
        n_columns: D, the outcome not counted.
        hidden: hidden layers.

    Example:
        >>> GaussianOutcome(5)(torch.zeros(7, 5)).batch_shape
        torch.Size([7])
    """

    def __init__(self, n_columns: int, hidden: Sequence[int] = (64,)) -> None:
        super().__init__()
        self.net = mlp([n_columns, *hidden, 1])
        self.raw_scale = nn.Parameter(inverse_softplus(torch.full((), 0.5)))

    def forward(self, x: Tensor) -> dist.Distribution:
        """Return p(y | x) of complete rows ``x`` (..., D)."""
        return dist.Normal(self.net(x).squeeze(-1), noise_scale(self.raw_scale), validate_args=False)


class CategoricalOutcome(nn.Module):
    """y given x is one of the classes 0, 1, ..., C - 1, its log probabilities a network's.

    Args:
        n_columns: D, the outcome not counted.
        n_classes: C.
        hidden: hidden layers; without any, logistic regression.

    Example:
        >>> CategoricalOutcome(5, 3)(torch.zeros(7, 5)).probs.shape
        torch.Size([7, 3])
    """

    def __init__(self, n_columns: int, n_classes: int, hidden: Sequence[int] = (64,)) -> None:
        super().__init__()
        self.net = mlp([n_columns, *hidden, n_classes])

    def forward(self, x: Tensor) -> dist.Distribution:
        """Return p(y | x) of complete rows ``x`` (..., D)."""
        return continuous.Categorical(logits=self.net(x), validate_args=False)
