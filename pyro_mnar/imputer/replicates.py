"""Members' tables as the analyses of a design read them: how often each row was in each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_mnar.analysis.design import Design
from pyro_mnar.data.schema import is_frame
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.devices import device_of
from pyro_mnar.infer.ensembles import drawn, member_seed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame


def units_of(X: ArrayLike | DataFrame, strata: ArrayLike | Hashable | None, clusters: ArrayLike | Hashable | None) -> np.ndarray | None:
    """Return stratum and cluster of each row, (2, N); None where neither is given.

    Raises:
        ValueError: as :class:`~pyro_mnar.analysis.design.Design` does.
    """
    if strata is None and clusters is None:
        return None
    return Design.of(X if is_frame(X) else np.asarray(X), strata=strata, clusters=clusters).units


def replicates_of(imputer: Imputer, weights: np.ndarray, units: np.ndarray | None) -> np.ndarray:
    """Return how often each row was in the table of each member of a fitted ``imputer``, (G, N).

    Args:
        imputer: fitted.
        weights: (N,) of the rows of training.
        units: (2, N) their strata and clusters, or None.
    """
    x = torch.zeros(len(weights), 1, device=device_of(imputer, len(weights)))
    own = None if (weights == 1).all() else torch.from_numpy(weights).float().to(x.device)
    told, members = None if units is None else torch.from_numpy(units), imputer.specification_.members
    found = np.tile(weights, (members, 1)).astype(float)  # one model alone is fitted to the table itself
    for i in range(members if members > 1 else 0):
        rows, each = drawn(x, own, told, member_seed(imputer.seed, i))
        found[i] = np.bincount(rows.cpu().numpy(), None if each is None else each.double().cpu().numpy(), len(weights))
    return found / weights
