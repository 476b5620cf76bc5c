"""Self-masking by category: how often a value goes missing is a number of each category's own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_mnar.distributions.censored import Missing
from pyro_mnar.distributions.indexing import column_indices, indicator
from pyro_mnar.distributions.links import LOGIT, THRESHOLD, Link
from pyro_mnar.mechanisms.base import MaskDistribution


class CategoryMasking(nn.Module):
    """P(s_j = 0 | x_j = k) = F(c_j + e_jk): categories have no order, so no direction either.

    Only differences of the e_jk matter beside c_j; a prior (:mod:`pyro_mnar.model.priors`) says that they add to about 0.

    Args:
        n_columns: D.
        columns: indices of the modeled columns, whose values are 0, 1, ... as floats.
        levels: how many categories each of them has.
        link: ``LOGIT`` or ``PROBIT``.

    Raises:
        ValueError: for columns out of range, a wrong count of levels, fewer than two of them, or a threshold.

    Example:
        >>> mechanism = CategoryMasking(3, [2], [4])
        >>> mechanism(torch.zeros(5, 3)).log_prob(torch.ones(5, 3, dtype=torch.bool)).shape
        torch.Size([5])
    """

    columns: Tensor
    couplings: Tensor
    index: Tensor

    def __init__(self, n_columns: int, columns: Sequence[int], levels: Sequence[int], link: Link = LOGIT) -> None:
        super().__init__()
        indices = column_indices(columns, n_columns)
        if len(levels) != len(indices) or min(levels) < 2:
            raise ValueError(f"levels: got {list(levels)}, expected 2 or more for each of {len(indices)} columns")
        if link is THRESHOLD:
            raise ValueError("link: got THRESHOLD, expected LOGIT or PROBIT (categories have no order)")
        self.link, self.n_columns, self.levels = link, n_columns, tuple(levels)
        self.register_buffer("columns", indices, persistent=False)
        self.register_buffer("couplings", torch.zeros(n_columns, n_columns, dtype=torch.bool), persistent=False)
        first = torch.tensor([0, *levels]).cumsum(0)[:-1]
        # (V, J): where the effect of a column's level stands; levels that it does not have repeat its last.
        index = first + torch.arange(max(levels)).unsqueeze(-1).minimum(torch.tensor(levels) - 1)
        self.register_buffer("index", index, persistent=False)
        self.offset = nn.Parameter(torch.zeros(len(levels)))
        self.by_level = nn.Parameter(torch.zeros(sum(levels)))

    @torch.no_grad()
    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start at each column's missing rate."""
        rate = (1 - mask[:, self.columns].to(x).mean(0)).clamp(0.01, 0.99)
        self.offset.copy_(torch.logit(rate) if self.link is LOGIT else torch.special.ndtri(rate))
        return x.new_zeros(x.shape[-1])

    def forward(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution:
        """Return the law of the masks of complete rows ``x`` (..., D), ``effect`` (..., D) added to the scores."""
        score = self.scores(x)
        score = score if effect is None else score + effect
        modeled = indicator(self.columns, self.n_columns)
        return MaskDistribution(self.link.log_missing(score), self.link.log_observed(score), modeled)

    def scores(self, x: Tensor) -> Tensor:
        """Return the scores of complete rows ``x`` (..., D), (..., D); 0 in columns that are not modeled."""
        own = lookup(self.table(), x[..., self.columns])
        return torch.zeros_like(x).index_copy(-1, self.columns, own)

    def gain(self, x: Tensor, factor: float, effect: Tensor | None = None) -> Tensor:
        """Return what the log odds of being missing gain, (..., D), at ``factor`` times the strength, in complete rows (..., D).

        ``effect`` (..., D) is added to the scores first.
        """
        score = self.scores(x)
        if effect is not None:
            score = torch.where(indicator(self.columns, self.n_columns), score + effect, score)
        return self.link.gain(score, factor)

    def table(self) -> Tensor:
        """Return the scores of the modeled columns' levels, (V, J)."""
        return self.by_level[self.index] + self.offset

    def reads(self) -> Tensor:
        """Return (J,) bool, True where a mask reads its own value."""
        return torch.ones_like(self.columns, dtype=torch.bool)

    def effect_sizes(self) -> Tensor:
        """Return the standard deviation of each column's effects, (J,)."""
        return torch.stack([own.std(correction=0) for own in self.by_level.split(list(self.levels))])

    def line(self) -> tuple[Tensor, Tensor]:
        """Return the table and zeros to add to it."""
        table = self.table()
        return table, table.new_zeros(table.shape[-1])

    def score_at(self, values: Tensor, line: tuple[Tensor, Tensor]) -> Tensor:
        """Return the scores of ``values`` (..., J) under a table and what is added to it."""
        return lookup(line[0], values) + line[1]

    def log_missing(self, values: Tensor, line: tuple[Tensor, Tensor]) -> Tensor:
        """Return log P(s = 0 | x) of ``values`` (..., J) under such a ``line``."""
        return self.link.log_missing(self.score_at(values, line))

    def log_observed(self, values: Tensor, line: tuple[Tensor, Tensor]) -> Tensor:
        """Return log P(s = 1 | x) of ``values`` (..., J) under such a ``line``."""
        return self.link.log_observed(self.score_at(values, line))

    def components(self, cells: Distribution, line: tuple[Tensor, Tensor]) -> Missing:
        """Raise a TypeError: categories are summed."""
        raise TypeError(f"decoder cells: got {type(cells).__name__} in a column of CategoryMasking, expected cells of levels")


def lookup(table: Tensor, values: Tensor) -> Tensor:
    """Return the entries of ``table`` (V, J) at the levels ``values`` (..., J).

    Example:
        >>> lookup(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0]])).tolist()
        [[3.0, 2.0]]
    """
    index = values.round().long().clamp(0, len(table) - 1)
    return table.gather(0, index.reshape(math.prod(index.shape[:-1]), index.shape[-1])).reshape(index.shape)
