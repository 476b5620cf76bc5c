"""Tails of positive columns: draws of values missing completely at random beside those of an oracle that knows the law.

    python -m benchmarks.tails                  # seven laws, five tables each; a quarter of an hour
    python -m benchmarks.tails --tables 20

A table is a normal copula of two factors whose margins are one law. The oracle draws the missing scores given the seen ones, exactly,
and takes them to the margin. Reported are ratios of the draws' mean over all hidden cells to the oracle's, with its standard error over
tables, and of the quantiles .99 and .999.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from pyro_mnar import MNARImputer

LAWS = {
    "lognormal, sd of the log .5": stats.lognorm(s=0.5),
    "lognormal, 1.29": stats.lognorm(s=1.29),
    "lognormal, 2.58": stats.lognorm(s=2.58),
    "gamma, shape 1/2": stats.gamma(a=0.5),
    "gamma, shape 2": stats.gamma(a=2.0),
    "Weibull, shape .7": stats.weibull_min(c=0.7),
    "Weibull, shape 1.5": stats.weibull_min(c=1.5),
}
ROWS, COLUMNS, FACTORS, RATE, DRAWS = 400, 6, 2, 0.3, 100


def scores_of(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return normal scores (ROWS, COLUMNS) of unit variance, and their covariance."""
    loadings = rng.normal(size=(COLUMNS, FACTORS))
    covariance = loadings @ loadings.T + 0.5 * np.eye(COLUMNS)
    sd = np.sqrt(np.diag(covariance))
    covariance = covariance / np.outer(sd, sd)
    return rng.multivariate_normal(np.zeros(COLUMNS), covariance, ROWS), covariance


def oracle_draws(rng: np.random.Generator, scores: np.ndarray, mask: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return scores (DRAWS, ROWS, COLUMNS) whose missing cells are drawn from their law given the seen ones."""
    draws = np.repeat(scores[None], DRAWS, 0)
    for row, seen in enumerate(mask):
        if seen.all():
            continue
        gain = covariance[np.ix_(~seen, seen)] @ np.linalg.pinv(covariance[np.ix_(seen, seen)])
        left = covariance[np.ix_(~seen, ~seen)] - gain @ covariance[np.ix_(seen, ~seen)]
        draws[:, row, ~seen] = rng.multivariate_normal(gain @ scores[row, seen], left, DRAWS)
    return draws


def ratios(law: stats.rv_continuous, seed: int, members: int) -> list[float]:
    """Return our draws' mean and quantiles .99 and .999 over the oracle's, of one table."""
    rng = np.random.default_rng(seed)
    scores, covariance = scores_of(rng)
    mask = rng.random(scores.shape) > RATE
    table = pd.DataFrame(np.where(mask, law.ppf(stats.norm.cdf(scores)), np.nan), columns=list("abcdef"))
    imputer = MNARImputer("none", members=members, kinds=dict.fromkeys(table, "positive"), progress=False, random_state=seed).fit(table)
    ours = np.asarray(imputer.impute(table, draws=DRAWS).draws)[:, ~mask]
    exact = law.ppf(stats.norm.cdf(oracle_draws(rng, scores, mask, covariance)))[:, ~mask]
    measures = (np.mean, lambda draws: np.quantile(draws, 0.99), lambda draws: np.quantile(draws, 0.999))
    return [float(measure(ours) / measure(exact)) for measure in measures]


def main() -> None:
    """Run the study, print its table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=5, help="of each law (default 5)")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/tails.json"))
    given = parser.parse_args()
    found = {}
    print("| law | mean | .99 | .999 |\n|---|---|---|---|")
    for name, law in LAWS.items():
        tables = np.array([ratios(law, seed, given.members) for seed in range(given.tables)])
        mean, error = tables.mean(0), tables[:, 0].std(ddof=1) / np.sqrt(len(tables))
        found[name] = {"mean": mean[0], "error": error, "q99": mean[1], "q999": mean[2], "tables": tables.tolist()}
        print(f"| {name} | {mean[0]:.2f} ({error:.2f}) | {mean[1]:.2f} | {mean[2]:.2f} |", flush=True)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
