"""What a codec learns of a table before its scales: which columns vary, what they are, and whether they can be written."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.data.doubts import constant
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.masking import join
from pyro_mnar.data.schema import Schema, is_frame

if TYPE_CHECKING:
    from pandas import DataFrame

#: Of larger numbers, what a model draws may be beyond double precision.
LARGEST = 1e300


def schema_of(
    part: DataFrame | np.ndarray,
    names: list[Hashable],
    varied: list[int],
    kinds: Mapping[Any, str] | None,
    inferred: Mapping[Hashable, Column] | None,
) -> Schema:
    """Return what the columns of a part of a table are; those of an array are named by their positions in the whole."""
    if is_frame(part):
        return Schema.of(part, kinds=kinds, inferred=inferred)
    unknown = [name for name in kinds or {} if name not in names]
    if unknown:
        raise ValueError(f"kinds: got unknown column {unknown[0]!r}, expected some of {', '.join(map(str, names))}")
    every = Schema.of(part, kinds={varied.index(j): word for j, word in (kinds or {}).items()})
    return Schema(tuple(replace(column, name=varied[k]) for k, column in enumerate(every.columns)))


def constants_of(table: DataFrame | np.ndarray, names: list[Hashable], kinds: Mapping[Hashable, str]) -> dict[int, object]:
    """Return, by position, the value of columns whose observed values are all alike; those of a declared kind are none."""
    found = {}
    for j, name in enumerate(names):
        alike, value = constant(objects_of(table, names, j)) if name not in kinds else (False, None)
        if alike:
            found[j] = value
    return found


def objects_of(table: DataFrame | np.ndarray, names: list[Hashable], j: int) -> Sequence[object] | np.ndarray:
    if not is_frame(table):
        return table[:, j]
    if names.count(names[j]) > 1:  # refused by name later
        return []
    return table[names[j]].to_numpy(dtype=object, na_value=None)


def some_columns(table: DataFrame | np.ndarray, names: list[Hashable], chosen: list[int]) -> DataFrame | np.ndarray:
    if len(chosen) == len(names):
        return table
    return table[[names[j] for j in chosen]] if is_frame(table) else table[:, chosen]


def refuse_beyond(schema: Schema, values: np.ndarray, mask: np.ndarray) -> None:
    """Raise a ValueError for numbers so large that their spread, or what a model draws, is none."""
    for j, column in enumerate(schema.columns):
        seen = values[mask[:, j], j]
        most = np.abs(seen).max(initial=0.0)
        if most > LARGEST and (seen != seen[0]).any():
            raise ValueError(
                f"column {column.name!r}: got {most:.3g}, expected numbers within {LARGEST:g} (divide them by a power of ten)"
            )


def refuse_unwritable(table: DataFrame, schema: Schema, values: np.ndarray, mask: np.ndarray) -> None:
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
