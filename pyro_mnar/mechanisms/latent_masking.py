r"""A second latent for the mask alone: why cells of a row go missing together, whatever their values (masked not-MIWAE).

    z_m ~ N(0, I),        score_j = (the mechanism's own score of x) + f_j(z_m),        P(s_j = 0 | x, z_m) = F(score_j)

z_m enters nothing else. It has an encoder of its own, which sees values and mask. Given z_m each row has intercepts of its own, so what
was integrated out without it is integrated out with it: the closed forms stay closed. It takes up dependence between masks (a
respondent who skips questions, a sensor that is off), which a mechanism of the values alone would have to explain by the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro
import torch
from torch import Tensor, nn

from pyro_mnar.distributions.continuous import StandardNormal
from pyro_mnar.mechanisms.base import Anchors, LogPrior, Mechanism, OwnColumns
from pyro_mnar.networks.encoders import GaussianEncoder
from pyro_mnar.networks.layers import mlp

# Points at which a cell's rate is averaged over z_m.
_POINTS = 256


class GivenLatent(Mechanism):
    """A mechanism with a latent's ``effect`` (..., D) on its scores; what :meth:`LatentMasking.given` returns."""

    def __init__(self, mechanism: Mechanism, effect: Tensor) -> None:
        nn.Module.__init__(self)  # made at every step: its columns are the mechanism's
        self.mechanism, self.effect = mechanism, effect
        self.n_columns, self.columns, self.couplings = mechanism.n_columns, mechanism.columns, mechanism.couplings

    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start the mechanism from the data (N, D)."""
        return self.mechanism.initialize(x, mask)

    def own_scores(self) -> list[OwnColumns]:
        return self.mechanism.own_scores()

    def row_effects(self, x: Tensor, mask: Tensor) -> Tensor:
        others = self.mechanism.row_effects(x, mask)
        return self.effect if others is None else others + self.effect

    def forward(self, x: Tensor, effect: Tensor | None = None) -> Any:
        """Return the law of the masks of complete rows ``x`` (..., D)."""
        return self.mechanism(x, self.effect if effect is None else self.effect + effect)


class LatentMasking(Mechanism):
    """A mechanism whose scores a latent z_m shifts as well.

    Args:
        base: how the values enter: self-masking, linear, neural or a mixture; no threshold.
        latent_dim: the size of z_m.
        hidden: hidden layers of f, the decoder of z_m, and of the encoder; without any f is linear.

    Raises:
        ValueError: for a threshold, which has no score to shift.

    Example:
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> mechanism = LatentMasking(SelfMasking(5, direction="high"), latent_dim=2)
        >>> mechanism.given(torch.zeros(7, 2))(torch.zeros(7, 5)).batch_shape
        torch.Size([7])
    """

    zeros: Tensor
    points: Tensor
    independent = False

    def __init__(self, base: Mechanism, latent_dim: int = 2, hidden: Sequence[int] = (32,)) -> None:
        if not base.smooth:
            raise ValueError("base: got a threshold, expected a mechanism whose score can be shifted")
        n_columns = base.n_columns
        super().__init__(n_columns, base.columns.tolist(), base.couplings.clone())
        self.base = base
        self.net = mlp([latent_dim, *hidden, n_columns])
        self.encoder = GaussianEncoder(latent_dim, n_columns, list(hidden) or [32])
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():  # small, so that it starts near the mechanism without a latent; zero would be a saddle
            last.weight.mul_(0.1)
            last.bias.zero_()
        uniforms = torch.quasirandom.SobolEngine(latent_dim).draw(_POINTS, dtype=torch.float64) + 0.5 / _POINTS
        self.register_buffer("points", torch.special.ndtri(uniforms.clamp(1e-6, 1 - 1e-6)).to(torch.get_default_dtype()), False)
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)

    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start the mechanism from the data (N, D); return how far it supposes the column means, (D,), from those seen."""
        return self.base.initialize(x, mask)

    def own_scores(self) -> list[OwnColumns]:
        return self.base.own_scores()

    def row_effects(self, x: Tensor, mask: Tensor) -> Tensor | None:
        """Return those of the mechanism; the latent's are those of :meth:`given`."""
        return self.base.row_effects(x, mask)

    def model(self, z: Tensor) -> Mechanism:
        z_m = pyro.sample("z_m", StandardNormal(self.zeros).to_event(1))
        return GivenLatent(self.base.model(z), self.net(z_m))

    def guide(self, x: Tensor, mask: Tensor) -> None:
        pyro.sample("z_m", self.encoder(x, mask))

    @property
    def reads_latent(self) -> bool:
        return self.base.reads_latent

    def effects_of(self, z: Tensor) -> Tensor | None:
        return self.base.effects_of(z)

    def own_effects(self) -> Tensor:
        return self.base.own_effects()

    def reads_own(self) -> Tensor:
        return self.base.reads_own()

    def effects_of_columns(self) -> Tensor | None:
        return self.base.effects_of_columns()

    @property
    def anchored(self) -> int:
        return self.base.anchored

    def start(self, anchors: Anchors) -> None:
        self.base.start(anchors)

    def log_prior(self, anchors: Anchors) -> LogPrior:
        return self.base.log_prior(anchors)

    def given(self, z_m: Tensor) -> GivenLatent:
        """Return the mechanism of rows whose latent is ``z_m`` (..., L)."""
        return GivenLatent(self.base, self.net(z_m))

    def forward(self, x: Tensor, effect: Tensor | None = None) -> Any:
        """Return the law of each mask of complete rows ``x`` (..., D), z_m averaged out cell by cell.

        What z_m makes of cells together is not in it; rows of masks come from ``given(z_m)``.
        """
        effects = self.net(self.points).reshape(_POINTS, *[1] * (x.dim() - 1), -1)
        return self.base(x.expand(_POINTS, *x.shape), effects if effect is None else effects + effect).averaged()
