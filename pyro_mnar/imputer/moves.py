"""What moves the missing values of a column, and by how much: what a fitted imputer keeps of a margin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

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

    @property
    def targets(self) -> int:
        """R, how many numbers were drawn from the standard error."""
        return self.moves.shape[1] - 1

    def to_json(self) -> dict[str, object]:
        """Return it as plain data."""
        plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}
        return plain | {"margin": self.margin.to_json()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], members: int) -> Self:
        """Return what :meth:`to_json` wrote; ValueError or TypeError for anything else, or another number of ``members``."""
        arrays = {name: np.asarray(plain[name], float) for name in ("moves", "unadjusted", "met", "before", "after")}
        move = cls(**dict(plain) | arrays | {"margin": Margin.from_json(plain["margin"])})
        if move.way not in WAYS or type(move.column) is not int or type(move.in_reach) is not bool:
            raise ValueError(f"margins: got {plain['way']!r:.40}, expected one of {', '.join(WAYS)}, of a column")
        if move.moves.ndim != 3 or move.moves.shape[0] != members or 0 in move.moves.shape:
            raise ValueError(f"margins: got moves of shape {move.moves.shape}, expected some for each of {members} members")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("margins: got numbers that are not finite, expected finite ones")
        return move
