r"""Sensitivity of conclusions to what cannot be tested: completed tables of one fit, moved without refitting.

**Delta adjustment.** Imputed values are shifted or scaled, in one column, in some rows (van Buuren 2018, "Flexible Imputation of
Missing Data", section 3.8; the "delta" of R's rbmi). A pattern-mixture model: missing values differ from what was imputed by a stated
amount.

**Tilts.** Let p(x | o, s) be the law from which a row's missing values x were drawn, given what is observed of it. By Bayes' rule

    p(x | o, missing) / p(x | o, observed)  is proportional to  P(missing | x, o) / P(observed | x, o),

so if what is observed stays as it was fitted and the log odds of being missing gain h(x), the missing values' law becomes

    p'(x | o, s)  proportional to  p(x | o, s) exp h(x):

the exponential tilt of Robins, Rotnitzky and Scharfstein 2000 ("Sensitivity analysis for selection bias and unmeasured confounding in
missing data and causal inference models"; Franks, D'Amour and Feller 2020, "Flexible sensitivity analysis for observational studies
without observable implications", JASA 115). A normal law with variance v tilted by h = delta x is the same law shifted by delta v. No
intercept is needed: constants cancel. Draws are re-weighted by exp h, normalized row by row, and resampled, within each group of them
(:mod:`pyro_mnar.analysis.candidates` says why, and how many it takes).

Re-weighting holds while draws reach where the tilted law lives, and while there are enough of them: a tilt falls short by about one
part in their effective number. Where that is small, draw more, or fit again under the moved assumption.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pyro_mnar.analysis.candidates import Candidates, column_of, is_missing
from pyro_mnar.data.kinds.dates import are_midnights, days_of, times_of
from pyro_mnar.data.row_weights import check_order
from pyro_mnar.data.schema import is_frame

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame, DatetimeIndex, Series

#: Effective draws of a row, in each group, with which a tilt falls short by 2 %: with fewer it should not be trusted.
LEAST_EFFECTIVE = 50


@dataclass(frozen=True)
class Completions:
    """Completed tables of one table with holes. Every method returns new ones; the tables given are not changed.

    Args:
        table: DataFrame or array (N, D) with its holes.
        tables: M completed ones, as ``MNARImputer.sample`` returns them (or any other imputation).
        groups: the names of the parameters that each of the M was drawn with; all alike by default.
        candidates: draws of the same groups from which tilts resample; by default the tables themselves, which then have to be some
            hundred of each group.
        effective: (N,) effective number of draws of a group that each row was tilted with, infinite where no tilt moved it.

    Raises:
        ValueError: for no tables, tables whose shape or columns differ from the table's, or groups of another number.

    Example:
        >>> table = np.array([[1.0, 2.0], [3.0, np.nan]])
        >>> done = Completions(table, [np.array([[1.0, 2.0], [3.0, x]]) for x in (4.0, 5.0)])
        >>> [float(t[1, 1]) for t in done.shift(1, 0.5).tables]
        [4.5, 5.5]
    """

    table: DataFrame | np.ndarray
    tables: Sequence[DataFrame | np.ndarray]
    groups: Sequence[Hashable] | None = None
    candidates: Candidates | None = None
    effective: Any = None

    def __post_init__(self) -> None:
        if not len(self.tables):
            raise ValueError("tables: got none, expected at least 1 completed table")
        for i, table in enumerate(self.tables):
            alike = not is_frame(self.table) or (is_frame(table) and list(table.columns) == list(self.table.columns))
            if np.shape(table) != np.shape(self.table) or not alike:
                raise ValueError(
                    f"tables: got shape {np.shape(table)} in table {i}, expected the shape and columns of the table with holes"
                )
        if self.groups is not None and len(self.groups) != len(self.tables):
            raise ValueError(f"groups: got {len(self.groups)}, expected one for each of {len(self.tables)} tables")
        if self.effective is None:
            object.__setattr__(self, "effective", np.full(len(self.table), np.inf))

    def holes(self, column: Hashable, rows: ArrayLike | None = None) -> np.ndarray:
        """Return (N,) bool: where ``column`` was imputed, of ``rows`` (N,) bool alone where these are given.

        Raises:
            ValueError: for an unknown column, or rows that are not N truth values.
        """
        holes = np.asarray(is_missing(column_of(self.table, column)))
        if rows is None:
            return holes
        check_order("rows", rows, list(self.table.index) if is_frame(self.table) else None)
        chosen = np.asarray(rows)
        if chosen.dtype != bool or chosen.shape != holes.shape:
            raise ValueError(f"rows: got {chosen.dtype} of shape {chosen.shape}, expected bool of shape {holes.shape}")
        return holes & chosen

    def values(self, column: Hashable) -> np.ndarray:
        """Return (M, N), the completed ``column`` as float64; dates in days since 1970."""
        return np.stack([numbers(column_of(table, column), column) for table in self.tables])

    def only(self, columns: Sequence[Hashable]) -> Self:
        """Return some ``columns`` of a DataFrame's tables, which cost less; tilts read all draws. ValueError for unknown ones."""
        names: Any = [name for name in columns if is_frame(self.table) and column_of(self.table, name) is not None]
        if not names:
            raise ValueError(f"columns: got {list(columns)!r:.60}, expected some of a DataFrame")
        drawn = None if self.candidates is None else replace(self.candidates, template=self.candidates.template[names])
        return replace(self, table=self.table[names], tables=[table[names] for table in self.tables], candidates=drawn)

    def shift(self, column: Hashable, delta: float | np.ndarray, rows: ArrayLike | None = None) -> Self:
        """Add ``delta`` to the imputed values of ``column``; a number, or one for each row (N,), or for each table and row (M, N).

        Of dates, days. Tilt first, shift afterwards: of what is shifted only the tables are left to re-weight, not their candidates.
        """
        return self._changed(column, self.values(column) + _finite("delta", delta), rows)

    def scale(self, column: Hashable, factor: float | np.ndarray, rows: ArrayLike | None = None) -> Self:
        """Multiply the imputed values of ``column`` by ``factor``, shaped as in :meth:`shift`."""
        return self._changed(column, self.values(column) * _finite("factor", factor), rows)

    def tilt(self, column: Hashable, delta: float, rows: ArrayLike | None = None, *, category: Hashable = None) -> Self:
        """Resample the imputed rows as if the log odds of being missing rose by ``delta`` for each unit of ``column``.

        Args:
            column: its imputed values are meant; other imputed values of these rows follow as far as they are related.
            delta: per unit, of ordered categories per level; with a ``category``, the odds of that category among imputed values are
                multiplied by exp(``delta``).
            rows: (N,) bool, all by default.
            category: the level whose odds move, in columns of categories.
        """
        holes, drawn = self.holes(column, rows), self.drawn
        if column not in drawn.holes:
            return self
        own = drawn.column(column)
        levels = getattr(own, "cat", None)
        if category is None and levels is not None and levels.ordered:
            scores = levels.codes.to_numpy(float)
        elif category is None:
            scores = numbers(own, column)
        else:
            scores = np.asarray(own == category, float)
        at = drawn.holes[column]
        scores = scores.reshape(-1, len(at))[:, holes[at]]
        if category is not None and scores.size and not scores.any():
            raise ValueError(f"category: got {category!r}, expected one that was imputed in column {column!r}")
        log_weights = np.zeros(drawn.log_weights.shape)
        log_weights[:, holes] = float(_finite("delta", delta)) * scores
        return self.reweight(log_weights)

    @property
    def drawn(self) -> Candidates:
        """The P draws that tilts re-weight: ``candidates``, or else the M tables."""
        if self.candidates is not None:
            return self.candidates
        return Candidates.of(self.table, self.tables, self._names())

    def reweight(self, log_weights: np.ndarray) -> Self:
        """Resample each row by ``log_weights`` (P, N) of the draws in :attr:`drawn`, up to a constant for each row and group.

        Weights of one tilt after another multiply, and all resample the same draws.

        Raises:
            ValueError: for another shape, or weights of a row that are all zero or not numbers.
        """
        log_w, drawn = np.asarray(log_weights, float), self.drawn
        if log_w.shape != drawn.log_weights.shape or np.isnan(log_w).any() or (log_w == np.inf).any():
            raise ValueError(
                f"log_weights: got shape {log_w.shape}, expected {drawn.log_weights.shape} numbers, none NaN or infinite upwards"
            )
        weighted, moved = drawn.weighted(log_w), np.isfinite(self.effective)
        for group in np.unique(drawn.groups):
            own = drawn.groups == group
            none = weighted.log_weights[own].max(0) == -np.inf
            if none.any():
                raise ValueError(f"log_weights: got none above zero for row {int(none.argmax())}, expected at least one")
            moved |= log_w[own].min(0) < log_w[own].max(0)
        names, before = self._names(), np.inf if self.candidates is not None else self.effective
        effective = np.where(moved, np.minimum(before, weighted.effective(names)), np.inf)
        return replace(self, tables=weighted.tables(names), candidates=weighted, effective=effective)

    @property
    def refit_due(self) -> bool:
        """Whether of the rows that tilts moved more than one in twenty has fewer than ``LEAST_EFFECTIVE`` effective draws a group.

        More draws help where the tilted law is within their reach; where it is not, a fit under the moved assumption.
        """
        moved = np.isfinite(self.effective)
        return bool(moved.any() and (self.effective[moved] < LEAST_EFFECTIVE).mean() > 0.05)

    def _names(self) -> np.ndarray:
        """Return the names of the tables' groups, (M,)."""
        return np.array([str(g) for g in self.groups] if self.groups is not None else [""] * len(self.tables))

    def _changed(self, column: Any, values: np.ndarray, rows: ArrayLike | None) -> Self:
        holes = self.holes(column, rows)
        changed = []
        for table, own in zip(self.tables, values, strict=True):
            if is_frame(table):
                dates = _is_date(table[column])
                # Whole numbers cannot hold a delta of one half.
                series = table[column].copy() if dates else table[column].astype("float64")
                series.iloc[np.flatnonzero(holes)] = _dates(own[holes], series, holes) if dates else own[holes]
                table = table.copy()
                table[column] = series
                changed.append(table)
            else:
                array = np.array(table, float)
                array[holes, column] = own[holes]
                changed.append(array)
        return replace(self, tables=changed, candidates=None)


def _is_date(values: Series | np.ndarray) -> bool:
    return getattr(getattr(values, "dtype", None), "kind", "") == "M"


def _dates(days: np.ndarray, series: Series, holes: np.ndarray) -> DatetimeIndex:
    """Return dates of the type of a Series (N,) from days since 1970, which go where it has ``holes`` (N,)."""
    from pandas import DatetimeIndex

    zone = getattr(series.dtype, "tz", None)
    times = times_of(days, zone)
    if zone is not None and are_midnights(series[~holes]):
        # A day of the calendar, though clocks are changed in it.
        before, after = (DatetimeIndex(own).tz_localize(None) - DatetimeIndex(own).tz_convert(None) for own in (series[holes], times))
        times = times + (before - after)
    return times.astype(series.dtype)


def numbers(values: Series | np.ndarray, column: Hashable) -> np.ndarray:
    """Return the values of ``column``, (N,), as float64, dates in days since 1970; ValueError where they are no numbers."""
    if _is_date(values):
        return days_of(values)
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"column: {column!r} holds no numbers, expected a numeric one (or a category to tilt)") from None


def _finite(name: str, value: ArrayLike) -> np.ndarray:
    array = np.asarray(value, float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: got {value!r:.60}, expected finite numbers")
    return array
