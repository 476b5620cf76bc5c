"""One Markdown file and one figure from the files of the grid."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.imputation.figure import draw
from benchmarks.imputation.masks import MASKS
from benchmarks.imputation.methods import METHODS

#: Scores shown table by table, with their titles.
BY_TABLE = {
    "rmse": "RMSE",
    "crps": "CRPS",
    "coverage_90": "Share of hidden values inside the 90 % interval",
}
#: Scores shown as means over tables.
OVERALL = {
    "energy": "energy score",
    "interval_90": "interval score 90 %",
    "width_90": "width 90 %",
    "coverage_50": "coverage 50 %",
    "coverage_80": "coverage 80 %",
    "coverage_95": "coverage 95 %",
    "mean_bias": "bias of means",
    "r2": "squared correlation",
    "column_rmse": "RMSE by column",
    "wasserstein": "Wasserstein distance",
    "seconds": "seconds",
}
INTRODUCTION = """# Imputation benchmark

All figures are over missing cells, in units of the column's standard deviation, as mean ± standard error over seeds (none with one
seed); the mask `hard` is not drawn, so that there seeds differ by initialization only. Less is better but for coverage, which
should be the level. Columns are standardized with their full data before values go missing, which gives `zero` the true mean. The
CRPS of a method without draws is its absolute error, its energy score the distance. "Bias of means" is the mean absolute distance
of completed from true column means. Squared correlation, "RMSE by column" and Wasserstein distance (of order 1, between the completed
and the true hidden values) are means over columns. Under the mask `logistic` methods are fitted to 80 % of the rows and scored on the
others (`hyperimpute`, which fits when it imputes, is given both at once). Seconds are of one thread, for fit, completed table and 200
draws; those of packages in an environment of their own contain the start of its interpreter.

`ours` is told nothing. `ours-told` is told what is true, where it can be said and is more than `ours-none`, which has no mechanism:
the direction of self-masking, the order of visits, that other columns decide. `ours-free` takes every column for self-masked, in a
direction that is left to the data. `ours-limited`, on the mask `hard`, is told that hidden values lie beyond the largest one seen.
`censored-normal`, `constant` and not-MIWAE are told the direction. Where no one word is true,
`notmiwae-pytorch` has free signs and the others are left out. `mean` draws observed values of the column, `mice` from its regressions;
`normal` is the sampler of `censored-normal` with nothing censored. `censored-normal` takes missing values to lie beyond all observed
ones, which only the mask `hard` makes true; the published recipes run on that mask alone (`miwae` on `mcar` too). `unmasking-trees` has
10 draws and not 200.
"""


def report(output: Path) -> list[Path]:
    """Write report.md and report.png into ``output`` and return their paths.

    Raises:
        ValueError: when no cell has been run.
    """
    runs, failures = read(output)
    parts = [INTRODUCTION]
    for mask in (mask for mask in MASKS if len(runs) and (runs["mask"] == mask).any()):
        here = runs[runs["mask"] == mask]
        parts.append(f"## Mask `{mask}`\n\nMissing in the amputated table: {100 * here['missing'].mean():.0f} % of all cells.\n")
        for name, title in BY_TABLE.items():
            if name in here and here[name].notna().any():
                parts.append(f"### {title}\n\n{_by_table(here, name).to_markdown()}\n")
        parts.append(f"### Other scores, means over tables\n\n{_overall(here).to_markdown()}\n")
    parts.append(f"## Failures\n\n{failures.to_markdown(index=False) if len(failures) else 'None.'}\n")
    parts.append(f"## What was run\n\n{_provenance(runs).to_markdown(index=False) if len(runs) else 'Nothing.'}\n")
    written = [output / "report.md"]
    written[0].write_text("\n".join(parts))
    if len(runs):
        written.append(output / "report.png")
        draw(runs, written[1])
    return written


def read(output: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs that succeeded, a row each with scores as columns, and those that failed."""
    contents = [json.loads(path.read_text()) for path in sorted(output.glob("*/*/*/[0-9]*.json"))]
    if not contents:
        raise ValueError(f"output: got {output}, expected a folder with results")
    keys = ("table", "mask", "method", "seed")
    runs, failures = [], []
    for content in contents:
        row = {key: content[key] for key in keys}
        # Files of an older grid have no rows.
        for key, name in (("method", "steps"), ("table", "rows")):
            if content.get(name) is not None:
                row[key] += f", {content[name]} {name}"
        if "error" in content:
            # The first line says what, the last of a subprocess's error says why.
            lines = content["error"].strip().splitlines()
            failures.append(row | {"error": " ... ".join(dict.fromkeys([lines[0], lines[-1]])).replace("|", "\\|")})
        else:
            provenance = {key: ", ".join(f"{k} {v}" for k, v in content[key].items()) for key in ("settings", "versions")}
            runs.append(row | provenance | content["scores"])
    frame = pd.DataFrame(runs)
    if len(frame):
        order = {name: place for place, name in enumerate(METHODS)}
        labels = sorted(set(frame["method"]), key=lambda label: (order[label.split(",")[0]], label))
        frame["method"] = pd.Categorical(frame["method"], labels)
    return frame, pd.DataFrame(failures)


def _by_table(runs: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return methods x tables; the least mean in bold, or for a coverage the nearest to its level."""
    runs = runs.dropna(subset=score)
    groups = runs.groupby(["method", "table"], observed=True)[score]
    text, mean = _formatted(groups.mean(), groups.sem()).unstack(), groups.mean().unstack()
    aim = float(score.removeprefix("coverage_")) / 100 if score.startswith("coverage_") else 0.0
    best = (mean - aim).abs().idxmin()
    for table, method in best.items():
        text.loc[method, table] = f"**{text.loc[method, table]}**"
    return text.fillna("")


def _overall(runs: pd.DataFrame) -> pd.DataFrame:
    """Return methods x scores: means over tables, with the standard error that those of the tables give."""
    scores = [name for name in OVERALL if name in runs]
    by_table = runs.groupby(["method", "table"], observed=True)[scores]
    mean = by_table.mean().groupby("method", observed=True).mean()
    # A table with one seed has no error, and then the mean has none.
    error = (
        by_table.sem().groupby("method", observed=True).agg(lambda errors: np.sqrt(np.square(errors).sum(skipna=False)) / len(errors))
    )
    text = pd.DataFrame({OVERALL[name]: _formatted(mean[name], error[name]) for name in scores})
    text.insert(0, "tables", runs.groupby("method", observed=True)["table"].nunique())
    return text


def _formatted(mean: pd.Series, error: pd.Series) -> pd.Series:
    shown = ["" if np.isnan(m) else f"{m:.3f}" if np.isnan(e) else f"{m:.3f} ± {e:.3f}" for m, e in zip(mean, error, strict=True)]
    return pd.Series(shown, mean.index)


def _provenance(runs: pd.DataFrame) -> pd.DataFrame:
    """Return settings and versions of each method: more than one line for a method means that its cells do not compare."""
    return runs.groupby(["method", "settings", "versions"], observed=True).size().rename("cells").reset_index()
