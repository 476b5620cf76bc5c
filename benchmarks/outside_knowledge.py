r"""Known margins and shadow variables: bias of an estimated mean and slope, and whether their 95 % intervals cover.

    python -m benchmarks.outside_knowledge [--designs linear curved unit] [--repetitions 500] [--rows 500] [--jobs 2]

Designs in the manner of Riddles, Kim and Im 2016 ("A propensity-score-adjustment method for nonignorable nonresponse", Journal of
Survey Statistics and Methodology 4) and of Qin, Leung and Shao 2002 ("Estimation with survey data under nonignorable nonresponse or
informative sampling", JASA 97), with x1, x2, e independent standard normal, and c such that about 30 % are missing:

- linear: y = -1 + x1 + x2 / 2 + e, missing with probability expit(.3 x1 + y + c): x2 is a shadow variable;
- curved: y = -1 + x1 + x2 / 2 + (x2^2 - 1) / 2 + e, missing likewise: x2 is a shadow variable, and its effect no straight line;
- unit: y = -1 + x1 + x2 / 2 + e, and who does not answer, with probability expit(x1 / 2 + y + c), leaves x1 and y open.

Ways, of which ``complete`` is the complete rows, and the others pooled by Rubin's rules, nested in the ensemble's members: ``nothing``
stated; ``shadow`` (x2); ``mean``: the population mean of y is known, with a standard error of .05 (of unit: that of x1, exactly), and
told with the sampling error of the table's beside it; ``both``. What is estimated is the mean of y and the coefficient of x2 in the
regression of y on x1 and x2 (of curved, the best line's).
Each repetition of a design and a way is one file in ``benchmarks/results/outside-knowledge``, skipped when present.

:mod:`benchmarks.outside_exact` has the model at its exact maximum in the place of the library's fit.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from tqdm import tqdm

from pyro_mnar import MNARImputer, analyze
from pyro_mnar.data import write_whole

DESIGNS = {"linear": -0.15, "curved": -0.15, "unit": -0.15}
WAYS = ("complete", "nothing", "shadow", "mean", "both")
#: The mean of y, and the coefficient of x2.
TRUTH = {"mean": -1.0, "slope": 0.5}


def simulate(design: str, rows: int, seed: int) -> pd.DataFrame:
    """Return a table with holes: ``x1``, ``x2`` and ``y``."""
    rng = np.random.default_rng((seed, list(DESIGNS).index(design)))
    x1, x2, e = rng.normal(size=(3, rows))
    y = TRUTH["mean"] + x1 + TRUTH["slope"] * x2 + e + (0.5 * (x2**2 - 1) if design == "curved" else 0.0)
    frame = pd.DataFrame({"x1": x1, "x2": x2, "y": y})
    missing = rng.random(rows) < expit((0.5 if design == "unit" else 0.3) * x1 + y + DESIGNS[design])
    frame.loc[missing, ["x1", "y"] if design == "unit" else ["y"]] = np.nan
    return frame


def known(design: str, repetition: int, rows: int) -> tuple[float, float]:
    """Return the mean that is known, of y (of unit: of x1), and the error that is told with it.

    That of y is known with an error of .05. What the mean of so many rows may differ by from the population's is added.
    """
    if design == "unit":
        return 0.0, rows**-0.5
    number = TRUTH["mean"] + 0.05 * np.random.default_rng((repetition, 5)).normal()
    return float(number), (0.05**2 + 1.5**2 / rows) ** 0.5


def settings_of(design: str, way: str, repetition: int, rows: int) -> dict[str, Any]:
    """Return what the imputer is told."""
    margins = {"x1" if design == "unit" else "y": {"mean": known(design, repetition, rows)}}
    told: dict[str, Any] = {"shadow": ["x2"]} if way in ("shadow", "both") else {}
    return told | ({"margins": margins} if way in ("mean", "both") else {})


def estimates(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of y and the coefficient of x2, and their covariance, the two taken as independent."""
    x, y = np.column_stack([np.ones(len(table)), table["x1"], table["x2"]]), table["y"].to_numpy()
    inverse = np.linalg.inv(x.T @ x)
    b = inverse @ x.T @ y
    # Robust to the curve that the line leaves out.
    residual = x * (y - x @ b)[:, None]
    robust = inverse @ residual.T @ residual @ inverse
    return np.array([y.mean(), b[2]]), np.diag([y.var(ddof=1) / len(y), robust[2, 2]])


def run(design: str, way: str, repetition: int, rows: int, draws: int, members: int, steps: int) -> dict[str, Any]:
    """Return the estimates of one repetition, each with its interval."""
    torch.set_num_threads(1)
    frame = simulate(design, rows, repetition)
    if way == "complete":
        found, variance = estimates(frame.dropna())
        half = 1.96 * np.sqrt(np.diag(variance))
        ends = found - half, found + half
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = settings_of(design, way, repetition, rows)
            imputer = MNARImputer(members=members, steps=steps, random_state=repetition, progress=False, **told)
            tables = imputer.fit(frame).sample(frame, draws)
        pooled = analyze(tables, estimates, imputer.members_of(draws))
        found, ends = np.asarray(pooled.estimate), pooled.interval()
    low, high = (np.asarray(end) for end in ends)
    answers = {name: [float(part[i]) for part in (found, low, high)] for i, name in enumerate(TRUTH)}
    return {"design": design, "way": way, "repetition": repetition, "found": answers}


def summary(results: list[dict[str, Any]]) -> pd.DataFrame:
    """Return bias, its Monte Carlo error, coverage and width, by design, way and estimate."""
    rows = [(r["design"], r["way"], name, *own) for r in results for name, own in r["found"].items()]
    frame = pd.DataFrame(rows, columns=["design", "way", "estimate", "value", "low", "high"])
    truth = frame["estimate"].map(TRUTH)
    frame["bias"], frame["width"] = frame["value"] - truth, frame["high"] - frame["low"]
    frame["covered"] = (frame["low"] <= truth) & (truth <= frame["high"])
    groups = frame.groupby(["design", "estimate", "way"], sort=False)
    table = groups[["bias", "covered", "width"]].mean()
    table.insert(1, "Monte Carlo error", groups["bias"].sem())
    table["repetitions"] = groups.size()
    return table


def main(options: argparse.Namespace) -> pd.DataFrame:
    """Run the repetitions that have no file; print and return the summary of those asked for."""
    sizes = {"rows": options.rows, "draws": options.draws, "members": options.members, "steps": options.steps}
    folder = options.output / "-".join(map(str, sizes.values()))
    grid = [(design, way, i) for i in range(options.repetitions) for design in options.designs for way in options.ways]
    paths = {key: folder / f"{key[0]}-{key[1]}-{key[2]}.json" for key in grid}
    waiting = [key for key in grid if not paths[key].exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(run, *key, **sizes): key for key in waiting}
        for future, key in tqdm(futures.items(), unit="fit", disable=None):
            content = json.dumps(future.result())
            write_whole(paths[key], lambda path, content=content: path.write_text(content))
    table = summary([json.loads(path.read_text()) for path in paths.values()])
    print(f"truth {TRUTH}; {sizes}; covered: by 95 % intervals")
    print(table.round(3).to_string())
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2, help="repetitions at a time, one process and thread each")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/outside-knowledge"))
    main(parser.parse_args())
