r"""The selection distribution: rows with holes, the missing values integrated out.

Given z the cells x_j are independent. A cell whose value enters no factor but its own mask therefore has an integral of one
dimension, and with s_j = 1 for observed

    log p(x_obs, s | z) = sum_obs [log p(x_j | z) + log P(s_j = 1 | x_j)] + sum_mis log INT p(x_j | z) P(s_j = 0 | x_j) dx_j.

By the Rao-Blackwell theorem a bound made with it is, in expectation, never below the one that samples x_mis from the decoder (as
not-MIWAE does, arXiv 2006.12871), at the same parameters, guide and number of particles. The integral is closed for normal and
Student-t cells (:mod:`pyro_mnar.models.integrals`) and a sum for cells of finite support.

Which columns these are: :mod:`pyro_mnar.models.collapsing`. A covariate of the mechanism, a column whose own mask is not modelled,
moves the intercepts of a row's masks by its value, or by its expected value given z in a row where it is missing: that too is a law
of the masks, and one that keeps the integrals closed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal, StudentT, constraints

from pyro_mnar.models import integrals, laws
from pyro_mnar.models.collapsing import Part, collapsible
from pyro_mnar.models.links import PROBIT, log_ndtr
from pyro_mnar.models.masks import Mechanism
from pyro_mnar.models.warps import SkewWarp

# Points at which a warp is averaged over a cell's law, counted over particles.
_POINTS = 128


class _Holes(constraints.Constraint):
    """Any float, NaN included: NaN is a hole."""

    is_discrete = False
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return torch.ones(value.shape[:-1], dtype=torch.bool, device=value.device)


def _pick(cells: Distribution, columns: Tensor | slice) -> Distribution:
    """Return the laws of some columns of ``cells``, whose batch shape is (..., D)."""
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
    return TypeError(f"decoder cells: got {type(cells).__name__}, expected Normal, StudentT, Bernoulli or Categorical")


class SelectionDistribution(TorchDistribution):
    """p(x_obs, s | z) over rows (..., D) with NaN in the holes.

    Args:
        decoder: law of complete rows given z, ``Independent(cells, 1)``, event shape (D,); cells ``Normal``, ``StudentT``, or
            of finite support (``Bernoulli``, ``Categorical``).
        mechanism: p(s given x), or None for ignorable missingness. Coupled columns (see the module) are not scored here.
        warp: None, or the margins: then ``decoder`` and ``mechanism`` are laws of warped values, and this one of unwarped ones.

    Raises:
        ValueError: when the event shape of ``decoder`` is not one dimension.
        TypeError: for cells that cannot be integrated, when their columns have a mechanism.

    Example:
        >>> from pyro_mnar.models import SelfMasking
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
        self.decoder, self.mechanism, self.warp = decoder, mechanism, warp
        self._parts = collapsible(mechanism)
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
            line = part.line(self._complete(x, mask))
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
        return MissingCells(self, self._complete(x if self.warp is None else self.warp(x)[0], mask), mask)

    def _complete(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return rows for covariates to be read from: ``x`` with its holes filled by expected values, where there are covariates."""
        if all(len(part.mechanism.covariates) == 0 for part in self._parts):
            return x
        return torch.where(mask, x, self.decoder.base_dist.mean)

    def _log_mask(self, part: Part, line: tuple[Tensor, Tensor], x: Tensor, mask: Tensor) -> Tensor:
        """Return log P(s_j = 1 | x_j) of observed and log INT p(x_j | z) P(s_j = 0 | x_j) dx_j of missing cells, (..., J)."""
        slope, intercept = line
        link, score = part.mechanism.link, slope * x + intercept
        base = self.decoder.base_dist
        if isinstance(base, laws.Normal) and link == PROBIT:  # both are log Phi of something: one call
            mean, scale = (base.given[name][..., part.place] for name in ("loc", "scale"))
            return log_ndtr(torch.where(mask, -score, integrals.marginal_score(mean, scale, slope, intercept)))
        cells: Any = _pick(base, part.place)
        if cells.has_enumerate_support:
            return torch.where(mask, link.log_observed(score), self._finite(part, cells, slope, intercept)[1].logsumexp(0))
        # Of missing cells alone, since each may have hundreds of components.
        hidden = (~mask).expand(torch.broadcast_shapes(mask.shape, cells.batch_shape[-mask.dim() :]))
        slope, intercept = (laws.chosen_of(coefficient, hidden) for coefficient in (slope, intercept))
        missing = integrals.log_missing(integrals.missing_components(cells.at(hidden), slope, intercept, link))
        return link.log_observed(score).expand(*missing.shape[:-1], *hidden.shape).masked_scatter(hidden, missing)

    def _finite(self, part: Part, cells: Distribution, slope: Tensor, intercept: Tensor) -> tuple[Tensor, Tensor]:
        """Return the support (V, ..., J) and log p(v) P(s = 0 | v) of cells of finite support."""
        values = cells.enumerate_support()
        return values, cells.log_prob(values) + part.mechanism.link.log_missing(slope * values + intercept)


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
            cells = _pick(base, part.place)
            if cells.has_enumerate_support:
                values, log_joint = self.selection._finite(part, cells, *line)
                mean = (log_joint.softmax(0) * values).sum(0)
            else:
                mean = integrals.mean_missing(integrals.missing_components(cells, *line, part.mechanism.link))
            result = result.index_copy(-1, part.columns, mean.expand(*result.shape[:-1], -1))
        return torch.where(self.mask, base.mean, result)

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
            cells = _pick(base, part.place)
            own = uniforms[..., part.place, :]
            if cells.has_enumerate_support:
                values, log_joint = self.selection._finite(part, cells, *line)
                draw = _pick_value(values, log_joint, own[..., 0])
            else:
                draw = integrals.draw_missing(integrals.missing_components(cells, *line, part.mechanism.link), own)
            result = torch.where(
                _columns(part.columns, result) & ~self.mask, result.index_copy(-1, part.columns, draw.to(result)), result
            )
        return result


def _columns(columns: Tensor, like: Tensor) -> Tensor:
    return torch.zeros(like.shape[-1], dtype=torch.bool, device=like.device).index_fill(0, columns, True)


def _pick_value(values: Tensor, log_joint: Tensor, uniform: Tensor) -> Tensor:
    share, *_ = torch.broadcast_tensors(log_joint.softmax(0), values)
    lead = (len(values), *[1] * (uniform.dim() - share.dim() + 1))
    index = (share.cumsum(0).reshape(*lead, *share.shape[1:]) < uniform).sum(0).clamp(max=len(values) - 1)
    choices = values.expand_as(share).reshape(*lead, *share.shape[1:]).expand(-1, *index.shape)
    return choices.gather(0, index.unsqueeze(0)).squeeze(0)


def _draw(cells: Distribution, uniforms: Tensor) -> Tensor:
    """Return draws of ``cells`` whatever the masks."""
    if cells.has_enumerate_support:
        values = cells.enumerate_support()
        return _pick_value(values, cells.log_prob(values), uniforms[..., 0])
    if isinstance(cells, (Normal, StudentT)):
        return integrals.draw_free(*integrals.normal_components(cells), uniforms)
    raise _not_integrable(cells)
