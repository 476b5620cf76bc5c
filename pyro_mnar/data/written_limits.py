"""Limits that stand in the cells themselves, where a value would: ``<0.5``, ``>=100``, ``[2, 5)``, ``10-20``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyro_mnar.data.kinds.evidence import is_hole

if TYPE_CHECKING:
    from pandas import Series

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_ONE = re.compile(rf"(<=|>=|<|>|≤|≥)\s*({_NUMBER})")
_PAIR = re.compile(rf"([\[(\]])\s*({_NUMBER})\s*(?:,|;|\.\.)\s*({_NUMBER})\s*([\])\[])")
_SPAN = re.compile(rf"({_NUMBER})\s*(?:-|–|\.\.)\s*({_NUMBER})")


class Ends(NamedTuple):
    """Limits: ``low`` and ``high``, NaN where there is none, and whether a value at either is impossible; numbers, or arrays (N,)."""

    low: Any
    high: Any
    above: bool | np.ndarray = False
    below: bool | np.ndarray = False


def limits_in(text: str) -> Ends | None:
    """Return the limits that a cell's text says, or None where it is none.

    Example:
        >>> limits_in("< 0.5"), limits_in("[2,5)"), limits_in("0.5")
        (Ends(low=nan, high=0.5, above=False, below=True), Ends(low=2.0, high=5.0, above=False, below=True), None)
    """
    text = text.strip()
    if found := _ONE.fullmatch(text):
        sign, number = found[1], float(found[2])
        strict = sign in "<>"
        return Ends(np.nan, number, False, strict) if sign[0] in "<≤" else Ends(number, np.nan, strict, False)
    if found := _PAIR.fullmatch(text):
        return Ends(float(found[2]), float(found[3]), found[1] != "[", found[4] != "]")
    if found := _SPAN.fullmatch(text):
        return Ends(float(found[1]), float(found[2]))
    return None


def split_written(series: Series) -> tuple[Series, Ends]:
    """Return a pandas Series (N,) of numbers and texts as numbers with holes, and the limits that its texts say, (N,) each.

    Raises:
        ValueError: naming the row of a text that is neither number nor limits.

    Example:
        >>> import pandas as pd
        >>> numbers, ends = split_written(pd.Series([1.5, "<0.5", None, "2"]))
        >>> numbers.tolist(), ends.high.tolist()
        ([1.5, nan, nan, 2.0], [nan, 0.5, nan, nan])
    """
    import pandas as pd

    size = len(series)
    ends = Ends(np.full(size, np.nan), np.full(size, np.nan), np.zeros(size, bool), np.zeros(size, bool))
    values = np.full(size, np.nan)
    for i, (label, value) in enumerate(series.items()):
        if is_hole(value):
            continue
        if isinstance(value, str):
            found = limits_in(value)
            if found is not None:
                for whole, part in zip(ends, found, strict=True):
                    whole[i] = part
                continue
        try:
            values[i] = float(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"column {series.name!r}: got {value!r} in row {label}, expected a number, or limits such as <0.5, [2,5) or 10-20"
            ) from None
    whole = values[~np.isnan(values)]
    numbers = pd.Series(values, series.index, name=series.name)
    return (numbers.astype("Int64") if len(whole) and (whole == np.rint(whole)).all() and _are_whole(series) else numbers), ends


def is_limit(value: object) -> bool:
    """Return whether a cell holds limits."""
    return isinstance(value, str) and limits_in(value) is not None


def refuse_limits(series: Series) -> None:
    """Raise a ValueError, naming the row, for limits in a pandas Series of which none are declared."""
    for label, value in series.items():
        if is_limit(value):
            name = series.name
            raise ValueError(
                f"column {name!r}: got {value!r} in row {label}, expected numbers (if it is a limit: limits={{{name!r}: 'cells'}}, on "
                f"the command line --limit {name!r})"
            )


def _are_whole(series: Series) -> bool:
    """Return whether numbers are written as whole ones."""
    numbers = [value for value in series if not is_hole(value) and not is_limit(value)]
    return all(not isinstance(value, float) and "." not in str(value) for value in numbers)
