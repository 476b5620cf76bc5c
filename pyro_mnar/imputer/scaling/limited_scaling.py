r"""The scaling of columns whose holes have limits.

Priors assume mean 0 and scale 1, and the observed moments of a column of which all below a limit is missing are those of the rest. So a
column of real numbers is standardized by the moments of a normal of which the observed values and the limits are a sample, by the EM
algorithm: in place of x and x^2 a limited cell has their means between its limits,

    mean <- average of E[x],      variance <- average of Var[x] + (E[x] - mean)^2,

averages over rows with their weights.

Source: Dempster, Laird and Rubin 1977, "Maximum likelihood from incomplete data via the EM algorithm", JRSS B 39.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.distributions import cut_normal
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.infer.row_weights import weighted_mean

_ROUNDS, _SMALL = 200, 1e-6
# Standard deviations of what was observed, beyond which no mean is put, and what the scale may be of theirs.
_FAR, _WIDE = 20.0, 20.0


def limited_moments(values: Tensor, low: Tensor, high: Tensor, weights: Tensor | None = None) -> tuple[float, float]:
    """Return mean and standard deviation of a normal, given ``values`` (n,) and limits ``low`` and ``high`` (m,) of further ones.

    They count for ``weights`` (n + m,), None being one each.

    Example:
        >>> x = torch.linspace(-2.5, 2.5, 101).double()
        >>> mean, scale = limited_moments(x[x > 0], torch.full((50,), -torch.inf).double(), torch.zeros(50).double())
        >>> abs(mean) < 0.1, 1 < scale < 1.6
        (True, True)
    """
    seen = None if weights is None else weights[: len(values)]
    mean = float(weighted_mean(values, seen))
    scale = float(weighted_mean((values - mean).square(), seen)) ** 0.5
    first = mean, scale or 1.0
    scale = first[1]
    for _ in range(_ROUNDS):
        shift, variance_left = cut_normal.moments((low - mean) / scale, (high - mean) / scale)
        told, spread = mean + scale * shift, scale**2 * variance_left
        every = torch.cat([values, told.maximum(low).minimum(high)])
        left = torch.cat([torch.zeros_like(values), spread])
        center = float(weighted_mean(every, weights))
        variance = float(weighted_mean((every - center).square(), weights) + weighted_mean(left, weights))
        change = abs(center - mean) + abs(variance**0.5 - scale)
        mean, scale = center, variance**0.5
        if change < _SMALL * scale or abs(mean - first[0]) > _FAR * first[1] or scale > _WIDE * first[1]:
            break
    return mean, scale


def in_limited_units(given: Given) -> TableCodec:
    """Return the codec with the scaling that limits suppose.

    Args:
        given: a table (N, D), read by a codec that is scaled by observed moments.
    """
    codec, mask = given.codec, given.mask
    # Of rules, where the mechanism enters beside them, the units are those of what is observed.
    ends = given.ends if given.known.beside else given.within_ends
    if ends is None:
        return codec
    shift, stretch = np.zeros(mask.shape[1]), np.ones(mask.shape[1])
    x, limits = codec.apply(given.values, mask), codec.apply_limits(ends)
    limited = ~mask & np.isfinite(ends).any(-1)
    for j, column in enumerate(codec.columns):
        # Of a value that repeats, and of levels and counts, the units are others.
        if limited[:, j].any() and column.real and column.head == "heads.NormalHead":
            own, low, high = (torch.from_numpy(part) for part in (x[mask[:, j], j], *limits[limited[:, j], j].T.copy()))
            rows = np.concatenate([np.flatnonzero(mask[:, j]), np.flatnonzero(limited[:, j])])
            weights = None if given.weights is None else torch.from_numpy(given.weights[rows])
            shift[j], stretch[j] = limited_moments(own, low, high, weights)
    # Observed moments are 0 and 1 here.
    return replace(codec, scaling=codec.scaling.moved(shift, stretch))
