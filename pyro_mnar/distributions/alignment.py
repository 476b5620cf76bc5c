"""Operations in which a row's result does not depend on its place among the others.

A processor's matrix product adds up the inner dimension in an order of its own, which may depend on how a row lies in memory: of 5
columns, every fourth row begins at an address of another remainder, and its sum differs in the last bit. With an inner dimension that
is a multiple of four, every row lies alike, and zeros add nothing. That is so of Intel's MKL, in single and in double precision, for
every size that was tried (1 to 200); a test holds it.

Torch takes the cells of a tensor 32 at a time, and the last few by other code, which rounds softplus and the logistic function
otherwise. Of eight rows, or a multiple of eight, and a multiple of four columns there are no last few. What is computed of missing
cells alone has as many as there are: these are filled up to a multiple of 64 (:func:`whole`).

Where gradients are recorded nothing is padded: training asks for no row alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

_LANES, _ROWS, _CELLS, _LEAST_ROWS = 4, 8, 32, 100
# Cells that torch computes together: its sums, whose order is another in the last few, take four vectors of sixteen.
TOGETHER = 64
# Particles beyond which cells are not filled up: memory would be many times as much.
_MOST_PARTICLES = 4096


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
    """Return ``weight`` (J, D) times ``x`` (..., D), plus ``bias``, (..., J).

    Rows ``x`` (N, D) or (K, N, D) may have weights of their own, (N, J, D), and biases (N, J).
    """
    x, weight = aligned(x), aligned(weight)
    if weight.dim() == 2:
        return functional.linear(x, weight, bias)
    # One row alone, and products of less than 400 terms, would go by another kernel, which adds up in another order.
    rows = (x if x.dim() > 2 else x.unsqueeze(0)).transpose(0, 1)
    n_rows = rows.shape[1]
    if n_rows < _LEAST_ROWS:
        rows = functional.pad(rows, (0, 0, 0, _LEAST_ROWS - n_rows))
    product = (rows @ weight.mT)[:, :n_rows].transpose(0, 1)
    product = product if x.dim() > 2 else product[0]
    return product if bias is None else product + bias


def evenly(function: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    """Return a ``function`` of each cell of ``value`` (..., D), or (D,), which is then taken as of eight rows alike.

    Softplus, the logistic function and atan2 are such as torch rounds otherwise in the last few of 32 cells.
    """
    if value.dim() == 1 and not torch.is_grad_enabled():
        return function(aligned(value).repeat(_ROWS, 1))[0, : len(value)]
    if value.numel() % _CELLS == 0:
        return function(value.contiguous())
    return function(aligned(value).contiguous())[..., : value.shape[-1]]


def whole(index: Tensor, together: int = TOGETHER) -> Tensor:
    """Return indices (M,) with the first repeated behind them up to a multiple of ``together``; as they are with gradients.

    Example:
        >>> with torch.no_grad():
        ...     whole(torch.tensor([3, 5])).shape, whole(torch.arange(0)).shape
        (torch.Size([64]), torch.Size([0]))
    """
    more = -len(index) % together
    return index if not more or torch.is_grad_enabled() else torch.cat([index, index[:1].expand(more)])


def summed(values: Tensor) -> Tensor:
    """Return the sum over the first dimension of ``values`` (S, ...), every cell's added up in one order, wherever it lies.

    Example:
        >>> with torch.no_grad():
        ...     summed(torch.ones(3, 2)).tolist()
        [3.0, 3.0]
    """
    flat = values.flatten(1)
    more = 0 if torch.is_grad_enabled() else -flat.shape[1] % TOGETHER
    return functional.pad(flat, (0, more)).sum(0)[: flat.shape[1]].reshape(values.shape[1:])


def together_of(particles: int) -> int:
    """Return to a multiple of what number cells are filled up, beside so many particles.

    Example:
        >>> together_of(200), together_of(1_000_000)
        (64, 1)
    """
    return TOGETHER if particles <= _MOST_PARTICLES else 1


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
