"""Sensitivity of a fitted ``MNARImputer``: its draws, grouped by member, and its mechanism made stronger or weaker.

Of a mechanism made stronger, what is observed stays as it was fitted (:mod:`pyro_mnar.analysis.completions`), and the log odds of being
missing, those of the fitted mechanism at a row's values, are multiplied. Beyond 1, and below 0 the other way, they gain or lose in
proportion to the score, as :meth:`~pyro_mnar.distributions.links.Link.gain` says: a probit's log odds grow with the square of the
value, and twice those need not leave a law at all.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
import torch

from pyro_mnar.analysis.candidates import Candidates
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.data.kinds.dates import times_in
from pyro_mnar.data.schema import is_frame
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.draws.drawn_rows import drawn_rows
from pyro_mnar.imputer.draws.wide_draws import candidates_of
from pyro_mnar.imputer.margins.margins import taken
from pyro_mnar.imputer.tables.extremes import warn_of_far
from pyro_mnar.imputer.tables.given import Given, given
from pyro_mnar.infer.checks import check_counts
from pyro_mnar.infer.torch_state import as_usual


@as_usual
def completions(imputer: Imputer, given: Given, n_draws: int, columns: Sequence[Hashable] | None = None) -> Completions:
    """Return what :meth:`~pyro_mnar.imputer.imputer.MNARImputer.completions` does, of a table that was read.

    Dates are points in time there, where they are text or numbers such as 20241231 in the table.

    Args:
        imputer: fitted.
        given: read by its codec.
        n_draws: completed tables.
        columns: those of a DataFrame that the tables are to have, all by default; rows are tilted by all that is drawn of them.

    Raises:
        ValueError: for no draws.
    """
    check_counts(n_draws=n_draws)
    warn_of_far(given)
    given = with_times(given)
    groups = imputer.members_of(n_draws)
    candidates, index = taken(imputer, given, candidates_of(imputer, given, groups), groups)
    table: Any = given.X
    if columns is not None:
        some: Any = list(columns)
        table, candidates = table[some], replace(candidates, template=candidates.template[some])
    return Completions(table, [candidates.filled(row) for row in index], groups, candidates)


def with_times(given: Given) -> Given:
    """Return a table whose dates are points in time, which can be moved by days and averaged, where they are text or digits.

    A column with cells that do not exist stays as it is.
    """
    X: Any = given.X
    columns = [column for j, column in enumerate(given.codec.columns) if column.kind == "date" and not given.absent[:, j].any()]
    if not columns or not is_frame(X) or not is_frame(given.table):
        return given
    frames = [X.copy(), given.table.copy()]
    for column in columns:
        for frame in frames:
            if column.name in frame:
                frame[column.name] = times_in(frame[column.name])
    return replace(given, X=frames[0], table=frames[1])


@as_usual
def strengthened(imputer: Imputer, done: Completions, factor: float, columns: Sequence[Hashable] | None = None) -> Completions:
    """Return what :meth:`~pyro_mnar.imputer.imputer.MNARImputer.strengthened` does."""
    specification, names = imputer.specification_, [column.name for column in imputer.codec_.columns]
    if not specification.separate:
        raise ValueError(f"imputer: fitted with mechanism {specification.mechanism!r}, expected 'auto' or 'self-masking'")
    if specification.any_latent and not specification.own_alone:
        raise ValueError(
            "imputer: masks read the row's latent, of which completed tables have none; expected a fit without (--direction)"
        )
    if not isinstance(factor, Real) or not math.isfinite(factor):
        raise ValueError(f"factor: got {factor}, expected a finite number")
    known = [names[j] for j in specification.own_alone]
    chosen = known if columns is None else list(columns)
    for name in chosen:
        if name not in known:
            raise ValueError(f"columns: got {name!r}, expected some of {', '.join(map(str, known))} (those with a mechanism)")
    if not isinstance(done, Completions) or done.groups is None or len(set(done.groups)) > len(imputer.members_):
        raise ValueError("done: expected what imputer.completions(X) returned")
    return done.reweight(gains(imputer, given(imputer, done.table), done.drawn, [factor], chosen)[0])


@as_usual
@torch.no_grad()
def gains(
    imputer: Imputer, table: Given, drawn: Candidates, factors: Sequence[float], columns: Sequence[Hashable] | None = None
) -> np.ndarray:
    """Return what the log odds of being missing gain where the mechanism is made stronger, (F, P, N), of P draws and N rows.

    Args:
        imputer: fitted; members whose masks read the latent gain nothing.
        table: read by its codec.
        drawn: of its missing cells.
        factors: of the log odds, F.
        columns: those whose mechanism is meant, all by default.
    """
    chosen = np.array([columns is None or column.name in columns for column in imputer.codec_.columns])
    moved, found = table.missing & ~table.limited & chosen, np.zeros((len(factors), *drawn.log_weights.shape))
    for part in drawn_rows(imputer, table, drawn, np.flatnonzero(moved.any(1))):
        assert part.member.mechanism is not None
        if part.member.mechanism.reads_latent:
            continue  # what these members suppose has no strength of the own value alone
        for k, factor in enumerate(factors):
            gain = part.member.mechanism.gain(part.y, factor, part.seen)
            own = torch.where(torch.from_numpy(moved[part.rows]), part.apart(gain), 0.0)
            found[k][np.ix_(part.draws, part.rows)] = own.sum(-1).double().numpy()
    return found
