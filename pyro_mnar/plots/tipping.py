"""Figures of an estimate along one assumption or over two, and where its conclusion tips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.analysis.tipping import TippingPoint
from pyro_mnar.data.extras import extra
from pyro_mnar.plots.panels import ACROSS, IMPUTED, OBSERVED, TRUE, WIDTH, panels, text_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DUE = "too few effective draws: moved by less"


def plot_tipping(path: TippingPoint, labels: Sequence[str], estimate: str = "estimate") -> Figure:
    """Plot the estimate along one assumption with its interval and crossings, or over two with the line where the conclusion tips.

    Args:
        path: from :func:`~pyro_mnar.analysis.tipping.tipping_point`.
        labels: of the assumptions, with units, one or two.
        estimate: what was estimated.

    Raises:
        ValueError: for another number of labels.

    Example:
        >>> grid = np.linspace(0, 1, 3)
        >>> path = TippingPoint((grid,), grid, grid - 1, grid + 1, grid, grid - 1, grid > 2, [1.0], 0.0, 0.95)
        >>> len(plot_tipping(path, ["shift"]).axes)
        1
    """
    with extra("plots"):
        from matplotlib.figure import Figure

    if len(labels) != len(path.grids):
        raise ValueError(f"labels: got {len(labels)}, expected {len(path.grids)}")
    figure = Figure(figsize=(WIDTH, 3.0 if len(labels) == 1 else 4.2), layout="constrained")
    axis = figure.subplots()
    if len(labels) == 1:
        grid = path.grids[0]
        axis.fill_between(grid, path.lower, path.upper, color=IMPUTED, alpha=0.2, linewidth=0, label=f"{100 * path.level:g} % interval")
        axis.plot(grid, path.estimate, color=IMPUTED, label=text_of(estimate))
        axis.axhline(path.null, color=OBSERVED, linestyle=":", linewidth=1, label="null")
        if path.refit_due.any():
            axis.plot(grid[path.refit_due], path.estimate[path.refit_due], "x", color=OBSERVED, label=_DUE)
        for i, crossing in enumerate(path.crossings):
            axis.axvline(crossing, color=TRUE, linestyle="--", linewidth=1, label=None if i else "tips")
        axis.set_xlabel(text_of(labels[0]), fontsize=9)
        axis.set_ylabel(text_of(estimate), fontsize=9)
        axis.legend(frameon=False, fontsize=7)
    else:
        shade = axis.pcolormesh(*path.grids, path.p_value.T, cmap="cividis_r", vmin=0, vmax=0.2, shading="nearest")
        bar = figure.colorbar(shade, ax=axis, extend="max")
        bar.set_label("p-value", fontsize=9)
        for i, line in enumerate(path.crossings):
            axis.plot(line[:, 0], line[:, 1], color=IMPUTED, linewidth=2, label=None if i else f"tips (p = {1 - path.level:.3g})")
        if path.refit_due.any():
            at = np.argwhere(path.refit_due)
            axis.plot(path.grids[0][at[:, 0]], path.grids[1][at[:, 1]], "x", color=OBSERVED, markersize=4, label=_DUE)
        if path.crossings or path.refit_due.any():
            axis.legend(fontsize=7)
        axis.plot(0, 0, "+", color="black", markersize=10, markeredgewidth=2)
        axis.set_xlabel(text_of(labels[0]), fontsize=9)
        axis.set_ylabel(text_of(labels[1]), fontsize=9)
    axis.tick_params(labelsize=8)
    return figure


def plot_paths(paths: Mapping[str, TippingPoint], label: str, estimate: str) -> Figure:
    """Plot several estimates, each along the same single assumption, a panel for each.

    Args:
        paths: name of a panel -> path.
        label: of the assumption, with its unit.
        estimate: what was estimated.

    Raises:
        ValueError: for no paths.

    Example:
        >>> grid = np.linspace(0, 1, 3)
        >>> path = TippingPoint((grid,), grid, grid - 1, grid + 1, grid, grid - 1, grid > 2, [1.0], 0.0, 0.95)
        >>> len(plot_paths({"a": path, "b": path}, "shift", "mean").axes)
        2
    """
    if not paths:
        raise ValueError("paths: got none, expected at least one")
    figure, axes = panels(len(paths))
    for axis, (name, path) in zip(axes, paths.items(), strict=True):
        grid = path.grids[0]
        axis.fill_between(grid, path.lower, path.upper, color=IMPUTED, alpha=0.2, linewidth=0)
        axis.plot(grid, path.estimate, color=IMPUTED)
        axis.plot(grid[path.refit_due], path.estimate[path.refit_due], "x", color=OBSERVED)
        axis.set_title(text_of(name), fontsize=9)
        axis.set_xlabel(text_of(label), fontsize=8)
        axis.tick_params(labelsize=7)
    for axis in axes[::ACROSS]:
        axis.set_ylabel(text_of(estimate), fontsize=8)
    return figure
