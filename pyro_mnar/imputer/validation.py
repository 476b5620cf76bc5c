"""Tables as ``MNARImputer`` is given them, checked as scikit-learn checks its own, and completed tables of the same type."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data
from torch import Tensor

from pyro_mnar.data.columns import is_hole
from pyro_mnar.data.doubts import constant, doubts, impossible
from pyro_mnar.data.layout import Layout, as_pandas, like
from pyro_mnar.data.masking import join, split
from pyro_mnar.data.schema import Schema, as_array, is_frame


def learn_columns(imputer: Any, X: Any) -> tuple[Layout, Schema, np.ndarray, np.ndarray]:
    """Return what ``fit`` takes from a table: its layout, and schema, values (N, D) and mask (N, D) of the columns with any value.

    Raises:
        ValueError: for a table that cannot be learned from.
    """
    table = as_table(imputer, X, fitting=True)
    names = list(table.columns) if is_frame(table) else list(range(table.shape[1]))
    constants = _constants(table, names, imputer.kinds or {})
    if len(names) and not len(table):
        split(table)  # says so
    varied = [j for j in range(len(names)) if j not in constants]
    if names and not varied:
        # Something must be learned from: constants that are numbers, as any numbers are.
        varied = [j for j, value in constants.items() if not isinstance(value, str)]
        constants = {j: value for j, value in constants.items() if j not in varied}
    if names and not varied:
        raise ValueError("X: got no column that varies, expected at least 1")
    part = _columns(table, names, varied)
    every = Schema.of(part, kinds=_of_positions(imputer.kinds, names, varied, is_frame(table)))
    if not is_frame(table):
        every = Schema(tuple(replace(column, name=varied[k]) for k, column in enumerate(every.columns)))
    if imputer.mechanism in ("linear", "neural"):
        # Their masks read whole rows of numbers; a spike is then part of a column's margin.
        plain = [
            replace(column, kind="continuous", bounds=None)
            if column.kind == "semicontinuous" and column.name not in (imputer.kinds or {})
            else column
            for column in every.columns
        ]
        every = Schema(tuple(plain))
    values, mask = split(part, every, allow_empty=True)
    if len(values) < 2:
        raise ValueError(f"X: got {len(values)} row, expected at least 2 (1 sample cannot be learned from)")
    known = np.flatnonzero(mask.any(0))
    if not len(known):
        raise ValueError("X: got no observed value at all, expected some")
    if len(known) < mask.shape[1] and not imputer.keep_empty_features:
        empty = ", ".join(str(every.columns[j].name) for j in np.flatnonzero(~mask.any(0)))
        warnings.warn(f"X: columns without an observed value are left out: {empty}", UserWarning, stacklevel=5)
    schema = Schema(tuple(every.columns[j] for j in known))
    if is_frame(table):
        _refuse_unwritable(part, schema, values[:, known], mask[:, known])
    said = doubts(schema.columns, values[:, known], mask[:, known], imputer.kinds)
    if said:
        warnings.warn(f"X: {'; '.join(said)}", UserWarning, stacklevel=5)
    at = np.array(varied)[known]
    holed = [int(j) for k, j in zip(known, at, strict=True) if not mask[:, k].all()]
    holed += [j for j in constants if any(is_hole(value) for value in _objects(table, names, j))]
    layout = Layout(
        tuple(names),
        tuple(at.tolist()),
        tuple(sorted(holed)),
        bool(imputer.keep_empty_features),
        bool(imputer.add_indicator),
        tuple(constants.items()),
    )
    return layout, schema, values[:, known], mask[:, known]


def _constants(table: Any, names: list[Any], kinds: Mapping[Any, str]) -> dict[int, Any]:
    """Return, by position, the value of columns whose observed values are all alike; those of a declared kind are none."""
    found = {}
    for j, name in enumerate(names):
        alike, value = constant(_objects(table, names, j)) if name not in kinds else (False, None)
        if alike:
            found[j] = value
    return found


def _objects(table: Any, names: list[Any], j: int) -> Any:
    if not is_frame(table):
        return table[:, j]
    if names.count(names[j]) > 1:  # refused by name later
        return []
    return table[names[j]].to_numpy(dtype=object, na_value=None)


def _columns(table: Any, names: list[Any], chosen: list[int]) -> Any:
    if len(chosen) == len(names):
        return table
    return table[[names[j] for j in chosen]] if is_frame(table) else table[:, chosen]


def _of_positions(kinds: Any, names: list[Any], chosen: list[int], frame: bool) -> Any:
    """Return ``kinds`` as the part of the table has its columns: by name, or by position in the part."""
    if frame or not kinds:
        return kinds
    unknown = [name for name in kinds if name not in names]
    if unknown:
        raise ValueError(f"kinds: got unknown column {unknown[0]!r}, expected some of {', '.join(map(str, names))}")
    return {chosen.index(j): word for j, word in kinds.items()}


def _refuse_unwritable(table: Any, schema: Schema, values: np.ndarray, mask: np.ndarray) -> None:
    """Raise a ValueError, before anything is fitted, where a column's dtype does not take what it would be filled with."""
    for j, column in enumerate(schema.columns):
        if mask[:, j].all():
            continue
        rows = np.r_[np.flatnonzero(mask[:, j])[:1], np.flatnonzero(~mask[:, j])[:1]]
        own = table[[column.name]].iloc[rows]
        try:
            join(own, values[rows[[0, 0]]][:, [j]], mask[rows][:, [j]], Schema((column,)))
        except Exception as error:  # whatever an extension's array raises
            raise ValueError(
                f"column {column.name!r}: got dtype {own[column.name].dtype}, whose holes cannot be filled "
                f"({(str(error).splitlines() or [type(error).__name__])[0]}), expected another dtype"
            ) from None


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
    values, mask = split(part, imputer.schema_, allow_empty=True)
    tables, filled = [], []
    for result in results:
        joined = join(part, result.numpy(), mask, imputer.schema_)
        tables.append(layout.whole(table, joined, mask))
        filled.append(split(joined, imputer.schema_, allow_empty=True)[0])
    said = impossible(imputer.schema_.columns, values, mask, np.stack(filled))
    if said:
        warnings.warn(f"X: {'; '.join(said)}", UserWarning, stacklevel=3)
    given = as_pandas(X)
    if is_frame(given) and list(given.columns) != list(table.columns):
        tables = [whole.rename(columns=dict(zip(table.columns, given.columns, strict=True))) for whole in tables]
    return [like(X, whole) for whole in tables]
