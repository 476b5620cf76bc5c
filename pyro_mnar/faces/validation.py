"""Tables as ``MNARImputer`` is given them, checked as scikit-learn checks its own, and completed tables of the same type."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data
from torch import Tensor

from pyro_mnar.tables import Layout, Schema, as_pandas, is_frame, join, like, split
from pyro_mnar.tables.schema import as_array


def learn_columns(imputer: Any, X: Any) -> tuple[Layout, Schema, np.ndarray, np.ndarray]:
    """Return what ``fit`` takes from a table: its layout, and schema, values (N, D) and mask (N, D) of the columns with any value.

    Raises:
        ValueError: for a table that cannot be learned from.
    """
    table = as_table(imputer, X, fitting=True)
    every = Schema.of(table, kinds=imputer.kinds)
    if imputer.mechanism in ("linear", "neural"):
        # Their masks read whole rows of numbers; a spike is then part of a column's margin.
        plain = [
            replace(column, kind="continuous", bounds=None)
            if column.kind == "semicontinuous" and column.name not in (imputer.kinds or {})
            else column
            for column in every.columns
        ]
        every = Schema(tuple(plain))
    values, mask = split(table, every, allow_empty=True)
    if len(values) < 2:
        raise ValueError(f"X: got {len(values)} row, expected at least 2 (1 sample cannot be learned from)")
    known = np.flatnonzero(mask.any(0))
    if not len(known):
        raise ValueError("X: got no observed value at all, expected some")
    if len(known) < mask.shape[1] and not imputer.keep_empty_features:
        empty = ", ".join(str(every.columns[j].name) for j in np.flatnonzero(~mask.any(0)))
        warnings.warn(f"X: columns without an observed value are left out: {empty}", UserWarning, stacklevel=3)
    layout = Layout(
        tuple(column.name for column in every.columns),
        tuple(known.tolist()),
        tuple(known[~mask[:, known].all(0)].tolist()),
        bool(imputer.keep_empty_features),
        bool(imputer.add_indicator),
    )
    return layout, Schema(tuple(every.columns[j] for j in known)), values[:, known], mask[:, known]


def as_table(imputer: Any, X: Any, *, fitting: bool = False) -> Any:
    """Return ``X`` as a pandas DataFrame or an array, with the columns of training unless ``fitting``.

    Raises:
        ValueError, TypeError: in scikit-learn's words, for what is no table, or has other columns.
    """
    table = as_pandas(X)
    if not is_frame(table):
        plain = issparse(table) or type(table) is np.ndarray
        table = check_array(table if plain else as_array(table), dtype=None, ensure_all_finite=False, estimator=imputer)
    validate_data(imputer, table, reset=fitting, skip_check_array=True)
    if not fitting and is_frame(table) and set(table.columns) != set(imputer.layout_.names):
        # Training had no names, or the line above had refused these.
        table = table.set_axis(list(imputer.layout_.names), axis=1)
    return table


def complete(imputer: Any, X: Any, results: Iterable[Tensor]) -> list[Any]:
    """Return completed tables of the type of ``X`` from values (N, D) of the columns that the model knows, in the table's units."""
    table, layout = as_table(imputer, X), imputer.layout_
    part = layout.part(table)
    mask = split(part, imputer.schema_, allow_empty=True)[1]
    wholes = [layout.whole(table, join(part, values.numpy(), mask, imputer.schema_), mask) for values in results]
    given = as_pandas(X)
    if is_frame(given) and list(given.columns) != list(table.columns):
        wholes = [whole.rename(columns=dict(zip(table.columns, given.columns, strict=True))) for whole in wholes]
    return [like(X, whole) for whole in wholes]
