"""Imputation of a few rows by importance weights, and whether their particles suffice."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
from torch import Tensor

from pyro_mnar.distributions.alignment import summed
from pyro_mnar.imputation.monte_carlo_error import variance_of_sums
from pyro_mnar.imputation.resampling import Weighed, resample, weigh
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.weights import pareto_threshold
from pyro_mnar.model.missing_sites import level_probabilities, missing_cells

#: Draws by which a cell's spread is judged.
_SPREAD = 32


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
        enough = _precise(found, bound, cells - mean, mask, functions or {}, tolerance)
        enough &= found.pareto_k <= pareto_threshold(bound.particles)
    sampled = x.new_zeros(draws, *x.shape)
    if draws:
        uniforms = found.streams.uniform("cells", draws, (x.shape[-1], 3), x)
        sampled = missing_cells(resample(found, bound, draws), mask, uniforms)
    none = found.impossible.unsqueeze(-1)
    levels = level_probabilities(found.model, weights).masked_fill(none.unsqueeze(-1), torch.nan)
    return mean.masked_fill(none, torch.nan), sampled.masked_fill(none, torch.nan), found.ess, found.pareto_k, levels, enough


def _precise(
    found: Weighed, bound: IWELBO, apart: Tensor, mask: Tensor, functions: Mapping[int, Callable[[Tensor], Tensor]], tolerance: float
) -> Tensor:
    """Return (N,) whether the Monte Carlo error of a row's means is within ``tolerance`` of the spread of its cells.

    The particles' means given z are ``apart`` (S, N, D) from the mean. Their spread is part of the cells'; where it does not settle
    the question, the whole spread is that of draws. (So a row's answer does not depend on the rows beside it.)
    """
    weights = found.log_weights.exp().unsqueeze(-1)
    missing = (~mask).any(0).nonzero().flatten()
    hidden, parts = ~mask[:, missing], (weights * apart)[..., missing]
    noise = [one for one in found.streams.even if len(one) == len(apart)]
    most = variance_of_sums(torch.where(hidden, parts, 0.0), noise) / tolerance**2
    spread = summed(parts * apart[..., missing])
    if bool((hidden & (most > spread)).any()):
        # A cell's own spread alone is asked for: a row's cells may have the same uniforms.
        uniforms = found.streams.uniform("spread", _SPREAD, (1, 3), weights).expand(_SPREAD, *mask.shape, 3)
        drawn = missing_cells(resample(found, bound, _SPREAD), mask, uniforms).to(weights).clone()
        for j, function in functions.items():
            drawn[..., j] = function(drawn[..., j]).to(weights)
        drawn = drawn[..., missing]
        spread = spread.maximum((summed(drawn.square()) - summed(drawn).square() / _SPREAD) / (_SPREAD - 1))
    return ~(hidden & (most > spread)).any(-1)
