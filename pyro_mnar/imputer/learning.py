"""What ``MNARImputer.fit`` learns from a table: why values are missing, the units that this supposes, and the ensemble."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.margins import Margin, learned_margins, margins_of
from pyro_mnar.data.warn import warn
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.devices import device_of
from pyro_mnar.imputer.doubts import Doubt, doubts, never_together
from pyro_mnar.imputer.identification.instrument import mask_strengths, weak_instruments
from pyro_mnar.imputer.identification.shadow import identified, strengths, weak_shadows
from pyro_mnar.imputer.limited_reasons import with_limits
from pyro_mnar.imputer.margins.margin_fit import met_margins
from pyro_mnar.imputer.margins.margin_refit import ROUNDS, nearer_to_margins, say_refitted
from pyro_mnar.imputer.margins.margin_words import margins_table, unmet
from pyro_mnar.imputer.reason_selection.mask_orders import leave_in_turn, orders_of
from pyro_mnar.imputer.reason_selection.selection import PILOTS, Choice, choose, pilot_worth
from pyro_mnar.imputer.reasons import no_reasons, reasons_of
from pyro_mnar.imputer.rules.known_words import with_absent
from pyro_mnar.imputer.saving.checkpoints import finish, opened, restores
from pyro_mnar.imputer.scaling.censored_scaling import in_supposed_units
from pyro_mnar.imputer.scaling.limited_scaling import in_limited_units
from pyro_mnar.imputer.tables.given import Given, learned
from pyro_mnar.imputer.training.factors import latents_of
from pyro_mnar.imputer.training.fit_guard import all_or_nothing, check_interrupted
from pyro_mnar.imputer.training.fitting import InUnits, fit_specified
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.imputer.words import is_short, order_of, specification_of
from pyro_mnar.infer.held_out import check_held_out
from pyro_mnar.infer.history import Evaluation
from pyro_mnar.infer.progress import heard_by, step_worth, whole
from pyro_mnar.infer.schedule import AUTO, EVERY, most_steps
from pyro_mnar.infer.torch_state import as_usual
from pyro_mnar.model.mnar import MNAR

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame

    from pyro_mnar.imputer.member_rows import MemberRows


@all_or_nothing
def fit_table(
    imputer: Imputer,
    X: ArrayLike | DataFrame,
    sample_weight: ArrayLike | None = None,
    callback: Callable[[Evaluation], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    units: np.ndarray | None = None,
) -> Given:
    """Fit ``imputer`` to a table, and return that as it reads it; arguments as of ``MNARImputer.fit``, ``units`` (2, N) being
    the rows' strata and clusters.

    After an error or an interruption the imputer is as it was.
    """
    table = learned(imputer, X, sample_weight=sample_weight, units=units)
    fit_given(imputer, table, callback, checkpoint)
    return replace(table, codec=imputer.codec_)


@as_usual
def fit_given(
    imputer: Imputer,
    given: Given,
    callback: Callable[[Evaluation], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    rows: MemberRows | None = None,
) -> None:
    """Fit the ensemble of ``imputer`` to a table and set what is fitted.

    Args:
        imputer: with its settings.
        given: read by a codec that is scaled by its observed moments.
        callback: called with each :class:`~pyro_mnar.infer.training.Evaluation`.
        checkpoint: folder in which the fit is kept while it goes on, or None (:mod:`pyro_mnar.imputer.saving.checkpoints`).
        rows: where members' rows come from, where the table is a sample of a larger one (:mod:`pyro_mnar.imputer.shards.parquet_fit`).

    Raises:
        ValueError: for an unknown word among the settings.
        KeyboardInterrupt: when interrupted, before the data have chosen or where what was fitted is not to be kept.
    """
    hear, read, given = heard_by(callback), given, replace(given, codec=in_limited_units(given))
    # Where limits say why cells are missing, there is nothing more to be asked.
    codec, mask, told, device = given.codec, given.mask, given.told, device_of(imputer, len(given.mask))
    left_out = [name for j, name in enumerate(codec.layout.names) if j not in codec.layout.known]
    n_rows = float(len(mask) if given.weights is None else given.weights.sum())
    specification, stated = specification_of(imputer, codec.schema, told.mask, left_out, n_rows)
    if imputer.latent_dim is None and specification.is_plain and is_short(n_rows, mask.shape[1]):
        specification = replace(specification, latent_dim=latents_of(told.x.numpy(), told.mask, specification.latent_dim))
    imputer.shadows_ = strengths(told, specification.columns, specification.unread)
    instruments = mask_strengths if specification.alone else partial(strengths, called="instrument")
    imputer.instruments_ = instruments(told, specification.columns, specification.alone)
    for found in (imputer.shadows_, imputer.instruments_):
        specification, stated = identified(specification, stated, codec.schema, found)
    if mask.all() and imputer.mechanism != "none":
        warn("X: nothing is missing, so the model is trained without a mechanism")
    said_margins = margins_of(imputer.margins, codec.layout.names)
    margins = learned_margins(said_margins, codec.columns, given.values, mask, given.absent, given.weights)
    order = order_of(imputer.order, codec.schema, imputer.mechanism, left_out)
    for apart in never_together(codec.schema, mask):
        warn(apart)
    seed = _drawn_seed(imputer.random_state)
    settings: dict[str, Any] = {name: getattr(imputer, name) for name in ("particles", "steps", "batch_size", "progress", "n_jobs")}
    check_held_out(imputer.held_out, imputer.patience)
    members_alone: dict[str, object] = {"held_out": imputer.held_out, "patience": imputer.patience}
    if imputer.steps == AUTO:
        members_alone["every"] = EVERY
    settings["seed"] = int(imputer.random_state) if isinstance(imputer.random_state, (int, np.integer)) else seed
    kept = None if checkpoint is None else opened(checkpoint, imputer, read, device, settings["seed"], rows)
    imputer.seed_ = seed
    if kept is not None and restores(kept, imputer):
        for look in (look for history in imputer.histories_ for look in history.evaluations):
            hear(look)
    else:
        settings |= {"device": device, "callback": callback, "checkpoint": kept, **members_alone}
        _fit(imputer, given, specification, stated, order, margins, settings, rows)
        if kept is not None:
            finish(kept, imputer)
    for said in (*unmet(imputer), *weak_shadows(imputer), *(weak_instruments(imputer) if specification.alone else ())):
        warn(said)
    for doubt in doubts(imputer):
        warn(doubt, Doubt)


def _drawn_seed(random_state: int | np.random.RandomState | None) -> int:
    """Return a seed that is drawn from what ``random_state`` stands for; a ValueError for what stands for nothing."""
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError:
        expected = "a whole number from 0 to 2**32 - 1, a RandomState or None"
        raise ValueError(f"random_state: got {random_state!r:.40}, expected {expected}") from None


def _fit(
    imputer: Imputer,
    given: Given,
    specification: Specification,
    stated: list[str | None],
    order: list[int] | None,
    margins: dict[int, Margin],
    settings: dict[str, Any],
    rows: MemberRows | None,
) -> None:
    """Choose the reasons that are not stated, fit the ensemble, and set what is fitted."""
    choice, first = None, None
    for_pilots = {
        name: value for name, value in settings.items() if name not in ("device", "callback", "held_out", "patience", "every")
    }
    with whole("fitting", imputer.progress) as task:
        if task.expected <= 0:
            task.expect(work_of_fit(imputer, len(given.mask), specification.separate))
        if specification.separate:
            task.say("choosing reasons")
            choice, first = _chosen(specification, stated, order, given, for_pilots)
            specification = choice.specification
            # Some earlier columns need no pilot, nor do rates alone; one model more is what they start as.
            fitted = sum(one.earlier != "some" for one in choice.candidates)
            task.expect((fitted - PILOTS) * pilot_worth(imputer.steps, imputer.batch_size, len(given.mask)))
        task.say("fitting")
        imputer.candidates_ = [] if choice is None else choice.candidates
        own = _ensemble(imputer, given, specification, margins, settings, rows, () if choice is None else choice.starts)
        at_first = imputer.specification_, imputer.moves_
        for _ in range(ROUNDS if margins else 0):
            nearer = nearer_to_margins(imputer, given.told.mask)
            if nearer == imputer.specification_:
                break
            task.expect(work_of_fit(imputer, len(given.mask), False))
            task.say("fitting nearer to the margins")
            own = _ensemble(imputer, given, nearer, margins, settings, rows)
    given = own
    if choice is None or first is None:
        imputer.reasons_ = no_reasons(imputer)
    else:
        imputer.reasons_ = reasons_of(imputer, stated, choice.ignorable, first, given)
    imputer.reasons_ = with_limits(imputer.reasons_, given)
    if given.known.absent:
        imputer.reasons_ = with_absent(imputer.reasons_, given)
    if margins:
        say_refitted(imputer, *at_first)
    imputer.margins_ = margins_table(imputer.codec_.columns, imputer.moves_)


def _ensemble(
    imputer: Imputer,
    given: Given,
    specification: Specification,
    margins: dict[int, Margin],
    settings: dict[str, Any],
    rows: MemberRows | None,
    starts: Sequence[MNAR] = (),
) -> Given:
    """Fit the ensemble that is specified, have it meet ``margins``, and return the table as it reads it."""
    codec, specification = in_supposed_units(given.told, specification)
    given = replace(given, codec=codec)
    units = None if given.units is None else torch.from_numpy(given.units)
    known: dict[str, Any] = {"limits": given.limits, "weights": given.row_weights, "units": units, "starts": starts}
    drawn = {} if rows is None else rows.settings(imputer, codec)
    fitted = fit_specified(specification, given.x, given.seen, **known, **settings, **drawn)
    check_interrupted(fitted.histories, imputer.members, imputer.keep_partial)
    imputer.codec_ = codec
    imputer.specification_, imputer.histories_ = fitted.specification, fitted.histories
    imputer.members_ = [member.eval() for member in fitted.members]
    imputer.moves_ = met_margins(imputer, given, margins) if margins else []
    return given


def work_of_fit(imputer: Any, n_rows: int, choosing: bool) -> float:
    """Return what a fit to so many rows is worth, in training steps, as far as that is known before."""
    pilots = PILOTS * pilot_worth(imputer.steps, imputer.batch_size, n_rows) if choosing else 0.0
    return pilots + imputer.members * most_steps(imputer.steps) * step_worth(min(imputer.batch_size, n_rows))


def _chosen(
    specification: Specification, stated: list[str | None], order: list[int] | None, given: Given, settings: dict[str, Any]
) -> tuple[Choice, TableCodec]:
    """Return the reasons that the data choose, and the codec of the pilot in which no mask reads its own value."""
    told, at_random = given.told, replace(specification, directions=("none",) * len(stated))
    codec, _ = in_supposed_units(told, at_random)
    x, settled = replace(told, codec=codec).x, told.seen
    orders = orders_of(x[given.rows], settled[given.rows], specification.columns, order, specification.members, settings["seed"])
    specification = replace(specification, orders=tuple(tuple(j for j in one if j not in at_random.unread) for one in orders))
    leaving = leave_in_turn(settled, [j for j in orders[0] if j in specification.columns])
    in_units = partial(_in_units, given=given)
    asked = (order is not None, leaving, in_units, given.seen, told.contrasts, given.row_weights)
    return choose(specification, stated, *asked, **settings), codec


def _in_units(specification: Specification, given: Given) -> InUnits:
    codec, specification = in_supposed_units(given.told, specification, pilot=True)
    log_jacobian, scaled = torch.from_numpy(codec.log_jacobian(given.values, given.mask)), replace(given, codec=codec)
    return InUnits(specification, scaled.x, log_jacobian, scaled.limits)
