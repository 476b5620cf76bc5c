"""Sensitivity of a fitted ``MNARImputer``: its draws, grouped by member, and its mechanism made stronger or weaker.

Of a mechanism made stronger, what is observed stays as it was fitted (:mod:`pyro_mnar.analysis.completions`), and the log odds of being
missing, those of the fitted mechanism at a row's values, are multiplied. Beyond 1, and below 0 the other way, they gain or lose in
proportion to the score, as :meth:`~pyro_mnar.distributions.links.Link.gain` says: a probit's log odds grow with the square of the
value, and twice those need not leave a law at all.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
import torch

from pyro_mnar.analysis.candidates import Candidates
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.masking import split
from pyro_mnar.data.schema import Schema
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.extremes import warn_of_far, within_reach
from pyro_mnar.imputer.tables import Given, given
from pyro_mnar.imputer.wide_draws import candidates_of, in_parts, warped
from pyro_mnar.infer.torch_state import as_usual


@as_usual
def completions(imputer: Imputer, given: Given, n_draws: int) -> Completions:
    """Return what :meth:`~pyro_mnar.imputer.imputer.MNARImputer.completions` does, of a table that was read."""
    if n_draws < 1:
        raise ValueError(f"n_draws: got {n_draws}, expected at least 1")
    warn_of_far(given)
    groups = imputer.members_of(n_draws)
    candidates = candidates_of(imputer, given, groups)
    return Completions(given.X, candidates.tables([str(group) for group in groups]), groups, candidates)


@as_usual
@torch.no_grad()
def strengthened(imputer: Imputer, done: Completions, factor: float, columns: Sequence[Hashable] | None = None) -> Completions:
    """Return what :meth:`~pyro_mnar.imputer.imputer.MNARImputer.strengthened` does."""
    specification, codec = imputer.specification_, imputer.codec_
    if not specification.separate:
        raise ValueError(f"imputer: fitted with mechanism {specification.mechanism!r}, expected 'auto' or 'self-masking'")
    if specification.latent:
        raise ValueError(
            "imputer: masks read the row's latent, of which completed tables have none; expected a fit without (--direction)"
        )
    if not math.isfinite(factor):
        raise ValueError(f"factor: got {factor}, expected a finite number")
    names = [column.name for column in codec.columns]
    known = [names[j] for j in specification.own]
    chosen = known if columns is None else list(columns)
    for name in chosen:
        if name not in known:
            raise ValueError(f"columns: got {name!r}, expected some of {', '.join(map(str, known))} (those with a mechanism)")
    if done.groups is None or len(set(done.groups)) > len(imputer.members_):
        raise ValueError("done: expected what imputer.completions(X) returned")
    table, drawn = given(imputer, done.table), done.drawn
    values, mask, near = table.values, table.mask, within_reach(table)
    moved = torch.from_numpy(table.missing & ~table.limited) & torch.tensor([name in chosen for name in names])
    log_weights, rows = np.zeros(drawn.log_weights.shape), np.flatnonzero(moved.any(1).numpy())
    cells = {j: _encoded(drawn, name, codec.columns[j]) for j, name in enumerate(names) if name in drawn.holes}
    for group, member in enumerate(imputer.members_):
        own = np.flatnonzero(drawn.groups == str(group))
        for some in in_parts(rows, len(own) * len(names)):
            filled = np.tile(values[some], (len(own), 1, 1))
            for j, found in cells.items():
                at = np.flatnonzero(table.missing[some, j])
                filled[:, at, j] = found[np.ix_(own, np.searchsorted(drawn.holes[names[j]], some[at]))]
            x = torch.from_numpy(codec.apply(filled.reshape(-1, len(names)), np.ones((filled.size // len(names), len(names)), bool)))
            seen = torch.from_numpy(mask[some]).repeat(len(own), 1)
            y = warped(member, torch.where(seen, near[some].repeat(len(own), 1), x.float()))
            assert member.mechanism is not None
            gain = member.mechanism.gain(y, factor, seen).unflatten(0, (len(own), len(some)))
            log_weights[np.ix_(own, some)] = torch.where(moved[some], gain, 0.0).sum(-1).double().numpy()
    return done.reweight(log_weights)


def _encoded(drawn: Candidates, name: Hashable, column: Column) -> np.ndarray:
    """Return the draws of a column, (P, H), levels by their places."""
    cells = drawn.column(name)
    one = cells.to_frame(column.name) if hasattr(cells, "to_frame") else cells.reshape(-1, 1)
    return split(one, Schema((column,)))[0].reshape(len(drawn.groups), -1)
