"""Mechanisms whose masks read their own column's value and nothing else, and scores that a link makes a probability."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from pyro_mnar.distributions.cells import OwnScore
from pyro_mnar.distributions.indexing import indicator, neighbors
from pyro_mnar.distributions.links import Link
from pyro_mnar.mechanisms.base import MaskDistribution, Mechanism, OwnColumns


class OwnValueMasking(Mechanism):
    """A mechanism that is the :meth:`score` of its columns' own values.

    Args:
        n_columns: D.
        columns: indices of the modeled columns; all by default.
    """

    def __init__(self, n_columns: int, columns: Sequence[int] | None = None) -> None:
        super().__init__(n_columns, columns)
        self._neighbors = neighbors(self.columns)

    def score(self) -> OwnScore:
        """Return how the modeled columns' values enter their masks."""
        raise NotImplementedError

    def effect_sizes(self) -> Tensor:
        """Return the strength of each modeled column's score, (J,), as :meth:`own_effects` has it."""
        raise NotImplementedError

    @property
    def place(self) -> Tensor | slice:
        """The modeled columns as an index of them."""
        return self._neighbors or self.columns

    def own_scores(self) -> list[OwnColumns]:
        return [OwnColumns(self.columns, self.place, self.score())]

    def own_effects(self) -> Tensor:
        own = self.effect_sizes().detach()
        return own.new_zeros(self.n_columns).index_copy(0, self.columns, own)

    def forward(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution:
        """Return the law of the masks of complete rows ``x`` (..., D), ``effect`` (..., D) added to the scores."""
        if x.shape[-1] != self.n_columns:
            raise ValueError(f"x: got {x.shape[-1]} columns, expected {self.n_columns}")
        score = self.score() if effect is None else self.score().shifted(effect[..., self.place])
        values = x[..., self.place]
        missing, observed = (self._placed(part, x) for part in (score.log_missing(values), score.log_observed(values)))
        return MaskDistribution(missing, observed, indicator(self.columns, self.n_columns))

    def _placed(self, own: Tensor, x: Tensor) -> Tensor:
        return own.new_full((*own.shape[:-1], x.shape[-1]), math.log(0.5)).index_copy(-1, self.columns, own)


class LinkScore(OwnScore):
    """P(s = 0 | x) = F(score), whatever the score: what those with a ``link`` F share."""

    link: Link

    def score_of(self, values: Tensor) -> Tensor:
        """Return the scores of ``values`` (..., J)."""
        raise NotImplementedError

    def log_missing(self, values: Tensor) -> Tensor:
        return self.link.log_missing(self.score_of(values))

    def log_observed(self, values: Tensor) -> Tensor:
        return self.link.log_observed(self.score_of(values))

    def gain(self, values: Tensor, factor: float) -> Tensor:
        return self.link.gain(self.score_of(values), factor)
