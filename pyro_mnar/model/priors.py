r"""Priors on a model's parameters, and the anchors that make an ensemble of its members' posterior.

Weights of the decoder, on columns scaled to about 1: N(0, 1) for the linear part, N(0, 1 / fan-in) for the network, so that a priori
neither part outgrows the column. As a penalty on the mean bound of N rows, log p(weights) counts 1 / N.

What the data cannot say is how a column goes on where it was never seen: its skewness and the slope of its mechanism. In a parametric
model they *are* identified, by the shape of the seen part, and with many rows ever more sharply, however wrong the model; intervals
then shrink around a bias. So

- these two have a prior that never counts less than as one row in ``n_0``: the center is that of data that are trusted as far as n_0
  rows would be, alpha = n_0 / (n_0 + N) of what they say ("coarsened", Miller and Dunson 2019, "Robust Bayesian inference via
  coarsening", arXiv 1506.06101);
- each member of an ensemble has a draw from that prior as its *anchor*, the center of its penalty (randomized maximum a posteriori;
  Pearce et al. 2020, "Uncertainty in neural networks: approximately Bayesian ensembling", arXiv 1810.05546).

What members then are, for one normal parameter theta ~ N(m, s^2) of which a row tells I: with its anchor a ~ N(m, s^2) and the estimate
t ~ N(t_hat, 1 / (N I)) of its own N bootstrapped rows, a member is

    theta = (alpha N I t + a / s^2) / (alpha N I + 1 / s^2),    with variance  (alpha^2 N I + 1 / s^2) / (alpha N I + 1 / s^2)^2.

Its mean is the coarsened posterior's. Where the data are silent (I = 0) it is a draw from the prior. Elsewhere its spread is less than
the coarsened posterior's, 1 / (alpha N I + 1 / s^2): of the two sources of doubt the prior's is whole, and the sampling error is that
of N rows and not of alpha N. Tables of alpha N bootstrapped rows would make it exact. On development tables under the hard rule they
covered no more and cost accuracy (docs/accuracy.md); on simulated tables with soft masks they covered two points more. The tables have
N rows, and members are no draws of that posterior.

Columns of a table are alike in skewness: their values have a normal prior about a typical one, which is learned with them and so is set
by the columns that are seen whole. Its own prior is centered above 0: quantities bounded below are skewed to the right, and most of
what is measured is such. Its anchor and those of the columns' distances from it are drawn separately, so that a column's anchor has the
spread of both. Anchors of categories' effects are normal with the scale of their t; weights and covariates' effects have none. The
numbers (those of mechanisms are in :mod:`pyro_mnar.mechanisms.prior_scales`) were chosen on tables other than those of the published
benchmark; see docs/accuracy.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from pyro_mnar.mechanisms.base import Anchors, Mechanism
from pyro_mnar.mechanisms.prior_scales import CATEGORY
from pyro_mnar.networks.decoders import Decoder
from pyro_mnar.networks.warps import SkewWarp

#: Skewness that is typical of a table: mean and standard deviation.
TYPICAL_SKEW = (0.25, 0.25)
#: Standard deviation of the columns' skewness about it.
SKEW_SPREAD = 0.3
#: Skewness of a semicontinuous column beside the value that repeats, about that value: mean and standard deviation. Doses, spending and
#: rainfall are skewed far more than columns without such a value, and differ more.
PART_SKEW = (0.75, 0.75)
#: Skewness of a column's logarithm or log-odds: mean and standard deviation. A logarithm has already taken the right skew of what is
#: measured, and often too much of it; and what is left over decides how far draws reach when they are exponentiated.
LINE_SKEW = (-0.1, 0.3)
#: n_0, rows.
TRUSTED = 300.0


class Prior(nn.Module):
    """log p of the parameters of one member; made by :meth:`members`.

    Args:
        typical: scalar, anchor of the skewness that is typical of the table.
        skew: (D,) anchors of the columns' skewness.
        slope: (J,) standardized anchors of the slopes, of a known direction or tails those of the slope's logarithm: 0 is the prior's
            mean.
        by_level: anchors of categories' effects on their masks, flat as in ``CategoryMasking``.
        spread: (D,) standard deviations of the columns' skewness.
        alike: (D,) bool, True at columns whose skewness is about the typical one; the others' has a mean of its own.

    Example:
        >>> prior = Prior.members(8, 5, 2)[0]
        >>> prior.skew.shape, prior.slope.shape
        (torch.Size([5]), torch.Size([2]))
    """

    rowwise = True
    typical: Tensor
    skew: Tensor
    slope: Tensor
    by_level: Tensor
    spread: Tensor
    alike: Tensor

    def __init__(self, typical: Tensor, skew: Tensor, slope: Tensor, by_level: Tensor, spread: Tensor, alike: Tensor) -> None:
        super().__init__()
        self.typical_skew = nn.Parameter(typical.clone())
        for name, anchor in (("typical", typical), ("skew", skew), ("slope", slope), ("by_level", by_level)):
            self.register_buffer(name, anchor)
        self.register_buffer("spread", spread, persistent=False)
        self.register_buffer("alike", alike, persistent=False)

    @classmethod
    def members(
        cls,
        size: int,
        n_columns: int,
        n_modeled: int,
        n_levels: int = 0,
        semicontinuous: Sequence[int] = (),
        transformed: Sequence[int] = (),
    ) -> list[Self]:
        """Return the priors of an ensemble of ``size`` members; of one, the prior itself.

        Args:
            size: members.
            n_columns: D, columns that are warped.
            n_modeled: J, slopes that have an anchor (``Mechanism.anchored``).
            n_levels: all categories of masks by category.
            semicontinuous: places of such columns among those that are warped.
            transformed: places of those modeled by their logarithm or log-odds.

        The anchors of a parameter are the midpoints of ``size`` equal shares of its prior, stretched to the prior's standard
        deviation, in random order for each parameter: so few draws would else have a mean and a spread of their own. A column's
        skewness is the sum of two such, the typical one and its own distance from it.
        """
        standard = torch.special.ndtri((torch.arange(size) + 0.5) / size)
        standard = standard / standard.square().mean().sqrt() if size > 1 else standard

        def anchors(width: int) -> Tensor:
            return torch.stack([standard[torch.randperm(size)] for _ in range(width)], -1) if width else torch.zeros(size, 0)

        typical = TYPICAL_SKEW[0] + TYPICAL_SKEW[1] * anchors(1)
        center, spread = typical.repeat(1, n_columns), torch.full((n_columns,), SKEW_SPREAD)
        alike = torch.ones(n_columns, dtype=torch.bool)
        for places, (mean, deviation) in ((semicontinuous, PART_SKEW), (transformed, LINE_SKEW)):
            center[:, list(places)], spread[list(places)], alike[list(places)] = mean, deviation, False
        skews = center + spread * anchors(n_columns)
        levels = CATEGORY[0] * anchors(n_levels)
        return [cls(*own, spread, alike) for own in zip(typical.squeeze(-1), skews, anchors(n_modeled), levels, strict=True)]

    @torch.no_grad()
    def start(self, warp: SkewWarp | None, mechanism: Mechanism | None) -> None:
        """Put the anchored parameters at their anchors."""
        if warp is not None:
            warp.skew.copy_(self.skew)
        if mechanism is not None:
            mechanism.start(Anchors(self.slope, self.by_level))

    def log_prob(self, n_rows: float, decoder: Decoder, warp: SkewWarp | None, mechanism: Mechanism | None) -> Tensor:
        """Return log p, up to a constant, of the parameters of a model of ``n_rows`` rows."""
        weights = decoder.log_prior()
        total = torch.zeros_like(self.skew).sum() if weights is None else torch.zeros_like(self.skew).sum() + weights
        unseen = torch.zeros_like(total)
        if warp is not None:
            typical_off = self.typical_skew - self.typical
            off = warp.skew - self.skew - torch.where(self.alike, typical_off, 0.0)
            unseen = unseen - 0.5 * ((typical_off / TYPICAL_SKEW[1]).square() + (off / self.spread).square().sum())
        if mechanism is not None:
            own = mechanism.log_prior(Anchors(self.slope, self.by_level))
            total, unseen = total + own.known, unseen + own.unseen
        return total + (1 + n_rows / TRUSTED) * unseen
