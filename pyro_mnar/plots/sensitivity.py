"""Figures of what was assumed: missing patterns, imputations under two assumptions, estimates and the reliability of rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.analysis.pooled import Pooled
from pyro_mnar.data.extras import extra
from pyro_mnar.plots.panels import ACROSS, IMPUTED, OBSERVED, TRUE, WIDTH, name_values, panels, text_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Columns whose names a figure's width has room for.
_NAMED = 30
_COLORS = [IMPUTED, TRUE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]  # Okabe and Ito's


def plot_pattern(mask: np.ndarray, names: Sequence[Hashable], most: int = 12) -> Figure:
    """Plot the most frequent patterns of missing values: a row for each, with its count; dark cells are observed.

    Args:
        mask: (N, D) True = observed.
        names: D column names.
        most: rows at most.

    Example:
        >>> len(plot_pattern(np.array([[True, False], [True, True]]), ["a", "b"]).axes)
        1
    """
    with extra("plots"):
        from matplotlib.colors import ListedColormap
        from matplotlib.figure import Figure

    # Of many columns those with most missing, in their order.
    least = np.argsort(mask.mean(0), kind="stable")
    shown = np.sort(least if len(names) <= _NAMED else least[:_NAMED])
    names = [names[j] for j in shown]
    patterns, counts = np.unique(mask[:, shown], axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    figure = Figure(figsize=(WIDTH, 1.3 + 0.25 * len(order)), layout="constrained")
    axis = figure.subplots()
    axis.pcolormesh(patterns[order], cmap=ListedColormap(["#f6c9a8", OBSERVED]), vmin=0, vmax=1, edgecolors="white", linewidth=1)
    axis.invert_yaxis()
    axis.set_yticks(np.arange(len(order)) + 0.5, [f"{counts[i]} rows" for i in order], fontsize=8)
    axis.set_xticks(np.arange(len(names)) + 0.5, [text_of(str(name)[:18]) for name in names], fontsize=8, rotation=45, ha="right")
    axis.tick_params(length=0)
    left = len(counts) - len(order)
    out = [f"{left} rarer patterns"] if left else []
    out += [f"{mask.shape[1] - len(shown)} columns with fewer holes"] if len(shown) < mask.shape[1] else []
    axis.set_title("dark: observed, light: missing" + (f"\n({' and '.join(out)} left out)" if out else ""), fontsize=9)
    return figure


def plot_assumptions(
    values: np.ndarray,
    mask: np.ndarray,
    draws: Mapping[str, np.ndarray],
    names: Sequence[Hashable],
    max_columns: int = 6,
    levels: Sequence[Sequence[object]] | None = None,
) -> Figure:
    """Plot, column by column, the observed values and those imputed under each assumption, each as a density over common bins.

    Of columns of levels, the share of each.

    Args:
        values: (N, D), read where ``mask`` (N, D) is True; NaN for a cell that does not exist.
        mask: True = observed.
        draws: name of an assumption -> (M, N, D) completed tables.
        names: D column names.
        max_columns: panels at most.
        levels: of each of D columns, none where it has none; its values are then places among them.

    Raises:
        ValueError: when nothing is missing or there are no draws.

    Example:
        >>> mask = np.arange(20).reshape(10, 2) % 3 > 0
        >>> len(plot_assumptions(np.ones((10, 2)), mask, {"MNAR": np.ones((4, 10, 2))}, ["a", "b"]).axes)
        2
    """
    chosen = np.flatnonzero(~mask.all(0))[:max_columns]
    if not len(chosen) or not draws or not all(len(part) for part in draws.values()):
        raise ValueError("mask, draws: expected at least one missing cell and one draw of it under each assumption")
    figure, axes = panels(len(chosen))
    for axis, j in zip(axes, chosen, strict=True):
        observed, holes = values[mask[:, j], j], ~mask[:, j]
        observed = observed[~np.isnan(observed)]
        imputed = {name: part[:, holes, j].ravel() for name, part in draws.items()}
        axis.set_title(text_of(names[j]), fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_yticks([])
        own = list(levels[j]) if levels is not None and len(levels[j]) else None
        if own is not None:
            shares = {name: np.bincount(cells.astype(int), minlength=len(own)) / len(cells) for name, cells in imputed.items()}
            seen = np.bincount(observed.astype(int), minlength=len(own)) / max(1, len(observed))
            axis.bar(range(len(own)), seen, 0.8, color=OBSERVED, alpha=0.35, label="observed")
            for i, ((name, share), color) in enumerate(zip(shares.items(), _COLORS, strict=False)):
                at = np.arange(len(own)) + 0.3 * (i - 0.5 * (len(shares) - 1))
                axis.plot(at, share, "o", color=color, markersize=3, label=f"imputed, {name}")
        else:
            low, high = np.quantile(np.concatenate([observed, *imputed.values()]), [0.002, 0.998])
            edges = np.linspace(low, high if high > low else low + 1, 31).tolist()
            axis.hist(observed, edges, density=True, color=OBSERVED, alpha=0.35, label="observed")
            for (name, cells), color in zip(imputed.items(), _COLORS, strict=False):
                axis.hist(cells, edges, density=True, histtype="step", color=color, label=f"imputed, {name}")
        name_values(axis, own)
    for axis in axes[::ACROSS]:
        axis.set_ylabel("density, or share", fontsize=8)
    axes[0].legend(frameon=False, fontsize=7)
    return figure


def plot_estimates(estimates: Mapping[str, Pooled], label: str = "estimate", null: float | None = None, level: float = 0.95) -> Figure:
    """Plot a parameter's estimate with its interval under each assumption, one below the other.

    Raises:
        ValueError: for no estimates.

    Example:
        >>> from pyro_mnar.analysis.rubin import pool
        >>> len(plot_estimates({"MAR": pool([1.0, 2.0], [0.1, 0.1])}).axes)
        1
    """
    with extra("plots"):
        from matplotlib.figure import Figure

    if not estimates:
        raise ValueError("estimates: got none, expected at least one")
    figure = Figure(figsize=(WIDTH, 0.9 + 0.32 * len(estimates)), layout="constrained")
    axis = figure.subplots()
    for row, pooled in enumerate(estimates.values()):
        low, high = (float(np.squeeze(limit)) for limit in pooled.interval(level))
        axis.plot([low, high], [row, row], color=OBSERVED, linewidth=1.5)
        axis.plot(float(np.squeeze(pooled.estimate)), row, "o", color=IMPUTED, markersize=5)
    if null is not None:
        axis.axvline(null, color=OBSERVED, linestyle=":", linewidth=1)
    axis.set_yticks(range(len(estimates)), [text_of(name) for name in estimates], fontsize=8)
    axis.set_ylim(len(estimates) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_xlabel(f"{text_of(label)} ({100 * level:g} % interval)", fontsize=8)
    return figure


def plot_reliability(ess_share: np.ndarray, pareto_k: np.ndarray, threshold: float) -> Figure:
    """Plot how the rows' effective shares of particles and Pareto k spread; rows beyond the threshold are to be trusted less.

    Example:
        >>> len(plot_reliability(np.ones(9), np.linspace(-0.5, 1, 9), 0.6).axes)
        2
    """
    with extra("plots"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 2.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.hist(ess_share, np.linspace(0, 1, 26), color=OBSERVED, alpha=0.6)
    left.set_xlabel("effective share of particles", fontsize=8)
    left.set_ylabel("rows", fontsize=8)
    finite = pareto_k[np.isfinite(pareto_k)]
    if len(finite):
        right.hist(finite, 25, color=OBSERVED, alpha=0.6)
    right.axvline(threshold, color=IMPUTED, linestyle="--", label=f"threshold {threshold:.2f}")
    right.set_xlabel("Pareto k of the weights", fontsize=8)
    right.legend(frameon=False, fontsize=7)
    for axis in (left, right):
        axis.tick_params(labelsize=7)
    return figure
