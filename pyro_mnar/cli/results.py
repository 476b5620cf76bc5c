"""What the command line says of an imputation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from pyro_mnar.imputation.impute import Imputation
    from pyro_mnar.imputer.imputer import MNARImputer


def said_of(imputer: MNARImputer, result: Imputation, mask: np.ndarray) -> list[str]:
    """Return sentences on an imputation: what columns were taken for, what was assumed, and what was estimated."""
    from pyro_mnar.imputer.points import POINTS
    from pyro_mnar.imputer.summary import assumptions, estimates, kinds_of, shifts

    lines = [*kinds_of(imputer.schema_), *assumptions(imputer), f"Filled with {POINTS[imputer.point]}."]
    lines += [*shifts(imputer, result, mask), *estimates(imputer, result, mask)]
    poor = int(result.unreliable.sum())
    if poor:
        lines.append(f"Importance weights of {poor} of {len(mask)} rows are unreliable (Pareto k above threshold): trust them less.")
    return lines
