"""What the examples share: the usual methods, one call that fits and imputes, a table of scores."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, fit, impute
from pyro_mnar.analysis.scores import coverage, crps, rmse
from pyro_mnar.imputation.impute import Imputation

#: Okabe and Ito's colors, told apart by the color-blind: observed, imputed, true.
GREY, ORANGE, BLUE, GREEN = "#555555", "#D55E00", "#0072B2", "#009E73"


def arguments(description: str, name: str, argv: Sequence[str] | None, **defaults: Any) -> argparse.Namespace:
    """Return the arguments of an example: ``output``, ``seed``, ``defaults``, each an option of its value's type, and ``command``."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--output", default=f"example-output/{name}", help="folder for figure and tables")
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    for option, value in defaults.items():
        kind = str if value is None else type(value)
        parser.add_argument(f"--{option.replace('_', '-')}", type=kind, default=value, help=f"default: {value}")
    args = parser.parse_args(argv)
    given = [
        word
        for option, value in defaults.items()
        if getattr(args, option) != value
        for word in (f"--{option.replace('_', '-')}", str(getattr(args, option)))
    ]
    args.command = " ".join(["python", f"examples/{name}.py", *given])
    return args


def runs_of(args: argparse.Namespace) -> list[argparse.Namespace]:
    """Return the arguments of each of ``args.seeds`` runs, whose seeds follow ``args.seed``."""
    return [argparse.Namespace(**vars(args) | {"seed": args.seed + i}) for i in range(args.seeds)]


def usual_methods(
    x: Tensor, mask: Tensor, seed: int, trees: int = 50, rounds: int = 10, readers: int | None = None
) -> dict[str, np.ndarray]:
    """Return the table completed by column means, nearest neighbors, chained forests (for ``trees`` > 0) and MICE, each (N, D).

    ``readers`` is how many other columns each of the chained regressions reads, drawn by correlation; all by default.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    holed = torch.where(mask, x, torch.nan).numpy()
    methods: dict[str, Any] = {"mean": SimpleImputer(), "KNN": KNNImputer()}
    chained = {"n_nearest_features": readers, "skip_complete": True, "random_state": seed}
    if trees:
        methods["random forest"] = IterativeImputer(RandomForestRegressor(trees, random_state=seed), max_iter=min(rounds, 3), **chained)
    methods["MICE"] = IterativeImputer(max_iter=rounds, **chained)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fixed number of rounds is the recipe, whether they converged or not
        return {name: method.fit_transform(holed) for name, method in methods.items()}


def train_only(mnar: MNAR, x: Tensor, mask: Tensor, args: argparse.Namespace, estimator: str = "dreg", **training: Any) -> None:
    """Fit ``mnar`` for ``args.steps`` with ``args.particles``."""
    mnar.initialize(x, mask)
    settings: dict[str, Any] = {"batch_size": 128} | training
    fit(IWELBO(mnar, args.particles, estimator), x, mask, steps=args.steps, seed=args.seed, **settings)


def fit_and_impute(mnar: MNAR, x: Tensor, mask: Tensor, args: argparse.Namespace, draws: int = 100, **training: Any) -> Imputation:
    """Fit ``mnar`` and impute the same rows."""
    train_only(mnar, x, mask, args, **training)
    return impute(mnar, x, mask, draws=draws, particles=args.particles_imputing, seed=args.seed)


def scored(found: Mapping[str, Imputation | np.ndarray], truth: Tensor, hidden: Tensor) -> pd.DataFrame:
    """Return RMSE, CRPS and coverage of 90 % intervals of the ``hidden`` cells (N, D); of point methods the first two."""
    rows, there = {}, hidden.numpy()
    for name, result in found.items():
        if isinstance(result, Imputation):
            drawn = result.draws.numpy()[:, there]
            point, spread = result.completed.numpy()[there], coverage(drawn, truth.numpy()[there], 0.9)
        else:
            point, spread = result[there], np.nan
            drawn = point[None]
        values = truth.numpy()[there]
        rows[name] = {"RMSE": rmse(point, values), "CRPS": crps(drawn, values), "90 % coverage": spread}
    return pd.DataFrame(rows).T


def over_runs(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the mean over runs of each number and, where there are several runs, its standard deviation: columns named "... sd"."""
    stacked = pd.concat(tables, keys=range(len(tables)))
    grouped = stacked.groupby(level=list(range(1, stacked.index.nlevels)), sort=False)
    if len(tables) < 2:
        return grouped.mean()
    mean, deviation = grouped.mean(), grouped.std().add_suffix(" sd")
    return pd.concat([mean, deviation], axis=1)[[name for column in mean for name in (column, f"{column} sd")]]


def as_json(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table as it is kept: means, deviations where columns are named "... sd", None where there is no number."""
    columns = [name for name in table.columns if not name.endswith(" sd")]

    def numbers(names: list[str]) -> list[list[float | None]]:
        return [[None if np.isnan(v) else round(float(v), 4) for v in row] for row in table.reindex(columns=names).to_numpy(float)]

    rows = [", ".join(key) if isinstance(key, tuple) else key for key in table.index]
    kept = {"rows": rows, "columns": columns, "mean": numbers(columns)}
    return kept | {"sd": numbers([f"{name} sd" for name in columns])} if len(columns) < table.shape[1] else kept


def markdown(kept: Mapping[str, Any]) -> str:
    """Return such a table in Markdown: means with their standard deviations, nothing where there is no number."""
    deviations = kept.get("sd") or [[None] * len(kept["columns"])] * len(kept["rows"])
    cells = [
        ["" if v is None else f"{v:.3f}" if sd is None else f"{v:.3f} ± {sd:.3f}" for v, sd in zip(*pair, strict=True)]
        for pair in zip(kept["mean"], deviations, strict=True)
    ]
    return pd.DataFrame(cells, kept["rows"], kept["columns"]).to_markdown(disable_numparse=True)


def rendered(content: Mapping[str, Any]) -> str:
    """Return in Markdown what :func:`written` keeps: the command and its time, tables, notes."""
    runs = content["seeds"]
    of = f"Mean ± standard deviation over {runs} seeds." if runs > 1 else "One seed."
    head = f"`{content['command']}`: {content['minutes']:.1f} minutes of one core. {of}"
    return "\n\n".join([head, *map(markdown, content["tables"]), *content["notes"]])


def written(
    figure: Figure,
    table: pd.DataFrame,
    args: argparse.Namespace,
    name: str,
    notes: Sequence[str] = (),
    others: Sequence[pd.DataFrame] = (),
) -> pd.DataFrame:
    """Print the table, ``others`` and ``notes``; write them (``name.md``, ``name.json``) and the figure; return the table."""
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    minutes, tables = round(time.process_time() / 60, 1), [as_json(each) for each in (table, *others)]
    content = {"command": args.command, "minutes": minutes, "seeds": getattr(args, "seeds", 1), "tables": tables, "notes": list(notes)}
    text = rendered(content)
    print(text)
    (folder / f"{name}.md").write_text(text + "\n")
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    figure.savefig(folder / f"{name}.png", dpi=110)
    with Image.open(folder / f"{name}.png") as picture:  # 128 colors are a third of the bytes, and look the same
        picture.quantize(128).save(folder / f"{name}.png", optimize=True)
    return table
