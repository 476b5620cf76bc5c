"""Cells of several kinds in one row: a product of blocks of columns, each with a law of its own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, constraints
from torch.nn.functional import logsigmoid

from pyro_mnar.distributions.discrete import GRID, LevelCells
from pyro_mnar.distributions.indexing import columns_of


class MixedCells(TorchDistribution):
    """Independent cells (..., D) whose columns stand in blocks.

    Args:
        laws: one for each block, of batch shape (..., J) over its J columns.
        columns: of each block, indices that together are 0 to D - 1, each once.

    Example:
        >>> from pyro_mnar.distributions.discrete import LevelCells
        >>> from pyro_mnar.distributions.continuous import Normal
        >>> coin = LevelCells(torch.full((2, 7, 1), 0.5).log(), torch.zeros(1), torch.ones(1))
        >>> cells = MixedCells([coin, Normal(torch.zeros(7, 2), torch.ones(2))], [[1], [0, 2]])
        >>> cells.log_prob(torch.zeros(7, 3))[0].tolist() == [-0.9189385175704956, -0.6931471824645996, -0.9189385175704956]
        True
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real
    has_rsample = False

    def __init__(self, laws: Sequence[Any], columns: Sequence[Sequence[int]]) -> None:
        self.laws, self.columns = list(laws), [list(part) for part in columns]
        together = [j for part in self.columns for j in part]
        # Where each column stands when the blocks are laid side by side.
        self.order = sorted(range(len(together)), key=together.__getitem__)
        lead = torch.broadcast_shapes(*(law.batch_shape[:-1] for law in self.laws))
        super().__init__(torch.Size((*lead, len(together))), validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> MixedCells:
        new = copy.copy(self)
        new.laws = [law.expand((*batch_shape[:-1], law.batch_shape[-1])) for law in self.laws]
        new._batch_shape = torch.Size(batch_shape)
        return new

    @property
    def mean(self) -> Tensor:
        """(..., D)."""
        return self._joined([law.mean for law in self.laws])

    def log_prob(self, value: Tensor) -> Tensor:
        return self._joined([law.log_prob(columns_of(value, part)) for law, part in zip(self.laws, self.columns, strict=True)])

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._joined([law.sample(torch.Size(sample_shape)) for law in self.laws])

    def apply(self, function: Any, *tensors: Tensor) -> Tensor:
        """Return ``function`` of each block's law and of its columns of ``tensors`` (..., D, 3), joined to (..., D)."""
        return self._joined(
            [function(law, *(t[..., part, :] for t in tensors)) for law, part in zip(self.laws, self.columns, strict=True)]
        )

    def _joined(self, parts: list[Tensor]) -> Tensor:
        lead = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
        return columns_of(torch.cat([part.expand(*lead, -1) for part in parts], -1), self.order)


def in_blocks(cells: Distribution) -> Distribution:
    """Return torch's ``Bernoulli`` and ``Categorical`` cells (..., D) as a block of levels 0, 1, ...; other cells as they are.

    Example:
        >>> in_blocks(Bernoulli(torch.tensor([0.25, 0.5]))).mean.tolist()
        [0.25, 0.5]
    """
    if isinstance(cells, Bernoulli):
        log_probs = torch.stack([logsigmoid(-cells.logits), logsigmoid(cells.logits)])
    elif isinstance(cells, Categorical):
        log_probs = cells.logits.log_softmax(-1).movedim(-1, 0)
    else:
        return cells
    width = log_probs.shape[-1]
    return MixedCells([LevelCells(log_probs, log_probs.new_zeros(width), log_probs.new_ones(width))], [range(width)])


def is_discrete(cells: Distribution) -> bool:
    """Return whether any column of ``cells`` has levels or counts."""
    return isinstance(cells, MixedCells) and any(isinstance(law, GRID) for law in cells.laws)
