r"""How rows came into a table, for the standard errors of what is estimated from it: weights, strata and clusters.

An estimate that is a smooth function of weighted totals moves, to first order, with the sum of its rows' *scores* u_i. Of a mean m they
are w_i (y_i - m) / sum w; of coefficients b of weighted least squares, (X' W X)^-1 x_i w_i e_i, e_i the residuals; of a logit model the
same with the inverse information and y_i - p_i. Rows of a cluster may be alike, and of every stratum the sample has its set share. So
with u_hc the sum over cluster c of stratum h and n_h its clusters (Taylor linearization; Binder 1983, "On the variances of
asymptotically normal estimators from complex surveys", International Statistical Review 51)

    Var = sum_h n_h / (n_h - 1) sum_c (u_hc - mean_c u_hc)(u_hc - mean_c u_hc)',

with sum_h (n_h - 1) degrees of freedom. Clusters are taken for drawn with replacement, which makes standard errors too large, if
anything. It is what R's survey and Stata's svy report without finite population corrections; without strata and clusters, and all
weights alike, the mean's is the ordinary one.
"""

from __future__ import annotations

from collections.abc import Hashable
from copy import copy
from typing import TYPE_CHECKING, Self, TypedDict

import numpy as np

from pyro_mnar.data.row_weights import check_order, effective_rows, row_weights
from pyro_mnar.data.schema import is_frame

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame


class Sampling(TypedDict, total=False):
    """How rows were sampled, as keywords of :func:`~pyro_mnar.analysis.analyses.analyze`; empty without a design."""

    weights: np.ndarray
    strata: np.ndarray
    clusters: np.ndarray
    replicates: np.ndarray


class Design:
    """Weights, strata and clusters of the N rows of a table.

    Args:
        weights: (N,) above 0, on any scale, such as 1 over the probability of being in the table; 1 each by default.
        strata: (N,) names; all one by default.
        clusters: (N,) names within strata, of what was drawn first, such as schools; each row its own by default.

    Attributes:
        weights: (N,) float64.
        dof: clusters less strata.

    Raises:
        ValueError: for another number of rows, a weight that is none, a row without stratum or cluster, or a stratum of one cluster.

    Example:
        >>> design = Design([1.0, 1.0, 3.0, 1.0], clusters=["a", "a", "b", "c"])
        >>> estimate, variance, dof = design.mean(np.array([1.0, 3.0, 4.0, 2.0]))
        >>> estimate, round(variance, 4), dof
        (3.0, 0.5833, 2.0)
    """

    def __init__(self, weights: ArrayLike | None = None, strata: ArrayLike | None = None, clusters: ArrayLike | None = None) -> None:
        given = [np.asarray(part) for part in (weights, strata, clusters) if part is not None]
        if not given:
            raise ValueError("design: got no weights, strata or clusters, expected at least one of them")
        count = len(given[0])
        self.weights = row_weights(weights, count, name="weights")
        stratum = np.zeros(count, int) if strata is None else _places("strata", strata, count)
        cluster = np.arange(count) if clusters is None else _places("clusters", clusters, count)
        if count == 1 and strata is None and clusters is None:
            raise ValueError("weights: got 1 row, expected at least 2 (one alone has no standard error)")
        pairs, own = np.unique(np.stack([stratum, cluster]), axis=1, return_inverse=True)
        sizes = np.bincount(pairs[0])
        if (sizes == 1).any():
            which = "the table" if strata is None else f"stratum {np.asarray(strata)[stratum == sizes.argmin()][0]!s}"
            raise ValueError(f"strata, clusters: got 1 cluster in {which}, expected at least 2 (join it with another stratum)")
        #: Of each row its cluster, and of each cluster its stratum, by their places.
        self._cluster, self._stratum = own.ravel(), pairs[0]
        self.dof = float(len(self._stratum) - len(sizes))

    @classmethod
    def of(
        cls,
        table: DataFrame | np.ndarray,
        weights: ArrayLike | Hashable | None = None,
        strata: ArrayLike | Hashable | None = None,
        clusters: ArrayLike | Hashable | None = None,
    ) -> Self:
        """Return the design of a table; names are those of its columns, which are to be without holes.

        Raises:
            ValueError: for unknown names, and as the class does.
        """
        found = {}
        for name, part in (("weights", weights), ("strata", strata), ("clusters", clusters)):
            if part is None:
                continue
            found[name] = _column(name, table, part)
            if found[name].shape[:1] != (len(table),):
                raise ValueError(f"{name}: got shape {found[name].shape}, expected ({len(table)},), one for each row")
        return cls(**found)

    @property
    def units(self) -> np.ndarray:
        """Each row's stratum and cluster, (2, N) whole numbers from 0."""
        return np.stack([self._stratum[self._cluster], self._cluster])

    def replicate(self, counts: ArrayLike) -> Self:
        """Return it with each row counted ``counts`` (N,) times, 0 or more, for the estimate of a resampled table.

        Example:
            >>> Design([1.0, 1.0, 2.0]).replicate([2, 0, 1]).mean(np.array([1.0, 5.0, 3.0]))[0]
            2.0
        """
        found = copy(self)
        own = np.asarray(counts, float)
        if own.shape != self.weights.shape or not (own >= 0).all():
            raise ValueError(f"counts: got shape {own.shape}, expected {self.weights.shape} numbers of 0 or more")
        found.weights = self.weights * own
        return found

    def as_analyzed(self, replicates: np.ndarray | None = None) -> Sampling:
        """Return it as :func:`~pyro_mnar.analysis.analyses.analyze` takes it, beside members' ``replicates``.

        Example:
            >>> sorted(Design([1.0, 1.0, 2.0]).as_analyzed())
            ['clusters', 'strata', 'weights']
        """
        strata, clusters = self.units
        found: Sampling = {"weights": self.weights, "strata": strata, "clusters": clusters}
        if replicates is not None:
            found["replicates"] = replicates
        return found

    def covariance(self, scores: np.ndarray) -> np.ndarray:
        """Return the covariance (P, P) of an estimate whose rows have ``scores`` (N, P); a ValueError for another shape."""
        if np.ndim(scores) != 2 or len(scores) != len(self.weights):
            raise ValueError(f"scores: got shape {np.shape(scores)}, expected ({len(self.weights)}, P)")
        cluster, stratum = self._cluster, self._stratum
        totals = np.zeros((len(stratum), scores.shape[1]))
        np.add.at(totals, cluster, scores)
        whole = np.zeros((scores.shape[1],) * 2)
        for h in np.unique(stratum):
            own = totals[stratum == h]
            away = own - own.mean(0)
            whole += len(own) / (len(own) - 1) * away.T @ away
        return whole

    def mean(self, values: ArrayLike) -> tuple[float, float, float]:
        """Return the mean of ``values`` (N,), of truth values a share, with its variance and the degrees of freedom.

        Rows of NaN are outside of the domain whose mean it is: they have scores of 0.

        Raises:
            ValueError: for values of another number, or none that is not NaN.
        """
        y = np.asarray(values, float)
        if y.shape != self.weights.shape or np.isnan(y).all():
            raise ValueError(
                f"values: got shape {y.shape}, {np.isnan(y).sum()} of them NaN, expected {self.weights.shape}, not all NaN"
            )
        weights = np.where(np.isnan(y), 0.0, self.weights)
        y, share = np.where(np.isnan(y), 0.0, y), weights / weights.sum()
        center = float(share @ y)
        return center, float(self.covariance((share * (y - center))[:, None])[0, 0]), self.dof

    def in_words(self) -> str:
        """Return what the design is.

        Example:
            >>> Design([1.0, 3.0, 4.0], strata=["a", "a", "a"]).in_words()
            '3 rows with weights, which tell as much as 2.46 equally weighted ones; 1 stratum, 3 clusters'
        """
        count = len(self.weights)
        rows = f"{count} rows"
        if np.ptp(self.weights) > 0:
            rows += f" with weights, which tell as much as {effective_rows(self.weights):.3g} equally weighted ones"
        strata = len(np.unique(self._stratum))
        return f"{rows}; {strata} strat{'um' if strata == 1 else 'a'}, {len(self._stratum)} clusters"


def _column(name: str, table: DataFrame | np.ndarray, part: ArrayLike | Hashable) -> np.ndarray:
    if isinstance(part, Hashable):
        names: list[Hashable] = list(table.columns) if is_frame(table) else list(range(np.shape(table)[1]))
        if part not in names:
            raise ValueError(f"{name}: got unknown column {part!r}, expected one of {', '.join(map(str, names))}")
        return np.asarray(table[part] if is_frame(table) else table[:, names.index(part)])
    check_order(name, part, list(table.index) if is_frame(table) else None)
    return np.asarray(part)


def _places(name: str, given: ArrayLike, count: int) -> np.ndarray:
    """Return which of its names each row has, (N,)."""
    from pandas import factorize

    values = np.asarray(given)
    if values.shape != (count,):
        raise ValueError(f"{name}: got shape {values.shape}, expected ({count},), one for each row")
    places = factorize(values)[0]
    if (places < 0).any():
        raise ValueError(f"{name}: got none in row {int((places < 0).argmax())}, expected a name for each row")
    return np.asarray(places)
