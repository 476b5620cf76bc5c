"""Draws and points of a fitted imputer's moved columns (:mod:`pyro_mnar.imputer.margins.margin_fit`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from pyro_mnar.analysis.candidates import Candidates
from pyro_mnar.analysis.tilted import tilted_means
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.draws.drawn_rows import encoded
from pyro_mnar.imputer.draws.weighed_cells import rows_of, weighed_cells, with_gains
from pyro_mnar.imputer.draws.wide_draws import candidates_of, names_of
from pyro_mnar.imputer.points import DRAWS, most_probable
from pyro_mnar.imputer.rules.ruled_points import nearest_that_obey
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.infer.streams import RowStreams
from pyro_mnar.infer.torch_state import as_usual


def taken(imputer: Imputer, given: Given, drawn: Candidates, groups: Sequence[int]) -> tuple[Candidates, np.ndarray]:
    """Return candidates as they are moved to meet margins themselves, and which of them (M, N) the rows of M tables are taken from.

    Args:
        imputer: fitted.
        given: a table.
        drawn: its draws.
        groups: (M,) the members whose tables they are.
    """
    names = [str(group) for group in groups]
    moves = [move for move in imputer.moves_ if given.missing[:, move.column].any()]
    if not moves:
        return drawn, drawn.taken(names)
    cells = weighed_cells(imputer, given, drawn, {move.column: move.way for move in moves})

    def moved(target: int) -> Candidates:
        # Of every member that drew, of whose tables there may be none: points and means are of all.
        by_group = {move.column: {g: move.moves[int(g), target] for g in dict.fromkeys(drawn.groups)} for move in moves}
        return with_gains(drawn, cells, by_group)

    center, targets = moved(0), max(move.targets for move in moves)
    if not targets:
        return center, center.taken(names)
    # Of each member's tables one after the other meets another of the numbers.
    turn = np.array([1 + names[:m].count(names[m]) % targets for m in range(len(names))])
    index = np.zeros((len(names), drawn.log_weights.shape[1]), int)
    for target in np.unique(turn):
        index[turn == target] = moved(int(target)).taken(names)[turn == target]
    return center, index


@as_usual
def with_margins(imputer: Imputer, given: Given, result: Imputation) -> Imputation:
    """Return an imputation in the table's units with the rows moved that miss a value of a column with a margin.

    These rows have draws of their own, by importance weights, whatever the method of the others.

    Args:
        imputer: fitted.
        given: the table.
        result: what it is without margins.
    """
    if not imputer.moves_:
        return result
    some = np.flatnonzero(given.missing[:, [move.column for move in imputer.moves_]].any(1))
    if not len(some):
        return result
    part, at = rows_of(given, some), torch.from_numpy(some)
    members = range(len(imputer.members_))
    drawn = candidates_of(imputer, part, members)
    groups = imputer.members_of(len(result.draws)) if len(result.draws) else list(members)
    center, index = taken(imputer, part, drawn, groups)
    means, shares = result.means[at].numpy(), result.probabilities[at].numpy()
    draws, columns = result.draws[:, at].numpy(), imputer.codec_.columns
    points = _points(imputer, part, drawn) if imputer.point != "mean" else None
    filled = means.copy()
    holed = [(j, name) for j, name in enumerate(names_of(part)) if name in drawn.holes]
    for j, name in holed:
        cells, rows = encoded(drawn, name, columns[j]), drawn.holes[name]
        own = np.arange(len(rows))
        draws[:, rows, j] = cells[index[: len(draws)][:, rows], own]
        if not columns[j].circular:
            means[rows, j] = _over_members(center, cells, rows)
        for level in range(len(columns[j].levels)):
            shares[rows, j, level] = _over_members(center, (cells == level).astype(float), rows)
        found = means[rows, j] if points is None or columns[j].circular else np.median(cells[points[:, rows], own], 0)
        filled[rows, j] = found
    if imputer.point != "draw":
        filled = most_probable(imputer.codec_, torch.from_numpy(filled), torch.from_numpy(shares)).numpy()
    if part.known.rules:
        filled = nearest_that_obey(part, center, {j: encoded(drawn, name, columns[j]) for j, name in holed}, filled)
    seen = torch.from_numpy(part.mask)
    own_draws, own_means, own_shares, completed = (
        part.clone() for part in (result.draws, result.means, result.probabilities, result.completed)
    )
    own_draws[:, at], own_means[at] = torch.from_numpy(draws), torch.from_numpy(means)
    own_shares[at] = torch.from_numpy(shares).to(own_shares)
    completed[at] = torch.where(seen, completed[at], torch.from_numpy(filled))
    return replace(result, draws=own_draws, means=own_means, probabilities=own_shares, completed=completed)


def _points(imputer: Imputer, given: Given, drawn: Candidates) -> np.ndarray:
    """Return the draws (M, N) whose median a point is; one, of a member that the row draws, where a draw is wanted."""
    members = len(imputer.members_)
    if imputer.point == "median":
        return taken(imputer, given, drawn, imputer.members_of(DRAWS))[1]
    index = taken(imputer, given, drawn, range(members))[1]
    names = given.labels or list(range(len(given.mask)))
    chosen = RowStreams(imputer.seed, names).uniform("point", 1, (), torch.zeros(1))[0]
    member = (chosen.numpy() * members).astype(int).clip(max=members - 1)
    return index[member, np.arange(index.shape[1])][None]


def _over_members(drawn: Candidates, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    parts = [np.flatnonzero(drawn.groups == group) for group in dict.fromkeys(drawn.groups)]
    return np.mean([tilted_means(drawn.log_weights[np.ix_(own, rows)], values[own]) for own in parts], 0)
