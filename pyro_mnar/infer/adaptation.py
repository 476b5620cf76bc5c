r"""What warm-up learns for a batch of targets: each one's step size, and its preconditioner.

*Step size.* Dual averaging of log e (Nesterov 2009; Hoffman and Gelman, arXiv 1111.4246, section 3.2) until the mean acceptance
probability is the one asked for: .574 for MALA (Roberts and Rosenthal 1998, JRSS B 60), .651 for Hamiltonian steps of fixed length in
high dimension (Beskos et al., arXiv 1001.4460); .8 is the usual choice where dimensions are few.

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

# Hoffman and Gelman's constants: pull to the start, damping of early steps, forgetting.
_GAMMA, _T0, _KAPPA = 0.05, 10.0, 0.75


class StepSize(NamedTuple):
    """State of the dual averaging of B step sizes; ``log_step`` is the one to try next, ``log_mean`` the one to keep."""

    log_step: Tensor
    log_mean: Tensor
    error: Tensor
    start: Tensor
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
    log_step = step_size.log()
    return StepSize(log_step, log_step, torch.zeros_like(log_step), log_step + math.log(10.0), 0)


def adapt_step(state: StepSize, acceptance: Tensor, target: float, largest: float = math.inf) -> StepSize:
    """Return the state after a step whose acceptance probabilities were ``acceptance`` (B,); no step exceeds ``largest``."""
    count = state.steps + 1
    weight = 1 / (count + _T0)
    error = (1 - weight) * state.error + weight * (target - acceptance)
    log_step = (state.start - math.sqrt(count) / _GAMMA * error).clamp(max=math.log(largest) if largest < math.inf else math.inf)
    forget = count**-_KAPPA
    return StepSize(log_step, forget * log_step + (1 - forget) * state.log_mean, error, state.start, count)


def learn_scale(positions: Tensor) -> Tensor:
    """Return the preconditioner of ``positions`` (T, B, d): lower-triangular factors (B, d, d), or (B, d) above ``MAX_DENSE``.

    Example:
        >>> scale = learn_scale(torch.randn(4000, 2, 3) * torch.tensor([1.0, 5.0, 0.1]))
        >>> [round(s) for s in scale[0].diagonal().tolist()[:2]]
        [1, 5]
    """
    n, d = positions.shape[0], positions.shape[-1]
    centred = positions - positions.mean(0)
    variance = centred.square().mean(0)
    keep = n / (n + 5.0)
    # What a dimension is shrunk to must have its unit: a share of its own variance, with a floor for one that has not moved.
    floor = 1e-6 * variance.mean(-1, keepdim=True) + torch.finfo(positions.dtype).tiny
    variance = variance.clamp(min=floor)
    if d > MAX_DENSE:
        return variance.sqrt()
    covariance = torch.einsum("tbi,tbj->bij", centred, centred) / n
    return torch.linalg.cholesky(keep * covariance + torch.diag_embed((1 - keep) * variance + floor))
