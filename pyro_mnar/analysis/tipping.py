"""Tipping points: how far an untestable assumption must move before a conclusion changes.

A conclusion is that a pooled estimate differs from a null value at a confidence level. Its *margin* is how far inside the confidence
interval's nearer limit lies from the null,

    margin = |Q - null| - t(level, v) sqrt T,

above zero while the conclusion stands. It is zero where one of the limits is the null. Between neighboring points of a grid both limits
are interpolated linearly, which is exact where the estimate is linear in the assumption and its standard error constant; so a crossing
is found between grid points, two of them where an estimate goes from one side of the null to the other, and in two dimensions the lines
where a limit is the null (by contourpy's marching squares).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from pyro_mnar.analysis.analyses import analyze
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.data.extras import extra

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame


@dataclass(frozen=True)
class TippingPoint:
    """A conclusion along one assumption or two; arrays are (G,), or (G, H) for two.

    Attributes:
        grids: the values of each assumption, ascending: one array (G,), or two, (G,) and (H,).
        estimate, lower, upper, p_value: pooled, at each point.
        margin: above zero where the conclusion stands.
        refit_due: bool, where re-weighting falls short, having too few effective draws: the assumption is moved by less than is stated.
        crossings: where the margin is zero: values, ascending; for two assumptions lines, each (K, 2).
        null, level: what was asked.
    """

    grids: tuple[np.ndarray, ...]
    estimate: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p_value: np.ndarray
    margin: np.ndarray
    refit_due: np.ndarray
    crossings: list[Any]
    null: float
    level: float

    def table(self) -> DataFrame:
        """Return a row for each point of the grid."""
        from pandas import DataFrame

        points = np.array(list(product(*self.grids)))
        names = [f"assumption {i + 1}" for i in range(points.shape[1])]
        columns = ("estimate", "lower", "upper", "p_value", "refit_due")
        frame = DataFrame(points, columns=names)
        return frame.assign(**{name: getattr(self, name).ravel() for name in columns})


def tipping_point(
    completions: Completions,
    adjust: Callable[..., Completions],
    grid: Sequence[float] | Sequence[Sequence[float]],
    estimate: Callable[[Any], object],
    *,
    null: float = 0.0,
    level: float = 0.95,
    weights: ArrayLike | Hashable | None = None,
    strata: ArrayLike | Hashable | None = None,
    clusters: ArrayLike | Hashable | None = None,
    replicates: ArrayLike | None = None,
    progress: bool = True,
) -> TippingPoint:
    """Analyze the completed tables under each assumption of a grid, and find where the conclusion tips.

    Args:
        completions: completed tables of one fit.
        adjust: a function of them and a number, or two, that returns moved ones, such as
            ``lambda done, delta: done.shift("y", delta)``.
        grid: numbers in ascending order; or a pair of such, for two assumptions.
        estimate: the estimate of one parameter, as :func:`~pyro_mnar.analysis.analyses.analyze` takes it.
        null: value of the parameter under the null hypothesis.
        level: the level of the confidence interval.
        weights, strata, clusters, replicates: those of the rows, as :func:`~pyro_mnar.analysis.analyses.analyze` takes them.
        progress: a bar on standard error, on a terminal only.

    Raises:
        ValueError: for a grid of fewer than two values or out of order, more than two grids, an estimate of several parameters or one
            that fails (see ``analyze``), or an ``adjust`` that returns something else.

    Example:
        >>> table = np.array([[1.0], [2.0], [3.0], [np.nan]])
        >>> done = Completions(table, [np.array([[1.0], [2.0], [3.0], [x]]) for x in (3.0, 4.0, 5.0)])
        >>> mean = lambda t: (t.mean(), 0.1)
        >>> round(tipping_point(done, lambda c, delta: c.shift(0, delta), [-20, -10, 0], mean).crossings[-1], 2)
        -6.17
    """
    if not np.size(null) == 1 or not np.isfinite(null):
        raise ValueError(f"null: got {null!r:.40}, expected a finite number")
    if not np.iterable(grid) or not len(grid):
        raise ValueError(f"grid: got {grid!r:.40}, expected at least two finite numbers in ascending order, or a pair of such")
    grids = tuple(np.asarray(g, float) for g in (grid if np.ndim(grid[0]) else [grid]))
    if len(grids) > 2:
        raise ValueError(f"grid: got {len(grids)} grids, expected one or two")
    for values in grids:
        if values.ndim != 1 or len(values) < 2 or not (np.diff(values) > 0).all() or not np.isfinite(values).all():
            raise ValueError(f"grid: got {values.tolist()!r:.60}, expected at least two finite numbers in ascending order")
    points = list(product(*grids))
    rows = []
    for point in tqdm(points, "sensitivity", disable=None if progress else True, leave=False):
        moved = adjust(completions, *point)
        if not isinstance(moved, Completions):
            raise ValueError(f"adjust: got {type(moved).__name__}, expected Completions")
        pooled = analyze(moved.tables, estimate, moved.groups, weights=weights, strata=strata, clusters=clusters, replicates=replicates)
        if pooled.estimate.size != 1:
            raise ValueError(f"estimate: got {pooled.estimate.size} parameters, expected one")
        low, high = pooled.interval(level)
        rows.append([float(np.squeeze(v)) for v in (pooled.estimate, low, high, pooled.p_value(null), moved.refit_due)])
    shape = tuple(len(values) for values in grids)
    center, lower, upper, p, due = np.array(rows).T.reshape(5, *shape)
    margin = np.abs(center - null) - (upper - lower) / 2
    away = lower - null, upper - null
    found = _crossings(grids[0], *away) if len(grids) == 1 else _lines(grids[0], grids[1], *away)
    return TippingPoint(grids, center, lower, upper, p, margin, due.astype(bool), found, null, level)


def _crossings(grid: np.ndarray, *limits: np.ndarray) -> list[float]:
    found = []
    for away in limits:
        found += [float(x) for x in grid[away == 0]]
        for i in np.flatnonzero(away[:-1] * away[1:] < 0):
            found.append(float(grid[i] + (grid[i + 1] - grid[i]) * away[i] / (away[i] - away[i + 1])))
    return sorted(set(found))


def _lines(first: np.ndarray, second: np.ndarray, *limits: np.ndarray) -> list[np.ndarray]:
    with extra("plots"):
        from contourpy import contour_generator

    return [np.asarray(line) for away in limits for line in contour_generator(first, second, away.T).lines(0.0)]
