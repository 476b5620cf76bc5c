"""Fitting what is specified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mnar.imputer.training.fit_files import FitFiles
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import MemberTable, fit
from pyro_mnar.infer.history import History
from pyro_mnar.infer.row_weights import repeated
from pyro_mnar.infer.streams import seeded
from pyro_mnar.model.mnar import MNAR


class InUnits(NamedTuple):
    """A ``specification`` that says what cells are; the columns ``x`` (N, D), scaled as it supposes, whose holes hold any number; the
    logarithm (N,) of the Jacobian of each row's observed cells; and ``limits`` (N, D, 2) of missing ones, or None.
    """

    specification: Specification
    x: Tensor
    log_jacobian: Tensor
    limits: Tensor | None = None


class Fitted(NamedTuple):
    """What was fitted: its ``specification``; the members (after an interruption the first of them only); what training saw of each."""

    specification: Specification
    members: list[MNAR]
    histories: list[History]


def fit_specified(
    specification: Specification,
    x: Tensor,
    mask: Tensor,
    *,
    limits: Tensor | None = None,
    weights: Tensor | None = None,
    units: Tensor | None = None,
    seed: int,
    particles: int = 5,
    device: torch.device | str = "cpu",
    starts: Sequence[MNAR] = (),
    checkpoint: FitFiles | None = None,
    tables: Sequence[Callable[[], MemberTable]] | None = None,
    drawn_from: str | None = None,
    **settings: Any,
) -> Fitted:
    """Make an ensemble and fit it.

    Args:
        specification: of the ensemble.
        x: (N, D) scaled columns; the holes may hold any number.
        mask: (N, D) bool, True = observed.
        limits: (N, D, 2), between which missing values are known to lie, or None.
        weights: (N,) of the rows, None being 1 each.
        units: (2, N) strata and clusters of the rows, or None.
        particles: K of the training bound.
        device: where it is fitted; the members come back on the processor.
        starts: fitted models with the same layers, as whose decoders the members start, one for each
            (:meth:`~pyro_mnar.networks.decoders.Decoder.start_as`); or none.
        checkpoint: where each member's training is kept while it goes on.
        tables: what gives each member rows of its own to be trained on; the table is then what starting values come from.
        drawn_from: digest of what these follow from.
        seed, settings: as :func:`~pyro_mnar.infer.ensembles.fit`'s.

    Example:
        >>> import torch
        >>> x = torch.randn(30, 3)
        >>> spec = Specification("none", (), (), ("continuous",) * 3, 2, (8,), members=2)
        >>> len(fit_specified(spec, x, torch.rand(30, 3) < 0.7, seed=0, steps=2, progress=False).members)
        2
    """
    with seeded(seed):
        members = specification.models()
    x, mask, limits = x.to(device), mask.to(device), None if limits is None else limits.to(device)
    weights = None if weights is None else weights.to(device)
    rows = slice(None) if weights is None else repeated(weights)
    for member in members:
        member.to(device).initialize(x[rows], mask[rows], None if limits is None else limits[rows])
    for member, start in zip(members, starts, strict=bool(starts)):
        member.decoder.start_as(start.decoder)
    if checkpoint is not None:
        own = {name: value for name, value in settings.items() if name not in ("callback", "progress", "n_jobs", "first")}
        own |= {"seed": seed, "particles": particles, "device": str(device)}
        own |= {} if drawn_from is None else {"drawn_from": drawn_from}
        own |= {} if units is None else {"units": units.tolist()}
        settings["checkpoints"] = checkpoint.trainings(specification, x, mask, limits, weights, **own)
    bounds = [IWELBO(member, particles) for member in members]
    histories = fit(bounds, x, mask, limits=limits, weights=weights, units=units, seed=seed, tables=tables, **settings)
    fewer = len(histories)
    return Fitted(specification.first(fewer), [member.cpu() for member in members[:fewer]], histories)


def as_tried(in_units: Callable[[Specification], InUnits], specification: Specification) -> InUnits:
    """Return a specification as tried, in its units: noise that grows with the mean would explain a cut by the value nearly as well."""
    return in_units(replace(specification, growing=False))


def values_alone(specification: Specification, in_units: Callable[[Specification], InUnits], mask: Tensor, **settings: Any) -> MNAR:
    """Return a fitted model in which no mask reads anything: pilots start as the linear part of its decoder.

    Args:
        specification, in_units, mask: as of :func:`~pyro_mnar.imputer.reason_selection.selection.choose`.
        settings: as :func:`fit_specified`'s.

    Raises:
        KeyboardInterrupt: when interrupted.
    """
    plain = replace(specification.first(1), directions=("none",) * len(specification.columns), orders=None, latent=False)
    plain, x, _, limits = as_tried(in_units, plain)
    _, (model,), (history,) = fit_specified(plain, x, mask, limits=limits, **settings)
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    return model
