"""Ring and moons with holes that depend on what is missing: energy distance of completed to true rows, base against tilted model."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.tilt.bases import gaussian_base, tilted
from benchmarks.tilt.densities import TRAINING
from benchmarks.tilt.shapes import SHAPES, Shape
from pyro_mnar import IWELBO, MNAR, EnergyTilt, SelfMasking, SelfNormalized, fit, impute
from pyro_mnar.energy import energy_net
from pyro_mnar.mechanisms import FixedMasking, Mechanism

N = 2000
#: Log-odds of missing a unit, and where half go missing, of the self-masked column: of the largest values one in eight is seen.
SLOPE, MIDDLE = 2.0, 0.4
#: Slopes that a learned mechanism starts from.
STARTS = (1.0, 2.0, 4.0)
#: Particles, in batches of half the size and for fewer updates than without holes: with 20, the bound of a row with holes loses .08
#: nats, and the ring's mean was off by .06 (of which .02 are the sample's own).
PARTICLES = 100
TRAINED: dict[str, Any] = TRAINING | {"steps": 1000, "batch_size": 64}
#: Where the mechanism is learned, from each of several starts: half of both, so that it ends.
SHORTER = {"known": 1.0, "learned": 0.5}
#: Completions of a table that its distance is averaged over.
COMPLETIONS = 10


def _sector(x: Tensor) -> Tensor:
    """Score of column 0: high where the row lies within about 45 degrees of the first axis, of which one in twelve is seen."""
    return 8 * (x[..., :1] / x.norm(dim=-1, keepdim=True).clamp_min(1e-6) - 0.7)


def _self_masking(slope: float = SLOPE, middle: float = MIDDLE) -> SelfMasking:
    made = SelfMasking(2, [0], "free")
    with torch.no_grad():
        made.slope = slope
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


def energy_distance(completions: Tensor, full: Tensor) -> float:
    """The energy distance of ``completions`` (M, N, D) to the true rows (N, D), with the sign of its square, which is unbiased.

    The root of 2 E|A - B| - E|A - A'| - E|B - B'| over different rows. A row and its completion share what was observed, and so
    most of the sampling error: of 2000 fresh rows that error would be of the size of the base's own distance.
    """
    n = len(full)
    among = torch.cdist(full, full).sum()
    squares = []
    for rows in completions:
        across = torch.cdist(rows, full)
        squares.append(float(2 * (across.sum() - across.diagonal().sum()) - torch.cdist(rows, rows).sum() - among) / (n * (n - 1)))
    square = sum(squares) / len(squares)
    return math.copysign(math.sqrt(abs(square)), square)


@torch.no_grad()
def exact_completions(shape: Shape, why: Mechanism, x: Tensor, mask: Tensor) -> Tensor:
    """Rows (M, N, 2) with column 0 drawn from the truth given column 1 and the mask, on a grid: what is left is the noise floor."""
    axis = torch.linspace(-4, 4, 1601)
    result = x.repeat(COMPLETIONS, 1, 1)
    for hidden in (~mask[:, 0]).nonzero().flatten().split(200):
        rows = torch.stack([axis.expand(len(hidden), -1), x[hidden, 1:].expand(-1, len(axis))], -1)
        log_density = shape.log_density(rows.double()) + why(rows).log_missing[..., 0]
        index = torch.multinomial(log_density.softmax(-1), COMPLETIONS, replacement=True)
        result[:, hidden, 0] = axis[index].T
    return result


def _fitted_base(x: Tensor, mask: Tensor, mechanism: Mechanism, seed: int) -> MNAR:
    """A full normal law by its bound on the rows with holes, the mechanism held: were it learned here, the ring's would end near no
    dependence at all, which fits a normal law best."""
    filled = torch.where(mask, x, x[mask[:, 0]][:, 0].mean())
    base = gaussian_base(filled, mechanism)
    base.requires_grad_(True)
    mechanism.requires_grad_(False)
    fit(IWELBO(base, 10), x, mask, steps=1500, lr=1e-2, seed=seed, progress=False, batch_size=128, mechanism_lr=1e-1)
    return base


def run(case: str, mechanism: str, seed: int, steps: int | None = None) -> list[dict[str, object]]:
    """Return the distances; of a learned mechanism, one result for each start, and again that of the highest bound."""
    torch.manual_seed(seed)
    truth, why = SHAPES[CASES[case].shape], CASES[case].mechanism()
    full = truth.sample(N)
    with torch.no_grad():
        mask = why(full).sample()
    x = torch.where(mask, full, 0.0)
    exact = energy_distance(exact_completions(truth, why, x, mask), full)
    results: list[dict[str, object]] = []
    for start in (None,) if mechanism == "known" else STARTS:
        learned = start is not None
        base = _fitted_base(x, mask, _self_masking(start, 0.0) if learned else why, seed)
        model = tilted(copy.deepcopy(base), EnergyTilt(energy_net(2)))
        if learned:
            model.mechanism.requires_grad_(True)
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            share = SHORTER[mechanism]
            options = TRAINED | {"steps": steps or int(share * TRAINED["steps"])}
            history = fit(
                SelfNormalized(IWELBO(model, int(share * PARTICLES), "iwae")), x, mask, mechanism_lr=3e-2, **options, seed=seed
            )
        seconds = time.perf_counter() - begun
        distances = {}
        for name, module in (("base", base), ("tilted", model)):
            completed = impute(module, x, mask, draws=COMPLETIONS, particles=500, seed=seed, progress=False).draws
            distances[name] = energy_distance(completed, full)
        with torch.no_grad():
            bound = float(SelfNormalized(IWELBO(model, 100), draws=50_000)(x, mask).mean())
        results.append(
            {
                "case": case,
                "mechanism": mechanism if start is None else f"from slope {start:g}",
                "seed": seed,
                "missing": float((~mask[:, 0]).float().mean()),
                "distance by the truth": exact,
                **{f"distance of {name}": value for name, value in distances.items()},
                "share of base's": (distances["tilted"] - exact) / (distances["base"] - exact),  # above the noise floor
                "lost for want of particles": history.evaluations[-1].tilt.lost,
                "bound": bound,
                "slope": float(model.mechanism.slope[0].detach()) if isinstance(model.mechanism, SelfMasking) else math.nan,
                "seconds": seconds,
            }
        )
    if mechanism == "learned":
        results.append(max(results, key=lambda result: result["bound"]) | {"mechanism": "highest bound"})
    return results
