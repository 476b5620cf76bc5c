"""Share of the held-out likelihood gap between a base that is too simple and the truth that a tilt closes, by exact densities."""

from __future__ import annotations

import time
import warnings

import torch

from benchmarks.tilt.bases import base_log_density, gaussian_base, grid_log_z, tilted, vae_base
from benchmarks.tilt.objectives import OBJECTIVES
from benchmarks.tilt.shapes import SHAPES
from pyro_mnar import IWELBO, EnergyTilt, fit
from pyro_mnar.energy import energy_net, log_normalizer

#: The one set of defaults.
TRAINING = {"steps": 2000, "batch_size": 256, "lr": 3e-3, "weight_decay": 1e-1, "every": 500, "progress": False}
N_TRAIN, N_TEST = 2000, 10_000


def compare(shape: str, objective: str, seed: int, steps: int | None = None) -> dict[str, object]:
    """Return the scores of one objective on the normal base, in fewer updates and with fewer draws to judge it by."""
    return run(shape, "gaussian", objective, seed, steps or 500, 50_000)


def run(shape: str, base: str, objective: str, seed: int, steps: int | None = None, draws: int = 500_000) -> dict[str, object]:
    """Return the scores of one tilt, in nats a row of held-out data; ``draws`` of the base for what the grid is held against."""
    torch.manual_seed(seed)
    truth = SHAPES[shape]
    x, test = truth.sample(N_TRAIN), truth.sample(N_TEST)
    mask = torch.ones_like(x, dtype=torch.bool)
    model = tilted(gaussian_base(x) if base == "gaussian" else vae_base(x, seed), EnergyTilt(energy_net(2)))
    trained = OBJECTIVES[objective](IWELBO(model, 1))
    start = time.process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        history = fit(trained, x, mask, **(TRAINING | ({} if steps is None else {"steps": steps})), mechanism_lr=1e-1, seed=seed)
    seconds = time.process_time() - start
    log_z, estimate = grid_log_z(model), log_normalizer(model, draws=draws, seed=seed)
    with torch.no_grad():
        ratio = model.tilt(test).double()
        at_base = torch.cat([model.tilt.log_weight(*model.draw(draws // 10)) for _ in range(10)]).double() - model.log_z.double()
    log_base, log_true = base_log_density(model, test), truth.log_density(test.double())
    exact = log_base + ratio - log_z
    low, high = float(log_base.mean()), float(log_true.mean())
    b = float(model.log_z.detach())
    # The same rows on both sides: what may differ is log Z against what the bound says in its place.
    bound = float(log_base.mean() + ratio.mean()) - b - float(at_base.exp().mean()) + 1
    return {
        "shape": shape,
        "base": base,
        "objective": objective,
        "seed": seed,
        "log-likelihood of base": low,
        "of truth": high,
        "of tilted": float(exact.mean()),
        "share closed": (float(exact.mean()) - low) / (high - low),
        "bound less exact": bound - float(exact.mean()),
        "its standard error": float(at_base.exp().std()) / len(at_base) ** 0.5,
        "log_z less grid": b - log_z,
        "estimate less grid": estimate.value - log_z,
        "estimate's error": estimate.standard_error,
        "ESS share": estimate.ess / estimate.draws,
        "Pareto k": estimate.pareto_k,
        "CPU seconds": seconds,
        "said": [str(one.message) for one in said],
        "looks": [str(look.tilt) for look in history.evaluations],
    }
