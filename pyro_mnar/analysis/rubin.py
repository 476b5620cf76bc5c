"""Rubin's rules applied: the analyses of M completed tables, given as numbers or as fitted results, pooled to one inference.

The formulas: :mod:`pyro_mnar.analysis.pooled`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.analysis.pooled import Pooled, even

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def pool(
    estimates: Iterable[Any],
    variances: Iterable[ArrayLike] | None = None,
    *,
    complete_dof: float | None = None,
    groups: Sequence[Hashable] | None = None,
    replicated: ArrayLike | None = None,
) -> Pooled:
    """Pool the analyses of M completed tables by Rubin's rules.

    Args:
        estimates: (M,) numbers or (M, P) vectors; or M fitted results, which have ``params`` and ``cov_params()`` (statsmodels) or
            ``coef_`` and its covariance ``sigma_`` (scikit-learn's ``BayesianRidge``).
        variances: complete-data variances (M,) or (M, P), or covariances (M, P, P). Of fitted results, needed only where these say
            none themselves (scikit-learn's ``LinearRegression``).
        complete_dof: degrees of freedom of the analysis of a complete table; of fitted results their ``df_resid`` by default, else
            infinite.
        groups: each completed table's group, which parameters it was drawn with (``imputer.members_of(M)``); draws of one group are
            then nested. All different by default; all alike takes these parameters for the truth.
        replicated: (M,) or (M, P), each estimate made again with the rows of its member's replicate
            (:func:`~pyro_mnar.analysis.analyses.analyze` makes them). They tell how sampling and parameters err together, which is
            otherwise supposed, and wrong where weights have to do with the values.

    Raises:
        ValueError: for fewer than two analyses, shapes that do not fit, a number that is not finite, a negative variance, degrees
            of freedom of 0 or less, groups of another number, or replicates of draws that are not nested.
        TypeError: for fitted results without variances when none are given.

    Example:
        >>> pooled = pool([1.0, 2.0, 3.0], [0.5, 0.5, 0.5])
        >>> float(pooled.estimate), round(float(pooled.total), 3), round(float(pooled.fraction_missing), 3)
        (2.0, 1.833, 0.808)
    """
    names: tuple[str, ...] | None = None
    analyses = list(estimates)
    if len(analyses) < 2:
        raise ValueError(f"estimates: got {len(analyses)} analyses, expected at least 2 (one for each completed table)")
    if all(hasattr(a, "params") or hasattr(a, "coef_") for a in analyses):
        if complete_dof is None:
            complete_dof = min(float(getattr(a, "df_resid", math.inf)) for a in analyses)
        names = _names(analyses[0])
        if variances is None:
            variances = [_covariance(a) for a in analyses]
        analyses = [parameters(a) for a in analyses]
    elif variances is None:
        raise ValueError("variances: got none, expected one for each estimate (or fitted results as estimates)")
    q, u = _numbers("estimates", analyses), _numbers("variances", list(variances))
    if q.ndim > 2 or u.shape not in (q.shape, (*q.shape, q.shape[-1])):
        raise ValueError(
            f"variances: got shape {u.shape} for estimates of shape {q.shape}, expected (M,), (M, P), or covariances (M, P, P)"
        )
    full = u.ndim == 3
    own = np.diagonal(u, axis1=1, axis2=2) if full else u
    if (own < 0).any():
        raise ValueError(f"variances: got {own.min()}, expected 0 or more")
    dof = math.inf if complete_dof is None else float(complete_dof)
    if not dof > 0:
        raise ValueError(f"complete_dof: got {complete_dof}, expected a number above 0")
    center, within, whole = q.mean(0), own.mean(0), u.mean(0) if full else None
    if groups is not None and len(groups) != len(q):
        raise ValueError(f"groups: got {len(groups)}, expected one for each of {len(q)} completed tables")
    places = np.unique([str(g) for g in groups], return_inverse=True)[1] if groups is not None else np.arange(len(q))
    sizes = np.bincount(places)
    again = None if replicated is None else _again(replicated, q, len(sizes))
    if len(sizes) in (1, len(q)):
        spread = _squares(q - center, full) / (len(q) - 1)
        return Pooled(center, within, _variances(spread, full), len(q), dof, names, whole, spread if full else None)
    means = np.stack([q[places == g].mean(0) for g in range(len(sizes))])
    between = _squares((means - center) * np.sqrt(sizes).reshape(-1, *[1] * (q.ndim - 1)), full)
    between = between / (len(sizes) - 1) / even(sizes.tolist())
    nested = _squares(q - means[places], full) / (len(q) - len(sizes))
    parts = [_variances(part, full) for part in (between, nested)]
    covs = (between, nested) if full else (None, None)
    shared, shared_cov = (None, None) if again is None else _shared(means, again, places, full)
    of_members = (tuple(sizes.tolist()), parts[1], covs[1], shared, shared_cov)
    return Pooled(center, within, parts[0], len(q), dof, names, whole, covs[0], *of_members)


def parameters(analysis: Any) -> Any:
    """Return the parameters of a fitted result, or the first of the numbers that an analysis is."""
    if isinstance(analysis, tuple):
        return analysis[0]
    return np.ravel(analysis.params if hasattr(analysis, "params") else analysis.coef_)


def _again(replicated: ArrayLike, estimates: np.ndarray, members: int) -> np.ndarray:
    again = _numbers("replicated", list(np.asarray(replicated)))
    if again.shape != estimates.shape or not 3 < members < len(estimates):
        raise ValueError(
            f"replicated: got shape {again.shape} in {members} groups, expected {estimates.shape}, of four groups or more with several "
            "draws"
        )
    return again


def _shared(means: np.ndarray, again: np.ndarray, places: np.ndarray, full: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Return C of :mod:`pyro_mnar.analysis.pooled`, and as a covariance where such are given.

    Args:
        means: (G,) or (G, P), members' estimates.
        again: (M,) or (M, P), estimates in members' replicates.
        places: (M,) the member of each.
        full: whether covariances are given.
    """
    moved = np.stack([again[places == g].mean(0) for g in range(len(means))]) - means
    a, d = (part - part.mean(0) for part in (means, moved))
    if not full:
        return (a * d).sum(0) / (len(means) - 1), None
    cov = (a.T @ d + d.T @ a) / 2 / (len(means) - 1)
    return np.diagonal(cov).copy(), cov


def _squares(deviations: np.ndarray, full: bool) -> np.ndarray:
    """Return the sum over the first dimension of squares or, ``full``, of outer products."""
    return deviations.T @ deviations if full else (deviations**2).sum(0)


def _variances(matrix: np.ndarray, full: bool) -> np.ndarray:
    return np.diagonal(matrix).copy() if full else matrix


def _numbers(name: str, values: Sequence[ArrayLike]) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: got values that are no numbers or differ in shape, expected as many numbers in each") from None
    if not array.size or not np.isfinite(array).all():
        raise ValueError(f"{name}: got {array.ravel()[~np.isfinite(array.ravel())][:1]}, expected finite numbers")
    return array


def _covariance(fitted: object) -> np.ndarray:
    if hasattr(fitted, "cov_params"):
        return np.asarray(fitted.cov_params(), np.float64)
    if hasattr(fitted, "sigma_"):
        return np.asarray(fitted.sigma_, np.float64)
    raise TypeError(f"estimates: {type(fitted).__name__} has no covariance (cov_params or sigma_), expected variances to be given")


def _names(fitted: object) -> tuple[str, ...] | None:
    index = getattr(fitted.params, "index", None) if hasattr(fitted, "params") else getattr(fitted, "feature_names_in_", None)
    return None if index is None or callable(index) else tuple(str(name) for name in index)
