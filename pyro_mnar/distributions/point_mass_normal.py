r"""Semicontinuous columns: one value that repeats, such as 0, and a continuum beside it.

    x_j | z = c_j with probability sigmoid(o(z)),   else N(eta(z), d_j^2)

A two-part model (Duan, Manning, Morris and Newhouse 1983, "A comparison of alternative models for the demand for medical care", Journal
of Business & Economic Statistics 1), here with a normal second part. To the integrals of a missing cell it is nothing new: a mixture of
two normals, of which one has variance 0 (:mod:`pyro_mnar.distributions.censored`). As one normal law such a column has a spike that no
skewness explains, and what lies beyond the observed part is put far too near to the spike.

c_j is an end of the column's range. In training the second part may reach beyond it, which keeps its integrals closed; where a value
is missing it is cut there (:mod:`pyro_mnar.distributions.cell_grid`), or the share of c_j would be too large by what lies beyond. A
warp keeps c_j where it is (:class:`~pyro_mnar.networks.warps.SkewWarp`).
"""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from pyro_mnar.distributions.cells import Censored, OwnScore
from pyro_mnar.distributions.censored import Normals
from pyro_mnar.distributions.continuous import AsGiven, Normal
from pyro_mnar.distributions.missing_normals import CutNormals, MaskedWithin, WithinNormals

# What tells values apart on columns of unit scale, of single precision's rounding there and back.
_SAME = 1e-5


def same(x: Tensor, mass: Tensor) -> Tensor:
    """Return whether values (..., J) are the columns' ``mass`` (J,); NaN is none's."""
    return (x - mass).abs() <= _SAME * (1 + mass.abs())


class PointMassNormal(AsGiven, dist.TorchDistribution):
    """The value ``mass`` with log-odds ``logit``, else N(loc, scale^2).

    Its density is one with respect to a unit mass at ``mass`` plus length.

    Args:
        mass: (J,).
        logit: (..., J).
        loc: (..., J).
        scale: (J,), as any other broadcast to the batch shape (..., J).
        side: (J,), 1 where the other values lie above ``mass`` and -1 where below; missing ones are then cut there.

    Example:
        >>> law = PointMassNormal(torch.zeros(1), torch.zeros(7, 1), torch.ones(7, 1), torch.ones(1))
        >>> law.batch_shape, round(float(law.log_prob(torch.zeros(7, 1))[0].exp()), 3), float(law.mean[0])
        (torch.Size([7, 1]), 0.5, 0.5)
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real
    has_rsample = False

    def __init__(self, mass: Tensor, logit: Tensor, loc: Tensor, scale: Tensor, side: Tensor | None = None) -> None:
        self._keep(mass=mass, logit=logit, loc=loc, scale=scale, **({} if side is None else {"side": side}))

    @property
    def mean(self) -> Tensor:
        """(..., J)."""
        share = torch.sigmoid(self.given["logit"])
        return (share * self.given["mass"] + (1 - share) * self.given["loc"]).expand(self._batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        logit, beside = self.given["logit"], Normal(self.given["loc"], self.given["scale"])
        log_prob = torch.where(same(value, self.given["mass"]), logsigmoid(logit), logsigmoid(-logit) + beside.log_prob(value))
        return self._full(log_prob)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            shape = torch.Size((*sample_shape, *self._batch_shape))
            at_mass = torch.bernoulli(torch.sigmoid(self.given["logit"]).expand(shape)).bool()
            beside = torch.addcmul(self.given["loc"], self.given["scale"], torch.randn(shape).to(self.given["loc"]))
            return torch.where(at_mass, self.given["mass"], beside)

    def censored(self, own: OwnScore | None) -> Censored:
        side = self.given.get("side")
        return super().censored(own) if side is None else CutNormals(self, own, side)

    def within(self, low: Tensor, high: Tensor, own: OwnScore | None = None) -> Censored:
        low, high = torch.stack([low, low], -1), torch.stack([high, high], -1)
        if "side" in self.given:
            # Nothing lies beyond the value that repeats.
            above, mass = (self.given["side"] > 0).unsqueeze(-1), self.given["mass"].unsqueeze(-1)
            beside = torch.tensor([False, True], device=low.device)
            low, high = (
                torch.where(beside & above, low.maximum(mass), low),
                torch.where(beside & ~above, high.minimum(mass), high),
            )
        cut = WithinNormals(self.normals(), low, high)
        return cut if own is None else MaskedWithin(cut, own)

    def normals(self) -> Normals:
        logit, loc, mass = self.given["logit"], self.given["loc"], self.given["mass"]
        scale = self.given["scale"]
        means = torch.stack([mass.expand(loc.shape), loc], -1)
        weights = torch.stack([logsigmoid(logit), logsigmoid(-logit)], -1)
        return Normals(weights, means, torch.stack([torch.zeros_like(scale), scale], -1))
