r"""The law of a row's missing values given z and its mask, as a Pyro distribution: what a tilt reads in the holes.

Given z the missing cells are independent, and where a column's mask was integrated out its missing value has density

    p(x_j | z, s_j = 0) = p(x_j | z) P(s_j = 0 | x_j) / INT p(x | z) P(s_j = 0 | x) dx,

elsewhere the decoder's. Drawn so, a value adds nothing to an importance weight but the tilt. The event is a whole row: its observed
cells are standard normals that nobody reads, so that the law is proper for Hamiltonian samplers too and what is not read stays
independent of everything.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_mnar.model.selection import SelectionDistribution

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class MissingRows(TorchDistribution):
    """p(x_mis | z, s) over rows (..., D), observed cells standard normal.

    Args:
        selection: the law of the row given z.
        holed: (..., D), rows with NaN in the holes.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> selection = SelectionDistribution(Independent(Normal(torch.zeros(2), torch.ones(2)), 1), SelfMasking(2, direction="high"))
        >>> law = MissingRows(selection, torch.tensor([0.3, torch.nan]))
        >>> law.log_prob(law.sample((5,))).shape
        torch.Size([5])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support: constraints.Constraint = constraints.real_vector
    has_rsample = False
    #: Of each cell, what a draw is made from.
    n_uniforms = 3

    def __init__(self, selection: SelectionDistribution, holed: Tensor) -> None:
        self.selection, self.holed, self.mask = selection, holed, holed == holed
        if any(law.discrete for _, law in selection.cells.blocks):  # so that no chain takes such a row for continuous
            self.support = constraints.independent(constraints.nonnegative_integer, 1)
        super().__init__(selection.batch_shape, selection.event_shape, validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> MissingRows:
        new = copy.copy(self)
        new.selection = self.selection.expand(batch_shape)
        new._batch_shape = new.selection.batch_shape
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(x_mis | z, s), and the unread cells' standard normal log density, (...), of rows ``value`` (..., D)."""
        selection, mask = self.selection, self.mask
        unread = -0.5 * value.square() - _HALF_LOG_2PI
        if bool(mask.all()):
            return unread.sum(-1)
        y, log_slope = (value, torch.zeros_like(value)) if selection.warp is None else selection.warp(value)
        safe = torch.where(mask, 0.0, y)  # cells of levels take no other numbers
        cells = torch.where(mask, unread, selection.decoder.base_dist.log_prob(safe) + log_slope)
        total = cells.sum(-1)
        seen = torch.where(mask, self.holed, 0.0)
        rows = seen if selection.warp is None else selection.warp(seen)[0]
        for _, place, law, own in selection.integrals(rows, mask):
            here, seen = safe[..., place], mask[..., place]
            integral = law.log_mask(own, torch.zeros(seen.shape).to(here), seen)
            total = total + torch.where(seen, 0.0, own.log_missing(here) - integral).sum(-1)
        return total

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return exact draws, ``(*sample_shape, ..., D)``."""
        like = self.like
        if bool(self.mask.all()):
            return torch.randn((*sample_shape, *self.batch_shape, *self.event_shape), dtype=like.dtype, device=like.device)
        shape = (*sample_shape, *self.batch_shape, *self.event_shape, self.n_uniforms)
        uniforms = torch.rand(shape, dtype=like.dtype, device=like.device).clamp_min(torch.finfo(like.dtype).tiny)
        return self.from_uniforms(uniforms)

    @property
    def like(self) -> Tensor:
        """A tensor of the law's type."""
        like: Tensor = self.selection.cells.like
        return like

    @torch.no_grad()
    def from_uniforms(self, uniforms: Tensor) -> Tensor:
        """Return the draws that independent ``uniforms`` (..., D, 3) in the open unit interval stand for."""
        cells = self.selection.conditional(self.holed).from_uniforms(uniforms)
        return torch.where(self.mask, torch.special.ndtri(uniforms[..., 2]), cells)
