"""The scaling of a table in which values are supposed missing because of themselves.

Priors assume mean 0 and scale 1. The observed moments of a self-masked column describe a truncated sample. So the column is
standardized by the moments of the complete column, assumed normal and truncated at the observed rate: at one end, or about its mean
where values near a middle or in both tails go missing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.mechanisms.starts import censored_normal, direction_of, two_sided_normal


def in_supposed_units(given: Given, specification: Specification, pilot: bool = False) -> tuple[TableCodec, Specification]:
    """Return the codec in the units that a specification supposes, and the specification with what cells are in these.

    By observed moments, moved for self-masked columns of real numbers to those of the whole column. The direction is the specified
    one, or where it is free the one that the other columns point to, if they do
    (:func:`~pyro_mnar.mechanisms.starts.apparent_direction`).

    Args:
        given: a table (N, D), read by a codec that is scaled by observed moments.
        specification: of the ensemble.
        pilot: whether it is of a pilot's few steps, for which columns without their tails keep the spread that is seen. From the
            supposed one a long training ends better, and a short one, that takes for noise what columns share, often worse.

    Example:
        >>> values = np.array([[-1.0, -1], [1, 1], [-1, 0], [1, 0]])
        >>> mask = np.array([[True, True], [True, True], [True, False], [True, False]])
        >>> codec = TableCodec.fit(np.where(mask, values, np.nan))
        >>> spec = Specification("self-masking", (1,), ("high",), ("continuous",) * 2, 1, (), members=1)
        >>> scaling = in_supposed_units(Given(values, values, codec, values, mask), spec)[0].scaling
        >>> scaling.center.round(2).tolist(), scaling.scale.round(2).tolist()
        ([0.0, 1.32], [1.0, 1.66])
    """
    codec, values, mask, weights = given.codec, given.values, given.mask, given.weights
    shift, stretch = np.zeros(mask.shape[1]), np.ones(mask.shape[1])
    apparent = shift
    if "free" in specification.own.values():  # else a regression for each column would be for nothing
        apparent = direction_of(given.contrasts[0]).numpy()
    two_sided = ("middle",) if pilot else ("middle", "tails")
    for j, word in specification.own.items():
        sign = {"high": 1.0, "low": -1.0, "free": apparent[j]}.get(word, 0.0)
        column = codec.columns[j]
        if not (column.real and column.ordered):
            continue
        if word in two_sided:
            missing = 1 - np.average(mask[:, j], weights=weights)
            stretch[j] = float(two_sided_normal(torch.tensor(missing), word)[0])
        elif sign:
            mean, scale, _ = censored_normal(torch.tensor(column.cut_share(sign, values[:, j], mask[:, j], weights)))
            shift[j], stretch[j] = sign * float(mean), float(scale)
    codec = replace(codec, scaling=codec.scaling.moved(shift, stretch))
    return codec, specification.in_units(codec, values, mask, weights)
