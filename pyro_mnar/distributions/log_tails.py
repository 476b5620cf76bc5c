r"""A skewed margin for logarithms and log-odds, whose tails are never much heavier than a normal law's.

Where a column is modeled by its logarithm x = log v, a tail of x that is stretched is a tail of v that is raised to a power: with
sinh-arcsinh, exp(e) times as far out in x, an e of a third makes of a standard deviation of 2.6 one of 3.6, and of the mean of v
thirtyfold. And it cannot shorten a tail as gamma and Weibull columns ask, whose logarithm is skewed to the left and ends above as
log log of anything normal. Hence, with c = log 2, u = a y and a = -4.5 e,

    x = log(softplus(u) / c) / (a g),       g = 1 / (2 c),

strictly increasing, x = y at a = 0, with slope 1 at 0 whatever a is. For e < 0 it is linear downwards and log y / (a g) upwards, so
that v is there a power of something normal (a cube root of gamma quantities is about normal: Wilson and Hilferty 1931, "The
distribution of chi-square", PNAS 17). For e > 0 it is the mirror image, x(-y; -a) = -x(y; a): the upper tail is at most 1 / g = 1.39
times as far out as it was. To second order in y it is the sinh-arcsinh of the same e, to first order in e.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyro_mnar.distributions.alignment import evenly

_C = math.log(2.0)
_G = 0.5 / _C
# a per unit of skewness: the second derivatives in y at 0, e and a (1 / 2 - g), are then the same.
_BEND = 1.0 / (0.5 - _G)


def bent(skew: Tensor) -> Tensor:
    """Return a of the skewness e, at least 1e-3 in size: at 0 the map is a limit, near which single precision loses its gradient."""
    a = _BEND * skew
    return a + (torch.where(a.abs() < 1e-3, torch.where(a < 0, -1e-3, 1e-3), a) - a).detach()


def to_normal(x: Tensor, skew: Tensor) -> tuple[Tensor, Tensor]:
    """Return y and log dy/dx, (..., D), of logarithms ``x`` (..., D) with ``skew`` (D,)."""
    a = bent(skew)
    w = a * _G * x
    # u = log(exp(v) - 1) with v = c exp(w): near 0 without a difference of near numbers, far down by its series.
    near, low = w.abs() < 0.5, w < -10
    v = _C * torch.exp(w.clamp_max(40))
    log_rise = torch.log(-torch.expm1(-torch.where(low, 1.0, v)))  # log(1 - exp(-v))
    log_rise = torch.where(low, w + math.log(_C) - 0.5 * v, log_rise)
    u = torch.where(near, torch.log1p(2 * torch.expm1(_C * torch.expm1(torch.where(near, w, 0.0)))), v + log_rise)
    return u / a, math.log(_G) + w + math.log(_C) - log_rise


def from_normal(y: Tensor, skew: Tensor) -> Tensor:
    """Return the logarithms (..., D) of ``y`` (..., D)."""
    a = bent(skew)
    u = a * y
    near, low = u.abs() < 1, u < -15
    outer = torch.where(low, u - 0.5 * u.clamp_max(0).exp(), evenly(softplus, torch.where(low, 0.0, u)).log()) - math.log(_C)
    inner = torch.log1p(torch.log1p(0.5 * torch.expm1(torch.where(near, u, 0.0))) / _C)
    return torch.where(near, inner, outer) / (a * _G)


def slope(y: Tensor, skew: Tensor) -> Tensor:
    """Return dx/dy, (..., D), at ``y`` (..., D)."""
    u = bent(skew) * y
    low = u < -15
    bounded = torch.where(low, 0.0, u)
    return torch.where(low, 1 - 0.5 * u.clamp_max(0).exp(), evenly(torch.sigmoid, bounded) / evenly(softplus, bounded)) / _G
