"""How close a re-weighted fit comes to a fit with the mechanism's slope held: the table of docs/sensitivity.md.

y = 1 + x + noise, x and the noise standard normal, 20 000 rows; y is missing with probability Phi(y - 1.9), in 30 % of them. The model
is the true one, fitted by maximum likelihood in closed form, so that nothing but the assumption differs between the lines: the mean of
the missing values, refitted with a multiple of the fitted slope; with the fit re-weighted, by quadrature and by the library
(``strengthened``, 40 tables of 8 members that are all this fit, 1500 rows); and re-weighted with the complete data's law held instead.

    python benchmarks/strength.py
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_ndtr
from scipy.stats import norm

from pyro_mnar import MNARImputer
from pyro_mnar.data import Scaling, TableCodec
from pyro_mnar.distributions import PROBIT
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks import ConjugateEncoder, GaussianDecoder
from pyro_mnar.networks.layers import MIN_SCALE

FACTORS = [0.0, 0.5, 0.8, 1.0, 1.25, 1.5, 2.0]


def fit(x: np.ndarray, y: np.ndarray, slope: float | None = None) -> np.ndarray:
    """Return the regression's intercept, coefficient and log noise, and the score's intercept and slope, which may be held."""
    seen = ~np.isnan(y)

    def loss(p: np.ndarray) -> float:
        mean, scale, a = p[0] + p[1] * x, math.exp(p[2]), p[4] if slope is None else slope
        observed = norm.logpdf(y[seen], mean[seen], scale) + log_ndtr(-(a * y[seen] + p[3]))
        missing = log_ndtr((a * mean[~seen] + p[3]) / math.sqrt(1 + (a * scale) ** 2))
        return -(observed.sum() + missing.sum()) / len(x)

    found = minimize(loss, np.array([0.5, 0.8, 0.0, -1.0, 0.5]), method="BFGS").x
    return found if slope is None else np.array([*found[:4], slope])


def mean_of(p: np.ndarray, x: np.ndarray, log_tilt) -> float:
    """Return the mean of y over its law given each of ``x`` times exp ``log_tilt`` of the score and of y, by quadrature."""
    scale = math.exp(p[2])
    y = (p[0] + p[1] * x)[:, None] + scale * np.linspace(-9, 9, 721)
    log_w = -0.5 * np.linspace(-9, 9, 721) ** 2 + log_tilt(p[4] * y + p[3], y)
    weights = np.exp(log_w - log_w.max(1, keepdims=True))
    return float(((weights * y).sum(1) / weights.sum(1)).mean())


def reweighted(u: np.ndarray, factor: float) -> np.ndarray:
    """Return the logarithm of the missing values' law at strength ``factor``, over that of complete data."""
    part = min(factor, 1.0)
    return part * log_ndtr(u) + (1 - part) * log_ndtr(-u) + (factor - part) * 4 * norm.pdf(0) * u


def imputer_of(p: np.ndarray, members: int = 8) -> MNARImputer:
    """Return an imputer whose members all are the fitted model, of columns x and y."""
    # x = z sqrt .9 + noise of variance .1, y with the covariance that the regression says.
    share, scale = 0.9, math.exp(p[2])
    weight = np.array([share**0.5, p[1] / share**0.5])
    noise = np.array([(1 - share) ** 0.5, math.sqrt(scale**2 + p[1] ** 2 - weight[1] ** 2)])
    imputer = MNARImputer(progress=False)
    models = []
    for _ in range(members):
        decoder, mechanism = GaussianDecoder(1, 2, hidden=()), SelfMasking(2, [1], link=PROBIT)
        with torch.no_grad():
            assert decoder.linear is not None
            decoder.linear.weight.copy_(torch.tensor(weight).unsqueeze(-1))
            decoder.linear.bias.copy_(torch.tensor([0.0, p[0]]))
            decoder.raw_scale.copy_(torch.tensor(np.log(np.expm1(noise - MIN_SCALE))))
            mechanism.slope = p[4]
            mechanism.offset.fill_(p[3])
        models.append(MNAR(decoder, ConjugateEncoder(decoder), mechanism).eval())
    imputer.codec_, imputer.members_ = TableCodec.of(Scaling(np.zeros(2), np.ones(2))), models
    imputer.specification_ = Specification("self-masking", (1,), ("free",), ("continuous",) * 2, 1, (), members)
    imputer.seed_, imputer.n_features_in_, imputer.moves_ = 0, 2, []
    return imputer


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    complete = 1 + x + rng.normal(size=len(x))
    y = np.where(rng.random(len(x)) < norm.cdf(complete - 1.9), np.nan, complete)
    p, holes = fit(x, y), np.isnan(y)
    print(f"missing {holes.mean():.1%}, their mean {complete[holes].mean():.2f}, the others' {y[~holes].mean():.2f}; slope {p[4]:.2f}")
    some = np.flatnonzero(holes)[:1500]
    imputer = imputer_of(p)
    done = imputer.completions(np.column_stack([x, y])[some], 40)
    print("strength, refitted, re-weighted, from 40 tables (exact for these rows), complete law held, effective draws, refit due")
    for factor in FACTORS:
        q = fit(x, y, factor * p[4])
        slope, intercept = q[4], _intercept(p, x, q[4])
        moved = imputer.strengthened(done, factor)
        lines = [
            mean_of(q, x[holes], lambda u, _: log_ndtr(u)),
            mean_of(p, x[holes], lambda u, _, f=factor: reweighted(u, f)),
            moved.values(1).mean(),
            mean_of(p, x[some], lambda u, _, f=factor: reweighted(u, f)),
            mean_of(p, x[holes], lambda _, v, a=slope, c=intercept: log_ndtr(a * v + c)),
        ]
        print(f"{factor:5.2f}  " + "  ".join(f"{m:6.3f}" for m in lines) + f"  {np.median(moved.effective):6.0f}  {moved.refit_due}")


def _intercept(p: np.ndarray, x: np.ndarray, slope: float) -> float:
    """Return the intercept at which another slope leaves the model's missing rate as it was."""
    mean, scale = p[0] + p[1] * x, math.exp(p[2])

    def rate(a: float, c: float) -> float:
        return float(norm.cdf((a * mean + c) / math.sqrt(1 + (a * scale) ** 2)).mean())

    low, high, wanted = -50.0, 50.0, rate(p[4], p[3])
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if rate(slope, middle) < wanted else (low, middle)
    return low


if __name__ == "__main__":
    main()
