"""The mask as a site of its own, for those who look at the model: drawn graphs and traces.

A row and its holes are one site, ``x``, whose density holds the mask's as well. A graph of the sites would show no mask. The site
``mask`` then says what its value is and what it depends on, and its log probability is zero, since ``x`` has counted it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pyro.distributions import TorchDistribution
from pyro.poutine.runtime import get_plates
from torch import Tensor
from torch.distributions import constraints


class ShownMask(TorchDistribution):
    """A law of masks (..., D) that counts nothing, whatever the mask.

    Args:
        x: (..., D) the rows, with or without holes.
        mask: (..., D) bool, True = observed: what it draws.
        z: (..., L) the latents that the mask depends on.

    Example:
        >>> x, mask = torch.zeros(3, 2), torch.ones(3, 2, dtype=torch.bool)
        >>> ShownMask(x, mask, torch.zeros(3, 1)).log_prob(mask)
        tensor([0., 0., 0.])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.independent(constraints.boolean, 1)

    def __init__(self, x: Tensor, mask: Tensor, z: Tensor) -> None:
        self.x, self.seen, self.z = x, mask, z
        super().__init__(torch.broadcast_shapes(x.shape[:-1], z.shape[:-1]), mask.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> ShownMask:
        size = torch.Size(batch_shape)
        return ShownMask(*(part.expand(*size, part.shape[-1]) for part in (self.x, self.seen, self.z)))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return the mask itself."""
        return self.seen.expand(*sample_shape, *self.batch_shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return zeros (...) that come of x and z, so that those who follow where numbers come from find them."""
        return torch.zeros_like(self.x[..., 0]) + torch.zeros_like(self.z[..., 0])


def is_looked_at() -> bool:
    """Return whether the model runs for itself, and not for the weights of particles, where the site would be work for nobody."""
    return all(frame.name != "particles" for frame in get_plates())
