"""Mechanisms whose masks read the whole row: linear, neural, and a known function of the user's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pyro_mnar.distributions.indexing import column_indices, indicator
from pyro_mnar.distributions.links import LOGIT
from pyro_mnar.mechanisms.base import MaskDistribution, Mechanism
from pyro_mnar.networks.layers import AlignedLinear


class LinearMasking(Mechanism):
    """Every modeled column's mask reads the whole row: logit P(s_j = 0 | x) = sum_k W_jk x_k + c_j.

    Args:
        n_columns: D.
        columns: indices of the modeled columns; all by default.

    Example:
        >>> LinearMasking(3)(torch.zeros(5, 3)).sample().shape
        torch.Size([5, 3])
    """

    rowwise = True

    def __init__(self, n_columns: int, columns: Sequence[int] | None = None) -> None:
        super().__init__(n_columns, columns, whole_row(n_columns, columns))
        self.score = AlignedLinear(n_columns, len(self.columns))

    @torch.no_grad()
    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start at each column's missing rate, whatever x is."""
        self.check_columns(x, mask)
        self.score.weight.zero_()
        self.score.bias.copy_(_log_odds(1 - mask[:, self.columns].to(x).mean(0)))
        return x.new_zeros(x.shape[-1])

    def forward(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution:
        """Return the law of the masks of complete rows ``x`` (..., D), ``effect`` (..., D) added to the scores."""
        return _logit_law(self.score(x), self.columns, x, effect)


class NeuralMasking(Mechanism):
    """As :class:`LinearMasking`, with the log-odds a network of the row: one hidden layer of tanh units.

    Args:
        n_columns: D.
        columns: indices of the modeled columns; all by default.
        hidden: units of the hidden layer.

    Example:
        >>> NeuralMasking(3, hidden=8)(torch.zeros(5, 3)).batch_shape
        torch.Size([5])
    """

    def __init__(self, n_columns: int, columns: Sequence[int] | None = None, hidden: int = 32) -> None:
        super().__init__(n_columns, columns, whole_row(n_columns, columns))
        self.score = nn.Sequential(AlignedLinear(n_columns, hidden), nn.Tanh(), AlignedLinear(hidden, len(self.columns)))

    @torch.no_grad()
    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start near each column's missing rate."""
        self.check_columns(x, mask)
        last = self.score[-1]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(0.1)
        last.bias.copy_(_log_odds(1 - mask[:, self.columns].to(x).mean(0)))
        return x.new_zeros(x.shape[-1])

    def forward(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution:
        """Return the law of the masks of complete rows ``x`` (..., D), ``effect`` (..., D) added to the scores."""
        return _logit_law(self.score(x), self.columns, x, effect)


class FixedMasking(Mechanism):
    """A known mechanism: the user's own function of the row, with nothing to learn.

    Args:
        score: complete rows (..., D) -> log-odds of *missing* (..., J), one for each modeled column.
        n_columns: D.
        columns: indices of the modeled columns; all by default.

    Example:
        >>> above_one = FixedMasking(lambda x: 10 * (x[..., :1] - 1), n_columns=2, columns=[0])
        >>> bool(above_one(torch.tensor([9.0, 0.0])).log_missing[0] > -1e-3)
        True
    """

    def __init__(self, score: Callable[[Tensor], Tensor], n_columns: int, columns: Sequence[int] | None = None) -> None:
        super().__init__(n_columns, columns, whole_row(n_columns, columns))
        self.score = score

    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return zeros: the function is known, and says nothing of the means."""
        self.check_columns(x, mask)
        return x.new_zeros(x.shape[-1])

    def forward(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution:
        """Return the law of the masks of complete rows ``x`` (..., D), ``effect`` (..., D) added to the scores."""
        score = self.score(x)
        if score.shape[-1] != len(self.columns):
            raise ValueError(f"score: returned {score.shape[-1]} columns, expected one for each of {len(self.columns)}")
        if score.shape[:-1] != x.shape[:-1]:
            raise ValueError(f"score: returned rows {tuple(score.shape[:-1])}, expected those of x, {tuple(x.shape[:-1])}")
        return _logit_law(score, self.columns, x, effect)


def _log_odds(rate: Tensor) -> Tensor:
    return torch.logit(rate.clamp(0.01, 0.99))


def whole_row(n_columns: int, columns: Sequence[int] | None) -> Tensor:
    """Return couplings (D, D) of the masks of ``columns`` with every other column's value."""
    rows = column_indices(columns, n_columns)
    return torch.zeros(n_columns, n_columns, dtype=torch.bool).index_fill(0, rows, True).fill_diagonal_(False)


def _logit_law(score: Tensor, columns: Tensor, x: Tensor, effect: Tensor | None) -> MaskDistribution:
    scores = torch.zeros(*score.shape[:-1], x.shape[-1], dtype=score.dtype, device=score.device)
    scores = scores.index_copy(-1, columns, score)
    scores = scores if effect is None else scores + effect
    return MaskDistribution(LOGIT.log_missing(scores), LOGIT.log_observed(scores), indicator(columns, x.shape[-1]))
