"""Values below detection limits that differ by batch, on simulated lognormal tables: mean and standard deviation of the logarithm.

    python -m benchmarks.limits [--tables 200] [--jobs 2] [--related 0.7] [--elsewhere PYTHON] [--publish]

Each table has 300 rows, ten columns and three batches; of the columns 10 to 50 % lie below the limits of their batches. Ours is told
the limits. ``tobit`` is the censored normal's maximum likelihood of each column alone, ``ros`` the regression on order statistics
(Helsel and Cohn 1988, "Estimation of descriptive statistics for multiply censored water quality data", Water Resources Research 24),
``lod/2`` and ``lod/sqrt2`` put one value below each limit, ``complete`` is what nobody knows. Errors are in the columns' own standard
deviations, over tables: the largest bias of a column with its standard error, and root mean squares. Coverage is of Rubin's 95 %
intervals of the mean.

``--elsewhere`` names an interpreter with ``pyimputelcmd`` and ``ndimpute``, for QRILC and another ROS
(:mod:`benchmarks.limits_elsewhere`). Prints a table and writes JSON to ``benchmarks/results/limits.json``, table by table; the same
command goes on after those that are there. ``--publish`` writes what is printed to ``benchmarks/published/limits.json``.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy.special import ndtri
from tqdm import tqdm

from pyro_mnar import MNARImputer
from pyro_mnar.analysis.rubin import pool
from pyro_mnar.imputer.scaling.limited_scaling import limited_moments

PUBLISHED = Path(__file__).with_name("published") / "limits.json"
COLUMNS, BATCHES = 10, 3
SHARES = np.linspace(0.1, 0.5, COLUMNS)
# Of a batch's limits, on the scale of the logarithm's standard deviations.
SHIFTS = np.array([-0.3, 0.0, 0.3])


def simulated(seed: int, rows: int = 300, related: float = 0.7) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return values (N, D), limits (N, D), and the true means and standard deviations (D,) of the logarithms.

    Args:
        seed: of everything random.
        rows: N.
        related: share of a logarithm's variance that three factors explain.
    """
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(3, COLUMNS))
    weight *= np.sqrt(related) / np.sqrt((weight**2).sum(0))
    standard = rng.normal(size=(rows, 3)) @ weight + np.sqrt(1 - related) * rng.normal(size=(rows, COLUMNS))
    mean, scale = rng.normal(size=COLUMNS), rng.uniform(0.5, 1.2, COLUMNS)
    at = ndtri(SHARES) + SHIFTS[rng.integers(0, BATCHES, rows)][:, None]
    return np.exp(mean + scale * standard), np.exp(mean + scale * at), mean, scale


def tobit(logs: np.ndarray, limits: np.ndarray, hidden: np.ndarray) -> tuple[float, float]:
    """Return the maximum-likelihood mean and standard deviation of a normal of which some values lie below limits."""
    high = torch.from_numpy(limits[hidden])
    return limited_moments(torch.from_numpy(logs[~hidden]), torch.full_like(high, -torch.inf), high)


def ros(logs: np.ndarray, limits: np.ndarray, hidden: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation with values below limits from the regression of the others on their normal scores."""
    levels = np.unique(limits[hidden])
    if not len(levels):
        return float(logs.mean()), float(logs.std())
    ends = np.r_[levels, np.inf]
    exceed = np.zeros(len(ends))
    for j in range(len(levels) - 1, -1, -1):
        within = (~hidden & (logs >= ends[j]) & (logs < ends[j + 1])).sum()
        below = (~hidden & (logs < ends[j])).sum() + (hidden & (limits <= ends[j])).sum()
        exceed[j] = exceed[j + 1] + within / max(within + below, 1) * (1 - exceed[j + 1])
    place = np.empty(len(logs))
    for j, (low, high) in enumerate(zip(np.r_[-np.inf, levels], ends, strict=True)):
        at = np.flatnonzero(~hidden & (logs >= low) & (logs < high))
        first, last = 1.0 if j == 0 else exceed[j - 1], exceed[j]
        place[at[np.argsort(logs[at])]] = (1 - first) + (first - last) * np.arange(1, len(at) + 1) / (len(at) + 1)
    for j, level in enumerate(levels):
        at = np.flatnonzero(hidden & (limits == level))
        place[at] = (1 - exceed[j]) * np.arange(1, len(at) + 1) / (len(at) + 1)
    score = ndtri(place.clip(1e-6, 1 - 1e-6))
    slope, intercept = np.polyfit(score[~hidden], logs[~hidden], 1)
    filled = np.where(hidden, intercept + slope * score, logs)
    return float(filled.mean()), float(filled.std())


def elsewhere(python: str, logs: np.ndarray, limits: np.ndarray, hidden: np.ndarray) -> dict[str, list[tuple[float, float]]]:
    """Return other packages' means and standard deviations, by method and column."""
    table = io.BytesIO()
    np.savez(table, logs=logs, limits=limits, hidden=hidden)
    script = Path(__file__).with_name("limits_elsewhere.py")
    answer = subprocess.run([python, script], input=table.getvalue(), stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)


def one_table(seed: int, rows: int, related: float, settings: dict[str, int], python: str | None = None) -> list[dict[str, float]]:
    """Return the errors of every method in every column of a table."""
    torch.set_num_threads(1)
    values, limits, mean, scale = simulated(seed, rows, related)
    hidden, logs, log_limits = values < limits, np.log(values), np.log(limits)
    names = [f"c{j}" for j in range(COLUMNS)]
    frame = pd.DataFrame(np.where(hidden, np.nan, values), columns=names).join(
        pd.DataFrame(limits, columns=[f"lod{j}" for j in range(COLUMNS)])
    )
    imputer = MNARImputer(
        kinds=dict.fromkeys(names, "positive"),
        limits={name: ("<", f"lod{j}") for j, name in enumerate(names)},
        random_state=seed,
        progress=False,
        **settings,
    ).fit(frame)
    result = imputer.impute(frame, draws=40)
    drawn = np.log(result.draws.numpy())
    outside = int((result.draws.numpy()[:, hidden] >= limits[hidden]).sum())
    groups, found = imputer.members_of(len(drawn)), []
    others = elsewhere(python, logs, log_limits, hidden) if python else {}
    for j in range(COLUMNS):
        own, below, there = logs[:, j], log_limits[:, j], hidden[:, j]
        pooled = pool(drawn[:, :, j].mean(1), drawn[:, :, j].var(1, ddof=1) / rows, complete_dof=rows - 1, groups=groups)
        low, high = pooled.interval()
        estimates = {
            "ours": (drawn[:, :, j].mean(), drawn[:, :, j].std(1).mean()),
            "tobit": tobit(own, below, there),
            "ros": ros(own, below, there),
            "lod/2": (np.where(there, below - np.log(2), own).mean(), np.where(there, below - np.log(2), own).std()),
            "lod/sqrt2": (np.where(there, below - np.log(2) / 2, own).mean(), np.where(there, below - np.log(2) / 2, own).std()),
            "complete": (own.mean(), own.std()),
        } | {method: answers[j] for method, answers in others.items()}
        for method, (center, spread) in estimates.items():
            line = {"table": seed, "column": j, "method": method}
            line |= {"mean": float((center - mean[j]) / scale[j]), "sd": float(spread / scale[j] - 1)}
            if method == "ours":
                line |= {"covered": float(low <= mean[j] <= high), "outside": outside, "unreliable": int(result.unreliable.sum())}
            found.append(line)
    return found


def summary(cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each method: largest bias of a column with its standard error, errors, coverage."""
    rows = []
    for method, own in cells.groupby("method", sort=False):
        line: dict[str, object] = {"method": method}
        for what in ("mean", "sd"):
            by_column = own.groupby("column")[what]
            bias, error = by_column.mean(), by_column.std() / np.sqrt(by_column.count())
            worst = bias.abs().idxmax()
            line[f"bias of {what}"] = f"{bias[worst]:+.3f} ± {error[worst]:.3f}"
            line[f"RMSE of {what}"] = float(np.sqrt((own[what] ** 2).mean()))
        line["tables"] = own.table.nunique()
        rows.append(line | {"coverage": own.covered.mean(), "outside": own.outside.sum() if method == "ours" else np.nan})
    return pd.DataFrame(rows).set_index("method")


def main(options: argparse.Namespace) -> pd.DataFrame:
    """Run the tables; return what :func:`summary` does."""
    settings = {"members": options.members, "steps": options.steps}
    cells = json.loads(options.output.read_text()) if options.output.exists() else []
    seeds = [seed for seed in range(1, 1 + options.tables) if seed not in {line["table"] for line in cells}]
    calls = (delayed(one_table)(seed, options.rows, options.related, settings, options.elsewhere) for seed in seeds)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for table in tqdm(Parallel(options.jobs, return_as="generator")(calls), total=len(seeds), unit="table", disable=None):
        cells += table
        options.output.write_text(json.dumps(cells))
    means = summary(pd.DataFrame(cells))
    print(means.round(3).to_markdown())
    if options.publish:
        found = {"command": f"python -m benchmarks.limits --tables {options.tables}", "settings": settings}
        found |= {"summary": means.astype(object).where(means.notna(), None).reset_index().to_dict("records")}
        PUBLISHED.write_text(json.dumps(found, indent=1) + "\n")
    return means


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--related", type=float, default=0.7)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--steps", type=lambda text: text if text == "auto" else int(text), default="auto")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--elsewhere", metavar="PYTHON")
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/limits.json"))
    main(parser.parse_args())
