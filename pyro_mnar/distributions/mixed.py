"""Cells of several kinds in one row: a product of blocks of columns, each with a law of its own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_mnar.distributions.cells import Cells
from pyro_mnar.distributions.indexing import columns_of
from pyro_mnar.distributions.open_cells import cells_of


class MixedCells(Cells, TorchDistribution):
    """Independent cells (..., D) whose columns stand in blocks.

    Args:
        laws: one for each block, of batch shape (..., J) over its J columns.
        columns: each block's indices, which together are 0 to D - 1, each once.

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
        self.laws, self.columns = [cells_of(law) for law in laws], [list(part) for part in columns]
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
    def blocks(self) -> list[tuple[list[int] | None, Cells]]:
        return list(zip(self.columns, self.laws, strict=True))

    @property
    def like(self) -> Tensor:
        like: Tensor = self.laws[0].like
        return like

    @property
    def mean(self) -> Tensor:
        """(..., D)."""
        return self._joined([law.mean for law in self.laws])

    def log_prob(self, value: Tensor) -> Tensor:
        return self._joined([law.log_prob(columns_of(value, part)) for law, part in zip(self.laws, self.columns, strict=True)])

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._joined([law.sample(torch.Size(sample_shape)) for law in self.laws])

    def _joined(self, parts: list[Tensor]) -> Tensor:
        lead = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
        return columns_of(torch.cat([part.expand(*lead, -1) for part in parts], -1), self.order)
