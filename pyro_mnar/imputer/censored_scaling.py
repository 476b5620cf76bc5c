"""The scaling of a table in which values are supposed missing because of themselves.

Priors and starts of a model are for columns of mean 0 and scale 1. Of a self-masked column the observed values are one end: scaled by
their moments, the other end would lie far out, where a prior that is meant for the middle says that little is. So such a column is
scaled by the moments that the whole of it would have, were it a normal cut at the observed share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pyro_mnar.data.columns import Column
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.data.schema import Schema
from pyro_mnar.data.transforms import REAL, on_line, scaling_of
from pyro_mnar.mechanisms.starts import apparent_direction, censored_normal


def supposed_scaling(schema: Schema, declaration: Mapping[str, Any], values: np.ndarray, mask: np.ndarray) -> Scaling:
    """Return the scaling by observed moments, moved for self-masked columns of real numbers to those of the whole column.

    The direction is the declared one, or where it is free the one that the other columns point to, if they do
    (:func:`~pyro_mnar.mechanisms.self_masking.apparent_direction`).

    Args:
        schema: the D columns.
        declaration: arguments of :func:`~pyro_mnar.imputer.specification.declare`.
        values: (N, D), levels by their places.
        mask: (N, D) True = observed.

    Raises:
        ValueError: for a column with no observed value.

    Example:
        >>> from pyro_mnar.data.columns import Column
        >>> table = Schema((Column("a", "continuous", "float64"), Column("b", "continuous", "float64")))
        >>> declared = {"mechanism": "self-masking", "columns": [1], "directions": ["high"]}
        >>> values = np.array([[-1.0, -1], [1, 1], [-1, 0], [1, 0]])
        >>> mask = np.array([[True, True], [True, True], [True, False], [True, False]])
        >>> scaling = supposed_scaling(table, declared, values, mask)
        >>> scaling.center.round(2).tolist(), scaling.scale.round(2).tolist()
        ([0.0, 1.32], [1.0, 1.66])
    """
    line = on_line(schema.columns, values, mask)
    scaling = scaling_of(schema.columns, line, mask)
    shift, stretch = np.zeros(mask.shape[1]), np.ones(mask.shape[1])
    if declaration["mechanism"] in ("auto", "self-masking"):
        words = declaration["directions"]
        apparent = shift
        if "free" in words:  # else a regression for each column would be for nothing
            apparent = apparent_direction(torch.from_numpy(scaling.apply(line, mask)), torch.from_numpy(mask)).numpy()
        for j, word in zip(declaration["columns"], words, strict=True):
            sign = {"high": 1.0, "low": -1.0, "free": apparent[j]}.get(word, 0.0)
            if sign and schema.columns[j].kind in REAL:
                mean, scale, _ = censored_normal(torch.tensor(_cut_share(schema.columns[j], sign, values[:, j], mask[:, j])))
                shift[j], stretch[j] = sign * float(mean), float(scale)
    return scaling.moved(shift, stretch)


def _cut_share(column: Column, sign: float, values: np.ndarray, mask: np.ndarray) -> float:
    """Return which share of the values is missing; of a semicontinuous column, of those beside the one that repeats.

    Where the cut is at the other end, all missing ones are; at the same end, as large a share of them as of the whole.
    """
    missing = 1 - mask.mean()
    if column.bounds is None or column.kind != "semicontinuous" or sign * (column.bounds[1] - column.bounds[0]) < 0:
        return float(missing)
    beside = (mask & (values != column.bounds[0])).mean()
    return float(missing / (missing + beside))
