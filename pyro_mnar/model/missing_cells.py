"""The law of a row's missing cells given z and the mask: what each law of cells says of its own, put in their places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from pyro_mnar.distributions.alignment import together_of
from pyro_mnar.distributions.cells import Cells, Censored, OwnScore, spread
from pyro_mnar.distributions.indexing import broadcast, chosen_of, columns_of, neighbors, put_back
from pyro_mnar.networks.warps import SkewWarp, Unwarped

_EIGHT = 8
# Points at which a warp is averaged over a cell's law, counted over particles.
_POINTS = 100


class MissingCells:
    """The law of a row's missing cells given z and the mask, cells independent; made by ``SelectionDistribution.conditional``.

    Columns without an integrable mechanism keep the decoder's own law; observed cells are given as 0. Shapes are those of the selection
    distribution's batch and event together, (..., D).

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from pyro_mnar.model.selection import SelectionDistribution
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> decoder = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        >>> cut = SelectionDistribution(decoder, SelfMasking(1, direction="high")).conditional(torch.tensor([torch.nan]))
        >>> bool(cut.mean > 0)
        True
    """

    def __init__(
        self,
        groups: Sequence[ColumnGroup],
        like: Tensor,
        shape: torch.Size,
        mask: Tensor,
        warp: SkewWarp | None,
        ends: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.groups, self.like, self.shape, self.mask, self.warp, self.ends = groups, like, shape, mask, warp, ends

    def mean_of(self, functions: Mapping[int, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return E[f_j(x_j) | z, s], (..., D), for ``functions`` f_j of real-valued columns j, and :attr:`mean` of the others."""
        owned = [(group, group.holed_columns()) for group in self.groups if group.holed]
        result = self._means([group for group, own in owned if not own <= functions.keys()])
        found: dict[int, Tensor] = {}
        for j, function in functions.items():
            for group in (whole.alone(j) for whole, own in owned if j in own):
                column = found.get(j, result[..., j : j + 1])
                found[j] = group.within(group.missing.mean_of(_after(self.warp, j, function, group)), column)
        # All at once: a column is a few numbers, and a table of them would be copied for each.
        at = torch.tensor(list(found), device=result.device, dtype=torch.long)
        return result.index_copy(-1, at, torch.cat(list(found.values()), -1)) if found else result

    @property
    def mean(self) -> Tensor:
        """E[x | z, s], (..., D), of the missing cells, 0 elsewhere.

        Exact without a warp. With one, the warp's curve is averaged over points spread evenly over the cell's law, its tangent
        exactly, and each index of a first dimension (the particles) has points of its own: their weighted mean is far closer still.
        """
        return self._means(self.groups)

    def _means(self, groups: Sequence[ColumnGroup]) -> Tensor:
        """Return :attr:`mean` of the columns of some groups, 0 elsewhere."""
        warp, y = self.warp, torch.zeros(self.shape).to(self.like)
        for group in groups:
            if group.holed:
                y = group.put(group.missing.mean, y)
        if warp is None:
            return y
        n_own = y.shape[0] if y.dim() > 1 else 1
        rounds = -(-_POINTS // n_own)
        # Additive recurrence on the plastic number: evenly spread in three dimensions for any count.
        steps = torch.tensor([0.8191725134, 0.6710436067, 0.5497004779], dtype=torch.float64)
        points = ((torch.arange(n_own * rounds).unsqueeze(-1) + 0.5) * steps).frac().clamp(1e-6, 1 - 1e-6).to(y)
        total = torch.zeros_like(y)
        curved = [group for group in groups if not group.cells.discrete]
        for part in points.split(n_own):
            lead = (len(part), *[1] * (y.dim() - 2)) if y.dim() > 1 else ()
            draw = _drawn(curved, part.reshape(*lead, 1, 3).expand(*lead, y.shape[-1], 3), y)
            total = total + warp.inverse(draw) - warp.slope(y) * (draw - y)
        return torch.where(self.mask, 0.0, self._inside(total / rounds))

    def level_probabilities(self, weights: Tensor | None = None) -> Tensor:
        """Return P(level k | z, s), (..., D, V), of the missing cells of columns of levels; 0 elsewhere, V = 0 without such columns.

        Args:
            weights: (K, N) of particles, which are then summed out: (N, D, V).
        """
        groups = [(group, share) for group in self.groups if (share := group.missing.probabilities) is not None]
        most = max((len(share) for _, share in groups), default=0)
        shape = self.shape if weights is None else (*weights.shape[1:], self.shape[-1])
        result = torch.zeros(*shape, most, device=self.mask.device)
        for group, share in groups:
            if not group.holed:
                continue
            if weights is not None:
                each = group.at_cells(weights.unsqueeze(-1).expand(*weights.shape, group.hidden.shape[-1]))
                share = (share * each.to(share)).sum(1)
            own = result[..., group.columns, : len(share)]
            filled = [put_back(part.to(own), own[..., k], group.hidden) for k, part in enumerate(share)]
            result[..., group.columns, : len(share)] = torch.stack(filled, -1)
        return result

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return exact draws, ``(*sample_shape, ..., D)``."""
        shape = (*sample_shape, *self.shape, 3)
        uniforms = torch.rand(shape, dtype=self.like.dtype, device=self.like.device)
        return self.from_uniforms(uniforms.clamp_min(torch.finfo(uniforms.dtype).tiny))

    @torch.no_grad()
    def from_uniforms(self, uniforms: Tensor) -> Tensor:
        """Return the draws that independent ``uniforms`` (..., D, 3) in the open unit interval stand for."""
        y = _drawn(self.groups, uniforms, torch.zeros(self.shape).to(self.like))
        return y if self.warp is None else torch.where(self.mask, 0.0, self._inside(self.warp.inverse(y)))

    def _inside(self, x: Tensor) -> Tensor:
        # A warp's way back is rounded, and a mean by points is near the mean.
        return x if self.ends is None else x.maximum(self.ends[0]).minimum(self.ends[1])


class ColumnGroup:
    """Columns of one law and one mechanism, with their missing cells.

    Args:
        columns: (J,).
        hidden: (..., J), True at the M missing cells.
        cells: their law, (..., J).
        own: how their values enter their masks; None where the mask says nothing of them.
        limits: between which they are known to lie, each (..., J); None where nothing is known.
        together: M is filled up to a multiple of it (:mod:`pyro_mnar.distributions.alignment`); by default what suits the particles.
    """

    def __init__(
        self,
        columns: Tensor,
        hidden: Tensor,
        cells: Cells,
        own: OwnScore | None,
        limits: tuple[Tensor, Tensor] | None = None,
        together: int | None = None,
    ) -> None:
        self.columns, self.cells, self.own, self.limits = columns, cells, own, limits
        self.place: Tensor | slice = (neighbors(columns) if len(columns) else None) or columns
        self.hidden = spread(hidden, cells.batch_shape)
        self.particles = cells.batch_shape[: len(cells.batch_shape) - self.hidden.dim()].numel()
        self.together = together_of(self.particles) if together is None else together
        self._missing: dict[bool, Censored] = {}
        #: Whether any cell is missing; of none the laws need not be asked.
        self.holed = bool(self.hidden.any())

    @property
    def missing(self) -> Censored:
        """The law of the missing cells, found once; where no gradients are recorded, of as many as :func:`chosen_of` returns then."""
        graded = torch.is_grad_enabled()
        if graded not in self._missing:
            self._missing[graded] = self._censored()
        return self._missing[graded]

    def _censored(self) -> Censored:
        cells = self.cells.at(self.hidden, self.together)
        own = None if self.own is None else self.own.at(self.hidden, self.together)
        if self.limits is not None:
            within: Censored = cells.within(*(self.at_cells(end) for end in self.limits), own)
            return within
        censored: Censored = cells.censored(own)
        return censored

    def holed_columns(self) -> set[int]:
        """Return its columns that miss a value."""
        return set(self.columns[self.hidden.reshape(-1, len(self.columns)).any(0)].tolist())

    def alone(self, column: int) -> ColumnGroup:
        """Return one of its columns, for means of functions.

        These are taken on a grid, in which eight cells of eight particles, or a multiple, are computed together.
        """
        at = (self.columns == column).nonzero().squeeze(-1)
        own = None if self.own is None else self.own.take(at)
        low, high = (None, None) if self.limits is None else (columns_of(end, at) for end in self.limits)
        limits = None if low is None or high is None else (low, high)
        together = self.together if self.cells.discrete or self.particles % _EIGHT else min(self.together, _EIGHT)
        return ColumnGroup(self.columns[at], columns_of(self.hidden, at), self.cells.take(at), own, limits, together)

    def beside(self, draws: int) -> ColumnGroup:
        """Return it with as many cells as there is memory for beside so many draws of each."""
        together = min(self.together, together_of(draws))
        if together == self.together:
            return self
        return ColumnGroup(self.columns, self.hidden, self.cells, self.own, self.limits, together)

    def of(self, values: Tensor) -> Tensor:
        """Return what of ``values`` (..., D) is at its missing cells, (..., M)."""
        return self.at_cells(columns_of(values, self.place))

    def at_cells(self, own: Tensor) -> Tensor:
        """Return what of ``own`` (..., J), of its columns, is at its missing cells, (..., M)."""
        return chosen_of(own, self.hidden, self.together)

    def put(self, cells: Tensor, rows: Tensor) -> Tensor:
        """Return ``rows`` (..., D) with ``cells`` (..., M) where they belong."""
        filled = self.within(cells, columns_of(rows, self.place))
        whole = isinstance(self.place, slice) and len(self.columns) == rows.shape[-1]
        return filled if whole else rows.index_copy(-1, self.columns, filled)

    def within(self, cells: Tensor, own: Tensor) -> Tensor:
        """Return its columns ``own`` (..., J) with ``cells`` (..., M) where they belong."""
        # A law that does not depend on all of a row's leading dimensions has cells that do not.
        cells = cells.expand(*own.shape[: own.dim() - self.hidden.dim()], cells.shape[-1]).to(own)
        return put_back(cells, own, self.hidden)


@torch.no_grad()
def _drawn(groups: Sequence[ColumnGroup], uniforms: Tensor, rows: Tensor) -> Tensor:
    """Return ``rows`` (..., D) with draws in the missing cells of ``groups``."""
    rows = rows.expand(broadcast(rows.shape, uniforms.shape[:-1]))
    uniforms = uniforms.expand(*rows.shape, 3)
    for whole in groups:
        if not whole.holed:
            continue
        n_lead = rows.dim() - whole.hidden.dim()
        group = whole.beside(rows.shape[:n_lead].numel())
        if any(uniforms.stride()[n_lead:-1]):
            own = torch.stack([group.of(each) for each in uniforms.unbind(-1)], -1)
        else:  # all cells have the same
            first = uniforms[(slice(None),) * n_lead + (0,) * whole.hidden.dim()]
            own = first.unsqueeze(-2).expand(*first.shape[:-1], group.of(rows).shape[-1], 3)
        rows = group.put(group.missing.draw(own), rows)
    return rows


def _after(warp: SkewWarp | None, column: int, function: Callable[[Tensor], Tensor], group: ColumnGroup) -> Callable[[Tensor], Tensor]:
    """Return ``function`` of the values that a column's warp, if it has one, takes to those given at the cells of ``group``."""
    own = None if warp is None else warp.of(column)
    if own is not None and own.skew.dim() > 1:  # each row's own
        own = own.with_skew(group.at_cells(own.skew).unsqueeze(-1))
    return function if own is None else Unwarped(own, function)
