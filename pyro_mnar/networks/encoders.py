"""Encoders q(z given x_obs, s): ``forward(x, mask)`` returns a reparameterised distribution over z, event shape (L,).

Missing cells may hold anything (NaN too): nothing of them reaches the result. Where limits are known between which missing values
lie, ``forward(x, mask, limits)`` reads them: (..., D, 2), the lower one first, infinite where there is none. A network then finds in
the hole the mean of a standard normal between the limits, beside a mask that says that nothing was seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_mnar.distributions import continuous, cut_normal
from pyro_mnar.networks.layers import mlp

_MIN_SCALE = 1e-3


def between(limits: Tensor) -> Tensor:
    """Return the mean of a standard normal between ``limits`` (..., 2), (...); 0 where there is none.

    Example:
        >>> [round(float(mean), 3) for mean in between(torch.tensor([[-1.0, 1.0], [0.0, torch.inf]]))]
        [0.0, 0.798]
    """
    low, high = limits.unbind(-1)
    return cut_normal.mean(low, high).maximum(low).minimum(high)


def told_of(x: Tensor, mask: Tensor, limits: Tensor | None) -> Tensor:
    """Return what networks read in the cells of rows ``x`` (..., D): values, means :func:`between` limits, else 0."""
    return torch.where(mask, x, 0.0 if limits is None else between(limits))


def check_input(encoder: nn.Module, n_columns: int, x: Tensor, mask: Tensor) -> None:
    """Refuse rows ``x`` (..., D) that an encoder is not made for, before a product of matrices does without a name.

    Args:
        encoder: whose parameters have a type.
        n_columns: D.
        x: the rows.
        mask: theirs.

    Raises:
        ValueError: for another width of rows or mask.
        TypeError: for another type of numbers than the parameters'.
    """
    if x.shape[-1] != n_columns:
        raise ValueError(f"x: got {x.shape[-1]} columns, expected {n_columns}, as the encoder is made for")
    if mask.shape[-1] != n_columns:
        raise ValueError(f"mask: got {mask.shape[-1]} columns, expected {n_columns}, as the encoder is made for")
    kind = next((part.dtype for part in encoder.parameters()), x.dtype)
    if x.dtype != kind:
        raise TypeError(f"x: got {x.dtype}, expected {kind}, as the encoder's parameters are (x.to({kind}))")


def _gaussian(parameters: Tensor) -> dist.Distribution:
    loc, raw = parameters.chunk(2, -1)
    return continuous.Normal(loc, softplus(raw) + _MIN_SCALE).to_event(1)


class GaussianEncoder(nn.Module):
    """A network of the values (0 in the holes) and the mask; for tables of up to some hundred columns.

    Args:
        latent_dim: L.
        n_columns: D.
        hidden: hidden layers.

    Example:
        >>> encoder = GaussianEncoder(2, 5, hidden=[16])
        >>> encoder(torch.zeros(7, 5), torch.ones(7, 5, dtype=torch.bool)).event_shape
        torch.Size([2])
    """

    def __init__(self, latent_dim: int, n_columns: int, hidden: Sequence[int] = (128, 128)) -> None:
        super().__init__()
        self.latent_dim, self.n_columns = latent_dim, n_columns
        self.net = mlp([2 * n_columns, *hidden, 2 * latent_dim])

    def forward(self, x: Tensor, mask: Tensor, limits: Tensor | None = None) -> dist.Distribution:
        """Return q(z | x_obs, s) of rows ``x`` (..., D) with their ``mask`` (..., D) and perhaps limits."""
        check_input(self, self.n_columns, x, mask)
        values = told_of(x, mask, limits)
        return _gaussian(self.net(torch.cat([values, mask.to(values)], -1)))


class SetEncoder(nn.Module):
    """Sums a shared function of each observed cell (its value and its column's embedding); for wide, sparse tables.

    Source: Ma et al. 2019, "EDDI" (the pointnet-plus form), arXiv 1809.11142.

    Args:
        latent_dim: L.
        n_columns: D.
        embedding_dim: size of a column's embedding.
        hidden: hidden layers, of the network after the sum; a cell's own network has the first size.

    Example:
        >>> encoder = SetEncoder(2, 300)
        >>> encoder(torch.zeros(7, 300), torch.zeros(7, 300, dtype=torch.bool)).batch_shape
        torch.Size([7])
    """

    def __init__(self, latent_dim: int, n_columns: int, embedding_dim: int = 16, hidden: Sequence[int] = (128, 128)) -> None:
        super().__init__()
        self.latent_dim, self.n_columns = latent_dim, n_columns
        self.embedding = nn.Parameter(torch.randn(n_columns, embedding_dim) / embedding_dim**0.5)
        self.cell = mlp([2 * embedding_dim + 1, hidden[0], hidden[0]])
        self.net = mlp([hidden[0] + 1, *hidden, 2 * latent_dim])

    def forward(self, x: Tensor, mask: Tensor, limits: Tensor | None = None) -> dist.Distribution:
        """Return q(z | x_obs, s) of rows ``x`` (..., D) with their ``mask`` (..., D), limited cells among the seen ones."""
        check_input(self, self.n_columns, x, mask)
        if limits is not None:
            x, mask = told_of(x, mask, limits), mask | limits.isfinite().any(-1)
        rows, cols = mask.reshape(-1, mask.shape[-1]).nonzero(as_tuple=True)
        values = x.reshape(-1, x.shape[-1])[rows, cols].unsqueeze(-1)
        embedding = self.embedding[cols]
        features = self.cell(torch.cat([values, embedding, values * embedding], -1))
        # Only the observed cells are computed: a table that is 5 % observed costs 5 %.
        total = features.new_zeros(mask[..., 0].numel(), features.shape[-1]).index_add(0, rows, features)
        share = mask.to(features).mean(-1, keepdim=True).reshape(-1, 1)
        pooled = torch.cat([total / mask.shape[-1], share], -1)
        return _gaussian(self.net(pooled).reshape(*mask.shape[:-1], -1))
