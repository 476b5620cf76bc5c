"""Tables wider than long, as of proteomics: logarithms of abundances, most holes of which are there because abundance is low.

    python -m benchmarks.wide [--rows 200] [--columns 5000] [--seeds 1] [--methods ours pca ...] [--jobs 2]

Each simulated table has twelve factors, which explain six tenths of a column's variance, and two groups of rows; a tenth of the columns
differ between these by .8 standard deviations. Columns' means vary as much as their values do. Forty in a hundred cells are hidden:
three quarters of them with a probability that rises as abundance falls, by one curve for all columns, a quarter at random. Columns of
which fewer than 20 values are seen are left out. Every method is given the logarithms, and not the groups.

- ``ours``: ``SETTINGS``, told that low values go missing. Its default settings otherwise.
- ``half-minimum``: half of the smallest abundance that is seen of a column.
- ``minprob``: of each row, normal about the hundredth part of what is seen, with the columns' median standard deviation.
- ``qrilc``: of each row, the lower end of the normal on which the quantiles of what is seen lie (both: Lazar et al. 2016, "Accounting
  for the multiple natures of missing values in label-free quantitative proteomics data sets", J. Proteome Res. 15).
- ``knn``: ten nearest rows, ``KNNImputer`` of scikit-learn.
- ``pca``: iterative PCA, shrunk as in missMDA (Josse and Husson 2012, J. SFdS 153), of as many components as predict held-out cells
  best, with normal noise. It stands for MICE by principal components: a regression of every column on all others
  (``IterativeImputer``) takes days at such widths.
- ``complete``: the table without holes.

CRPS and RMSE are of hidden cells, on the scale of the logarithm; of methods that draw from twenty-four draws, of the others CRPS is
the absolute error. ``false`` is the share of columns without a difference among those that t tests of the two groups find, pooled
by Rubin's rules, at a false discovery rate of .05 (Benjamini and Hochberg), and ``found`` the share of differing columns that they
find. Each method has a process of its own, whose seconds and peak gigabytes (its workers' too) are of fitting and imputing. Prints
a table and writes JSON; the same command goes on after what is there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import false_discovery_control

from benchmarks.large_tables import peak_kilobytes
from pyro_mnar import MNARImputer
from pyro_mnar.analysis.rubin import pool

FACTORS, COMMON, SHARE, LOW, SOFT = 12, 0.6, 0.4, 0.75, 0.5
DIFFER, BY, LEAST_SEEN, DRAWS = 0.1, 0.8, 20, 24
#: How a table of far more columns than rows is imputed here.
SETTINGS: dict[str, Any] = {"particles": 1}


class Table(NamedTuple):
    """Logarithms (N, D), which are hidden, the rows' group (N,), and which columns differ between groups (D,)."""

    values: np.ndarray
    hidden: np.ndarray
    group: np.ndarray
    differs: np.ndarray


def simulated(seed: int, rows: int, columns: int, factors: int = FACTORS) -> Table:
    """Return a table as the module says; fewer than ``columns`` where some are hardly ever seen."""
    rng = np.random.default_rng(seed)
    group, differs = np.arange(rows) % 2, np.arange(columns) < DIFFER * columns
    weight = rng.normal(size=(factors, columns))
    weight *= np.sqrt(COMMON / (weight**2).sum(0))
    standard = rng.normal(size=(rows, factors)) @ weight + np.sqrt(1 - COMMON) * rng.normal(size=(rows, columns))
    standard += BY * np.where(differs, rng.choice([-1, 1], columns), 0) * group[:, None]
    values = rng.normal(size=columns) + rng.uniform(0.7, 1.3, columns) * standard
    at = brentq(lambda limit: ndtr((limit - values) / SOFT).mean() - SHARE * LOW, values.min() - 10, values.max() + 10)
    hidden = rng.random(values.shape) < ndtr((at - values) / SOFT)
    hidden |= rng.random(values.shape) < SHARE * (1 - LOW) / (1 - SHARE * LOW)
    kept = (~hidden).sum(0) >= LEAST_SEEN
    return Table(values[:, kept], hidden[:, kept], group, differs[kept])


def ours(seen: np.ndarray, seed: int, jobs: int = 1) -> tuple[np.ndarray, np.ndarray, list[int] | None]:
    """Return means (N, D), draws (M, N, D), and each draw's member, of the library."""
    imputer = MNARImputer("self-masking", "low", random_state=seed, progress=False, n_jobs=jobs, **SETTINGS).fit(seen)
    result = imputer.impute(seen, draws=DRAWS)
    return result.completed.numpy(), result.draws.numpy(), imputer.members_of(DRAWS)


def half_minimum(seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a completed table."""
    return np.where(np.isnan(seen), np.nanmin(seen, 0) - np.log(2), seen)


def minprob(seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a completed table, drawn."""
    low, spread = np.nanquantile(seen, 0.01, axis=1, keepdims=True), np.median(np.nanstd(seen, 0))
    return np.where(np.isnan(seen), low + spread * rng.normal(size=seen.shape), seen)


def qrilc(seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a completed table, drawn."""
    filled = seen.copy()
    for row in filled:
        hole = np.isnan(row)
        places = np.linspace(0.001, 0.99, 100)  # of what is seen, which is the upper part of the whole
        share = hole.mean()
        scale, center = np.polyfit(ndtri(share + (1 - share) * places), np.quantile(row[~hole], places), 1)
        row[hole] = center + scale * ndtri(share * rng.uniform(size=hole.sum()))
    return filled


def knn(seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a completed table."""
    from sklearn.impute import KNNImputer

    return KNNImputer(n_neighbors=10).fit_transform(seen)


def low_rank(seen: np.ndarray, components: int, rounds: int = 100) -> np.ndarray:
    """Return the table as an iterative PCA of its standardized columns tells it."""
    hole, mean, scale = np.isnan(seen), np.nanmean(seen, 0), np.nanstd(seen, 0)
    filled = np.where(hole, 0.0, (seen - mean) / scale)
    for _ in range(rounds):
        center = filled.mean(0)
        vectors, values, axes = np.linalg.svd(filled - center, full_matrices=False)
        noise = (values[components:] ** 2).mean()
        shrunk = np.maximum(values[:components] - noise / values[:components], 0)
        told = center + (vectors[:, :components] * shrunk) @ axes[:components]
        filled = np.where(hole, told, filled)
    return mean + scale * told


def pca(seen: np.ndarray, rng: np.random.Generator) -> Callable[[], np.ndarray]:
    """Return what draws a completed table."""
    out = ~np.isnan(seen) & (rng.random(seen.shape) < 0.05)
    trials = {number: low_rank(np.where(out, np.nan, seen), number, 30) for number in (2, 4, 8, 12, 16, 24)}
    told = low_rank(seen, min(trials, key=lambda number: ((trials[number] - seen)[out] ** 2).mean()))
    noise = np.nanstd(seen - told, 0)
    return lambda: np.where(np.isnan(seen), told + noise * rng.normal(size=seen.shape), seen)


#: Methods by what completes a table, and whether it draws.
METHODS: dict[str, Any] = {
    "half-minimum": (half_minimum, False),
    "minprob": (minprob, True),
    "qrilc": (qrilc, True),
    "knn": (knn, False),
}
NAMES = ("ours", *METHODS, "pca", "complete")


def imputed(method: str, table: Table, seed: int, jobs: int = 1) -> tuple[np.ndarray, np.ndarray, list[int] | None]:
    """Return means (N, D) and draws (M, N, D) of a method, with the member that each draw is of."""
    seen, rng = np.where(table.hidden, np.nan, table.values), np.random.default_rng(seed)
    if method == "ours":
        return ours(seen, seed, jobs)
    if method == "pca":
        draw = pca(seen, rng)
        draws = np.stack([draw() for _ in range(DRAWS)])
    elif method == "complete":
        draws = table.values[None]
    else:
        complete, drawn = METHODS[method]
        draws = np.stack([complete(seen, rng) for _ in range(DRAWS if drawn else 1)])
    return draws.mean(0), draws, None


def crps(draws: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean continuous ranked probability score of draws (M, C) of cells whose values are ``truth`` (C,)."""
    places = 2 * np.arange(len(draws))[:, None] - len(draws) + 1
    return float(np.abs(draws - truth).mean() - (places * np.sort(draws, 0)).sum(0).mean() / len(draws) ** 2)


def discoveries(table: Table, draws: np.ndarray, members: list[int] | None) -> dict[str, float]:
    """Return the share of false discoveries of the two groups' difference, and the share of the differing columns that is found."""
    one, other = draws[:, table.group == 0], draws[:, table.group == 1]
    estimates = other.mean(1) - one.mean(1)
    dof = len(table.group) - 2
    within = (one.var(1) * one.shape[1] + other.var(1) * other.shape[1]) / dof
    variances = within * (1 / one.shape[1] + 1 / other.shape[1])
    if len(draws) == 1:  # Of one table nothing is pooled: twice the same has no variance between them.
        estimates, variances = np.repeat(estimates, 2, 0), np.repeat(variances, 2, 0)
    found = false_discovery_control(pool(estimates, variances, complete_dof=dof, groups=members).p_value()) <= 0.05
    return {"false": float((found & ~table.differs).sum() / max(1, found.sum())), "found": float(found[table.differs].mean())}


def gigabytes() -> float:
    """Return the most memory that this process and each of its workers have had, in sum."""
    workers = [worker for path in Path("/proc/self/task").glob("*/children") for worker in path.read_text().split()]
    return sum(map(peak_kilobytes, ["self", *workers])) / 2**20


def measure(method: str, seed: int, rows: int, columns: int, jobs: int = 1) -> dict[str, Any]:
    """Return what one method makes of one table."""
    torch.set_num_threads(1)
    table, begun, processor = simulated(seed, rows, columns), time.perf_counter(), time.process_time()
    means, draws, members = imputed(method, table, seed, jobs)
    line: dict[str, Any] = {"method": method, "seed": seed, "rows": rows, "columns": columns, "modeled": int(table.values.shape[1])}
    line |= {"hidden": float(table.hidden.mean()), "seconds": time.perf_counter() - begun}
    line |= {"processor seconds": time.process_time() - processor, "gigabytes": gigabytes()}
    truth = table.values[table.hidden]
    line |= {"CRPS": crps(draws[:, table.hidden], truth), "RMSE": float(np.sqrt(((means[table.hidden] - truth) ** 2).mean()))}
    return line | discoveries(table, draws, members) | ({"settings": SETTINGS | {"n_jobs": jobs}} if method == "ours" else {})


def main() -> pd.DataFrame:
    """Measure what is not there yet; return the means over seeds by method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--columns", type=int, default=5000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--methods", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--jobs", type=int, default=1, help="processes of ours, of one thread each")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/wide.json"))
    options = parser.parse_args()
    lines = json.loads(options.output.read_text()) if options.output.exists() else []
    options.output.parent.mkdir(parents=True, exist_ok=True)
    size = options.rows, options.columns
    for seed in options.seeds:
        for method in options.methods:
            if any((line["method"], line["seed"], line["rows"], line["columns"]) == (method, seed, *size) for line in lines):
                continue
            asked = f"{method!r}, {seed}, *{size}, {options.jobs}"
            call = f"import json; from benchmarks.wide import measure; print(json.dumps(measure({asked})))"
            output = subprocess.run([sys.executable, "-W", "ignore", "-c", call], check=True, stdout=subprocess.PIPE, text=True).stdout
            lines.append(json.loads(output.splitlines()[-1]))
            options.output.write_text(json.dumps(lines, indent=1))
    frame = pd.DataFrame([line for line in lines if (line["rows"], line["columns"]) == size])
    shown = ["CRPS", "RMSE", "false", "found", "seconds", "processor seconds", "gigabytes"]
    means = frame.groupby("method", sort=False)[shown].mean()
    print(means.round(3).to_markdown())
    return means


if __name__ == "__main__":
    main()
