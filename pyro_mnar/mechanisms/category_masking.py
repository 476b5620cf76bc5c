"""Self-masking by category: how often a value goes missing is a number of each category's own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyro_mnar.distributions.alignment import TOGETHER
from pyro_mnar.distributions.censored import Missing, Normals
from pyro_mnar.distributions.indexing import beside, chosen_of, columns_of
from pyro_mnar.distributions.links import LOGIT, THRESHOLD, Link
from pyro_mnar.mechanisms.base import Anchors, LogPrior
from pyro_mnar.mechanisms.own_value import LinkScore, OwnValueMasking
from pyro_mnar.mechanisms.prior_scales import CATEGORY


class CategoryMasking(OwnValueMasking):
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

    rowwise = True
    index: Tensor

    def __init__(self, n_columns: int, columns: Sequence[int], levels: Sequence[int], link: Link = LOGIT) -> None:
        super().__init__(n_columns, columns)
        if len(levels) != len(self.columns) or min(levels) < 2:
            raise ValueError(f"levels: got {list(levels)}, expected 2 or more for each of {len(self.columns)} columns")
        if link is THRESHOLD:
            raise ValueError("link: got THRESHOLD, expected LOGIT or PROBIT (categories have no order)")
        self.link, self.levels = link, tuple(levels)
        first = torch.tensor([0, *levels]).cumsum(0)[:-1]
        # (V, J): where the effect of a column's level stands; levels that it does not have repeat its last.
        index = first + torch.arange(max(levels)).unsqueeze(-1).minimum(torch.tensor(levels) - 1)
        self.register_buffer("index", index, persistent=False)
        self.offset = nn.Parameter(torch.zeros(len(levels)))
        self.by_level = nn.Parameter(torch.zeros(sum(levels)))

    @torch.no_grad()
    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start at each column's missing rate."""
        self.check_columns(x, mask)
        rate = (1 - mask[:, self.columns].to(x).mean(0)).clamp(0.01, 0.99)
        self.offset.copy_(torch.logit(rate) if self.link is LOGIT else torch.special.ndtri(rate))
        return x.new_zeros(x.shape[-1])

    def table(self) -> Tensor:
        """Return the scores of the modeled columns' levels, (V, J); (V, N, J) where rows have their own."""
        return (self.by_level[..., self.index] + self.offset.unsqueeze(-2)).movedim(-2, 0)

    def effect_sizes(self) -> Tensor:
        """Return the standard deviation of each column's effects, (J,)."""
        return torch.stack([own.std(correction=0) for own in self.by_level.split(list(self.levels))])

    def score(self) -> LevelScore:
        table = self.table()
        return LevelScore(table, table.new_zeros(table.shape[-1]), self.link)

    def start(self, anchors: Anchors) -> None:
        self.by_level.copy_(anchors.by_level)

    def log_prior(self, anchors: Anchors) -> LogPrior:
        scale, dof = CATEGORY
        total = self.by_level.new_zeros(())
        for own in (self.by_level - anchors.by_level).split(list(self.levels)):
            total = total - 0.5 * (dof + len(own)) * torch.log1p((own / scale).square().sum() / dof)
        return LogPrior(known=total)


class LevelScore(LinkScore):
    """P(s = 0 | x = k) = F(table_k + shift).

    Args:
        table: (V, J) at the levels 0, 1, ..., or (V, M) of cells.
        shift: (J,), or (..., J) where rows have their own.
        link: F.
    """

    def __init__(self, table: Tensor, shift: Tensor, link: Link) -> None:
        self.table, self.shift, self.link = table, shift, link

    def take(self, columns: Tensor | slice) -> LevelScore:
        return LevelScore(columns_of(self.table, columns), columns_of(self.shift, columns), self.link)

    def at(self, chosen: Tensor, together: int = TOGETHER) -> LevelScore:
        table = chosen_of(beside(self.table, chosen.dim()), chosen, together)
        return LevelScore(table, chosen_of(self.shift, chosen, together), self.link)

    def shifted(self, effect: Tensor) -> LevelScore:
        return LevelScore(self.table, self.shift + effect, self.link)

    def components(self, normals: Normals) -> Missing:
        """Raise a TypeError: categories are summed."""
        raise TypeError("decoder cells: got real values in a column of CategoryMasking, expected cells of levels")

    def rising(self, values: Tensor) -> None:
        return None

    def probit(self) -> None:
        return None

    def score_of(self, values: Tensor) -> Tensor:
        return lookup(self.table, values) + self.shift


def lookup(table: Tensor, values: Tensor) -> Tensor:
    """Return the entries of ``table`` (V, J), or (V, N, J), at the levels ``values`` (..., J).

    Example:
        >>> lookup(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0]])).tolist()
        [[3.0, 2.0]]
    """
    index = values.round().long().clamp(0, len(table) - 1)
    n_own = table.dim() - 1
    return table.gather(0, index.reshape(math.prod(index.shape[:-n_own]), *index.shape[-n_own:])).reshape(index.shape)
