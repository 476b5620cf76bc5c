"""Ring and moons with holes that depend on what is missing: energy distance of completed to true rows, base against tilted model."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.tilt.bases import gaussian_base, tilted
from benchmarks.tilt.densities import TRAINING
from benchmarks.tilt.shapes import SHAPES
from pyro_mnar import IWELBO, MNAR, EnergyTilt, FixedMasking, SelfMasking, SelfNormalised, energy_net, fit, impute
from pyro_mnar.models import Mechanism

N = 2000
#: Log-odds of missing a unit, and where half go missing, of the self-masked column: of the largest values one in eight is seen.
SLOPE, MIDDLE = 2.0, 0.4
#: Slopes that a learned mechanism starts from.
STARTS = (1.0, 2.0, 4.0)


def _sector(x: Tensor) -> Tensor:
    """Score of column 0: high where the row lies within about 45 degrees of the first axis, of which one in twelve is seen."""
    return 8 * (x[..., :1] / x.norm(dim=-1, keepdim=True).clamp_min(1e-6) - 0.7)


def _self_masking(slope: float = SLOPE, middle: float = MIDDLE) -> SelfMasking:
    made = SelfMasking(2, [0], "free")
    with torch.no_grad():
        made.raw_slope.fill_(slope)
        # The offset is measured from the mechanism's own anchor; put the middle where it belongs.
        made.offset.add_(-slope * middle - made.intercept)
    return made


@dataclass(frozen=True)
class Case:
    shape: str
    mechanism: Callable[[], Mechanism]


CASES = {
    "ring, sector": Case("ring", lambda: FixedMasking(_sector, 2, [0])),
    "ring, self-masked": Case("ring", _self_masking),
    "moons, self-masked": Case("moons", _self_masking),
}


def energy_distance(a: Tensor, b: Tensor) -> float:
    """The square root of 2 E|A - B| - E|A - A'| - E|B - B'|."""
    n, m = len(a), len(b)
    within = torch.cdist(a, a).sum() / (n * (n - 1)) + torch.cdist(b, b).sum() / (m * (m - 1))
    return math.sqrt(max(0.0, float(2 * torch.cdist(a, b).mean() - within)))


def _fitted_base(x: Tensor, mask: Tensor, mechanism: Mechanism, learned: bool, seed: int) -> MNAR:
    """A full normal law and, where it is learned, the mechanism, by their bound on the rows with holes."""
    filled = torch.where(mask, x, x[mask[:, 0]][:, 0].mean())
    base = gaussian_base(filled, mechanism)
    base.requires_grad_(True)
    mechanism.requires_grad_(learned)
    fit(IWELBO(base, 10), x, mask, steps=1500, lr=1e-2, mechanism_lr=3e-2, weight_decay=0.0, seed=seed, progress=False)
    return base


def run(case: str, mechanism: str, seed: int, steps: int | None = None) -> list[dict[str, object]]:
    """Return the distances; of a learned mechanism, one result for each start."""
    torch.manual_seed(seed)
    truth, why = SHAPES[CASES[case].shape], CASES[case].mechanism()
    full, fresh = truth.sample(N), truth.sample(4 * N)
    with torch.no_grad():
        mask = why(full).sample()
    x = torch.where(mask, full, 0.0)
    floor = energy_distance(full, fresh)
    results = []
    for start in (None,) if mechanism == "known" else STARTS:
        learned = start is not None
        base = _fitted_base(x, mask, _self_masking(start, 0.0) if learned else why, learned, seed)
        model = tilted(base, EnergyTilt(energy_net(2)))
        if learned:
            model.mechanism.requires_grad_(True)
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options = TRAINING | {"batch_size": 128} | ({} if steps is None else {"steps": steps})
            fit(SelfNormalised(IWELBO(model, 20, "iwae")), x, mask, mechanism_lr=3e-2, **options, seed=seed)
        seconds = time.perf_counter() - begun
        distances = {}
        for name, module in (("base", base), ("tilted", model)):
            completed = impute(module, x, mask, draws=1, particles=500, seed=seed, progress=False).draws[0]
            distances[name] = energy_distance(completed, fresh)
        with torch.no_grad():
            bound = float(SelfNormalised(IWELBO(model, 100), draws=50_000)(x, mask).mean())
        results.append(
            {
                "case": case,
                "mechanism": mechanism if start is None else f"from slope {start:g}",
                "seed": seed,
                "missing": float((~mask[:, 0]).float().mean()),
                "floor": floor,
                **{f"distance of {name}": value for name, value in distances.items()},
                "share of base's": max(0.0, distances["tilted"] - floor) / (distances["base"] - floor),
                "bound": bound,
                "slope": float(model.mechanism.slope[0].detach()) if isinstance(model.mechanism, SelfMasking) else math.nan,
                "seconds": seconds,
            }
        )
    return results
