"""Sensitivity of a fitted ``MNARImputer``: its draws, grouped by member, and its mechanism made stronger or weaker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_mnar.faces.imputer import MNARImputer
from pyro_mnar.results.sensitivity import Completions
from pyro_mnar.tables import split

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame


def completions(imputer: MNARImputer, X: ArrayLike | DataFrame, n_draws: int = 200) -> Completions:
    """Return completed tables of ``X`` to be moved and analysed, drawn from the members of the fitted ``imputer`` in turn.

    Args:
        imputer: fitted.
        X: (N, D) with its holes.
        n_draws: M; re-weighting needs some hundred, shifts no more than an analysis does.

    Raises:
        ValueError: before ``fit``, for fewer than one draw, or for columns that differ from training.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(30, 2))
        >>> x[x[:, 0] > 1, 0] = np.nan
        >>> fitted = MNARImputer(steps=2, members=2, progress=False).fit(x)
        >>> completions(fitted, x, 5).groups
        [0, 0, 0, 1, 1]
    """
    tables = imputer.sample(X, n_draws)
    members = len(imputer.members_)
    # As impute_ensemble deals draws out: in the members' order, the first ones having one more.
    groups = [i for i in range(members) for _ in range(n_draws // members + (i < n_draws % members))]
    return Completions(X, tables, groups)


@torch.no_grad()
def strengthened(imputer: MNARImputer, done: Completions, factor: float, columns: Sequence[Any] | None = None) -> Completions:
    """Return the completed tables re-weighted as if the log odds of being missing were ``factor`` times the fitted ones, plus a constant.

    The slope of a logit mechanism times ``factor``: 1 is the model as it was fitted, 0 has missing values follow the law of observed
    ones given the rest of the row (missing at random), 2 has them depend twice as strongly on what they are. What is observed stays as
    it was fitted, so the overall rate of missing values needs no care (see :mod:`pyro_mnar.results.sensitivity`).

    Args:
        imputer: fitted with ``self-masking``.
        done: from :func:`completions`.
        factor: 0 or more.
        columns: those whose mechanism is moved; all that have one by default.

    Raises:
        ValueError: for another mechanism, a column without one, a negative factor, or tables that are not this imputer's.
    """
    declaration = imputer.declaration_
    if declaration["mechanism"] != "self-masking":
        raise ValueError(f"imputer: fitted with mechanism {declaration['mechanism']!r}, expected 'self-masking'")
    if not 0 <= factor < np.inf:
        raise ValueError(f"factor: got {factor}, expected a finite number, 0 or more")
    names = [column.name for column in imputer.schema_.columns]
    known = [names[j] for j in declaration["columns"]]
    chosen = known if columns is None else list(columns)
    for name in chosen:
        if name not in known:
            raise ValueError(f"columns: got {name!r}, expected some of {', '.join(map(str, known))} (those with a mechanism)")
    if done.groups is None or len(set(done.groups)) > len(imputer.members_):
        raise ValueError("done: expected what completions(imputer, X) returned")
    mask = split(done.table, imputer.schema_, allow_empty=True)[1]
    moved = torch.from_numpy(~mask) & torch.tensor([name in chosen for name in names])
    log_weights = []
    for table, group in zip(done.tables, done.groups, strict=True):
        values, complete = split(table, imputer.schema_)
        law = imputer.members_[group].mask_law(imputer._scaled(values, complete))
        log_odds = torch.where(moved, law.log_missing - law.log_observed, 0.0)
        log_weights.append((factor - 1) * log_odds.sum(-1).double().numpy())
    return done.reweight(np.stack(log_weights))
