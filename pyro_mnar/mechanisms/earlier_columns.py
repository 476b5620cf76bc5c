"""What masks read of earlier columns: a number, the cosine and sine of an angle, or which of a category's levels it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

# What of a column is a feature: its value, its cosine or sine, or else whether it is that level.
_VALUE, _COSINE, _SINE = -1, -2, -3


def read_of(n_columns: int, levels: Mapping[int, int], circular: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return of each feature the column, and what of it is read, both (F,).

    Args:
        n_columns: D.
        levels: number of levels of each categorical column, by position.
        circular: positions of columns of angles.
    """
    read = {j: tuple(range(count)) for j, count in levels.items()} | dict.fromkeys(circular, (_COSINE, _SINE))
    owner, at = torch.tensor([(j, what) for j in range(n_columns) for what in read.get(j, (_VALUE,))]).T.contiguous()
    return owner, at


def features_of(x: Tensor, mask: Tensor, owner: Tensor, at: Tensor) -> Tensor:
    """Return the features (..., F) of rows ``x`` (..., D), 0 where ``mask`` (..., D) is False.

    Example:
        >>> owner, at = read_of(2, {1: 3}, [0])
        >>> features_of(torch.tensor([0.0, 2.0]), torch.tensor([True, True]), owner, at).tolist()
        [1.0, 0.0, 0.0, 0.0, 1.0]
    """
    seen = torch.where(mask, x, 0.0)[..., owner]
    if bool((at != _VALUE).any()):
        read = torch.where(at == _COSINE, seen.cos(), torch.where(at == _SINE, seen.sin(), (seen.round() == at).to(seen)))
        seen = torch.where(at == _VALUE, seen, torch.where(mask[..., owner], read, 0.0))
    return seen
