r"""Tilts: an energy that reweights what decoder and prior say of a row.

    p(z, x) proportional to p(z) p(x | z) exp(-E(z, x)),         log p(x) = log p_base(x) - E(x) - log Z,
    Z = E_base[exp(-E)]

A tilt is a module that returns the *log weight* -E, one number a row. It reads complete rows, or (``latent``) the latents, where it
tilts the prior. Several are added with ``+``. What is known of log Z, the number b in ``pyro.factor("tilt", -E - b)``, is the
model's (``MNAR.log_z``): E + c with b - c is the same model.

- :class:`EnergyTilt`: E is a network, learned;
- :class:`Constraint`: +strength f(x) for a given f, larger f preferred (posterior regularization: Ganchev, Graca, Gillenwater and
  Taskar 2010, "Posterior regularization for structured latent variable models", JMLR 11);
- :class:`LearnedConstraint`: the features are given, their weights learned; at the maximum of the likelihood the tilted model has the
  data's mean features, and of all such laws it is the closest to the base (maximum entropy: Jaynes 1957, Physical Review 106).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm

from pyro_mnar.distributions.alignment import aligned
from pyro_mnar.infer.checks import check_rates
from pyro_mnar.networks.layers import AlignedLinear


class Tilt(nn.Module):
    """What every tilt offers: ``forward`` of rows (or latents) is the log weight, ``+`` adds two."""

    #: Whether it reads the latents; else complete rows.
    latent = False

    def log_weight(self, z: Tensor, x: Tensor) -> Tensor:
        """Return -E, (...), of latents ``z`` (..., L) and complete rows ``x`` (..., D)."""
        log_weight: Tensor = self(z if self.latent else x)
        return log_weight

    @property
    def reads_rows(self) -> bool:
        """Whether values of cells enter."""
        return not self.latent

    def __add__(self, other: Tilt) -> TiltSum:
        return TiltSum([self, other])


class TiltSum(Tilt):
    """Several tilts at once: their log weights add; made by ``+``.

    Example:
        >>> both = Constraint(lambda x: -x[..., 0], 1.0) + Constraint(lambda x: x[..., 1], 2.0)
        >>> both.log_weight(torch.zeros(1, 1), torch.tensor([[3.0, 4.0]])).tolist()
        [5.0]
    """

    def __init__(self, parts: Sequence[Tilt]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def log_weight(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the sum of the parts' log weights, (...)."""
        weights: list[Tensor] = [part.log_weight(z, x) for part in self.parts]  # type: ignore[operator]  # they are tilts
        return torch.stack(torch.broadcast_tensors(*weights)).sum(0)

    @property
    def reads_rows(self) -> bool:
        """Whether any part reads the values of cells."""
        return any(bool(part.reads_rows) for part in self.parts)


class EnergyTilt(Tilt):
    """exp(-E) with E = ``net``.

    Args:
        net: a network that takes (..., D), or (..., L) where ``latent``, and returns E as (...) or (..., 1); see :func:`energy_net`.
        latent: whether it reads z.
        ceiling: None, or a bound on the log weight: -E becomes a smooth minimum of -E and it. Where a decoder has heavy tails, an
            energy that falls without end makes Z infinite, and no Monte Carlo estimate shows it.

    Example:
        >>> tilt = EnergyTilt(lambda x: x.square().sum(-1))
        >>> tilt(torch.tensor([[1.0, 2.0]])).tolist()
        [-5.0]
    """

    def __init__(self, net: Callable[[Tensor], Tensor], latent: bool = False, ceiling: float | None = None) -> None:
        super().__init__()
        self.net, self.latent, self.ceiling = net, latent, ceiling

    def forward(self, value: Tensor) -> Tensor:
        """Return -E, (...)."""
        energy = self.net(value)
        if energy.dim() == value.dim() and energy.shape[-1] == 1:
            energy = energy.squeeze(-1)
        _check_shape("net", energy, value.shape[:-1])
        return -energy if self.ceiling is None else self.ceiling - softplus(self.ceiling + energy)


class Constraint(Tilt):
    """exp(strength f(x)): rows of larger f are preferred; with f <= 0, and 0 where the rule holds, a soft rule.

    Args:
        f: a function that takes complete rows (..., D) and returns (...); differentiable where it is to be sampled by its gradient.
        strength: nats for each unit of f; 0 is no constraint.

    Raises:
        ValueError: for a negative strength (write the preference into f).

    Example:
        >>> ordered = Constraint(lambda x: (x[..., 0] - x[..., 1]).clamp(max=0), strength=10.0)  # column 0 >= column 1
        >>> ordered(torch.tensor([[2.0, 1.0], [1.0, 1.5]])).tolist()
        [0.0, -5.0]
    """

    def __init__(self, f: Callable[[Tensor], Tensor], strength: float) -> None:
        super().__init__()
        check_rates(strength=strength)
        self.f, self.strength = f, strength

    def forward(self, x: Tensor) -> Tensor:
        """Return strength f(x), (...)."""
        value = self.f(x)
        _check_shape("f", value, x.shape[:-1])
        return self.strength * value


class LearnedConstraint(Tilt):
    """exp(sum_i w_i f_i(x)): the features f are given, their weights w learned, from 0.

    Args:
        features: a function that takes complete rows (..., D) and returns (..., F).
        size: F.

    Example:
        >>> tilt = LearnedConstraint(lambda x: torch.stack([x.sum(-1), x.prod(-1)], -1), 2)
        >>> tilt(torch.ones(5, 3)).tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, features: Callable[[Tensor], Tensor], size: int) -> None:
        super().__init__()
        self.features = features
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """Return the log weight, (...)."""
        features = self.features(x)
        _check_shape("features", features, (*x.shape[:-1], len(self.weight)))
        return aligned(features) @ aligned(self.weight)


def _check_shape(name: str, value: Tensor, shape: Sequence[int]) -> None:
    """Raise a ValueError where a function of rows returned another shape: in sums over rows that would pass for numbers of each."""
    if value.shape != torch.Size(shape):
        raise ValueError(f"{name}: returned shape {tuple(value.shape)}, expected {tuple(shape)}, which is of each row alone")


# How many times wider than torch's the first layer starts: so that edges a fraction of the scale apart can be learned in few steps.
# Measured on a checkerboard (share of the likelihood gap closed after 2000 steps): .64 at 1, .79 at 4.
_SHARPNESS = 4.0


def energy_net(n_inputs: int, hidden: Sequence[int] = (128, 128, 128), spectral: bool = False) -> nn.Sequential:
    """Return a smooth network of one output that starts at zero energy, for inputs of scale about 1.

    Args:
        n_inputs: D, or L.
        hidden: hidden layers.
        spectral: whether every layer's largest singular value is held at 1, so that E rises by at most about 1 a unit
            (Miyato et al. 2018, arXiv 1802.05957); it then does not start at zero.

    Example:
        >>> energy_net(2)(torch.randn(5, 2)).abs().sum().item()
        0.0
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise([n_inputs, *hidden]):
        layers += [AlignedLinear(n_in, n_out), nn.SiLU()]
    last = AlignedLinear(hidden[-1], 1)
    layers.append(last)
    if spectral:
        return nn.Sequential(*[spectral_norm(layer) if isinstance(layer, nn.Linear) else layer for layer in layers])
    with torch.no_grad():
        for parameter in layers[0].parameters():
            parameter.mul_(_SHARPNESS)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers)
