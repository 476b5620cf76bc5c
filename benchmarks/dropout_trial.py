r"""Simulated clinical trials with dropout: the treatment effect at the last visit, estimated, and whether its interval covers.

    python -m benchmarks.dropout_trial [--leaving current last] [--ways nothing none told] [--trials 20] [--jobs 2]

600 patients, half of them treated, five visits (v0 before treatment), normal scores of which large ones are bad,

    v_t = 20 - t - (3 t / 4) treated + e_t,    sd(e_t) = 5,  corr(e_t, e_u) = .5^|t - u|,

so that the truth at the last visit is -3. A patient who was there leaves before visit t, for good, with probability
expit(1.5 (v - 20 + u) / 5 - 2.05), where v is the score at u = t, which is then not seen (``current``: not at random, the selection
model of Diggle and Kenward 1994), or at u = t - 1, the last one seen (``last``: at random). 45 % have left by visit 4 where the current
score decides. What is estimated is the coefficient of the arm in the regression of v4 on arm and v0. In a large trial missing at random
makes it -2.5 there.

Ways: ``nothing`` stated; ``none`` (missing at random); ``told`` that high scores of the visits go missing, and where the imputer takes
an order, that of the visits. Multiple imputations are pooled by Rubin's rules, nested in the ensemble's members. Prints means over
trials and coverage of nominal 95 % intervals, beside the complete data and the patients who stayed. Each trial is one file in
``benchmarks/results/dropout-trial``, skipped when present.
"""

from __future__ import annotations

import argparse
import inspect
import json
import multiprocessing
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

TRUTH = -3.0
VISITS = [f"v{t}" for t in range(5)]
LEAVING = {"current": 0, "last": 1}
_TOLD: dict[str, Any] = {"direction": dict.fromkeys(VISITS[1:], "high")}
if "order" in inspect.signature(MNARImputer).parameters:
    _TOLD["order"] = VISITS
WAYS: dict[str, dict[str, Any]] = {"nothing": {}, "none": {"mechanism": "none"}, "told": _TOLD}


def simulate(patients: int, leaving: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a trial with holes and the same one complete: ``arm`` (1: treated) and five visits."""
    rng = np.random.default_rng(seed)
    visit = np.arange(len(VISITS))
    center = 20.0 - visit
    noise = rng.multivariate_normal(np.zeros(5), 25 * 0.5 ** np.abs(visit[:, None] - visit), patients)
    arm = rng.permutation(np.arange(patients) % 2)
    scores = center + TRUTH * visit / visit[-1] * arm[:, None] + noise
    seen = np.ones(scores.shape, bool)
    for t in visit[1:]:
        u = t - LEAVING[leaving]
        seen[:, t] = seen[:, t - 1] & (rng.random(patients) >= expit(1.5 * (scores[:, u] - center[u]) / 5 - 2.05))
    whole = pd.DataFrame({"arm": arm} | dict(zip(VISITS, scores.T, strict=True)))
    return whole.where(np.column_stack([np.ones(patients, bool), seen])), whole


def effect(trial: pd.DataFrame) -> tuple[float, float, float]:
    """Return the coefficient of the arm in the regression of the last visit on arm and first, its variance and degrees of freedom."""
    design = np.column_stack([np.ones(len(trial)), trial["arm"], trial[VISITS[0]]])
    beta, rss, *_ = np.linalg.lstsq(design, trial[VISITS[-1]].to_numpy(float), rcond=None)
    dof = len(trial) - design.shape[1]
    return float(beta[1]), float(rss[0] / dof * np.linalg.inv(design.T @ design)[1, 1]), float(dof)


def run(patients: int, leaving: str, way: str, trial: int, draws: int, members: int, steps: int) -> dict[str, Any]:
    """Return what one trial's imputations, complete data and staying patients estimate: each an estimate and an interval's ends."""
    torch.set_num_threads(1)
    holed, whole = simulate(patients, leaving, trial)
    kinds = dict.fromkeys(VISITS, "continuous")  # scores may be negative, few as they are
    imputer = MNARImputer(members=members, steps=steps, random_state=trial, progress=False, kinds=kinds, **WAYS[way]).fit(holed)
    pooled = analyze(imputer.sample(holed, draws), effect, imputer.members_of(draws))
    found = {way: [float(pooled.estimate), *(float(end) for end in pooled.interval())]}
    for name, frame in (("complete data", whole), ("who stayed", holed.dropna())):
        estimate, variance, _ = effect(frame)
        found[name] = [estimate, estimate - 1.96 * variance**0.5, estimate + 1.96 * variance**0.5]
    return {"leaving": leaving, "way": way, "trial": trial, "found": found}


def summary(trials: list[dict[str, Any]]) -> pd.DataFrame:
    """Return means over trials by what decides leaving and by way; the complete data and those who stayed once for each trial."""
    unique = {(t["leaving"], way, t["trial"]): estimate for t in trials for way, estimate in t["found"].items()}
    frame = pd.DataFrame(
        [(*key[:2], *estimate) for key, estimate in unique.items()], columns=["leaving", "way", "estimate", "low", "high"]
    )
    frame["covered"] = (frame["low"] <= TRUTH) & (frame["high"] >= TRUTH)
    frame["width"] = frame["high"] - frame["low"]
    groups = frame.groupby(["leaving", "way"], sort=False)
    table = groups[["estimate", "covered", "width"]].mean()
    table.insert(1, "bias", table["estimate"] - TRUTH)
    table.insert(2, "Monte Carlo error", groups["estimate"].sem())
    table["trials"] = groups.size()
    return table


def main(options: argparse.Namespace) -> pd.DataFrame:
    """Run the trials that have no file; print and return the summary of those asked for."""
    sizes = {"patients": options.patients, "draws": options.draws, "members": options.members, "steps": options.steps}
    folder = options.output / "-".join(map(str, sizes.values()))
    grid = [(leaving, way, trial) for trial in range(options.trials) for leaving in options.leaving for way in options.ways]
    paths = {key: folder / f"{key[0]}-{key[1]}-{key[2]}.json" for key in grid}
    waiting = [key for key in grid if not paths[key].exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(run, leaving=key[0], way=key[1], trial=key[2], **sizes): key for key in waiting}
        for future, key in tqdm(futures.items(), unit="fit", disable=None):
            content = json.dumps(future.result())
            write_whole(paths[key], lambda path, content=content: path.write_text(content))
    table = summary([json.loads(path.read_text()) for path in paths.values()])
    print(f"effect at the last visit, truth {TRUTH}; {sizes}; covered: by 95 % intervals")
    print(table.round(3).to_string())
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leaving", nargs="+", choices=list(LEAVING), default=list(LEAVING))
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--patients", type=int, default=600)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2, help="trials at a time, one process and thread each")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/dropout-trial"))
    main(parser.parse_args())
