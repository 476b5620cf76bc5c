"""The benchmark in one figure: RMSE of every method on every mask."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.imputation.masks import MASKS


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Write a figure to ``path``: one panel for each mask, methods downwards, a mark for each table, bars of one standard error."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    masks = [mask for mask in MASKS if (runs["mask"] == mask).any()]
    tables, methods = sorted(set(runs["table"])), list(runs["method"].cat.categories)
    columns = min(2, len(masks))
    rows = -(-len(masks) // columns)
    # 7 inches is the text width of a page.
    figure = Figure(figsize=(7, rows * (0.16 * len(methods) + 0.6) + 0.5), layout="constrained", dpi=200)
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, mask in zip(panels, masks, strict=False):
        here = runs[runs["mask"] == mask].groupby(["table", "method"], observed=False)["rmse"]
        mean, error = here.mean(), here.sem().fillna(0)
        for k, table in enumerate(tables):
            if table not in mean.index:
                continue
            # Marks of one method stand a little apart from each other.
            height = [i + 0.11 * (k - (len(tables) - 1) / 2) for i in range(len(methods))]
            values, bars = mean[table].reindex(methods), error[table].reindex(methods)
            panel.errorbar(values, height, xerr=bars, fmt="osD^vX"[k % 6], ms=3, lw=0.8, color=f"C{k}", label=table)
        panel.set_title(mask, fontsize=9)
        panel.set_yticks(range(len(methods)), methods)
        panel.tick_params(labelsize=7)
        panel.grid(axis="x", lw=0.4, alpha=0.6)
        for i, method in enumerate(methods):
            panel.axhline(i - 0.5, lw=0.3, color="0.8", zorder=0)
            if method.startswith("ours"):
                panel.axhspan(i - 0.5, i + 0.5, color="0.93", zorder=0)
        panel.set_ylim(len(methods) - 0.5, -0.5)
    # Some methods are several times worse than others on some masks. The scale is shared by all panels.
    panels[0].set_xscale("log")
    panels[0].xaxis.set_major_locator(FixedLocator([0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 16]))
    panels[0].xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panels[0].xaxis.set_minor_locator(NullLocator())
    for panel in panels[len(masks) :]:
        panel.set_visible(False)
    note = "blank: not run, or failed; bars: one standard error over seeds"
    figure.supxlabel(f"RMSE over missing cells (standard deviations of the column, log scale)\n{note}", fontsize=8)
    handles = {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=6, fontsize=8, frameon=False)
    figure.savefig(path)
