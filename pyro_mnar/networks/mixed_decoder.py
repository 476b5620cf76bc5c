"""A decoder for columns of several kinds: one linear part and one network, whose outputs the blocks of columns read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_mnar.distributions.indexing import columns_of
from pyro_mnar.distributions.mixed import MixedCells
from pyro_mnar.distributions.point_mass_normal import same
from pyro_mnar.networks.heads import NormalHead
from pyro_mnar.networks.layers import mlp
from pyro_mnar.networks.semicontinuous_head import SemicontinuousHead


class MixedDecoder(nn.Module):
    """x_j given z by its block's law at the outputs eta(z) = W z + b + net(z).

    Args:
        latent_dim: L.
        blocks: see :mod:`pyro_mnar.networks.heads`; together they have the columns 0 to D - 1, each once.
        hidden: hidden layers of the network part; empty for none.

    Raises:
        ValueError: when the blocks leave a column out or have one twice.

    Example:
        >>> from pyro_mnar.networks.heads import CategoryHead
        >>> decoder = MixedDecoder(2, [NormalHead([0, 2]), CategoryHead([1], [[0.5, 0.3, 0.2]])], hidden=[8])
        >>> decoder(torch.zeros(7, 2)).log_prob(torch.zeros(7, 3)).shape
        torch.Size([7])
    """

    def __init__(self, latent_dim: int, blocks: Sequence[nn.Module], hidden: Sequence[int] = (128, 128)) -> None:
        super().__init__()
        parts: list[Any] = list(blocks)
        columns = [j for block in parts for j in block.columns]
        if sorted(columns) != list(range(len(columns))) or not columns:
            raise ValueError(f"blocks: got columns {columns}, expected each from 0 on, once")
        self.latent_dim, self.n_columns = latent_dim, len(columns)
        self.blocks = nn.ModuleList(parts)
        self.sizes = [len(block.owner) for block in parts]
        self.n_outputs, self.n_features = sum(self.sizes), sum(block.n_features for block in parts)
        #: The column that each output is of.
        self.owner = [block.columns[own] for block in parts for own in block.owner]
        self.linear = nn.Linear(latent_dim, self.n_outputs)
        self.net = mlp([latent_dim, *hidden, self.n_outputs]) if hidden else None
        with torch.no_grad():
            self.linear.bias.copy_(torch.cat([block.start for block in parts]))
        if self.net is not None:
            # The sum starts as the linear part: the network earns what it adds.
            last = self.net[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    @torch.no_grad()
    def center(self, means: Tensor) -> None:
        """Start the means of normal columns at theirs of ``means`` (D,); the other columns have their start."""
        for block, bias in zip(self.blocks, self.linear.bias.split(self.sizes), strict=True):
            if isinstance(block, NormalHead):
                bias.copy_(means[block.columns])

    def apart(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return values (N, D) with those that repeat put infinitely far out, on their side: apart from what a normal law explains."""
        result = x.clone()
        for block in self.blocks:
            if isinstance(block, SemicontinuousHead):
                own, seen = x[:, block.columns], mask[:, block.columns]
                at_mass = seen & same(own, block.mass)
                side = torch.where(seen & ~at_mass, block.mass - own, 0.0).sum(0).sign()
                result[:, block.columns] = torch.where(at_mass, side * torch.inf, own)
        return result

    def forward(self, z: Tensor) -> dist.Distribution:
        """Return p(x | z) for latents ``z`` (..., L)."""
        eta = self.linear(z) if self.net is None else self.linear(z) + self.net(z)
        cells = [block(part) for block, part in zip(self.blocks, eta.split(self.sizes, -1), strict=True)]
        return MixedCells(cells, [block.columns for block in self._blocks()]).to_event(1)

    def working(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what values ``x`` (..., D) tell of the outputs less their bias, and with which variance, both (..., P)."""
        biases = self.linear.bias.detach().split(self.sizes)
        told = [block.working(columns_of(x, block.columns), bias) for block, bias in zip(self._blocks(), biases, strict=True)]
        return torch.cat([value for value, _ in told], -1), torch.cat([variance.expand_as(value) for value, variance in told], -1)

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what a network reads of values (..., D), 0 in the holes, with their mask."""
        return torch.cat(
            [block.features(columns_of(x, block.columns), columns_of(mask, block.columns)) for block in self._blocks()], -1
        )

    def _blocks(self) -> list[Any]:
        return list(self.blocks)
