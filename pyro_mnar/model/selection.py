r"""The selection distribution: rows with holes, the missing values integrated out.

Given z the cells x_j are independent. A cell whose value enters no factor but its own mask therefore has an integral of one
dimension, and with s_j = 1 for observed

    log p(x_obs, s | z) = sum_obs [log p(x_j | z) + log P(s_j = 1 | x_j)] + sum_mis log INT p(x_j | z) P(s_j = 0 | x_j) dx_j.

By the Rao-Blackwell theorem a bound made with it is, in expectation, never below the one that samples x_mis from the decoder (as
not-MIWAE does, arXiv 2006.12871), at the same parameters, guide and number of particles. The integral is closed for normal and
Student-t cells (:mod:`pyro_mnar.distributions.censored`) and a sum for cells of levels and counts: each law has its own
(:mod:`pyro_mnar.distributions.cells`).

Which columns these are, the mechanism says (:mod:`pyro_mnar.mechanisms.base`). What else decides over masks, seen values of earlier
columns or z itself, moves the intercepts of a row and keeps the integrals closed (:mod:`pyro_mnar.mechanisms.sequential_masking`).
Missing values that are known to lie between limits: :mod:`pyro_mnar.model.limited`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from pyro_mnar.distributions.cells import Cells, OwnScore
from pyro_mnar.distributions.indexing import broadcast, columns_of, indicator, neighbors
from pyro_mnar.distributions.open_cells import cells_of
from pyro_mnar.mechanisms.base import Mechanism, OwnColumns
from pyro_mnar.model.limited import limited_cells, limited_groups, settled_cells, unwarped_ends, warped_limits
from pyro_mnar.model.missing_cells import ColumnGroup, MissingCells
from pyro_mnar.networks.decoders import Decoder
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
        decoder: law of complete rows given z, ``Independent(cells, 1)``, event shape (D,); cells of any law of
            :mod:`pyro_mnar.distributions`, or of torch's, which become these. One without integrals is *open*.
        mechanism: p(s given x), or None for ignorable missingness. Masks of coupled columns (see the module) and of columns of open
            laws are not scored here.
        warp: None, or the margins: then ``decoder`` and ``mechanism`` are laws of warped values, and this one of unwarped ones.
        limits: (..., D, 2), between which missing values are known to lie, infinite where there is no limit; or None.

    Raises:
        ValueError: when the event shape of ``decoder`` is not one dimension, or not as wide as ``mechanism``.
        TypeError: for a warp of cells of levels.

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

    def __init__(
        self, decoder: Distribution, mechanism: Mechanism | None = None, warp: SkewWarp | None = None, limits: Tensor | None = None
    ) -> None:
        if not isinstance(decoder, Independent) or len(decoder.event_shape) != 1:
            got = f"{type(decoder).__name__} of event shape {tuple(decoder.event_shape)}"
            raise ValueError(f"decoder: got {got}, expected cells independent in one dimension, such as Normal(...).to_event(1)")
        if mechanism is not None and len(mechanism.couplings) != decoder.event_shape[0]:
            raise ValueError(f"mechanism: made for {len(mechanism.couplings)} columns, expected {decoder.event_shape[0]}")
        if warp is not None and decoder.base_dist.has_enumerate_support:
            raise TypeError(f"warp: got one for {type(decoder.base_dist).__name__} cells, expected cells of real values")
        self.mechanism, self.warp, self.limits = mechanism, warp, limits
        self._conditional: tuple[Tensor, MissingCells] | None = None
        self._take(decoder)
        own_scores = [] if mechanism is None else mechanism.own_scores()
        self._terms = [term for own in own_scores for term in self._of_blocks(own)]
        super().__init__(decoder.batch_shape, decoder.event_shape, validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> SelectionDistribution:
        if tuple(batch_shape) == self.batch_shape:
            return self
        new = copy.copy(self)  # with the terms as they were found
        new._conditional = None
        new._take(self.decoder.expand(torch.Size(batch_shape)))
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
        explained = None if self.limits is None else limited_cells(self.limits, mask) | settled_cells(self.limits, mask)
        integrals = list(self.integrals(x, mask))
        for _, place, law, own in integrals:
            terms = law.log_mask(own, x[..., place], mask[..., place])
            total = total + (terms if explained is None else torch.where(explained[..., place], 0.0, terms)).sum(-1)
        if explained is not None:
            masses = torch.zeros(torch.broadcast_shapes(self.batch_shape + self.event_shape, mask.shape)).to(x)
            for group in self._limited(mask, integrals):
                masses = group.put(group.missing.log_mass, masses)
            total = total + masses.sum(-1)
        return total

    def _limited(self, mask: Tensor, integrals: Sequence[tuple[Tensor, Tensor | slice, Cells, OwnScore]]) -> list[ColumnGroup]:
        """Return the missing cells with limits: those whose limits are why, and those that have a mechanism beside."""
        assert self.limits is not None
        limited, (low, high) = limited_cells(self.limits, mask), warped_limits(self.warp, self.limits)
        beside, groups = limited & ~settled_cells(self.limits, mask), []
        for columns, _, law, own in integrals if bool(beside.any()) else ():
            hidden = columns_of(beside, columns)
            if bool(hidden.any()):
                groups.append(ColumnGroup(columns, hidden, law, own, (columns_of(low, columns), columns_of(high, columns))))
                limited = limited & ~(indicator(columns, mask.shape[-1]) & beside)
        return groups + limited_groups(self.cells, low, high, limited)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw complete rows, then their masks, and punch the holes."""
        with torch.no_grad():
            y = self.decoder.sample(torch.Size(sample_shape))
            x = y if self.warp is None else self.warp.inverse(y)
            if self.mechanism is None:
                return x
            return torch.where(self.mechanism(y).sample(), x, torch.nan)

    def conditional(self, value: Tensor) -> MissingCells:
        """Return the law of the missing cells of rows ``value`` (..., D), NaN in the holes, given z and the masks.

        Asked again of the same tensor, it is the same law: means and levels of one pass share what it computes.
        """
        if self._conditional is None or self._conditional[0] is not value:
            self._conditional = (value, self._conditional_of(value))
        return self._conditional[1]

    def _conditional_of(self, value: Tensor) -> MissingCells:
        mask = value == value
        x = torch.where(mask, value, 0.0)
        y = x if self.warp is None else self.warp(x)[0]
        hidden, limited, ends = ~mask, [], None
        integrals, free = list(self.integrals(y, mask)), torch.zeros_like(mask)
        if self.limits is not None:
            known = limited_cells(self.limits, mask)
            free = settled_cells(self.limits, mask) & ~known
            hidden, ends = hidden & ~known, unwarped_ends(self.warp, self.limits, known)
            limited = self._limited(mask, integrals)
        groups = [ColumnGroup(columns, columns_of(hidden & ~free, columns), law, own) for columns, _, law, own in integrals]
        integrated = {j for group in groups for j in group.columns.tolist()}
        for columns, law in self.cells.blocks:
            own = list(range(self.event_shape[0]) if columns is None else columns)
            rest = [i for i, j in enumerate(own) if j not in integrated]
            if rest:
                at = torch.tensor([own[i] for i in rest], device=mask.device)
                chosen = law if len(rest) == len(own) else law.take(torch.tensor(rest, device=mask.device))
                groups.append(ColumnGroup(at, columns_of(hidden, at), chosen, None))
        groups += limited
        shape = broadcast(self.batch_shape + self.event_shape, mask.shape)
        return MissingCells(groups, self.cells.like, shape, mask, self.warp, ends)

    def integrals(self, y: Tensor, mask: Tensor) -> Iterator[tuple[Tensor, Tensor | slice, Cells, OwnScore]]:
        """Yield for columns of one law, (J,), their place in rows, their law, and how their values enter their masks.

        Args:
            y: rows (..., D), warped, 0 in the holes.
            mask: (..., D), True = observed.
        """
        effects = self.mechanism.row_effects(y, mask) if self._terms and self.mechanism is not None else None
        for term in self._terms:
            law = self.cells.blocks[term.block][1]
            own = term.score if effects is None else term.score.shifted(effects[..., term.place])
            yield term.columns, term.place, law if term.within is None else law.take(term.within), own

    @property
    def integrated(self) -> Tensor:
        """(D,) bool, True at columns whose missing values are integrated out."""
        found = torch.zeros(self.event_shape[0], dtype=torch.bool, device=self.cells.like.device)
        for term in self._terms:
            found[term.columns] = True
        return found

    def _take(self, decoder: Any) -> None:
        self.cells = cells_of(decoder.base_dist)
        self.decoder = decoder if self.cells is decoder.base_dist else Independent(self.cells, 1)

    def _of_blocks(self, own: OwnColumns) -> list[_Term]:
        """Return what of ``own`` is in each block of cells that has integrals."""
        terms = []
        for number, (block, law) in enumerate(self.cells.blocks):
            if law.closed and block is None:
                whole = len(own.columns) == self.cells.batch_shape[-1] and own.place == slice(0, len(own.columns))
                terms.append(_Term(own.columns, own.place, number, None if whole else own.place, own.score))
            elif law.closed:
                places = {j: i for i, j in enumerate(block)}
                chosen = [i for i, j in enumerate(own.columns.tolist()) if j in places]
                if chosen:
                    at = torch.tensor(chosen, device=own.columns.device)
                    columns = own.columns[at]
                    within = torch.tensor([places[j] for j in columns.tolist()], device=at.device)
                    score = own.score if len(at) == len(own.columns) else own.score.take(neighbors(at) or at)
                    whole = within.tolist() == list(range(len(block)))
                    place = neighbors(columns) or columns
                    terms.append(_Term(columns, place, number, None if whole else neighbors(within) or within, score))
        return terms


class _Term(NamedTuple):
    """Columns of one mechanism that are integrated out, all in one block of cells."""

    columns: Tensor
    place: Tensor | slice
    block: int
    within: Tensor | slice | None  # their places in the block; None for the whole of it
    score: OwnScore


@torch.no_grad()
def coupled_columns(decoder: Decoder, mechanism: Mechanism) -> Tensor | None:
    """Return (D,) bool, True where a modeled column's mask must be scored on sampled values; None where there is none.

    That is where the mechanism says so, and where the decoder's law has no integral, which one row tells.
    """
    one = next(decoder.parameters(), torch.zeros(()))
    z = torch.zeros(1, int(decoder.latent_dim), dtype=one.dtype, device=one.device)
    mechanism.effects_of(z)  # refuses latents of another number
    coupled = indicator(mechanism.columns, decoder.n_columns) & ~SelectionDistribution(decoder(z), mechanism).integrated
    return coupled if bool(coupled.any()) else None
