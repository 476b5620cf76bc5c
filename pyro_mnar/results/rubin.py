r"""Rubin's rules: one inference from the analyses of M completed tables.

With estimates Q_1, ..., Q_M of a parameter and their complete-data variances U_1, ..., U_M (Rubin 1987, "Multiple Imputation for
Nonresponse in Surveys", chapter 3)

    Q = mean Q_i        W = mean U_i        B = var Q_i        T = W + (1 + 1/M) B

T says how uncertain Q is: W were the table complete, B because it is not, B / M because M is finite. (Q - parameter) / sqrt T is taken
for Student's t, whose degrees of freedom are, with lambda = (1 + 1/M) B / T and n those of the analysis of a complete table,

    v_M = (M - 1) / lambda^2      v_obs = (1 - lambda) n (n + 1) / (n + 3)      v = 1 / (1 / v_M + 1 / v_obs)

(Barnard and Rubin 1999, "Small-sample degrees of freedom with multiple imputation", Biometrika 86). The fraction of missing information
is (r + 2 / (v_M + 3)) / (1 + r), r = lambda / (1 - lambda), as in Rubin's book and in SAS; R's mice puts v in place of v_M, which does
not vanish where nothing is missing.

Draws that come from G members of an ensemble in turn are *nested*: those of a member share its parameters, and the N of them are no N
independent draws. With the member's means apart by B and its n draws by W (Shen 2000, "Nested multiple imputation", thesis, Harvard;
Rubin 2003, "Nested multiple imputation of NMES via partially incompatible MCMC", Statistica Neerlandica 57)

    T = U + (1 + 1/G) B + (1 - 1/n) W      1 / v_M = ((1 + 1/G) B / T)^2 / (G - 1) + ((1 - 1/n) W / T)^2 / (N - G)

since B holds the variance of the parameters and an n-th of W. Where members' numbers of draws n_g differ, B is their mean square
between over n_0 = (N - sum n_g^2 / N) / (G - 1), as in an analysis of variance, 1/G is sum (n_g / N)^2, and (1 - 1/n) is what makes T
unbiased, 1 + 1/N - (1 + sum (n_g / N)^2) / n_0. With one draw a member all of this is the above.

How many draws are enough: the standard error itself varies from one set of M draws to another, with a coefficient of variation of
about 1 / sqrt(2 v_M), which is FMI / sqrt(2 (M - 1)). Solved for M, with FMI at its upper confidence limit since a pilot knows it badly (on the logit scale its
standard error is about sqrt(2 / M)), that is the two-stage rule of von Hippel 2020, "How many imputations do you need?", Sociological
Methods & Research 49, 699-718.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Pooled:
    """Estimates pooled over M completed tables; every array is () for a single parameter, else (P,).

    Here ``within`` is U of the module's nested rules, and ``own`` W.

    Attributes:
        estimate: Q.
        within: W, the mean complete-data variance.
        between: B, the variance of the M estimates; of nested draws that of the members' means.
        draws: M.
        complete_dof: n, degrees of freedom of the analysis of a complete table; infinite for a large one.
        names: of the P parameters, where they are known.
        within_cov, between_cov: (P, P), where covariances were given.
        sizes: of nested draws, how many each member has.
        own, own_cov: of nested draws, their variance within members.
    """

    estimate: np.ndarray
    within: np.ndarray
    between: np.ndarray
    draws: int
    complete_dof: float = math.inf
    names: tuple[str, ...] | None = None
    within_cov: np.ndarray | None = None
    between_cov: np.ndarray | None = None
    sizes: tuple[int, ...] | None = None
    own: np.ndarray | None = None
    own_cov: np.ndarray | None = None

    @property
    def total(self) -> np.ndarray:
        """T, the variance of the pooled estimate."""
        return self.within + sum(self._added(self.between, self.own))

    @property
    def covariance(self) -> np.ndarray:
        """(P, P) covariance of the pooled estimates; a ValueError where variances alone were given."""
        if self.within_cov is None or self.between_cov is None:
            raise ValueError("covariance: got variances alone, expected pool(...) of covariances (M, P, P)")
        return self.within_cov + sum(self._added(self.between_cov, self.own_cov))

    @property
    def standard_error(self) -> np.ndarray:
        """The square root of T."""
        return np.sqrt(self.total)

    @property
    def missing_share(self) -> np.ndarray:
        """Lambda, the share of T that is due to missing values."""
        total = self.total
        return np.divide(total - self.within, total, out=np.zeros_like(total), where=total > 0)

    @property
    def dof(self) -> np.ndarray:
        """Degrees of freedom v of Barnard and Rubin."""
        share = self.missing_share
        with np.errstate(divide="ignore"):
            rate = self._rate()
            if math.isfinite(self.complete_dof):
                n = self.complete_dof
                rate = rate + 1 / ((1 - share) * n * (n + 1) / (n + 3))
            return 1 / rate

    @property
    def fraction_missing(self) -> np.ndarray:
        """The fraction of missing information (FMI), from 0 to 1."""
        share = self.missing_share
        rate = self._rate()
        # (r + 2 / (v_M + 3)) / (1 + r), with r = share / (1 - share) and v_M = 1 / rate multiplied out
        return share + (1 - share) * 2 * rate / (1 + 3 * rate)

    @property
    def relative_efficiency(self) -> np.ndarray:
        """Variance of the estimate of infinitely many draws over this one's: 1 / (1 + FMI / M)."""
        return 1 / (1 + self.fraction_missing / self.draws)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper confidence limit at ``level``."""
        from scipy.stats import t

        if not 0 < level < 1:
            raise ValueError(f"level: got {level}, expected a number between 0 and 1")
        reach = t.ppf((1 + level) / 2, self.dof) * self.standard_error
        return self.estimate - reach, self.estimate + reach

    def p_value(self, null: float | np.ndarray = 0.0) -> np.ndarray:
        """Return the two-sided p-value of each parameter being ``null``."""
        from scipy.stats import t

        gap = np.abs(self.estimate - null)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(gap > 0, 2 * t.sf(gap / self.standard_error, self.dof), 1.0)

    def wald(self, null: float | np.ndarray = 0.0) -> tuple[float, float, float]:
        """Return statistic, denominator degrees of freedom and p-value of the F test of all P parameters being ``null``.

        Li, Raghunathan and Rubin 1991, "Large-sample significance levels from multiply imputed data", JASA 86; it is what R's mice
        calls D1, and supposes that the missing information is about the same for all parameters.

        Raises:
            ValueError: where variances alone were given.
        """
        from scipy.stats import f

        whole = self.covariance
        k = len(whole)
        gap = np.broadcast_to(self.estimate - null, (k,))
        added = self._added(self.between_cov, self.own_cov)
        parts = np.array([np.trace(np.linalg.solve(self.within_cov, part)) / k for part in added])  # type: ignore[arg-type]
        r = float(parts.sum())
        statistic = float(gap @ np.linalg.solve(self.within_cov, gap)) / (k * (1 + r))  # type: ignore[arg-type]
        t = k * r**2 / float((parts**2 / self._dofs()).sum()) if r > 0 else math.inf
        if r == 0:
            dof = math.inf
        elif t > 4:
            dof = 4 + (t - 4) * (1 + (1 - 2 / t) / r) ** 2
        else:
            dof = t * (1 + 1 / k) * (1 + 1 / r) ** 2 / 2
        return statistic, dof, float(f.sf(statistic, k, dof))

    def draws_needed(self, variation: float = 0.05, level: float = 0.95) -> int:
        """Return how many draws make every standard error vary by no more than ``variation`` (its coefficient of variation).

        Von Hippel's two-stage rule, these M draws being the pilot; ``level`` is of the confidence limit of the fraction of missing
        information. Twenty draws make a fair pilot. Of nested draws: with as many of each member as now, and so with more members.
        """
        from scipy.special import expit, logit
        from scipy.stats import norm

        if not variation > 0:
            raise ValueError(f"variation: got {variation}, expected a number above 0")
        k = int(np.argmax(self.fraction_missing))
        largest = float(np.ravel(self.fraction_missing)[k])
        if largest == 0:
            return 2
        upper = float(expit(logit(largest) + norm.ppf((1 + level) / 2) * math.sqrt(2 / self.draws)))
        # The variance of T, over that of as many independent draws as there are members.
        members = self.draws if self.sizes is None else len(self.sizes)
        excess = float(np.ravel(self._rate())[k]) * (members - 1) / float(np.ravel(self.missing_share)[k]) ** 2
        return max(2, math.ceil(self.draws / members * (1 + 0.5 * (upper / variation) ** 2 * excess)))

    def _added(self, between: Any, own: Any) -> list[Any]:
        """Return what ``between`` and, of nested draws, ``own`` add to the variance of the pooled estimate."""
        if self.sizes is None:
            return [(1 + 1 / self.draws) * between]
        alike = 1 + sum((size / self.draws) ** 2 for size in self.sizes)
        return [alike * between, (1 + 1 / self.draws - alike / _even(self.sizes)) * own]

    def _dofs(self) -> np.ndarray:
        """Return the degrees of freedom of each of :meth:`_added`."""
        return np.array([self.draws - 1.0] if self.sizes is None else [len(self.sizes) - 1.0, self.draws - len(self.sizes)])

    def _rate(self) -> np.ndarray:
        """Return 1 / v_M, by Satterthwaite."""
        total = self.total
        shares = [np.divide(part, total, out=np.zeros_like(total), where=total > 0) for part in self._added(self.between, self.own)]
        return sum(share**2 / dof for share, dof in zip(shares, self._dofs(), strict=True))  # type: ignore[return-value]

    def table(self, level: float = 0.95) -> DataFrame:
        """Return a row for each parameter: estimate, standard error, limits, p-value, degrees of freedom, FMI."""
        from pandas import DataFrame

        low, high = self.interval(level)
        columns = {
            "estimate": self.estimate,
            "standard error": self.standard_error,
            "lower": low,
            "upper": high,
            "p-value": self.p_value(),
            "dof": self.dof,
            "FMI": self.fraction_missing,
        }
        return DataFrame({name: np.atleast_1d(column) for name, column in columns.items()}, index=self.names)


def _even(sizes: Sequence[int]) -> float:
    """Return n_0, the number of draws of each member that would tell as much of B."""
    return (sum(sizes) - sum(size**2 for size in sizes) / sum(sizes)) / (len(sizes) - 1)


def pool(
    estimates: Any, variances: Any = None, *, complete_dof: float | None = None, groups: Sequence[Any] | None = None
) -> Pooled:
    """Pool the analyses of M completed tables by Rubin's rules.

    Args:
        estimates: (M,) numbers or (M, P) vectors; or M fitted results, which have ``params`` and ``cov_params()`` (statsmodels) or
            ``coef_`` and its covariance ``sigma_`` (scikit-learn's ``BayesianRidge``).
        variances: complete-data variances (M,) or (M, P), or covariances (M, P, P). Of fitted results, needed only where these say
            none themselves (scikit-learn's ``LinearRegression``).
        complete_dof: degrees of freedom of the analysis of a complete table; of fitted results their ``df_resid`` by default, else
            infinite.
        groups: of each completed table, which parameters it was drawn with (``imputer.members_of(M)``); draws of one group are then
            nested. All different by default; all alike takes these parameters for the truth.

    Raises:
        ValueError: for fewer than two analyses, shapes that do not fit, a number that is not finite, a negative variance, degrees
            of freedom of 0 or less, or groups of another number.
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
        analyses = [np.ravel(a.params if hasattr(a, "params") else a.coef_) for a in analyses]
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
    centre, within, whole = q.mean(0), own.mean(0), u.mean(0) if full else None
    if groups is not None and len(groups) != len(q):
        raise ValueError(f"groups: got {len(groups)}, expected one for each of {len(q)} completed tables")
    places = np.unique([str(g) for g in groups], return_inverse=True)[1] if groups is not None else np.arange(len(q))
    sizes = np.bincount(places)
    if len(sizes) in (1, len(q)):
        spread = _squares(q - centre, full) / (len(q) - 1)
        return Pooled(centre, within, _variances(spread, full), len(q), dof, names, whole, spread if full else None)
    means = np.stack([q[places == g].mean(0) for g in range(len(sizes))])
    between = _squares((means - centre) * np.sqrt(sizes).reshape(-1, *[1] * (q.ndim - 1)), full)
    between = between / (len(sizes) - 1) / _even(sizes.tolist())
    nested = _squares(q - means[places], full) / (len(q) - len(sizes))
    parts = [_variances(part, full) for part in (between, nested)]
    covs = (between, nested) if full else (None, None)
    return Pooled(centre, within, parts[0], len(q), dof, names, whole, covs[0], tuple(sizes.tolist()), parts[1], covs[1])


def _squares(deviations: np.ndarray, full: bool) -> np.ndarray:
    """Return the sum over the first dimension of squares or, ``full``, of outer products."""
    return deviations.T @ deviations if full else (deviations**2).sum(0)


def _variances(matrix: np.ndarray, full: bool) -> np.ndarray:
    return np.diagonal(matrix).copy() if full else matrix


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: got values that are no numbers or differ in shape, expected as many numbers in each") from None
    if not array.size or not np.isfinite(array).all():
        raise ValueError(f"{name}: got {array.ravel()[~np.isfinite(array.ravel())][:1]}, expected finite numbers")
    return array


def _covariance(fitted: Any) -> np.ndarray:
    if hasattr(fitted, "cov_params"):
        return np.asarray(fitted.cov_params(), np.float64)
    if hasattr(fitted, "sigma_"):
        return np.asarray(fitted.sigma_, np.float64)
    raise TypeError(f"estimates: {type(fitted).__name__} has no covariance (cov_params or sigma_), expected variances to be given")


def _names(fitted: Any) -> tuple[str, ...] | None:
    index = getattr(fitted.params, "index", None) if hasattr(fitted, "params") else getattr(fitted, "feature_names_in_", None)
    return None if index is None or callable(index) else tuple(str(name) for name in index)
