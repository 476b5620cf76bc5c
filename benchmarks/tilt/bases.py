"""Bases that are too simple, their exact log densities, and the plane as a grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, ConjugateEncoder, GaussianDecoder, fit
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.model import Tilt

NOISE = 0.1


def gaussian_base(x: Tensor, mechanism: SelfMasking | None = None) -> MNAR:
    """A full normal law with the moments of complete rows ``x``, as a linear decoder with two latents and little noise."""
    decoder = GaussianDecoder(2, 2, hidden=())
    cov = torch.cov(x.T)
    with torch.no_grad():
        decoder.linear.weight.copy_(torch.linalg.cholesky(cov - NOISE**2 * torch.eye(2)))
        decoder.linear.bias.copy_(x.mean(0))
        decoder.raw_scale.fill_(math.log(math.expm1(NOISE - 0.05)))
    return MNAR(decoder, ConjugateEncoder(decoder, [32]), mechanism)


def vae_base(x: Tensor, seed: int, steps: int = 1500) -> MNAR:
    """A VAE of one latent with a decoder of eight hidden units."""
    decoder = GaussianDecoder(1, 2, hidden=[8])
    base = MNAR(decoder, ConjugateEncoder(decoder, [32]))
    mask = torch.ones_like(x, dtype=torch.bool)
    base.initialize(x, mask)
    fit(IWELBO(base, 10), x, mask, steps=steps, lr=1e-2, seed=seed, progress=False, batch_size=128, mechanism_lr=1e-1)
    return base


def tilted(base: MNAR, tilt: Tilt) -> MNAR:
    """The base with a tilt on it, frozen."""
    model = MNAR(base.decoder, base.encoder, base.mechanism, base.warp, tilt=tilt)
    model.freeze_base()
    return model


@torch.no_grad()
def base_log_density(model: MNAR, x: Tensor) -> Tensor:
    """log p_base at ``x`` (..., 2): closed for a linear decoder, else by the trapezoid rule over one latent."""
    decoder = model.decoder
    if decoder.net is None:
        weight = decoder.linear.weight.double()
        cov = weight @ weight.T + torch.diag(decoder.scale(weight.new_zeros(2).float()).double().square())
        law = torch.distributions.MultivariateNormal(decoder.linear.bias.double(), cov)
        return law.log_prob(x.double())
    z = torch.linspace(-6, 6, 1201)
    log_z = (-0.5 * z.double().square() - 0.5 * math.log(2 * math.pi) + math.log(12 / 1200)).unsqueeze(-1)
    rows = decoder(z.unsqueeze(-1).unsqueeze(-2))
    parts = [(rows.log_prob(part).double() + log_z).logsumexp(0) for part in x.reshape(-1, 2).float().split(4096)]
    return torch.cat(parts).reshape(x.shape[:-1])


def grid(points: int = 401, width: float = 4.0) -> tuple[Tensor, float]:
    """The plane from -width to width as (points^2, 2), and the logarithm of a cell's area."""
    axis = torch.linspace(-width, width, points)
    return torch.cartesian_prod(axis, axis), 2 * math.log(2 * width / (points - 1))


@torch.no_grad()
def grid_log_z(model: MNAR) -> float:
    """log Z on the grid."""
    x, log_cell = grid()
    log_w = base_log_density(model, x) + model.tilt.log_weight(x, x).double()
    return float(log_w.logsumexp(0)) + log_cell
