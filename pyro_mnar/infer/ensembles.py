"""Fit a model, or an ensemble: every member on a table of its own, drawn from the rows with replacement.

Differences between members stand for what is not known of the parameters: their tables carry the sampling error (the bootstrap;
Efron 1979, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7), the anchors of their priors what no table of
this size could say (:mod:`pyro_mnar.model.priors`).

Rows with weights that are whole numbers are drawn as if they were repeated: as many rows as the weights add to, in proportion. A row
cannot be there one and a half times, so that other weights are taken for those of sampled rows, each of which was seen once. Rows are
then drawn alike and take their weights along, by which a weighted mean varies between members by sum w^2 (y - m)^2 / (sum w)^2, its
linearized variance. In proportion it would vary by less where rows of large weight differ more. Rows of strata and clusters:
:mod:`pyro_mnar.infer.clusters`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.infer.checkpoints import Checkpoint
from pyro_mnar.infer.checks import check_counts, check_members, check_rows, check_weights
from pyro_mnar.infer.clusters import by_clusters
from pyro_mnar.infer.history import Evaluation, History
from pyro_mnar.infer.processes import each, n_processes
from pyro_mnar.infer.progress import heard_by, step_worth
from pyro_mnar.infer.schedule import most_steps
from pyro_mnar.infer.streams import seeded
from pyro_mnar.infer.training import BATCH_SIZE, STEPS, Trainable, train


class MemberTable(NamedTuple):
    """Rows (N, D) that a member alone is trained on, as :func:`~pyro_mnar.infer.training.train` takes them."""

    x: Tensor
    mask: Tensor
    limits: Tensor | None
    copies: Tensor


def member_seed(seed: int, member: int) -> int:
    """Return the seed of a member, so that no two members share their randomness; a ValueError for one below 0."""
    check_counts(0, seed=seed)
    return int(np.random.SeedSequence(seed, spawn_key=(member,)).generate_state(1)[0])


@overload
def fit(
    bound: Trainable,
    x: Tensor,
    mask: Tensor,
    *,
    limits: Tensor | None = None,
    weights: Tensor | None = None,
    units: Tensor | None = None,
    seed: int = 0,
    progress: bool = True,
    n_jobs: int | None = None,
    checkpoints: Sequence[Checkpoint] | None = None,
    **options: Any,
) -> History: ...
@overload
def fit(
    bound: Sequence[Trainable],
    x: Tensor,
    mask: Tensor,
    *,
    limits: Tensor | None = None,
    weights: Tensor | None = None,
    units: Tensor | None = None,
    seed: int = 0,
    progress: bool = True,
    n_jobs: int | None = None,
    checkpoints: Sequence[Checkpoint] | None = None,
    **options: Any,
) -> list[History]: ...
def fit(
    bound: Trainable | Sequence[Trainable],
    x: Tensor,
    mask: Tensor,
    *,
    limits: Tensor | None = None,
    weights: Tensor | None = None,
    units: Tensor | None = None,
    seed: int = 0,
    callback: Callable[[Evaluation], None] | None = None,
    progress: bool = True,
    n_jobs: int | None = None,
    checkpoints: Sequence[Checkpoint] | None = None,
    tables: Sequence[Callable[[], MemberTable]] | None = None,
    first: Sequence[int] = (),
    **options: Any,
) -> History | list[History]:
    """Fit a bound, or those of an ensemble, in place, and return what training saw, of an ensemble's members each.

    A bound is fitted to the table itself, and so is a list of one; of several, each to rows drawn from the table with replacement.

    Args:
        bound: the bound of a module, an objective around one, or a list of these, one for each member.
        x: (N, D) float, finite; the holes may hold any number.
        mask: (N, D) bool, True = observed.
        limits: (N, D, 2), between which missing values are known to lie, as a third argument of model and guide; or None.
        weights: (N,) above 0, how many rows each row counts for. Where all are whole numbers, members' tables are drawn from repeated
            rows; else a row is one, and takes its weight along.
        units: (2, N) each row's stratum and cluster, by which members' tables are drawn (:mod:`pyro_mnar.infer.clusters`), or None.
        seed: the seed of everything random.
        callback: a function that is called with each :class:`~pyro_mnar.infer.history.Evaluation`.
        progress: a bar over members and, in this process, one over steps, on a terminal only.
        n_jobs: processes that fit members, at most one each; None is 1 and -1 all cores. The result is the same. ``callback`` then
            hears of a member when it is done.
        checkpoints: a file for each bound's training, from which it goes on (:mod:`pyro_mnar.infer.checkpoints`).
        tables: what gives each member the rows that it is trained on, in place of rows drawn from the table.
        first: places of members to be trained before the others, each with a file that says when it is done: those of this process,
            where several share the members out. Members that others have done meanwhile are read.
        options: ``steps``, ``batch_size``, ``lr`` and further ones of :func:`~pyro_mnar.infer.training.train`.

    An interruption ends the member that is being fitted, and the members after it are not fitted: there are then fewer histories. Of
    several processes the members that are done are kept.

    Raises:
        ValueError, FloatingPointError: as :func:`~pyro_mnar.infer.training.train` does.

    Example:
        >>> from pyro_mnar.infer.bound import IWELBO
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> bounds = [IWELBO(MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2)), particles=5) for _ in range(2)]
        >>> x, mask = torch.randn(50, 2), torch.ones(50, 2, dtype=torch.bool)
        >>> fit(bounds[0], x, mask, steps=5).stopped, len(fit(bounds, x, mask, steps=5))
        ('steps', 2)
    """
    heard_by(callback)
    if not isinstance(bound, Sequence):
        check_members("bound", [bound])
        options["checkpoint"] = None if checkpoints is None else checkpoints[0]
        return train(bound, x, mask, limits=limits, weights=weights, seed=seed, callback=callback, progress=progress, **options)
    check_members("bound", bound)
    check_rows(x, mask)
    several = n_processes(n_jobs, len(bound)) > 1
    options |= {"callback": None if several else callback, "progress": progress and not several}
    check_weights(weights, x)
    fits: list[Callable[..., tuple[Mapping[str, Tensor], History]]] = (
        [partial(_fit, limits=limits, weights=weights, units=units, resample=len(bound) > 1)] * len(bound)
        if tables is None
        else [partial(_fit_to, table) for table in tables]
    )
    kept = [None] * len(bound) if checkpoints is None else checkpoints
    calls = [
        partial(one, member, x, mask, seed=member_seed(seed, i), checkpoint=own, **options)
        for i, (one, member, own) in enumerate(zip(fits, bound, kept, strict=True))
    ]
    histories: list[History] = []
    worth = most_steps(options.get("steps", STEPS)) * step_worth(min(options.get("batch_size", BATCH_SIZE), len(x)))
    own = [calls[i] for i in first]
    for _, history in each(own, n_jobs=n_jobs, said="own members", progress=progress, worth=worth) if own else ():
        if history.stopped == "interrupted":
            raise KeyboardInterrupt
    try:
        fitted = each(calls, n_jobs=n_jobs, said="members", progress=progress, worth=worth)
        for member, (state, history) in zip(bound, fitted, strict=True):
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
    member: Trainable,
    x: Tensor,
    mask: Tensor,
    *,
    limits: Tensor | None,
    weights: Tensor | None,
    units: Tensor | None,
    resample: bool,
    seed: int,
    **options: Any,
) -> tuple[Mapping[str, Tensor], History]:
    """Fit ``member`` in place to the table or to rows drawn from it, and return its state as well: it may be a copy."""
    rows, own = drawn(x, weights, units, seed) if resample else (torch.arange(len(x), device=x.device), weights)
    known = None if limits is None else limits[rows]
    copies = rows if resample else None
    history = train(member, x[rows], mask[rows], limits=known, weights=own, seed=seed, copies=copies, **options)
    return member.state_dict(), history


def _fit_to(
    table: Callable[[], MemberTable],
    member: Trainable,
    x: Tensor,
    mask: Tensor,
    *,
    checkpoint: Checkpoint | None,
    **options: Any,
) -> tuple[Mapping[str, Tensor], History]:
    """Fit ``member`` in place to the rows that ``table`` gives, and return its state as well; what is done already needs no rows."""
    done = checkpoint is not None and checkpoint.finished
    own = MemberTable(x, mask, None, torch.arange(len(x))) if done else table()
    device = x.device
    limits = None if own.limits is None else own.limits.to(device)
    x, mask, copies = own.x.to(device), own.mask.to(device), own.copies.to(device)
    history = train(member, x, mask, limits=limits, copies=copies, checkpoint=checkpoint, **options)
    return member.state_dict(), history


def drawn(x: Tensor, weights: Tensor | None, units: Tensor | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """Return places of the rows that a member's table has, and their weights, None being 1 each.

    Args:
        x: (N, D) the table, on its device.
        weights: (N,) of the rows, None being 1 each. Whole numbers are numbers of rows, without ``units``.
        units: (2, N) each row's stratum and its cluster, whole numbers from 0, a cluster within one stratum; None where rows were
            sampled one by one.
        seed: of the member.
    """
    if units is not None:
        counts = by_clusters(units.cpu().numpy(), seed)
        weights = torch.from_numpy(counts).to(x) * (1.0 if weights is None else weights)
        rows = weights.nonzero().flatten()
        return rows, weights[rows]
    if weights is not None and bool((weights == weights.round()).all()):
        weights = _repeated(weights, seed)
        rows = weights.nonzero().flatten()
        return rows, weights[rows]
    with seeded(seed, x.device):
        rows = torch.randint(len(x), (len(x),), device=x.device)
    return rows, None if weights is None else weights[rows]


def _repeated(weights: Tensor, seed: int) -> Tensor:
    """Return how often each row is drawn, (N,), where as many rows are as ``weights`` (N,) add to, in proportion to these."""
    own = weights.double().cpu().numpy()
    counts = np.random.default_rng(seed).multinomial(max(1, round(own.sum())), own / own.sum())
    return torch.from_numpy(counts).to(weights)
