"""Operations in which a row's result does not depend on its place among the others.

A processor's matrix product adds up the inner dimension in an order of its own, which may depend on how a row lies in memory: of 5
columns, every fourth row begins at an address of another remainder, and its sum differs in the last bit. With an inner dimension that
is a multiple of four, every row lies alike, and zeros add nothing. That is so of Intel's MKL, in single and in double precision, for
every size that was tried (1 to 200); a test holds it.

Torch takes the cells of a tensor 32 at a time, and the last few by other code, which rounds softplus and the logistic function
otherwise. Of eight rows, or a multiple of eight, and a multiple of four columns there are no last few.

Where gradients are recorded nothing is padded: training asks for no row alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

_LANES = 4


def aligned(value: Tensor, dim: int = -1) -> Tensor:
    """Return ``value`` with zeros behind dimension ``dim``, -1 or -2, up to a multiple of four; as it is where gradients are recorded.

    Example:
        >>> with torch.no_grad():
        ...     aligned(torch.ones(2, 5)).shape, aligned(torch.ones(2, 5), -2).shape
        (torch.Size([2, 8]), torch.Size([4, 5]))
    """
    more = -value.shape[dim] % _LANES
    if not more or torch.is_grad_enabled():
        return value
    return functional.pad(value, (0, more) if dim == -1 else (0, 0, 0, more))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``weight`` (J, D) times ``x`` (..., D), plus ``bias``, (..., J)."""
    return functional.linear(aligned(x), aligned(weight), bias)


def evenly(function: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    """Return a ``function`` of each cell of ``value`` (..., D)."""
    return function(aligned(value))[..., : value.shape[-1]]


def definite(matrix: Tensor) -> Tensor:
    """Return a positive definite ``matrix`` (..., L, L) beside a block of the identity, so that it is a multiple of four wide.

    Example:
        >>> with torch.no_grad():
        ...     definite(2 * torch.eye(3)).diagonal().tolist()
        [2.0, 2.0, 2.0, 1.0]
    """
    size, whole = matrix.shape[-1], aligned(aligned(matrix), -2)
    if whole.shape[-1] > size:
        whole.diagonal(dim1=-2, dim2=-1)[..., size:] = 1.0
    return whole
