"""The law of a row's missing cells given z and the mask, and how a cell of each kind of law is drawn, averaged and summed out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal, StudentT

from pyro_mnar.distributions import censored, continuous
from pyro_mnar.distributions.cell_grid import CellGrid, on_grid, placed
from pyro_mnar.distributions.discrete import GRID, LevelCells
from pyro_mnar.distributions.indexing import chosen_of, columns_of
from pyro_mnar.distributions.mixed import MixedCells
from pyro_mnar.distributions.point_mass_normal import PointMassNormal
from pyro_mnar.mechanisms.integrable import Part

# Points at which a warp is averaged over a cell's law, counted over particles.
_POINTS = 128


class MissingCells:
    """The law of a row's missing cells given z and the mask, cells independent; made by ``SelectionDistribution.conditional``.

    Columns without an integrable mechanism keep the decoder's own law; observed cells of levels and counts are given as 0. Shapes are
    those of the selection distribution's batch and event together, (..., D).

    Example:
        >>> from torch.distributions import Independent
        >>> from pyro_mnar.model.selection import SelectionDistribution
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> decoder = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        >>> cut = SelectionDistribution(decoder, SelfMasking(1, direction="high")).conditional(torch.tensor([torch.nan]))
        >>> bool(cut.mean > 0)
        True
    """

    def __init__(self, selection: Any, x: Tensor, mask: Tensor) -> None:
        self.selection, self.mask = selection, mask
        self._lines = [part.line(x, mask) for part in selection._parts]
        self._found: list[_Group] | None = None
        self._integrated: list[tuple[Part, censored.Missing]] | None = None
        self._grids: dict[int, tuple[CellGrid, Tensor]] = {}
        base: Any = selection.decoder.base_dist
        blocks = zip(base.laws, base.columns, strict=True) if isinstance(base, MixedCells) else []
        self._cut = [j for law, columns in blocks if isinstance(law, PointMassNormal) and "side" in law.given for j in columns]

    def mean_of(self, functions: Mapping[int, Callable[[Tensor], Tensor]]) -> Tensor:
        """Return E[f_j(x_j) | z, s], (..., D), for ``functions`` f_j of real-valued columns j, and :attr:`mean` of the others."""
        result = self.mean
        for j, function in functions.items():
            grid, hidden = self._grid(j)
            warp = None if self.selection.warp is None else self.selection.warp.of(j)
            result = placed(result, j, hidden, grid.mean_of(_after(warp, function)))
        return result

    @property
    def mean(self) -> Tensor:
        """The mean E[x | z, s], (..., D), given s_j = 0 in the missing cells and of the decoder's law elsewhere.

        Exact without a warp. With one, the warp's curve is averaged over points spread evenly over the cell's law, its tangent
        exactly, and each index of a first dimension (the particles) has points of its own: their weighted mean is far closer still.
        """
        warp, y = self.selection.warp, self._mean()
        if warp is None:
            return y
        n_own = y.shape[0] if y.dim() > 1 else 1
        rounds = -(-_POINTS // n_own)
        # Additive recurrence on the plastic number: evenly spread in three dimensions for any count.
        steps = torch.tensor([0.8191725134, 0.6710436067, 0.5497004779], dtype=torch.float64)
        points = ((torch.arange(n_own * rounds).unsqueeze(-1) + 0.5) * steps).frac().clamp(1e-6, 1 - 1e-6).to(y)
        total = torch.zeros_like(y)
        for part in points.split(n_own):
            lead = (len(part), *[1] * (y.dim() - 2)) if y.dim() > 1 else ()
            draw = self._draws(part.reshape(*lead, 1, 3).expand(*lead, y.shape[-1], 3), real_only=True)
            total = total + warp.inverse(draw) - warp.slope(y) * (draw - y)
        return total / rounds

    def _mean(self) -> Tensor:
        base = self.selection.decoder.base_dist
        result = _real(base, lambda law: law.mean) if isinstance(base, MixedCells) else base.mean
        free = result
        for part, components in self._real_parts():
            mean = censored.mean_missing(components)
            result = result.index_copy(-1, part.columns, mean.expand(*result.shape[:-1], -1))
        result = torch.where(self.mask, free, result)
        for j in self._cut:
            grid, hidden = self._grid(j)
            result = placed(result, j, hidden, grid.mean_of(lambda y: y))
        for group in self._groups():
            result = group.put((group.log_joint.softmax(0) * group.values).sum(0), result)
        return result

    def level_probabilities(self, weights: Tensor | None = None) -> Tensor:
        """Return P(level k | z, s), (..., D, V), of the missing cells of columns of levels; 0 elsewhere, V = 0 without such columns.

        Args:
            weights: (K, N) of particles, which are then summed out: (N, D, V).
        """
        base = self.selection.decoder.base_dist
        groups = [group for group in self._groups() if group.levels]
        most = max((len(group.log_joint) for group in groups), default=0)
        shape = base.batch_shape if weights is None else (*weights.shape[1:], base.batch_shape[-1])
        result = torch.zeros(*shape, most, device=self.mask.device)
        for group in groups:
            share = group.log_joint.softmax(0)
            if weights is not None:
                spread = chosen_of(weights.unsqueeze(-1).expand(*weights.shape, group.hidden.shape[-1]), group.hidden)
                share = (share * spread.to(share)).sum(1)
            own = result[..., group.columns, : len(share)]
            result[..., group.columns, : len(share)] = own.masked_scatter(group.hidden.unsqueeze(-1), share.movedim(0, -1).to(own))
        return result

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return exact draws, ``(*sample_shape, ..., D)``."""
        base = self.selection.decoder.base_dist
        shape = (*sample_shape, *base.batch_shape, 3)
        tiny = torch.finfo(base.mean.dtype).tiny
        return self.from_uniforms(torch.rand(shape, dtype=base.mean.dtype, device=base.mean.device).clamp_min(tiny))

    @torch.no_grad()
    def from_uniforms(self, uniforms: Tensor) -> Tensor:
        """Return the draws that independent ``uniforms`` (..., D, 3) in the open unit interval stand for."""
        y = self._draws(uniforms)
        return y if self.selection.warp is None else self.selection.warp.inverse(y)

    @torch.no_grad()
    def _draws(self, uniforms: Tensor, real_only: bool = False) -> Tensor:
        base = self.selection.decoder.base_dist
        if isinstance(base, MixedCells):
            result = _real(base, _draw, uniforms)
            for group in [] if real_only else self._groups():
                chosen = chosen_of(columns_of(uniforms[..., 0], group.columns), group.hidden)
                result = group.put(_pick_value(group.values, group.log_joint, chosen), result)
        else:
            result = _draw(base, uniforms)
        for part, components in self._real_parts():
            draw = censored.draw_missing(components, uniforms[..., part.place, :])
            result = torch.where(
                _columns(part.columns, result) & ~self.mask, result.index_copy(-1, part.columns, draw.to(result)), result
            )
        for j in self._cut:
            grid, hidden = self._grid(j)
            own = torch.stack([chosen_of(uniforms[..., j : j + 1, i], hidden) for i in range(3)], -1)
            result = placed(result, j, hidden, grid.draw(own))
        return result

    def _grid(self, j: int) -> tuple[CellGrid, Tensor]:
        """Return the law on a grid of column ``j``'s missing cells, M of them, and where they are, (..., 1)."""
        if j not in self._grids:
            base: Any = self.selection.decoder.base_dist
            pairs = zip(self.selection._parts, self._lines, strict=True)
            part, line = next((pair for pair in pairs if j in pair[0].columns.tolist()), (None, None))
            at = torch.tensor([j], device=self.mask.device)
            hidden = ~columns_of(self.mask, at if part is None else part.columns)
            if part is None:
                cells = pick(base, _alone(base, at))
            else:
                cells, hidden = pick(base, part), hidden & (part.columns == j)
            hidden = hidden.expand(torch.broadcast_shapes(hidden.shape, cells.batch_shape[-hidden.dim() :]))
            cells, own = cells.at(hidden), hidden.any(-1, keepdim=True)
            if part is None or line is None:
                self._grids[j] = on_grid(cells), own
            else:
                line, score_at = part.at(line, hidden), getattr(part.mechanism, "score_at", None)
                score = None if score_at is None else partial(score_at, line=line)
                self._grids[j] = on_grid(cells, partial(part.mechanism.log_missing, line=line), score), own
        return self._grids[j]

    def _real_parts(self) -> list[tuple[Part, censored.Missing]]:
        """Return the parts whose cells are not in :meth:`_groups`, with their components."""
        base = self.selection.decoder.base_dist
        if self._integrated is None:
            grid = {b for b, law in enumerate(base.laws) if isinstance(law, GRID)} if isinstance(base, MixedCells) else set()
            self._integrated = [
                (part, part.mechanism.components(pick(base, part), line))
                for part, line in zip(self.selection._parts, self._lines, strict=True)
                if part.block not in grid
            ]
        return self._integrated

    def _groups(self) -> list[_Group]:
        """Return the missing cells of levels and counts: of each part, and of each block's columns that no part has."""
        base: Any = self.selection.decoder.base_dist
        if self._found is None:
            self._found = []
            for b, law in enumerate(base.laws if isinstance(base, MixedCells) else []):
                if isinstance(law, GRID):
                    rest = list(base.columns[b])
                    for part, line in zip(self.selection._parts, self._lines, strict=True):
                        if part.block == b:
                            rest = [j for j in rest if j not in part.columns.tolist()]
                            self._found.append(self._group(pick(base, part), part.columns, part, line))
                    if rest:
                        within = torch.tensor([base.columns[b].index(j) for j in rest], device=self.mask.device)
                        self._found.append(self._group(law.take(within), torch.tensor(rest, device=self.mask.device)))
        return self._found

    def _group(self, cells: Any, columns: Tensor, part: Part | None = None, line: tuple[Tensor, Tensor] | None = None) -> _Group:
        hidden = ~columns_of(self.mask, columns)
        hidden = hidden.expand(torch.broadcast_shapes(hidden.shape, cells.batch_shape[-hidden.dim() :]))
        levels, cells = isinstance(cells, LevelCells), cells.at(hidden)
        joint = cells.log_joint() if part is None or line is None else summands(part, cells, part.at(line, hidden))
        return _Group(columns, hidden, levels, *joint)


class _Group(NamedTuple):
    """Missing cells of some columns of levels or counts: ``hidden`` (..., J) is True M times."""

    columns: Tensor
    hidden: Tensor
    levels: bool
    values: Tensor  # (V, 1, ..., M)
    log_joint: Tensor  # log p(v | z) P(s = 0 | v), (V, ..., M)

    def put(self, cells: Tensor, rows: Tensor) -> Tensor:
        """Return ``rows`` (..., D) with ``cells`` (..., M) where they belong."""
        own = columns_of(rows, self.columns)
        return rows.index_copy(-1, self.columns, own.masked_scatter(self.hidden, cells.to(own)))


def _real(base: MixedCells, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Return ``function`` of each block of real values and of its columns of ``tensors`` (..., D, 3), (..., D); 0 in the others."""
    return base.apply(
        lambda law, *own: (
            law.first.new_zeros(own[0].shape[:-1] if own else law.batch_shape) if isinstance(law, GRID) else function(law, *own)
        ),
        *tensors,
    )


def _after(warp: Any, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return ``function`` of the values that a column's ``warp``, if it has one, takes to those given."""
    return function if warp is None else lambda y: function(warp.inverse(y.unsqueeze(-1)).squeeze(-1))


def _alone(base: Any, at: Tensor) -> Part:
    """Return a part, of no mechanism, that is the one column ``at`` (1,)."""
    if not isinstance(base, MixedCells):
        return Part(None, at, at, at)  # type: ignore[arg-type]
    block = next(b for b, columns in enumerate(base.columns) if int(at) in columns)
    return Part(None, at, at, at, block, at.new_tensor([base.columns[block].index(int(at))]))  # type: ignore[arg-type]


def _columns(columns: Tensor, like: Tensor) -> Tensor:
    return torch.zeros(like.shape[-1], dtype=torch.bool, device=like.device).index_fill(0, columns, True)


def summands(part: Part, cells: Any, line: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the values (V, ..., J) and log p(v) P(s = 0 | v) of cells of levels or counts."""
    return cells.log_joint(lambda values: part.mechanism.log_missing(values, line))


def _pick_value(values: Tensor, log_joint: Tensor, uniform: Tensor) -> Tensor:
    share, *_ = torch.broadcast_tensors(log_joint.softmax(0), values)
    lead = (len(values), *[1] * (uniform.dim() - share.dim() + 1))
    # Up to the sum, which rounding may have moved off 1: values of no probability, such as levels that a column lacks, stay out.
    total = share.cumsum(0)
    total = total.reshape(*lead, *share.shape[1:])
    index = (total < uniform * total[-1]).sum(0).clamp(max=len(values) - 1)
    choices = values.expand_as(share).reshape(*lead, *share.shape[1:]).expand(-1, *index.shape)
    return choices.gather(0, index.unsqueeze(0)).squeeze(0)


def _draw(cells: Any, uniforms: Tensor) -> Tensor:
    """Return draws of ``cells`` of real values whatever the masks."""
    if isinstance(cells, (Normal, StudentT, PointMassNormal)):
        return censored.draw_free(*censored.normal_components(cells), uniforms)
    raise _not_integrable(cells)


def pick(cells: Any, part: Part) -> Any:
    """Return the laws of the columns of ``part`` of ``cells``, whose batch shape is (..., D)."""
    columns = part.place if part.within is None else part.within
    if isinstance(cells, MixedCells):
        cells = cells.laws[part.block]
    if isinstance(cells, (*GRID, PointMassNormal)):
        return cells.take(columns)
    if isinstance(cells, (Normal, StudentT)):
        law = continuous.Normal if isinstance(cells, Normal) else continuous.StudentT
        return law(**{name: columns_of(value, columns) for name, value in continuous.parameters(cells).items()})
    raise _not_integrable(cells)


def _not_integrable(cells: Distribution) -> TypeError:
    return TypeError(f"decoder cells: got {type(cells).__name__}, expected Normal, StudentT, Bernoulli, Categorical or MixedCells")
