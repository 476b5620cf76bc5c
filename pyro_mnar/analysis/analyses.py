"""One analysis of every completed table, pooled; what fails in it is told by table."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pyro_mnar.analysis.pooled import Pooled
from pyro_mnar.analysis.rubin import pool
from pyro_mnar.data.kinds.evidence import is_hole

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_Table = TypeVar("_Table")


def analyze(tables: Sequence[_Table], estimate: Callable[[_Table], Any], groups: Sequence[Hashable] | None = None) -> Pooled:
    """Return ``estimate`` of each completed table, pooled.

    Args:
        tables: M completed tables, as ``MNARImputer.sample`` returns them.
        estimate: takes one and returns an estimate and its variance (numbers, or vectors and a covariance), or these and the degrees
            of freedom, or a fitted result as :func:`pool` takes it. Estimates by name, a mapping or a pandas Series, keep their names;
            their variances may have the same ones.
        groups: of each table, which parameters it was drawn with, as :func:`pool` takes them (``imputer.members_of(M)``).

    Raises:
        ValueError: when ``estimate`` raises, or returns something else, a number that is not finite, or other names than before; says
            of which table.

    Example:
        >>> tables = [np.array([[1.0], [2.0], [x]]) for x in (3.0, 4.0)]
        >>> round(float(analyze(tables, lambda table: (table.mean(), table.var(ddof=1) / len(table))).estimate), 3)
        2.167
        >>> analyze(tables, lambda table: ({"mean": table.mean()}, {"mean": table.var(ddof=1) / len(table)})).names
        ('mean',)
    """
    found, names = [], None
    for i, table in enumerate(tables):
        try:
            answer = estimate(table)
        except Exception as error:
            raise ValueError(f"estimate: failed on completed table {i} ({type(error).__name__}: {error})") from error
        if isinstance(answer, tuple):
            own, answer = _numbers(answer, i)
            if i and own != names:
                raise ValueError(f"estimate: got parameters {own} of completed table {i}, expected those of table 0, {names}")
            names = own
        found.append(answer)
    if all(isinstance(answer, tuple) for answer in found):
        dof = min((float(answer[2]) for answer in found if len(answer) == 3), default=None)
        pooled = pool([a[0] for a in found], [a[1] for a in found], complete_dof=dof, groups=groups)
        return pooled if names is None else replace(pooled, names=names)
    return pool(found, groups=groups)


def _numbers(answer: tuple[Any, ...], i: int) -> tuple[tuple[str, ...] | None, tuple[Any, ...]]:
    """Return the names of the parameters, None where they have none, and estimate, variance and degrees of freedom as numbers."""
    if len(answer) not in (2, 3):
        raise ValueError(f"estimate: got {len(answer)} values of completed table {i}, expected (estimate, variance[, dof])")
    (first, *rest), names = answer, None
    if hasattr(first, "keys"):  # a mapping or a pandas Series; the variances follow its order where they have names too
        keys = list(first.keys())
        names, first = tuple(str(key) for key in keys), [first[key] for key in keys]
        rest[0] = _in_order(rest[0], keys, i)
    if not all(np.isfinite(np.asarray(part, float)).all() for part in (first, rest[0])):
        raise ValueError(f"estimate: got {answer[:2]} of completed table {i}, expected finite numbers")
    return names, (first, *rest)


def _in_order(variance: Any, keys: list[Hashable], i: int) -> Any:
    """Return variances, or a covariance, by name as an array in the order of ``keys``; others as they are."""
    if not hasattr(variance, "keys"):
        return variance
    if sorted(map(str, variance.keys())) != sorted(map(str, keys)):
        raise ValueError(f"estimate: got variances of {list(variance.keys())} in completed table {i}, expected those of {keys}")
    return variance.loc[keys, keys].to_numpy() if hasattr(variance, "columns") else [variance[key] for key in keys]


def regression(
    outcome: Hashable, predictors: Sequence[Hashable], levels: Mapping[str, Sequence[object]] | None = None
) -> Callable[[DataFrame], tuple[float, float, float]]:
    """Return an analysis: the first predictor's coefficient in the least-squares regression of ``outcome`` on ``predictors``.

    Args:
        outcome: name of a column.
        predictors: names of columns.
        levels: of columns of ordered levels, these from the lowest on; they count by their places, 1 for the lowest.

    Rows in which one of the columns is empty, since it does not exist there, have no part in it.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"y": [1.0, 3, 5, 8], "x": [0.0, 1, 2, 3]})
        >>> round(regression("y", ["x"])(frame)[0], 3)
        2.3
    """

    def numbers(frame: DataFrame, name: Hashable) -> np.ndarray:
        return _places(frame[name], None if levels is None else levels.get(str(name)))

    def coefficient(frame: DataFrame) -> tuple[float, float, float]:
        x = np.column_stack([numbers(frame, name) for name in predictors] + [np.ones(len(frame))])
        y = numbers(frame, outcome)
        whole = ~np.isnan(np.column_stack([x, y])).any(1)
        x, y = x[whole], y[whole]
        dof = len(x) - x.shape[1]
        if dof < 1:
            raise ValueError(f"{len(x)} rows are too few for {x.shape[1]} coefficients")
        inverse = np.linalg.inv(x.T @ x)
        beta = inverse @ (x.T @ y)
        return float(beta[0]), float(inverse[0, 0] * np.sum((y - x @ beta) ** 2) / dof), float(dof)

    return coefficient


def _places(series: Series, levels: Sequence[object] | None) -> np.ndarray:
    """Return a column's numbers, or the places of its values among ``levels``, from 1."""
    if levels is None:
        return series.to_numpy(float, na_value=np.nan)
    at = {level: float(place) for place, level in enumerate(levels, start=1)}
    return np.array([np.nan if is_hole(value) else at[value] for value in series.tolist()])
