"""Members' tables as the analyses of a design read them: how often each row was in each."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch

from pyro_mnar.analysis.design import Design, Sampling
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.devices import device_of
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.infer.ensembles import drawn, member_seed


def as_analyzed(design: Design | None, replicates: np.ndarray | None, groups: Sequence[Hashable] | None) -> Sampling:
    """Return how rows were sampled as :func:`~pyro_mnar.analysis.analyses.analyze` takes it, by name; nothing without a design.

    Args:
        design: of the rows.
        replicates: (G, N) of a fitted imputer, or None.
        groups: (M,) the members whose tables are analyzed. Fewer than four, or one table of each, tell too little for replicates.
    """
    if design is None:
        return {}
    enough = groups is not None and 3 < len(set(groups)) < len(groups)
    return design.as_analyzed(replicates if enough else None)


def replicates_on(imputer: Imputer, table: Given) -> np.ndarray:
    """Return :func:`replicates_of` of the table that a fitted ``imputer`` learned from."""
    return replicates_of(imputer, np.ones(len(table.mask)) if table.weights is None else table.weights, table.units)


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
