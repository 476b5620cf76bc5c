"""What margins imply, as a table and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.moves import Move

if TYPE_CHECKING:
    from pandas import DataFrame


def margins_table(columns: Sequence[Column], moves: Sequence[Move]) -> DataFrame:
    """Return the table ``margins_``: a row for each known number.

    Args:
        columns: the D columns.
        moves: of some of them.
    """
    from pandas import DataFrame

    lines = []
    for move in moves:
        column, margin, factors = columns[move.column], move.margin, factors_of(move)
        for i, (value, error) in enumerate(zip(margin.values, margin.errors, strict=True)):
            level = margin.what == "share"
            at = column.levels[margin.at[i]] if level else margin.at[0] if margin.at else ""
            lines.append(
                {
                    "column": column.name,
                    "margin": margin.what,
                    "at": at,
                    "asked": margin.at[0] if margin.what == "quantile" else value,
                    "of": value if margin.what == "quantile" else np.nan,
                    "standard_error": error,
                    "unadjusted": float(move.unadjusted[i]),
                    "met": float(move.met[i]),
                    "moved": move.way,
                    "by": float(factors[margin.at[i]] if level else factors[0]),
                    "missing_before": float(move.before[margin.at[i]] if level else move.before[0]),
                    "missing_after": float(move.after[margin.at[i]] if level else move.after[0]),
                    "in_reach": move.in_reach,
                    "refitted": move.refitted,
                }
            )
    names = ["column", "margin", "at", "asked", "of", "standard_error", "unadjusted", "met", "moved", "by"]
    return DataFrame(lines, columns=[*names, "missing_before", "missing_after", "in_reach", "refitted"])


def factors_of(move: Move) -> np.ndarray:
    """Return by how much a column is moved, over members, (K,): the median factor of its mechanism's strength, or the log odds gained
    for each unit of its scale; of levels the factors of their odds, the last or an unstated one's being 1.
    """
    center = move.moves[:, 0]
    if move.way == "odds":
        return np.exp(center.mean(0))
    return np.median(center, 0) - (move.way == "tilt")


def margins_in_words(imputer: Imputer) -> list[str]:
    """Return a sentence for each column with a margin: what it implies of the missing values, and of the mechanism."""
    return [_sentence(imputer.codec_.columns[move.column], move) for move in imputer.moves_]


def unmet(imputer: Imputer) -> list[str]:
    """Return a sentence for each margin that weighing draws again does not reach, with what to do."""
    said = []
    for move in imputer.moves_:
        if not move.in_reach:
            column = imputer.codec_.columns[move.column]
            said.append(
                f"margins: of column {column.name!r} {move.margin.in_words(column)} is farther from the fitted model than its draws "
                "reach; what is imputed falls short of it. State what is known of why values are missing (direction, --direction), or "
                "ask whether the table is a sample of what the number is of."
            )
    return said


def _sentence(column: Column, move: Move) -> str:
    margin, factors = move.margin, factors_of(move)
    said = f"To have {margin.in_words(column)}, where the data alone give {_given(column, move)}, "
    if move.way == "odds":
        parts = [
            f"the odds of {column.levels[at]} among the missing must be {factors[at]:.3g} times as large (a share of "
            f"{move.after[at]:.3g}, not {move.before[at]:.3g})"
            for at in margin.at
        ]
        return f"{column.name}: {said}{' and '.join(parts)}."
    before, after = float(move.before[0]), float(move.after[0])
    far = f"{column.in_words(after)}, not {column.in_words(before)}"
    higher = "higher" if after > before else "lower"
    if column.transformed and min(before, after) > 0:
        moved = f"missing values must be {abs(after / before - 1):.0%} {higher}"
    else:
        moved = f"missing values must be {higher}"
    by_strength = move.way == "strength" and not move.refitted
    suggests = "the data and the mechanism suggest" if by_strength else "observed values of alike rows suggest"
    said = f"{column.name}: {said}{moved} than {suggests} (a mean of {far})"
    if by_strength:
        factor = float(factors[0])
        said += f"; the mechanism must be {factor:.2g} times as strong as the data's own"
        said += ", so that the other end goes missing" if factor < 0 else ""
    if move.refitted:
        said += "; the data's own fit does not reach that far, and the model was fitted again, with a mechanism that does"
    return said + "."


def _given(column: Column, move: Move) -> str:
    if move.margin.what == "mean":
        return column.in_words(float(move.unadjusted[0]))
    return " and ".join(f"{share:.3g}" for share in move.unadjusted)
