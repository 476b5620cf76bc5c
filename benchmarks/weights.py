r"""Informative sampling and incomes that are withheld because of what they are: do weighted intervals cover, and unweighted ones not?

    schooling, age normal, correlated;    income = 1 + .7 schooling + .4 age + e;    P(income missing) = Phi(a income + c)

A person whose income and a noise are above the mean is eight times as likely to be sampled; weights are one over that. Asked are the
population's mean income and the coefficient of schooling, which are known.

    python -m benchmarks.weights [--repetitions 500] [--rows 500] [--slope .7] [--rate .3] [--draws 24]
    python -m benchmarks.weights --imputer [--repetitions 500] [--steps 600] [--members 8]

The first imputes with the library's model at its exact maximum, as :mod:`benchmarks.coverage` does and says: income given the others,
probit self-masking, eight refits to bootstraps. Rows take their weights into these along, as in a ``fit`` with
``sample_weight=sampling_weights(w)``. The second runs ``MNARImputer`` itself, two fits a repetition, a minute on one core.
Pooled are the draws, nested in members:

- weighted: fitted with weights, analyzed with the design of these weights and members' replicates;
- Rubin's rules: the same without replicates, as if the analysis used rows as the imputer does;
- analyzed alone: fitted without weights, analyzed with the design;
- unweighted: neither;
- complete, weighted: the sample without holes, analyzed with the design.

Repetitions that are done are kept in ``benchmarks/results/weights.json`` (``weights-imputer.json``), and the same command goes on after
them.
"""

from __future__ import annotations

import argparse
import json
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm

from benchmarks.coverage import fit, impute, start
from pyro_mnar import MNARImputer, analyze
from pyro_mnar.analysis import Design, Pooled, regression
from pyro_mnar.data import sampling_weights, write_whole

TRUTH = {"mean": 1.0, "coefficient": 0.7}
_TIMES, _NOISE, _MEMBERS = 8, 0.5, 8
_SPREAD = (0.7**2 + 0.4**2 + 2 * 0.7 * 0.4 * 0.3 + 0.8**2) ** 0.5
_RESULTS = Path(__file__).parent / "results"


def simulate(seed: int, rows: int, slope: float, rate: float) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return a sample without holes, its sampling weights (N,), and where income is missing, (N,)."""
    rng = np.random.default_rng(seed)
    n = 4 * rows
    schooling = rng.normal(size=n)
    age = 0.3 * schooling + (1 - 0.3**2) ** 0.5 * rng.normal(size=n)
    income = TRUTH["mean"] + TRUTH["coefficient"] * schooling + 0.4 * age + 0.8 * rng.normal(size=n)
    chance = np.where(income + _NOISE * rng.normal(size=n) > TRUTH["mean"], 1.0, 1 / _TIMES)
    taken = np.flatnonzero(rng.random(n) < chance)[:rows]
    frame = pd.DataFrame({"schooling": schooling, "age": age, "income": income}).iloc[taken].reset_index(drop=True)
    score = slope * (frame.income - TRUTH["mean"]) / _SPREAD + norm.ppf(rate) * (1 + slope**2) ** 0.5
    return frame, 1 / chance[taken], rng.random(rows) < norm.cdf(score)


def estimates(
    tables: list[pd.DataFrame], groups: list[int] | None, weights: np.ndarray | None, replicates: np.ndarray | None = None
) -> dict[str, list[float]]:
    """Return the pooled mean of income and coefficient of schooling of completed tables, each with its 95 % interval."""

    def mean(table: pd.DataFrame, design: Design | None = None) -> tuple[float, float, float]:
        y = table.income.to_numpy()
        return (y.mean(), y.var(ddof=1) / len(y), len(y) - 1) if design is None else design.mean(y)

    pool = partial(analyze, tables, groups=groups, weights=weights, replicates=replicates)
    pooled: dict[str, Pooled] = {"mean": pool(mean), "coefficient": pool(regression("income", ["schooling", "age"]))}
    return {name: [float(np.squeeze(v)) for v in (own.estimate, *own.interval())] for name, own in pooled.items()}


def exact_draws(frame: pd.DataFrame, missing: np.ndarray, weights: np.ndarray, draws: int, seed: int) -> Any:
    """Return completed tables, drawn from the exact maxima of refits to bootstraps, in turn, and how often each had each row."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    x, y = torch.tensor(frame[["schooling", "age"]].to_numpy())[None], torch.tensor(frame.income.to_numpy())[None]
    seen, own = torch.from_numpy(~missing)[None], torch.from_numpy(weights)[None]
    rows = len(weights)
    often = rng.multinomial(rows, np.full(rows, 1 / rows), _MEMBERS)
    counts = own * torch.from_numpy(often).double()
    first, _ = fit(start(x, y, seen, own, 0.5), x, y, seen, own)
    refits, _ = fit(first.expand(_MEMBERS, -1), x, y, seen, counts)
    parameters = refits[torch.arange(draws) * _MEMBERS // draws]
    return [frame.assign(income=own) for own in impute(parameters, x, y, seen, generator).numpy()], often


def imputer_draws(frame: pd.DataFrame, missing: np.ndarray, weights: np.ndarray, draws: int, seed: int, **settings: Any) -> Any:
    """Return completed tables of the library's imputer, and how often each member's table had each row."""
    imputer = MNARImputer(direction={"income": "high"}, random_state=seed, progress=False, **settings)
    holed = frame.assign(income=frame.income.mask(missing))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tables = imputer.fit(holed, sample_weight=weights).sample(holed, draws)
    return tables, imputer.replicates(holed, weights)


def repetition(seed: int, imputer: bool, rows: int, slope: float, rate: float, draws: int, **settings: Any) -> dict[str, Any]:
    """Return by way and parameter the pooled estimate and its 95 % interval."""
    whole, weights, missing = simulate(seed, rows, slope, rate)
    found = {"complete, weighted": estimates([whole, whole], None, weights)}
    drawn = partial(imputer_draws, **settings) if imputer else exact_draws
    groups = [i * settings.get("members", _MEMBERS) // draws for i in range(draws)]
    tables, often = drawn(whole, missing, sampling_weights(weights), draws, seed)
    found["weighted"] = estimates(tables, groups, weights, often)
    found["Rubin's rules"] = estimates(tables, groups, weights)
    plain, _ = drawn(whole, missing, np.ones(rows), draws, seed)
    return found | {"analyzed alone": estimates(plain, groups, weights), "unweighted": estimates(plain, groups, None)}


def summary(done: list[dict[str, Any]]) -> pd.DataFrame:
    """Return by way and parameter the coverage with its Monte Carlo error, bias, spread of estimates and mean width."""
    lines = []
    for way in done[0]:
        for name, truth in TRUTH.items():
            estimate, low, high = np.array([one[way][name] for one in done]).T
            cover = float(((low <= truth) & (truth <= high)).mean())
            error = (cover * (1 - cover) / len(done)) ** 0.5
            lines.append([way, name, cover, error, float(estimate.mean() - truth), float(estimate.std()), float((high - low).mean())])
    columns = ["way", "parameter", "coverage", "Monte Carlo error", "bias", "spread", "width"]
    return pd.DataFrame(lines, columns=columns).set_index(["way", "parameter"])


def study(path: Path, repetitions: int, imputer: bool, **settings: Any) -> list[dict[str, Any]]:
    """Return so many repetitions, those that ``path`` has and further ones, which it then has too."""
    kept = json.loads(path.read_text()) if path.exists() else {"settings": settings, "repetitions": []}
    if kept["settings"] != settings:
        raise SystemExit(f"{path}: was made with {kept['settings']}, expected {settings} (or another --output)")
    done: list[dict[str, Any]] = kept["repetitions"]
    every = 1 if imputer else 25
    for seed in range(len(done), repetitions):
        done.append(repetition(seed, imputer, **settings))
        if len(done) % every == 0 or len(done) == repetitions:
            text = json.dumps(kept)
            write_whole(path, lambda new, text=text: new.write_text(text))
    return done[:repetitions]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imputer", action="store_true")
    for name, kind, value in (
        ("repetitions", int, 500),
        ("rows", int, 500),
        ("slope", float, 0.7),
        ("rate", float, 0.3),
        ("draws", int, 24),
        ("members", int, 8),
        ("steps", int, 600),
    ):
        parser.add_argument(f"--{name}", type=kind, default=value)
    parser.add_argument("--output", type=Path)
    options = vars(parser.parse_args())
    imputer, output = options["imputer"], options.pop("output")
    if not imputer:
        del options["members"], options["steps"]
    torch.set_num_threads(1)
    done = study(output or _RESULTS / f"weights{'-imputer' if imputer else ''}.json", **options)
    print(f"{len(done)} repetitions: {', '.join(f'{name} {value}' for name, value in options.items())}")
    print(summary(done).round(3).to_string())


if __name__ == "__main__":
    main()
