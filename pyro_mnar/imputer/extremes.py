"""Observed values far outside training, and holes for which no finite value comes out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_mnar.data.columns import Column
from pyro_mnar.data.schema import is_frame

#: Standard deviations from the mean of training. A table of up to 900 rows has no value that far from its own mean. Beyond, nothing is
#: known of how the other columns go on, and beyond some ten thousand single precision has no weights for such a row.
FAR = 30.0
_NAMED = 3


def within_reach(x: Tensor, mask: Tensor, table: Any, columns: Sequence[Column]) -> Tensor:
    """Return scaled values (N, D) with those beyond ``FAR`` taken as that far, after a warning that names them.

    Args:
        x: (N, D) scaled columns.
        mask: (N, D) True = observed.
        table: (N, D), where values and names of rows are read from.
        columns: of the table.
    """
    far = ((x.abs() > FAR) & mask).nonzero().tolist()
    if not far:
        return x
    named = [f"{_value(table, i, j)} in row {_row(table, i)} of column {columns[j].name!r}" for i, j in far[:_NAMED]]
    more = f" and {len(far) - _NAMED} more" if len(far) > _NAMED else ""
    warnings.warn(
        f"X: {', '.join(named)}{more}: more than {FAR:g} standard deviations from the mean of training, and taken as {FAR:g} where "
        "holes of the same row are filled (is it a code for a missing value?)",
        UserWarning,
        stacklevel=4,
    )
    return x.clamp(-FAR, FAR)


def refuse_unfilled(results: Sequence[Tensor], mask: Tensor, table: Any, columns: Sequence[Column]) -> None:
    """Raise a ValueError, naming the first cell, where values (N, D) or (M, N, D) for the holes are no finite numbers."""
    wrong = torch.stack([~result.isfinite().reshape(-1, *mask.shape).all(0) for result in results]).any(0)
    cells = (wrong & ~mask).nonzero().tolist()
    if cells:
        i, j = cells[0]
        raise ValueError(
            f"X: column {columns[j].name!r}: the model gives no finite value for row {_row(table, i)} ({len(cells)} such cells), "
            "expected observed values nearer to those of training"
        )


def _row(table: Any, i: int) -> Any:
    return table.index[i] if is_frame(table) else i


def _value(table: Any, i: int, j: int) -> Any:
    value = table.iloc[i, j] if is_frame(table) else table[i, j]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
