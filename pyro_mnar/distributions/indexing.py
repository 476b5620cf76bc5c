"""Columns and cells of tensors whose last dimensions are rows and columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.distributions.alignment import TOGETHER, whole


def broadcast(*shapes: Sequence[int]) -> torch.Size:
    """Return the shape to which all of ``shapes`` can be expanded; torch's own function takes six times as long.

    Example:
        >>> broadcast((5, 1), (3,))
        torch.Size([5, 3])
    """
    return torch.Size(np.broadcast_shapes(*map(tuple, shapes)))


def chosen_of(value: Tensor, chosen: Tensor, together: int = TOGETHER) -> Tensor:
    """Return the entries (..., M) of ``value`` where ``chosen``, bool of the last dimensions, is True M times; or broadcast.

    Where no gradients are recorded, the first of them is repeated behind them, up to a multiple of how many torch computes ``together``
    (:mod:`pyro_mnar.distributions.alignment`); :func:`put_back` drops these again.
    """
    lead = value.shape[: max(0, value.dim() - chosen.dim())]
    # By one flat index: a mask as index takes twice the time, and its gradient ten times.
    index = whole(chosen.flatten().nonzero().flatten(), together)
    return value.expand(*lead, *chosen.shape).flatten(len(lead)).index_select(-1, index)


def put_back(cells: Tensor, rows: Tensor, chosen: Tensor) -> Tensor:
    """Return ``rows`` (..., *chosen.shape) with ``cells`` (..., M or more) where ``chosen``, of the last dimensions, is True.

    Example:
        >>> put_back(torch.tensor([5.0, 6.0, 0.0]), torch.zeros(2, 2), torch.tensor([[True, False], [False, True]])).tolist()
        [[5.0, 0.0], [0.0, 6.0]]
    """
    return rows.masked_scatter(chosen, cells if torch.is_grad_enabled() else cells[..., : int(chosen.sum())])


def columns_of(value: Tensor, columns: Tensor | slice | Sequence[int]) -> Tensor:
    """Return some columns of ``value`` (..., D): a view for a slice, else by the one kind of index that copies whole rows.

    Example:
        >>> columns_of(torch.arange(6.0).reshape(2, 3), [2, 0]).tolist()
        [[2.0, 0.0], [5.0, 3.0]]
    """
    if isinstance(columns, slice):
        return value[..., columns]
    return value.index_select(-1, torch.as_tensor(columns, device=value.device))


def beside(table: Tensor, n_dims: int) -> Tensor:
    """Return a ``table`` (V, ..., J) of levels as it broadcasts with values of ``n_dims`` dimensions, (V, 1, ..., J).

    Example:
        >>> beside(torch.zeros(4, 2), 3).shape, beside(torch.zeros(4, 8, 2), 3).shape
        (torch.Size([4, 1, 1, 2]), torch.Size([4, 1, 8, 2]))
    """
    return table.reshape(len(table), *[1] * (n_dims - table.dim() + 1), *table.shape[1:])


def column_indices(columns: Sequence[int] | None, n_columns: int) -> Tensor:
    """Return the chosen column indices as a tensor, all by default; ValueError if out of range or repeated."""
    chosen = tuple(range(n_columns)) if columns is None else tuple(int(j) for j in columns)
    if not chosen or len(set(chosen)) < len(chosen) or not all(0 <= j < n_columns for j in chosen):
        raise ValueError(f"columns: got {chosen}, expected distinct indices from 0 to {n_columns - 1}")
    return torch.tensor(chosen)


def indicator(columns: Tensor, n_columns: int) -> Tensor:
    """Return (D,) bool, True at ``columns``."""
    return torch.zeros(n_columns, dtype=torch.bool, device=columns.device).index_fill(0, columns, True)


def neighbors(columns: Tensor) -> slice | None:
    """Return ``columns`` (J,) as a slice, a view where an index would copy; None where they do not follow one another."""
    first, last = int(columns[0]), int(columns[-1])
    return slice(first, last + 1) if columns.tolist() == list(range(first, last + 1)) else None
