r"""Priors on a model's parameters, and the anchors that make an ensemble of its members' posterior.

Weights of the decoder, on columns scaled to about 1: N(0, 1) for the linear part, N(0, 1 / fan-in) for the network, so that a priori
neither part outgrows the column. As a penalty on the mean bound of N rows, log p(weights) counts 1 / N.

What the data cannot say is how a column goes on where it was never seen: its skewness and the slope of its mechanism. In a parametric
model they *are* identified, by the shape of the seen part, and with many rows ever more sharply, however wrong the model; intervals
then shrink around a bias. So

- these two have a prior that never counts less than as one row in ``n_0`` (the posterior is that of data that are trusted as far as
  n_0 rows would be: "coarsened", Miller and Dunson 2019, "Robust Bayesian inference via coarsening", arXiv 1506.06101);
- each member of an ensemble has a draw from that prior as its *anchor*, the centre of its penalty. In a linear-Gaussian model the
  minimisers are then draws from the posterior (randomised maximum a posteriori; Pearce et al. 2020, "Uncertainty in neural networks:
  approximately Bayesian ensembling", arXiv 1810.05546); where the data are silent they keep the prior's spread.

Columns of a table are alike in skewness: their values have a normal prior about a typical one, which is learned with them and so is
set by the columns that are seen whole. Its own prior is centred above 0: quantities bounded below are skewed to the right, and most of
what is measured is such. The numbers were chosen on tables other than those of the published benchmark; see docs/accuracy.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypeGuard

import torch
from torch import Tensor, nn

from pyro_mnar.models.category_masking import CategoryMasking
from pyro_mnar.models.decoders import GaussianDecoder
from pyro_mnar.models.links import THRESHOLD
from pyro_mnar.models.masks import Mechanism
from pyro_mnar.models.mixed_decoder import MixedDecoder
from pyro_mnar.models.mixed_masking import MixedMasking
from pyro_mnar.models.self_masking import SelfMasking
from pyro_mnar.models.sequential_masking import SequentialMasking
from pyro_mnar.models.two_sided_masking import TwoSidedMasking
from pyro_mnar.models.warps import SkewWarp

#: Skewness that is typical of a table: mean and standard deviation.
TYPICAL_SKEW = (0.25, 0.25)
#: Standard deviation of the columns' skewness about it.
SKEW_SPREAD = 0.3
#: Skewness of a semicontinuous column beside the value that repeats, about that value: mean and standard deviation. Doses, spending and
#: rainfall are skewed far more than columns without such a value, and differ more.
PART_SKEW = (0.75, 0.75)
#: Logarithm of a self-masking slope of known direction, per scaled unit: mean and standard deviation.
LOG_SLOPE = (0.9, 0.8)
#: Standard deviation of a slope of free direction, or on two sides, about 0.
FREE_SLOPE = 5.0
#: Standard deviations, about 0, of effects on a mask's score of an earlier column's value, per scaled unit; of its absence; and of a
#: latent.
EFFECT, ABSENCE, LOADING = 1.0, 2.0, 0.5
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
        skew: (D,) anchors of the columns' skewness.
        log_slope: (J,) anchors of the logarithms of slopes of known direction; of a free direction unused.
        by_level: anchors of categories' effects on their masks, flat as in ``CategoryMasking``.
        part: (D,) bool, True at semicontinuous columns.

    Example:
        >>> prior = Prior.members(8, 5, 2)[0]
        >>> prior.skew.shape, prior.log_slope.shape
        (torch.Size([5]), torch.Size([2]))
    """

    skew: Tensor
    log_slope: Tensor
    by_level: Tensor
    part: Tensor

    def __init__(self, skew: Tensor, log_slope: Tensor, by_level: Tensor, part: Tensor) -> None:
        super().__init__()
        self.register_buffer("skew", skew)
        self.register_buffer("part", part, persistent=False)
        self.typical_skew = nn.Parameter(self._typical())
        self.register_buffer("log_slope", log_slope)
        self.register_buffer("by_level", by_level)

    @classmethod
    def members(cls, size: int, n_columns: int, n_modelled: int, n_levels: int = 0, semicontinuous: Sequence[int] = ()) -> list[Self]:
        """Return the priors of an ensemble of ``size`` members; of one, the prior itself.

        ``n_columns`` are those that are warped, ``n_modelled`` those with a slope, ``n_levels`` all categories of masks by category,
        ``semicontinuous`` the places of such columns among those that are warped.

        The anchors of a parameter are the midpoints of ``size`` equal shares of its prior, stretched to the prior's standard
        deviation, in random order for each parameter: so few draws would else have a mean and a spread of their own.
        """
        standard = torch.special.ndtri((torch.arange(size) + 0.5) / size)
        standard = standard / standard.square().mean().sqrt() if size > 1 else standard

        def anchors(mean: float, spread: float, width: int) -> Tensor:
            if not width:
                return torch.zeros(size, 0)
            return mean + spread * torch.stack([standard[torch.randperm(size)] for _ in range(width)], -1)

        slopes, skews = anchors(*LOG_SLOPE, n_modelled), anchors(0.0, 1.0, n_columns)
        part = torch.zeros(n_columns, dtype=torch.bool)
        part[list(semicontinuous)] = True
        skews = torch.where(part, PART_SKEW[0] + PART_SKEW[1] * skews, TYPICAL_SKEW[0] + SKEW_SPREAD * skews)
        return [cls(*own, part) for own in zip(skews, slopes, anchors(0.0, CATEGORY[0], n_levels), strict=True)]

    @torch.no_grad()
    def start(self, warp: SkewWarp | None, mechanism: Mechanism | None) -> None:
        """Put the anchored parameters at their anchors."""
        if warp is not None:
            warp.skew.copy_(self.skew)
        for part in _pieces(mechanism):
            if _has_slopes(part):
                part.slope = torch.where(part.sign == 0, part.slope, part.sign * self.log_slope.exp())
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
            # The anchors say where the typical skewness is expected and how far each column is from it.
            off, typical_off = warp.skew - self.skew, self.typical_skew - self._typical()
            off = torch.where(self.part, off / PART_SKEW[1], (off - typical_off) / SKEW_SPREAD)
            unseen = unseen - 0.5 * ((typical_off / TYPICAL_SKEW[1]).square() + off.square().sum())
        for part in _pieces(mechanism):
            if _has_slopes(part):
                slope = part.slope
                free = part.sign == 0
                known = (torch.where(free, 1.0, slope.abs()).log() - self.log_slope) / LOG_SLOPE[1]
                unseen = unseen - 0.5 * torch.where(free, slope / FREE_SLOPE, known).square().sum()
            elif isinstance(part, TwoSidedMasking):
                unseen = unseen - 0.5 * (part.slope / FREE_SLOPE).square().sum()
            elif isinstance(part, CategoryMasking):
                scale, dof = CATEGORY
                for own in (part.by_level - self.by_level).split(list(part.levels)):
                    total = total - 0.5 * (dof + len(own)) * torch.log1p((own / scale).square().sum() / dof)
        if isinstance(mechanism, SequentialMasking):
            if mechanism.order is not None:
                total = total - 0.5 * ((mechanism.effects / EFFECT).square().sum() + (mechanism.absences / ABSENCE).square().sum())
            if mechanism.reads_latent:
                total = total - 0.5 * (mechanism.loadings / LOADING).square().sum()
        return total + (1 + n_rows / TRUSTED) * unseen

    def _typical(self) -> Tensor:
        """Return where the typical skewness is expected."""
        return self.skew.new_tensor(TYPICAL_SKEW[0]) if self.part.all() else self.skew[~self.part].mean()


def _pieces(mechanism: Mechanism | None) -> list[Any]:
    own = mechanism.own if isinstance(mechanism, SequentialMasking) else mechanism
    return [own] if not isinstance(own, MixedMasking) else own.mechanisms()


def _has_slopes(mechanism: Mechanism | None) -> TypeGuard[SelfMasking]:
    return isinstance(mechanism, SelfMasking) and mechanism.link is not THRESHOLD
