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
from torch.distributions import Distribution
from torch.nn.functional import softplus

from pyro_mnar.distributions import double_cut
from pyro_mnar.distributions.censored import Missing, components_between, either, missing_components
from pyro_mnar.distributions.indexing import column_indices, indicator
from pyro_mnar.distributions.links import PROBIT, log_ndtr
from pyro_mnar.mechanisms.base import MaskDistribution
from pyro_mnar.mechanisms.starts import observed_moments
from pyro_mnar.networks.layers import inverse_softplus


class TwoSidedMasking(nn.Module):
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

    columns: Tensor
    couplings: Tensor
    reach: Tensor

    def __init__(self, n_columns: int, columns: Sequence[int] | None = None, side: str = "middle") -> None:
        super().__init__()
        if side not in ("middle", "tails"):
            raise ValueError(f"side: got {side!r}, expected middle or tails")
        indices = column_indices(columns, n_columns)
        self.n_columns, self.side = n_columns, side
        self.register_buffer("columns", indices, persistent=False)
        self.register_buffer("couplings", torch.zeros(n_columns, n_columns, dtype=torch.bool), persistent=False)
        # c = a reach + offset of the middle, the negative of the tails: a slope that grows leaves the ends where they are.
        self.register_buffer("reach", torch.ones(len(indices)))
        self.raw_slope = nn.Parameter(torch.full((len(indices),), math.log(2.0)))
        self.middle, self.offset = nn.Parameter(torch.zeros(len(indices))), nn.Parameter(torch.zeros(len(indices)))

    @property
    def slope(self) -> Tensor:
        """a, (J,), above 0, in units of score per unit of x."""
        return self.raw_slope.exp()

    @torch.no_grad()
    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start from data (N, D) with its mask; return how far the column means, (D,), are supposed from those seen: not at all.

        The start supposes a normal column without its middle, or its tails, that has the observed mean and variance and the missing
        rate, at a slope of 2.
        """
        loc, scale = (part[self.columns] for part in observed_moments(x, mask & x.isfinite()))
        rate = (1 - mask[:, self.columns].to(x).mean(0)).clamp(0.01, 0.9)
        inside = rate if self.side == "middle" else 1 - rate
        kappa = torch.special.ndtri((1 + inside) / 2)
        # Second moment of a standard normal within kappa of 0, times its probability.
        moment = inside - 2 * kappa * torch.exp(-0.5 * kappa.square()) / math.sqrt(2 * math.pi)
        seen = moment / inside if self.side == "tails" else (1 - moment) / (1 - inside)
        scale = scale / seen.sqrt()
        self.raw_slope.fill_(math.log(2.0))
        self.middle.copy_(loc)
        self.reach.copy_(kappa * scale)
        width = kappa * (1 + (self.slope * scale).square()).sqrt()
        self.offset.copy_(self._sign() * (inverse_softplus(width) - self.slope * self.reach))
        return x.new_zeros(x.shape[-1])

    def line(self) -> tuple[Tensor, Tensor]:
        """Return a and -a m, (2, J), and c, (J,)."""
        slope = self.slope
        return torch.stack([slope, -slope * self.middle]), self._sign() * slope * self.reach + self.offset

    def reads(self) -> Tensor:
        """Return (J,) bool, True where a mask reads its own value."""
        return torch.ones_like(self.columns, dtype=torch.bool)

    def effect_sizes(self) -> Tensor:
        """Return a, (J,)."""
        return self.slope

    def forward(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution:
        """Return the law of the masks of complete rows ``x`` (..., D), ``effect`` (..., D) added to c."""
        terms, width = self.line()
        terms = terms.new_zeros(2, self.n_columns).index_copy(-1, self.columns, terms)
        width = width.new_zeros(self.n_columns).index_copy(-1, self.columns, width)
        line = terms, width if effect is None else width + effect
        return MaskDistribution(self.log_missing(x, line), self.log_observed(x, line), indicator(self.columns, self.n_columns))

    def gain(self, x: Tensor, factor: float, effect: Tensor | None = None) -> Tensor:
        """Return what the log odds of being missing gain, (..., D), at ``factor`` times the strength, in complete rows (..., D).

        ``factor`` is from 0 to 1; ``effect`` (..., D) is added to c first.

        Raises:
            ValueError: for a factor beyond, where log odds that grow with the square of the value need not leave a law.
        """
        if not 0 <= factor <= 1:
            raise ValueError(f"factor: got {factor} for a mechanism on two sides, expected 0 to 1")
        law = self(x, effect)
        return ((factor - 1) * (law.log_missing - law.log_observed)).masked_fill(~law.modeled, 0.0)

    def log_missing(self, values: Tensor, line: tuple[Tensor, Tensor]) -> Tensor:
        """Return log P(s = 0 | x) of ``values`` (..., J) under :meth:`line` of some columns, or c moved by other things."""
        return self._log_probability(values, line, self.side == "middle")

    def log_observed(self, values: Tensor, line: tuple[Tensor, Tensor]) -> Tensor:
        """Return log P(s = 1 | x) of ``values`` (..., J) under such a ``line``."""
        return self._log_probability(values, line, self.side == "tails")

    def components(self, cells: Distribution, line: tuple[Tensor, Tensor]) -> Missing:
        """Return the components of ``cells`` (..., J) given that they are missing under such a ``line``."""
        (slope, intercept), width = line[0], self._width(line)
        if self.side == "middle":
            return components_between(cells, slope, intercept, width)
        above = missing_components(cells, slope, intercept - width, PROBIT)
        return either(above, missing_components(cells, -slope, -intercept - width, PROBIT))

    def _log_probability(self, values: Tensor, line: tuple[Tensor, Tensor], inside: bool) -> Tensor:
        u, width = line[0][0] * values + line[0][1], self._width(line)
        return double_cut.log_mass(u, width) if inside else torch.logaddexp(log_ndtr(u - width), log_ndtr(-u - width))

    def _width(self, line: tuple[Tensor, Tensor]) -> Tensor:
        return softplus(self._sign() * line[1])

    def _sign(self) -> float:
        return 1.0 if self.side == "middle" else -1.0
