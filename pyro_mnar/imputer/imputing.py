"""Imputation by a fitted ``MNARImputer``: drawn once, in a model's units, and taken to the table's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.imputation.ensemble import impute, score_ensemble
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.draw_settings import PARTICLES, settings_of
from pyro_mnar.imputer.margins.margins import with_margins
from pyro_mnar.imputer.points import points_of, sines, summands
from pyro_mnar.imputer.rules.ruled_points import obedient
from pyro_mnar.imputer.tables.extremes import refuse_unfilled, warn_of_far, within_reach
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.infer.checks import check_counts
from pyro_mnar.infer.progress import whole
from pyro_mnar.infer.torch_state import as_usual

if TYPE_CHECKING:
    from pandas import DataFrame

#: The most particles of each row and member that a tolerance may take.
_MOST = 3200


class Imputed(NamedTuple):
    """An imputation in a model's units, ``raw``, and the same in the table's."""

    raw: Imputation
    result: Imputation


def imputed(imputer: Imputer, given: Given, draws: int = 0, particles: int | None = None, method: str = "importance") -> Imputed:
    """Return the imputation of a table by a fitted imputer; arguments as of :meth:`~pyro_mnar.imputer.imputer.MNARImputer.impute`."""
    with whole("imputing", imputer.progress):
        raw = drawn(imputer, given, draws, particles, method)
        return Imputed(raw, with_margins(imputer, given, in_units(imputer, given, raw, method)))


def filled(imputer: Imputer, given: Given) -> DataFrame | np.ndarray:
    """Return a table with the points that the imputer wants in its holes."""
    return given.complete([imputed(imputer, given).result.completed.numpy()])[0]


@as_usual
def mean_bound(imputer: Imputer, given: Given, particles: int) -> float:
    """Return what :meth:`~pyro_mnar.imputer.imputer.MNARImputer.score` does, of a table that was read."""
    seed, n_jobs = imputer.seed, imputer.n_jobs
    rows = score_ensemble(imputer.members_, given.x, given.seen, limits=given.limits, particles=particles, seed=seed, n_jobs=n_jobs)
    return float((rows + torch.from_numpy(given.codec.log_jacobian(given.values, given.mask))).mean())


@as_usual
def drawn(imputer: Imputer, given: Given, draws: int = 0, particles: int | None = None, method: str = "importance") -> Imputation:
    """Return the imputation of a table in a model's units, after a warning that names values too far out for it.

    Args:
        imputer: fitted.
        given: read by its codec.
        draws, particles, method: as of :meth:`~pyro_mnar.imputer.imputer.MNARImputer.impute`.
    """
    warn_of_far(given)
    check_counts(0, draws=draws)
    most = PARTICLES if imputer.tolerance is None else _MOST
    settings = settings_of(imputer, given, most if particles is None else particles, method)
    with whole("imputing", imputer.progress):
        return impute(imputer.members_, within_reach(given), given.seen, draws=draws, functions=summands(given.codec), **settings)


@as_usual
def in_units(imputer: Imputer, given: Given, result: Imputation, method: str = "importance") -> Imputation:
    """Return an imputation that :func:`drawn` made in the table's units, ``completed`` with the points that the imputer wants.

    Raises:
        ValueError: where a hole has no finite value.
    """
    codec, seen, own = given.codec, given.seen, torch.from_numpy(given.values)
    settings = settings_of(imputer, given, result.particles, method)
    x, sums, turns = within_reach(given), result.completed.double(), sines(codec)
    if turns:
        # By the same draws of z, and then as a direction.
        at, other = list(turns), impute(imputer.members_, x, seen, functions=turns, **settings).completed.double()
        # NumPy's, which does not round the last cells otherwise than the first.
        sums[:, at] = torch.from_numpy(np.arctan2(other[:, at].numpy(), sums[:, at].numpy()))
    means = torch.from_numpy(given.within(codec.means(sums.numpy())))
    points = points_of(imputer.point, codec, means, result.probabilities, imputer.members_, x, seen, **settings)
    draws = torch.from_numpy(codec.invert(result.draws.double().numpy()))

    def beside(part: Tensor) -> Tensor:
        # Observed cells come from the table itself: scaling to float32 and back would not return their last bits.
        filled = torch.where(seen, own, torch.from_numpy(given.within(part.numpy())))
        return filled.masked_fill(torch.from_numpy(given.absent), torch.nan) if given.known.absent else filled

    found = replace(result, completed=beside(points), draws=beside(draws), means=beside(means))
    if given.known.rules:
        found = obedient(imputer, given, found, settings)
    refuse_unfilled((found.completed, found.draws), given)
    return found
