"""What each part of the imputer is worth, on tables that the published benchmark does not have: the defaults were chosen on such.

    python benchmarks/ablation.py [--tables diabetes wine] [--masks hard soft-high] [--variants full "no warp"]

Every variant is the library's default with one thing changed. Prints a table of means over tables and writes JSON to
``benchmarks/results/ablation.json``. One thread; about half an hour for everything.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from benchmarks.imputation.masks import MASKS, masked
from benchmarks.imputation.scoring import score
from pyro_mnar import IWELBO, MNAR, GaussianDecoder, GaussianEncoder, MNARImputer
from pyro_mnar.data import TableCodec
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputer.scaling.censored_scaling import in_supposed_units
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.imputer.words import specification_of
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.model.priors import TYPICAL_SKEW
from pyro_mnar.networks import ConjugateEncoder

SHOWN = {"rmse": "RMSE", "crps": "CRPS", "coverage_90": "coverage 90 %", "interval_90": "interval score", "width_90": "width"}


def simulated(skewed: bool, rows: int = 1000) -> np.ndarray:
    """Return a table (rows, 8) of four latents with a bent mean and normal noise; every third column exponentiated if ``skewed``."""
    generator = np.random.default_rng(int(skewed))
    z, weight = generator.normal(size=(rows, 4)), generator.normal(size=(4, 8))
    x = z @ weight + 0.5 * np.tanh(2 * z @ generator.normal(size=(4, 8))) + 0.8 * generator.normal(size=(rows, 8))
    return np.where(skewed & (np.arange(8) % 3 == 0), np.exp(x / 3), x)


def diabetes() -> np.ndarray:
    """Return scikit-learn's table without its column of two values: cut at its mean, one of them is all that is left."""
    from sklearn.datasets import load_diabetes

    return np.delete(load_diabetes().data, 1, 1)


def wine() -> np.ndarray:
    """Return scikit-learn's table."""
    from sklearn.datasets import load_wine

    return load_wine().data


TABLES: dict[str, Callable[[], np.ndarray]] = {
    "diabetes": diabetes,
    "wine": wine,
    "simulated": lambda: simulated(skewed=False),
    "simulated-skewed": lambda: simulated(skewed=True),
}


def _without(*names: str) -> Callable[[MNAR], MNAR]:
    def change(member: MNAR) -> MNAR:
        for name in names:
            setattr(member, name, None)
        return member

    return change


def _centred(member: MNAR) -> MNAR:
    """Put the anchors at the prior's means: penalties without the spread."""
    for anchor in (member.prior.typical, member.prior.skew):
        anchor.fill_(TYPICAL_SKEW[0])
    member.prior.slope.zero_()
    return member


def _linear(member: MNAR) -> MNAR:
    decoder = GaussianDecoder(member.decoder.latent_dim, member.decoder.n_columns, ())
    return MNAR(decoder, ConjugateEncoder(decoder, (128,)), member.mechanism, member.warp, member.prior)


def _amortised(member: MNAR) -> MNAR:
    width, latent = member.decoder.n_columns, member.decoder.latent_dim
    return MNAR(member.decoder, GaussianEncoder(latent, width, (128,)), member.mechanism, member.warp, member.prior)


#: (what is changed in each member, members, whether rows are drawn with replacement)
VARIANTS: dict[str, tuple[Callable[[MNAR], MNAR], int, bool]] = {
    "full": (_without(), 8, True),
    "one member": (_without(), 1, False),
    "no bootstrap": (_without(), 8, False),
    "no anchors": (_centred, 8, True),
    "no warp": (_without("warp"), 8, True),
    "no prior": (_without("prior"), 8, True),
    "no network in the mean": (_linear, 8, True),
    "network encoder": (_amortised, 8, True),
}


def completed_by(x: np.ndarray, mask: np.ndarray, direction: str, variant: str, seed: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the completed table (N, D) and 200 draws (200, N, D) by a variant of the imputer."""
    change, size, bootstrap = VARIANTS[variant]
    codec, _, _ = TableCodec.learn(np.where(mask, x, np.nan))
    asked = MNARImputer("self-masking", direction=direction, members=size)
    specification, _ = specification_of(asked, codec.schema, mask)
    codec, specification = in_supposed_units(Given(x, x, codec, np.where(mask, x, 0.0), mask), specification)
    values, seen = torch.from_numpy(codec.apply(np.where(mask, x, 0.0), mask)).float(), torch.from_numpy(mask)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        members: list[nn.Module] = [change(m) for m in specification.models()]
    for i, member in enumerate(members):
        member.initialize(values, seen)
        if not bootstrap:
            fit([IWELBO(member, 5)], values, seen, steps=steps, seed=1000 * seed + i, progress=False)
    if bootstrap:
        fit([IWELBO(member, 5) for member in members], values, seen, steps=steps, seed=seed, progress=False)
    result = impute(members, values, seen, draws=200, seed=seed, progress=False)
    completed, draws = (codec.invert(part.double().numpy()) for part in (result.completed, result.draws))
    return np.where(mask, x, completed), np.where(mask, x, draws)


def main(options: argparse.Namespace) -> pd.DataFrame:
    """Run the variants; return the table of means over tables."""
    torch.set_num_threads(1)
    cells: list[dict[str, Any]] = []
    grid = [(t, m, v, s) for t in options.tables for m in options.masks for v in options.variants for s in range(options.seeds)]
    for table, name, variant, seed in tqdm(grid, unit="fit", disable=None):
        x, mask = masked(pd.DataFrame(TABLES[table]()), name, seed)
        direction = MASKS[name].direction
        if direction is None:
            raise ValueError(f"masks: got {name}, expected one with a direction")
        start = time.perf_counter()
        completed, draws = completed_by(x, mask, direction, variant, seed, options.steps)
        seconds = time.perf_counter() - start
        scores = score(completed, draws, x, mask)
        cells.append({"table": table, "mask": name, "variant": variant, "seed": seed, "seconds": seconds} | scores)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(cells, indent=1))
    means = pd.DataFrame(cells).groupby(["mask", "variant"], sort=False)[[*SHOWN, "seconds"]].mean().rename(columns=SHOWN)
    print(means.round(3).to_markdown())
    return means


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--masks", nargs="+", choices=[n for n, m in MASKS.items() if m.direction], default=["hard", "soft-high"])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/ablation.json"))
    main(parser.parse_args())
