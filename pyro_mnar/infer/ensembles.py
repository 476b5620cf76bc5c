"""Fit an ensemble: every member on a table of its own, drawn from the rows with replacement.

Differences between members stand for what is not known of the parameters: their tables carry the sampling error (the bootstrap;
Efron 1979, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7), the anchors of their priors what no table of
this size could say (:mod:`pyro_mnar.model.priors`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.history import Evaluation, History
from pyro_mnar.infer.processes import each, n_processes
from pyro_mnar.infer.progress import step_worth
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.training import fit


def member_seed(seed: int, member: int) -> int:
    """Return the seed of a member, so that no two members share their randomness."""
    return int(np.random.SeedSequence(seed, spawn_key=(member,)).generate_state(1)[0])


def fit_ensemble(
    members: Sequence[nn.Module],
    x: Tensor,
    mask: Tensor,
    *,
    particles: int = 5,
    steps: int = 1000,
    batch_size: int = 96,
    lr: float = 1e-2,
    mechanism_lr: float = 5e-2,
    seed: int = 0,
    callback: Callable[[Evaluation], None] | None = None,
    progress: bool = True,
    n_jobs: int | None = None,
) -> list[History]:
    """Fit each member in place, and return what training saw of each; a single member is fitted to the table itself.

    Args:
        members: modules as :func:`~pyro_mnar.infer.training.fit` wants them.
        x: (N, D) float, finite; the holes may hold any number.
        mask: (N, D) bool, True = observed.
        particles: K of the training bound.
        steps, batch_size, lr, mechanism_lr, callback: as in ``fit``.
        seed: of everything random.
        progress: a bar over members and, in this process, one over steps, on a terminal only.
        n_jobs: processes that fit members; None is 1 and -1 all cores. The result is the same. ``callback`` then hears of a member
            when it is done.

    An interruption ends the member that is being fitted, and the members after it are not fitted: there are then fewer histories. Of
    several processes the members that are done are kept.

    Raises:
        ValueError, FloatingPointError: as ``fit`` does.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> members = [MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2)) for _ in range(2)]
        >>> len(fit_ensemble(members, torch.randn(50, 2), torch.ones(50, 2, dtype=torch.bool), steps=5))
        2
    """
    several = n_processes(n_jobs, len(members)) > 1
    options: dict[str, Any] = {"steps": steps, "batch_size": batch_size, "lr": lr, "mechanism_lr": mechanism_lr}
    options |= {"callback": None if several else callback, "progress": progress and not several}
    calls = [
        partial(_fit, member, x, mask, particles, len(members) > 1, seed=member_seed(seed, i), **options)
        for i, member in enumerate(members)
    ]
    histories: list[History] = []
    try:
        fitted = each(calls, n_jobs=n_jobs, said="members", progress=progress, worth=steps * step_worth(min(batch_size, len(x))))
        for member, (state, history) in zip(members, fitted, strict=True):
            histories.append(history)
            if several:
                member.load_state_dict(state)
                if callback is not None:
                    for look in history.evaluations:
                        callback(look)
            if history.stopped == "interrupted":
                break
    except KeyboardInterrupt:
        if not histories:
            raise
    return histories


def _fit(
    member: nn.Module, x: Tensor, mask: Tensor, particles: int, resample: bool, *, seed: int, **options: Any
) -> tuple[dict[str, Tensor], History]:
    """Fit ``member`` in place to the table or to rows drawn from it, and return its weights as well: it may be a copy."""
    rows = torch.arange(len(x), device=x.device)
    if resample:
        with seeded(seed, x.device):
            rows = torch.randint(len(x), (len(x),), device=x.device)
    history = fit(IWELBO(member, particles), x[rows], mask[rows], weight_decay=0.0, seed=seed, **options)
    return member.state_dict(), history
