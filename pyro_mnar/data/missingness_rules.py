"""Rules of whole rows, by which :func:`~pyro_mnar.data.amputation.amputate` hides values, and the probabilities they share.

A rule takes standardized complete values (N, D), the positions of the columns to amputate in their order, the expected share of
missing values in those that get any, a slope (log-odds per standard deviation; infinite for a hard rule, which dropout has none of), a
sign (-1: low values decide) and a generator. It returns a mask (N, D), True = observed. Rules to which large and small are alike leave
the sign unread.

``dropout`` and ``pairs`` are missing at random: with x the complete row and s its mask, P(s | x) reads no value that s hides. A
dropout's is the product of 1 - h(x_t) up to the visit before the last that is seen, and of h(x_t) at that one, with h the hazard. Of a
pair, P(second hidden) is p(x_1) / 2 and P(first hidden) is p(x_2) / 2. What remains, for both seen, reads values that are seen. All the
other rules are not at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def standardized(values: np.ndarray) -> np.ndarray:
    """Return columns of mean 0 and standard deviation 1; constant ones are 0."""
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)


def logistic_at_rate(score: np.ndarray, rate: float) -> np.ndarray:
    """Return logistic probabilities (N,) of finite scores (N,) less a constant by which their mean is ``rate``."""
    from scipy.optimize import brentq
    from scipy.special import expit

    reach = np.abs(score).max() + 40
    return expit(score - brentq(lambda c: expit(score - c).mean() - rate, -reach, reach))


def chances(driver: np.ndarray, slope: float, rate: float) -> np.ndarray:
    """Return probabilities of missing (N,), logistic in ``slope`` times ``driver`` (N,); of an infinite slope, 1 for the largest ones.

    These are a share ``rate`` of the rows, or less where many are alike.
    """
    if np.isinf(slope):
        return (driver > np.quantile(driver, 1 - rate)).astype(float)
    return logistic_at_rate(slope * driver, rate)


def dropout(x: np.ndarray, chosen: Sequence[int], rate: float, slope: float, sign: float, rng: np.random.Generator) -> np.ndarray:
    """Rows leave at one of ``chosen``, in their order, by the value before it, which was seen, and stay away; the first is complete.

    (Diggle and Kenward 1994, doi:10.2307/2986113.) ``rate`` is the share over all columns but the first, the last having most.
    """
    from scipy.optimize import brentq
    from scipy.special import expit

    score = sign * slope * x[:, chosen[:-1]]

    def gone(c: float) -> np.ndarray:
        return 1 - np.cumprod(1 - expit(score - c), 1)

    reach = np.abs(score).max() + 40
    hazard = expit(score - brentq(lambda c: gone(c).mean() - rate, -reach, reach))
    mask = np.ones(x.shape, bool)
    mask[:, chosen[1:]] = np.logical_and.accumulate(rng.random(hazard.shape) >= hazard, 1)
    return mask


def dropout_own(x: np.ndarray, chosen: Sequence[int], rate: float, slope: float, sign: float, rng: np.random.Generator) -> np.ndarray:
    """As :func:`dropout`, by the value that is then not seen."""
    shifted = x.copy()
    shifted[:, chosen[:-1]] = x[:, chosen[1:]]
    return dropout(shifted, chosen, rate, slope, sign, rng)


def pairs(x: np.ndarray, chosen: Sequence[int], rate: float, slope: float, sign: float, rng: np.random.Generator) -> np.ndarray:
    """Each row shows one of two neighbors of ``chosen`` and may hide the other by it; a last one without a neighbor is complete.

    Half of the rows can hide a column, so ``rate`` is below a half.
    """
    mask = np.ones(x.shape, bool)
    for a, b in zip(chosen[::2], chosen[1::2], strict=False):
        shows_a = rng.random(len(x)) < 0.5
        hidden = rng.random(len(x)) < chances(sign * np.where(shows_a, x[:, a], x[:, b]), slope, 2 * rate)
        mask[:, a], mask[:, b] = shows_a | ~hidden, ~shows_a | ~hidden
    return mask


def neighbor(x: np.ndarray, chosen: Sequence[int], rate: float, slope: float, sign: float, rng: np.random.Generator) -> np.ndarray:
    """Each of ``chosen`` is hidden by the value of the next, seen or not; the last by that of the first."""
    return _apart(x, chosen, np.roll(sign * x[:, chosen], -1, 1), rate, slope, rng)


def middle(x: np.ndarray, chosen: Sequence[int], rate: float, slope: float, sign: float, rng: np.random.Generator) -> np.ndarray:
    """Values near the median are hidden."""
    return _apart(x, chosen, -np.abs(x - np.median(x, 0))[:, chosen], rate, slope, rng)


def tails(x: np.ndarray, chosen: Sequence[int], rate: float, slope: float, sign: float, rng: np.random.Generator) -> np.ndarray:
    """Values far from the median are hidden."""
    return _apart(x, chosen, np.abs(x - np.median(x, 0))[:, chosen], rate, slope, rng)


def latent(x: np.ndarray, chosen: Sequence[int], rate: float, slope: float, sign: float, rng: np.random.Generator) -> np.ndarray:
    """A row hides values by a propensity of its own: half its first principal component, half noise."""
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    component = standardized(x @ axes[0]) * np.sign(axes[0].sum() or 1.0)
    propensity = sign * (component + rng.normal(size=len(x))) / np.sqrt(2)
    return _apart(x, chosen, np.repeat(propensity[:, None], len(chosen), 1), rate, slope, rng)


def logistic(x: np.ndarray, chosen: Sequence[int], rate: float, slope: float, sign: float, rng: np.random.Generator) -> np.ndarray:
    """HyperImpute's: 30 % of ``chosen`` are inputs that decide on all others by random weights, and have holes at random themselves.

    (Jarrett et al. 2022, arXiv 2206.07769, where the slope is 1; the benchmark of CACTI, arXiv 2506.02306.) As there, 30 % are rounded
    down, but never to none.
    """
    inputs = rng.choice(np.array(chosen), max(1, int(0.3 * len(chosen))), replace=False)
    rest = np.array([j for j in chosen if j not in inputs])
    drivers = standardized(x[:, inputs] @ rng.normal(size=(len(inputs), len(rest))))
    mask = _apart(x, rest, drivers, rate, slope, rng)
    mask[:, inputs] = rng.random((len(x), len(inputs))) >= rate
    return mask


def _apart(
    x: np.ndarray, chosen: Sequence[int] | np.ndarray, drivers: np.ndarray, rate: float, slope: float, rng: np.random.Generator
) -> np.ndarray:
    mask = np.ones(x.shape, bool)
    for j, driver in zip(chosen, drivers.T, strict=True):
        mask[:, j] = rng.random(len(x)) >= chances(driver, slope, rate)
    return mask


Rule = Callable[[np.ndarray, Sequence[int], float, float, float, np.random.Generator], np.ndarray]
#: By their word.
ROW_RULES: dict[str, Rule] = {
    "dropout": dropout,
    "dropout-own": dropout_own,
    "pairs": pairs,
    "neighbor": neighbor,
    "middle": middle,
    "tails": tails,
    "latent": latent,
    "logistic": logistic,
}
#: Those whose sign means nothing.
EVEN_RULES = ("middle", "tails", "logistic")
