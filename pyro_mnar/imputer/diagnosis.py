"""What is wrong with a fitted imputer and what it imputes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from pyro_mnar.data.schema import is_frame
from pyro_mnar.diagnostics.diagnosis import Diagnosis, diagnose
from pyro_mnar.imputation.ensemble import impute_ensemble
from pyro_mnar.imputer.reasons import doubts


def diagnosis(imputer: Any, X: Any) -> Diagnosis:
    """Return what is wrong with the fitted ``imputer`` and its imputation of the table ``X``, in the table's units.

    Example:
        >>> from pyro_mnar import MNARImputer
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3))
        >>> x[x[:, 0] > 1, 0] = np.nan
        >>> found = diagnosis(MNARImputer(direction="high", members=2, steps=20, progress=False).fit(x), x)
        >>> sorted(found.caveats)
        ['assumption']
    """
    table, values, mask = imputer._read(X)
    x, seen, members = imputer._scaled(values, mask), torch.from_numpy(mask), imputer.members_
    rows, columns = list(table.index) if is_frame(table) else None, [column.name for column in imputer.schema_.columns]
    seed = imputer._seed()
    options: dict[str, Any] = {"labels": rows, "progress": imputer.progress, "n_jobs": imputer.n_jobs}
    draws = impute_ensemble(members, x, seen, draws=25 * len(members), seed=seed, **options)
    found = diagnose(draws, members, x, seen, rows=rows, columns=columns, scaling=imputer.scaling_, seed=seed)
    said = doubts(imputer)
    return replace(found, problems=found.problems | {"reasons": " ".join(said)}) if said else found
