r"""The selection distribution: rows with holes, the missing values integrated out.

Given z the cells x_j are independent. A cell whose value enters no factor but its own mask therefore has an integral of one
dimension, and with s_j = 1 for observed

    log p(x_obs, s | z) = sum_obs [log p(x_j | z) + log P(s_j = 1 | x_j)] + sum_mis log INT p(x_j | z) P(s_j = 0 | x_j) dx_j.

By the Rao-Blackwell theorem a bound made with it is, in expectation, never below the one that samples x_mis from the decoder (as
not-MIWAE does, arXiv 2006.12871), at the same parameters, guide and number of particles. The integral is closed for normal and
Student-t cells (:mod:`pyro_mnar.distributions.censored`) and a sum for cells of levels and counts.

Which columns these are: :mod:`pyro_mnar.mechanisms.integrable`. What else decides over masks, seen values of earlier columns or z
itself, moves the intercepts of a row and keeps the integrals closed (:mod:`pyro_mnar.mechanisms.sequential_masking`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from pyro_mnar.distributions import censored, continuous
from pyro_mnar.distributions.discrete import GRID
from pyro_mnar.distributions.links import PROBIT, log_ndtr
from pyro_mnar.distributions.mixed import MixedCells, in_blocks
from pyro_mnar.mechanisms.base import Mechanism
from pyro_mnar.mechanisms.integrable import Part, collapsible
from pyro_mnar.mechanisms.self_masking import SelfMasking
from pyro_mnar.model.missing_cells import MissingCells, pick, summands
from pyro_mnar.networks.warps import SkewWarp


class _Holes(constraints.Constraint):
    """Any float, NaN included: NaN is a hole."""

    is_discrete = False
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return torch.ones(value.shape[:-1], dtype=torch.bool, device=value.device)


class SelectionDistribution(TorchDistribution):
    """p(x_obs, s | z) over rows (..., D) with NaN in the holes.

    Args:
        decoder: law of complete rows given z, ``Independent(cells, 1)``, event shape (D,); cells ``Normal``, ``StudentT``,
            :class:`~pyro_mnar.distributions.mixed.MixedCells`, or ``Bernoulli`` or ``Categorical``, which become these.
        mechanism: p(s given x), or None for ignorable missingness. Coupled columns (see the module) are not scored here.
        warp: None, or the margins: then ``decoder`` and ``mechanism`` are laws of warped values, and this one of unwarped ones.

    Raises:
        ValueError: when the event shape of ``decoder`` is not one dimension.
        TypeError: for cells that cannot be integrated, when their columns have a mechanism.

    Example:
        >>> from torch.distributions import Normal
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> decoder = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
        >>> law = SelectionDistribution(decoder, SelfMasking(3, direction="high"))
        >>> row = law.sample()
        >>> law.log_prob(row).shape, law.conditional(row).mean.shape
        (torch.Size([]), torch.Size([3]))
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = _Holes()
    has_rsample = False

    def __init__(self, decoder: Distribution, mechanism: Mechanism | None = None, warp: SkewWarp | None = None) -> None:
        if not isinstance(decoder, Independent) or len(decoder.event_shape) != 1:
            raise ValueError(f"decoder: got event shape {tuple(decoder.event_shape)}, expected cells independent in one dimension")
        if warp is not None and decoder.base_dist.has_enumerate_support:
            raise TypeError(f"warp: got one for {type(decoder.base_dist).__name__} cells, expected cells of real values")
        cells = in_blocks(decoder.base_dist)
        self.decoder = decoder if cells is decoder.base_dist else Independent(cells, 1)
        self.mechanism, self.warp = mechanism, warp
        blocks = cells.columns if isinstance(cells, MixedCells) else None
        self._parts = collapsible(mechanism, blocks)
        super().__init__(decoder.batch_shape, decoder.event_shape, validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> SelectionDistribution:
        if tuple(batch_shape) == self.batch_shape:
            return self
        new = copy.copy(self)  # with the parts as they were found
        new.decoder = self.decoder.expand(torch.Size(batch_shape))
        new._batch_shape = new.decoder.batch_shape
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(x_obs, s | z), (...), of rows ``value`` (..., D) with NaN in the holes."""
        mask = value == value  # not NaN, in one operation
        x = torch.where(mask, value, 0.0)
        cells = self.decoder.base_dist.log_prob
        if self.warp is None:
            total = torch.where(mask, cells(x), 0.0).sum(-1)
        else:
            x, log_slope = self.warp(x)
            total = torch.where(mask, cells(x) + log_slope, 0.0).sum(-1)
        for part in self._parts:
            line = part.line(x, mask)
            total = total + self._log_mask(part, line, x[..., part.place], mask[..., part.place]).sum(-1)
        return total

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw complete rows, then their masks, and punch the holes."""
        with torch.no_grad():
            y = self.decoder.sample(torch.Size(sample_shape))
            x = y if self.warp is None else self.warp.inverse(y)
            if self.mechanism is None:
                return x
            return torch.where(self.mechanism(y).sample(), x, torch.nan)

    def conditional(self, value: Tensor) -> MissingCells:
        """Return the law of the missing cells of rows ``value`` (..., D), NaN in the holes, given z and the masks."""
        mask = value == value
        x = torch.where(mask, value, 0.0)
        return MissingCells(self, x if self.warp is None else self.warp(x)[0], mask)

    def _log_mask(self, part: Part, line: tuple[Tensor, Tensor], x: Tensor, mask: Tensor) -> Tensor:
        """Return log P(s_j = 1 | x_j) of observed and log INT p(x_j | z) P(s_j = 0 | x_j) dx_j of missing cells, (..., J)."""
        mechanism = part.mechanism
        base = self.decoder.base_dist
        if isinstance(base, MixedCells) and isinstance(base.laws[part.block], continuous.Normal):
            base = pick(base, part)
        # Both are log Phi of something: one call.
        if isinstance(base, continuous.Normal) and isinstance(mechanism, SelfMasking) and mechanism.link == PROBIT:
            place = part.place if base is self.decoder.base_dist else slice(None)
            mean, scale = (base.given[name][..., place] for name in ("loc", "scale"))
            return log_ndtr(torch.where(mask, -mechanism.score_at(x, line), censored.marginal_score(mean, scale, *line)))
        cells: Any = base if base is not self.decoder.base_dist else pick(base, part)
        # Of missing cells alone, since each may have hundreds of components.
        hidden = (~mask).expand(torch.broadcast_shapes(mask.shape, cells.batch_shape[-mask.dim() :]))
        seen = mechanism.log_observed(x, line)
        line, cells = part.at(line, hidden), cells.at(hidden)
        if isinstance(cells, GRID):
            missing = summands(part, cells, line)[1].logsumexp(0)
        else:
            missing = censored.log_missing(mechanism.components(cells, line))
        return seen.expand(*missing.shape[:-1], *hidden.shape).masked_scatter(hidden, missing)
