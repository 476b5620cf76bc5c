"""The table of kinds, and which of them a column is: as a word declares, or as what was seen says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from pyro_mnar.data.kinds.column import Column, Evidence, is_hole
from pyro_mnar.data.kinds.dates import Date
from pyro_mnar.data.kinds.levels import Binary, Categorical, Ordinal, distinct
from pyro_mnar.data.kinds.numbers import Bounded, Continuous, Count, Positive
from pyro_mnar.data.kinds.semicontinuous import Semicontinuous

#: By the word that declares it. A column is inferred to be of the last kind that takes it.
KINDS: dict[str, type[Column]] = {
    kind.kind: kind for kind in (Continuous, Positive, Bounded, Semicontinuous, Count, Binary, Categorical, Ordinal, Date)
}


def kind_of(word: str, name: Any, argument: str = "kind") -> type[Column]:
    """Return the class of a kind.

    Raises:
        ValueError: naming the column, for an unknown word.
    """
    if word not in KINDS:
        raise ValueError(f"{argument}: got {word!r} for column {name!r}, expected one of {', '.join(KINDS)}")
    return KINDS[word]


def declared(name: Any, word: Any, dtype: str, values: np.ndarray, order: Sequence[Any] | None = None) -> Column:
    """Return the column that ``word`` declares.

    Args:
        name: the column's.
        word: a kind, or what its ``form`` is.
        dtype: the name of its dtype.
        values: (N,) objects or numbers, for levels to be read from.
        order: levels in their order, where the dtype has one.

    Raises:
        ValueError: for an unknown word, or values that are none of the kind.
    """
    if not isinstance(word, str):
        raise ValueError(f"kinds: got {word!r} for column {name!r}, expected a word, one of {', '.join(KINDS)}")
    kind, *rest = word.split(":")
    if kind not in KINDS:
        raise ValueError(f"kinds: got {word!r} for column {name!r}, expected one of {', '.join(KINDS)}")
    return KINDS[kind].declare(name, dtype, rest, values, order)


def infer(seen: Evidence) -> Column | None:
    """Return the column that what was seen says it is, or None where that is no kind."""
    for kind in reversed(KINDS.values()):
        column = kind.infer(seen)
        if column is not None:
            return column
    return None


def evidence_of_array(values: np.ndarray, position: int) -> Evidence:
    """Return what an array's column (N,) is inferred from."""
    return Evidence(position, str(values.dtype), "array", [], values.astype(np.float64) if values.dtype.kind in "iuf" else None)


def evidence_of(series: Any) -> Evidence:
    """Return what a pandas Series' kind is inferred from."""
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_datetime64_any_dtype, is_numeric_dtype

    name, dtype = series.name, str(series.dtype)
    if isinstance(name, np.integer):
        name = int(name)
    if is_bool_dtype(series.dtype):
        return Evidence(name, dtype, "truth", [], None)
    if dtype == "category":
        there = series.cat.codes[series.notna()].unique()
        levels = distinct((level for k, level in enumerate(series.cat.categories) if k in there), name)
        return Evidence(name, dtype, "ordered" if series.cat.ordered else "categories", levels, None)
    if is_datetime64_any_dtype(series.dtype) or dtype.startswith(("date32", "date64")):
        return Evidence(name, dtype, "dates", [], None)
    if is_complex_dtype(series.dtype):
        return Evidence(name, dtype, "other", [], None)
    if is_numeric_dtype(series.dtype):
        return Evidence(name, dtype, "numbers", [], series.dropna().to_numpy(dtype=np.float64))
    values = [value for value in series.to_numpy(dtype=object, na_value=np.nan) if not is_hole(value)]
    plain = (int, float, np.integer, np.floating, Decimal)
    if values and all(isinstance(value, plain) and not isinstance(value, bool) for value in values):
        return Evidence(name, dtype, "objects", values, np.array([float(value) for value in values]))
    if values and all(isinstance(value, date) for value in values):
        return Evidence(name, dtype, "dates", values, None)
    return Evidence(name, dtype, "objects", values, None)
