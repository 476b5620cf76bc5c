"""What the command line says of an imputation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_mnar.cli.saying import note, say

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    import numpy as np

    from pyro_mnar.cli.asked import Asked
    from pyro_mnar.data.files.source import Source
    from pyro_mnar.imputation.impute import Imputation
    from pyro_mnar.imputer.tables.given import Given


def said_of(asked: Asked, table: Given, result: Imputation, replicates: np.ndarray | None) -> list[str]:
    """Return sentences on an imputation: what columns were taken for, what was assumed, and what was estimated.

    Args:
        asked: what the command line asks for.
        table: as the fitted model reads it.
        result: with draws.
        replicates: of the members, as of :meth:`~pyro_mnar.cli.asked.Asked.replicates`.
    """
    from pyro_mnar.imputer.points import POINTS
    from pyro_mnar.imputer.summary import assumptions, estimates, kinds_of, shifts

    imputer, sample, mask = asked.imputer, asked.sample, ~table.missing
    lines = [*kinds_of(imputer.schema_), *assumptions(imputer), f"Filled with {POINTS[imputer.point]}."]
    lines += [*shifts(imputer, result, mask), *([] if sample.about is None else [sample.about])]
    lines += estimates(imputer, result, mask, sample.design, replicates)
    poor = int(result.unreliable.sum())
    if poor:
        lines.append(f"Importance weights of {poor} of {len(mask)} rows are unreliable (Pareto k above threshold): trust them less.")
    return lines


def copy(options: argparse.Namespace, asked: Asked, source: Source) -> int:
    """Write a table in which nothing that varies is missing, say so, and return the exit code.

    Raises:
        ValueError: for what is known of its cells and cannot be.
    """
    from pyro_mnar.cli.reading import read_holes, told

    known = options.limit or options.rule or options.not_applicable
    doubts = told(asked.learned)[1] if known else []
    part, holed = asked.part, asked.holes.to_numpy().any()
    alike = part.fillna({name: part[name].dropna().iloc[0] for name in part if asked.holes[name].any()})
    source.write(options.output, alike, asked.holes, options.escape_formulas)
    note(options, asked.notes)
    where = "" if part.shape[1] == len(source.names) else " in the columns that are used"
    said = f"Nothing is missing in {options.table}{where}; {options.output} is a copy."
    if holed:
        said = f"{options.output}: every column that is used is always the same, which is what its holes got."
    say(options, [said, *([] if holed else read_holes(source, part)), *(f"Note: {sentence}" for sentence in doubts)])
    return 0


def check_draws_output(path: str) -> None:
    """Raise a ValueError, before any work is done, when draws could not be written at ``path``."""
    from pyro_mnar.data.files.writing import ENDINGS, check_ending, check_writable
    from pyro_mnar.imputation.netcdf import check_draws_path

    if not path.lower().endswith(ENDINGS):
        check_draws_path(path)
        return
    check_ending(path)
    check_writable(path)


def write_draws_of(path: Path, source: Source, asked: Asked, table: Given, result: Imputation) -> None:
    """Write an imputation's draws: as netCDF, with the names of the table's columns, rows and levels, or as one long table."""
    from pyro_mnar.data.files.long_tables import write_long
    from pyro_mnar.imputation.netcdf import write_draws

    if path.suffix.lower() != ".nc":
        draws = table.complete(result.draws.numpy())
        write_long(path, source, asked.part[list(draws[0])], draws, asked.holes[list(draws[0])])
        return
    columns = table.codec.columns
    levels = {str(column.name): list(column.levels) for column in columns if column.levels}
    names, rows = [column.name for column in columns], table.labels or range(len(table.mask))
    write_draws(path, result.draws.numpy(), table.mask, rows, names, levels)
