"""Sensitivity of a fitted ``MNARImputer``: its draws, grouped by member, and its mechanism made stronger or weaker."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.faces.imputer import MNARImputer
from pyro_mnar.models import CategoryMasking, MixedMasking, SelfMasking
from pyro_mnar.models.category_masking import lookup
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
    return Completions(X, imputer.sample(X, n_draws), imputer.members_of(n_draws))


@torch.no_grad()
def strengthened(imputer: MNARImputer, done: Completions, factor: float, columns: Sequence[Any] | None = None) -> Completions:
    """Return the completed tables re-weighted as if the mechanism's slopes were ``factor`` times the fitted ones.

    The log odds of being missing gain (``factor`` - 1) times the slope, per unit of the value on the model's scale, and what is
    observed stays as it was fitted (:mod:`pyro_mnar.results.sensitivity`). 1 is the model as fitted; with 0 missing values follow the
    law of observed ones given the rest of the row (missing at random); with 2 they depend twice as strongly on what they are; below
    0, the other way. A probit's slope counts as that of the logit which is as steep in the middle: its own log odds grow with the
    square of the value, and twice those need not leave a law at all.

    Args:
        imputer: fitted with ``self-masking``.
        done: from :func:`completions`.
        factor: finite.
        columns: those whose mechanism is moved; all that have one by default.

    Raises:
        ValueError: for another mechanism, a column without one, a factor that is not finite, or tables that are not this imputer's.
    """
    declaration = imputer.declaration_
    if declaration["mechanism"] != "self-masking":
        raise ValueError(f"imputer: fitted with mechanism {declaration['mechanism']!r}, expected 'self-masking'")
    if not math.isfinite(factor):
        raise ValueError(f"factor: got {factor}, expected a finite number")
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
        x = imputer._scaled(values, complete)
        member: Any = imputer.members_[group]
        y, law = x if member.warp is None else member.warp(x)[0], member.mechanism
        pieces: list[Any] = law.mechanisms() if isinstance(law, MixedMasking) else [law]
        gain = torch.zeros_like(y)
        for piece in pieces:
            gain = gain.index_copy(-1, piece.columns, _log_odds(piece, y[:, piece.columns]))
        log_weights.append((factor - 1) * torch.where(moved, gain, 0.0).sum(-1).double().numpy())
    return done.reweight(np.stack(log_weights))


def _log_odds(law: SelfMasking | CategoryMasking, values: Tensor) -> Tensor:
    """Return the log odds of being missing that ``values`` (N, J) bring, at the rate where these are even: 4 F'(0) times the score."""
    middle = sum(weight / width for weight, width in zip(law.link.weights, law.link.widths, strict=True)) / math.sqrt(2 * math.pi)
    return 4 * middle * (lookup(law.by_level[law.index], values) if isinstance(law, CategoryMasking) else law.slope * values)
