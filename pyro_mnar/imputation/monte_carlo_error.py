r"""The Monte Carlo error of a row's means over particles that are evenly spread.

A mean m = sum_k w_k g_k of S particles errs, to first order, by the sum of f_k = w_k (g_k - m) less what it is in expectation; the sum
itself is 0. The particles are functions of normals e_kd that lie evenly in every dimension d
(:meth:`~pyro_mnar.infer.streams.RowStreams.normal`). In

    f_k = a + sum_d (b_d e_kd + c_d (e_kd^2 - 1)) + r_k,

fitted by least squares, what the functions of one normal each contribute is known exactly: they are 0 in expectation, so that S a is
the error of their sum. The rest r errs as over independent draws, or less: an even spread in each dimension leaves of the variance that
of what is no sum of functions of one dimension each (Stein 1987, "Large sample properties of simulations using Latin hypercube
sampling", Technometrics 29). So with P coefficients

    variance = S / (S - P) sum_k r_k^2 + (S a)^2.

As of independent particles it would be sum_k f_k^2, of which this is a tenth or less where what is averaged is nearly linear.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Particles for each dimension whose two functions are told apart.
_EACH = 8


def variance_of_sums(parts: Tensor, noise: Sequence[Tensor]) -> Tensor:
    """Return the variance (N, D) of the sums, which are 0, of ``parts`` (S, N, D) of particles, in double precision.

    Args:
        parts: what each particle adds to a mean, less its weight's share of that mean.
        noise: the normals (S, N, any number) that the particles are functions of, as far as they are evenly spread. Of many, the first
            S / 8 are taken.

    Example:
        >>> noise = torch.randn(100, 3, 2).double()
        >>> variance_of_sums(noise - noise.mean(0), [noise]).sqrt().allclose(noise.sum(0).abs())
        True
    """
    size = len(parts)
    by_row = parts.double().transpose(0, 1)
    told = torch.ones_like(by_row[..., :1])
    if noise:
        even = torch.cat(list(noise), -1)[..., : size // _EACH].double().transpose(0, 1)
        told = torch.cat([told, even, even.square() - 1], -1)
    found = torch.linalg.solve(told.mT @ told, told.mT @ by_row)
    left = (by_row - told @ found).square().sum(1)
    return left * (size / (size - told.shape[-1])) + (size * found[:, 0]).square()
