"""What a default fit costs and is worth: seconds of the processor, steps and scores, on two development tables and a long one.

    python -m benchmarks.default_fit [--tables diabetes wine simulated] [--masks soft hard] [--seeds 1]

``simulated`` has 200 000 rows of ten columns with three factors. A soft mask in every column, or the hard rule. The first thousand rows
are scored. Two versions are compared by two processes at the same time, each in its own checkout, so that a busy machine slows both.
One thread. Prints a line for each fit and writes JSON to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.ablation import diabetes, wine
from benchmarks.imputation.scoring import score
from pyro_mnar import MNARImputer, amputate

SCORED = 1000
SCORES = ("rmse", "crps", "coverage_90", "width_90")


def simulated() -> np.ndarray:
    """Return 200 000 rows of ten columns."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(3, 10))
    return rng.normal(size=(200_000, 3)) @ loadings + 0.7 * rng.normal(size=(200_000, 10))


TABLES = {"diabetes": diabetes, "wine": wine, "simulated": simulated}


def masked(x: np.ndarray, mask: str, seed: int) -> np.ndarray:
    """Return which cells of a table (N, D) are seen."""
    if mask == "hard":
        return amputate(x, "hard", seed=1000 + seed)
    return amputate(x, "self", slope=2.0, rate=0.3, columns=range(x.shape[1]), seed=1000 + seed)


def measured(table: str, mask: str, seed: int) -> dict[str, object]:
    """Fit and score one table."""
    x = TABLES[table]()
    x = (x - x.mean(0)) / x.std(0)
    seen = masked(x, mask, seed)
    holed = np.where(seen, x, np.nan)
    start, imputer = time.process_time(), MNARImputer(random_state=seed, progress=False)
    imputer.fit(holed)
    seconds = time.process_time() - start
    found = imputer.impute(holed[:SCORED], draws=40)
    scores = score(np.asarray(found.completed), np.asarray(found.draws), x[:SCORED], seen[:SCORED])
    steps = statistics.mean(history.evaluations[-1].step for history in imputer.histories_)
    return {"table": table, "mask": mask, "seed": seed, "seconds": seconds, "steps": steps} | {name: scores[name] for name in SCORES}


def main() -> None:
    """Measure all that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=["diabetes", "wine"])
    parser.add_argument("--masks", nargs="+", choices=["soft", "hard"], default=["soft", "hard"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", default="benchmarks/results", help="folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for seed in range(options.seeds):
        for table in options.tables:
            for mask in options.masks:
                results.append(measured(table, mask, seed))
                print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in results[-1].items()), flush=True)
    Path(options.output).mkdir(parents=True, exist_ok=True)
    Path(options.output, "default_fit.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
