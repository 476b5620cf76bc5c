r"""A standard normal h that is cut on both sides: -w < u + h < w, of center u and half width w > 0.

    P      = Phi(u + w) - Phi(u - w)
    E[h]   = [phi(u + w) - phi(u - w)] / P = d log P / du

Phi has no accurate difference of values that are close together or near 1. With u reflected to be at least 0, both ends -u - w < -u + w
lie to the left, and where they are well apart

    log P  = log Phi(w - u) + log(1 - exp(-d)),    d = log Phi(w - u) - log Phi(-w - u).

Elsewhere the density is integrated by five Gauss-Legendre points, t: exp(u w t - w^2 t^2 / 2) is nearly a straight line there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyro_mnar.distributions.links import hazard, log_ndtr

#: Below it five points have an error of 1e-13, and above it the difference of logarithms is no small one.
NEAR = 0.5
_LEAST = 1e-30
_T = (0.0, 0.5384693101056831, -0.5384693101056831, 0.906179845938664, -0.906179845938664)
_W = (0.5688888888888889, 0.47862867049936647, 0.47862867049936647, 0.23692688505618908, 0.23692688505618908)


def ends(u: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Return the upper and the lower end of h, or where u < 0 of -h."""
    return w - u.abs(), -w - u.abs()


def log_mass(u: Tensor, w: Tensor) -> Tensor:
    """Return log P, of the shape that ``u`` and ``w`` broadcast to.

    Example:
        >>> u = torch.tensor([0.0, 30.0], dtype=torch.float64)
        >>> [round(v, 4) for v in log_mass(u, torch.ones(2, dtype=torch.float64)).tolist()]
        [-0.3817, -424.7874]
    """
    near, close, apart = _cases(u, w)
    points = near_log_mass(*close)
    high, low = (log_ndtr(end) for end in ends(*apart))
    return torch.where(near, points, high + torch.log(-torch.expm1(low - high)))


def mean(u: Tensor, w: Tensor) -> Tensor:
    """Return E[h], of the shape that ``u`` and ``w`` broadcast to."""
    near, close, apart = _cases(u, w)
    points = near_mean(*close)
    high, low = ends(*apart)
    log_high, log_low = log_ndtr(high), log_ndtr(low)
    share = torch.exp(log_low - log_high)
    sign = torch.where(apart[0] < 0, -1.0, 1.0)
    return torch.where(near, points, sign * (hazard(low, log_low) * share - hazard(high, log_high)) / (1 - share))


def is_near(u: Tensor, w: Tensor) -> Tensor:
    """Return whether the ends are so near one another that the density is integrated by points."""
    return w * (u.abs() + 1) < NEAR


def near_log_mass(u: Tensor, w: Tensor) -> Tensor:
    """Return log P where the ends are near one another."""
    return _log_points(u, w).logsumexp(-1) + w.log() - 0.5 * (u.square() + math.log(2 * math.pi))


def near_mean(u: Tensor, w: Tensor) -> Tensor:
    """Return E[h] where the ends are near one another."""
    return w * (_log_points(u, w).softmax(-1) * u.new_tensor(_T)).sum(-1) - u


def _cases(u: Tensor, w: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return where the ends are near one another, and (u, w) for either case, harmless where it is the other."""
    u, w = torch.broadcast_tensors(u, w.clamp_min(_LEAST))
    near = is_near(u, w)
    close = torch.where(near, u, 0.0), torch.where(near, w, NEAR)
    return near, close, (u, torch.where(near, 1.0, w))


def _log_points(u: Tensor, w: Tensor) -> Tensor:
    t = u.new_tensor(_T)
    u, w = u.unsqueeze(-1), w.unsqueeze(-1)
    return u * w * t - 0.5 * (w * t).square() + u.new_tensor(_W).log()
