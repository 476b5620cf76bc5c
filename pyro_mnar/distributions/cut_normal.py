r"""A standard normal h that is known to lie between two ends, low < h < high, of which either may be infinite.

    P        = Phi(high) - Phi(low)
    E[h]     = [phi(low) - phi(high)] / P
    Var[h]   = 1 + [low phi(low) - high phi(high)] / P - E[h]^2

Source: Tobin 1958, "Estimation of relationships for limited dependent variables", Econometrica 26, for the first two. An interval is
reflected so that more of it lies on the left, where

    log P  = log Phi(high) + log(1 - exp(-d)),    d = log Phi(high) - log Phi(low),

holds as far out as there are numbers; where the ends are near one another the density is integrated by points
(:mod:`pyro_mnar.distributions.double_cut`). Draws invert the distribution function by its logarithm, in double precision.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.distributions import double_cut
from pyro_mnar.distributions.censored import ndtri_exp
from pyro_mnar.distributions.links import hazard, log_ndtr

# Beyond it nothing is left of a normal, to the last bit of double precision.
_ALL = 40.0
# Standard deviations within which means of functions are taken about the likeliest point: an exponential's mean may lie so far out.
_REACH = 12.0
_POINTS = 128
# Width of an interval, times how far out it is, below which its density is flat.
_FLAT = 1e-4


def standardized(ends: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return (ends - mean) / scale with a gradient that holds where ends are infinite; of the shape that all three broadcast to."""
    finite = ends.isfinite()
    return torch.where(finite, (torch.where(finite, ends, 0.0) - mean) / scale, ends)


def log_mass(low: Tensor, high: Tensor) -> Tensor:
    """Return log P, of the shape that ``low`` and ``high`` broadcast to; minus infinity where nothing lies between.

    Example:
        >>> low, high = torch.tensor([40.0, -1.0], dtype=torch.float64), torch.tensor([torch.inf, 1.0], dtype=torch.float64)
        >>> [round(v, 4) for v in log_mass(low, high).tolist()]
        [-804.6084, -0.3817]
    """
    near, close, (left, right, open_) = _cases(low, high)
    above = log_ndtr(right)
    if bool(open_.all()):  # at no more cost than a mask's
        return torch.where(low < high, above, -torch.inf)
    below = log_ndtr(left)
    rest = torch.log(-torch.expm1(torch.where(open_, -1.0, below - above)))
    found = torch.where(near, double_cut.near_log_mass(*close), above + torch.where(open_, 0.0, rest))
    return torch.where(low < high, found, -torch.inf)


def mean(low: Tensor, high: Tensor) -> Tensor:
    """Return E[h], of the shape that ``low`` and ``high`` broadcast to."""
    near, close, (left, right, open_) = _cases(low, high)
    above, below = log_ndtr(right), log_ndtr(left)
    share = torch.where(open_, 0.0, torch.exp(below - above))
    whole = (torch.where(open_, 0.0, hazard(left, below) * share) - hazard(right, above)) / (1 - share)
    found = torch.where(near, double_cut.near_mean(*close), whole)
    return torch.where(_reflected(low, high), -found, found)


def moments(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return E[h] and Var[h], by points, float64 and of the shape that ``low`` and ``high`` broadcast to."""
    steps, weights = points(low.double(), high.double())
    center = (weights * steps).sum(0)
    return center, (weights * (steps - center).square()).sum(0)


@torch.no_grad()
def draw(low: Tensor, high: Tensor, uniforms: Tensor) -> Tensor:
    """Return the draws, float64, that ``uniforms`` in the open unit interval stand for; all shapes broadcast."""
    reflected = _reflected(low, high)
    ends = low.double(), high.double()
    left, right = torch.where(reflected, -ends[1], ends[0]), torch.where(reflected, -ends[0], ends[1])
    share = torch.where(reflected, 1 - uniforms.double(), uniforms.double())
    inside = torch.logaddexp(torch.special.log_ndtr(left), share.log() + log_mass(left, right)).clamp(max=0.0)
    found = ndtri_exp(inside)
    width = right - left
    flat = width * (1 + left.abs().minimum(right.abs())) < _FLAT
    found = torch.where(flat, left + share * torch.where(flat, width, 0.0), found).maximum(left).minimum(right)
    return torch.where(reflected, -found, found)


@torch.no_grad()
def points(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return points of the interval and their weights, which add to 1, (Q, ...): means of smooth functions are sums over them.

    Example:
        >>> steps, weights = points(torch.tensor(0.0).double(), torch.tensor(torch.inf).double())
        >>> round(float((weights * steps.exp()).sum()), 6)  # exp(1/2) Phi(1) / Phi(0)
        2.774286
    """
    low, high = torch.broadcast_tensors(low, high)
    likeliest = torch.zeros_like(low).maximum(low).minimum(high)
    # From there the density falls as exp(-m t - t^2 / 2).
    reach = _REACH**2 / (likeliest.abs() + (likeliest.square() + _REACH**2).sqrt())
    first, last = low.maximum(likeliest - reach), high.minimum(likeliest + reach)
    nodes, rule = (torch.from_numpy(part).to(low).reshape(-1, *[1] * low.dim()) for part in _gauss_legendre())
    half = 0.5 * (last - first)
    steps = first + half * (1 + nodes)
    away = steps - likeliest
    return steps, (rule.log() - away * (likeliest + 0.5 * away)).softmax(0)


@cache
def _gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(_POINTS)


def _reflected(low: Tensor, high: Tensor) -> Tensor:
    return (low + high > 0) | (high == torch.inf) & (low != -torch.inf)


def _cases(low: Tensor, high: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Return where the ends are near one another; center and half width there, as ``double_cut`` has them; left and right end of what
    was reflected, and whether it is open on the left. Each is harmless where it is another's case."""
    low, high = torch.broadcast_tensors(low, high)
    reflected = _reflected(low, high)
    left, right = torch.where(reflected, -high, low), torch.where(reflected, -low, high)
    none = ~(left < right)
    open_ = (left == -torch.inf) | none
    right = torch.where(right == torch.inf, _ALL, right)
    left = torch.where(open_, right - 1.0, left)
    half, center = 0.5 * (right - left), -0.5 * (right + left)
    near = ~open_ & double_cut.is_near(center, half)
    close = torch.where(near, center, 0.0), torch.where(near, half, double_cut.NEAR)
    return near, close, (torch.where(near, right - 1.0, left), right, open_)
