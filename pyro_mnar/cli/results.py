"""What the command line says of an imputation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from pyro_mnar.imputation.impute import Imputation
    from pyro_mnar.imputer.imputer import MNARImputer
    from pyro_mnar.imputer.tables import Given


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


def write_draws_of(path: Path, table: Given, result: Imputation) -> None:
    """Write an imputation's draws as netCDF, with the names of the table's columns, rows and levels."""
    from pyro_mnar.imputation.netcdf import write_draws

    columns = table.codec.columns
    levels = {str(column.name): list(column.levels) for column in columns if column.levels}
    names, rows = [column.name for column in columns], table.labels or range(len(table.mask))
    write_draws(path, result.draws.numpy(), table.mask, rows, names, levels)
