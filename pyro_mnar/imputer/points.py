"""One value for each missing cell, in the table's units.

A mean is taken in the table's units, E[g(x)] with g from a model's column back to the table's: of a column modeled by its logarithm,
the exponential of the mean logarithm is near the median, and too small for totals. Given z, a cell's law is integrated on a grid
(:mod:`pyro_mnar.distributions.cell_grid`); over z, by the weighted particles. Of a circular column the mean is the direction of the
means of cosine and sine, and so is its median here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.infer.streams import RowStreams, distinct

#: What a missing cell can be filled with, and what for.
POINTS = {
    "mean": "posterior means, and most probable categories: nearest in squared error, right for means and totals of numbers",
    "median": "posterior medians, and most probable categories: nearest in absolute error; totals of skewed columns come out too small",
    "draw": "one draw from the posterior of each row: spread, shares and associations of complete data, means and totals up to chance",
}
#: Draws that a median is of, and cells of them that are in memory at once.
DRAWS, _CELLS = 400, 2**24


def check_point(point: object) -> None:
    """Raise a ValueError for what is no word of ``POINTS``."""
    if not isinstance(point, str) or point not in POINTS:
        raise ValueError(f"point: got {point!r}, expected one of {', '.join(POINTS)}")


def summands(codec: TableCodec) -> dict[int, Callable[[Tensor], Tensor]]:
    """Return, by column, what takes a model's values to what a mean is taken of; none where all of it is linear.

    Example:
        >>> codec = TableCodec.fit(np.array([[1.0], [7.0]]), {0: "positive"})
        >>> float(summands(codec)[0](torch.tensor(0.0)))
        1.0
    """
    scales = enumerate(zip(codec.columns, codec.scaling.center.tolist(), codec.scaling.scale.tolist(), strict=True))
    return {j: torch.cos if scaled[0].circular else partial(_summand, *scaled) for j, scaled in scales if not scaled[0].linear}


def sines(codec: TableCodec) -> dict[int, Callable[[Tensor], Tensor]]:
    """Return, by column, what beside the cosine a direction is taken of; none where no column is circular."""
    return {j: torch.sin for j, column in enumerate(codec.columns) if column.circular}


@np.errstate(over="ignore", invalid="ignore")  # of scales near the largest float
def _summand(column: Column, center: float, scale: float, x: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(column.summand(x.double().cpu().numpy(), center, scale))).to(x.device)


def points_of(
    point: str,
    codec: TableCodec,
    means: Tensor,
    probabilities: Tensor,
    members: Sequence[nn.Module],
    x: Tensor,
    mask: Tensor,
    labels: Sequence[Hashable] | None,
    seed: int,
    limits: Tensor | None = None,
    **settings: Any,
) -> Tensor:
    """Return the points (N, D) in the table's units, each a possible value of its column.

    Args:
        point: a word of ``POINTS``.
        codec: of the table.
        means: (N, D) in the table's units.
        probabilities: of levels, (N, D, V); V = 0 where none was missing.
        members, x, mask, labels, seed, limits, settings: as of :func:`~pyro_mnar.imputation.ensemble.impute`.
    """
    check_point(point)
    if point == "mean" or bool(mask.all()):
        return most_probable(codec, means, probabilities)
    parts, circular = [], torch.tensor([column.circular for column in codec.columns])
    rows = max(1, _CELLS // (DRAWS * x.shape[1]))
    names = list(range(len(x))) if labels is None else distinct(labels)  # before rows are taken in parts
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        draws = len(members) if point == "draw" else DRAWS
        own = None if limits is None else limits[part]
        result = impute(members, x[part], mask[part], limits=own, draws=draws, seed=seed, labels=names[part], **settings)
        drawn = torch.from_numpy(codec.invert(result.draws.double().numpy()))
        if point == "median":
            parts.append(torch.where(circular, means[part], drawn.quantile(0.5, 0)))
        else:
            # A row is one member's, drawn by the row's own randomness.
            chosen = (RowStreams(seed, names[part]).uniform("point", 1, (), drawn)[0] * draws).long().clamp(max=draws - 1)
            parts.append(drawn[chosen, torch.arange(len(chosen))])
    whole = torch.cat(parts)
    if point == "draw":
        return whole
    return most_probable(codec, whole, probabilities)


def most_probable(codec: TableCodec, point: Tensor, probabilities: Tensor) -> Tensor:
    """Return the nearest possible values of ``point`` (N, D), with levels that answer for the whole posterior.

    Of levels' places the mean says nothing: they are the most probable ones; of ordinal columns the median.

    Args:
        codec: of the table.
        point: (N, D) in the table's units.
        probabilities: of levels, (N, D, V); V = 0 where none was missing.
    """
    found = codec.inside(point.numpy())
    for j, column in enumerate(codec.columns):
        if column.levels and probabilities.shape[-1]:
            found[:, j] = column.typical(probabilities[:, j].numpy())
    return torch.from_numpy(found)
