"""The head of semicontinuous columns: see :mod:`pyro_mnar.distributions.point_mass_normal`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyro_mnar.distributions.point_mass_normal import PointMassNormal, same
from pyro_mnar.networks.head import ScaledHead
from pyro_mnar.networks.layers import FAR

# Variance of a message that says nothing.
_NOTHING = 1e8


class SemicontinuousHead(ScaledHead):
    """Columns of a value that repeats and a continuum, two outputs each: first all their means, then all their log-odds.

    Args:
        columns: their indices.
        mass: each column's value that repeats.
        shares: its share in each column, above 0 and below 1: where the law starts.
        sides: each column's side, 1 where the other values lie above it and -1 where below; missing ones are then cut there, else not.

    Example:
        >>> head = SemicontinuousHead([1], [-0.5], [0.25])
        >>> round(float(head(head.start).log_prob(torch.tensor([-0.5])).detach().exp()), 3)
        0.25
    """

    rowwise = True
    mass: Tensor
    side: Tensor | None

    def __init__(
        self, columns: Sequence[int], mass: Sequence[float], shares: Sequence[float], sides: Sequence[int] | None = None
    ) -> None:
        width = len(columns)
        start = torch.cat([torch.zeros(width), torch.logit(torch.tensor(shares, dtype=torch.float32))])
        super().__init__(columns, list(range(width)) * 2, start, 2 * width)
        self.register_buffer("mass", torch.tensor(mass, dtype=torch.float32), persistent=False)
        side = None if sides is None else torch.tensor(sides, dtype=torch.float32)
        self.register_buffer("side", side, persistent=False)

    def forward(self, eta: Tensor) -> PointMassNormal:
        """Return the law of the columns, (..., J), given outputs (..., 2 J)."""
        loc, logit = eta.chunk(2, -1)
        return PointMassNormal(self.mass, logit, loc, self.scale(loc), self.side)

    def scoring(self, eta: Tensor) -> tuple[Tensor, ...]:
        """Return the probability of the value that repeats, its information, and the others' variance, (J,)."""
        loc, logit = eta.chunk(2, -1)
        share = torch.sigmoid(logit)
        return share, (share * (1 - share)).clamp_min(0.01), self.scale(loc).square()

    def told(self, x: Tensor, eta: Tensor, scoring: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return g / W and 1 / W, both (..., 2 J); the value that repeats tells no mean."""
        share, information, variance = scoring
        at_mass = same(x, self.mass)
        told = torch.cat([x - eta.chunk(2, -1)[0], (at_mass.to(x) - share) / information], -1)
        variance = torch.where(at_mass, _NOTHING, variance)
        return told, torch.cat([variance, information.reciprocal().expand_as(x)], -1)

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what a network reads of values (..., J): the value, and whether it is the one that repeats; 0 where missing."""
        at_mass = same(x, self.mass) & mask
        return torch.cat([torch.where(at_mass, 0.0, x.clamp(-FAR, FAR)), at_mass.to(x)], -1)

    def apart(self, x: Tensor, mask: Tensor) -> Tensor:
        at_mass = mask & same(x, self.mass)
        side = torch.where(mask & ~at_mass, self.mass - x, 0.0).sum(0).sign()
        return torch.where(at_mass, side * torch.inf, x)
