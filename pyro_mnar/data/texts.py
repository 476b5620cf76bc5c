"""Columns of text as they stand in a file, read as numbers, truth values or text; and which words were read as holes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pandas import Series

#: Words that stand for a missing value, as pandas has them; whatever a declared level says is none.
HOLES = frozenset(
    [
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ],
)
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|infinity)", re.IGNORECASE | re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_TRUTH = {word: value for value in (True, False) for word in (str(value), str(value).upper(), str(value).lower())}
_SHORT = 12
#: Other text among numbers is a mistake of the file, unless there are more different ones than this: then the column is one of text.
_STRAY = 10


class StrayTextError(ValueError):
    """A text among numbers: its ``row``, from 0."""

    def __init__(self, row: int, text: str) -> None:
        super().__init__(text)
        self.row, self.text = row, text


def as_series(
    name: Hashable, cells: Sequence[str], *, missing: Collection[str] = (), levels: Collection[str] = (), decimal: str = "."
) -> tuple[Series, Counter[str]]:
    """Return a column's cells as a pandas Series, and how often each word was read as a hole.

    Whole numbers are int64, or Int64 where there are holes; truth values bool or boolean; numbers float64, each exactly that of its
    text; everything else is text.

    Args:
        name: the column's.
        cells: texts.
        missing: further words that stand for a missing value; a number does so however it is written.
        levels: words that do not, being declared levels; unless all are numbers, cells are text.
        decimal: the decimal mark.

    Raises:
        StrayTextError: for text among numbers.

    Example:
        >>> series, found = as_series("n", ["1", "", "NA", "4"])
        >>> series.dtype.name, dict(found)
        ('Int64', {'': 1, 'NA': 1})
    """
    import pandas as pd

    words = (HOLES | {word.strip() for word in missing}) - set(levels)
    numbers = {number_in(word) for word in missing} - {number_in(level) for level in levels} - {None}
    # A level that is a text makes all of them texts.
    textual = any(number_in(level) is None for level in levels)

    def is_hole(cell: str) -> bool:
        word = cell.strip()
        return not word or word in words or (bool(numbers) and number_in(word, decimal) in numbers)

    hole = np.fromiter((is_hole(cell) for cell in cells), bool, len(cells))
    found = Counter(cell for cell, gone in zip(cells, hole, strict=True) if gone)
    seen = np.flatnonzero(~hole)
    if not len(seen):
        return pd.Series(np.full(len(cells), np.nan), name=name), found
    texts = [cells[i] for i in seen.tolist()]
    pointed = texts if decimal == "." else [text if "." in text else text.replace(decimal, ".") for text in texts]
    stripped = [text.strip() for text in pointed]
    stray = [k for k, text in enumerate(stripped) if not _NUMBER.fullmatch(text)]
    if not stray and not textual:
        return _numbers(name, stripped, seen, len(cells)), found
    if all(text.strip() in _TRUTH for text in texts) and not textual:
        flags = pd.array([None] * len(cells), dtype="boolean")
        flags[seen] = [_TRUTH[text.strip()] for text in texts]
        return pd.Series(flags, name=name).astype("boolean" if hole.any() else "bool"), found
    few = len({texts[k] for k in stray}) <= _STRAY
    if stray and len(stray) < 0.5 * len(texts) and few and not textual:
        raise StrayTextError(int(seen[stray[0]]), texts[stray[0]])
    values = np.full(len(cells), np.nan, dtype=object)
    values[seen] = texts
    return pd.Series(values, name=name, dtype=object), found


def _numbers(name: Hashable, texts: list[str], places: np.ndarray, size: int) -> Series | None:
    import pandas as pd

    if all(_WHOLE.fullmatch(text) for text in texts):
        # Longer ones would be refused by Python before they overflow.
        whole = [int(text) if len(text) < 25 else 2**70 for text in texts]
        if all(-(2**63) <= number < 2**63 for number in whole):
            column = pd.array([None] * size, dtype="Int64")
            column[places] = np.array(whole, np.int64)
            return pd.Series(column, name=name).astype("int64" if len(texts) == size else "Int64")
    values = np.full(size, np.nan)
    values[places] = [float(text) for text in texts]
    return pd.Series(values, name=name)


def spelled(cells: Sequence[str], values: Collection[object], decimal: str = ".") -> dict[object, str]:
    """Return how truth values and short numbers among ``values`` are written in ``cells``, each as it first is: levels, above all.

    Example:
        >>> spelled(["", "TRUE", "FALSE"], [True]), spelled(["01", "2,0"], [2, 1, 3], ",")
        ({True: 'TRUE'}, {1: '01', 2.0: '2,0'})
    """
    truth = any(isinstance(value, (bool, np.bool_)) for value in values)
    # Others, such as means, stand in no cell.
    wanted = {value for value in values if isinstance(value, (bool, int, float, np.generic)) and len(str(value)) <= _SHORT}
    found: dict[object, str] = {}
    for cell in dict.fromkeys(cells) if wanted else ():
        word = cell.strip()
        value = _TRUTH.get(word) if truth else number_in(word, decimal)
        if value in wanted:
            found.setdefault(value, word)
    return found


def written(value: object, decimal: str = ".") -> str:
    """Return a filled value as a cell of text: the shortest decimals that are exactly it.

    Example:
        >>> written(0.5, ","), written(3), written(True)
        ('0,5', '3', 'True')
    """
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value)).replace(".", decimal)
    # A date of its own dtype has a time, which a whole day shall not show.
    return str(value).removesuffix(" 00:00:00") if isinstance(value, datetime) else str(value)


def escaped(cell: str, decimal: str = ".") -> str:
    """Return a cell with ``'`` before it where a spreadsheet would take it for a formula, numbers as they are.

    The marks are those of the OWASP page on CSV injection.

    Example:
        >>> escaped("=1+1"), escaped("-7.5"), escaped("a=b")
        ("'=1+1", '-7.5', 'a=b')
    """
    return f"'{cell}" if cell.startswith(_FORMULA) and number_in(cell, decimal) is None else cell


def number_in(text: str, decimal: str = ".") -> int | float | None:
    """Return the number that a text is, a whole one exactly, or None where it is none.

    Example:
        >>> number_in(" -99 "), number_in("-99,0", ","), number_in("x")
        (-99, -99.0, None)
    """
    stripped = text.strip()
    if decimal != "." and "." not in stripped:
        stripped = stripped.replace(decimal, ".")
    if not _NUMBER.fullmatch(stripped):
        return None
    return int(stripped) if _WHOLE.fullmatch(stripped) and len(stripped) < 25 else float(stripped)
