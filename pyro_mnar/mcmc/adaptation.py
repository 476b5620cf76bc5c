r"""What warm-up learns for a batch of targets: each one's step size, and its preconditioner.

*Step size.* Stochastic approximation of log e (Robbins and Monro 1951; Andrieu and Thoms 2008, "A tutorial on adaptive MCMC",
Statistics and Computing 18), with gains 2 t^-.6, until the mean acceptance probability is the one asked for; what is kept is an average
of the iterates that forgets the first of them. (Dual averaging, arXiv 1111.4246, whose iterates vary far more, ends at .65 to .69
where .574 is asked for, the acceptance probability being concave in log e.) Asked for is .574 of MALA, optimal in high dimension
(Roberts and Rosenthal 1998, JRSS B 60), and the usual .8 of Hamiltonian steps, for which .651 is (Beskos et al., arXiv 1001.4460).

*Preconditioner.* The covariance of a target's warm-up positions, over time and chains, shrunk towards its own diagonal by a
weight of five observations; its Cholesky factor is the kernels' ``scale``. Above :data:`MAX_DENSE` dimensions only the standard
deviations are learned.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

#: Mean acceptance probability that the step size is adapted to.
TARGET_ACCEPTANCE = {"mala": 0.574, "hmc": 0.8}
#: Most dimensions of which a full covariance is learned.
MAX_DENSE = 64

# Shares of the warm-up after which positions are gathered, and after which a preconditioner is learned of them.
_WINDOWS = ((0.1, 0.35), (0.35, 0.75))
# Gain of the first step, its decay, and the forgetting of early iterates.
_GAIN, _DECAY, _FORGET = 2.0, 0.6, 0.75


class StepSize(NamedTuple):
    """State of the adaptation of B step sizes: logarithms of the one to try next and of the one to keep, and how many were tried."""

    log_step: Tensor
    log_mean: Tensor
    steps: int


def start_step(step_size: Tensor) -> StepSize:
    """Return the state that starts at ``step_size`` (B,).

    Example:
        >>> adapted = start_step(torch.full((2,), 0.5))
        >>> for _ in range(200):  # acceptance exp(-e): the step size goes to -log .8
        ...     adapted = adapt_step(adapted, (-adapted.log_step.exp()).exp(), 0.8)
        >>> bool((adapted.log_mean.exp() + math.log(0.8)).abs().max() < 0.02)
        True
    """
    return StepSize(step_size.log(), step_size.log(), 0)


def adapt_step(state: StepSize, acceptance: Tensor, target: float, largest: float = math.inf) -> StepSize:
    """Return the state after a step whose acceptance probabilities were ``acceptance`` (B,); no step exceeds ``largest``."""
    steps = state.steps + 1
    log_step = (state.log_step + _GAIN * steps**-_DECAY * (acceptance - target)).clamp(max=math.log(largest))
    weight = steps**-_FORGET
    return StepSize(log_step, weight * log_step + (1 - weight) * state.log_mean, steps)


def learning_windows(steps: int) -> list[tuple[int, int]]:
    """Return the ranges of a warm-up of ``steps`` steps whose positions give a preconditioner, at the end of each.

    Example:
        >>> learning_windows(200)
        [(20, 70), (70, 150)]
    """
    return [(int(first * steps), int(last * steps)) for first, last in _WINDOWS]


def least_positions(dim: int) -> int:
    """Return how many positions a preconditioner of ``dim`` dimensions takes: of too few, a covariance is worse than none."""
    return max(10, 4 * dim) if dim <= MAX_DENSE else 10


def learn_scale(positions: Tensor) -> Tensor:
    """Return the preconditioner of ``positions`` (T, B, d): lower-triangular factors (B, d, d), or (B, d) above ``MAX_DENSE``.

    Example:
        >>> scale = learn_scale(torch.randn(4000, 2, 3) * torch.tensor([1.0, 5.0, 0.1]))
        >>> [round(s) for s in scale[0].diagonal().tolist()[:2]]
        [1, 5]
    """
    n, d, given = positions.shape[0], positions.shape[-1], positions.dtype
    positions = positions.double()  # single precision may lose that a covariance is positive
    centered = positions - positions.mean(0)
    variance = centered.square().mean(0)
    keep = n / (n + 5.0)
    # What a dimension is shrunk to must have its unit: a share of its own variance, with a floor for one that has not moved.
    floor = 1e-6 * variance.mean(-1, keepdim=True) + torch.finfo(given).tiny
    variance = variance.clamp(min=floor)
    if d > MAX_DENSE:
        return variance.sqrt().to(given)
    covariance = torch.einsum("tbi,tbj->bij", centered, centered) / n
    return torch.linalg.cholesky(keep * covariance + torch.diag_embed((1 - keep) * variance + floor)).to(given)
