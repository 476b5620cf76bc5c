"""What carries mass between separated modes: shares of three classes under an exact tilt, by several ways to draw."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from examples.debiasing import BIASED, CENTRES, SPREAD, UNBIASED, biased_base, groups, rows, shares
from pyro_mnar import IWELBO, MNAR, EnergyTilt
from pyro_mnar.energy import sample_tilted
from pyro_mnar.energy.annealing import Path, anneal
from pyro_mnar.mcmc import kernels

N = 2000


def _energy(x: Tensor) -> Tensor:
    """Minus the logarithm of the ratio of two mixtures that differ in their shares alone."""
    parts = -0.5 * ((x.unsqueeze(-2) - CENTRES) / (2 * SPREAD)).square().sum(-1)
    return (parts + torch.tensor(BIASED).log()).logsumexp(-1) - (parts + torch.tensor(UNBIASED).log()).logsumexp(-1)


def _target(model: MNAR) -> Tensor:
    """The tilted model's own shares, by importance sampling from very many draws of the base."""
    with torch.no_grad():
        z, x = model.draw(400_000)
        weight = model.tilt.log_weight(z, x).softmax(0)
        return torch.stack([weight[groups(x) == k].sum() for k in range(3)])


def _joint_langevin(model: MNAR, seed: int) -> Tensor:
    path = Path(model)
    u, _, _ = path.move(path.draw(N), 300, 0.3)
    return path.complete(u)[1]


def _bound_langevin(model: MNAR, seed: int) -> Tensor:
    """Unadjusted steps in x along the gradient of the importance bound of log p_base(x), less the energy's."""
    bound = IWELBO(MNAR(model.decoder, model.encoder), 20)
    mask = torch.ones(N, 2, dtype=torch.bool)

    def log_density(x: Tensor) -> Tensor:
        return bound(x, mask) + model.tilt(x)

    state = kernels.init(log_density, model.draw(N)[1].detach())
    for _ in range(300):
        state, _ = kernels.langevin(log_density, state, 0.05, torch.randn(N, 2))
    return state.position


SAMPLERS: dict[str, Callable[[MNAR, int], Tensor]] = {
    "draws of the base": lambda model, seed: model.draw(N)[1],
    "Langevin in (z, noise), adjusted": _joint_langevin,
    "Langevin in x by the bound": _bound_langevin,
    "resampled, polished": lambda model, seed: sample_tilted(model, N, seed=seed).x,
    "sequential Monte Carlo": lambda model, seed: Path(model).complete(anneal(Path(model), 1, N).positions[0])[1],
}


def run(seed: int, steps: int | None = None) -> list[dict[str, object]]:
    """Return, of each sampler, the largest error of a class's share, and how far rows lie from their centers."""
    torch.manual_seed(seed)
    labels = torch.multinomial(torch.tensor(BIASED), 5000, replacement=True)
    base = biased_base(rows(labels), seed)
    model = MNAR(base.decoder, base.encoder, tilt=EnergyTilt(_energy))
    model.requires_grad_(False)
    target, results = _target(model), []
    for name, sampler in SAMPLERS.items():
        begun = time.perf_counter()
        x = sampler(model, seed).detach()
        results.append(
            {
                "sampler": name,
                "seed": seed,
                "largest error of a share": float((shares(groups(x)) - target).abs().max()),
                "error of independent draws": math.sqrt(0.25 / N),
                "spread about centers": float((x - CENTRES[groups(x)]).square().mean().sqrt()),
                "seconds": time.perf_counter() - begun,
            }
        )
    return results
