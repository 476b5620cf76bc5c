"""How tables are imputed by a fitted imputer: the settings of every draw."""

from __future__ import annotations

from typing import Any

from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.devices import device_of
from pyro_mnar.imputer.tables.given import Given

#: Particles of each row and member.
PARTICLES = 200


def settings_of(imputer: Imputer, given: Given, particles: int = PARTICLES, method: str = "importance") -> dict[str, Any]:
    """Return how a table is imputed, as arguments of :func:`~pyro_mnar.imputation.ensemble.impute`."""
    return {
        "particles": particles,
        "method": method,
        "n_jobs": imputer.n_jobs,
        "progress": imputer.progress,
        "labels": given.labels,
        "seed": imputer.seed,
        "limits": given.limits,
        "tolerance": imputer.tolerance,
        "device": device_of(imputer, len(given.mask)),
    }
