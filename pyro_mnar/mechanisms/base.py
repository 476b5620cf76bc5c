"""Mechanisms p(s given x): why values are missing.

A mechanism is a module whose ``forward(x)`` takes complete rows (..., D) and returns a :class:`MaskDistribution` over s, with
``True`` = observed. It says two things about itself:

- ``columns``: the indices of the columns whose masks it models; the other columns' masks are not modeled (ignorable);
- ``couplings``: (D, D), True at [j, k] where the *value* of column k enters the mask of another column j.

``initialize(x, mask)`` starts from data, in which a value that repeats at an end of its column stands as an infinite one, and returns
how far the column means, (D,), are supposed from those seen.

``forward(x, effect)`` adds a given number, (..., D), to each cell's score; so a latent enters
(:mod:`pyro_mnar.mechanisms.latent_masking`).

A cell whose value no other mask reads can be integrated out (see :mod:`pyro_mnar.model.selection`); ``SelfMasking`` has only
such cells. Signs, once: slope a > 0 means that P(missing) rises with x (``direction`` high); the score u = a x + c is that of
*missing*. Source of the model: Ipsen, Mattei and Frellsen, "not-MIWAE", arXiv 2006.12871.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints


class MaskDistribution(TorchDistribution):
    """The law of one row's mask, cells independent given x.

    Args:
        log_missing: log P(s = 0 | x), (..., D).
        log_observed: log P(s = 1 | x), (..., D).
        modeled: (D,) bool; cells of the other columns are always drawn as observed and have log probability 0.

    Example:
        >>> law = MaskDistribution(torch.zeros(2).sub(0.6931472), torch.zeros(2).sub(0.6931472), torch.tensor([True, False]))
        >>> round(float(law.log_prob(torch.tensor([False, False]))), 4)
        -0.6931
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.independent(constraints.boolean, 1)
    has_rsample = False

    def __init__(self, log_missing: Tensor, log_observed: Tensor, modeled: Tensor) -> None:
        self.log_missing, self.log_observed, self.modeled = log_missing, log_observed, modeled
        super().__init__(log_missing.shape[:-1], log_missing.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> MaskDistribution:
        shape = (*batch_shape, *self.event_shape)
        return MaskDistribution(self.log_missing.expand(shape), self.log_observed.expand(shape), self.modeled)

    def restrict(self, columns: Tensor) -> MaskDistribution:
        """Return the law that scores only ``columns`` (D,) bool."""
        return MaskDistribution(self.log_missing, self.log_observed, self.modeled & columns)

    def missing_rate(self, mask: Tensor) -> Tensor:
        """Return P(s_j = 0 | x), (..., D), given the ``mask`` (..., D) of the other cells, which says nothing here."""
        return self.log_missing.exp()

    def averaged(self) -> MaskDistribution:
        """Return the law whose cells are averaged over the first dimension."""
        missing, observed = (part.logsumexp(0) - math.log(len(part)) for part in (self.log_missing, self.log_observed))
        return MaskDistribution(missing, observed, self.modeled)

    def cell_log_prob(self, mask: Tensor) -> Tensor:
        """Return log P(s_j | x), (..., D), zero in columns that are not modeled."""
        return torch.where(mask.bool(), self.log_observed, self.log_missing).masked_fill(~self.modeled, 0.0)

    def log_prob(self, mask: Tensor) -> Tensor:
        return self.cell_log_prob(mask).sum(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = (*sample_shape, *self.log_missing.shape)
        uniform = torch.rand(shape, dtype=self.log_missing.dtype, device=self.log_missing.device)
        return (uniform < self.log_observed.exp()) | ~self.modeled


class Mechanism(Protocol):
    """What every mechanism offers; a new one is one class and one row in the contract-test table."""

    columns: Tensor
    couplings: Tensor

    def __call__(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution: ...

    def initialize(self, x: Tensor, mask: Tensor) -> Tensor: ...
