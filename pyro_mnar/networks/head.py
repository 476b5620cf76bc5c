"""What every head of a mixed decoder offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyro_mnar.networks.layers import FAR, growing_scale, inverse_softplus, log_prior_of_growth


class Head(nn.Module):
    """Columns of one kind: how their law follows from outputs eta; a new kind is one such class and one row of contract tests.

    Args:
        columns: their indices.
        owner: the place of each output's column among them.
        start: each output's start.
        n_features: how many numbers :meth:`features` makes of a row; one a column by default.
    """

    start: Tensor
    #: Whether its outputs are the means of normal cells.
    normal = False

    def __init__(self, columns: Sequence[int], owner: Sequence[int], start: Tensor, n_features: int | None = None) -> None:
        super().__init__()
        self.columns, self.owner = list(columns), list(owner)
        self.n_features = len(self.columns) if n_features is None else n_features
        self.register_buffer("start", start, persistent=False)

    def forward(self, eta: Tensor) -> Any:
        """Return the law of the columns, (..., J), given outputs (..., P)."""
        raise NotImplementedError

    def working(self, x: Tensor, eta: Tensor) -> tuple[Tensor, Tensor]:
        """Return g / W of values ``x`` (..., J) at ``eta`` (P,), and 1 / W, each (..., P) or broadcast to it."""
        return self.told(x, eta, self.scoring(eta))

    def scoring(self, eta: Tensor) -> tuple[Tensor, ...]:
        """Return what :meth:`told` is given of outputs ``eta`` (P,), whatever the values; each (..., J) or (..., P)."""
        raise NotImplementedError

    def told(self, x: Tensor, eta: Tensor, scoring: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return what :meth:`working` does, given :meth:`scoring`; rows (N, J) may have ``eta`` (N, P) and the rest of their own."""
        raise NotImplementedError

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what a network reads of values (..., J), 0 where missing."""
        return x.clamp(-FAR, FAR)

    def log_prior(self) -> Tensor | None:
        """Return log p of parameters of its own, up to a constant; None where they have no prior."""
        return None

    @torch.no_grad()
    def center(self, bias: Tensor, means: Tensor) -> None:
        """Put the outputs' ``bias`` (P,), in place, where the columns have the ``means`` (J,), if that says anything of them."""

    def apart(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return values (N, J) with those that repeat put infinitely far out, on their side."""
        return x


class ScaledHead(Head):
    """Columns with noise about a location, whose scale may grow with the location, or fall; arguments as of :class:`Head`."""

    def __init__(self, columns: Sequence[int], owner: Sequence[int], start: Tensor, n_features: int | None = None) -> None:
        super().__init__(columns, owner, start, n_features)
        self.raw_scale = nn.Parameter(inverse_softplus(torch.full((len(self.columns),), 0.5)))
        self.growth = nn.Parameter(torch.zeros(len(self.columns)))

    def scale(self, loc: Tensor) -> Tensor:
        """Return standard deviations of noise, (..., J), about locations ``loc`` (..., J)."""
        return growing_scale(self.raw_scale, self.growth, loc)

    def log_prior(self) -> Tensor:
        return log_prior_of_growth(self.growth)
