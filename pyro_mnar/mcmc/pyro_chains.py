"""Pyro's own HMC and NUTS on the same density of the rows: one joint target, one chain after the other.

All rows share a trajectory, a step size and an acceptance, so the hardest of them sets the pace of all.
"""

from __future__ import annotations

import torch
from pyro.infer import HMC, MCMC, NUTS
from torch import Tensor

from pyro_mnar.mcmc.chains import Record
from pyro_mnar.mcmc.targets import RowTarget

KERNELS = {"nuts": NUTS, "pyro-hmc": HMC}


def run(target: RowTarget, start: Tensor, kernel: str, draws: int, warmup: int) -> tuple[Record, Tensor]:
    """Return the record of M draws from ``start`` (C, N, d) and the step sizes, (C, N); ``energy`` is each row's share."""
    positions, acceptances, divergings, steps = [], [], [], []

    def potential(params: dict[str, Tensor]) -> Tensor:
        return -target(params["position"]).sum()

    for chain in start:
        seen: list[tuple[float, bool, float]] = []
        total = [0.0]

        def look(kernel: HMC, samples: object, stage: str, i: int, seen: list = seen, total: list = total) -> None:
            # Pyro keeps running means and a list of draws that diverged; what each draw did is the difference.
            if stage.lower().startswith("sample"):
                now = kernel._mean_accept_prob * (i + 1)
                diverged = bool(kernel._divergences) and kernel._divergences[-1] == i
                seen.append((now - total[0], diverged, kernel.step_size))
                total[0] = now

        sampler = KERNELS[kernel](potential_fn=potential)
        chains = MCMC(sampler, draws, warmup, {"position": chain}, hook_fn=look, disable_progbar=True)
        with torch.enable_grad():
            chains.run()
        positions.append(chains.get_samples()["position"])
        acceptances.append(torch.tensor([accepted for accepted, _, _ in seen]).to(start).clamp(0, 1))
        divergings.append(torch.tensor([diverged for _, diverged, _ in seen], device=start.device))
        steps.append(seen[-1][2])
    position = torch.stack(positions, 1)
    shape = position.shape[:3]
    with torch.no_grad():
        energy = torch.stack([-target(draw.flatten(0, 1)).reshape(shape[1:]) for draw in position])
    acceptance, diverging = (torch.stack(part, 1).unsqueeze(-1).expand(shape) for part in (acceptances, divergings))
    return Record(position, acceptance, diverging, energy), torch.tensor(steps).to(start).unsqueeze(-1).expand(shape[1:])
