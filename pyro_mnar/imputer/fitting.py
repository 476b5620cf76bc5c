"""Fitting what is declared."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from pyro_mnar.imputer.specification import declare
from pyro_mnar.infer.ensembles import fit_ensemble
from pyro_mnar.infer.history import History
from pyro_mnar.infer.streams import seeded
from pyro_mnar.model.mnar import MNAR


class Fitted(NamedTuple):
    """What was fitted: its ``declaration``; the members (after an interruption the first of them only); what training saw of each."""

    declaration: dict[str, Any]
    members: list[MNAR]
    histories: list[History]


def fit_declared(declaration: dict[str, Any], x: Tensor, mask: Tensor, *, seed: int, **settings: Any) -> Fitted:
    """Declare an ensemble and fit it.

    Args:
        declaration: what :func:`~pyro_mnar.imputer.specification.declare` takes.
        x: (N, D) scaled columns; the holes may hold any number.
        mask: (N, D) bool, True = observed.
        seed, settings: as :func:`~pyro_mnar.infer.ensembles.fit_ensemble`'s.

    Example:
        >>> import torch
        >>> x = torch.randn(30, 3)
        >>> words = {"mechanism": "none", "columns": [], "directions": [], "orders": None, "latent": False}
        >>> shape = {"n_columns": 3, "latent_dim": 2, "hidden": [8], "members": 2}
        >>> len(fit_declared(words | shape, x, torch.rand(30, 3) < 0.7, seed=0, steps=2, progress=False).members)
        2
    """
    with seeded(seed):
        members = declare(**declaration)
    for member in members:
        member.initialize(x, mask)
    histories = fit_ensemble(members, x, mask, seed=seed, **settings)
    fewer = len(histories)
    orders = declaration["orders"] and declaration["orders"][:fewer]
    return Fitted(declaration | {"members": fewer, "orders": orders}, members[:fewer], histories)
