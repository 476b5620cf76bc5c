"""Decoders p(x given z): ``forward(z)`` (..., L) returns a distribution over rows, event shape (D,), cells independent given z."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_mnar.distributions import continuous
from pyro_mnar.distributions.alignment import evenly
from pyro_mnar.networks.layers import (
    FAR,
    AlignedLinear,
    alone_at,
    growing_scale,
    inverse_softplus,
    log_prior_of_growth,
    log_prior_of_weights,
    mlp,
    noise_scale,
)


class Decoder(nn.Module):
    """What every decoder offers; a subclass says ``forward`` and whatever else of it is true of its own.

    Args:
        latent_dim: L.
        n_columns: D.
    """

    alone: Tensor | None

    def __init__(self, latent_dim: int, n_columns: int) -> None:
        super().__init__()
        self.latent_dim, self.n_columns = latent_dim, n_columns
        #: (P,) True where an output is its bias alone; None for none.
        self.register_buffer("alone", None, persistent=False)

    def forward(self, z: Tensor) -> dist.Distribution:
        """Return p(x | z) for latents ``z`` (..., L)."""
        raise NotImplementedError

    def center(self, means: Tensor) -> None:
        """Start real columns at ``means`` (D,)."""

    @torch.no_grad()
    def start_as(self, other: Decoder) -> None:
        """Start the linear part as that of ``other``, of the same layers, and noise where it is smaller there; all else stays.

        From large noise on, what columns share is taken for noise of each, and from noise that suits ``other`` that is never undone.
        """
        own = dict(self.named_parameters())
        for name, value in other.named_parameters():
            if name == "linear.weight":
                own[name].copy_(value)
            elif name.rpartition(".")[-1] == "raw_scale":
                own[name].copy_(own[name].minimum(value))

    def set_alone(self, columns: Collection[int]) -> None:
        """Have the law of ``columns`` not read the latent: for the rest of its life, before it is trained."""
        raise NotImplementedError

    def hold_growth(self) -> None:
        """Have noise not grow with the mean: for the rest of its life."""
        for name, parameter in self.named_parameters():
            if name.rpartition(".")[-1] == "growth":
                parameter.requires_grad_(False)

    def apart(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return values (N, D) with those that repeat put infinitely far out, on their side: apart from what a normal law explains."""
        return x

    def noise(self) -> dist.Distribution | None:
        """Return the law of (x - m) / d, event shape (D,), where cells are a mean m plus noise of scale d; else None."""
        return None

    def log_prior(self) -> Tensor | None:
        """Return log p of the weights, up to a constant; None where they have no prior."""
        return None

    def tail(self) -> float | None:
        """Return the power by which the density of the heaviest column falls; None where it falls as a normal's does."""
        return None


class GaussianDecoder(Decoder):
    """x_j given z ~ N(m_j(z), d_j^2), with m linear, a network, or the sum of both.

    Noise of one width for all rows puts too little far out where a column is skewed, and too much at an end that values pile up at: a
    line in the mean is the simplest that can be otherwise ("power of the mean": Carroll and Ruppert 1988, "Transformation and Weighting
    in Regression"). What of it only stretches the margin is the warp's (:mod:`pyro_mnar.networks.warps`).

    Args:
        latent_dim: L.
        n_columns: D.
        hidden: hidden layers of the network part; empty for none (then the model is factor analysis).
        linear: whether the mean has a linear part; without it the mean is the network's alone.
        scale_net: whether d is a function of z, from a network of the same layers; else one constant for each column.
        growing: whether d grows with the mean, or falls: before softplus by a multiple of it, one for each column.

    Raises:
        ValueError: when neither part is asked for, or a scale network without hidden layers.

    Example:
        >>> GaussianDecoder(2, 5, hidden=[16])(torch.zeros(7, 2)).event_shape
        torch.Size([5])
    """

    rowwise = True

    def __init__(
        self,
        latent_dim: int,
        n_columns: int,
        hidden: Sequence[int] = (128, 128),
        linear: bool = True,
        scale_net: bool = False,
        growing: bool = False,
    ) -> None:
        super().__init__(latent_dim, n_columns)
        if not hidden and (scale_net or not linear):
            raise ValueError("hidden: got no layers, expected at least one for a mean or scale that is a network's")
        self.n_outputs, self.n_features = n_columns, n_columns
        self.linear = AlignedLinear(latent_dim, n_columns) if linear else None
        self.net = mlp([latent_dim, *hidden, n_columns]) if hidden else None
        self.scale_net = mlp([latent_dim, *hidden, n_columns]) if scale_net else None
        self.raw_scale = nn.Parameter(inverse_softplus(torch.full((n_columns,), 0.5)))
        self.growth = nn.Parameter(torch.zeros(n_columns)) if growing else None
        if self.linear is not None and self.net is not None:
            # The sum starts as the linear part: the network earns what it adds.
            last = self.net[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def mean(self, z: Tensor) -> Tensor:
        """Return m(z), (..., D)."""
        if self.linear is None:
            assert self.net is not None
            return self.net(z)
        mean = self.linear(z) if self.net is None else self.linear(z) + self.net(z)
        return mean if self.alone is None else torch.where(self.alone, self.linear.bias, mean)

    def set_alone(self, columns: Collection[int]) -> None:
        self.alone = alone_at(self.linear, [j in columns for j in range(self.n_columns)])

    @torch.no_grad()
    def center(self, means: Tensor) -> None:
        """Start the mean at ``means`` (D,)."""
        last = self.linear if self.linear is not None else self.net[-1] if self.net is not None else None
        assert isinstance(last, nn.Linear)
        last.bias.copy_(means)

    #: The column that each output is of: all in order.
    owner = slice(None)
    #: Whether an output is a normal cell's mean: all are.
    normal = True

    def working(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what values ``x`` (..., D) tell of the linear part's W z, (..., D), and with which variance, (D,)."""
        assert self.linear is not None
        bias, raw = self.linear.bias, self.raw_scale
        scale = noise_scale(raw) if self.growth is None else growing_scale(raw, self.growth, bias)
        return x - bias, scale.square()

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what an encoder's network reads of values (..., D), 0 in the holes."""
        return x.clamp(-FAR, FAR)

    def log_prior(self) -> Tensor:
        """Return log p of the mean's weights and of noise's growth, up to a constant: N(0, 1) for the linear part, N(0, 1 / fan-in)
        for the network."""
        weights = log_prior_of_weights(self.linear, self.net)
        return weights if self.growth is None else weights + log_prior_of_growth(self.growth)

    def scale(self, z: Tensor, mean: Tensor | None = None) -> Tensor:
        """Return d(z), (..., D), or (D,) where it is constant; ``mean`` is m(z), where that is known already."""
        raw = self.raw_scale if self.scale_net is None else self.raw_scale + self.scale_net(z)
        if self.growth is None:
            return noise_scale(raw) if self.scale_net is None else evenly(noise_scale, raw)
        return growing_scale(raw, self.growth, self.mean(z) if mean is None else mean)

    def noise(self) -> dist.Distribution:
        """Return the law of (x - m) / d, event shape (D,)."""
        return dist.Normal(torch.zeros_like(self.raw_scale), 1.0, validate_args=False).to_event(1)

    def forward(self, z: Tensor) -> dist.Distribution:
        """Return p(x | z) for latents ``z`` (..., L)."""
        mean = self.mean(z)
        return continuous.Normal(mean, self.scale(z, mean)).to_event(1)


class StudentTDecoder(GaussianDecoder):
    """As :class:`GaussianDecoder`, with Student-t noise: one learned degree of freedom for each column, above 2.

    Example:
        >>> type(StudentTDecoder(2, 5)(torch.zeros(7, 2)).base_dist).__name__
        'StudentT'
    """

    def __init__(
        self,
        latent_dim: int,
        n_columns: int,
        hidden: Sequence[int] = (128, 128),
        linear: bool = True,
        scale_net: bool = False,
        growing: bool = False,
    ) -> None:
        super().__init__(latent_dim, n_columns, hidden, linear, scale_net, growing)
        self.raw_df = nn.Parameter(inverse_softplus(torch.full((n_columns,), 8.0)))

    @property
    def df(self) -> Tensor:
        """Degrees of freedom, (D,)."""
        return 2 + softplus(self.raw_df)

    def tail(self) -> float:
        return float(self.df.max()) + 1

    def noise(self) -> dist.Distribution:
        """Return the law of (x - m) / d, event shape (D,)."""
        return dist.StudentT(self.df, 0.0, 1.0, validate_args=False).to_event(1)

    def forward(self, z: Tensor) -> dist.Distribution:
        """Return p(x | z) for latents ``z`` (..., L)."""
        mean = self.mean(z)
        return continuous.StudentT(self.df, mean, self.scale(z, mean)).to_event(1)
