r"""A second latent for the mask alone: why cells of a row go missing together, whatever their values (masked not-MIWAE).

    z_m ~ N(0, I),        score_j = (the mechanism's own score of x) + f_j(z_m),        P(s_j = 0 | x, z_m) = F(score_j)

z_m enters nothing else. It has an encoder of its own, which sees values and mask. Given z_m each row has intercepts of its own, so what
was integrated out without it is integrated out with it: the closed forms stay closed. It takes up dependence between masks (a
respondent who skips questions, a sensor that is off), which a mechanism of the values alone would have to explain by the values.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyro_mnar.distributions.links import THRESHOLD
from pyro_mnar.mechanisms.base import MaskDistribution, Mechanism
from pyro_mnar.networks.encoders import GaussianEncoder
from pyro_mnar.networks.layers import mlp

# Points at which a cell's rate is averaged over z_m.
_POINTS = 256


class GivenLatent:
    """A mechanism with a latent's ``effect`` (..., D) on its scores; what :meth:`LatentMasking.given` returns."""

    def __init__(self, mechanism: Mechanism, effect: Tensor) -> None:
        self.mechanism, self.effect = mechanism, effect
        self.columns, self.couplings = mechanism.columns, mechanism.couplings

    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start the mechanism from the data (N, D)."""
        return self.mechanism.initialize(x, mask)

    def __call__(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution:
        """Return the law of the masks of complete rows ``x`` (..., D)."""
        return self.mechanism(x, self.effect if effect is None else self.effect + effect)


class LatentMasking(nn.Module):
    """A mechanism whose scores a latent z_m shifts as well.

    Args:
        base: how the values enter: self-masking, linear, neural or a mixture; no threshold.
        latent_dim: of z_m.
        hidden: hidden layers of f, the decoder of z_m, and of the encoder; without any f is linear.

    Raises:
        ValueError: for a threshold, which has no score to shift.

    Example:
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> mechanism = LatentMasking(SelfMasking(5, direction="high"), latent_dim=2)
        >>> mechanism.given(torch.zeros(7, 2))(torch.zeros(7, 5)).batch_shape
        torch.Size([7])
    """

    columns: Tensor
    couplings: Tensor
    zeros: Tensor
    points: Tensor

    def __init__(self, base: Mechanism, latent_dim: int = 2, hidden: Sequence[int] = (32,)) -> None:
        super().__init__()
        if any(getattr(part, "link", None) is THRESHOLD for part in getattr(base, "parts", [base])):
            raise ValueError("base: got a threshold, expected a mechanism whose score can be shifted")
        n_columns = len(base.couplings)
        self.base = base
        self.net = mlp([latent_dim, *hidden, n_columns])
        self.encoder = GaussianEncoder(n_columns, latent_dim, list(hidden) or [32])
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():  # small, so that it starts near the mechanism without a latent; zero would be a saddle
            last.weight.mul_(0.1)
            last.bias.zero_()
        uniforms = torch.quasirandom.SobolEngine(latent_dim).draw(_POINTS, dtype=torch.float64) + 0.5 / _POINTS
        self.register_buffer("points", torch.special.ndtri(uniforms.clamp(1e-6, 1 - 1e-6)).to(torch.get_default_dtype()), False)
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("columns", base.columns.clone(), persistent=False)
        self.register_buffer("couplings", base.couplings.clone(), persistent=False)

    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start the mechanism from the data (N, D); return how far it supposes the column means, (D,), from those seen."""
        return self.base.initialize(x, mask)

    def given(self, z_m: Tensor) -> GivenLatent:
        """Return the mechanism of rows whose latent is ``z_m`` (..., L)."""
        return GivenLatent(self.base, self.net(z_m))

    def forward(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution:
        """Return the law of each mask of complete rows ``x`` (..., D), z_m averaged out cell by cell.

        What z_m makes of cells together is not in it; rows of masks come from ``given(z_m)``.
        """
        effects = self.net(self.points).reshape(_POINTS, *[1] * (x.dim() - 1), -1)
        return self.base(x.expand(_POINTS, *x.shape), effects if effect is None else effects + effect).averaged()
