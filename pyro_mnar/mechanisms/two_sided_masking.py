r"""Self-masking on two sides: values near a middle go missing, or values far from it.

With u = a (x - m), a half width w > 0 in units of u, and e ~ N(0, 1),

    middle:  P(s = 0 | x) = Phi(u + w) - Phi(u - w),     x is missing if and only if -w < u + e < w,    w = softplus(c)
    tails:   P(s = 0 | x) = Phi(u - w) + Phi(-u - w),    one less the other,                            w = softplus(-c)

for any real c, which rises with P(s = 0) and to which other things may be added. The tails are two half-lines, each a probit of one
slope; the middle is one normal that is cut on both sides. Integrals, means and draws of missing cells are therefore as closed as
self-masking's (:mod:`pyro_mnar.distributions.censored`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_mnar.distributions import double_cut
from pyro_mnar.distributions.alignment import TOGETHER
from pyro_mnar.distributions.cells import OwnScore
from pyro_mnar.distributions.censored import Missing, Normals, components_between, either, missing_components
from pyro_mnar.distributions.indexing import chosen_of, columns_of
from pyro_mnar.distributions.links import PROBIT, log_ndtr
from pyro_mnar.mechanisms.base import Anchors, LogPrior
from pyro_mnar.mechanisms.own_value import OwnValueMasking
from pyro_mnar.mechanisms.prior_scales import FREE_SLOPE, LOG_SLOPE
from pyro_mnar.mechanisms.starts import observed_moments, two_sided_normal
from pyro_mnar.networks.layers import inverse_softplus


class TwoSidedMasking(OwnValueMasking):
    """Each modeled column's mask reads how far that column's value is from a middle, and nothing else; see the module.

    Args:
        n_columns: D.
        columns: indices of the modeled columns; all by default.
        side: ``middle`` (values near it go missing) or ``tails`` (values far from it).

    Raises:
        ValueError: for an unknown side or columns out of range.

    Example:
        >>> mechanism = TwoSidedMasking(3, [0, 1], "tails")
        >>> rates = mechanism(torch.tensor([[0.0] * 3, [4.0] * 3])).log_missing.exp()
        >>> bool((rates[0, :2] < rates[1, :2]).all())
        True
    """

    rowwise = True
    reach: Tensor
    spread: Tensor

    def __init__(self, n_columns: int, columns: Sequence[int] | None = None, side: str = "middle") -> None:
        super().__init__(n_columns, columns)
        if side not in ("middle", "tails"):
            raise ValueError(f"side: got {side!r}, expected middle or tails")
        self.side, width = side, len(self.columns)
        # c = a reach + offset of the middle, the negative of the tails: a slope that grows leaves the ends where they are.
        self.register_buffer("reach", torch.ones(width))
        # The standard deviation that the columns are supposed to have.
        self.register_buffer("spread", torch.ones(width), persistent=False)
        self.raw_slope = nn.Parameter(torch.full((width,), math.log(2.0)))
        self.middle, self.offset = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    @property
    def slope(self) -> Tensor:
        """a, (J,), above 0, in units of score per unit of x."""
        return self.raw_slope.exp()

    @torch.no_grad()
    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start from data (N, D) with its mask; return how far the column means, (D,), are supposed from those seen: not at all.

        The start supposes a normal column without its middle, or its tails, that has the observed mean and variance and the missing
        rate, at a slope of 2, or 1: decoders of pilots start with the spread that is seen, and steep tails beyond it are found late.
        """
        self.check_columns(x, mask)
        loc, scale = (part[self.columns] for part in observed_moments(x, mask & x.isfinite()))
        spread, reach = two_sided_normal(1 - mask[:, self.columns].to(x).mean(0), self.side)
        self.raw_slope.fill_(math.log(2.0) if self.side == "middle" else 0.0)
        self.middle.copy_(loc)
        self.reach.copy_(reach * scale)
        self.spread.copy_(torch.where(scale > 0, spread * scale, 1.0))
        width = reach / spread * (1 + (self.slope * self.spread).square()).sqrt()
        self.offset.copy_(self._sign() * (inverse_softplus(width) - self.slope * self.reach))
        return x.new_zeros(x.shape[-1])

    def effect_sizes(self) -> Tensor:
        """Return a, (J,)."""
        return self.slope

    def score(self) -> TwoSidedScore:
        slope = self.slope
        return TwoSidedScore(slope, -slope * self.middle, self._sign() * slope * self.reach + self.offset, self._sign())

    @property
    def anchored(self) -> int:
        # What lies within is bounded by what is seen on both sides; how far the tails reach, only their shape says.
        return len(self.columns) if self.side == "tails" else 0

    def log_prior(self, anchors: Anchors) -> LogPrior:
        if self.side == "middle":
            return LogPrior(unseen=-0.5 * (self.slope / FREE_SLOPE).square().sum())
        off = (self.raw_slope + self.spread.log() - LOG_SLOPE[0]) / LOG_SLOPE[1] - anchors.slope
        return LogPrior(unseen=-0.5 * off.square().sum())

    def _sign(self) -> float:
        return 1.0 if self.side == "middle" else -1.0


class TwoSidedScore(OwnScore):
    """P(s = 0 | x) of the module's first lines, with u = slope x + intercept.

    Args:
        slope: (J,), or (M,) of cells.
        intercept: (J,), or (M,) of cells.
        width: c, (J,), or (..., J) where rows have their own.
        sign: 1 of the middle, -1 of the tails.
    """

    def __init__(self, slope: Tensor, intercept: Tensor, width: Tensor, sign: float) -> None:
        self.slope, self.intercept, self.width, self.sign = slope, intercept, width, sign

    def take(self, columns: Tensor | slice) -> TwoSidedScore:
        slope, intercept, width = (columns_of(part, columns) for part in (self.slope, self.intercept, self.width))
        return TwoSidedScore(slope, intercept, width, self.sign)

    def at(self, chosen: Tensor, together: int = TOGETHER) -> TwoSidedScore:
        slope, intercept, width = (chosen_of(part, chosen, together) for part in (self.slope, self.intercept, self.width))
        return TwoSidedScore(slope, intercept, width, self.sign)

    def shifted(self, effect: Tensor) -> TwoSidedScore:
        return TwoSidedScore(self.slope, self.intercept, self.width + effect, self.sign)

    def log_missing(self, values: Tensor) -> Tensor:
        return self._log_probability(values, self.sign > 0)

    def log_observed(self, values: Tensor) -> Tensor:
        return self._log_probability(values, self.sign < 0)

    def gain(self, values: Tensor, factor: float) -> Tensor:
        """Return what the log odds of being missing gain, (..., J), at ``factor`` times their strength, from 0 to 1.

        Raises:
            ValueError: for a factor beyond, where log odds that grow with the square of the value need not leave a law.
        """
        if not 0 <= factor <= 1:
            raise ValueError(f"factor: got {factor} for a mechanism on two sides, expected 0 to 1")
        return (factor - 1) * (self.log_missing(values) - self.log_observed(values))

    def components(self, normals: Normals) -> Missing:
        slope, intercept, half = self.slope, self.intercept, self._half()
        if self.sign > 0:
            return components_between(normals, slope, intercept, half)
        above = missing_components(normals, slope, intercept - half, PROBIT)
        return either(above, missing_components(normals, -slope, -intercept - half, PROBIT))

    def rising(self, values: Tensor) -> None:
        return None

    def probit(self) -> None:
        return None

    def _log_probability(self, values: Tensor, inside: bool) -> Tensor:
        u, half = self.slope * values + self.intercept, self._half()
        return double_cut.log_mass(u, half) if inside else torch.logaddexp(log_ndtr(u - half), log_ndtr(-u - half))

    def _half(self) -> Tensor:
        return softplus(self.sign * self.width)
