r"""Gradient kernels over a batch of independent targets: Hamiltonian, Metropolis-adjusted Langevin, unadjusted Langevin.

A target is a function of positions (B, d) that returns log densities (B,), up to constants; row b reads position b only. One call
moves all B chains. With a preconditioner C = S S' (``scale`` is S), momentum p ~ N(0, I) in whitened units and a step size e,

    leapfrog:   p <- p + e/2 S' grad log pi(x),    x <- x + e S p,    p <- p + e/2 S' grad log pi(x)

n times, then Metropolis: accept with probability min(1, exp(H_old - H_new)), H = -log pi(x) + p'p / 2 (Duane et al. 1987, "Hybrid
Monte Carlo", Physics Letters B 195; Neal, arXiv 1206.1901). With n = 1 this *is* MALA (Roberts and Tweedie 1996, "Exponential
convergence of Langevin distributions", Bernoulli 2): the proposal is x + e^2/2 C grad log pi(x) + e S p, and H_old - H_new the
logarithm of the Metropolis-Hastings ratio.

Without the correction the step has a bias. On a normal target of standard deviation s in whitened units and with the noise
multiplied by t, the unadjusted chain is an autoregression of stationary variance

    t^2 s^2 / (1 - e^2 / (4 s^2)),                                                                        (1)

too wide by e^2 / (4 s^2) for t = 1, infinite from e = 2 s on, and a search for modes rather than a sample for t well below 1.

All randomness is handed in, so a kernel is a pure function. A point where the density or its gradient is not finite counts as
density zero with gradient zero: it is rejected, and reported as a divergence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]

#: An error of the energy above this, in nats, is a divergence.
MAX_ENERGY_ERROR = 1000.0


class State(NamedTuple):
    """Where the chains are: ``position`` (B, d), ``log_density`` (B,) and its ``gradient`` (B, d), kept from the last evaluation."""

    position: Tensor
    log_density: Tensor
    gradient: Tensor


class Info(NamedTuple):
    """What a step did: ``acceptance`` (B,) probability, ``accepted`` (B,) bool, ``diverging`` (B,) bool."""

    acceptance: Tensor
    accepted: Tensor
    diverging: Tensor


def init(log_density: LogDensity, position: Tensor) -> State:
    """Return the state at ``position`` (B, d).

    Example:
        >>> state = init(lambda x: -0.5 * x.square().sum(-1), torch.ones(3, 2))
        >>> state.log_density.tolist(), state.gradient[0].tolist()
        ([-1.0, -1.0, -1.0], [-1.0, -1.0])
    """
    with torch.enable_grad():
        x = position.detach().requires_grad_()
        value = log_density(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    value = value.detach()
    finite = (value + 0.0 * gradient.sum(-1)).isfinite()
    return State(position.detach(), torch.where(finite, value, -torch.inf), torch.where(finite.unsqueeze(-1), gradient, 0.0))


def hmc(
    log_density: LogDensity,
    state: State,
    step_size: Tensor | float,
    normals: Tensor,
    uniforms: Tensor,
    scale: Tensor | float = 1.0,
    leapfrog: int = 1,
) -> tuple[State, Info]:
    """Return the state after one Hamiltonian step, Metropolis-adjusted; with ``leapfrog=1`` it is MALA.

    Args:
        log_density: positions (B, d) -> (B,).
        state: from :func:`init` or an earlier step.
        step_size: e, a number or (B,). Randomise it between calls to jitter the trajectory's length, ``leapfrog`` times e.
        normals: standard normal (B, d), the momentum.
        uniforms: (B,) in the unit interval, for the acceptance.
        scale: S: a number, (d,) or (B, d) for a diagonal, or lower-triangular factors (B, d, d).
        leapfrog: n, gradients a step.

    Example:
        >>> target = lambda x: -0.5 * x.square().sum(-1)
        >>> state, info = hmc(target, init(target, torch.zeros(3, 2)), 0.1, torch.randn(3, 2), torch.rand(3), leapfrog=4)
        >>> state.position.shape, bool((info.acceptance > 0.9).all())
        (torch.Size([3, 2]), True)
    """
    step = torch.as_tensor(step_size, dtype=normals.dtype, device=normals.device).reshape(-1, 1)
    half = 0.5 * step
    momentum, here = normals + half * pull(scale, state.gradient), state
    bad = torch.zeros_like(state.log_density, dtype=torch.bool)
    for i in range(leapfrog):
        here = init(log_density, here.position + step * push(scale, momentum))
        # Two half steps between two positions are one.
        momentum = momentum + (half if i + 1 == leapfrog else step) * pull(scale, here.gradient)
        bad = bad | here.log_density.isneginf()
    gain = here.log_density - state.log_density + 0.5 * (normals.square() - momentum.square()).sum(-1)
    bad = bad | ~(gain > -MAX_ENERGY_ERROR)
    acceptance = torch.where(bad, 0.0, gain.clamp(max=0.0).exp())
    accepted = uniforms < acceptance
    return _where(accepted, here, state), Info(acceptance, accepted, bad)


def mala(
    log_density: LogDensity,
    state: State,
    step_size: Tensor | float,
    normals: Tensor,
    uniforms: Tensor,
    scale: Tensor | float = 1.0,
) -> tuple[State, Info]:
    """Return the state after one Metropolis-adjusted Langevin step; arguments as :func:`hmc`'s.

    Example:
        >>> target = lambda x: -0.5 * x.square().sum(-1)
        >>> state, info = mala(target, init(target, torch.zeros(3, 2)), 0.1, torch.randn(3, 2), torch.rand(3))
        >>> bool(info.accepted.all())
        True
    """
    return hmc(log_density, state, step_size, normals, uniforms, scale)


def langevin(
    log_density: LogDensity,
    state: State,
    step_size: Tensor | float,
    normals: Tensor,
    scale: Tensor | float = 1.0,
    noise: float = 1.0,
    clip: float | None = None,
) -> tuple[State, Info]:
    """Return the state after one *unadjusted* Langevin step, x + e^2/2 C g + noise e S xi. It is biased: (1) of the module's text.

    Args:
        log_density, state, step_size, normals, scale: as :func:`hmc`'s. In energy-based models' practice e^2/2 is the step size.
        noise: t; below 1 it is tempered towards modes. Anneal it, or ``step_size``, between calls.
        clip: bound on the absolute value of each entry of the gradient, in whitened units; None for none. Another bias.

    A step to where the density is not finite is not taken, and is a divergence; ``acceptance`` is 1 elsewhere.

    Example:
        >>> target = lambda x: -0.5 * x.square().sum(-1)
        >>> state, _ = langevin(target, init(target, torch.ones(3, 2)), 0.2, torch.randn(3, 2), noise=0.0)
        >>> [round(x, 4) for x in state.position[0].tolist()]
        [0.98, 0.98]
    """
    step = torch.as_tensor(step_size, dtype=normals.dtype, device=normals.device).reshape(-1, 1)
    gradient = pull(scale, state.gradient)
    drift = gradient if clip is None else gradient.clamp(-clip, clip)
    there = init(log_density, state.position + push(scale, 0.5 * step.square() * drift + noise * step * normals))
    taken = ~there.log_density.isneginf()
    return _where(taken, there, state), Info(taken.to(step), taken, ~taken)


def push(scale: Tensor | float, vector: Tensor) -> Tensor:
    """Return S v, from whitened units to the target's, of ``vector`` (B, d)."""
    if isinstance(scale, Tensor) and scale.dim() == 3:
        return (scale @ vector.unsqueeze(-1)).squeeze(-1)
    return scale * vector


def pull(scale: Tensor | float, gradient: Tensor) -> Tensor:
    """Return S' g, a gradient in whitened units, of ``gradient`` (B, d)."""
    if isinstance(scale, Tensor) and scale.dim() == 3:
        return (gradient.unsqueeze(-2) @ scale).squeeze(-2)
    return scale * gradient


def _where(chosen: Tensor, new: State, old: State) -> State:
    across = chosen.unsqueeze(-1)
    return State(
        torch.where(across, new.position, old.position),
        torch.where(chosen, new.log_density, old.log_density),
        torch.where(across, new.gradient, old.gradient),
    )
