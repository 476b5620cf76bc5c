"""Exact answers for linear-Gaussian models, in float64, and the z scores with which Monte Carlo results are held
against them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from scipy import special, stats
from torch import Tensor, nn

from pyro_mnar.distributions.links import PROBIT, Link
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.model import EnergyTilt
from pyro_mnar.networks import GaussianDecoder
from pyro_mnar.networks.layers import MIN_SCALE

Array = NDArray[np.float64]

#: Bound on |z| that some hundreds of comparisons pass together with probability above .99.
Z_MAX = 4.5


@torch.no_grad()
def even(part: nn.Module) -> None:
    """Have noise not grow with the mean, where it does."""
    for name, parameter in part.named_parameters():
        if name.rpartition(".")[-1] == "growth":
            parameter.zero_()


def z_score(draws: Tensor, exact: Tensor | float, dim: int = 0) -> Tensor:
    """Return (mean of ``draws`` - exact) / standard error, along ``dim``."""
    draws = draws.double()
    return (draws.mean(dim) - exact) / (draws.std(dim) / draws.shape[dim] ** 0.5)


def z_between(a: Tensor, b: Tensor, dim: int = 0) -> Tensor:
    """Return the difference of the means of two independent samples over its standard error."""
    a, b = a.double(), b.double()
    return (a.mean(dim) - b.mean(dim)) / (a.var(dim) / a.shape[dim] + b.var(dim) / b.shape[dim]).sqrt()


@dataclass(frozen=True)
class Conditional:
    """log p(x_obs, s) and the moments of x_mis given it; ``mean`` (m,), ``cov`` (m, m)."""

    log_prob: float
    mean: Array
    cov: Array


@dataclass(frozen=True)
class LinearGaussian:
    """x = W z + b + d e with z, e standard normal: ``weight`` (D, L), ``bias`` (D,), ``noise`` (D,)."""

    weight: Array
    bias: Array
    noise: Array

    @property
    def cov(self) -> Array:
        return self.weight @ self.weight.T + np.diag(self.noise**2)

    def ignorable(self, x: Array, mask: NDArray[np.bool_]) -> Conditional:
        """log p(x_obs) of one row ``x`` (D,), and x_mis given x_obs."""
        o, m = mask, ~mask
        cov = self.cov
        gain = cov[np.ix_(m, o)] @ np.linalg.inv(cov[np.ix_(o, o)]) if o.any() else np.zeros((int(m.sum()), 0))
        mean = self.bias[m] + gain @ (x[o] - self.bias[o])
        cond = cov[np.ix_(m, m)] - gain @ cov[np.ix_(o, m)]
        log_prob = stats.multivariate_normal(self.bias[o], cov[np.ix_(o, o)]).logpdf(x[o]) if o.any() else 0.0
        return Conditional(float(log_prob), mean, cond)

    def probit(self, x: Array, mask: NDArray[np.bool_], slope: Array, intercept: Array) -> float:
        """log p(x_obs, s) under P(s_j = 0 | x) = Phi(a_j x_j + c_j); a slope of NaN: column j is not modeled."""
        free = self.ignorable(x, mask)
        modeled = ~np.isnan(slope)
        seen = mask & modeled
        total = free.log_prob + special.log_ndtr(-(slope[seen] * x[seen] + intercept[seen])).sum()
        a, c = slope[~mask], intercept[~mask]
        own = modeled[~mask]
        if not own.any():
            return float(total)
        # Missing if and only if u = a x + c + e > 0, e ~ N(0, 1): a normal orthant probability.
        a, c = a[own], c[own]
        mean = a * free.mean[own] + c
        cov = a[:, None] * free.cov[np.ix_(own, own)] * a[None, :] + np.eye(len(a))
        if len(a) == 1:
            return float(total + special.log_ndtr(mean[0] / cov[0, 0] ** 0.5))
        law = stats.multivariate_normal(np.zeros(len(a)), cov, seed=0)
        law.abseps, law.releps, law.maxpts = 1e-9, 1e-9, 4_000_000
        return float(total + np.log(law.cdf(mean)))

    def probit_one(self, x: Array, mask: NDArray[np.bool_], slope: Array, intercept: Array) -> Conditional:
        """As :meth:`probit`, with the moments of the one missing cell: an extended skew-normal."""
        free = self.ignorable(x, mask)
        (m,), ((var,),) = free.mean, free.cov
        a, c = slope[~mask][0], intercept[~mask][0]
        v = np.sqrt(1 + a**2 * var)
        k = (a * m + c) / v
        hazard = np.exp(stats.norm.logpdf(k) - special.log_ndtr(k))
        mean = m + a * var / v * hazard
        variance = var - (a * var / v) ** 2 * hazard * (k + hazard)
        return Conditional(self.probit(x, mask, slope, intercept), np.array([mean]), np.array([[variance]]))

    def grid(
        self, x: Array, mask: NDArray[np.bool_], log_mask: Callable[[Array], Array], points: int = 601, width: float = 9
    ) -> Conditional:
        """As :meth:`ignorable` under any mechanism, by the trapezoid rule over one or two missing cells.

        ``log_mask`` takes complete rows (..., D) and returns log p(s | x), (...). Exponentially accurate where smooth.
        """
        free = self.ignorable(x, mask)
        n_missing = len(free.mean)
        axis = np.linspace(-width, width, points)
        whitened = np.stack(np.meshgrid(*[axis] * n_missing, indexing="ij"), -1).reshape(-1, n_missing)
        x_mis = free.mean + whitened @ np.linalg.cholesky(free.cov).T
        rows = np.broadcast_to(x, (len(x_mis), len(x))).copy()
        rows[:, ~mask] = x_mis
        log_joint = -0.5 * (whitened**2).sum(-1) + log_mask(rows)
        log_total = special.logsumexp(log_joint)
        log_cell = n_missing * (np.log(axis[1] - axis[0]) - 0.5 * np.log(2 * np.pi))
        weight = np.exp(log_joint - log_total)
        mean = weight @ x_mis
        centered = x_mis - mean
        return Conditional(float(free.log_prob + log_total + log_cell), mean, (weight[:, None] * centered).T @ centered)

    def elbo(self, x: Array, mask: NDArray[np.bool_], loc: Array, scale: Array) -> float:
        """The evidence lower bound without a mechanism, with q(z) = N(loc, diag(scale^2)), one row."""
        w, b, d = self.weight[mask], self.bias[mask], self.noise[mask]
        expected = stats.norm.logpdf(x[mask], w @ loc + b, d).sum() - 0.5 * ((w**2 @ scale**2) / d**2).sum()
        divergence = 0.5 * (scale**2 + loc**2 - 1).sum() - np.log(scale).sum()
        return float(expected - divergence)

    def decoder(self) -> GaussianDecoder:
        """This law as a decoder of the library's."""
        decoder = GaussianDecoder(self.weight.shape[1], self.weight.shape[0], hidden=()).double()
        assert decoder.linear is not None
        with torch.no_grad():
            decoder.linear.weight.copy_(torch.tensor(self.weight))
            decoder.linear.bias.copy_(torch.tensor(self.bias))
            decoder.raw_scale.copy_(torch.tensor(np.log(np.expm1(self.noise - MIN_SCALE))))
        return decoder


@dataclass(frozen=True)
class Quadratic:
    """The energy E(x) = (x - center)' precision (x - center) / 2, ``precision`` (D, D), ``center`` (D,)."""

    precision: Array
    center: Array

    def __call__(self, x: Tensor) -> Tensor:
        deviation = x - torch.tensor(self.center).to(x)
        return 0.5 * torch.einsum("...i,ij,...j->...", deviation, torch.tensor(self.precision).to(x), deviation)

    def tilt(self) -> EnergyTilt:
        return EnergyTilt(self)

    def log_z(self, law: LinearGaussian) -> float:
        """log E[exp(-E)] under a normal law."""
        inner = np.eye(len(law.bias)) + law.cov @ self.precision
        deviation = law.bias - self.center
        return float(-0.5 * np.linalg.slogdet(inner)[1] - 0.5 * deviation @ self.precision @ np.linalg.solve(inner, deviation))

    def tilted(self, law: LinearGaussian) -> LinearGaussian:
        """The tilted law, normal again."""
        cov = np.linalg.inv(np.linalg.inv(law.cov) + self.precision)
        mean = cov @ (np.linalg.solve(law.cov, law.bias) + self.precision @ self.center)
        noise = 0.5 * np.linalg.eigvalsh(cov)[0]
        return LinearGaussian(np.linalg.cholesky(cov - noise * np.eye(len(cov))), mean, np.full(len(cov), noise**0.5))


def self_masking(slope: Array | list[float], intercept: Array | list[float], link: Link = PROBIT) -> SelfMasking:
    """A self-masking mechanism in float64 with given slopes and intercepts; NaN slopes are columns not modeled."""
    a, c = (
        torch.as_tensor(np.asarray(slope), dtype=torch.float64),
        torch.as_tensor(np.asarray(intercept), dtype=torch.float64),
    )
    columns = (~a.isnan()).nonzero().squeeze(-1)
    mechanism = SelfMasking(len(a), columns.tolist(), "free", link).double()
    with torch.no_grad():
        mechanism.slope = a[columns]
        mechanism.offset.copy_(c[columns])
    return mechanism


class PosteriorEncoder(nn.Module):
    """q(z | x_obs) = the exact Gaussian posterior of a :class:`LinearGaussian` without a mechanism, its covariance
    times ``inflate``.

    With ``inflate`` above 1 the importance weights have light tails, so that z scores of their means are honest.
    """

    def __init__(self, law: LinearGaussian, inflate: float = 1.5) -> None:
        super().__init__()
        self.inflate = inflate
        self.register_buffer("weight", torch.tensor(law.weight))
        self.register_buffer("bias", torch.tensor(law.bias))
        self.register_buffer("noise", torch.tensor(law.noise))

    def forward(self, x: Tensor, mask: Tensor) -> dist.Distribution:
        precise = mask.double() / self.noise**2
        precision = torch.eye(self.weight.shape[1]).double() + torch.einsum("nd,dl,dm->nlm", precise, self.weight, self.weight)
        residual = torch.where(mask, x - self.bias, 0.0) * precise
        cov = torch.linalg.inv(precision)
        loc = (cov @ (residual @ self.weight).unsqueeze(-1)).squeeze(-1)
        return dist.MultivariateNormal(loc, self.inflate * cov)


#: Four columns and two latents, so that up to three cells of a row may miss.
LAW = LinearGaussian(
    weight=np.array([[0.9, 0.2], [-0.6, 0.7], [0.3, -0.8], [0.5, 0.5]]),
    bias=np.array([0.2, -0.1, 0.4, 0.0]),
    noise=np.array([0.5, 0.7, 0.6, 0.8]),
)
SLOPE, INTERCEPT = np.array([1.5, -2.0, np.nan, 0.7]), np.array([0.3, -0.2, 0.0, -0.5])
ENERGY = Quadratic(
    precision=np.array([[1.2, 0.5, 0.0, -0.3], [0.5, 0.8, 0.2, 0.0], [0.0, 0.2, 0.5, 0.1], [-0.3, 0.0, 0.1, 0.9]]),
    center=np.array([1.0, 0.5, -0.5, 0.3]),
)
ROWS = np.array([[0.5, -0.3, 1.1, 0.2], [1.4, 0.8, -0.2, -0.6], [-0.7, 0.1, 0.9, 1.3], [0.0, -1.2, 0.6, 0.4], [0.3, 0.3, -0.5, 0.9]])
MASKS = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 0], [1, 0, 0, 1]], dtype=bool)


def log_self_masking(mask: NDArray[np.bool_], slope: Array, intercept: Array, link: str = "probit") -> Callable[[Array], Array]:
    """log p(s | x) of complete rows, for :meth:`LinearGaussian.grid`."""
    log_cdf = {"probit": special.log_ndtr, "logit": special.log_expit}[link]
    modeled = ~np.isnan(slope)
    sign = np.where(mask, -1.0, 1.0)[modeled]
    return lambda rows: log_cdf(sign * (rows[:, modeled] * slope[modeled] + intercept[modeled])).sum(-1)
