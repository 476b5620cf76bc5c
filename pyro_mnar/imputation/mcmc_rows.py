"""Imputation of rows by Markov chains, where importance weights from the guide fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping

import torch
from torch import Tensor, nn

from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.streams import RowStreams
from pyro_mnar.mcmc.posterior import sample_posterior
from pyro_mnar.model.missing_sites import level_probabilities, missing_cells

#: R-hat above which chains are not to be trusted: Vehtari et al., arXiv 1903.08008, ask for 1.01 of a final analysis; an imputed value
#: needs less.
RHAT = 1.05
#: Rows whose chains run at once.
CHAINS_CHUNK = 64


def impute_chunk(
    module: nn.Module,
    rows: tuple[Tensor, ...],
    draws: int,
    seed: int,
    labels: list[Hashable],
    functions: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return mean (N, D), draws (M, N, D), effective sample size (N,), worst R-hat (N,) and levels (N, D, V) of a few rows.

    ``rows`` are what model and guide are called with: x, the mask, and perhaps limits. The mean is that of E[x | z, s] over all draws
    of z, or of ``functions`` of columns. The draws are spread over the chains, and more of them begin with the same.
    """
    x, mask, *known = rows
    limits = known[0] if known else None
    posterior = sample_posterior(module, x, mask, limits=limits, seed=seed, labels=labels, chunk=len(x), progress=False)
    latents = {name: value.flatten(0, 1) for name, value in posterior.latents.items()}
    size = posterior.energy[..., 0].numel()
    bound = IWELBO(module, 1)
    trace = bound.model_trace(latents, size, *rows)
    mean, levels = missing_cells(trace, mask, None, functions).mean(0), level_probabilities(trace, x.new_full((size, len(x)), 1 / size))
    sampled = x.new_zeros(draws, *x.shape)
    if draws:
        # Steps of the golden section visit all draws, those of all chains in turn, before they come back.
        index = (torch.arange(draws, device=x.device) * _stride(size)) % size
        chosen = bound.model_trace({name: value[index] for name, value in latents.items()}, draws, *rows)
        sampled = missing_cells(chosen, mask, RowStreams(seed, labels).uniform("cells", draws, (x.shape[-1], 3), x))
    return mean, sampled, posterior.ess(), posterior.rhat(), levels


def _stride(size: int) -> int:
    """Return a number near the golden section of ``size`` that shares no divisor with it."""
    stride = round(0.618034 * size)
    while math.gcd(stride, size) > 1:
        stride += 1
    return stride
