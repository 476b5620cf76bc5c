r"""Weighted draws of each row's missing cells, from which completed tables are drawn again when their law is tilted.

Weights exp h of K draws, normalized by their own sum, pull a tilt towards none: by about 1 / n of it, with

    n = 1 / sum of squared normalized weights

the *effective number* of draws (Kong, Liu and Wong 1994, "Sequential imputations and Bayesian missing data problems", JASA 89), at
most K. With five draws a tilt is a fifth short before it has begun; a normal law tilted by one standard deviation keeps K / e of them.
So draws are weighed in hundreds, and some tables' worth of them taken by weight. The weights of one tilt after another multiply: each
starts from the same draws, and none loses what the last one did not take.

Draws of one *group* were made with the same parameters (a member of an ensemble). Weights are normalized, row by row, within a group:
what is observed stays as it was fitted under a tilt, so the parameters keep the probabilities that they had, and rows, which are
independent only given the parameters, keep theirs. Weights over all groups together would give each row parameters of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pyro_mnar.data.schema import is_frame

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from pandas.api.extensions import ExtensionArray

# Weights handled at once.
_AT_ONCE = 2_000_000


def is_missing(values: Series | np.ndarray) -> Series | np.ndarray:
    """Return where ``values``, a Series or an array, have holes."""
    return values.isna() if hasattr(values, "isna") else np.isnan(np.asarray(values, float))


@dataclass(frozen=True)
class Candidates:
    """P weighted draws of the missing cells of a table with N rows.

    Args:
        template: one completed table, or some of its columns; its missing cells are written over.
        holes: column -> (H,) the rows where it is missing, ascending; no entry for complete columns.
        cells: column -> (P * H,) their draws, draw by draw, in the column's own type.
        groups: (P,) str, the group of each draw.
        log_weights: (P, N) up to a constant for each row and group.

    Example:
        >>> cells, groups = {0: np.array([4.0, 5.0])}, np.array(["", ""])
        >>> drawn = Candidates(np.array([[1.0], [0.0]]), {0: np.array([1])}, cells, groups, np.zeros((2, 2)))
        >>> [float(table[1, 0]) for table in drawn.weighted(np.array([[0, 0], [0, -99]])).tables(["", ""])]
        [4.0, 4.0]
    """

    template: DataFrame | np.ndarray
    holes: Mapping[Any, np.ndarray]
    cells: Mapping[Any, ExtensionArray | np.ndarray]
    groups: np.ndarray
    log_weights: np.ndarray

    @classmethod
    def of(cls, table: DataFrame | np.ndarray, tables: Sequence[DataFrame | np.ndarray], groups: np.ndarray) -> Self:
        """Return the missing cells of ``table`` in M completed ``tables``, all of the same weight."""
        names = list(table.columns) if is_frame(table) else list(range(np.shape(table)[1]))
        holes = {name: np.flatnonzero(np.asarray(is_missing(column_of(table, name)))) for name in names}
        holes = {name: rows for name, rows in holes.items() if len(rows)}
        cells = {name: joined([column_of(t, name) for t in tables], rows) for name, rows in holes.items()}
        return cls(tables[0], holes, cells, groups, np.zeros((len(tables), len(table))))

    def column(self, name: Hashable) -> Series | np.ndarray:
        """Return the draws of column ``name``, (P * H,), as a Series where the table is a DataFrame."""
        if not is_frame(self.template):
            return self.cells[name]
        import pandas as pd

        return pd.Series(self.cells[name])

    def weighted(self, log_weights: np.ndarray) -> Self:
        """Return the same draws with ``log_weights`` (P, N) added."""
        return replace(self, log_weights=self.log_weights + log_weights)

    def effective(self, groups: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return each row's effective number of draws of a group, (N,): over the ``groups`` of M tables, the harmonic mean."""
        rate = np.zeros(self.log_weights.shape[1])
        for group, count in zip(*np.unique(groups, return_counts=True), strict=True):
            own = np.flatnonzero(self.groups == group)
            for rows in self._rows(len(own)):
                rate[rows] += count / len(groups) * (self._weights(own, rows) ** 2).sum(0)
        return 1 / rate

    def tables(self, groups: Sequence[str] | np.ndarray) -> list[DataFrame | np.ndarray]:
        """Return M completed tables, of draws of each of ``groups`` (M,), as they are :meth:`taken`."""
        return [self.filled(row) for row in self.taken(groups)]

    def taken(self, groups: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return which draws (M, N) the rows of M tables are taken from, of each of ``groups`` (M,).

        The j-th of a group's m is taken from the j-th m-th of the weights' cumulative sum, each row at a place of its own within it,
        spread evenly over rows. So as many tables as draws, of equal weights, are the draws; small changes of the weights change few
        cells, and a path over tilts is smooth; over rows each draw is taken as often as its weight says.
        """
        size, n = len(groups), self.log_weights.shape[1]
        within = ((np.arange(n) + 0.5) * 0.6180339887498949 % 1).clip(1e-6, 1 - 1e-6)  # the golden ratio's: evenly spread for any N
        index = np.zeros((size, n), int)
        for group in np.unique(groups):
            own, places = np.flatnonzero(self.groups == group), np.flatnonzero(np.asarray(groups) == group)
            for rows in self._rows(len(own)):
                # All rows in one search: the i-th row's cumulative sums live on [i, i + 1].
                start = np.arange(len(rows))
                ends = np.cumsum(self._weights(own, rows), 0).clip(max=1)
                ends[-1] = 1
                points = start + (np.arange(len(places))[:, None] + within[rows]) / len(places)
                found = np.searchsorted((ends + start).T.ravel(), points.T.ravel()).reshape(len(rows), -1) - start[:, None] * len(own)
                index[np.ix_(places, rows)] = own[found.T]
        return index

    def _rows(self, draws: int) -> list[np.ndarray]:
        n = self.log_weights.shape[1]
        return np.array_split(np.arange(n), max(1, -(-draws * n // _AT_ONCE)))

    def _weights(self, own: np.ndarray, rows: np.ndarray) -> np.ndarray:
        log_w = self.log_weights[np.ix_(own, rows)]
        weights = np.exp(log_w - log_w.max(0))
        return weights / weights.sum(0)

    def filled(self, index: np.ndarray) -> DataFrame | np.ndarray:
        """Return the table whose missing cells of each row are those of the draw at ``index`` (N,)."""
        table = self.template.copy()
        for name in [name for name in self.holes if not is_frame(table) or name in table]:
            rows = self.holes[name]
            values = self.cells[name].take(index[rows] * len(rows) + np.arange(len(rows)))
            if is_frame(table):
                # Through the column's own type, so that categories and nullable numbers stay what they are.
                series = table[name].copy()
                series.iloc[rows] = values
                table[name] = series
            else:
                table[rows, name] = values
        return table


def column_of(table: DataFrame | np.ndarray, name: Any) -> Series | np.ndarray:
    """Return the column ``name`` of a DataFrame, or the column at that place of an array; a ValueError where there is none."""
    names = list(table.columns) if is_frame(table) else list(range(np.shape(table)[1]))
    if name not in names:
        raise ValueError(f"column: got unknown {name!r}, expected one of {', '.join(map(str, names))}")
    return table[name] if is_frame(table) else np.asarray(table)[:, name]


def joined(columns: Sequence[Series | np.ndarray], rows: np.ndarray) -> ExtensionArray | np.ndarray:
    """Return the cells at ``rows`` of several such columns, one column after another, in their own type."""
    parts = [column.iloc[rows].array if hasattr(column, "iloc") else np.asarray(column, float)[rows] for column in columns]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import pandas as pd

    return pd.concat([pd.Series(part) for part in parts]).array
