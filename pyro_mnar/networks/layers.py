"""Parts that networks share: layers, and raw parameters of standard deviations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_mnar.distributions.alignment import evenly, linear

# In scaled units (each column's observed standard deviation is about 1): below it a likelihood of rounded data has no maximum.
MIN_SCALE = 0.05
#: Inputs of encoders' networks are cut here: beyond, a value says no more than that it is far out.
FAR = 8.0
# Mean, in scaled units, beyond which noise grows no further: a line is not to be trusted beyond what columns reach.
_GROWN = 4.0
# Prior standard deviation of how noise grows with the mean, per unit: of .15, .3 and .6 the one with the least error on development
# tables (docs/accuracy.md).
_GROWTH_SPREAD = 0.3


class AlignedLinear(nn.Linear):
    """torch's, in which a row's result does not depend on its place (:mod:`pyro_mnar.distributions.alignment`)."""

    rowwise = True

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


class Rectifier(nn.ReLU):
    """torch's; in place where no gradients are recorded, since nobody else reads what a layer before it returns."""

    rowwise = True

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if torch.is_grad_enabled() else input.relu_()


@torch.no_grad()
def alone_at(linear: nn.Linear | None, outputs: Sequence[bool]) -> Tensor:
    """Return where ``outputs`` (P,) are to be their bias alone, and set the weights of ``linear`` to 0 there.

    No gradient then moves these, and their prior is about 0, so that an encoder which reads them reads 0.
    """
    if linear is None:
        raise ValueError("decoder: its mean has no linear part, expected linear=True for columns that do not read the latent")
    alone = torch.tensor(outputs)
    linear.weight[alone] = 0.0
    return alone


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Return linear layers of the given sizes with ReLU between them.

    Example:
        >>> mlp([2, 8, 3])(torch.zeros(5, 2)).shape
        torch.Size([5, 3])
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [AlignedLinear(n_in, n_out), Rectifier()]
    return nn.Sequential(*layers[:-1])


def inverse_softplus(value: Tensor) -> Tensor:
    """Return the number whose softplus is ``value``, above 0."""
    return value + torch.log(-torch.expm1(-value))


def noise_scale(raw: Tensor) -> Tensor:
    """Return the standard deviation that a raw parameter stands for."""
    return softplus(raw) + MIN_SCALE


def growing_scale(raw: Tensor, growth: Tensor, mean: Tensor) -> Tensor:
    """Return standard deviations of noise, (..., J), which grow with the ``mean`` (..., J), or fall.

    Args:
        raw: (J,) raw parameters of the noise at a mean of 0.
        growth: (J,) what a unit of the mean adds to them.
        mean: of the cells, in scaled units.
    """
    return evenly(noise_scale, raw + growth * mean.clamp(-_GROWN, _GROWN))


def log_prior_of_growth(growth: Tensor) -> Tensor:
    """Return log p of how noise grows, (J,), up to a constant: normal about not at all."""
    return -0.5 * (growth / _GROWTH_SPREAD).square().sum()


def log_prior_of_weights(linear: nn.Linear | None, net: nn.Sequential | None) -> Tensor:
    """Return log p of weights, up to a constant: N(0, 1) of a linear part, N(0, 1 / fan-in) of a network's layers."""
    total = torch.zeros(()) if linear is None else -0.5 * linear.weight.square().sum()
    for layer in net or ():
        if isinstance(layer, nn.Linear):
            total = total - 0.5 * layer.in_features * layer.weight.square().sum()
    return total
