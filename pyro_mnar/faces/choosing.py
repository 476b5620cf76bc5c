"""Fitting what is declared; and whether masks depend on complete columns beside their own values, where the data may choose.

A model with these covariates and one without are both fitted. The two score the same data, observed values and masks, and differ in
nothing but the effects of the covariates. Where these exist, a model without them must explain predictable masks by values that
nobody saw, and does so badly: its bound is tenths of a nat a row lower. Where they do not, they gain next to nothing and cost
accuracy, since what a value did may be ascribed to its relatives. So the covariates stay if they gain more than two nats for each
effect: twice Akaike's one (1974, "A new look at the statistical model identification", IEEE Transactions on Automatic Control 19),
which is meant for models that hold.

This compares two mechanisms that have the same direction. It does not tell either from ignorable missingness: no data can.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from pyro_mnar.faces.declaration import declare
from pyro_mnar.infer.ensembles import fit_ensemble
from pyro_mnar.infer.processes import each, n_processes
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.training import Evaluation, History
from pyro_mnar.models import MNAR
from pyro_mnar.results.pooling import score_ensemble

#: Nats that an effect of a covariate must gain. On five tables that the published benchmark does not have (178 to 1500 rows) effects
#: gained 2.4 to 36 nats each where masks depended on covariates and at most 1.5 where not.
PRICE = 2.0


class Fitted(NamedTuple):
    """What was fitted: its ``declaration``; the members (after an interruption the first of them only); what training saw of each.

    ``gain`` is by how many nats over the whole table covariates raise the bound, less :data:`PRICE` for each of their effects; None
    where there was no choice.
    """

    declaration: dict[str, Any]
    members: list[MNAR]
    histories: list[History]
    gain: float | None = None


def fit_declared(declaration: dict[str, Any], x: Tensor, mask: Tensor, *, seed: int, **settings: Any) -> Fitted:
    """Declare an ensemble and fit it.

    Args:
        declaration: what :func:`~pyro_mnar.faces.declaration.declare` takes.
        x: (N, D) scaled columns; the holes may hold any number.
        mask: (N, D) bool, True = observed.
        seed, settings: as :func:`~pyro_mnar.infer.ensembles.fit_ensemble`'s.

    Example:
        >>> import torch
        >>> x = torch.randn(30, 3)
        >>> words = {"mechanism": "none", "columns": [], "directions": [], "covariates": []}
        >>> shape = {"n_columns": 3, "latent_dim": 2, "hidden": [8], "members": 2}
        >>> len(fit_declared(words | shape, x, x < 1, seed=0, progress=False, steps=2).members)
        2
    """
    members = _declared(declaration, x, mask, seed)
    histories = fit_ensemble(members, x, mask, seed=seed, **settings)
    return Fitted(declaration, members[: len(histories)], histories)


def fit_chosen(
    declaration: dict[str, Any],
    x: Tensor,
    mask: Tensor,
    *,
    seed: int,
    n_jobs: int | None = None,
    callback: Callable[[Evaluation], None] | None = None,
    **settings: Any,
) -> Fitted:
    """Fit as :func:`fit_declared` does, with the declared covariates if they gain more than they cost and with none if not.

    Both alternatives are first fitted as single members on the table itself. An ensemble of one is the better of the two, which it
    would equal number for number; ``callback`` then hears of it when both are done.

    Raises:
        KeyboardInterrupt: when interrupted before the data have chosen.

    Example:
        >>> import torch
        >>> x = torch.randn(300, 3)
        >>> mask = torch.stack([x[:, 1] < 0.3, *torch.ones(2, 300).bool()], -1)  # the second column hides the first
        >>> words = {"mechanism": "self-masking", "columns": [0], "directions": ["high"], "covariates": [1, 2]}
        >>> shape = {"n_columns": 3, "latent_dim": 2, "hidden": [8], "members": 1}
        >>> fit_chosen(words | shape, x, mask, seed=0, progress=False, steps=200).gain > 0
        True
    """
    alternatives = [declaration, declaration | {"covariates": []}]
    # Bars of two processes would write over each other.
    quiet = {"progress": False} if n_processes(n_jobs, len(alternatives)) > 1 else {}
    single = [_declared(words | {"members": 1}, x, mask, seed)[0] for words in alternatives]
    found = list(each([partial(_bound, member, x, mask, seed, settings | quiet) for member in single], n_jobs=n_jobs))
    gain = found[0][0] - found[1][0] - PRICE * len(declaration["covariates"]) * len(declaration["columns"])
    chosen = 0 if gain > 0 else 1
    if declaration["members"] > 1:
        fitted = fit_declared(alternatives[chosen], x, mask, seed=seed, n_jobs=n_jobs, callback=callback, **settings)
        return fitted._replace(gain=gain)
    _, state, history = found[chosen]
    single[chosen].load_state_dict(state)  # another process may have fitted a copy
    if callback is not None:
        for look in history.evaluations:
            callback(look)
    return Fitted(alternatives[chosen], [single[chosen]], [history], gain)


def _declared(declaration: dict[str, Any], x: Tensor, mask: Tensor, seed: int) -> list[MNAR]:
    with seeded(seed):
        members = declare(**declaration)
    for member in members:
        member.initialise(x, mask)
    return members


def _bound(member: MNAR, x: Tensor, mask: Tensor, seed: int, settings: dict[str, Any]) -> tuple[float, dict[str, Tensor], History]:
    (history,) = fit_ensemble([member], x, mask, seed=seed, **settings)
    if history.stopped == "interrupted":
        raise KeyboardInterrupt  # there is nothing yet that an interrupted fit could keep
    bound = float(score_ensemble([member.eval()], x, mask, particles=100, seed=seed).sum())
    return bound, member.state_dict(), history
