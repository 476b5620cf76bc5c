"""What ``MNARImputer.fit`` learns from values and mask: why values are missing, the units that this supposes, and the ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.data.schema import Schema
from pyro_mnar.data.transforms import Units
from pyro_mnar.imputer.censored_scaling import supposed_scaling
from pyro_mnar.imputer.fitting import Fitted, fit_declared
from pyro_mnar.imputer.mask_orders import leave_in_turn, orders_of
from pyro_mnar.imputer.reason_selection import Choice, InUnits, choose
from pyro_mnar.imputer.specification import cells_of


class Learned(NamedTuple):
    """What was ``fitted``, on columns in these ``units``; the ``choice`` of reasons, None where the mechanism leaves none, with the
    columns (N, D) of its pilots and their ``first`` units.
    """

    fitted: Fitted
    units: Units
    choice: Choice | None
    first: tuple[Tensor, Units]


def learn(
    declaration: dict[str, Any],
    stated: Sequence[str | None],
    order: Sequence[int] | None,
    schema: Schema,
    values: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int,
    callback: Any = None,
    **training: Any,
) -> Learned:
    """Choose reasons, where the mechanism leaves any to be chosen, and fit the ensemble.

    Args:
        declaration, stated: as :func:`~pyro_mnar.imputer.specification.declaration_of` returns them.
        order: all columns in the order that is stated, or None.
        schema: the D columns.
        values: (N, D), levels by their places.
        mask: (N, D) True = observed.
        seed, callback, training: as :func:`~pyro_mnar.infer.ensembles.fit_ensemble`'s.

    Raises:
        KeyboardInterrupt: when interrupted before the data have chosen.
    """
    seen, choice = torch.from_numpy(mask), None
    _, units, x = _set_up(declaration | {"directions": ["none"] * len(declaration["columns"])}, schema, values, mask)
    first = (x, units)
    if declaration["mechanism"] in ("auto", "self-masking"):
        orders = orders_of(x, seen, declaration["columns"], order, declaration["members"], seed)
        in_units = partial(_in_units, schema=schema, values=values, mask=mask)
        in_turn = order is not None or leave_in_turn(seen, declaration["columns"])
        declaration = declaration | {"orders": orders}
        choice = choose(declaration, stated, order is not None, in_turn, in_units, seen, seed=seed, **training)
        declaration = choice.declaration
    declaration, units, x = _set_up(declaration, schema, values, mask)
    return Learned(fit_declared(declaration, x, seen, seed=seed, callback=callback, **training), units, choice, first)


def _set_up(declaration: dict[str, Any], schema: Schema, values: np.ndarray, mask: np.ndarray) -> tuple[dict[str, Any], Units, Tensor]:
    """Return the declaration, which then says what cells are in the units that it supposes; these units; and the scaled columns."""
    scaling = supposed_scaling(schema, declaration, values, mask)
    units = Units(schema.columns, scaling)
    x = torch.from_numpy(units.apply(values, mask)).float()
    return declaration | {"cells": cells_of(schema.columns, values, mask, scaling)}, units, x


def _in_units(declaration: dict[str, Any], schema: Schema, values: np.ndarray, mask: np.ndarray) -> InUnits:
    declaration, units, x = _set_up(declaration, schema, values, mask)
    return InUnits(declaration, x, float(units.log_jacobian(values, mask).sum()))
