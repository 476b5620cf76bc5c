"""Whether masks depend on complete columns beside their own values: both models are fitted, and the data choose.

The two score the same data, observed values and masks, and differ in nothing but the effects of the covariates. Where these exist, a
model without them must explain predictable masks by values that nobody saw, and does so badly: its bound is tenths of a nat a row
lower. Where they do not, they gain next to nothing and cost accuracy, since what a value did may be ascribed to its relatives. So the
covariates stay if they gain more than two nats for each effect: twice Akaike's one (1974, "A new look at the statistical model
identification", IEEE Transactions on Automatic Control 19), which is meant for models that hold.

This compares two mechanisms that have the same direction. It does not tell either from ignorable missingness: no data can.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from pyro_mnar.faces.declaration import declare
from pyro_mnar.infer.ensembles import fit_ensemble
from pyro_mnar.infer.processes import each, n_processes
from pyro_mnar.infer.streams import seeded
from pyro_mnar.results.pooling import score_ensemble

#: Nats that an effect of a covariate must gain. On five tables that the published benchmark does not have (178 to 1500 rows) effects
#: gained 2.4 to 36 nats each where masks depended on covariates and at most 1.5 where not.
PRICE = 2.0


def covariate_gain(
    declaration: dict[str, Any], x: Tensor, mask: Tensor, *, seed: int, n_jobs: int | None = None, **settings: Any
) -> float:
    """Return by how many nats over the whole table covariates raise the bound, less :data:`PRICE` for each of their effects.

    Args:
        declaration: what :func:`~pyro_mnar.faces.declaration.declare` takes, with covariates.
        x: (N, D) scaled columns; the holes may hold any number.
        mask: (N, D) bool, True = observed.
        seed, settings: as :func:`~pyro_mnar.infer.ensembles.fit_ensemble`'s; each model is a single member on the table itself.
        n_jobs: processes, as there.

    Raises:
        KeyboardInterrupt: when interrupted.

    Example:
        >>> import torch
        >>> x = torch.randn(300, 3)
        >>> mask = torch.stack([x[:, 1] < 0.3, *torch.ones(2, 300).bool()], -1)  # the second column hides the first
        >>> words = {"mechanism": "self-masking", "columns": [0], "directions": ["high"], "covariates": [1, 2]}
        >>> shape = {"n_columns": 3, "latent_dim": 2, "hidden": [8]}
        >>> covariate_gain(words | shape, x, mask, seed=0, progress=False, steps=200) > 0
        True
    """
    calls = []
    alternatives: list[dict[str, Any]] = [{}, {"covariates": []}]
    if n_processes(n_jobs, len(alternatives)) > 1:
        settings["progress"] = False  # bars of two processes would write over each other
    for without in alternatives:
        with seeded(seed):
            (member,) = declare(**declaration | without | {"members": 1})
        member.initialise(x, mask)
        calls.append(partial(_bound, member, x, mask, seed, settings))
    bounds = list(each(calls, n_jobs=n_jobs))
    return bounds[0] - bounds[1] - PRICE * len(declaration["covariates"]) * len(declaration["columns"])


def _bound(member: nn.Module, x: Tensor, mask: Tensor, seed: int, settings: dict[str, Any]) -> float:
    (history,) = fit_ensemble([member], x, mask, seed=seed, **settings)
    if history.stopped == "interrupted":
        raise KeyboardInterrupt  # there is nothing yet that an interrupted fit could keep
    return float(score_ensemble([member.eval()], x, mask, particles=100, seed=seed).sum())
