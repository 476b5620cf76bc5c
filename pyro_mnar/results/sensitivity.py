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
intercept is needed: constants cancel. Draws are re-weighted by exp h, normalised row by row, and resampled.

Re-weighting holds while draws reach where the tilted law lives. The effective share of a row's draws, 1 / (M sum of squared normalised
weights), says so: where it is small, a refit under the moved assumption is due.

Draws of one *group* were made with the same parameters (a member of an ensemble). Rows are independent only given the parameters, so
draws are weighted and resampled within their group: a completed table then keeps its parameters, and the variance between tables what
is not known of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from pyro_mnar.tables import is_frame

#: Effective share of a row's draws below which its tilt should not be trusted.
LEAST_SHARE = 0.3


@dataclass(frozen=True)
class Completions:
    """Completed tables of one table with holes. Every method returns new ones; the tables given are not changed.

    Args:
        table: DataFrame or array (N, D) with its holes.
        tables: M completed ones, as ``MNARImputer.sample`` returns them (or any other imputation).
        groups: for each of the M, the name of the parameters it was drawn with; all alike by default.
        share: (N,) effective share of each row's draws, 1 before any tilt.

    Raises:
        ValueError: for no tables, tables whose shape or columns differ from the table's, or groups of another number.

    Example:
        >>> table = np.array([[1.0, 2.0], [3.0, np.nan]])
        >>> done = Completions(table, [np.array([[1.0, 2.0], [3.0, x]]) for x in (4.0, 5.0)])
        >>> [float(t[1, 1]) for t in done.shift(1, 0.5).tables]
        [4.5, 5.5]
    """

    table: Any
    tables: Sequence[Any]
    groups: Sequence[Any] | None = None
    share: Any = None

    def __post_init__(self) -> None:
        if not len(self.tables):
            raise ValueError("tables: got none, expected at least 1 completed table")
        for i, table in enumerate(self.tables):
            if np.shape(table) != np.shape(self.table) or (is_frame(self.table) and list(table.columns) != list(self.table.columns)):
                raise ValueError(
                    f"tables: got shape {np.shape(table)} in table {i}, expected the shape and columns of the table with holes"
                )
        if self.groups is not None and len(self.groups) != len(self.tables):
            raise ValueError(f"groups: got {len(self.groups)}, expected one for each of {len(self.tables)} tables")
        if self.share is None:
            object.__setattr__(self, "share", np.ones(len(self.table)))

    def holes(self, column: Any, rows: Any = None) -> np.ndarray:
        """Return (N,) bool: where ``column`` was imputed, of ``rows`` (N,) bool alone where these are given.

        Raises:
            ValueError: for an unknown column, or rows that are not N truth values.
        """
        holes = np.asarray(_is_missing(self._column(self.table, column)))
        if rows is None:
            return holes
        chosen = np.asarray(rows)
        if chosen.dtype != bool or chosen.shape != holes.shape:
            raise ValueError(f"rows: got {chosen.dtype} of shape {chosen.shape}, expected bool of shape {holes.shape}")
        return holes & chosen

    def values(self, column: Any) -> np.ndarray:
        """Return (M, N), the completed ``column`` as float64; dates in days since 1970."""
        return np.stack([numbers(self._column(table, column), column) for table in self.tables])

    def shift(self, column: Any, delta: float | np.ndarray, rows: Any = None) -> Self:
        """Add ``delta`` to the imputed values of ``column``; a number, or one for each row (N,), or for each table and row (M, N).

        Of dates, days.
        """
        return self._changed(column, self.values(column) + _finite("delta", delta), rows)

    def scale(self, column: Any, factor: float | np.ndarray, rows: Any = None) -> Self:
        """Multiply the imputed values of ``column`` by ``factor``, shaped as in :meth:`shift`."""
        return self._changed(column, self.values(column) * _finite("factor", factor), rows)

    def tilt(self, column: Any, delta: float, rows: Any = None, *, category: Any = None) -> Self:
        """Resample the imputed rows as if the log odds of being missing rose by ``delta`` for each unit of ``column``.

        Args:
            column: its imputed values are meant; other imputed values of these rows follow as far as they are related.
            delta: per unit, of ordered categories per level; with a ``category``, the odds of that category among imputed values are
                multiplied by exp(``delta``).
            rows: (N,) bool, all by default.
            category: for columns of categories.
        """
        holes = self.holes(column, rows)
        own = self._column(self.table, column)
        if category is None and getattr(getattr(own, "cat", None), "ordered", False):
            score = np.stack([self._column(table, column).cat.codes.to_numpy(float) for table in self.tables])
        elif category is None:
            score = self.values(column)
        else:
            score = np.stack([np.asarray(self._column(table, column) == category, float) for table in self.tables])
            if not score[:, holes].any() and holes.any():
                raise ValueError(f"category: got {category!r}, expected one that was imputed in column {column!r}")
        return self.reweight(np.where(holes, score, 0.0) * float(_finite("delta", delta)))

    def reweight(self, log_weights: np.ndarray) -> Self:
        """Resample each row's draws by ``log_weights`` (M, N), up to a constant for each row and group.

        The j-th of G draws is taken from the j-th G-th of the weights' cumulative sum, each row at a place of its own within it, spread
        evenly over rows: equal weights change nothing, small changes of the weights change few draws, so that a path over tilts is
        smooth, and over rows each draw is taken as often as its weight says.

        Raises:
            ValueError: for another shape, or weights of a row that are all zero or not numbers.
        """
        log_w = np.asarray(log_weights, float)
        size, n = len(self.tables), len(self.table)
        if log_w.shape != (size, n) or np.isnan(log_w).any() or (log_w == np.inf).any():
            raise ValueError(
                f"log_weights: got shape {log_w.shape}, expected {(size, n)} numbers, none of them NaN or infinite upwards"
            )
        groups = np.zeros(size, int) if self.groups is None else np.unique([str(g) for g in self.groups], return_inverse=True)[1]
        index, share = np.tile(np.arange(size)[:, None], (1, n)), np.zeros(n)
        within = ((np.arange(n) + 0.5) * 0.6180339887498949 % 1).clip(1e-6, 1 - 1e-6)  # the golden ratio's: evenly spread for any N
        for group in range(groups.max() + 1):
            own = np.flatnonzero(groups == group)
            top = log_w[own].max(0)
            if (top == -np.inf).any():
                raise ValueError(f"log_weights: got none above zero for row {int((top == -np.inf).argmax())}, expected at least one")
            weights = np.exp(log_w[own] - top)
            weights /= weights.sum(0)
            share += 1 / (weights**2).sum(0) / size
            # All rows in one search: row n's cumulative sums, scaled to G, live on [n G, n G + G].
            start = np.arange(n) * len(own)
            ends = (np.cumsum(weights, 0) * len(own)).clip(max=len(own))
            ends[-1] = len(own)
            points = start + np.arange(len(own))[:, None] + within
            index[own] = own[(np.searchsorted((ends + start).T.ravel(), points.T.ravel()).reshape(n, -1).T - start)]
        return replace(self, tables=self._gathered(index), share=self.share * share)

    @property
    def refit_due(self) -> bool:
        """Whether of the rows that tilts moved more than one in twenty has an effective share below ``LEAST_SHARE``."""
        tilted = self.share < 1 - 1e-9
        return bool(tilted.any() and (self.share[tilted] < LEAST_SHARE).mean() > 0.05)

    def _column(self, table: Any, column: Any) -> Any:
        names = list(self.table.columns) if is_frame(self.table) else list(range(np.shape(self.table)[1]))
        if column not in names:
            raise ValueError(f"column: got unknown {column!r}, expected one of {', '.join(map(str, names))}")
        return table[column] if is_frame(table) else np.asarray(table)[:, column]

    def _changed(self, column: Any, values: np.ndarray, rows: Any) -> Self:
        holes = self.holes(column, rows)
        changed = []
        for table, own in zip(self.tables, values, strict=True):
            if is_frame(table):
                dates = _is_date(table[column])
                # Whole numbers cannot hold a delta of one half.
                series = table[column].copy() if dates else table[column].astype("float64")
                series.iloc[np.flatnonzero(holes)] = _dates(own[holes], series) if dates else own[holes]
                table = table.copy()
                table[column] = series
                changed.append(table)
            else:
                array = np.array(table, float)
                array[holes, column] = own[holes]
                changed.append(array)
        return replace(self, tables=changed)

    def _gathered(self, index: np.ndarray) -> list[Any]:
        """Return tables whose imputed cells of each row come from the table at ``index`` (M, N)."""
        rows = np.arange(index.shape[1])
        if not is_frame(self.table):
            stack = np.stack([np.asarray(table) for table in self.tables])
            return [stack[own, rows] for own in index]
        import pandas as pd

        tables = [table.copy() for table in self.tables]
        for name in self.table.columns:
            holes = np.flatnonzero(np.asarray(_is_missing(self.table[name])))
            if not len(holes):
                continue
            # Through the column's own type, so that categories and nullable numbers stay what they are.
            imputed = pd.concat([table[name].iloc[holes] for table in self.tables]).array
            for table, own in zip(tables, index[:, holes], strict=True):
                series = table[name].copy()
                series.iloc[holes] = imputed.take(own * len(holes) + np.arange(len(holes)))
                table[name] = series
        return tables


def _is_missing(values: Any) -> Any:
    return values.isna() if hasattr(values, "isna") else np.isnan(np.asarray(values, float))


def _is_date(values: Any) -> bool:
    return getattr(getattr(values, "dtype", None), "kind", "") == "M"


def _dates(days: np.ndarray, like: Any) -> Any:
    """Return dates of the type of the Series ``like`` from days since 1970."""
    import pandas as pd

    return (pd.Timestamp(0, tz=getattr(like.dtype, "tz", None)) + pd.to_timedelta(days, unit="D")).astype(like.dtype)


def numbers(values: Any, column: Any) -> np.ndarray:
    """Return the values of ``column``, (N,), as float64, dates in days since 1970; ValueError where they are no numbers."""
    if _is_date(values):
        import pandas as pd

        values = (values - pd.Timestamp(0, tz=getattr(values.dtype, "tz", None))) / pd.Timedelta(days=1)
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"column: {column!r} holds no numbers, expected a numeric one (or a category to tilt)") from None


def _finite(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value, float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: got {value!r:.60}, expected finite numbers")
    return array
