r"""Cells of levels and of counts: laws on evenly spaced values, of which a self-masked missing one is summed out.

A cell takes the values first + k step, k = 0, 1, ..., so that columns of any kind share the scaled units in which mechanisms and
encoders read them. Its integral is the sum

    sum_k p(k | z) P(s = 0 | first + k step),

finite for levels. Counts have no last value: the sum ends where the law's upper tail is below 1e-10, and what is left out is smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
from pyro.distributions import TorchDistribution
from pyro.distributions.util import broadcast_shape
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import softplus

from pyro_mnar.distributions.alignment import TOGETHER, evenly
from pyro_mnar.distributions.cells import Cells, Censored, OwnScore
from pyro_mnar.distributions.indexing import chosen_of, columns_of

#: Upper tail of a count that sums leave out.
TAIL = 1e-10
# Counts beyond a limit that are summed over.
_MOST = 20_000
# Of Newton's method for the last count of a sum.
_ROUNDS = 4


class OnPoints:
    """M missing cells as sums over ``values`` (V, ..., M) with their ``log_joint`` log p(v | z) P(s = 0 | v), (V, ..., M)."""

    values: Tensor
    log_joint: Tensor

    @property
    def log_mass(self) -> Tensor:
        return self.log_joint.logsumexp(0)

    @property
    def mean(self) -> Tensor:
        return self.mean_of(lambda values: values)

    def mean_of(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        return (self.log_joint.softmax(0) * function(self.values)).sum(0)


class CensoredLevels(OnPoints):
    """M missing cells of levels or counts: ``values`` are (V, 1, ..., M)."""

    def __init__(self, values: Tensor, log_joint: Tensor, named: bool) -> None:
        self.values, self.log_joint = values, log_joint
        self.probabilities = log_joint.softmax(0) if named else None

    def draw(self, uniforms: Tensor) -> Tensor:
        uniform, values = uniforms[..., 0], self.values
        share, *_ = torch.broadcast_tensors(self.log_joint.softmax(0), values)
        lead = (len(values), *[1] * (uniform.dim() - share.dim() + 1))
        # Up to the sum, which rounding may have moved off 1: values of no probability, such as levels that a column lacks, stay out.
        total = share.cumsum(0)
        total = total.reshape(*lead, *share.shape[1:])
        index = (total < uniform * total[-1]).sum(0).clamp(max=len(values) - 1)
        choices = values.expand_as(share).reshape(*lead, *share.shape[1:]).expand(-1, *index.shape)
        return choices.gather(0, index.unsqueeze(0)).squeeze(0)


class _GridCells(Cells, TorchDistribution):
    """Laws of J columns on the values ``first`` + k ``step``, (J,) each; parameters end in J (or in M cells, see ``at``)."""

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real
    has_rsample = False
    discrete = True
    #: Whether its values are levels, of which each has a probability that is asked for.
    named = False

    def __init__(self, batch_shape: Sequence[int], first: Tensor, step: Tensor) -> None:
        self.first, self.step = first, step
        super().__init__(torch.Size(batch_shape), validate_args=False)

    @property
    def like(self) -> Tensor:
        return self.first

    def take(self, columns: Tensor | slice | Sequence[int]) -> Self:
        return self._each(lambda value: columns_of(value, columns))

    def at(self, chosen: Tensor, together: int = TOGETHER) -> Self:
        return self._each(lambda value: chosen_of(value, chosen, together))

    def censored(self, own: OwnScore | None) -> Censored:
        values, log_probs = self.table()
        return CensoredLevels(values, log_probs if own is None else log_probs + own.log_missing(values), self.named)

    def within(self, low: Tensor, high: Tensor, own: OwnScore | None = None) -> Censored:
        values, log_probs = self.table(low)
        log_probs = log_probs.masked_fill(~((values > low) & (values < high)), -torch.inf)
        return CensoredLevels(values, log_probs if own is None else log_probs + own.log_missing(values), self.named)

    def table(self, beyond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the values (V, 1, ..., J) and log p(v), (V, ..., J); of counts those that have all but ``TAIL`` of the probability,
        and where values ``beyond`` (..., J) are asked for, of what lies there."""
        log_probs = self._log_probs(beyond)
        k = torch.arange(len(log_probs), dtype=self.first.dtype, device=self.first.device)
        values = self.first + self.step * k.reshape(-1, *[1] * (log_probs.dim() - 1))
        return values, log_probs

    @property
    def mean(self) -> Tensor:
        """(..., J)."""
        values, log_probs = self.table()
        return (log_probs.exp() * values).sum(0).expand(self._batch_shape)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        values, log_probs = self.table()
        shape = torch.Size((*sample_shape, *self._batch_shape))
        law = torch.distributions.Categorical(logits=log_probs.detach().movedim(0, -1).expand(*self._batch_shape, -1))
        index: Tensor = law.sample(torch.Size(sample_shape))
        return self.first + self.step * index.to(values).reshape(shape)

    def _each(self, function: Callable[[Tensor], Tensor]) -> Self:
        raise NotImplementedError

    def _log_probs(self, beyond: Tensor | None) -> Tensor:
        raise NotImplementedError

    def _index(self, value: Tensor) -> Tensor:
        return ((value - self.first) / self.step).round()


class LevelCells(_GridCells):
    """Cells of V levels at most.

    Args:
        log_probs: (V, ..., J), minus infinity for levels that a column does not have.
        first: (J,) value of level 0.
        step: (J,) from one level to the next.

    Example:
        >>> law = LevelCells(torch.tensor([[0.2], [0.8]]).log(), torch.zeros(1), torch.ones(1))
        >>> [round(float(v), 3) for v in (law.mean, law.log_prob(torch.ones(1)).exp())]
        [0.8, 0.8]
    """

    named = True

    def __init__(self, log_probs: Tensor, first: Tensor, step: Tensor) -> None:
        self.log_probs = log_probs
        super().__init__(log_probs.shape[1:], first, step)

    def log_prob(self, value: Tensor) -> Tensor:
        index = self._index(value).long().clamp(0, len(self.log_probs) - 1)
        shape = broadcast_shape(index.shape, self._batch_shape)
        log_probs = self.log_probs.reshape(
            len(self.log_probs), *[1] * (len(shape) - self.log_probs.dim() + 1), *self.log_probs.shape[1:]
        )
        return log_probs.expand(-1, *shape).gather(0, index.expand(shape).unsqueeze(0)).squeeze(0)

    def _log_probs(self, beyond: Tensor | None) -> Tensor:
        return self.log_probs

    def _each(self, function: Callable[[Tensor], Tensor]) -> LevelCells:
        return LevelCells(function(self.log_probs), function(self.first), function(self.step))


class CountCells(_GridCells):
    """Counts: negative binomial, of variance m + m^2 / r about the mean m.

    Args:
        log_mean: log m, (..., J).
        log_size: log r, (J,).
        first: (J,) value of the count 0.
        step: (J,) from one count to the next.

    Example:
        >>> law = CountCells(torch.tensor([3.0]).log(), torch.tensor([5.0]).log(), torch.zeros(1), torch.ones(1))
        >>> [round(float(v), 3) for v in (law.mean, law.log_prob(torch.zeros(1)).exp())]
        [3.0, 0.095]
    """

    def __init__(self, log_mean: Tensor, log_size: Tensor, first: Tensor, step: Tensor) -> None:
        self.log_mean, self.log_size = log_mean, log_size
        super().__init__(broadcast_shape(log_mean.shape, log_size.shape), first, step)

    @property
    def mean(self) -> Tensor:
        return (self.first + self.step * self.log_mean.exp()).expand(self._batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        log_prob = self._log_prob(self._index(value))
        return log_prob.expand(broadcast_shape(log_prob.shape, self._batch_shape))

    def _log_prob(self, k: Tensor) -> Tensor:
        size, odds = self.log_size.exp(), self.log_mean - self.log_size
        ways = torch.lgamma(k + size) - torch.lgamma(size) - torch.lgamma(k + 1)
        return ways - size * evenly(softplus, odds) - k * evenly(softplus, -odds)

    def _log_probs(self, beyond: Tensor | None) -> Tensor:
        last = self._last(beyond)
        count = int(last.max()) + 1 if last.numel() else 1
        k = torch.arange(count, dtype=self.log_mean.dtype, device=self.log_mean.device).reshape(-1, *[1] * self.log_mean.dim())
        # Each cell's sum ends where its own does, whichever cells are beside it.
        return self._log_prob(k).masked_fill(k > last, -torch.inf)

    @torch.no_grad()
    def _last(self, beyond: Tensor | None) -> Tensor:
        """Return the last value that each cell's sum has, (..., J): all but ``TAIL`` of the probability lies below, by Chernoff's bound

            log P(k or more) <= (k + r) log((k + r) / (m + r)) - k log(k / m)        for k above m,

        which is concave in k: Newton's method does not fall short. Where values ``beyond`` (..., J) are asked for, all but ``TAIL`` of
        what lies above these.
        """
        mean, size = torch.broadcast_tensors(self.log_mean.double().exp().nan_to_num(0.0, 0.0), self.log_size.double().exp())
        mean = mean.clamp_min(1e-30)
        excess = 1 + mean / size
        last = mean - math.log(TAIL) * excess + (-2 * math.log(TAIL) * mean * excess).sqrt()
        for _ in range(_ROUNDS):
            left = last * (last / mean).log() - (last + size) * ((last + size) / (mean + size)).log() + math.log(TAIL)
            last = last - left / ((last / mean).log() - ((last + size) / (mean + size)).log())
        if beyond is not None:
            first = ((beyond.double() - self.first) / self.step).clamp(max=_MOST).maximum(last)
            # From there on, beyond the mode, each value's probability is at most so many times the one's before.
            ratio = torch.sigmoid(self.log_mean - self.log_size) * ((first + size) / (first + 1)).clamp_min(1.0)
            last = first + (math.log(TAIL) / ratio.clamp(max=1 - 1e-3).log()).clamp(max=_MOST)
        ends: Tensor = last.ceil().to(self.log_mean)
        return ends

    def _each(self, function: Callable[[Tensor], Tensor]) -> CountCells:
        return CountCells(function(self.log_mean), function(self.log_size), function(self.first), function(self.step))
