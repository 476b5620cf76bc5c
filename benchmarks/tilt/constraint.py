"""Ordered columns: imputations that break the order, and RMSE, with a constraint and without it."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, ConjugateEncoder, Constraint, GaussianDecoder, fit, impute, log_normaliser

N = 1000


def table(n: int) -> Tensor:
    """Diastolic and systolic pressure and age, standardised by one scale for both pressures so that their order stays."""
    age = torch.randn(n)
    low = 80 + 3 * age + 9 * torch.randn(n)
    pulse = 1 + torch.distributions.Gamma(1.5, 0.2).sample((n,)) * torch.exp(0.15 * age)
    return torch.stack([(low - 90) / 15, (low + pulse - 90) / 15, age], -1)


def run(seed: int, steps: int | None = None) -> list[dict[str, object]]:
    """Return the share of draws that break the order, and the RMSE of the posterior mean in standard deviations."""
    torch.manual_seed(seed)
    full = table(N)
    mask = torch.rand_like(full) > torch.tensor([0.3, 0.3, 0.1])
    x = torch.where(mask, full, 0.0)
    decoder = GaussianDecoder(2, 3, hidden=[32])
    base = MNAR(decoder, ConjugateEncoder(decoder, [32]))
    base.initialise(x, mask)
    fit(IWELBO(base, 10), x, mask, steps=steps or 1500, lr=5e-3, weight_decay=0.0, seed=seed, progress=False)
    ordered = MNAR(decoder, base.encoder, tilt=Constraint(lambda v: (v[..., 1] - v[..., 0]).clamp(max=0), strength=100.0))
    with torch.no_grad():
        ordered.log_z.fill_(log_normaliser(ordered).value)
    touched = ~(mask[:, 0] & mask[:, 1])
    results = []
    for name, module in (("base", base), ("constraint", ordered)):
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
