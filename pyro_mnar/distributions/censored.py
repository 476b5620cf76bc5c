r"""One missing cell integrated out: closed forms for scale mixtures of normals under mixtures of probits.

A decoder's cell is x ~ N(m, d^2), or a Student-t, which is a normal whose variance d^2 / lambda is random. A link is a mixture
of probits (see :mod:`pyro_mnar.distributions.links`). For one normal and one probit of width t, with the score u = a x + c and
v = sqrt(t^2 + a^2 d^2), introduce e ~ N(0, 1) so that the value is missing if and only if a x + c + t e > 0. Then

    k                      = (a m + c) / v
    P(s = 0)               = Phi(k)
    E[x given s = 0]       = m + (a d^2 / v) phi(k) / Phi(k)
    x given s = 0          = m + (a d^2 h + t d e') / v,   h ~ N(0, 1) cut to h > -k,   e' ~ N(0, 1)

and a mixture adds over its components, weighted by their share of P(s = 0). The components live in one extra last dimension.
A link's tail, b exp(u) Phi(-(u + T) / s), is of the same form: a normal N(m + a d^2, d^2) under a probit of width s of the score
-a x - c - T, its share times exp(a m + c + a^2 d^2 / 2). Where all of the integral is there, log P(s = 0) = a m + c + a^2 d^2 / 2 and
x given s = 0 is N(m + a d^2, d^2).
Of a value that is missing if and only if -w < a x + b + e < w, h is cut on both sides (:mod:`pyro_mnar.distributions.double_cut`)
and the rest as before.
Gauss-Hermite quadrature over x would be no substitute: at steep slopes its error has both signs and grows to half a nat.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mnar.distributions import double_cut
from pyro_mnar.distributions.links import Link, Tail, hazard, log_ndtr

_POINT = 1e-24
_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class Normals(NamedTuple):
    """A mixture of normals for each cell: log weights, means and standard deviations, each (..., C) or broadcast to it."""

    log_weight: Tensor
    mean: Tensor
    scale: Tensor


class Missing(NamedTuple):
    """The components of a cell whose value is missing; every tensor is (..., C), or broadcasts to it.

    ``log_share`` is the log of its part of P(s = 0), ``log_cdf`` is log Phi(k), ``mean`` is m, ``gain`` is a d^2 / v, ``spread`` is
    t d / v. Of h that is cut on both sides ``k`` is the center (a m + b) / v, ``half`` the half width w / v, and log Phi(k) is the
    logarithm of P(-half < k + h < half).
    """

    log_share: Tensor
    log_cdf: Tensor
    k: Tensor
    mean: Tensor
    gain: Tensor
    spread: Tensor
    half: Tensor | None = None


def log_phi(k: Tensor) -> Tensor:
    """Return the standard normal log density."""
    return -0.5 * k.square() - _LOG_SQRT_2PI


def ndtri_exp(log_p: Tensor) -> Tensor:
    """Return the y with log Phi(y) = log_p, accurate in both tails; any shape, log_p <= 0.

    Where exp(log_p) would underflow: Newton's method on the concave log Phi started on the left of the root, so every step stays on
    the left and none overshoots.

    Example:
        >>> round(float(ndtri_exp(torch.tensor(-800.0, dtype=torch.float64))), 4)
        -39.8847
    """
    low = log_p < -1
    tail = torch.special.ndtri(torch.where(low, log_p.exp(), -torch.expm1(log_p)))
    y = torch.where(low, tail, -tail)
    least = -80.0 if log_p.dtype == torch.float32 else -690.0
    if not bool((far := log_p < least).any()):
        return y
    target = log_p.clamp(max=least)
    root = -torch.sqrt(-2 * target)
    for _ in range(5):
        log_cdf = torch.special.log_ndtr(root)
        root = root + (target - log_cdf) * torch.exp(log_cdf - log_phi(root))
    return torch.where(far, root, y)


def marginal_score(mean: Tensor, scale: Tensor, slope: Tensor, intercept: Tensor) -> Tensor:
    """Return k, (..., J), of normal cells under a probit of width 1: P(s = 0) = Phi(k)."""
    rate = (1 + (slope * scale).square()).rsqrt()
    return torch.addcmul(intercept * rate, slope * rate, mean)


def missing_components(normals: Normals, slope: Tensor, intercept: Tensor, link: Link) -> Missing:
    """Return the components of cells (..., J) given that each value is missing.

    Args:
        normals: laws of J columns given z.
        slope: a, (J,).
        intercept: c, (J,).
        link: F of the score a x + c.
    """
    log_weight, mean, scale = normals
    slope, intercept = slope.unsqueeze(-1), intercept.unsqueeze(-1)
    if len(link.widths) > 1:
        log_weight, mean, scale = log_weight.unsqueeze(-1), mean.unsqueeze(-1), scale.unsqueeze(-1)
        slope, intercept = slope.unsqueeze(-1), intercept.unsqueeze(-1)
    width = mean.new_tensor(link.widths)
    # A threshold is of width 0 and a point of scale 0: together they decide by the sign of the score.
    v = torch.sqrt(width.square() + (slope * scale).square() + _POINT)
    k = (slope * mean + intercept) / v
    log_share = log_cdf = log_ndtr(k)
    if k.shape[-1] > 1 or log_weight.shape[-1] > 1:
        log_share = log_cdf + (log_weight + mean.new_tensor(link.weights).log())
    gain, spread = slope * scale.square() / v, width * scale / v
    parts = Missing(log_share, log_cdf, k, mean, gain, spread)
    if link.tail.weights:
        far = _tail_components(log_weight, mean, scale, slope, intercept, link.tail)
        parts = Missing(
            *(torch.cat([one.expand(k.shape), other.expand(far.k.shape)], -1) for one, other in zip(parts[:6], far[:6], strict=True))
        )
    if len(link.widths) > 1:
        shape = parts.k.shape
        parts = Missing(*(part.expand(shape).flatten(-2) for part in parts[:6]))
    return parts


def _tail_components(log_weight: Tensor, mean: Tensor, scale: Tensor, slope: Tensor, intercept: Tensor, tail: Tail) -> Missing:
    """Return the components of the exponentials, (..., K); arguments as within :func:`missing_components`."""
    b, place, width = (mean.new_tensor(each) for each in tail)
    score, variance = slope * mean + intercept, (slope * scale).square()
    v = torch.sqrt(width.square() + variance)
    k = -(score + variance + place) / v
    log_cdf = log_ndtr(k)
    # log(exp(score + variance / 2) Phi(k)). Steep slopes make both large and their product small: the square is completed by hand.
    left = k < -1
    square = (width.square() * (2 * score + variance) - 2 * place * variance - (score + place).square()) / (2 * v.square())
    scaled = torch.log(0.5 * torch.special.erfcx(torch.where(left, -k, 1.0) * math.sqrt(0.5)))
    log_joint = torch.where(left, square + scaled, torch.where(left, 0.0, score + 0.5 * variance) + log_cdf)
    mean = mean + slope * scale.square()
    return Missing(log_joint + log_weight + b.log(), log_cdf, k, mean, -slope * scale.square() / v, width * scale / v)


def components_between(normals: Normals, slope: Tensor, intercept: Tensor, half: Tensor) -> Missing:
    """Return the components of cells (..., J) given that each score ``slope`` x + ``intercept`` + e is within ``half`` of 0."""
    log_weight, mean, scale = normals
    slope, intercept, half = slope.unsqueeze(-1), intercept.unsqueeze(-1), half.unsqueeze(-1)
    v = torch.sqrt(1 + (slope * scale).square())
    k, half = (slope * mean + intercept) / v, half / v
    log_cdf = double_cut.log_mass(k, half)
    return Missing(log_cdf + log_weight, log_cdf, k, mean, slope * scale.square() / v, scale / v, half)


def either(*parts: Missing) -> Missing:
    """Return the components of cells that are missing for one of several reasons, whose probabilities add."""
    whole = [[t.expand(part.log_share.shape) for t in part[:6]] for part in parts]
    return Missing(*(torch.cat(own, -1) for own in zip(*whole, strict=True)))


def log_missing(parts: Missing) -> Tensor:
    """Return log INT p(x) P(s = 0 | x) dx, (...)."""
    return parts.log_share.squeeze(-1) if parts.log_share.shape[-1] == 1 else parts.log_share.logsumexp(-1)


def mean_missing(parts: Missing) -> Tensor:
    """Return E[x given s = 0], (...)."""
    h = hazard(parts.k, parts.log_cdf) if parts.half is None else double_cut.mean(parts.k, parts.half)
    mean = parts.mean + parts.gain * h
    return mean.squeeze(-1) if parts.log_share.shape[-1] == 1 else (_shares(parts.log_share) * mean).sum(-1)


def draw_free(normals: Normals, uniforms: Tensor) -> Tensor:
    """Return exact draws, (...), of cells whatever their masks, as :func:`draw_missing` does."""
    which, _, noise = _once(uniforms).unbind(-1)
    mean, scale = component_of(normals.log_weight, which, normals.mean, normals.scale)
    deviation: Tensor = torch.special.ndtri(noise)
    return mean + scale * deviation


def _once(uniforms: Tensor) -> Tensor:
    """Return ``uniforms`` (..., M, 3), of one cell where all have the same: what is computed of these alone is then computed once."""
    return uniforms[..., :1, :] if uniforms.stride(-2) == 0 else uniforms


def component_of(log_share: Tensor, which: Tensor, *parts: Tensor) -> list[Tensor]:
    """Return of each of ``parts`` (..., C) the component that uniforms ``which`` (...) name; ``log_share`` (..., C) up to a sum."""
    if log_share.shape[-1] == 1:
        return [part.squeeze(-1) for part in parts]
    shape = torch.broadcast_shapes((*which.shape, 1), log_share.shape, *(part.shape for part in parts))
    index = (_shares(log_share).cumsum(-1) < which.unsqueeze(-1)).sum(-1, keepdim=True).clamp(max=shape[-1] - 1)
    index = index.expand(*shape[:-1], 1)
    return [part.expand(shape).gather(-1, index).squeeze(-1) for part in parts]


def _shares(log_share: Tensor) -> Tensor:
    """Return the softmax over the last dimension: of two components, torch's own takes ten times as long."""
    share = (log_share - log_share.amax(-1, keepdim=True)).exp()
    return share / share.sum(-1, keepdim=True)


def draw_missing(parts: Missing, uniforms: Tensor) -> Tensor:
    """Return exact draws of x given s = 0, (...), from ``uniforms`` (..., 3) in (0, 1): component, cut normal, noise."""
    which, cut, noise = _once(uniforms).unbind(-1)
    log_cdf, mean, gain, spread = component_of(parts.log_share, which, parts.log_cdf, parts.mean, parts.gain, parts.spread)
    if parts.half is None:
        h = -ndtri_exp(cut.log() + log_cdf)
    else:
        k, half = component_of(parts.log_share, which, parts.k, parts.half)
        high, low = double_cut.ends(k, half)
        inside = torch.logaddexp(torch.special.log_ndtr(low), cut.log() + log_cdf).clamp(max=0.0)
        h = torch.where(k < 0, -1.0, 1.0) * ndtri_exp(inside).maximum(low).minimum(high)
    deviation: Tensor = torch.special.ndtri(noise)
    return mean + gain * h + spread * deviation
