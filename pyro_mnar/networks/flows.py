r"""Richer guides and priors from Pyro's own invertible transforms, one line each.

    encoder = FlowEncoder(GaussianEncoder(L, D), T.affine_autoregressive(L))           # inverse autoregressive flow
    latent_prior = FlowPrior(L, T.affine_coupling(L), T.permute(L), T.affine_coupling(L))       # real NVP

with ``T = pyro.distributions.transforms``. Sources: Kingma et al. 2016, "Improved variational inference with inverse autoregressive
flow", arXiv 1606.04934; Dinh, Sohl-Dickstein and Bengio 2017, "Density estimation using real NVP", arXiv 1605.08803. Weights invert the
flow, which costs an autoregressive one L passes, in single precision only (Pyro 1.9.2); a coupling is as fast both ways.
"""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pyro.distributions.torch_transform import TransformModule
from torch import Tensor, nn
from torch.distributions import Transform

from pyro_mnar.distributions import continuous


class FlowEncoder(nn.Module):
    """An encoder whose draws pass through transforms of z.

    Args:
        encoder: any; its law is the flow's base.
        transforms: Pyro's, in order; those with parameters are trained with the encoder.

    Example:
        >>> import pyro.distributions.transforms as T
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> encoder = FlowEncoder(GaussianEncoder(2, 5), T.affine_autoregressive(2))
        >>> encoder(torch.zeros(7, 5), torch.ones(7, 5, dtype=torch.bool)).rsample().shape
        torch.Size([7, 2])
    """

    def __init__(self, encoder: nn.Module, *transforms: Transform) -> None:
        super().__init__()
        self.encoder, self.transforms = encoder, _Transforms(transforms)
        # Of an encoder that says its sizes, those of z stay.
        vars(self).update({name: getattr(encoder, name) for name in ("latent_dim", "n_columns") if hasattr(encoder, name)})

    def forward(self, x: Tensor, mask: Tensor, limits: Tensor | None = None) -> dist.Distribution:
        """Return q(z | x_obs, s) of rows ``x`` (..., D) with their ``mask`` (..., D) and perhaps limits."""
        base = self.encoder(x, mask) if limits is None else self.encoder(x, mask, limits)
        return dist.TransformedDistribution(base, self.transforms(), validate_args=False)


class FlowPrior(nn.Module):
    """p(z): standard normals through transforms.

    Args:
        latent_dim: L.
        transforms: those of :class:`FlowEncoder`.

    Example:
        >>> import pyro.distributions.transforms as T
        >>> FlowPrior(2, T.affine_coupling(2))().event_shape
        torch.Size([2])
    """

    zeros: Tensor

    def __init__(self, latent_dim: int, *transforms: Transform) -> None:
        super().__init__()
        self.transforms = _Transforms(transforms)
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> dist.Distribution:
        """Return p(z), event shape (L,)."""
        return dist.TransformedDistribution(continuous.StandardNormal(self.zeros).to_event(1), self.transforms(), validate_args=False)


class _Transforms(nn.Module):
    """Transforms in order, those that are modules registered as such."""

    def __init__(self, transforms: tuple[Transform, ...]) -> None:
        super().__init__()
        self.steps = list(transforms)
        self.trained = nn.ModuleList([step for step in transforms if isinstance(step, TransformModule)])

    def forward(self) -> list[Transform]:
        """Return them with nothing remembered of earlier draws, whose graphs are gone."""
        for step in self.steps:
            step._cached_x_y = None, None
        return self.steps
