"""Rows with candidate draws in their holes, member by member, as the member's mechanism reads them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.analysis.candidates import Candidates
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.masking import split
from pyro_mnar.data.schema import Schema
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.draws.wide_draws import in_parts, names_of, warped
from pyro_mnar.imputer.tables.extremes import within_reach
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.model.mnar import MNAR


@dataclass(frozen=True)
class DrawnRows:
    """Some rows, filled with all draws of one member.

    Attributes:
        member: the fitted model.
        draws: (P,) places of its draws among all.
        rows: (n,) places of the rows.
        y: (P n, D), on the scale that the mechanism reads, draw by draw.
        seen: (P n, D) bool, True = observed.
    """

    member: MNAR
    draws: np.ndarray
    rows: np.ndarray
    y: Tensor
    seen: Tensor

    def apart(self, found: Tensor) -> Tensor:
        """Return what was found (P n, D) of :attr:`y` by draw and row, (P, n, D)."""
        return found.unflatten(0, (len(self.draws), len(self.rows)))


@torch.no_grad()
def drawn_rows(imputer: Imputer, table: Given, drawn: Candidates, rows: np.ndarray) -> Iterator[DrawnRows]:
    """Yield ``rows`` (n,) of a table with what was ``drawn`` for it, some at a time and of each member that has draws."""
    columns, values, mask, near = imputer.codec_.columns, table.values, table.mask, within_reach(table)
    names = names_of(table)
    cells = {j: encoded(drawn, name, columns[j]) for j, name in enumerate(names) if name in drawn.holes}
    for group, member in enumerate(imputer.members_):
        own = np.flatnonzero(drawn.groups == str(group))
        for some in in_parts(rows, len(own) * len(names)):
            filled = np.tile(values[some], (len(own), 1, 1))
            for j, found in cells.items():
                at = np.flatnonzero(table.missing[some, j])
                filled[:, at, j] = found[np.ix_(own, np.searchsorted(drawn.holes[names[j]], some[at]))]
            whole = np.ones((filled.size // len(names), len(names)), bool)
            x = torch.from_numpy(imputer.codec_.apply(filled.reshape(-1, len(names)), whole))
            seen = torch.from_numpy(mask[some]).repeat(len(own), 1)
            y = warped(member, torch.where(seen, near[some].repeat(len(own), 1), x.float()))
            yield DrawnRows(member, own, some, y, seen)


def encoded(drawn: Candidates, name: Hashable, column: Column) -> np.ndarray:
    """Return the draws of a column as numbers, (P, H), levels by their places."""
    cells = drawn.column(name)
    one = cells.to_frame(column.name) if hasattr(cells, "to_frame") else cells.reshape(-1, 1)
    return split(one, Schema((column,)))[0].reshape(len(drawn.groups), -1)
