r"""Heads of a mixed decoder: columns of one kind, and how their law follows from the decoder's outputs eta(z).

    normal     x_j | z ~ N(eta, d_j^2), where d_j may grow with eta, or fall
    ordinal    P(x_j <= k | z) = sigmoid(t_jk - eta), t_jk rising in k; two levels are a Bernoulli
    category   P(x_j = k | z) = softmax(eta)_k, one output a level
    count      x_j | z negative binomial of mean exp(eta) and size r_j

A head says what an observed value tells of its outputs near their start: with the score g of log p(x_j | eta) and the information W
at a given eta, the value eta + g / W with variance 1 / W, a step of Fisher scoring (McCullagh and Nelder, "Generalized Linear Models",
1989). For a normal column that is the value itself. :class:`~pyro_mnar.networks.conjugate_encoder.ConjugateEncoder` reads it.

A new kind is one class (:class:`~pyro_mnar.networks.head.Head`) and one row in the table of contract tests.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, one_hot, softplus

from pyro_mnar.distributions import continuous
from pyro_mnar.distributions.alignment import evenly
from pyro_mnar.distributions.discrete import CountCells, LevelCells
from pyro_mnar.distributions.indexing import beside, columns_of
from pyro_mnar.networks.head import Head, ScaledHead
from pyro_mnar.networks.layers import inverse_softplus

# Beyond every cut point: its sigmoid is 0 or 1.
_ENDS = 1e4
# Size r of a negative binomial: from a variance of many times the mean's to nearly a Poisson's.
_LOG_SIZE = (-1.2, 6.9)


class NormalHead(ScaledHead):
    """Columns of real values.

    Args:
        columns: their indices.

    Example:
        >>> NormalHead([0, 2])(torch.zeros(7, 2)).batch_shape
        torch.Size([7, 2])
    """

    rowwise = normal = True

    def __init__(self, columns: Sequence[int]) -> None:
        super().__init__(columns, range(len(columns)), torch.zeros(len(columns)))

    def forward(self, eta: Tensor) -> continuous.Normal:
        """Return the law of the columns, (..., J), given outputs (..., J)."""
        return continuous.Normal(eta, self.scale(eta))

    def scoring(self, eta: Tensor) -> tuple[Tensor, ...]:
        """Return the variances."""
        return (self.scale(eta).square(),)

    def told(self, x: Tensor, eta: Tensor, scoring: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        (variance,) = scoring
        return x - eta, variance

    @torch.no_grad()
    def center(self, bias: Tensor, means: Tensor) -> None:
        bias.copy_(means)


class OrdinalHead(Head):
    """Columns of ordered levels, of two or more, which may differ in number.

    Args:
        columns: their indices.
        shares: those of each column's levels, above 0: where the law starts.
        first: each column's value of level 0.
        step: each column's distance from one level to the next.

    Example:
        >>> head = OrdinalHead([1], [[0.2, 0.3, 0.5]], [0.0], [1.0])
        >>> [round(v, 3) for v in head(torch.zeros(1)).log_probs.exp().squeeze(-1).tolist()]
        [0.2, 0.3, 0.5]
    """

    rowwise = True
    first: Tensor
    step: Tensor
    absent: Tensor

    def __init__(
        self, columns: Sequence[int], shares: Sequence[Sequence[float]], first: Sequence[float], step: Sequence[float]
    ) -> None:
        super().__init__(columns, range(len(columns)), torch.zeros(len(columns)))
        levels = [len(part) for part in shares]
        most = max(levels)
        cuts = torch.zeros(len(columns), most - 1, dtype=torch.float64)
        for j, part in enumerate(shares):
            share = torch.tensor(part, dtype=torch.float64)
            cuts[j, : len(part) - 1] = torch.logit((share / share.sum()).cumsum(0)[:-1].clamp(1e-4, 1 - 1e-4))
            cuts[j, len(part) - 1 :] = cuts[j, len(part) - 2]
        gaps = inverse_softplus(cuts.diff(dim=-1).clamp_min(1e-3))
        self.lowest, self.raw_gaps = nn.Parameter(cuts[:, 0].float()), nn.Parameter(gaps.float())
        self.register_buffer("first", torch.tensor(first, dtype=torch.float32), persistent=False)
        self.register_buffer("step", torch.tensor(step, dtype=torch.float32), persistent=False)
        self.register_buffer("absent", torch.arange(most).unsqueeze(-1) >= torch.tensor(levels), persistent=False)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Return the cut points below and above each level, (V, J); (V, N, J) where rows have their own."""
        lowest = self.lowest.unsqueeze(0)
        cuts = torch.cat([lowest, lowest + softplus(self.raw_gaps.movedim(-1, 0)).cumsum(0)])
        end = torch.full_like(lowest, _ENDS)
        beyond = torch.cat([self.absent[1:], self.absent.new_ones(1, self.absent.shape[-1])])
        return torch.cat([-end, cuts]), torch.cat([cuts, end]).masked_fill(beside(beyond, lowest.dim() - 1), _ENDS)

    def forward(self, eta: Tensor) -> LevelCells:
        """Return the law of the columns, (..., J), given outputs (..., J)."""
        below, above = (beside(part, eta.dim()) for part in self.bounds())
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)), and a - b is free of eta.
        width = torch.where(below < above, above - below, 1.0)
        log_probs = logsigmoid(above - eta) + logsigmoid(eta - below) + torch.log(-torch.expm1(-width))
        return LevelCells(log_probs.masked_fill(beside(self.absent, eta.dim()), -torch.inf), self.first, self.step)

    def scoring(self, eta: Tensor) -> tuple[Tensor, ...]:
        """Return the levels' scores, (V, J), and the information, (J,)."""
        below, above = self.bounds()
        score = torch.sigmoid(above - eta) + torch.sigmoid(below - eta) - 1
        share = self(eta).log_probs.exp()
        return score, (share * score.square()).sum(0).clamp_min(0.01)

    def told(self, x: Tensor, eta: Tensor, scoring: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        score, information = scoring
        index = ((x - self.first) / self.step).round().long().clamp(0, score.shape[-2] - 1)
        own = score.expand(*x.shape[:-1], *score.shape[-2:]).gather(-2, index.unsqueeze(-2)).squeeze(-2)
        return own / information, information.reciprocal()

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what a network reads of values (..., J), 0 where missing."""
        return 4 * x


class CategoryHead(Head):
    """Columns of categories without order, coded 0, 1, ... as floats.

    Args:
        columns: their indices.
        shares: those of each column's categories, above 0: where the law starts.

    Example:
        >>> head = CategoryHead([1], [[0.2, 0.3, 0.5]])
        >>> [round(v, 3) for v in head(head.start).log_probs.exp().squeeze(-1).tolist()]
        [0.2, 0.3, 0.5]
    """

    rowwise = True
    place: Tensor

    def __init__(self, columns: Sequence[int], shares: Sequence[Sequence[float]]) -> None:
        levels = [len(part) for part in shares]
        owner = [j for j, count in enumerate(levels) for _ in range(count)]
        start = torch.cat([torch.tensor(part, dtype=torch.float32).log().log_softmax(0) for part in shares])
        super().__init__(columns, owner, start, len(owner))
        self.levels = levels
        # (V, J): where a column's output for a level stands; the place after the last holds minus infinity.
        place = torch.full((max(self.levels), len(self.levels)), len(start))
        for j, count in enumerate(self.levels):
            place[:count, j] = torch.arange(count) + sum(self.levels[:j])
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("first", torch.zeros(len(columns)), persistent=False)
        self.register_buffer("step", torch.ones(len(columns)), persistent=False)

    first: Tensor
    step: Tensor

    def forward(self, eta: Tensor) -> LevelCells:
        """Return the law of the columns, (..., J), given outputs (..., the sum of their numbers of levels)."""
        padded = nn.functional.pad(eta, (0, 1), value=-torch.inf)
        outputs = columns_of(padded, self.place.flatten()).unflatten(-1, self.place.shape)
        return LevelCells(outputs.movedim(-2, 0).log_softmax(0), self.first, self.step)

    def scoring(self, eta: Tensor) -> tuple[Tensor, ...]:
        """Return the levels' probabilities and information, (outputs,)."""
        share = torch.cat([part.softmax(0) for part in eta.split(self.levels)])
        return share, (share * (1 - share)).clamp_min(0.01)

    def told(self, x: Tensor, eta: Tensor, scoring: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        share, information = scoring
        return (self._indicators(x) - share) / information, information.reciprocal()

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what a network reads of values (..., J): an indicator for each level, 0 where missing."""
        return torch.where(columns_of(mask, self.owner), self._indicators(x), 0.0)

    def _indicators(self, x: Tensor) -> Tensor:
        index = x.round().long()
        hot = [one_hot(index[..., j].clamp(0, count - 1), count) for j, count in enumerate(self.levels)]
        return torch.cat(hot, -1).to(x.dtype)


class CountHead(Head):
    """Columns of counts 0, 1, 2, ...

    Args:
        columns: their indices.
        means: each column's mean, above 0: where the law starts.
        largest: the largest count seen of each; the mean given z stays below about twice that.
        first: each column's value of the count 0.
        step: each column's distance from one count to the next.

    Example:
        >>> head = CountHead([0], [3.0], [9.0], [0.0], [1.0])
        >>> bool((head(head.start.expand(2, 1)).mean > 2.7).all())
        True
    """

    rowwise = True
    log_cap: Tensor
    first: Tensor
    step: Tensor

    def __init__(
        self, columns: Sequence[int], means: Sequence[float], largest: Sequence[float], first: Sequence[float], step: Sequence[float]
    ) -> None:
        super().__init__(columns, range(len(columns)), torch.tensor(means, dtype=torch.float32).log())
        self.raw_size = nn.Parameter(torch.zeros(len(columns)))
        self.register_buffer("log_cap", (2 * torch.tensor(largest, dtype=torch.float32) + 10).log(), persistent=False)
        self.register_buffer("first", torch.tensor(first, dtype=torch.float32), persistent=False)
        self.register_buffer("step", torch.tensor(step, dtype=torch.float32), persistent=False)

    def log_size(self) -> Tensor:
        """Return log r, (J,)."""
        low, high = _LOG_SIZE
        return low + (high - low) * torch.sigmoid(self.raw_size)

    def forward(self, eta: Tensor) -> CountCells:
        """Return the law of the columns, (..., J), given outputs (..., J)."""
        short = self.log_cap - eta
        bent = softplus(short) if eta.dim() == 1 else evenly(softplus, short)
        return CountCells(self.log_cap - bent, self.log_size(), self.first, self.step)

    def scoring(self, eta: Tensor) -> tuple[Tensor, ...]:
        """Return the means, how they rise with the outputs, and what :meth:`told` says the variances are, (J,)."""
        mean, size = self(eta).log_mean.exp(), self.log_size().exp()
        slope = torch.sigmoid(self.log_cap - eta)  # of the log mean, which the cap bends
        return mean, mean * slope, (1 / mean + 1 / size) / slope.square()

    def told(self, x: Tensor, eta: Tensor, scoring: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        mean, rise, variance = scoring
        return ((x - self.first) / self.step - mean) / rise, variance
