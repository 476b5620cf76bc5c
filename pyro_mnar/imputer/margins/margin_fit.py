r"""How the missing values of columns must move so that the whole columns meet what is known of them.

What is observed stays as it was fitted, and the log odds of being missing gain h(y), y being the value on the scale that the mechanism
reads (:mod:`pyro_mnar.analysis.tilted`). One number a column is free:

- where the column's mask reads its own value, and members agree on which end goes missing, the strength of that
  (:mod:`pyro_mnar.imputer.sensitivity`);
- of other columns of numbers h = lambda y: a normal cell is shifted by lambda times its variance, on the line where the column is
  modeled (of a positive column, multiplied);
- of levels h is a number for each: their odds among what is missing are multiplied.

Each member is moved by a number of its own, so that each meets the margin, and draws of all do. Of a margin with a standard error the
members' draws meet ``TARGETS`` numbers of a normal law in turn, whose scores are spread evenly and have variance 1. Where rows miss
several such columns, these are met in turn until all are. Rows with weights count for these: what is met is the
weighted mean. Beside rules the draws that are weighed obey them (:mod:`pyro_mnar.imputer.rules.ruled_candidates`), and so do those
that are taken: what is met is met by the law of values that obey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from pyro_mnar.analysis.candidates import Candidates
from pyro_mnar.analysis.completions import LEAST_EFFECTIVE
from pyro_mnar.analysis.tilted import odds_that_meet, tilted_means, where_it_meets
from pyro_mnar.data.margins import Margin
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.draws.weighed_cells import WeighedCells, rows_of, way_of, weighed_cells, with_gains
from pyro_mnar.imputer.draws.wide_draws import candidates_of
from pyro_mnar.imputer.moves import Move
from pyro_mnar.imputer.tables.given import Given

#: Numbers that each member's draws meet, of a margin with a standard error.
TARGETS = 10
# Rounds over columns of which a row may miss several, and by how much moves then still change.
_ROUNDS, _LEFT = 50, 1e-8
# Share of the missing cells that a number drawn from a standard error leaves to either side.
_LEAST_SHARE = 1e-3
# Share of the rows that may have too few effective draws, and relative distance from a margin that is met.
_FEW, _NEAR = 0.05, 1e-3

_Array = NDArray[np.float64]


def met_margins(imputer: Imputer, given: Given, margins: Mapping[int, Margin]) -> list[Move]:
    """Return how a fitted imputer meets ``margins``, by column, on the table of its training."""
    ways = {j: way_of(imputer, j) for j in margins}
    some, weights = np.flatnonzero(given.missing[:, list(margins)].any(1)), _weights(given)
    part = rows_of(given, some)
    groups = [str(i) for i in range(len(imputer.members_))]
    drawn = candidates_of(imputer, part, range(len(groups)))
    cells = weighed_cells(imputer, part, drawn, ways)
    targets = TARGETS if any(any(margin.errors) for margin in margins.values()) else 0
    scores = {j: _scores(margin, len(groups), targets, imputer.seed + j) for j, margin in margins.items()}
    sums = {}
    for j, margin in margins.items():
        seen, size = given.mask[:, j], float(weights[~given.absent[:, j]].sum())
        own = (weights[seen], weights[some[cells[j].rows]])
        sums[j] = _Sums(margin, given.values[seen, j], size, cells[j], scores[j], *own)
    by_group = [_solved(sums, drawn, group, at, targets) for at, group in enumerate(groups)]
    moves = {j: np.stack([found[j] for found in by_group]) for j in margins}
    after = with_gains(drawn, cells, {j: dict(zip(groups, own[:, 0], strict=True)) for j, own in moves.items()})
    effective, found = after.effective(groups), []
    for j, margin in margins.items():
        unadjusted, met = (sums[j].of_whole(weighted, groups) for weighted in (drawn, after))
        few = effective[cells[j].rows[cells[j].moved]] < LEAST_EFFECTIVE
        aimed = np.array(margin.at if margin.what == "quantile" else margin.values)
        near = np.abs(met - aimed) <= _NEAR * np.maximum(np.abs(aimed), np.abs(met - unadjusted))
        in_reach = bool(near.all() and (not few.size or few.mean() <= _FEW))
        first, last = (sums[j].of_missing(weighted, groups) for weighted in (drawn, after))
        found.append(Move(margin, j, ways[j], moves[j], unadjusted, met, first, last, in_reach))
    return found


class _Sums:
    """What a margin leaves for the missing cells of its column: sums of K functions of them.

    Args:
        margin: what is known.
        seen: (n,) the column's observed values.
        size: the weight of the rows in which the column's cells exist.
        cells: the missing ones.
        scores: (G, 1 + R, K) in standard errors, what each member is to meet.
        seen_weights, weights: (n,) and (H,), what the rows of both count for.
    """

    def __init__(
        self, margin: Margin, seen: _Array, size: float, cells: WeighedCells, scores: _Array, seen_weights: _Array, weights: _Array
    ) -> None:
        self.margin, self.seen, self.size, self.cells, self.scores = margin, seen, size, cells, scores
        self.seen_weights, self.weights = seen_weights, weights

    def functions(self, values: _Array, numbers: _Array) -> _Array:
        """Return what is summed of ``values`` (...), (K, ...), given the known numbers (K,)."""
        if self.margin.what == "mean":
            return values[None]
        if self.margin.what == "quantile":
            return (values[None] <= numbers[0]).astype(float)
        return np.stack([(values == at).astype(float) for at in self.margin.at])

    def solved(self, log_weights: _Array, own: NDArray[np.intp], at: int, target: int, start: _Array) -> _Array:
        """Return the move (K',) that meets the ``target``-th number of the member ``at``, given log weights (P', H) of its draws."""
        margin, cells = self.margin, self.cells
        numbers = np.array(margin.values) + np.array(margin.errors) * self.scores[at, target]
        shares = np.array(margin.at) if margin.what == "quantile" else numbers
        wanted = self.size * shares - (self.functions(self.seen, numbers) * self.seen_weights).sum(1)
        values, holes = cells.values[own], float(self.weights.sum())
        if margin.what != "mean":
            wanted = wanted.clip(_LEAST_SHARE * holes, (1 - _LEAST_SHARE) * holes)
        if cells.levels:
            shares = np.stack([tilted_means(log_weights, (values == level).astype(float)) for level in range(cells.levels)], 1)
            places = np.array(margin.at, int)
            left = wanted - (shares[~cells.moved][:, places] * self.weights[~cells.moved, None]).sum(0)
            return odds_that_meet(shares[cells.moved], places, left, self.weights[cells.moved])
        summed = self.functions(values, numbers)[0]

        def total(move: float) -> float:
            return float((self.weights * tilted_means(log_weights + cells.gain(own, np.array([move])), summed)).sum())

        return np.array([where_it_meets(total, float(wanted[0]), float(start[0]))])

    def of_whole(self, weighted: Candidates, groups: Sequence[str]) -> _Array:
        """Return means of the functions over the whole column, (K,), as the mean over members."""
        numbers, found = np.array(self.margin.values), []
        seen = (self.functions(self.seen, numbers) * self.seen_weights).sum(1)
        for group in groups:
            own = np.flatnonzero(weighted.groups == group)
            log_weights = weighted.log_weights[np.ix_(own, self.cells.rows)]
            sums = [(self.weights * tilted_means(log_weights, one)).sum() for one in self.functions(self.cells.values[own], numbers)]
            found.append((seen + np.array(sums)) / self.size)
        return np.mean(found, 0)

    def of_missing(self, weighted: Candidates, groups: Sequence[str]) -> _Array:
        """Return the mean of the column's missing cells, (1,), or the shares of its levels, (V,), over members."""
        cells, found = self.cells, []
        for group in groups:
            own = np.flatnonzero(weighted.groups == group)
            log_weights, values = weighted.log_weights[np.ix_(own, cells.rows)], cells.values[own]
            parts = [values == level for level in range(cells.levels)] or [values]
            found.append([np.average(tilted_means(log_weights, part), weights=self.weights) for part in parts])
        return np.mean(found, 0)


def _solved(sums: Mapping[int, _Sums], drawn: Candidates, group: str, at: int, targets: int) -> dict[int, _Array]:
    """Return by column the moves (1 + R, K) of a group."""
    own = np.flatnonzero(drawn.groups == group)
    moves: dict[int, list[_Array]] = {j: [] for j in sums}
    start = {j: one.cells.still for j, one in sums.items()}
    for target in range(1 + targets):
        current = dict(start)
        for _ in range(_ROUNDS):
            before = dict(current)
            for j, one in sums.items():
                log_weights = drawn.log_weights[np.ix_(own, one.cells.rows)]
                for k in (k for k in sums if k != j):
                    _, ours, theirs = np.intersect1d(one.cells.rows, sums[k].cells.rows, return_indices=True)
                    log_weights[:, ours] += sums[k].cells.gain(own, current[k])[:, theirs]
                current[j] = one.solved(log_weights, own, at, target, start[j])
            if len(sums) == 1 or all(np.abs(current[j] - before[j]).max() < _LEFT for j in sums):
                break
        start = current if target == 0 else start
        for j, move in current.items():
            moves[j].append(move)
    return {j: np.stack(found) for j, found in moves.items()}


def _weights(given: Given) -> _Array:
    """Return what rows count for, (N,)."""
    return np.ones(len(given.mask)) if given.weights is None else given.weights


def _scores(margin: Margin, members: int, targets: int, seed: int) -> _Array:
    """Return scores (G, 1 + R, K): 0, and then evenly spread normal ones of mean 0 and variance 1, in another order each."""
    even = ndtri((np.arange(targets) + 0.5) / max(1, targets))
    even = even / even.std() if targets else even
    generator, size = np.random.default_rng(seed), (members, len(margin.values))
    found = np.stack([generator.permutation(even) for _ in range(members * len(margin.values))]).reshape(*size, targets)
    return np.concatenate([np.zeros((members, 1, len(margin.values))), found.transpose(0, 2, 1)], 1)
