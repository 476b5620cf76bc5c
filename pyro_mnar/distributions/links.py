"""Links: how the probability of a missing value rises with a score u.

A link is the distribution function of a symmetric law, P(s = 0 | u) = F(u), so that P(s = 1 | u) = F(-u). Every link here is
also given as a fixed mixture of probits,

    F(u) = sum_c w_c Phi(u / t_c),

because a probit is the one link whose integral against a normal density is closed: with x ~ N(m, d^2) and u = a x + c,

    INT N(x; m, d^2) Phi(u / t) dx = Phi((a m + c) / sqrt(t^2 + a^2 d^2)).

The probit has one component of width 1. The threshold (a hard rule: missing if and only if u > 0) has one component of width 0.
The logistic function has eight, fitted once by minimax (largest absolute error 3e-9); a normal scale mixture for it exists
by Stefanski, "A normal scale mixture representation of the logistic distribution", Statistics & Probability Letters 11 (1991).

Below u = -15 that error is no longer small beside F itself: the widest normal falls as exp(-u^2 / 35), the logistic function as exp(u).
There the rest is made up by exponentials, each let in below a place T_k by a probit,

    F(u) = sum_c w_c Phi(u / t_c) + sum_k b_k exp(u) Phi(-(u + T_k) / s_k),     sum_k b_k = 1,

fitted likewise to log F (largest error .006, at u = -23 to -13; none far below). Their integral is closed too, since exp(a x + c) turns
N(m, d^2) into exp(a m + c + a^2 d^2 / 2) times N(m + a d^2, d^2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

_DENSITY_AT_ZERO = 1 / math.sqrt(2 * math.pi)


class Tail(NamedTuple):
    """Exponentials exp(u), each below its place: ``weights`` b_k, ``places`` T_k and ``widths`` s_k, the latter in units of u."""

    weights: tuple[float, ...] = ()
    places: tuple[float, ...] = ()
    widths: tuple[float, ...] = ()


_NO_TAIL = Tail()


@dataclass(frozen=True)
class Link:
    """A symmetric distribution function, with its mixture of probits.

    Args:
        name: the link's word, for messages and model files.
        log_cdf: u of any shape -> log F(u), the same shape.
        weights: mixture weights w_c, adding to one.
        widths: the components' widths t_c, in units of u.
        tail: what the mixture lacks far on the left, if anything.

    Example:
        >>> float(PROBIT.log_missing(torch.zeros(())).exp())
        0.5
    """

    name: str
    log_cdf: Callable[[Tensor], Tensor]
    weights: tuple[float, ...]
    widths: tuple[float, ...]
    tail: Tail = _NO_TAIL

    def log_missing(self, score: Tensor) -> Tensor:
        """Return log P(s = 0 | u), of the shape of ``score``."""
        return self.log_cdf(score)

    def log_observed(self, score: Tensor) -> Tensor:
        """Return log P(s = 1 | u), of the shape of ``score``."""
        return self.log_cdf(-score)

    def gain(self, score: Tensor, factor: float) -> Tensor:
        """Return what the log odds of being missing gain when a mechanism becomes ``factor`` times as strong; as ``score`` in shape.

        From 0 to 1 it is (factor - 1) times the log odds themselves, log F(u) - log F(-u): a law p F(u) then becomes
        p F(u)^factor F(-u)^(1 - factor), which at 0 is the observed values' and is proper all the way. Beyond, on either side, that
        need not leave a law: a probit's log odds grow with the square of the score. What lies beyond counts by the score itself,
        times 4 F'(0), as with the logit that is as steep in the middle. Of the logit the two are the same.
        """
        part = min(max(factor, 0.0), 1.0)
        inner = torch.zeros_like(score) if part == 1 else (part - 1) * (self.log_cdf(score) - self.log_cdf(-score))
        steepness = 4 * _DENSITY_AT_ZERO * sum(w / t for w, t in zip(self.weights, self.widths, strict=True)) if factor != part else 0.0
        return inner + (factor - part) * steepness * score


def hazard(score: Tensor, log_cdf: Tensor) -> Tensor:
    """Return phi(score) / Phi(score), of the shape of ``score``, given log Phi(score).

    On the left, where the two logarithms are large and leave few digits of their difference, from the fifth convergent of Laplace's
    continued fraction, t + 1 / (t + 2 / (t + 3 / (t + 4 / t))) with t = -score, in partial fractions: relative errors are below 5e-6
    in single and 1e-12 in double precision. (By erfcx there would be none, at a twentieth of a training step.)
    """
    cut = 7.0 if score.dtype == torch.float32 else 40.0
    near = torch.exp(-torch.addcmul(log_cdf, score, score, value=0.5)) * _DENSITY_AT_ZERO
    far = score < -cut
    if score.device.type == "cpu" and not bool(far.any()):  # as in most steps of training; elsewhere asking would wait for the device
        return near
    t = (-score).clamp(min=cut)
    return torch.where(far, t + (6 / 7) / (t + 1 / t) + (1 / 7) / (t + 8 / t), near)


class _LogNdtr(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, score: Tensor) -> Tensor:
        # With a setup_context of its own (as torch.func wants) torch would inspect the signature at every call: a third of its time.
        log_cdf: Tensor = torch.special.log_ndtr(score)
        ctx.save_for_backward(score, log_cdf)
        return log_cdf

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        score, log_cdf = ctx.saved_tensors
        slope: Tensor = hazard(score, log_cdf)
        return grad * slope


def log_ndtr(score: Tensor) -> Tensor:
    """Return log Phi(score), of the shape of ``score``, with a gradient that holds in single precision.

    ``torch.special.log_ndtr`` has the same values, but its gradient is a difference of two large logarithms: in float32 wrong by
    a twentieth at -1000 and zero or NaN beyond -1e5, where a steep mechanism does go.
    """
    log_cdf: Tensor = _LogNdtr.apply(score)
    return log_cdf


def _log_step(score: Tensor) -> Tensor:
    # One on both sides of zero, so that the largest observed value may itself be the threshold.
    return torch.zeros_like(score).masked_fill(score < 0, -torch.inf)


#: P(s = 0 | u) = 1 / (1 + exp(-u)).
LOGIT = Link(
    "logit",
    torch.nn.functional.logsigmoid,
    weights=(
        0.0016765930125455003,
        0.031008449812862292,
        0.14002079256008532,
        0.28202988851737926,
        0.3122055206575805,
        0.18437710687720876,
        0.04599061635989292,
        0.0026910332024454578,
    ),
    widths=(
        4.161313112010009,
        3.2005633111785388,
        2.4890574453005323,
        1.9385899137368598,
        1.513407909763884,
        1.1861973033921827,
        0.9312929861326255,
        0.723961154416305,
    ),
    tail=Tail(
        weights=(0.42306826478235476, 0.5769317352176452),
        places=(19.21860736166179, 22.655605425333402),
        widths=(1.9324281083183046, 2.7698067542467917),
    ),
)
#: P(s = 0 | u) = Phi(u), the standard normal distribution function.
PROBIT = Link("probit", log_ndtr, weights=(1.0,), widths=(1.0,))
#: P(s = 0 | u) = 1 if u > 0, else 0.
THRESHOLD = Link("threshold", _log_step, weights=(1.0,), widths=(0.0,))
#: The links by their word, as model files name them.
LINKS = {link.name: link for link in (LOGIT, PROBIT, THRESHOLD)}
