"""Missing cells whose law is a mixture of normals: what the law owns of them, in closed form or on a grid."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyro_mnar.distributions import censored, cut_normal
from pyro_mnar.distributions.cell_grid import CellGrid, on_grid
from pyro_mnar.distributions.cells import Cells, Censored, OwnScore
from pyro_mnar.distributions.censored import Normals

# Cells, counted over particles, whose grids are made at once: ten million numbers.
_AT_ONCE = 65_536


class NormalMixture(Cells):
    """Laws of real values that are mixtures of normals; they say which."""

    def normals(self) -> Normals:
        """Return the normals that the cells are mixtures of."""
        raise NotImplementedError

    def censored(self, own: OwnScore | None) -> Censored:
        return FreeNormals(self) if own is None else CensoredNormals(self.normals(), own)

    def within(self, low: Tensor, high: Tensor, own: OwnScore | None = None) -> Censored:
        cut = WithinNormals(self.normals(), low.unsqueeze(-1), high.unsqueeze(-1))
        return cut if own is None else MaskedWithin(cut, own)


class CensoredNormals:
    """Cells given that they are missing for the score ``own``, in closed form."""

    probabilities = None

    def __init__(self, normals: Normals, own: OwnScore) -> None:
        self.normals, self.own = normals, own

    @cached_property
    def components(self) -> censored.Missing:
        """What the mask leaves of the normals."""
        return self.own.components(self.normals)

    @property
    def log_mass(self) -> Tensor:
        return censored.log_missing(self.components)

    @property
    def mean(self) -> Tensor:
        return censored.mean_missing(self.components)

    def mean_of(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        return on_grid(self.normals, self.own).mean_of(function)

    def draw(self, uniforms: Tensor) -> Tensor:
        return censored.draw_missing(self.components, uniforms)


class FreeNormals:
    """Cells of whose values the mask says nothing."""

    probabilities = None

    def __init__(self, law: Any) -> None:
        self.law = law

    @property
    def log_mass(self) -> Tensor:
        return torch.zeros_like(self.mean)

    @property
    def mean(self) -> Tensor:
        mean: Tensor = self.law.mean
        return mean

    def mean_of(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        return on_grid(self.law.normals()).mean_of(function)

    def draw(self, uniforms: Tensor) -> Tensor:
        return censored.draw_free(self.law.normals(), uniforms)


class CutNormals:
    """Semicontinuous cells, M of them, that end at the value that repeats: see :mod:`pyro_mnar.distributions.cell_grid`.

    ``log_mass`` is that of the law without its end, which training has.
    """

    probabilities = None

    def __init__(self, law: Any, own: OwnScore | None, side: Tensor) -> None:
        self.law, self.own, self.side = law, own, side

    @property
    def log_mass(self) -> Tensor:
        own = self.own
        return torch.zeros_like(self.law.mean) if own is None else censored.log_missing(own.components(self.law.normals()))

    @property
    def mean(self) -> Tensor:
        return self.mean_of(lambda values: values)

    def mean_of(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        # A function with parameters of each cell is asked for that of a grid's own.
        own = [function.take(some) if hasattr(function, "take") else function for some, _ in self._grids]
        return torch.cat([grid.mean_of(part) for (_, grid), part in zip(self._grids, own, strict=True)], -1)

    def draw(self, uniforms: Tensor) -> Tensor:
        return torch.cat([grid.draw(uniforms[..., some, :]) for some, grid in self._grids], -1)

    @cached_property
    def _grids(self) -> list[tuple[slice, CellGrid]]:
        """Return the laws on grids of some cells after others."""
        width, particles = self.law.batch_shape[-1], max(1, self.law.batch_shape[:-1].numel())
        size = max(1, _AT_ONCE // particles)
        parts = [slice(first, first + size) for first in range(0, max(width, 1), size)]
        own = self.own
        return [
            (some, on_grid(self.law.take(some).normals(), None if own is None else own.take(some), self.side[..., some]))
            for some in parts
        ]


class WithinNormals:
    """Cells, M of them, that are known to lie between two limits, in closed form (:mod:`pyro_mnar.distributions.cut_normal`).

    Args:
        normals: that they are mixtures of, (..., M, C).
        low, high: the limits, (..., M, 1), or each component's own (..., M, C).
        held: (..., M, C) bool, whether the value of a component without width is among those that are possible; None where that is
            so between the limits.
    """

    probabilities = None

    def __init__(self, normals: Normals, low: Tensor, high: Tensor, held: Tensor | None = None) -> None:
        self.log_weight, self.mean_of_each, self.scale = normals
        self.ends = low, high
        self.wide = self.scale > 0
        scale = torch.where(self.wide, self.scale, 1.0)
        self.low, self.high = (cut_normal.standardized(end, self.mean_of_each, scale) for end in (low, high))
        self.held = (low < self.mean_of_each) & (self.mean_of_each < high) if held is None else held

    @cached_property
    def log_share(self) -> Tensor:
        """The log of each component's part of the mass, (..., M, C)."""
        at_point = torch.where(self.held, 0.0, -torch.inf).to(self.low)
        return self.log_weight + torch.where(self.wide, cut_normal.log_mass(self.low, self.high), at_point)

    @property
    def log_mass(self) -> Tensor:
        return self.log_share.squeeze(-1) if self.log_share.shape[-1] == 1 else self.log_share.logsumexp(-1)

    @property
    def mean(self) -> Tensor:
        return (self.log_share.softmax(-1) * (self.mean_of_each + self.scale * cut_normal.mean(self.low, self.high))).sum(-1)

    def mean_of(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        steps, weights = cut_normal.points(self.low, self.high)
        means = (weights * function(self.mean_of_each + self.scale * steps)).sum(0)
        return (self.log_share.softmax(-1) * means).sum(-1)

    def draw(self, uniforms: Tensor) -> Tensor:
        which, cut, _ = uniforms.unbind(-1)
        parts = self.low, self.high, self.mean_of_each, self.scale, *self.ends
        low, high, mean, scale, first, last = censored.component_of(self.log_share, which, *parts)
        # In double precision: an interval may be narrow beside its distance from the mean.
        found = (mean.double() + scale.double() * cut_normal.draw(low, high, cut)).to(mean)
        return torch.where(scale > 0, found.maximum(first).minimum(last), mean)


class MaskedWithin:
    """Cells between limits that are not why they are missing: their values enter their masks as ``own`` says.

    Of each normal, cut to the limits, points x_q with weights w_q that add to 1 stand for it, and

        log INT_low^high p(x | z) P(s = 0 | x) dx  =  log mass + log SUM_q w_q P(s = 0 | x_q).

    The points stay where they are in the gradient, which goes through their density instead: then it is that of the integral. A draw
    takes a point by its weight, and then a place in the part of the cut normal that the point stands for.
    """

    probabilities = None

    def __init__(self, cut: WithinNormals, own: OwnScore) -> None:
        self.cut, self.own = cut, own

    @cached_property
    def _points(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return values, weights of each cut normal alone, and logarithms of their joint shares, (Q, ..., M, C)."""
        cut = self.cut
        log_share, low, high, mean, scale = torch.broadcast_tensors(cut.log_share, cut.low, cut.high, cut.mean_of_each, cut.scale)
        wide = scale > 0
        steps, weights = cut_normal.points(low.detach(), high.detach())
        values = torch.where(wide, (mean + scale * steps).detach(), mean)
        width = torch.where(wide, scale, 1.0)
        density = torch.where(wide, censored.log_phi((values - mean) / width) - width.log(), 0.0)
        # In value the mass; in gradient the density's own.
        mass = log_share.detach() + torch.where(wide, density - density.detach(), 0.0)
        weight = cut.log_weight - cut.log_weight.detach()
        log_mask = self.own.log_missing(values.movedim(-1, 0)).movedim(0, -1)
        return values, weights, mass + weight + weights.log() + log_mask

    @property
    def log_mass(self) -> Tensor:
        return self._points[2].movedim(-1, 0).flatten(0, 1).logsumexp(0)

    @property
    def mean(self) -> Tensor:
        return self.mean_of(lambda values: values)

    def mean_of(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        values, _, joint = (part.movedim(-1, 0).flatten(0, 1) for part in self._points)
        return (joint.softmax(0) * function(values)).sum(0)

    @torch.no_grad()
    def draw(self, uniforms: Tensor) -> Tensor:
        which, cut, place = uniforms.unbind(-1)
        _, weights, joint = self._points
        own = [part.movedim(0, -1) for part in (weights, joint)]  # (..., M, C, Q)
        shape = own[1].shape[-1]
        parts = self.cut.low, self.cut.high, self.cut.mean_of_each, self.cut.scale, *self.cut.ends
        by_component = joint.logsumexp(0)
        low, high, mean, scale, first, last = censored.component_of(by_component, which, *parts)
        weight, share = (torch.stack(censored.component_of(by_component, which, *part.unbind(-1)), -1) for part in own)
        at = (share.softmax(-1).cumsum(-1) < cut.unsqueeze(-1)).sum(-1, keepdim=True).clamp(max=shape - 1)
        total = weight.double().cumsum(-1)
        up, part = (each.expand(*at.shape[:-1], shape).gather(-1, at).squeeze(-1) for each in (total, weight.double()))
        inside = (up - (1 - place.double()) * part).clamp(1e-300, 1 - 1e-16)
        found = (mean.double() + scale.double() * cut_normal.draw(low, high, inside)).to(mean)
        return torch.where(scale > 0, found.maximum(first).minimum(last), mean)
