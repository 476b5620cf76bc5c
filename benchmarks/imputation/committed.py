"""The scores of a grid, or its seconds, in one small file, which is committed, and back.

``benchmarks/published/imputation.json`` holds, of each cell TABLE/MASK/METHOD/SEED, the scores that pages show:

    {"scores": ["rmse", "crps", "coverage_90", "r2", "column_rmse", "wasserstein"],
     "methods": {"mice": {"settings": "rounds 10", "versions": "numpy 2.4.6, ..."}},
     "cells": {"banknote/hard/mice/0": [1.411, 1.044, 0.181]}}

The last three are of masks that are scored on other rows than those fitted to, as their source does. Seconds compare within one run on
one machine, and have a file of their own, ``times.json``, with the CRPS beside them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.imputation.masks import MASKS
from benchmarks.imputation.report import read

SCORES, BY_COLUMN = ("rmse", "crps", "coverage_90"), ("r2", "column_rmse", "wasserstein")
TIMES = ("seconds", "crps")
CELL = ("table", "mask", "method", "seed")


def publish(output: Path, path: Path, scores: Sequence[str] = (*SCORES, *BY_COLUMN)) -> Path:
    """Put ``scores`` of the grid in the folder ``output`` into ``path``, beside those of other cells that it holds, and return it.

    So a grid can be run in pieces, on machines that keep nothing else. Settings and versions are those of a method's last piece.

    Raises:
        ValueError: when no cell has been run.
    """
    runs, _ = read(output)
    if not len(runs):
        raise ValueError(f"output: got {output}, expected a folder that holds a cell without failure")
    runs = runs.astype({"method": str}).sort_values(list(CELL))
    kept = json.loads(path.read_text()) if path.is_file() else {"methods": {}, "cells": {}}
    methods = runs.drop_duplicates("method", keep="last").set_index("method")[["settings", "versions"]].to_dict("index")
    methods = dict(sorted((kept["methods"] | methods).items()))
    found = {"/".join(str(row[key]) for key in CELL): _numbers(row, scores) for _, row in runs.iterrows()}
    lines = [f"  {json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in sorted((kept["cells"] | found).items())]
    head = f' "scores": {json.dumps([*scores])},\n "methods": {json.dumps(methods, indent=1, ensure_ascii=False)},\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + head + ' "cells": {\n' + ",\n".join(lines) + "\n }\n}\n")
    return path


def committed(path: Path) -> pd.DataFrame:
    """Return what :func:`publish` wrote, a row each with scores as columns, as :func:`~benchmarks.imputation.report.read` does."""
    content = json.loads(path.read_text())
    rows = []
    for name, numbers in content["cells"].items():
        table, mask, method, seed = name.split("/")
        numbers = numbers + [None] * (len(content["scores"]) - len(numbers))
        scores = {score: float("nan") if value is None else value for score, value in zip(content["scores"], numbers, strict=True)}
        rows.append({"table": table, "mask": mask, "method": method, "seed": int(seed)} | scores)
    return pd.DataFrame(rows)


def _numbers(row: pd.Series, scores: Sequence[str]) -> list[float | None]:
    """Return the scores to four digits, None where a method has none (no draws, no coverage); of some masks those by column too."""
    scores = [score for score in scores if score not in BY_COLUMN or MASKS[row["mask"]].test]
    return [None if pd.isna(row.get(score)) else round(float(row[score]), 4) for score in scores]
