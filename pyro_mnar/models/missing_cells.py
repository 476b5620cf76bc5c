"""The law of a row's missing cells given z and the mask, and how a cell of each kind of law is drawn, averaged and summed out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Normal, StudentT

from pyro_mnar.models import integrals, laws
from pyro_mnar.models.collapsing import Part
from pyro_mnar.models.grid_cells import CountCells, LevelCells
from pyro_mnar.models.mixed_cells import MixedCells

if TYPE_CHECKING:
    from pyro_mnar.models.selection import SelectionDistribution

#: Laws on evenly spaced values.
GRID = (LevelCells, CountCells)
# Points at which a warp is averaged over a cell's law, counted over particles.
_POINTS = 128


class MissingCells:
    """The law of a row's missing cells given z and the mask, cells independent; made by ``SelectionDistribution.conditional``.

    Columns without an integrable mechanism keep the decoder's own law. Shapes are those of the selection distribution's batch
    and event together, (..., D).

    Example:
        >>> from pyro_mnar.models import SelfMasking
        >>> decoder = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        >>> cut = SelectionDistribution(decoder, SelfMasking(1, direction="high")).conditional(torch.tensor([torch.nan]))
        >>> bool(cut.mean > 0)
        True
    """

    def __init__(self, selection: SelectionDistribution, x: Tensor, mask: Tensor) -> None:
        self.selection, self.mask = selection, mask
        self._lines = [part.line(x) for part in selection._parts]

    @property
    def mean(self) -> Tensor:
        """E[x | z, s], (..., D): given s_j = 0 in the missing cells, the decoder's law elsewhere.

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
            spread = part.reshape(n_own, *[1] * (y.dim() - 1), 3) if y.dim() > 1 else part
            draw = self._draws(spread.expand(*y.shape, 3))
            total = total + warp.inverse(draw) - warp.slope(y) * (draw - y)
        return total / rounds

    def _mean(self) -> Tensor:
        base = self.selection.decoder.base_dist
        result = base.mean
        for part, line in zip(self.selection._parts, self._lines, strict=True):
            cells = pick(base, part)
            if _is_finite(cells):
                values, log_joint = finite(part, cells, line)
                mean = (log_joint.softmax(0) * values).sum(0)
            else:
                mean = integrals.mean_missing(integrals.missing_components(cells, *line, part.mechanism.link))
            result = result.index_copy(-1, part.columns, mean.expand(*result.shape[:-1], -1))
        return torch.where(self.mask, base.mean, result)

    @property
    def level_probabilities(self) -> Tensor:
        """P(level k | z, s), (..., D, V), of the missing cells of columns of levels; 0 in the other columns, and V = 0 without any."""
        base = self.selection.decoder.base_dist
        own = [b for b, law in enumerate(base.laws) if isinstance(law, LevelCells)] if isinstance(base, MixedCells) else []
        most = max((len(base.laws[b].log_probs) for b in own), default=0)
        result = self.mask.new_zeros((most, *base.batch_shape), dtype=torch.get_default_dtype())
        for b in own:
            law = base.laws[b]
            result[: len(law.log_probs), ..., base.columns[b]] = law.log_probs.exp().to(result)
        for part, line in zip(self.selection._parts, self._lines, strict=True):
            if part.block in own:
                share = finite(part, pick(base, part), line)[1].softmax(0)
                result[: len(share), ..., part.place] = share.to(result)
        return result.movedim(0, -1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return exact draws, (*sample_shape, ..., D)."""
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
    def _draws(self, uniforms: Tensor) -> Tensor:
        base = self.selection.decoder.base_dist
        result = _draw(base, uniforms)
        for part, line in zip(self.selection._parts, self._lines, strict=True):
            cells = pick(base, part)
            own = uniforms[..., part.place, :]
            if _is_finite(cells):
                draw = _pick_value(*finite(part, cells, line), own[..., 0])
            else:
                draw = integrals.draw_missing(integrals.missing_components(cells, *line, part.mechanism.link), own)
            result = torch.where(
                _columns(part.columns, result) & ~self.mask, result.index_copy(-1, part.columns, draw.to(result)), result
            )
        return result


def _columns(columns: Tensor, like: Tensor) -> Tensor:
    return torch.zeros(like.shape[-1], dtype=torch.bool, device=like.device).index_fill(0, columns, True)


def _is_finite(cells: Distribution) -> bool:
    return isinstance(cells, (Bernoulli, Categorical, *GRID))


def finite(part: Part, cells: Any, line: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the values (V, ..., J) and log p(v) P(s = 0 | v) of cells of finite support."""
    log_missing = part.mechanism.link.log_missing
    if isinstance(cells, GRID):
        return cells.log_joint(lambda values: log_missing(part.score(values, line)))
    values = cells.enumerate_support()
    return values, cells.log_prob(values) + log_missing(part.score(values, line))


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
    """Return draws of ``cells`` whatever the masks."""
    if isinstance(cells, MixedCells):
        return cells.apply(_draw, uniforms)
    if isinstance(cells, GRID):
        return _pick_value(*cells.log_joint(), uniforms[..., 0])
    if cells.has_enumerate_support:
        values = cells.enumerate_support()
        return _pick_value(values, cells.log_prob(values), uniforms[..., 0])
    if isinstance(cells, (Normal, StudentT)):
        return integrals.draw_free(*integrals.normal_components(cells), uniforms)
    raise _not_integrable(cells)


def pick(cells: Distribution, part: Part) -> Distribution:
    """Return the laws of the columns of ``part`` of ``cells``, whose batch shape is (..., D)."""
    columns = part.place if part.within is None else part.within
    if isinstance(cells, MixedCells):
        cells = cells.laws[part.block]
    if isinstance(cells, GRID):
        return cells.take(columns)
    if isinstance(cells, (Bernoulli, Categorical)):
        name = "probs" if cells._param is cells.__dict__.get("probs") else "logits"
        value = getattr(cells, name)
        chosen = {name: value[..., columns, :] if isinstance(cells, Categorical) else value[..., columns]}
    elif isinstance(cells, (Normal, StudentT)):
        law = laws.Normal if isinstance(cells, Normal) else laws.StudentT
        return law(**{name: value[..., columns] for name, value in laws.parameters(cells).items()})
    else:
        raise _not_integrable(cells)
    return type(cells)(**chosen, validate_args=False)


def _not_integrable(cells: Distribution) -> TypeError:
    return TypeError(f"decoder cells: got {type(cells).__name__}, expected Normal, StudentT, Bernoulli, Categorical or MixedCells")
