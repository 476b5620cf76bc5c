"""One value for each missing cell, in the table's units.

A mean is taken in the table's units, E[g(x)] with g from a model's column back to the table's: of a column modeled by its logarithm,
the exponential of the mean logarithm is near the median, and too small for totals. Given z, a cell's law is integrated on a grid
(:mod:`pyro_mnar.distributions.cell_grid`); over z, by the weighted particles.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyro_mnar.data.columns import LEVELED, Column
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.data.transforms import Units, inside, line_share
from pyro_mnar.imputation.ensemble import impute_ensemble
from pyro_mnar.infer.streams import RowStreams, distinct

#: What a missing cell can be filled with, and what for.
POINTS = {
    "mean": "posterior means, and most probable categories: nearest in squared error, right for means and totals of numbers",
    "median": "posterior medians, and most probable categories: nearest in absolute error; totals of skewed columns come out too small",
    "draw": "one draw from the posterior of each row: spread, shares and associations of complete data, means and totals up to chance",
}
#: Draws that a median is of, and cells of them that are in memory at once.
_DRAWS, _CELLS = 400, 2**24


def check_point(point: object) -> None:
    """Raise a ValueError for what is no word of ``POINTS``."""
    if point not in POINTS:
        raise ValueError(f"point: got {point!r}, expected one of {', '.join(POINTS)}")


def curves(columns: Sequence[Column], scaling: Scaling) -> dict[int, Callable[[Tensor], Tensor]]:
    """Return, by column, what takes a model's values to numbers that are linear in the table's; none where all of it is linear.

    Example:
        >>> found = curves([Column("pay", "positive", "float64")], Scaling(np.zeros(1), np.full(1, 2.0)))
        >>> float(found[0](torch.tensor(0.0)))
        1.0
    """
    found: dict[int, Callable[[Tensor], Tensor]] = {}
    for j, column in enumerate(columns):
        center, scale = float(scaling.center[j]), float(scaling.scale[j])
        if column.kind == "positive":
            found[j] = partial(_exponential, scale)
        elif column.kind == "bounded":
            found[j] = partial(_share, center, scale)
        elif column.kind == "semicontinuous":
            assert column.bounds is not None
            mass, nearest = ((end - center) / scale for end in column.bounds)
            found[j] = partial(_snapped, mass, nearest)
    return found


def _exponential(scale: float, x: Tensor) -> Tensor:
    return (scale * x.double()).clamp(-700, 700).exp()


def _share(center: float, scale: float, x: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(line_share(center + scale * x.double().numpy())))


def _snapped(mass: float, nearest: float, x: Tensor) -> Tensor:
    near = (x - mass) * np.sign(nearest - mass) < 0.5 * abs(nearest - mass)
    return torch.where(near, mass, x)


def means_of(columns: Sequence[Column], scaling: Scaling, found: Tensor) -> Tensor:
    """Return means (N, D) in the table's units, float64, from those of the values that :func:`curves` made; of counts not rounded."""
    numbers = found.double().numpy()
    result = scaling.invert(numbers)
    for j, column in enumerate(columns):
        if column.kind == "positive":
            with np.errstate(over="ignore"):
                result[:, j] = np.minimum(np.exp(np.clip(scaling.center[j], -700, 709)) * numbers[:, j], np.finfo(np.float64).max)
        elif column.kind == "bounded":
            assert column.bounds is not None
            result[:, j] = column.bounds[0] + (column.bounds[1] - column.bounds[0]) * numbers[:, j]
    return torch.from_numpy(result)


def points_of(
    point: str,
    columns: Sequence[Column],
    scaling: Scaling,
    means: Tensor,
    probabilities: Tensor,
    members: Sequence[nn.Module],
    x: Tensor,
    mask: Tensor,
    labels: Sequence[Hashable] | None,
    seed: int,
    **settings: Any,
) -> Tensor:
    """Return the points (N, D) in the table's units, each a possible value of its column.

    Args:
        point: a word of ``POINTS``.
        columns, scaling: of the table.
        means: (N, D) of :func:`means_of`.
        probabilities: of levels, (N, D, V); V = 0 where none was missing.
        members, x, mask, labels, seed, settings: as of :func:`~pyro_mnar.imputation.ensemble.impute_ensemble`.
    """
    check_point(point)
    if point == "mean" or bool(mask.all()):
        return most_probable(columns, torch.from_numpy(inside(columns, means.numpy())), probabilities)
    units, parts = Units(tuple(columns), scaling), []
    rows = max(1, _CELLS // (_DRAWS * x.shape[1]))
    names = list(range(len(x))) if labels is None else distinct(labels)  # before rows are taken in parts
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        draws = len(members) if point == "draw" else _DRAWS
        own: dict[str, Any] = {"labels": names[part], "seed": seed, "draws": draws} | settings
        drawn = torch.from_numpy(units.invert(impute_ensemble(members, x[part], mask[part], **own).draws.double().numpy()))
        if point == "median":
            parts.append(drawn.quantile(0.5, 0))
        else:
            # A row is one member's, drawn by the row's own randomness.
            chosen = (RowStreams(seed, names[part]).uniform("point", 1, (), drawn)[0] * draws).long().clamp(max=draws - 1)
            parts.append(drawn[chosen, torch.arange(len(chosen))])
    whole = torch.cat(parts)
    if point == "draw":
        return whole
    return most_probable(columns, torch.from_numpy(inside(columns, whole.numpy())), probabilities)


def most_probable(columns: Sequence[Column], point: Tensor, probabilities: Tensor) -> Tensor:
    """Return ``point`` (N, D) with levels that answer for the whole posterior, of whose places the mean says nothing.

    The most probable level; of ordinal columns the median, which minimizes the expected distance.

    Args:
        columns: of the table.
        point: (N, D).
        probabilities: of levels, (N, D, V); V = 0 where none was missing.
    """
    point = point.clone()
    if not probabilities.shape[-1]:
        return point
    for j, column in enumerate(columns):
        if column.kind == "ordinal":
            point[:, j] = (probabilities[:, j].double().cumsum(-1) < 0.5).sum(-1).clamp(max=len(column.levels) - 1).to(point)
        elif column.kind in LEVELED:
            point[:, j] = probabilities[:, j].argmax(-1).to(point)
    return point
