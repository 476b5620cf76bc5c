"""The masks of the grid: what goes missing, and the direction that a user would state."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from pandas import DataFrame

from pyro_mnar.tables import amputate


class Mask(NamedTuple):
    """Arguments of :func:`pyro_mnar.tables.amputate`, and the known direction (None: missing at random)."""

    arguments: dict[str, Any]
    direction: str | None


#: ``hard`` is the not-MIWAE paper's; all but ``mcar``, which has every column, amputate the first floor(D/2) columns.
MASKS = {
    "hard": Mask({"kind": "hard"}, "high"),
    "coupled": Mask({"kind": "coupled", "slope": 3.0, "rate": 0.3}, "high"),
    "soft-high": Mask({"kind": "self", "slope": 2.0, "rate": 0.3, "direction": "high"}, "high"),
    "soft-low": Mask({"kind": "self", "slope": 2.0, "rate": 0.3, "direction": "low"}, "low"),
    "steep-high": Mask({"kind": "self", "slope": 6.0, "rate": 0.3, "direction": "high"}, "high"),
    "steep-low": Mask({"kind": "self", "slope": 6.0, "rate": 0.3, "direction": "low"}, "low"),
    "mar": Mask({"kind": "mar", "slope": 3.0, "rate": 0.3}, None),
    "mcar": Mask({"kind": "mcar", "rate": 0.3}, None),
}


def masked(frame: DataFrame, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a table (N, D) standardised with its full data, and its mask (N, D), True = observed: the same for every method."""
    x = frame.to_numpy(float)
    x = (x - x.mean(0)) / x.std(0)
    # Methods get ``seed`` itself: a mask from the same stream would share its random numbers with their draws.
    return x, amputate(x, seed=1000 + seed, **MASKS[name].arguments)
