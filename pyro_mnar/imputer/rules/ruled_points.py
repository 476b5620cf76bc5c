"""Imputations that obey rules: draws, and one value for each missing cell.

In rows where a rule is open in several cells, a point is of draws that obey (:mod:`pyro_mnar.imputer.rules.ruled_draws`): their mean,
their median cell by cell, or one of them. A mean of rows that obey linear equalities and inequalities obeys them too. Where rounding, a
median, levels or an ``if`` break a rule, the point is the draw that lies nearest to it, in standard deviations of the draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from pyro_mnar.analysis.candidates import Candidates
from pyro_mnar.imputation.ensemble import draws_of
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.rules.ruled_draws import Obeying, as_written, obeying, open_rows, rules_in, steps_of
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.infer.streams import RowStreams, distinct

#: Draws that a point is of, all members' together.
_DRAWS = 400
# Of weighted draws of a row, the share of its weight that has no part in what is nearest.
_RARE = 0.01


def obedient(imputer: Imputer, given: Given, found: Imputation, settings: dict[str, Any]) -> Imputation:
    """Return an imputation whose draws and points obey the rules of a table.

    Args:
        imputer: fitted.
        given: read by its codec.
        found: in the table's units.
        settings: of :func:`~pyro_mnar.imputation.ensemble.impute`.

    Raises:
        ValueError: naming a row for which no draw obeys.
    """
    rows, steps = open_rows(given), steps_of(given)
    ruled = sorted({j for rule in given.known.rules for j in rule.part.columns})
    at = np.zeros_like(given.mask)
    at[:, ruled] = given.missing[:, ruled]

    def rounded(part: Tensor) -> Tensor:
        numbers = part.numpy()
        return torch.from_numpy(np.where(at, given.within(as_written(given, np.nan_to_num(numbers), steps)), numbers))

    completed, draws, means = rounded(found.completed), rounded(found.draws), found.means
    if not len(rows):
        return replace(found, completed=completed, draws=draws)
    members, count = len(imputer.members_), len(found.draws)
    done = obeying(imputer, given, rows, max(-(-_DRAWS // members), -(-count // members)), settings)
    own = done.draws.reshape(members, -1, *done.draws.shape[1:])
    missing = given.missing[rows]
    shares = draws_of(count, members)
    chosen = np.concatenate([part[:share] for part, share in zip(own, shares, strict=True)])
    draws[:, rows] = torch.from_numpy(np.where(missing, chosen, draws[:, rows].numpy()))
    points = _points(imputer, given, done, completed.numpy()[rows], steps)
    completed[rows] = torch.from_numpy(np.where(missing, points, completed[rows].numpy()))
    center = done.draws.mean(0)
    means = means.clone()
    circular = np.array([column.circular for column in given.codec.columns])
    means[rows] = torch.from_numpy(np.where(missing & ~circular & done.open[:, None], center, means[rows].numpy()))
    return replace(found, completed=completed, draws=draws, means=means)


def nearest_that_obey(given: Given, weighted: Candidates, cells: Mapping[int, np.ndarray], points: np.ndarray) -> np.ndarray:
    """Return points of a table that obey its rules, (N, D): those given, or in rows where they break one, the nearest draw.

    Args:
        given: read by its codec.
        weighted: draws of its missing cells, all of which obey. The lightest, together ``_RARE`` of a row's weight, are no point.
        cells: by column the draws (P, H) of its missing cells, in the table's units.
        points: (N, D) in the table's units.
    """
    steps, ruled = steps_of(given), sorted({j for rule in given.known.rules for j in rule.part.columns})
    at = np.zeros_like(given.mask)
    at[:, ruled] = given.missing[:, ruled]
    found = np.where(at, given.within(as_written(given, np.where(at, points, 0.0), steps)), points)
    for i in open_rows(given).tolist():
        if all(bool(rule.part.holds(np.where(given.mask[i], given.values[i], found[i]))) for rule in rules_in(given, i)):
            continue
        holes = [j for j in np.flatnonzero(given.missing[i]).tolist() if j in cells]
        draws = np.stack([cells[j][:, int(given.missing[:i, j].sum())] for j in holes], 1)
        weights = np.zeros(len(draws))
        for group in np.unique(weighted.groups):
            own = weighted.groups == group
            weights[own] = softmax(weighted.log_weights[own, i])
        order = np.argsort(weights)
        likely = order[np.cumsum(weights[order]) > _RARE * weights.sum()]
        found[i, holes] = draws[likely][_nearest(draws[likely], points[i, holes])]
    return found


def _points(imputer: Imputer, given: Given, done: Obeying, points: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return a point of each of H rows, (H, D), given those that are made without rules."""
    labels = list(range(len(given.mask))) if given.labels is None else distinct(given.labels)
    own = [labels[i] for i in done.rows.tolist()]
    result = points.copy()
    which = RowStreams(imputer.seed, own).uniform("point", 1, (), torch.zeros(len(own), dtype=torch.float64))[0].numpy()
    for h, i in enumerate(done.rows.tolist()):
        draws, rules, missing = done.draws[:, h], rules_in(given, i), given.missing[i]
        if imputer.point == "draw":
            result[h] = draws[min(int(which[h] * len(draws)), len(draws) - 1)]
            continue
        wanted = _center(given, imputer.point, draws, result[h]) if done.open[h] else result[h]
        point = np.where(missing, as_written(given, wanted, steps), given.values[i])
        if not all(bool(rule.part.holds(point)) for rule in rules):
            point = draws[_nearest(draws[:, missing], wanted[missing])]
        result[h] = point
    return result


def _center(given: Given, point: str, draws: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the mean or the median of draws (M, D) of a row, levels by what answers for all of these."""
    found = draws.mean(0) if point == "mean" else np.median(draws, 0)
    for j, column in enumerate(given.codec.columns):
        if column.circular:
            found[j] = before[j]
        elif column.levels:
            shares = np.bincount(draws[:, j].astype(int), minlength=len(column.levels)) / len(draws)
            found[j] = column.typical(shares[None])[0]
    return found


def _nearest(draws: np.ndarray, wanted: np.ndarray) -> int:
    """Return which of draws (M, J) is nearest to a point (J,)."""
    scale = draws.std(0)
    return int((np.square((draws - wanted) / np.where(scale > 0, scale, 1.0))).sum(-1).argmin())
