"""Imputation of a few rows by importance weights, and whether their particles suffice."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
from torch import Tensor

from pyro_mnar.distributions.alignment import summed
from pyro_mnar.imputation.resampling import Weighed, resample, weigh
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.weights import pareto_threshold
from pyro_mnar.model.missing_sites import level_probabilities, missing_cells


def impute_weighed(
    bound: IWELBO,
    rows: tuple[Tensor, ...],
    draws: int,
    seed: int | Sequence[int],
    labels: list[Hashable],
    inverse: bool,
    functions: Mapping[int, Callable[[Tensor], Tensor]] | None,
    tolerance: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return mean (N, D), draws (M, N, D), effective sample size (N,), Pareto k (N,) and levels (N, D, V) of a few rows.

    And whether these are enough particles, (N,), which without a ``tolerance`` they are. ``rows`` are what model and guide are called
    with: x, the mask, and perhaps limits.
    """
    x, mask, *known = rows
    found = weigh(bound, x, mask, seed, labels, inverse, *known)
    weights = found.log_weights.exp()
    cells = missing_cells(found.model, mask, None, functions)
    mean = summed(weights.unsqueeze(-1) * cells)
    enough = torch.ones_like(found.ess, dtype=torch.bool)
    if tolerance is not None:
        error = _relative_error(found, cells - mean, mask, functions or {})
        enough = (error <= tolerance) & (found.pareto_k <= pareto_threshold(bound.particles))
    sampled = x.new_zeros(draws, *x.shape)
    if draws:
        uniforms = found.streams.uniform("cells", draws, (x.shape[-1], 3), x)
        sampled = missing_cells(resample(found, bound, draws), mask, uniforms)
    none = found.impossible.unsqueeze(-1)
    levels = level_probabilities(found.model, weights).masked_fill(none.unsqueeze(-1), torch.nan)
    return mean.masked_fill(none, torch.nan), sampled.masked_fill(none, torch.nan), found.ess, found.pareto_k, levels, enough


def _relative_error(found: Weighed, apart: Tensor, mask: Tensor, functions: Mapping[int, Callable[[Tensor], Tensor]]) -> Tensor:
    """Return the largest Monte Carlo error of a row's means beside the spread of its cells, (N,).

    The spread is that of one draw of each particle, whose means given z are ``apart`` (S, N, D) from the mean.
    """
    weights = found.log_weights.exp().unsqueeze(-1)
    uniforms = found.streams.uniform("spread", len(apart), (mask.shape[-1], 3), apart)
    drawn = missing_cells(found.model, mask, uniforms).to(weights).clone()
    for j, function in functions.items():
        drawn[..., j] = function(drawn[..., j]).to(weights)
    variance = summed(weights * (drawn - summed(weights * drawn)).square())
    error = summed((weights * apart).square())
    return torch.where(mask | (error == 0), 0.0, error / variance).amax(-1).sqrt()
