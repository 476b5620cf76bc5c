"""Ordered columns, as in ``examples/ordered_pressures.py``: draws that break the order, and RMSE, with a constraint and without."""

from __future__ import annotations

import torch

from examples.ordered_pressures import constrained, fitted_base, table, with_holes
from pyro_mnar import impute

N = 1000


def run(seed: int, steps: int | None = None) -> list[dict[str, object]]:
    """Return the share of draws that break the order, and the RMSE of the posterior mean in standard deviations."""
    torch.manual_seed(seed)
    full = table(N)
    x, mask = with_holes(full)
    base = fitted_base(x, mask, seed, steps or 1500)
    touched = ~(mask[:, 0] & mask[:, 1])
    results = []
    for name, module in (("base", base), ("constraint", constrained(base))):
        found = impute(module, x, mask, draws=100, particles=500, seed=seed, progress=False)
        broken = found.draws[:, touched, 1] < found.draws[:, touched, 0]
        error = ((found.completed - full) / full.std(0))[~mask]
        results.append(
            {
                "method": name,
                "seed": seed,
                "share of draws out of order": float(broken.float().mean()),
                "RMSE": float(error.square().mean().sqrt()),
                "median ESS of 500": float(found.ess[touched].median()),
                "rows with Pareto k too high": float(found.unreliable[touched].float().mean()),
            }
        )
    return results
