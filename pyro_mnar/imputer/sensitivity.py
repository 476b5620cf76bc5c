"""Sensitivity of a fitted ``MNARImputer``: its draws, grouped by member, and its mechanism made stronger or weaker."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_mnar.analysis.candidates import Candidates
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.data.columns import Column
from pyro_mnar.data.masking import split
from pyro_mnar.data.schema import Schema
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.reasons import own_columns
from pyro_mnar.imputer.wide_draws import candidates_of, in_parts, warped

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame


def completions(imputer: MNARImputer, X: ArrayLike | DataFrame, n_draws: int = 200) -> Completions:
    """Return completed tables of ``X`` to be moved and analyzed, drawn from the members of the fitted ``imputer`` in turn.

    Args:
        imputer: fitted.
        X: (N, D) with its holes.
        n_draws: M, tables to be analyzed; tilts resample them from some hundred draws of each member, however few these are
            (:mod:`pyro_mnar.imputer.wide_draws`).

    Raises:
        ValueError: before ``fit``, for fewer than one draw, or for columns that differ from training.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(30, 2))
        >>> x[x[:, 0] > 1, 0] = np.nan
        >>> fitted = MNARImputer(steps=2, members=2, progress=False).fit(x)
        >>> completions(fitted, x, 5).groups
        [0, 0, 0, 1, 1]
    """
    if n_draws < 1:
        raise ValueError(f"n_draws: got {n_draws}, expected at least 1")
    groups = imputer.members_of(n_draws)
    candidates = candidates_of(imputer, X, groups)
    return Completions(X, candidates.tables([str(group) for group in groups]), groups, candidates)


@torch.no_grad()
def strengthened(imputer: MNARImputer, done: Completions, factor: float, columns: Sequence[Any] | None = None) -> Completions:
    """Return the completed tables re-weighted as if the mechanism were ``factor`` times as strong as the fitted one.

    What is observed stays as it was fitted (:mod:`pyro_mnar.analysis.completions`), and the log odds of being missing, those of the
    fitted mechanism at a row's values, are multiplied: with 0 missing values follow the law of observed ones given the rest of the row
    (missing at random), 1 is the model as fitted. Beyond 1, and below 0 the other way, they gain or lose in proportion to the score,
    as :meth:`~pyro_mnar.distributions.links.Link.gain` says: a probit's log odds grow with the square of the value, and twice those
    need not leave a law at all.

    Args:
        imputer: fitted with ``auto`` or ``self-masking``, its masks not reading the row's latent.
        done: from :func:`completions`.
        factor: finite.
        columns: those whose mechanism is moved; all that have one by default.

    Raises:
        ValueError: for another mechanism, a column without one, a factor that is not finite, or tables that are not this imputer's.
    """
    declaration = imputer.declaration_
    if declaration["mechanism"] not in ("auto", "self-masking"):
        raise ValueError(f"imputer: fitted with mechanism {declaration['mechanism']!r}, expected 'auto' or 'self-masking'")
    if declaration["latent"]:
        raise ValueError(
            "imputer: masks read the row's latent, of which completed tables have none; expected a fit without (--direction)"
        )
    if not math.isfinite(factor):
        raise ValueError(f"factor: got {factor}, expected a finite number")
    names = [column.name for column in imputer.schema_.columns]
    known = [names[j] for j in own_columns(imputer)]
    chosen = known if columns is None else list(columns)
    for name in chosen:
        if name not in known:
            raise ValueError(f"columns: got {name!r}, expected some of {', '.join(map(str, known))} (those with a mechanism)")
    if done.groups is None or len(set(done.groups)) > len(imputer.members_):
        raise ValueError("done: expected what completions(imputer, X) returned")
    (values, mask), drawn = split(done.table, imputer.schema_, allow_empty=True), done.drawn
    moved = torch.from_numpy(~mask) & torch.tensor([name in chosen for name in names])
    log_weights, rows = np.zeros(drawn.log_weights.shape), np.flatnonzero(moved.any(1).numpy())
    cells = {j: _encoded(drawn, name, imputer.schema_.columns[j]) for j, name in enumerate(names) if name in drawn.holes}
    members: list[Any] = imputer.members_
    for group, member in enumerate(members):
        own = np.flatnonzero(drawn.groups == str(group))
        for some in in_parts(rows, len(own) * len(names)):
            filled = np.tile(values[some], (len(own), 1, 1))
            for j, found in cells.items():
                at = np.flatnonzero(~mask[some, j])
                filled[:, at, j] = found[np.ix_(own, np.searchsorted(drawn.holes[names[j]], some[at]))]
            x = imputer._scaled(filled.reshape(-1, len(names)), np.ones((len(own) * len(some), len(names)), bool))
            seen = torch.from_numpy(np.tile(mask[some], (len(own), 1)))
            gain = member.mechanism.gain(warped(member, x), factor, seen).unflatten(0, (len(own), len(some)))
            log_weights[np.ix_(own, some)] = torch.where(moved[some], gain, 0.0).sum(-1).double().numpy()
    return done.reweight(log_weights)


def _encoded(drawn: Candidates, name: Any, column: Column) -> np.ndarray:
    """Return the draws of a column, (P, H), levels by their places."""
    cells = drawn.column(name)
    one: Any = cells.to_frame(column.name) if hasattr(cells, "to_frame") else cells.reshape(-1, 1)
    return split(one, Schema((column,)))[0].reshape(len(drawn.groups), -1)
