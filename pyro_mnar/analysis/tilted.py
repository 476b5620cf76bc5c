r"""The tilt of draws' law that meets a margin.

Rows i have draws x_ik of weights w_ik, and the log odds of being missing gain h_f(x): the law of what is missing becomes proportional
to w_ik exp h_f(x_ik), row by row (:mod:`pyro_mnar.analysis.completions`). One f for all rows is wanted at which a sum over rows,

    m(f)  =  sum_i r_i E_f[g(x_i)],        E_f[g(x_i)]  =  sum_k w_ik exp h_f(x_ik) g(x_ik)  /  sum_k w_ik exp h_f(x_ik),

is what a margin leaves for the missing values. Where g rises with x, as a mean's g(x) = x does, and h_f gains with f the more the
larger x, m rises with f, since its derivative is a sum of covariances of two rising functions; so there is one f at most. Of
h_f = f g itself the tilted law is the one nearest to the draws' own, in Kullback-Leibler divergence, of all that meet the margin
(Csiszar 1975, "I-divergence geometry of probability distributions and minimization problems", Annals of Probability 3).

Of levels h is the logarithm of an odds factor for each, and m one number for each. The factors minimize

    sum_i r_i log sum_k w_ik exp h(x_ik)  -  sum_v h_v t_v,

which is convex; its gradient is m - t, and its second derivative the covariance of the levels' indicators.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Doublings of a step away from no change, after which a margin is out of reach of the draws.
_DOUBLINGS = 9
_ROUNDS = 100


def tilted_means(log_weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the weighted mean of ``values`` (P, H) in each column, (H,), of ``log_weights`` (P, H) up to a constant for each.

    Example:
        >>> tilted_means(np.log([[1.0], [3.0]]), np.array([[0.0], [1.0]]))
        array([0.75])
    """
    weights = np.exp(log_weights - log_weights.max(0))
    return (weights * values).sum(0) / weights.sum(0)


def where_it_meets(total: Callable[[float], float], target: float, start: float = 0.0, step: float = 0.25) -> float:
    """Return where the monotone function ``total`` is ``target``, or the farthest place looked at, on its side, where it is nowhere.

    Args:
        total: rising or falling.
        target: its value that is wanted.
        start: where to look first.
        step: how far from there to look next.

    Example:
        >>> round(where_it_meets(lambda x: x**3, 8.0), 6)
        2.0
    """
    from scipy.optimize import brentq

    def short(x: float) -> float:
        return total(x) - target

    here = short(start)
    if here == 0:
        return start
    slope = short(start + step) - short(start - step)
    way = -np.sign(here) * (np.sign(slope) or 1.0)
    near = start
    for k in range(_DOUBLINGS):
        far = start + way * step * 2**k
        there = short(far)
        if np.sign(there) != np.sign(here):
            return float(brentq(short, near, far, xtol=1e-12, rtol=1e-12, maxiter=_ROUNDS))
        near = far
    return float(near)


def odds_that_meet(probabilities: np.ndarray, at: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the logarithms of the factors of levels' odds, (V,), at which sums of probabilities are ``targets``; 0 of other levels.

    Args:
        probabilities: (H, V) of the levels, by row.
        at: (K,) the levels that are meant; of all V, the last one's factor is 1.
        targets: (K,) sums over rows.
        rows: (H,) weights of the rows in these.

    Example:
        >>> np.exp(odds_that_meet(np.full((4, 2), 0.5), np.array([1]), np.array([3.0]), np.ones(4))).round(6)
        array([1., 3.])
    """
    found = np.zeros(probabilities.shape[1])
    free, wanted = (at[:-1], targets[:-1]) if len(at) == len(found) else (at, targets)

    def looked_at(odds: np.ndarray) -> tuple[float, np.ndarray]:
        tilted = probabilities * np.exp(odds - odds.max())
        total = tilted.sum(1)
        value = rows @ (np.log(total) + odds.max()) - odds[free] @ wanted
        return float(value), tilted / total[:, None]

    value, shares = looked_at(found)
    for _ in range(_ROUNDS):
        own = shares[:, free]
        gradient = rows @ own - wanted
        if np.abs(gradient).max() <= 1e-10 * rows.sum():
            break
        curvature = np.diag(rows @ own) - (own * rows[:, None]).T @ own
        step = np.linalg.solve(curvature + 1e-12 * rows.sum() * np.eye(len(free)), gradient)
        step *= min(1.0, 3.0 / np.abs(step).max())
        for _ in range(30):
            tried = found.copy()
            tried[free] -= step
            better, shares_there = looked_at(tried)
            if better <= value + 1e-12 * abs(value):
                break
            step /= 2
        found, value, shares = tried, better, shares_there
    return found
