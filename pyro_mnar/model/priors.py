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
of N rows and not of alpha N. Tables of alpha N bootstrapped rows would make it exact; on development tables they covered no more
and cost accuracy (docs/accuracy.md), so the tables have N rows, and members are no draws of that posterior.

Columns of a table are alike in skewness: their values have a normal prior about a typical one, which is learned with them and so is
set by the columns that are seen whole. Its own prior is centerd above 0: quantities bounded below are skewed to the right, and most of
what is measured is such. Its anchor and those of the columns' distances from it are drawn separately, so that a column's anchor has the
spread of both. Anchors of categories' effects are normal with the scale of their t; weights and covariates' effects have none. The
numbers were chosen on tables other than those of the published benchmark; see docs/accuracy.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, TypeGuard

import torch
from torch import Tensor, nn

from pyro_mnar.distributions.links import THRESHOLD
from pyro_mnar.mechanisms.base import Mechanism
from pyro_mnar.mechanisms.category_masking import CategoryMasking
from pyro_mnar.mechanisms.self_masking import SelfMasking
from pyro_mnar.mechanisms.sequential_masking import SequentialMasking, own_pieces
from pyro_mnar.mechanisms.two_sided_masking import TwoSidedMasking
from pyro_mnar.networks.decoders import GaussianDecoder
from pyro_mnar.networks.mixed_decoder import MixedDecoder
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
#: Logarithm of a self-masking slope of known direction, per scaled unit: mean and standard deviation.
LOG_SLOPE = (0.9, 0.8)
#: Standard deviation of a slope of free direction, or on two sides, about 0.
FREE_SLOPE = 2.0
#: Effects on a mask's score of an earlier column's value, per scaled unit, and of its absence: Student t about 0, their scales and
#: degrees of freedom. The tails are for masks that others decide for sure, as who has left stays away.
EFFECT, ABSENCE, EFFECT_DOF = 1.0, 2.0, 2.0
#: Standard deviation of an earlier value's effect, about 0, where the column's own value is read as well: a hard rule on the own value
#: could else be told as a hard rule on those related to it, which leaves nothing for the own value to say.
BESIDE_OWN = 0.5
#: Standard deviation of a latent's effect on a mask's score, about 0.
LOADING = 0.5
#: A column's effects of categories on their own mask's score: a multivariate Student t about 0, its scale and degrees of freedom.
#: That is a normal law whose spread is the column's own and unknown: where categories go missing alike, their effects are held near 0
#: together, and where they differ much they are hardly held at all. Unlike slopes these extrapolate no shape beyond what was seen, so
#: the data are trusted in full.
CATEGORY = (0.3, 4.0)
#: n_0, rows.
TRUSTED = 300.0


class Prior(nn.Module):
    """log p of the parameters of one member; made by :meth:`members`.

    Args:
        typical: scalar, anchor of the skewness that is typical of the table.
        skew: (D,) anchors of the columns' skewness.
        slope: (J,) standardized anchors of the slopes, of a known direction those of the slope's logarithm: 0 is the prior's mean.
        by_level: anchors of categories' effects on their masks, flat as in ``CategoryMasking``.
        spread: (D,) standard deviations of the columns' skewness.
        alike: (D,) bool, True at columns whose skewness is about the typical one; the others' has a mean of its own.

    Example:
        >>> prior = Prior.members(8, 5, 2)[0]
        >>> prior.skew.shape, prior.slope.shape
        (torch.Size([5]), torch.Size([2]))
    """

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
            n_modeled: J, columns whose masks have a slope.
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
        for part in own_pieces(mechanism):
            if _has_slopes(part):
                part.slope = torch.where(part.sign == 0, part.slope, part.sign * (LOG_SLOPE[0] + LOG_SLOPE[1] * self.slope).exp())
            elif isinstance(part, CategoryMasking):
                part.by_level.copy_(self.by_level)

    def log_prob(
        self, n_rows: int, decoder: GaussianDecoder | MixedDecoder, warp: SkewWarp | None, mechanism: Mechanism | None
    ) -> Tensor:
        """Return log p, up to a constant, of the parameters of a model of ``n_rows`` rows."""
        total = torch.zeros_like(self.skew).sum()
        if decoder.linear is not None:
            total = total - 0.5 * decoder.linear.weight.square().sum()
        for layer in decoder.net or ():
            if isinstance(layer, nn.Linear):
                total = total - 0.5 * layer.in_features * layer.weight.square().sum()
        unseen = torch.zeros_like(total)
        if warp is not None:
            typical_off = self.typical_skew - self.typical
            off = warp.skew - self.skew - torch.where(self.alike, typical_off, 0.0)
            unseen = unseen - 0.5 * ((typical_off / TYPICAL_SKEW[1]).square() + (off / self.spread).square().sum())
        for part in own_pieces(mechanism):
            if _has_slopes(part):
                slope = part.slope
                free = part.sign == 0
                known = (torch.where(free, 1.0, slope.abs()).log() - LOG_SLOPE[0]) / LOG_SLOPE[1]
                unseen = unseen - 0.5 * (torch.where(free, slope / FREE_SLOPE, known) - self.slope).square().sum()
            elif isinstance(part, TwoSidedMasking):
                unseen = unseen - 0.5 * (part.slope / FREE_SLOPE).square().sum()
            elif isinstance(part, CategoryMasking):
                scale, dof = CATEGORY
                for own in (part.by_level - self.by_level).split(list(part.levels)):
                    total = total - 0.5 * (dof + len(own)) * torch.log1p((own / scale).square().sum() / dof)
        if isinstance(mechanism, SequentialMasking):
            if mechanism.order is not None:
                own = mechanism.reads_own().unsqueeze(-1)
                beside = 0.5 * (mechanism.effects / BESIDE_OWN).square()
                total = (
                    total
                    - torch.where(own, beside, _student(mechanism.effects / EFFECT)).sum()
                    - _student(mechanism.absences / ABSENCE).sum()
                )
            if mechanism.reads_latent:
                total = total - 0.5 * (mechanism.loadings / LOADING).square().sum()
        return total + (1 + n_rows / TRUSTED) * unseen


def _has_slopes(mechanism: Mechanism | None) -> TypeGuard[SelfMasking]:
    return isinstance(mechanism, SelfMasking) and mechanism.link is not THRESHOLD


def _student(scaled: Tensor) -> Tensor:
    """Return less the log density of a Student t of unit scale, up to a constant."""
    return 0.5 * (EFFECT_DOF + 1) * torch.log1p(scaled.square() / EFFECT_DOF)
