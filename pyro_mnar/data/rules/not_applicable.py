"""Values that do not exist, such as pregnancies of men: which cells these are, and a table in which they are neither seen nor missing.

    "sex == 'male'"      a condition, in the grammar of rules: where it is true of what is observed, the cell does not exist
    -8, [-8, "n/a"]      codes that stand for it in the column itself

A cell whose condition cannot be told, a column of it being missing in the row, is a hole like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.evidence import is_hole
from pyro_mnar.data.rules.rule_grammar import parsed_rule
from pyro_mnar.data.rules.rules import read_rule
from pyro_mnar.data.schema import is_frame
from pyro_mnar.data.stated_holes import cells_of, punched, stated_cells

if TYPE_CHECKING:
    from pandas import DataFrame, Series


def codes_and_conditions(said: object, names: Sequence[Hashable]) -> tuple[dict[Hashable, list[object]], dict[Hashable, str]]:
    """Return by column the codes, and by column the condition, of a setting.

    Raises:
        TypeError: for what is no mapping, or no text or number.
        ValueError: for an unknown column, or what is no condition.

    Example:
        >>> codes_and_conditions({"a": -8, "b": "c > 1"}, ["a", "b", "c"])
        ({'a': [-8]}, {'b': 'c > 1'})
    """
    if said is None:
        return {}, {}
    if not isinstance(said, Mapping):
        raise TypeError(f"not_applicable: got {said!r:.60}, expected a mapping from columns to conditions or codes")
    codes: dict[Hashable, list[object]] = {}
    conditions: dict[Hashable, str] = {}
    for name, own in said.items():
        if name not in names:
            raise ValueError(f"not_applicable: got unknown column {name!r}, expected some of {', '.join(map(str, names))}")
        if isinstance(own, str):
            if parsed_rule(own, "not_applicable").what == "if":
                raise ValueError(f"not_applicable: got {own!r:.60} for column {name!r}, expected a condition without 'if'")
            conditions[name] = own
            continue
        values = list(own) if isinstance(own, Collection) and not isinstance(own, (bytes, Mapping)) else [own]
        if not values or not all(isinstance(value, (str, int, float, np.number)) and not isinstance(value, bool) for value in values):
            raise TypeError(f"not_applicable: got {own!r:.60} for column {name!r}, expected a condition, a number or a list of codes")
        codes[name] = values
    return codes, conditions


def apart_from(stated: Mapping[Any, list[Any]], codes: Mapping[Hashable, Collection[object]]) -> dict[Any, list[Any]]:
    """Return by column the values that stand for missing ones, without those that are ``codes`` of cells that do not exist.

    Example:
        >>> apart_from({"a": [-8, -9], "b": [-8]}, {"a": [-8]})
        {'a': [-9], 'b': [-8]}
    """
    found = dict(stated)
    for name in codes.keys() & found.keys():
        found[name] = [value for value in found[name] if not stated_cells(np.array([value], object), codes[name])[0]]
    return found


def coded_rows(table: DataFrame | np.ndarray, codes: Mapping[Hashable, Collection[object]]) -> dict[Hashable, np.ndarray]:
    """Return by column in which rows (N,) a code stands, of a DataFrame or an array."""
    found: dict[Hashable, np.ndarray] = {}
    for name, values in codes.items():
        own = cells_of(table[name]) if is_frame(table) else table[:, cast("int", name)]
        found[name] = stated_cells(own, values)
    return found


def absent_rows(
    conditions: Mapping[Hashable, str], columns: Sequence[Column], names: Sequence[Hashable], values: np.ndarray, mask: np.ndarray
) -> dict[Hashable, np.ndarray]:
    """Return by column in which rows (N,) its condition is true of what is observed.

    Args:
        conditions: by column.
        columns: those that are modeled, D.
        names: of all the table's columns.
        values, mask: (N, D) numbers in the table's units, True = observed.

    Raises:
        ValueError: for a condition that names no column, or the column itself.
    """
    found: dict[Hashable, np.ndarray] = {}
    for name, text in conditions.items():
        part = read_rule(text, columns, names, "not_applicable").part
        if name in [columns[j].name for j in part.columns]:
            raise ValueError(f"not_applicable: got {text!r:.60} for column {name!r}, expected a condition on other columns (or a code)")
        found[name] = part.decided(values, mask) > 0
    return found


def without_rows(table: DataFrame | np.ndarray, rows: Mapping[Hashable, np.ndarray]) -> DataFrame | np.ndarray:
    """Return a DataFrame or an array with holes in some rows of its columns.

    Example:
        >>> without_rows(np.array([[1.0, 2.0]]), {1: np.array([True])}).tolist()
        [[1.0, nan]]
    """
    gone = {name: own for name, own in rows.items() if own.any()}
    if not gone:
        return table
    if is_frame(table):
        frame = table.copy(deep=False)
        for name, own in gone.items():
            frame[name] = _alike(punched(table[name], own))
        return frame
    result = table.astype(np.float64 if table.dtype.kind in "biu" else table.dtype if table.dtype.kind == "f" else object)
    for name, own in gone.items():
        result[own, cast("int", name)] = np.nan
    return result


def _alike(series: Series) -> Series:
    """Return objects that are alike, once codes among them are gone, as the numbers or truth values that they are."""
    types = {type(value) for value in series if not is_hole(value)} if series.dtype == object else set()
    dtype = {bool: "boolean", int: "Int64", float: "float64"}.get(*types) if len(types) == 1 else None
    try:
        return series if dtype is None else series.astype(dtype)
    except (OverflowError, TypeError):  # of more digits than 64 bits hold
        return series


def as_they_stood(
    whole: DataFrame | np.ndarray, given: DataFrame | np.ndarray, rows: Mapping[Hashable, np.ndarray], places: Sequence[int]
) -> DataFrame | np.ndarray:
    """Return a completed table with cells that do not exist as they stand in the table that was ``given``.

    Args:
        whole: completed, a DataFrame or an array.
        given: of the same type, with all its columns.
        rows: by column, where such cells are.
        places: of an array, positions in ``given`` of the columns of ``whole``.
    """
    if not any(own.any() for own in rows.values()):
        return whole
    if is_frame(whole) and is_frame(given):
        frame = whole.copy()
        for name, own in ((name, own) for name, own in rows.items() if name in frame):
            empty = np.array([is_hole(value) for value in given[name]], bool)
            at = np.flatnonzero(own & ~empty).tolist()
            if (own & empty & ~frame[name].isna().to_numpy(bool)).any():  # such as in a column that is always the same
                frame[name] = punched(frame[name], own & empty)
            if at and given[name].dtype == object and frame[name].dtype != object:
                filled = np.flatnonzero(empty & ~own).tolist()
                series = given[name].copy()
                series.iloc[filled] = frame[name].astype(object).iloc[filled]
                frame[name] = series
            elif at:
                frame.iloc[at, list(frame.columns).index(name)] = given[name].iloc[at].to_numpy()
        return frame
    result, stood = np.array(whole), np.asarray(given)
    for name, own in rows.items():
        if name in places:
            result[own, list(places).index(cast("int", name))] = stood[own, cast("int", name)]
    return result
