"""The draws of a column's missing cells, with what their log weights gain when the column is moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from pyro_mnar.analysis.candidates import Candidates
from pyro_mnar.data.schema import is_frame
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.draws.drawn_rows import drawn_rows, encoded
from pyro_mnar.imputer.draws.wide_draws import names_of
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.mechanisms.self_masking import DIRECTIONS

# A slope in every member, from which it is the mechanism that is made stronger.
_LEAST_SLOPE = 0.1


@dataclass(frozen=True)
class WeighedCells:
    """P draws of the H missing cells of a column.

    Attributes:
        rows: (H,) where they are, ascending.
        moved: (H,) bool: those that are moved, having no limit.
        inner, outer: (P, H) what log weights gain for each unit of a factor, from 0 to 1 and beyond; no numbers of levels.
        values: (P, H) numbers, of levels their places.
        levels: V, 0 of numbers.
    """

    rows: np.ndarray
    moved: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    values: np.ndarray
    levels: int

    def gain(self, own: np.ndarray, move: np.ndarray) -> np.ndarray:
        """Return what the log weights of the draws ``own`` (P',) gain, (P', H), by a move (K,).

        Example:
            >>> cells = WeighedCells(np.array([3]), np.array([True]), np.eye(1), 2 * np.eye(1), np.eye(1), 0)
            >>> [float(cells.gain(np.array([0]), np.array([factor]))[0, 0]) for factor in (-1, 0, 1, 2)]
            [-3.0, -1.0, 0.0, 2.0]
        """
        if self.levels:
            return np.where(self.moved, np.asarray(move)[self.values[own].astype(int)], 0.0)
        factor = float(move[0])
        part = min(max(factor, 0.0), 1.0)
        return (part - 1) * self.inner[own] + (factor - part) * self.outer[own]

    @property
    def still(self) -> np.ndarray:
        """The move (K,) that changes nothing."""
        return np.zeros(self.levels) if self.levels else np.ones(1)


def way_of(imputer: Imputer, j: int) -> str:
    """Return how a column is moved, a word of :data:`~pyro_mnar.imputer.moves.WAYS`."""
    specification = imputer.specification_
    if imputer.codec_.columns[j].levels:
        return "odds"
    if specification.any_latent or specification.any_own.get(j) not in DIRECTIONS:
        return "tilt"
    with torch.no_grad():
        slopes = [float(member.mechanism.own_effects()[j]) for member in imputer.members_ if member.mechanism is not None]
    sure = min(map(abs, slopes)) >= _LEAST_SLOPE and len({slope > 0 for slope in slopes}) == 1
    return "strength" if sure else "tilt"


@torch.no_grad()
def weighed_cells(imputer: Imputer, given: Given, drawn: Candidates, ways: Mapping[int, str]) -> dict[int, WeighedCells]:
    """Return the missing cells of columns that are moved, by column.

    Args:
        imputer: fitted.
        given: a table.
        drawn: its draws.
        ways: by column how it is moved.
    """
    columns, names, found = imputer.codec_.columns, names_of(given), {}
    for j in (j for j in ways if given.missing[:, j].any()):
        rows = np.flatnonzero(given.missing[:, j])
        n_levels = len(columns[j].levels)
        empty = np.zeros((0, 0) if n_levels else (len(drawn.groups), len(rows)))
        values = encoded(drawn, names[j], columns[j])
        found[j] = WeighedCells(rows, ~given.limited[rows, j], empty, empty.copy(), values, n_levels)
    numeric = [j for j, cells in found.items() if not cells.levels]
    whole = np.unique(np.concatenate([found[j].rows for j in numeric])) if numeric else np.arange(0)
    for part in drawn_rows(imputer, given, drawn, whole):
        for j in numeric:
            cells = found[j]
            own = np.flatnonzero(np.isin(part.rows, cells.rows))
            at = np.searchsorted(cells.rows, part.rows[own])
            for into, factor in ((cells.inner, 0.0), (cells.outer, 2.0)):
                if ways[j] == "tilt":
                    gain = part.y[:, j]
                else:
                    assert part.member.mechanism is not None
                    gain = part.member.mechanism.gain(part.y, factor, part.seen)[:, j] * (1 if factor else -1)
                into[np.ix_(part.draws, at)] = np.where(cells.moved[at], part.apart(gain).double().numpy()[:, own], 0.0)
    return found


def with_gains(drawn: Candidates, cells: Mapping[int, WeighedCells], moves: Mapping[int, Mapping[str, np.ndarray]]) -> Candidates:
    """Return draws with what their log weights gain.

    Args:
        drawn: draws of a table.
        cells: by column its missing cells.
        moves: by column, and then by group, the move (K,).
    """
    gains = np.zeros(drawn.log_weights.shape)
    for j, own_moves in moves.items():
        for group, move in own_moves.items():
            own = np.flatnonzero(drawn.groups == group)
            gains[np.ix_(own, cells[j].rows)] += cells[j].gain(own, move)
    return drawn.weighted(gains)


def rows_of(given: Given, rows: np.ndarray) -> Given:
    """Return some rows (n,) of a table, of which nothing is doubted any more."""
    table = given.table.iloc[rows] if is_frame(given.table) else given.table[rows]
    every = frozenset(column.name for column in given.codec.columns)
    ends = None if given.ends is None else given.ends[rows]
    values, mask, known = given.values[rows], given.mask[rows], given.known.of_rows(rows)
    return replace(given, X=table, table=table, values=values, mask=mask, ends=ends, declared=every, known=known)
