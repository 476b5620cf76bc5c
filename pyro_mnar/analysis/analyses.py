"""One analysis of every completed table, pooled; what fails in it is told by table."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pyro_mnar.analysis.design import Design
from pyro_mnar.analysis.pooled import Pooled
from pyro_mnar.analysis.rubin import pool

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_Table = TypeVar("_Table")


def analyze(
    tables: Sequence[_Table],
    estimate: Callable[..., Any],
    groups: Sequence[Hashable] | None = None,
    *,
    weights: ArrayLike | Hashable | None = None,
    strata: ArrayLike | Hashable | None = None,
    clusters: ArrayLike | Hashable | None = None,
) -> Pooled:
    """Return ``estimate`` of each completed table, pooled.

    Args:
        tables: M completed tables, as ``MNARImputer.sample`` returns them.
        estimate: takes one and returns an estimate and its variance (numbers, or vectors and a covariance), or these and the degrees
            of freedom, or a fitted result as :func:`pool` takes it. Estimates by name, a mapping or a pandas Series, keep their names;
            their variances may have the same ones.
        groups: of each table, which parameters it was drawn with, as :func:`pool` takes them (``imputer.members_of(M)``).
        weights, strata, clusters: of the rows, arrays (N,) or names of columns without holes. Where there are some, ``estimate`` is
            also given their :class:`~pyro_mnar.analysis.design.Design`, as :func:`~pyro_mnar.analysis.regressions.regression` takes it.

    Raises:
        ValueError: when ``estimate`` raises, or returns something else, a number that is not finite, or other names than before; says
            of which table.

    Example:
        >>> tables = [np.array([[1.0], [2.0], [x]]) for x in (3.0, 4.0)]
        >>> round(float(analyze(tables, lambda table: (table.mean(), table.var(ddof=1) / len(table))).estimate), 3)
        2.167
        >>> analyze(tables, lambda table: ({"mean": table.mean()}, {"mean": table.var(ddof=1) / len(table)})).names
        ('mean',)
        >>> float(analyze(tables, lambda table, design: design.mean(table[:, 0]), weights=[1.0, 1.0, 2.0]).estimate)
        2.5
    """
    designed = any(part is not None for part in (weights, strata, clusters))
    found, names = [], None
    for i, table in enumerate(tables):
        own = [Design.of(table, weights, strata, clusters)] if designed else []
        try:
            answer = estimate(table, *own)
        except Exception as error:
            raise ValueError(f"estimate: failed on completed table {i} ({type(error).__name__}: {error})") from error
        if isinstance(answer, tuple):
            called, answer = _numbers(answer, i)
            if i and called != names:
                raise ValueError(f"estimate: got parameters {called} of completed table {i}, expected those of table 0, {names}")
            names = called
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
