"""Normal and Student-t laws that keep their parameters as given, and a normal by its precision.

Torch's own broadcast each parameter to the batch shape, so the logarithm of a scale that is one number a column is taken once for
every particle, row and column, and so is everything else that is computed from it. Here a parameter keeps its shape until it meets
a value. What a reader sees (``loc``, ``scale``, ``batch_shape``, ...) is as in torch.

A Student-t is a normal whose variance d^2 / lambda is random. Its Gamma(df/2, df/2) scale lambda is integrated by the trapezoid rule in
log lambda, whose error falls exponentially for smooth integrands (Trefethen and Weideman, "The exponentially convergent trapezoidal
rule", SIAM Review 56, 2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

import pyro.distributions as dist
import torch
from pyro.distributions.util import broadcast_shape
from torch import Tensor
from torch.distributions import Chi2, Distribution, constraints
from torch.nn import functional

from pyro_mnar.distributions.alignment import TOGETHER, aligned, definite, evenly, together_of
from pyro_mnar.distributions.cells import OwnScore, spread
from pyro_mnar.distributions.censored import Normals, marginal_score
from pyro_mnar.distributions.indexing import chosen_of, columns_of, put_back
from pyro_mnar.distributions.links import log_ndtr
from pyro_mnar.distributions.missing_normals import NormalMixture

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
# Standardized log lambda: a fall of exp(-|g|) on the left; on the right doubly exponential for few degrees of freedom, a normal's
# for many.
_GRID = tuple(-14 + 0.4 * i for i in range(52))


class AsGiven(NormalMixture):
    """Keeps ``given``, parameters that broadcast to the batch shape and agree in the last dimension."""

    given: dict[str, Tensor]
    _batch_shape: torch.Size

    def _keep(self, **given: Tensor) -> None:
        self.given = given
        shape = torch.Size(broadcast_shape(*(value.shape for value in given.values())))
        Distribution.__init__(self, shape, validate_args=False)  # type: ignore[arg-type]  # a mixin of distributions

    loc = property(lambda self: self.given["loc"].expand(self._batch_shape))
    scale = property(lambda self: self.given["scale"].expand(self._batch_shape))

    @property
    def like(self) -> Tensor:
        return self.given["loc"]

    def take(self, columns: Tensor | slice | Sequence[int]) -> Self:
        return type(self)(**{name: columns_of(value, columns) for name, value in self.given.items()})

    def at(self, chosen: Tensor, together: int = TOGETHER) -> Self:
        return type(self)(**{name: chosen_of(value, chosen, together) for name, value in self.given.items()})

    def _full(self, log_prob: Tensor) -> Tensor:
        # A value has the batch's shape as a rule, perhaps with more in front; then there is nothing to do.
        shape = self._batch_shape
        return log_prob if log_prob.shape[-len(shape) :] == shape else log_prob.expand(broadcast_shape(log_prob.shape, shape))


class Normal(AsGiven, dist.Normal):
    """N(loc, scale^2).

    Example:
        >>> law = Normal(torch.zeros(7, 3), torch.ones(3)).expand([5, 7, 3])
        >>> law.log_prob(torch.zeros(3)).shape, law.scale.shape, law.given["scale"].shape
        (torch.Size([5, 7, 3]), torch.Size([5, 7, 3]), torch.Size([3]))
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self._keep(loc=loc, scale=scale)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        loc, shape = self.given["loc"], (*sample_shape, *self._batch_shape)
        return torch.addcmul(loc, self.given["scale"], torch.randn(shape, dtype=loc.dtype, device=loc.device))

    def log_prob(self, value: Tensor) -> Tensor:
        rate = self.given["scale"].reciprocal()
        deviation = (value - self.given["loc"]) * rate
        return self._full(torch.addcmul(evenly(torch.log, rate) - _HALF_LOG_2PI, deviation, deviation, value=-0.5))

    def normals(self) -> Normals:
        mean, scale = (self.given[name].unsqueeze(-1) for name in ("loc", "scale"))
        return Normals(mean.new_zeros(1), mean, scale)

    def log_mask(self, own: OwnScore, x: Tensor, mask: Tensor) -> Tensor:
        line = own.probit()
        if line is None:
            return super().log_mask(own, x, mask)
        slope, intercept = line
        seen = -(slope * x + intercept)
        if torch.is_grad_enabled():
            # Both are log Phi of something: one call.
            return log_ndtr(torch.where(mask, seen, marginal_score(self.given["loc"], self.given["scale"], slope, intercept)))
        # What particles share, once; of missing cells alone what they do not.
        hidden = spread(~mask, self.batch_shape)
        together = together_of(self._batch_shape[: len(self._batch_shape) - hidden.dim()].numel())
        cells = self.at(hidden, together)
        score = marginal_score(*cells.given.values(), *(chosen_of(part, hidden, together) for part in line))
        return put_back(log_ndtr(score), log_ndtr(seen).expand(*score.shape[:-1], *hidden.shape), hidden)


class StandardNormal(Normal):
    """N(0, 1) in each of ``len(zeros)`` dimensions; ``zeros``, (L,), says dtype and device.

    Example:
        >>> round(float(StandardNormal(torch.zeros(1)).log_prob(torch.zeros(5, 1))[0]), 4)
        -0.9189
    """

    def __init__(self, zeros: Tensor) -> None:
        super().__init__(zeros, torch.ones_like(zeros))

    def log_prob(self, value: Tensor) -> Tensor:
        return self._full(torch.addcmul(self.given["loc"] - _HALF_LOG_2PI, value, value, value=-0.5))


class StudentT(AsGiven, dist.StudentT):
    """A Student-t law with ``df`` degrees of freedom.

    Example:
        >>> StudentT(torch.full((3,), 5.0), torch.zeros(7, 3), torch.ones(3)).sample().shape
        torch.Size([7, 3])
    """

    def __init__(self, df: Tensor, loc: Tensor, scale: Tensor) -> None:
        self._keep(df=df, loc=loc, scale=scale)

    df = property(lambda self: self.given["df"].expand(self._batch_shape))
    _chi2 = property(lambda self: Chi2(self.df, validate_args=False))

    def log_prob(self, value: Tensor) -> Tensor:
        df, loc, scale = self.given["df"], self.given["loc"], self.given["scale"]
        constant = torch.lgamma(0.5 * (df + 1)) - torch.lgamma(0.5 * df) - 0.5 * (df * math.pi).log() - scale.log()
        return self._full(constant - 0.5 * (df + 1) * torch.log1p(((value - loc) / scale).square() / df))

    def normals(self) -> Normals:
        df, mean, scale = (self.given[name].unsqueeze(-1) for name in ("df", "loc", "scale"))
        half = 0.5 * df
        log_lambda = torch.digamma(half) - half.log() + torch.polygamma(1, half).sqrt() * mean.new_tensor(_GRID)
        log_weight = (half * (log_lambda - log_lambda.exp())).log_softmax(-1)
        return Normals(log_weight, mean, scale * torch.exp(-0.5 * log_lambda))


class PrecisionNormal(dist.TorchDistribution):
    """N(loc, (C C')^-1) in L dimensions, from the Cholesky factor C of its precision; what a conjugate update returns.

    Args:
        loc: (..., L).
        factor: C, (..., L, L), lower triangular with a positive diagonal.

    Example:
        >>> law = PrecisionNormal.of(torch.ones(7, 2), 4 * torch.eye(2).expand(7, 2, 2))
        >>> law.loc[0].tolist(), law.sample().shape
        ([0.25, 0.25], torch.Size([7, 2]))
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, factor: Tensor) -> None:
        self.loc, self.factor, self._aligned = loc, factor, definite(factor)
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @classmethod
    def of(cls, moment: Tensor, precision: Tensor) -> PrecisionNormal:
        """Return the law of natural parameters precision times loc, (..., L), and ``precision`` (..., L, L).

        Where rounding leaves a precision that is none, all is NaN: a loss that is no number stops training with a word about it, and
        a row without weights is named.
        """
        factor, failed = torch.linalg.cholesky_ex(precision)
        if bool(failed.any()):
            factor = torch.where(failed.bool()[..., None, None], torch.nan, factor)
        loc = torch.cholesky_solve(aligned(moment).unsqueeze(-1), definite(factor)).squeeze(-1)
        return cls(loc[..., : moment.shape[-1]], factor)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> PrecisionNormal:
        # The factor stays as it is: what is computed with it broadcasts.
        return PrecisionNormal(self.loc.expand(*batch_shape, -1), self.factor)

    @property
    def like(self) -> Tensor:
        """A tensor of the law's type."""
        return self.loc

    def from_normals(self, noise: Tensor) -> Tensor:
        """Return the draws that standard normals ``noise`` (..., L) stand for."""
        return self.loc + self._each(lambda columns: torch.linalg.solve_triangular(self._aligned.mT, columns, upper=True), noise)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.from_normals(torch.randn((*sample_shape, *self.loc.shape), dtype=self.loc.dtype, device=self.loc.device))

    def log_prob(self, value: Tensor) -> Tensor:
        whitened = self._each(lambda columns: self._aligned.mT @ columns, value - self.loc)
        log_det = torch.diagonal(self.factor, dim1=-2, dim2=-1).log().sum(-1)
        return log_det - 0.5 * whitened.square().sum(-1) - _HALF_LOG_2PI * self.loc.shape[-1]

    def _each(self, function: Callable[[Tensor], Tensor], vectors: Tensor) -> Tensor:
        """Apply a function of columns (..., L, K) to ``vectors``: particles share a factor, so they are its columns."""
        n_lead = vectors.dim() - self.factor.dim() + 1
        columns = vectors.flatten(0, n_lead - 1) if n_lead else vectors.unsqueeze(0)
        columns = functional.pad(columns, (0, self._aligned.shape[-1] - columns.shape[-1]))
        return function(columns.movedim(0, -1)).movedim(-1, 0)[..., : vectors.shape[-1]].reshape(vectors.shape)


class Categorical(dist.Categorical):
    """A law of 0, 1, ..., V - 1 with the mean of these numbers, which torch's has not.

    Example:
        >>> round(float(Categorical(logits=torch.zeros(3)).mean), 4)
        1.0
    """

    @property
    def mean(self) -> Tensor:
        values = torch.arange(self._num_events, dtype=self.probs.dtype, device=self.probs.device)
        mean: Tensor = aligned(self.probs) @ aligned(values)
        return mean
