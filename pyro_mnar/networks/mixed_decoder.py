"""A decoder for columns of several kinds: one linear part and one network, whose outputs the heads of columns read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_mnar.distributions.indexing import columns_of
from pyro_mnar.distributions.mixed import MixedCells
from pyro_mnar.networks.decoders import Decoder
from pyro_mnar.networks.heads import Head
from pyro_mnar.networks.layers import AlignedLinear, alone_at, log_prior_of_weights, mlp


class MixedDecoder(Decoder):
    """x_j given z by its head's law at the outputs eta(z) = W z + b + net(z).

    Args:
        latent_dim: L.
        heads: see :mod:`pyro_mnar.networks.heads`; together they have the columns 0 to D - 1, each once.
        hidden: hidden layers of the network part; empty for none.

    Raises:
        ValueError: when the heads leave a column out or have one twice.

    Example:
        >>> from pyro_mnar.networks.heads import CategoryHead, NormalHead
        >>> decoder = MixedDecoder(2, [NormalHead([0, 2]), CategoryHead([1], [[0.5, 0.3, 0.2]])], hidden=[8])
        >>> decoder(torch.zeros(7, 2)).log_prob(torch.zeros(7, 3)).shape
        torch.Size([7])
    """

    rowwise = True
    normal: Tensor

    def __init__(self, latent_dim: int, heads: Sequence[Head], hidden: Sequence[int] = (128, 128)) -> None:
        parts = list(heads)
        columns = [j for head in parts for j in head.columns]
        if sorted(columns) != list(range(len(columns))) or not columns:
            raise ValueError(f"heads: got columns {columns}, expected each from 0 on, once")
        super().__init__(latent_dim, len(columns))
        self.heads = nn.ModuleList(parts)
        self.sizes = [len(head.owner) for head in parts]
        self.n_outputs, self.n_features = sum(self.sizes), sum(head.n_features for head in parts)
        #: The column that each output is of.
        self.owner = [head.columns[own] for head in parts for own in head.owner]
        #: Whether an output is a normal cell's mean.
        self.register_buffer("normal", torch.tensor([head.normal for head in parts for _ in head.owner]), persistent=False)
        self._stood_for: list[Sequence[Tensor]] | None = None
        self.linear = AlignedLinear(latent_dim, self.n_outputs)
        self.net = mlp([latent_dim, *hidden, self.n_outputs]) if hidden else None
        with torch.no_grad():
            self.linear.bias.copy_(torch.cat([head.start for head in parts]))
        if self.net is not None:
            # The sum starts as the linear part: the network earns what it adds.
            last = self.net[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def set_alone(self, columns: Collection[int]) -> None:
        self.alone = alone_at(self.linear, [j in columns for j in self.owner])

    @torch.no_grad()
    def center(self, means: Tensor) -> None:
        """Start the heads that have means at theirs of ``means`` (D,); the others have their start."""
        for head, bias in zip(self._heads(), self.linear.bias.split(self.sizes), strict=True):
            head.center(bias, means[head.columns])

    def apart(self, x: Tensor, mask: Tensor) -> Tensor:
        parts = [head.apart(columns_of(x, head.columns), columns_of(mask, head.columns)) for head in self._heads()]
        at = torch.tensor([j for head in self._heads() for j in head.columns], device=x.device)
        return torch.zeros_like(x).index_copy(-1, at, torch.cat(parts, -1))

    def log_prior(self) -> Tensor:
        """Return log p of the parameters, up to a constant: N(0, 1) for weights of the linear part, N(0, 1 / fan-in) for those of the
        network, and the heads' own."""
        own = [part for part in (head.log_prior() for head in self._heads()) if part is not None]
        return log_prior_of_weights(self.linear, self.net) + sum(own)

    def forward(self, z: Tensor) -> dist.Distribution:
        """Return p(x | z) for latents ``z`` (..., L)."""
        eta = self.linear(z) if self.net is None else self.linear(z) + self.net(z)
        eta = eta if self.alone is None else torch.where(self.alone, self.linear.bias, eta)
        cells = [head(part) for head, part in zip(self._heads(), eta.split(self.sizes, -1), strict=True)]
        return MixedCells(cells, [head.columns for head in self._heads()]).to_event(1)

    def working(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what values ``x`` (..., D) tell of the outputs less their bias, and with which variance, both (..., P)."""
        heads = zip(self._heads(), self._biases(), self._stood_for or self._scorings(), strict=True)
        told = [head.told(columns_of(x, head.columns), bias, scoring) for head, bias, scoring in heads]
        return torch.cat([value for value, _ in told], -1), torch.cat([variance.expand_as(value) for value, variance in told], -1)

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what a network reads of values (..., D), 0 in the holes, with their mask."""
        return torch.cat([head.features(columns_of(x, head.columns), columns_of(mask, head.columns)) for head in self._heads()], -1)

    @torch.no_grad()
    def stand_for(self, members: Sequence[MixedDecoder], at: Tensor) -> None:
        """Be, with parameters of theirs for each row, what decoders are: member ``at`` (N,) of row n.

        What they have of parameters alone is asked of each, in the shape in which it asks for it itself.
        """
        each = [zip(*scorings, strict=True) for scorings in zip(*(member._scorings() for member in members), strict=True)]
        self._stood_for = [[torch.stack(terms)[at.to(terms[0].device)] for terms in scoring] for scoring in each]

    def _scorings(self) -> list[Sequence[Tensor]]:
        return [head.scoring(bias) for head, bias in zip(self._heads(), self._biases(), strict=True)]

    def _biases(self) -> tuple[Tensor, ...]:
        return self.linear.bias.detach().split(self.sizes, -1)

    def _heads(self) -> list[Head]:
        return [cast(Head, head) for head in self.heads]
