"""Observed values far outside training, and holes for which no finite value comes out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.data.schema import is_frame
from pyro_mnar.data.warn import warn
from pyro_mnar.imputer.tables.given import Given

if TYPE_CHECKING:
    from pandas import DataFrame

#: Standard deviations from the mean of training. A table of up to 900 rows has no value that far from its own mean. Beyond, nothing is
#: known of how the other columns go on, and beyond some ten thousand single precision has no weights for such a row.
FAR = 30.0
_NAMED = 3


def within_reach(given: Given) -> Tensor:
    """Return a model's values (N, D) of a table, 0 in the holes, those beyond ``FAR`` taken as that far."""
    x = given.x
    return torch.where(_far(given, x), x.clamp(-FAR, FAR), x)


def warn_of_far(given: Given) -> None:
    """Warn where values of a table lie beyond ``FAR``, and name the first of them."""
    cells = _far(given, given.x).nonzero().tolist()
    if cells:
        columns = given.codec.columns
        named = [f"{_value(given.part, i, j)} in row {_row(given, i)} of column {columns[j].name!r}" for i, j in cells[:_NAMED]]
        more = f" and {len(cells) - _NAMED} more" if len(cells) > _NAMED else ""
        warn(
            f"X: {', '.join(named)}{more}: more than {FAR:g} standard deviations from the mean of training, and taken as {FAR:g} "
            "where holes of the same row are filled (is it a code for a missing value?)"
        )


def refuse_unfilled(results: Sequence[Tensor], given: Given) -> None:
    """Raise a ValueError, naming the first cell, where values (N, D) or (M, N, D) for a table's holes are no finite numbers."""
    wrong = torch.stack([~result.isfinite().reshape(-1, *given.mask.shape).all(0) for result in results]).any(0)
    cells = (wrong & torch.from_numpy(given.missing)).nonzero().tolist()
    if cells:
        i, j = cells[0]
        raise ValueError(
            f"X: column {given.codec.columns[j].name!r}: the model gives no finite value for row {_row(given, i)} ({len(cells)} such "
            "cells), expected observed values nearer to those of training"
        )


def _far(given: Given, x: Tensor) -> Tensor:
    far = x.abs() > FAR
    if not bool(far.any()):
        return far
    by_distance = [column.may_be_far(given.values[:, j]) for j, column in enumerate(given.codec.columns)]
    return far & torch.from_numpy(np.stack(by_distance, 1))


def _row(given: Given, i: int) -> Hashable:
    return i if given.labels is None else given.labels[i]


def _value(table: DataFrame | np.ndarray, i: int, j: int) -> str:
    value = table.iloc[i, j] if is_frame(table) else table[i, j]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
