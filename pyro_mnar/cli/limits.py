"""Limits of missing values on the command line: ``--limit``, and cells that say them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.files.source import Source
from pyro_mnar.data.stated_holes import stated_cells
from pyro_mnar.data.texts import number_in
from pyro_mnar.data.written_limits import is_limit, limits_in

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_FORMS = "COLUMN<END (or <=, >, >=), COLUMN:LOW..HIGH, or COLUMN alone, whose cells say it"


def limits_asked(words: Sequence[str] | None, names: Sequence[str], decimal: str = ".") -> dict[str, object]:
    """Return by column what ``--limit`` says, as :class:`~pyro_mnar.imputer.MNARImputer` takes it.

    Args:
        words: as they stand on the command line.
        names: of the table's columns; of two that fit the longer one is meant.
        decimal: the decimal mark of numbers.

    Raises:
        ValueError: for a word of another form, an unknown column, or one that is said twice.

    Example:
        >>> limits_asked(["lead<0.5", "age:low..high", "dose"], ["lead", "age", "low", "high", "dose"])
        {'lead': ('<', 0.5), 'age': ('low', 'high'), 'dose': 'cells'}
    """
    found: dict[str, object] = {}
    for word in words or []:
        column = max((name for name in names if word.startswith(name) and _follows(word[len(name) :])), key=len, default=None)
        if column is None:
            raise ValueError(f"--limit: got {word!r}, expected {_FORMS}, with one of the columns {', '.join(names)}")
        if column in found:
            raise ValueError(f"--limit: got two for column {column!r}, expected one (from one to the other: COLUMN:LOW..HIGH)")
        found[column] = _said(word[len(column) :], names, decimal)
        if found[column] is None:
            raise ValueError(f"--limit: got {word!r}, expected {_FORMS}")
    return found


def _follows(rest: str) -> bool:
    return not rest or rest[0] in "<>:"


def _said(rest: str, names: Sequence[str], decimal: str) -> object:
    if not rest:
        return "cells"
    if rest[0] == ":":
        # Where a name has two dots itself, the place that leaves most columns.
        pairs = [(rest[1:i], rest[i + 2 :]) for i in range(1, len(rest)) if rest.startswith("..", i)]
        pairs = [pair for pair in pairs if all(pair)]
        if not pairs:
            return None
        low, high = max(pairs, key=lambda pair: sum(end in names for end in pair))
        return _end(low, names, decimal), _end(high, names, decimal)
    sign = rest[:2] if rest[1:2] == "=" else rest[0]
    return (sign, _end(rest[len(sign) :], names, decimal)) if len(rest) > len(sign) else None


def _end(text: str, names: Sequence[str], decimal: str) -> object:
    if text in names:
        return text
    try:
        return float(text if "." in text else text.replace(decimal, "."))
    except ValueError:
        return text  # a date, a level, largest, smallest, or refused when the column is known


def frame_with_limits(
    source: Source,
    names: Sequence[str],
    missing: Mapping[str, Collection[str]],
    levels: Mapping[str, Collection[str]],
    cells: Collection[str],
    codes: Mapping[str, Collection[object]] | None = None,
) -> DataFrame:
    """Return some columns of a file, those of ``cells`` as numbers and the texts of their limits, with a decimal point.

    Cells that hold one of a column's ``codes``, of values that do not exist, are no holes and leave the others what they are.
    """
    own: dict[str, dict[str, object]] = {}
    for name in cells if source.arrow is None else ():
        own[name] = {text: _pointed(text, source) for text in source.cells[name] if limits_in(_pointed(text, source)) is not None}
        own[name] = {text: value for text, value in own[name].items() if text not in missing.get(name, ())}
    for name in codes or () if source.arrow is None else ():
        if name in names:
            own[name] = own.get(name, {}) | _coded(source, name, (codes or {})[name])
    frame = source.frame(names, {name: [*missing.get(name, ()), *own.get(name, ())] for name in names}, levels)
    for name, values in own.items():
        at = [i for i, text in enumerate(source.cells[name]) if text in values]
        frame[name] = _with_values(frame[name], at, [values[source.cells[name][i]] for i in at])
        for text in values:
            del source.read_as_missing[name][text]
    return frame


def _pointed(text: str, source: Source) -> str:
    return text if source.decimal == "." else text.replace(source.decimal, ".")


def _coded(source: Source, name: str, codes: Collection[object]) -> dict[str, object]:
    """Return a column's texts that are among ``codes``, each with the number that it is, or itself."""
    texts = list(dict.fromkeys(source.cells[name]))
    found = stated_cells(np.array(texts, object), codes) | stated_cells(
        np.array([_pointed(text, source) for text in texts], object), codes
    )
    numbers = [number_in(text, source.decimal) for text in texts]
    return {text: text if number is None else number for text, number, own in zip(texts, numbers, found, strict=True) if own}


def _with_values(series: Series, at: list[int], values: list[object]) -> Series:
    """Return a column with ``values`` at places, as numbers where all are numbers, else as objects."""
    if not at:
        return series
    plain = series.dtype.kind in "iuf" and not any(isinstance(value, str) for value in values)
    if plain and any(not isinstance(value, int) or abs(value) >= 2**63 for value in values):
        series = series.astype("float64")
    series = series.copy() if plain else series.astype(object)
    series.iloc[at] = values
    return series


def holes_of(part: DataFrame, cells: Collection[str], aside: Collection[str]) -> DataFrame:
    """Return which cells are to be imputed: holes, and limits in the columns ``cells``, but none of columns that are set aside."""
    holes = part.isna()
    for name in cells:
        holes[name] = holes[name] | np.array([is_limit(value) for value in part[name]], bool)
    for name in aside:
        holes[name] = False
    return holes
