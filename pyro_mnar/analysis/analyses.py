"""One analysis of every completed table, pooled; what fails in it is told by table."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pyro_mnar.analysis.design import Design
from pyro_mnar.analysis.pooled import Pooled
from pyro_mnar.analysis.rubin import parameters, pool

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
    replicates: ArrayLike | None = None,
) -> Pooled:
    """Return ``estimate`` of each completed table, pooled.

    Args:
        tables: M completed tables, as ``MNARImputer.sample`` returns them.
        estimate: a function that takes one and returns an estimate and its variance (numbers, or vectors and a covariance), or these
            and the degrees of freedom, or a fitted result as :func:`pool` takes it. Estimates by name, a mapping or a pandas Series,
            keep their names; their variances may have the same ones.
        groups: each table's group, which parameters it was drawn with, as :func:`pool` takes them (``imputer.members_of(M)``).
        weights, strata, clusters: those of the rows, arrays (N,) or names of columns without holes. Where there are some, ``estimate``
            is also given their :class:`~pyro_mnar.analysis.design.Design`, as :func:`~pyro_mnar.analysis.regressions.regression` takes
            it.
        replicates: (G, N), how often each member's table had each row (``imputer.replicates(...)``), for groups 0 to G - 1. Estimates
            are then made again with the weights of their member's rows, by which intervals are right where weights have to do with
            the values (:mod:`pyro_mnar.analysis.pooled`).

    Raises:
        ValueError: when ``estimate`` raises, or returns something else, a number that is not finite, or other names than before; says
            of which table. For replicates without a design, or without groups of theirs.

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
    counts = None if replicates is None else _counts(replicates, designed, tables, groups)
    found, again, names = [], [], None
    for i, table in enumerate(tables):
        own = [Design.of(table, weights, strata, clusters)] if designed else []
        answer, called = _answer(estimate, i, table, *own)
        if i and called != names:
            raise ValueError(f"estimate: got parameters {called} of completed table {i}, expected those of table 0, {names}")
        names = called
        found.append(answer)
        if counts is not None:
            again.append(parameters(_answer(estimate, i, table, own[0].replicate(counts[i]))[0]))
    replicated = again or None
    if all(isinstance(answer, tuple) for answer in found):
        dof = min((float(answer[2]) for answer in found if len(answer) == 3), default=None)
        pooled = pool([a[0] for a in found], [a[1] for a in found], complete_dof=dof, groups=groups, replicated=replicated)
        return pooled if names is None else replace(pooled, names=names)
    return pool(found, groups=groups, replicated=replicated)


def _answer(estimate: Callable[..., object], i: int, table: object, *design: Design) -> tuple[Any, tuple[str, ...] | None]:
    """Return the estimate of completed table ``i``, with its variance as numbers or as a fitted result, and the parameters' names."""
    try:
        answer = estimate(table, *design)
    except Exception as error:
        raise ValueError(f"estimate: failed on completed table {i} ({type(error).__name__}: {error})") from error
    if not isinstance(answer, tuple):
        return answer, None
    names, answer = _numbers(answer, i)
    return answer, names


def _counts(replicates: ArrayLike, designed: bool, tables: Sequence[Any], groups: Sequence[Hashable] | None) -> np.ndarray:
    """Return for each table how often its member's table had each row, (M, N)."""
    counts = np.asarray(replicates, float)
    if not designed:
        raise ValueError("replicates: got some without a design, expected weights, strata or clusters beside (weights of 1 will do)")
    if counts.ndim != 2 or counts.shape[1] != len(tables[0]) or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(f"replicates: got shape {counts.shape}, expected (members, {len(tables[0])}) numbers of 0 or more")
    if groups is None or len(groups) != len(tables) or not set(groups) <= set(range(len(counts))):
        raise ValueError(f"replicates: got {len(counts)}, expected groups of {len(tables)} tables among 0 to {len(counts) - 1} beside")
    return counts[np.asarray(groups, int)]


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
        got = " and ".join(str(np.asarray(part, float).tolist()) for part in (first, rest[0]))
        raise ValueError(f"estimate: got {got} of completed table {i}, expected finite numbers")
    return names, (first, *rest)


def _in_order(variance: Any, keys: list[Hashable], i: int) -> Any:
    """Return variances, or a covariance, by name as an array in the order of ``keys``; others as they are."""
    if not hasattr(variance, "keys"):
        return variance
    if sorted(map(str, variance.keys())) != sorted(map(str, keys)):
        raise ValueError(f"estimate: got variances of {list(variance.keys())} in completed table {i}, expected those of {keys}")
    return variance.loc[keys, keys].to_numpy() if hasattr(variance, "columns") else [variance[key] for key in keys]
