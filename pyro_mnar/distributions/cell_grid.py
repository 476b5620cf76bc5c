r"""One missing real value given z and the mask, on a grid: means of functions of it, and draws where it is cut at an end.

Its density is proportional to p(x_j | z) P(s_j = 0 | x_j), with p a mixture of normals: one dimension, and smooth. In each normal's
standard units the midpoint rule with steps of 1/8 is exact to many digits, also for the exponential of a value, whose mean lies up to
twelve standard deviations out. Each particle's grid is displaced by a fraction of a step of its own: where a mask is so steep that one
grid misses its edge, the particles' mean does not. The grid lies about where a probit of the same score would have the missing values.
Where it would end before their law does, as far below a logit or far from a middle that is hidden, it lies about their likeliest place.

A semicontinuous column's part beside the value that repeats ends there, so that the share of that value is what the decoder says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mnar.distributions.cells import OwnScore
from pyro_mnar.distributions.censored import Normals, log_phi
from pyro_mnar.distributions.links import hazard, log_ndtr

_STEP, _BELOW, _POINTS = 0.125, 8.0, 160
_GOLDEN = 0.6180339887
# A log density at an end of the grid so far below the largest leaves out less than 2e-4. Places that are looked at for the likeliest,
# and how far out, as sinh.
_LOST, _PLACES, _FAR = 6.0, 41, 8.0


class CellGrid(NamedTuple):
    """A cell's law on a grid: ``log_joint`` log p(v | z) P(s = 0 | v) of a normal's part about each point, (Q, ..., C).

    The points are ``mean`` + ``scale`` (``first`` + ``side`` step q), each (..., C) but the last, for q = 1/2, 3/2, ... Before them
    comes a value that repeats, ``mass`` (...) with the log joint ``log_mass`` (...), where there is one.
    """

    log_joint: Tensor
    mean: Tensor
    scale: Tensor
    first: Tensor
    side: Tensor
    mass: Tensor | None = None
    log_mass: Tensor | None = None

    def mean_of(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return E[function(x) | s = 0], (...); ``function`` takes and returns a tensor of any shape."""
        steps = torch.arange(_POINTS).to(self.first) + 0.5
        parts = self.log_joint.movedim(-1, 0).flatten(0, 1)
        values = self._at(steps.reshape(-1, *[1] * self.first.dim())).movedim(-1, 0).flatten(0, 1)
        if self.mass is not None and self.log_mass is not None:
            parts, values = torch.cat([self.log_mass.unsqueeze(0), parts]), torch.cat([self.mass.unsqueeze(0), values])
        return (parts.softmax(0) * function(values)).sum(0)

    def draw(self, uniforms: Tensor) -> Tensor:
        """Return the draws (...) that ``uniforms`` (..., 3) stand for: component, step, and place within the step."""
        which, cut, place = uniforms.unbind(-1)
        by_component = self.log_joint.logsumexp(0)
        if self.log_mass is not None:
            by_component = torch.cat([self.log_mass.unsqueeze(-1), by_component], -1)
        chosen = (by_component.softmax(-1).cumsum(-1) < which.unsqueeze(-1)).sum(-1, keepdim=True)
        chosen = chosen.clamp(max=by_component.shape[-1] - 1) - (by_component.shape[-1] - self.first.shape[-1])
        normal = chosen.clamp(min=0)
        own = self.log_joint.gather(-1, normal.expand(len(self.log_joint), *normal.shape)).squeeze(-1)
        step = (own.softmax(0).cumsum(0) < cut).sum(0).clamp(max=_POINTS - 1)
        drawn = self._at((step + place).unsqueeze(-1).to(self.first)).gather(-1, normal).squeeze(-1)
        return drawn if self.mass is None else torch.where(chosen.squeeze(-1) < 0, self.mass, drawn)

    def _at(self, steps: Tensor) -> Tensor:
        return self.mean + self.scale * (self.first + self.side * _STEP * steps)


def on_grid(normals: Normals, own: OwnScore | None = None, side: Tensor | None = None) -> CellGrid:
    """Return the law on a grid of missing cells of one column.

    Args:
        normals: the law of the values, (K, M): particles first. With a ``side`` the first of them has no width.
        own: how the values enter the mask; None where the mask says nothing of them. The grid is centered on where missing values lie.
        side: (M,) or (1,), of semicontinuous columns, which then end at the value that repeats; 1 for above it, -1 for below.

    Example:
        >>> from pyro_mnar.distributions.continuous import Normal
        >>> law = on_grid(Normal(torch.zeros(1, 1), torch.ones(1)).normals())
        >>> round(float(law.mean_of(torch.exp)), 4)
        1.6487
    """
    log_weight, mean, scale = torch.broadcast_tensors(*normals)
    mass = log_mass = end = None
    if side is not None:
        mass, log_mass = mean[..., 0], log_weight[..., 0] + (0.0 if own is None else own.log_missing(mean[..., 0]))
        log_weight, mean, scale = (part[..., 1:] for part in (log_weight, mean, scale))
        end = (mass.unsqueeze(-1) - mean) / scale
    center = torch.zeros_like(mean) if own is None else _center(mean, scale, own)
    way = torch.ones_like(mean) if side is None else side.unsqueeze(-1).expand(mean.shape)
    if end is not None:
        log_weight = log_weight - log_ndtr(-way * end)
    grid = CellGrid(mean, mean, scale, _first(center, way, end), way, mass, log_mass)
    log_joint = _log_joint(grid, log_weight, own)
    if own is not None:
        short = _short(log_joint, grid, end)
        if bool(short.any()):
            center = torch.where(short, _likeliest(grid, own, end), center)
            grid = grid._replace(first=_first(center, way, end))
            log_joint = _log_joint(grid, log_weight, own)
    return grid._replace(log_joint=log_joint)


def _first(center: Tensor, way: Tensor, end: Tensor | None) -> Tensor:
    """Return where the grids (..., C) begin."""
    if end is not None:
        return way * torch.maximum(way * center - _BELOW, way * end)
    displaced = torch.arange(center.shape[0]).to(center) * _GOLDEN % 1 if center.dim() > 2 else center.new_zeros(1)
    return center - _BELOW + _STEP * displaced.reshape(-1, *[1] * (center.dim() - 1))


def _log_joint(grid: CellGrid, log_weight: Tensor, own: OwnScore | None) -> Tensor:
    """Return that of the grid, (Q, ..., C), whose own is not read."""
    steps = (torch.arange(_POINTS).to(grid.first) + 0.5).reshape(-1, *[1] * grid.first.dim())
    log_joint = log_weight + log_phi(grid.first + grid.side * _STEP * steps) + math.log(_STEP)
    if grid.mass is None:
        # A normal without width, of a column that does not end at its value, is all in the first step.
        log_joint = torch.where(grid.scale > 0, log_joint, torch.where(steps < 1, log_weight, -torch.inf))
    return log_joint if own is None else log_joint + own.log_missing(grid._at(steps).movedim(-1, 0)).movedim(0, -1)


@torch.no_grad()
def _short(log_joint: Tensor, grid: CellGrid, end: Tensor | None) -> Tensor:
    """Return where a grid ends before the law of missing values does, (..., C) bool; ``end``, that of the law itself, is none."""
    least = log_joint.amax(0) - _LOST
    before = log_joint[0] > least
    return ((before if end is None else before & (grid.first != end)) | (log_joint[-1] > least)) & (grid.scale > 0)


@torch.no_grad()
def _likeliest(grid: CellGrid, own: OwnScore, end: Tensor | None) -> Tensor:
    """Return about where missing values of each normal are likeliest, in its own units, (..., C)."""
    found = torch.zeros_like(grid.mean)
    unit = torch.linspace(-1, 1, _PLACES).to(found).reshape(-1, *[1] * found.dim())
    # Wide at first, then between the neighbors of what was found.
    for share in (0.0, 0.5, 0.05):
        places = found + (share * found.abs() + 1) * unit if share else (_FAR * unit).sinh()
        places = places.expand(-1, *found.shape)
        places = places if end is None else grid.side * torch.maximum(grid.side * places, grid.side * end)
        log_joint = log_phi(places) + own.log_missing((grid.mean + grid.scale * places).movedim(-1, 0)).movedim(0, -1)
        found = places.gather(0, log_joint.argmax(0, keepdim=True)).squeeze(0)
    return found


def _center(mean: Tensor, scale: Tensor, own: OwnScore) -> Tensor:
    """Return where missing values of each normal lie, about, in its own units, (..., C)."""
    at, beside = (own.rising(part.movedim(-1, 0)) for part in (mean, mean + scale))
    if at is None or beside is None:
        return torch.zeros_like(mean)
    at = at.movedim(0, -1)
    slope = beside.movedim(0, -1) - at
    rate = (1 + slope.square()).rsqrt()
    return slope * rate * hazard(at * rate, log_ndtr(at * rate))
