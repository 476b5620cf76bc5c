r"""From the base to the tilted model by a path of tempered ones: annealed importance sampling and sequential Monte Carlo.

A draw of the base is u = (z, e), latents and standardized noise, and its row x(u) a function of it. In u the base is a fixed, simple
law pi_0 (normal, or Student-t noise) whatever the decoder, and the tilted model is pi_0(u) exp(-E(x(u))) / Z: no bound on log p(x) is
needed to move in it, and Langevin steps in u are exact for (z, x) jointly. Between them lie

    pi_t(u) proportional to pi_0(u) exp(-t E(x(u))),         0 = t_0 < t_1 < ... < t_T = 1.

A population of particles is reweighted by exp(-(t_i - t_{i-1}) E), resampled, and moved by Metropolis-adjusted Langevin steps that
leave pi_{t_i} invariant; the product of the mean weights estimates Z without bias (Del Moral, Doucet and Jasra 2006, "Sequential
Monte Carlo samplers", JRSS B 68). Without resampling it is annealed importance sampling (Neal 2001, Statistics and Computing 11).
The next t is the largest at which the conditional effective sample size is still the asked share (Zhou, Johansen and Aston 2016,
JCGS 25).
Several populations side by side share temperatures and step sizes; their spread is the estimate's standard error.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mnar.mcmc import kernels
from pyro_mnar.mcmc.adaptation import TARGET_ACCEPTANCE

# Share of the conditional effective sample size that a step in temperature keeps.
_KEEP = 0.9
_MOST_STAGES = 1000


class Path:
    """The densities pi_t of a module with a tilt, over positions u (B, L + D).

    Args:
        module: has ``decoder.latent_dim``, ``noise()``, ``rows(z, noise)`` and ``tilt``. One whose cells are no mean plus noise,
            such as levels, refuses ``noise()``: there is no gradient in them to move by.
    """

    def __init__(self, module: Any) -> None:
        self.module, self.latent_dim = module, int(module.decoder.latent_dim)

    def draw(self, n: int) -> Tensor:
        """Return n positions drawn from the base."""
        noise = self.module.noise().sample((n,))
        return torch.cat([torch.randn(n, self.latent_dim, dtype=noise.dtype, device=noise.device), noise], -1)

    def complete(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return latents and rows at ``u``."""
        z, noise = u[..., : self.latent_dim], u[..., self.latent_dim :]
        return z, self.module.rows(z, noise)

    def log_weight(self, u: Tensor) -> Tensor:
        """Return -E at ``u``, (B,)."""
        return self.module.tilt.log_weight(*self.complete(u))

    def log_density(self, u: Tensor, t: float = 1.0) -> Tensor:
        """Return log pi_t at ``u`` up to a constant, (B,)."""
        z, noise = u[..., : self.latent_dim], u[..., self.latent_dim :]
        base = -0.5 * z.square().sum(-1) + self.module.noise().log_prob(noise)
        return base + t * self.log_weight(u)

    def move(self, u: Tensor, steps: int, step_size: float, t: float = 1.0) -> tuple[Tensor, float, float]:
        """Return ``u`` after Metropolis-adjusted Langevin steps, the next step size, and the mean acceptance probability."""
        state, total = kernels.init(lambda v: self.log_density(v, t), u), 0.0
        for _ in range(steps):
            normals, uniforms = torch.randn_like(u), torch.rand_like(state.log_density)
            state, info = kernels.mala(lambda v: self.log_density(v, t), state, step_size, normals, uniforms)
            acceptance = float(info.acceptance.mean())
            total += acceptance / steps
            # Many chains share it: their mean acceptance is nearly without noise, and a plain search settles in a few steps.
            step_size *= math.exp(0.5 * (acceptance - TARGET_ACCEPTANCE["mala"]))
        return state.position, step_size, total


class Annealed(NamedTuple):
    """``log_z`` (R,) of R populations, ``positions`` (R, S, L + D) with ``log_weights`` (R, S), the ``temperatures`` used."""

    log_z: Tensor
    positions: Tensor
    log_weights: Tensor
    temperatures: list[float]


def anneal(path: Path, populations: int = 8, size: int = 512, moves: int = 5, resample: bool = True) -> Annealed:
    """Move populations of particles from the base to the tilted model.

    Args:
        path: of the model.
        populations: R.
        size: S, particles in each.
        moves: Langevin steps at each temperature.
        resample: False for annealed importance sampling.

    Raises:
        FloatingPointError: when the path does not end: the energy is not finite, or falls without end where the base goes.
    """
    u = path.draw(populations * size)
    step_size, t, temperatures = 0.5, 0.0, [0.0]
    log_w = u.new_zeros(populations, size, dtype=torch.float64)
    log_z = log_w.new_zeros(populations)
    while t < 1:
        if len(temperatures) > _MOST_STAGES:
            raise FloatingPointError(
                f"energy: {_MOST_STAGES} temperatures reached {t:.3g} of 1; is it unbounded below? (EnergyTilt's ceiling)"
            )
        with torch.no_grad():
            gain = path.log_weight(u).double().reshape(populations, size)
        if not bool(gain.isfinite().all()):
            raise FloatingPointError(f"energy: not finite at {int((~gain.isfinite()).sum())} of {gain.numel()} particles")
        step = _step(gain, log_w, 1 - t)
        t = 1.0 if t + step >= 1 - 1e-9 else t + step
        temperatures.append(t)
        log_w = log_w + step * gain
        if resample:
            log_z = log_z + log_w.logsumexp(1) - math.log(size)
            index = torch.stack([systematic(row.softmax(0), size) for row in log_w])
            u = u.reshape(populations, size, -1).gather(1, index.unsqueeze(-1).expand(-1, -1, u.shape[-1])).flatten(0, 1)
            log_w = torch.zeros_like(log_w)
        u, step_size, _ = path.move(u, moves, step_size, t)
    if not resample:
        log_z = log_w.logsumexp(1) - math.log(size)
    return Annealed(log_z, u.reshape(populations, size, -1), log_w, temperatures)


def systematic(shares: Tensor, n: int) -> Tensor:
    """Return n indices drawn by ``shares`` (S,), each within one of its expected number.

    Example:
        >>> systematic(torch.tensor([0.5, 0.0, 0.5]), 4).tolist()
        [0, 0, 2, 2]
    """
    points = (torch.arange(n, dtype=shares.dtype, device=shares.device) + torch.rand((), dtype=shares.dtype, device=shares.device)) / n
    return torch.searchsorted(shares.cumsum(0), points).clamp(max=len(shares) - 1)


def _step(gain: Tensor, log_w: Tensor, left: float) -> float:
    """Return the largest step in temperature up to ``left`` that keeps the conditional effective sample size."""

    def kept(step: float) -> float:
        shares, new = log_w.log_softmax(1), step * gain
        return float((2 * (shares + new).logsumexp(1) - (shares + 2 * new).logsumexp(1)).min().exp())

    if kept(left) >= _KEEP:
        return left
    low, high = 0.0, left
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if kept(middle) >= _KEEP else (low, middle)
    return max(low, 1e-12)
