"""One analysis of every completed table, pooled; what fails in it is told by table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyro_mnar.analysis.pooled import Pooled
from pyro_mnar.analysis.rubin import pool


def analyze(tables: Sequence[Any], estimate: Callable[[Any], Any], groups: Sequence[Any] | None = None) -> Pooled:
    """Return ``estimate`` of each completed table, pooled.

    Args:
        tables: M completed tables, as ``MNARImputer.sample`` returns them.
        estimate: takes one and returns an estimate and its variance (numbers, or vectors and a covariance), or these and the degrees
            of freedom, or a fitted result as :func:`pool` takes it.
        groups: of each table, which parameters it was drawn with, as :func:`pool` takes them (``imputer.members_of(M)``).

    Raises:
        ValueError: when ``estimate`` raises, or returns something else or a number that is not finite; says of which table.

    Example:
        >>> tables = [np.array([[1.0], [2.0], [x]]) for x in (3.0, 4.0)]
        >>> round(float(analyze(tables, lambda table: (table.mean(), table.var(ddof=1) / len(table))).estimate), 3)
        2.167
    """
    found = []
    for i, table in enumerate(tables):
        try:
            answer = estimate(table)
        except Exception as error:
            raise ValueError(f"estimate: failed on completed table {i} ({type(error).__name__}: {error})") from error
        if isinstance(answer, tuple):
            if len(answer) not in (2, 3):
                raise ValueError(f"estimate: got {len(answer)} values of completed table {i}, expected (estimate, variance[, dof])")
            if not all(np.isfinite(np.asarray(part, float)).all() for part in answer[:2]):
                raise ValueError(f"estimate: got {answer[:2]} of completed table {i}, expected finite numbers")
        found.append(answer)
    if all(isinstance(answer, tuple) for answer in found):
        dof = min((float(answer[2]) for answer in found if len(answer) == 3), default=None)
        return pool([a[0] for a in found], [a[1] for a in found], complete_dof=dof, groups=groups)
    return pool(found, groups=groups)


def regression(outcome: Any, predictors: Sequence[Any]) -> Callable[[Any], tuple[float, float, float]]:
    """Return an analysis: the first predictor's coefficient in the least-squares regression of ``outcome`` on ``predictors``.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"y": [1.0, 3, 5, 8], "x": [0.0, 1, 2, 3]})
        >>> round(regression("y", ["x"])(frame)[0], 3)
        2.3
    """

    def coefficient(frame: Any) -> tuple[float, float, float]:
        x = np.column_stack([frame[name].to_numpy(float) for name in predictors] + [np.ones(len(frame))])
        y = frame[outcome].to_numpy(float)
        dof = len(x) - x.shape[1]
        if dof < 1:
            raise ValueError(f"{len(x)} rows are too few for {x.shape[1]} coefficients")
        inverse = np.linalg.inv(x.T @ x)
        beta = inverse @ (x.T @ y)
        return float(beta[0]), float(inverse[0, 0] * np.sum((y - x @ beta) ** 2) / dof), float(dof)

    return coefficient
