"""Terms of a regression: columns, their logarithms, factors and single levels, as they are written and as numbers.

    NAME            a column of numbers, or of ordered levels, which count by their places from 1
    log(NAME)       its natural logarithm
    C(NAME)         a factor: 1 for each level but the first
    NAME:LEVEL      1 where the column has that level, and 0 elsewhere

A column whose own name looks like one of these is that column.
"""

from __future__ import annotations

import csv
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.kinds.evidence import is_hole
from pyro_mnar.data.names import place

if TYPE_CHECKING:
    from pandas import DataFrame, Series

FORMS = "NAME, log(NAME), C(NAME) or NAME:LEVEL"


@dataclass(frozen=True)
class Term:
    """One term: the ``name`` of its column, ``how`` it is read (``""``, ``log``, ``C``), and the ``level`` that is meant, or None.

    Example:
        >>> str(Term("income", "log")), str(Term("town", level="north"))
        ('log(income)', 'town:north')
    """

    name: Hashable
    how: str = ""
    level: str | None = None

    def __str__(self) -> str:
        if self.level is not None:
            return f"{self.name}:{self.level}"
        return f"{self.how}({self.name})" if self.how else str(self.name)

    def numbers(self, frame: DataFrame, levels: Mapping[str, Sequence[object]]) -> np.ndarray:
        """Return the term as numbers (N, P); P is 1 but for a factor.

        Args:
            frame: complete.
            levels: of columns of levels, in their order; of other factors the values in ascending order.

        Raises:
            ValueError: for the logarithm of a number that is not above 0, or a level that no row has.
        """
        if str(self) in frame.columns and str(self) != self.name:
            return Term(str(self)).numbers(frame, levels)
        series, own = frame[self.name], levels.get(str(self.name))
        if self.level is not None:
            return _unless_hole(series, [[float(_is(value, self.level))] for value in series.tolist()])
        if self.how == "C":
            there = {value for value in series.tolist() if not is_hole(value)}
            known = sorted(there, key=lambda value: (str(type(value)), value)) if own is None else list(own)
            return _unless_hole(series, [[float(value == level) for level in known[1:]] for value in series.tolist()])
        numbers = _places(series, own)
        if self.how == "log":
            if (numbers <= 0).any():
                way = f"(declare {self.name} positive, and move it by a factor)"
                raise ValueError(f"{self}: got {numbers[numbers <= 0][0]:g}, expected numbers above 0 {way}")
            numbers = np.log(numbers)
        return numbers[:, None]


def term_in(word: str, names: Sequence[Hashable]) -> Term | None:
    """Return the term that ``word`` is, or None.

    Example:
        >>> term_in("C(town)", ["town"]), term_in("a:b:x", ["a:b"]), term_in("z", ["a"])
        (Term(name='town', how='C', level=None), Term(name='a:b', how='', level='x'), None)
    """
    known = {str(name): name for name in names}
    word = word if word in known else word.strip()
    if word in known:
        return Term(known[word])
    for how in ("log", "C"):
        if word.startswith(f"{how}(") and word.endswith(")") and word[len(how) + 1 : -1] in known:
            return Term(known[word[len(how) + 1 : -1]], how)
    name, level = place(word, names, ":")
    return Term(known[name], level=level) if name in known and level else None


def terms_in(words: str, names: Sequence[Hashable]) -> list[Term]:
    """Return the terms of a list with commas; names with commas as they are, or in quotes.

    Raises:
        ValueError: for what is no term of these columns.

    Example:
        >>> [str(term) for term in terms_in("a, b,log(c)", ["a, b", "c"])]
        ['a, b', 'log(c)']
    """
    pieces = next(csv.reader([words], skipinitialspace=True)) if '"' in words else words.split(",")
    found, i = [], 0
    while i < len(pieces):
        whole = ((j, term_in(",".join(pieces[i:j]), names)) for j in range(len(pieces), i, -1))
        i, term = next(((j, term) for j, term in whole if term is not None), (i, None))
        if term is None:
            raise ValueError(f"got unknown column {pieces[i].strip()!r}, expected some of {', '.join(map(str, names))}, as {FORMS}")
        found.append(term)
    return found


def _is(value: object, level: str) -> bool:
    return str(value) == level or (isinstance(value, float) and f"{value:g}" == level)


def _places(series: Series, levels: Sequence[object] | None) -> np.ndarray:
    """Return a column's numbers, or the places of its values among ``levels`` that are no numbers, from 1."""
    if levels is None or not any(isinstance(level, str) for level in levels):
        return series.to_numpy(float, na_value=np.nan)
    at = {level: float(place) for place, level in enumerate(levels, start=1)}
    return np.array([np.nan if is_hole(value) else at[value] for value in series.tolist()])


def _unless_hole(series: Series, rows: list[list[float]]) -> np.ndarray:
    """Return ``rows`` (N, K), NaN where the column has a cell that does not exist."""
    found = np.array(rows, float).reshape(len(series), -1)
    found[[is_hole(value) for value in series.tolist()]] = np.nan
    return found
