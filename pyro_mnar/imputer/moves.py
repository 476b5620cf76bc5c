"""What moves the missing values of a column, and by how much: what a fitted imputer keeps of a margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.margins import Margin

#: Ways to move: the strength of the column's mechanism; a tilt, which shifts; levels' odds.
WAYS = ("strength", "tilt", "odds")


@dataclass(frozen=True)
class Move:
    """How the missing values of a column are moved so that the whole column meets its margin.

    Attributes:
        margin: what is known, learned.
        column: the place of its column, of D.
        way: a word of ``WAYS``.
        moves: (G, 1 + R, K) for each member what meets the margin itself, and R numbers drawn from its standard error (none where it
            has none): the factor of the mechanism's strength, or 1 and the log odds gained for each unit of the mechanism's scale,
            K = 1; or the logarithms of the odds' factors, for each of K levels.
        unadjusted, met: (k,) the means, shares or quantile's share of the whole column, before and after; over members.
        before, after: of the missing cells alone the mean, (1,), or the shares of all levels, (V,).
        in_reach: whether the draws that were weighed again were enough.
        refitted: whether they are those of a later fit, nearer to the margin; ``unadjusted`` and ``before`` are of the first.
    """

    margin: Margin
    column: int
    way: str
    moves: np.ndarray
    unadjusted: np.ndarray
    met: np.ndarray
    before: np.ndarray
    after: np.ndarray
    in_reach: bool
    refitted: bool = False

    @property
    def targets(self) -> int:
        """R, how many numbers were drawn from the standard error."""
        return self.moves.shape[1] - 1

    def to_json(self) -> dict[str, object]:
        """Return it as plain data."""
        plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}
        return plain | {"margin": self.margin.to_json()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], members: int, columns: Sequence[Column]) -> Self:
        """Return what :meth:`to_json` wrote of one of ``columns``; ValueError or TypeError for anything else, or other ``members``."""
        arrays = {name: np.asarray(plain[name], float) for name in ("moves", "unadjusted", "met", "before", "after")}
        move = cls(**dict(plain) | arrays | {"margin": Margin.from_json(plain["margin"])})
        if (
            type(move.column) is not int
            or not 0 <= move.column < len(columns)
            or not type(move.in_reach) is type(move.refitted) is bool
        ):
            raise ValueError(f"margins: got column {move.column!r:.40}, expected the place of one of {len(columns)}")
        levels, k = len(columns[move.column].levels), len(move.margin.values)
        if move.way not in WAYS or (move.way == "odds") != bool(levels) or (move.margin.what == "share") != bool(levels):
            raise ValueError(f"margins: got {move.way!r:.40}, expected one of {', '.join(WAYS)} that fits the column")
        if levels and not all(type(at) is int and 0 <= at < levels for at in move.margin.at):
            raise ValueError(f"margins: got levels {move.margin.at!r:.60}, expected places among {levels}")
        width = levels or 1
        sizes = {
            "moves": (members, *move.moves.shape[1:2], width),
            "unadjusted": (k,),
            "met": (k,),
            "before": (width,),
            "after": (width,),
        }
        for name, size in sizes.items():
            if arrays[name].shape != size or 0 in size:
                raise ValueError(f"margins: got {name} of shape {arrays[name].shape}, expected {size}")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("margins: got numbers that are not finite, expected finite ones")
        return move
