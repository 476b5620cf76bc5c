"""Figures of training, distributions, missingness and mask checks. Each returns a matplotlib ``Figure``; nothing global is touched."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.data.extras import extra
from pyro_mnar.diagnostics.mask_check import MaskCheck
from pyro_mnar.infer.history import History
from pyro_mnar.plots.panels import ACROSS, IMPUTED, OBSERVED, TRUE, WIDTH, name_values, panels, text_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_training(histories: Sequence[History]) -> Figure:
    """Plot the training bound of each member of an ensemble, and the held-out one where there is one, against the step.

    Raises:
        ValueError: when there is no history.

    Example:
        >>> from pyro_mnar.infer.history import Evaluation
        >>> len(plot_training([History([Evaluation(100, -3.0, None)], 100)]).axes)
        1
    """
    with extra("plots"):
        from matplotlib.figure import Figure

    if not histories:
        raise ValueError("histories: got none, expected at least one")

    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    axis = figure.subplots()
    later: list[float] = []
    for i, history in enumerate(histories):
        steps = [look.step for look in history.evaluations]
        bounds = [look.train for look in history.evaluations]
        point = "." if len(steps) == 1 else None
        axis.plot(steps, bounds, color=OBSERVED, linewidth=1, marker=point, label=None if i else "training rows")
        held_out = [(look.step, look.held_out) for look in history.evaluations if look.held_out is not None]
        if held_out:
            axis.plot(*zip(*held_out, strict=True), color=IMPUTED, linewidth=1, label=None if i else "held-out rows")
            axis.axvline(history.best_step, color=TRUE, linestyle=":", label=None if i else "weights kept")
        # The first looks are far below the rest and would flatten what matters.
        later += bounds[len(steps) // 10 :]
    axis.set(xlabel="training step", ylabel="log-likelihood bound, a row")
    if len(later) > 1 and max(later) > min(later):
        axis.set_ylim(min(later) - 0.05 * (max(later) - min(later)), max(later) + 0.1 * (max(later) - min(later)))
    axis.legend(frameon=False)
    return figure


def plot_distributions(
    values: np.ndarray,
    mask: np.ndarray,
    draws: np.ndarray,
    names: Sequence[Hashable],
    truth: np.ndarray | None = None,
    max_columns: int = 6,
) -> Figure:
    """Plot observed, imputed and (where known) true missing values of the first columns that have holes.

    The histograms of a column share their bins, and their areas are the shares of rows, so that observed and imputed add to one.

    Args:
        values: (N, D), read where ``mask`` (N, D) is True.
        mask: True = observed.
        draws: (M, N, D) completed tables.
        names: D column names.
        truth: (N, D) complete values.
        max_columns: panels at most.

    Raises:
        ValueError: when nothing is missing or there are no draws.

    Example:
        >>> mask = np.arange(20).reshape(10, 2) % 3 > 0
        >>> len(plot_distributions(np.ones((10, 2)), mask, np.ones((4, 10, 2)), ["a", "b"]).axes)
        2
    """
    chosen = np.flatnonzero(~mask.all(0))[:max_columns]
    if not len(chosen) or not len(draws):
        raise ValueError("mask, draws: expected at least one missing cell and one draw of it")
    figure, axes = panels(len(chosen))
    for axis, j in zip(axes, chosen, strict=True):
        observed, holes = values[mask[:, j], j], ~mask[:, j]
        imputed = draws[:, holes, j].ravel()
        groups = [(observed, "observed", OBSERVED, "-", 1), (imputed, "imputed", IMPUTED, "-", len(draws))]
        if truth is not None:
            groups.append((truth[holes, j], "true missing", TRUE, "--", 1))
        everything = np.concatenate([g[0] for g in groups])
        low, high = np.quantile(everything, [0.002, 0.998])
        edges = np.linspace(low, high if high > low else low + 1, 31)
        for data, label, color, line, repeats in groups:
            share = np.histogram(data, edges)[0] / (len(mask) * repeats)
            axis.stairs(
                share,
                edges,
                color=color,
                linestyle=line,
                label=label,
                fill=label == "observed",
                alpha=0.35 if label == "observed" else 1.0,
            )
        axis.set_title(text_of(names[j]), fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("value", fontsize=8)
    for axis in axes[::ACROSS]:
        axis.set_ylabel("share of rows", fontsize=8)
    axes[0].legend(frameon=False, fontsize=7)
    return figure


def plot_missingness(
    curves: Sequence[tuple[Hashable, np.ndarray, np.ndarray]],
    observed: Sequence[np.ndarray],
    truth: Sequence[np.ndarray | None] | None = None,
    max_columns: int = 6,
    levels: Mapping[Any, Sequence[object]] | None = None,
) -> Figure:
    """Plot P(missing | value) as learned, column by column; of columns of levels, points.

    Args:
        curves: (name, values (P,), probabilities (P,) or one line for each member (M, P)) of each self-masked column.
        observed: the observed values of each, marked on the axis: beyond them a curve is assumption, not data.
        truth: the true probabilities on the same grids, where known.
        max_columns: panels at most.
        levels: name of a column -> its levels, whose places the values are then.

    Raises:
        ValueError: when there are no curves.

    Example:
        >>> grid = np.linspace(0, 1, 5)
        >>> len(plot_missingness([("a", grid, grid)], [grid]).axes)
        1
    """
    if not curves:
        raise ValueError("curves: got none, expected at least one self-masked column")
    shown = list(curves)[:max_columns]
    figure, axes = panels(len(shown))
    for i, (axis, (name, grid, probability)) in enumerate(zip(axes, shown, strict=True)):
        lines = np.atleast_2d(probability)
        for k, line in enumerate(lines):
            style = {"marker": "_", "linestyle": "none"} if name in (levels or {}) else {"linewidth": 1}
            shade = 1 if len(lines) == 1 else 0.6
            axis.plot(grid, line, color=IMPUTED, alpha=shade, label=None if k else "learned", **style)
        true = None if truth is None else truth[i]
        if true is not None:
            axis.plot(grid, true, color=TRUE, linestyle="--", label="true")
        if name not in (levels or {}):
            axis.plot(observed[i], np.full(len(observed[i]), -0.04), "|", color=OBSERVED, markersize=4, alpha=0.4, label="observed")
        axis.set(ylim=(-0.08, 1.05))
        axis.set_title(text_of(name), fontsize=9)
        axis.tick_params(labelsize=7)
        name_values(axis, (levels or {}).get(name))
    for axis in axes[::ACROSS]:
        axis.set_ylabel("P(missing | value)", fontsize=8)
    axes[0].legend(frameon=False, fontsize=7)
    return figure


def plot_mask_check(check: MaskCheck, max_columns: int = 6) -> Figure:
    """Plot missing rates, of the data and as the mechanism expects them: of all rows, and by the column that tells most.

    Args:
        check: of :func:`~pyro_mnar.diagnostics.mask_check.check_mask`.
        max_columns: panels at most, the least p-values first.

    Example:
        >>> import torch
        >>> from pyro_mnar.diagnostics.mask_check import check_mask
        >>> x, mask = torch.randn(20, 300, 2), torch.rand(300, 2) < 0.7
        >>> len(plot_mask_check(check_mask(x, torch.full_like(x, 0.3), mask)).axes)
        2
    """
    worst = [check.worst(j) for j in range(len(check.columns))]
    order = sorted(range(len(worst)), key=lambda j: (check.p_value[j, worst[j]], -check.surprise[j, worst[j]]))[:max_columns]
    figure, axes = panels(len(order))
    for axis, j in zip(axes, order, strict=True):
        # All rows first, then the bins of one other column.
        k = int(np.lexsort((-check.surprise[j], check.p_value[j], np.arange(len(check.by)) == 0))[0])
        k = 0 if np.isnan(check.p_value[j, k]) else k
        shown = [(0, 0)] + [(k, b) for b in np.flatnonzero(check.counts[k]) if k]
        place = np.arange(len(shown))
        at = tuple(np.array(shown).T)
        low, middle, high = check.replicated[:, j][(slice(None), *at)]
        spread = [middle - low, high - middle]
        axis.errorbar(place, middle, spread, fmt="_", color=TRUE, capsize=2, linewidth=1, label="expected (90 %)")
        axis.plot(place, check.rate[j][at], "o", color=IMPUTED, markersize=3, label="data")
        axis.set_xticks(
            place, [text_of(check.where(*pair).removeprefix(f"{check.by[k]} ")) for pair in shown], fontsize=6, rotation=40, ha="right"
        )
        p = check.p_value[j, worst[j]]
        axis.set_title(text_of(f"{check.columns[j]}" + (f" by {check.by[k]}" if k else "") + f" (p = {p:.2g})"), fontsize=8)
        axis.set_ylim(-0.04, 1.04)
        axis.tick_params(axis="y", labelsize=7)
    for axis in axes[::ACROSS]:
        axis.set_ylabel("share missing", fontsize=8)
    axes[0].legend(frameon=False, fontsize=7)
    return figure
