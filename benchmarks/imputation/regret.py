"""What it costs to state nothing: regret, from the files of the grid.

Regret of a cell (a table, a mask, a seed) is the CRPS with nothing stated, ``ours``, over the better of two that state something:
``ours-none``, that missingness says nothing beyond what is observed, and ``ours-told``, what is true of the mask, where an argument can
say it. 1 is no regret. A cell that lacks ``ours`` or ``ours-none`` is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.imputation.masks import MASKS
from benchmarks.imputation.report import read

#: The not-MIWAE paper's tables, of which pages show the regret.
PAPER = ("banknote", "concrete", "red", "white", "yeast", "breast")
CELL = ["table", "mask", "seed"]
#: Scores shown by mask as means over tables, with their titles.
BY_MASK = {"crps": "CRPS", "rmse": "RMSE", "coverage_90": "Coverage of 90 % intervals"}


def regret(output: Path, our_steps: int | None = None) -> list[Path]:
    """Write regret.md and regret.json into ``output`` and return their paths; print the summary.

    Args:
        output: the folder of a grid.
        our_steps: that of the cells of a quick look; those of full length by default.

    Raises:
        ValueError: when no cell has been run, or none from which a regret follows.
    """
    runs, _ = read(output)
    if len(runs):
        # Ours of the length asked for under their own names; whatever else was run keeps the name that says its length.
        label = runs["method"].astype(str)
        ours, suffix = label.str.startswith("ours"), "" if our_steps is None else f", {our_steps} steps"
        wanted = ~ours | (label == label.str.split(",").str[0] + suffix)
        runs = runs.assign(method=label.where(~ours, label.str.split(",").str[0]))[wanted]
    cells = regrets(runs) if len(runs) else pd.DataFrame()
    if not len(cells):
        raise ValueError(
            f"output: got {output}, expected a folder that holds a cell with both ours and ours-none (of the steps asked for)"
        )
    found = summary(cells)
    order = [mask for mask in MASKS if (runs["mask"] == mask).any()]
    parts = [f"# Regret of stating nothing\n\n{lines(found)}\n"]
    by_mask = cells.groupby("mask")["regret"].agg(["count", "median", "max"]).reindex([m for m in order if m in set(cells["mask"])])
    parts.append(f"## By mask\n\n{by_mask.round(3).to_markdown()}\n")
    parts.append(f"## Worst cells\n\n{cells.sort_values('regret', ascending=False).head(20).round(3).to_markdown(index=False)}\n")
    for score, title in BY_MASK.items():
        parts.append(f"## {title}, means over tables and seeds\n\n{_over_tables(runs, score, order).to_markdown()}\n")
    paths = [output / "regret.md", output / "regret.json"]
    paths[0].write_text("\n".join(parts))
    paths[1].write_text(json.dumps(found | {"cells": cells.to_dict("records")}, indent=1))
    print(lines(found))
    return paths


def regrets(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each cell: its regret, what ours scored there, and the RMSE of the column mean (NaN where it was not run)."""
    by_method = {name: part.set_index(CELL) for name, part in runs.groupby("method", observed=True)}
    if not {"ours", "ours-none"} <= set(by_method):
        return pd.DataFrame()
    known = pd.concat([by_method[name]["crps"].rename(name) for name in ("ours-none", "ours-told") if name in by_method], axis=1)
    ours = by_method["ours"]
    found = ours[["crps", "rmse", "coverage_90"]].join(known.dropna(subset="ours-none"), how="inner")
    best = found[list(known)].min(axis=1)
    found.insert(0, "regret", found["crps"] / best)
    if "mean" in by_method:
        found = found.join(by_method["mean"]["rmse"].rename("column mean's rmse"))
    else:
        found["column mean's rmse"] = float("nan")
    return found.reset_index()


def summary(cells: pd.DataFrame) -> dict[str, Any]:
    """Return the figures that a bar is set on, of the cells of :func:`regrets`."""
    worst, least = cells.loc[cells["regret"].idxmax()], cells.loc[cells["coverage_90"].idxmin()]
    above = cells[cells["rmse"] > cells["column mean's rmse"]]
    return {
        "number of cells": len(cells),
        "median regret": float(cells["regret"].median()),
        "95th percentile of regret": float(cells["regret"].quantile(0.95)),
        "worst regret": float(worst["regret"]),
        "worst cell": _name(worst),
        "cells above the column mean's RMSE": [_name(row) for _, row in above.iterrows()],
        "cells without the column mean": int(cells["column mean's rmse"].isna().sum()),
        "mean coverage of 90 % intervals": float(cells["coverage_90"].mean()),
        "least coverage": float(least["coverage_90"]),
        "least covered cell": _name(least),
    }


def _name(cell: pd.Series) -> str:
    return f"{cell['table']} / {cell['mask']} / seed {cell['seed']}"


def lines(found: dict[str, Any]) -> str:
    """Return a summary as a list in Markdown."""
    shown = {key: ", ".join(value) or "none" if isinstance(value, list) else value for key, value in found.items()}
    return "\n".join(f"- {key}: {value:.3f}" if isinstance(value, float) else f"- {key}: {value}" for key, value in shown.items())


def _over_tables(runs: pd.DataFrame, score: str, order: list[str]) -> pd.DataFrame:
    """Return methods x masks, means over tables; in brackets where another method was run on more tables under that mask."""
    by_table = runs.dropna(subset=score).groupby(["method", "mask", "table"], observed=True)[score].mean()
    mean, count = (by_table.groupby(["method", "mask"]).agg(how).unstack().reindex(columns=order) for how in ("mean", "count"))
    text = mean.map("{:.3f}".format, na_action="ignore")
    return text.where(count == count.max(), "(" + text + ")").fillna("")
