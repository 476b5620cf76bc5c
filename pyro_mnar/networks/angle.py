r"""Angles: a von Mises law of each cell with a decoder's two outputs, and its head.

    p(x_j | z) = exp(a cos x_j + b sin x_j) / (2 pi I_0(k)),      (a, b) = c_j eta(z),      k = |(a, b)|

x_j is in radians. (a, b) are natural parameters, so that their direction is the mode's and their length the concentration; c_j > 0 is
the column's own, as the noise of a normal column is. Where z says nothing of the column the law is flat. Source: Mardia and Jupp 2000,
"Directional Statistics", chapter 3.5.

A missing cell is integrated over the circle by Simpson's rule. The points are x = m + 2 atan(w tan(t / 2)) about the mode m, evenly
spaced in t from one passage of 0 to the next: however concentrated the law, with w as its width it is as smooth in t. Draws invert the
distribution function of the density that is linear in t between the points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro.distributions as dist
import torch
from pyro.distributions.util import broadcast_shape
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.functional import softplus

from pyro_mnar.distributions.alignment import TOGETHER
from pyro_mnar.distributions.cells import Cells, Censored, OwnScore
from pyro_mnar.distributions.discrete import OnPoints
from pyro_mnar.distributions.indexing import chosen_of, columns_of
from pyro_mnar.networks.head import Head
from pyro_mnar.networks.layers import inverse_softplus

_LOG_2PI = math.log(2 * math.pi)
# Intervals of Simpson's rule, an even number.
_INTERVALS = 192
# Within a concentration of 0: what the length of (a, b) is differentiable by.
_TINY = 1e-12


class VonMises(Cells, dist.TorchDistribution):
    """The law of the module's first line, on [0, 2 pi).

    Args:
        cosine: a, (..., J).
        sine: b, (..., J).

    Example:
        >>> law = VonMises(torch.zeros(7, 1), torch.full((7, 1), 3.0))
        >>> law.batch_shape, round(float(law.sample((2000,)).sin().mean()), 1)
        (torch.Size([7, 1]), 0.8)
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real
    has_rsample = False

    def __init__(self, cosine: Tensor, sine: Tensor) -> None:
        self.cosine, self.sine = cosine, sine
        super().__init__(torch.Size(broadcast_shape(cosine.shape, sine.shape)), validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> VonMises:
        return VonMises(self.cosine.expand(batch_shape), self.sine.expand(batch_shape))

    @property
    def concentration(self) -> Tensor:
        """k, (..., J)."""
        return (self.cosine.square() + self.sine.square() + _TINY).sqrt()

    @property
    def like(self) -> Tensor:
        return self.cosine

    @property
    def mean(self) -> Tensor:
        """(..., J), of values in [0, 2 pi) as they stand; a direction is that of the means of cosine and sine."""
        return self.censored(None).mean

    def take(self, columns: Tensor | slice | Sequence[int]) -> VonMises:
        return VonMises(columns_of(self.cosine, columns), columns_of(self.sine, columns))

    def at(self, chosen: Tensor, together: int = TOGETHER) -> VonMises:
        return VonMises(chosen_of(self.cosine, chosen, together), chosen_of(self.sine, chosen, together))

    def log_prob(self, value: Tensor) -> Tensor:
        k = self.concentration
        return self.cosine * value.cos() + self.sine * value.sin() - k - torch.special.i0e(k).log() - _LOG_2PI

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            uniforms = torch.rand(*sample_shape, *self._batch_shape, 3, dtype=self.cosine.dtype, device=self.cosine.device)
            return self.censored(None).draw(uniforms)

    def censored(self, own: OwnScore | None) -> Censored:
        return _Missing(self, own)

    @torch.no_grad()
    def points(self) -> tuple[Tensor, Tensor]:
        """Return points of the circle from 0 to 2 pi and the logarithm of dx/dt there, (Q + 1, ..., J); t is evenly spaced."""
        mode = torch.atan2(self.sine, self.cosine) % (2 * math.pi)
        width = (1 + 0.25 * self.concentration).rsqrt()
        first = 2 * torch.atan2(-(0.5 * mode).sin(), width * (0.5 * mode).cos())
        steps = torch.arange(_INTERVALS + 1).to(mode).reshape(-1, *[1] * mode.dim()) * (2 * math.pi / _INTERVALS)
        half = 0.5 * (first + steps)
        x = mode + 2 * torch.atan2(width * half.sin(), half.cos())
        log_slope = width.log() - (half.cos().square() + (width * half.sin()).square()).log()
        return x.clamp(0.0, 2 * math.pi), log_slope


class _Missing(OnPoints):
    """M missing cells, given for which score ``own`` they are missing, or that the mask says nothing of them."""

    probabilities = None

    def __init__(self, law: VonMises, own: OwnScore | None) -> None:
        self.own = own
        self.values, log_slope = law.points()
        density = law.log_prob(self.values) + (0.0 if own is None else own.log_missing(self.values))
        self.log_density = density + log_slope  # of t
        rule = torch.ones(_INTERVALS + 1).to(density)
        rule[1:-1:2], rule[2:-1:2] = 4.0, 2.0
        step = 2 * math.pi / _INTERVALS
        self.log_joint = self.log_density + (rule * step / 3).log().reshape(-1, *[1] * (density.dim() - 1))

    @property
    def log_mass(self) -> Tensor:
        mass = super().log_mass
        return torch.zeros_like(mass) if self.own is None else mass

    def draw(self, uniforms: Tensor) -> Tensor:
        which, place = uniforms[..., 0], uniforms[..., 1]
        density = (self.log_density - self.log_density.amax(0)).exp()
        total = (density[1:] + density[:-1]).cumsum(0)
        lead = which.shape[: which.dim() - total.dim() + 1]

        def spread(values: Tensor) -> Tensor:
            return values.reshape(len(values), *[1] * len(lead), *values.shape[1:]).expand(-1, *which.shape)

        at = torch.searchsorted(*(part.movedim(0, -1).contiguous() for part in (spread(total), (which * total[-1]).unsqueeze(0))))
        index = at.movedim(-1, 0).clamp(max=_INTERVALS - 1)
        low, high = (spread(density).gather(0, index + i).squeeze(0) for i in (0, 1))
        # The share s of an interval with low s + (high - low) s^2 / 2 at a uniform's share of its whole.
        wanted = place * (low + high)
        share = wanted / (low + (low.square() + (high - low) * wanted).clamp_min(0.0).sqrt()).clamp_min(torch.finfo(low.dtype).tiny)
        left, right = (spread(self.values).gather(0, index + i).squeeze(0) for i in (0, 1))
        x = torch.lerp(left, right, share.clamp(0.0, 1.0).to(left))
        return torch.where(x < 2 * math.pi, x, 0.0)


class AngleHead(Head):
    """Columns of angles in radians, two outputs each: first all those of cosines, then all those of sines.

    Args:
        columns: their indices.
        cosines, sines: of each, the means of cosine and sine: where the law starts.

    Example:
        >>> head = AngleHead([1], [0.0], [0.7])
        >>> law = head(head.start).censored(None)
        >>> round(float(law.mean_of(torch.sin).detach()), 1)
        0.7
    """

    rowwise = True

    def __init__(self, columns: Sequence[int], cosines: Sequence[float], sines: Sequence[float]) -> None:
        width = len(columns)
        means = torch.tensor([cosines, sines], dtype=torch.float32)
        length = means.norm(dim=0).clamp_min(1e-6)
        short = length.clamp(max=0.95)
        # About the concentration of which the mean cosine is that (Best and Fisher 1981).
        start = means / length * (short * (2 - short.square()) / (1 - short.square()))
        super().__init__(columns, list(range(width)) * 2, start.flatten(), 2 * width)
        self.raw_scale = nn.Parameter(inverse_softplus(torch.ones(width)))

    def _stretch(self) -> Tensor:
        return torch.cat([softplus(self.raw_scale)] * 2, -1)

    def forward(self, eta: Tensor) -> VonMises:
        """Return the law of the columns, (..., J), given outputs (..., 2 J)."""
        return VonMises(*(eta * self._stretch()).chunk(2, -1))

    def scoring(self, eta: Tensor) -> tuple[Tensor, ...]:
        """Return how outputs are stretched, the means of cosine and sine, and the information, (2 J,)."""
        law, stretch = self(eta).censored(None), self._stretch()
        functions = torch.cos, torch.sin
        means = [law.mean_of(each) for each in functions]
        spread = [law.mean_of(lambda v, f=each, m=mean: (f(v) - m).square()) for each, mean in zip(functions, means, strict=True)]
        information = stretch.square() * torch.cat(spread, -1).clamp_min(0.01)
        return stretch, torch.cat(means, -1), information

    def told(self, x: Tensor, eta: Tensor, scoring: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        stretch, means, information = scoring
        score = stretch * (torch.cat([x.cos(), x.sin()], -1) - means)
        return score / information, information.reciprocal()

    def features(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what a network reads of values (..., J): cosine and sine, 0 where missing."""
        return torch.where(mask.repeat(*[1] * (mask.dim() - 1), 2), torch.cat([x.cos(), x.sin()], -1), 0.0)
