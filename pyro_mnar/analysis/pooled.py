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

All this supposes that an estimate uses rows as the imputer does (self-efficiency; Meng 1994, "Multiple-imputation inferences with
uncongenial sources of input", Statistical Science 9). Q errs by which rows were sampled, with variance U - W, and by the parameters,
with B; Rubin's rules take the covariance C of the two for W. With weights that have to do with the values it is not (Kim, Brick, Fuller
and Kalton 2006, "On the bias of the multiple-imputation variance estimator in survey sampling", JRSS B 68). But each member is fitted
to a replicate of the table (:mod:`pyro_mnar.infer.ensembles`): with a member's estimates a_g in the table and b_g in its replicate, C
is the covariance of b_g - a_g with a_g over members (compare Bartlett and Hughes 2020, "Bootstrap inference for multiple imputation
under uncongeniality and misspecification", Statistical Methods in Medical Research 29), and

    T = U + (1 + 1/G) B + (1 - 1/n) W + 2 (C - W),        2 T^2 / v_M = var((1 + 1/G) B + 2 C), of normal members.

How many draws are enough: the standard error itself varies from one set of M draws to another, with a coefficient of variation of
about 1 / sqrt(2 v_M), which is FMI / sqrt(2 (M - 1)). Solved for M, with FMI at its upper confidence limit since a pilot knows it
badly (on the logit scale its standard error is about sqrt(2 / M)), that is the two-stage rule of von Hippel 2020, "How many imputations
do you need?", Sociological Methods & Research 49, 699-718.
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

    In the module's formulas of nested draws ``within`` is U and ``own`` is W.

    Attributes:
        estimate: mean of the M estimates.
        within: mean complete-data variance.
        between: B, the variance of the M estimates; of nested draws that of the members' means.
        draws: M.
        complete_dof: n, degrees of freedom of the analysis of a complete table; infinite for a large one.
        names: those of the P parameters, where they are known.
        within_cov, between_cov: (P, P), where covariances were given.
        sizes: each member's number of nested draws.
        own, own_cov: the variance of nested draws within members.
        shared, shared_cov: C, where members' replicates are known.
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
    shared: np.ndarray | None = None
    shared_cov: np.ndarray | None = None

    @property
    def total(self) -> np.ndarray:
        """T, the variance of the pooled estimate; with replicates, whose C varies, at least U - W."""
        total = self.within + sum(self._added(self.between, self.own, self.shared))
        return total if self.shared is None else np.maximum(total, self.within - self.own)

    @property
    def covariance(self) -> np.ndarray:
        """(P, P) covariance of the pooled estimates; a ValueError where variances alone were given."""
        if self.within_cov is None or self.between_cov is None:
            raise ValueError("covariance: got variances alone, expected pool(...) of covariances (M, P, P)")
        return self.within_cov + sum(self._added(self.between_cov, self.own_cov, self.shared_cov))

    @property
    def standard_error(self) -> np.ndarray:
        """The square root of T."""
        return np.sqrt(self.total)

    @property
    def missing_share(self) -> np.ndarray:
        """Lambda, the share of T that is due to missing values."""
        total = self.total
        return np.maximum(np.divide(total - self.within, total, out=np.zeros_like(total), where=total > 0), 0.0)

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
            return np.where(gap != 0, 2 * t.sf(gap / self.standard_error, self.dof), 1.0)

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
        added = self._added(self.between_cov, self.own_cov, self.shared_cov)
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

        if not variation > 0 or not 0 < level < 1:
            raise ValueError(f"variation: got {variation} at level {level}, expected a number above 0, at one between 0 and 1")
        k = int(np.argmax(self.fraction_missing))
        largest = float(np.ravel(self.fraction_missing)[k])
        if largest == 0:
            return 2
        upper = float(expit(logit(largest) + norm.ppf((1 + level) / 2) * math.sqrt(2 / self.draws)))
        # The variance of T, over that of as many independent draws as there are members. With replicates T may be less than U.
        members = self.draws if self.sizes is None else len(self.sizes)
        share = largest if self.shared is not None else float(np.ravel(self.missing_share)[k])
        excess = float(np.ravel(self._rate())[k]) * (members - 1) / share**2
        return max(2, math.ceil(self.draws / members * (1 + 0.5 * (upper / variation) ** 2 * excess)))

    def _added(self, between: Any, own: Any, shared: Any) -> list[Any]:
        """Return what ``between`` and, of nested draws, ``own`` add to the variance of the pooled estimate."""
        if self.sizes is None:
            return [(1 + 1 / self.draws) * between]
        less = 0.0 if shared is None else 2 * (shared - own)
        return [self._alike * between, (1 + 1 / self.draws - self._alike / even(self.sizes)) * own + less]

    @property
    def _alike(self) -> float:
        """1 + 1/G, of nested draws."""
        return 1 + sum((size / self.draws) ** 2 for size in self.sizes or ())

    def _dofs(self) -> np.ndarray:
        """Return the degrees of freedom of each of :meth:`_added`."""
        return np.array([self.draws - 1.0] if self.sizes is None else [len(self.sizes) - 1.0, self.draws - len(self.sizes)])

    def _rate(self) -> np.ndarray:
        """Return 1 / v_M, by Satterthwaite."""
        total = self.total
        if self.shared is not None and self.sizes is not None:
            b, c, k = self.between, self.shared, self._alike
            varies = 2 * (k * b + 2 * c) ** 2 + 4 * (b * np.maximum(self.within - self.own, 0.0) - c**2)
            return np.maximum(varies, 0.0) / (len(self.sizes) - 1) / (2 * total**2)
        shares = [
            np.divide(part, total, out=np.zeros_like(total), where=total > 0) for part in self._added(self.between, self.own, None)
        ]
        return sum(share**2 / dof for share, dof in zip(shares, self._dofs(), strict=True))

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


def even(sizes: Sequence[int]) -> float:
    """Return n_0, the number of draws of each member that would tell as much of B."""
    return (sum(sizes) - sum(size**2 for size in sizes) / sum(sizes)) / (len(sizes) - 1)
