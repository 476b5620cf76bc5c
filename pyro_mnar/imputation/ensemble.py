"""Imputations and bounds of an ensemble: every member imputes, and what they say is pooled with equal weights.

The pooled posterior is the mixture of the members': its mean is the mean of theirs, its draws are theirs in turn. Where members
agree it is as narrow as each; where the data leave them free to differ it is wider than any.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn

from pyro_mnar.imputation.few_rows import FEW, impute_rows
from pyro_mnar.imputation.impute import Imputation, check_tolerance, impute_one
from pyro_mnar.imputation.resampling import CHUNK, chunk_size, work_of
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checks import check_counts, check_members, rows_of
from pyro_mnar.infer.ensembles import member_seed
from pyro_mnar.infer.processes import each, n_processes
from pyro_mnar.infer.progress import in_whole
from pyro_mnar.infer.streams import check_seed, seeded


def draws_of(draws: int, members: int) -> list[int]:
    """Return how many of ``draws`` each of ``members`` gives: as many, the first ones one more where that leaves a remainder.

    Example:
        >>> draws_of(20, 8)
        [3, 3, 3, 3, 2, 2, 2, 2]
    """
    return [draws // members + (i < draws % members) for i in range(members)]


def impute(
    module: nn.Module | Sequence[nn.Module],
    x: Tensor,
    mask: Tensor,
    *,
    limits: Tensor | None = None,
    draws: int = 0,
    particles: int = 200,
    method: str = "importance",
    seed: int = 0,
    labels: Sequence[Hashable] | None = None,
    functions: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
    tolerance: float | None = None,
    progress: bool = True,
    n_jobs: int | None = None,
    device: torch.device | str | None = None,
) -> Imputation:
    """Return the imputation of a module, or the pooled one of an ensemble's members, a list.

    Args:
        module: one that has ``model(x, mask)`` and ``guide(x, mask)``, and says what its missing cells are
            (:mod:`pyro_mnar.imputation.impute`), or a list of these, the members of an ensemble.
        x: (N, D) float; the holes may hold anything.
        mask: (N, D) bool, True = observed.
        limits: (N, D, 2), between which missing values are known to lie, as a third argument of model and guide; or None.
        draws: M, imputations of each missing cell. Of several members they are of the mixture, in whole: M / 8 of each of eight, in the
            members' order, and where that leaves a remainder the first members have one more.
        particles: S of each member, at least 100; with a ``tolerance`` the most of them.
        method: ``importance`` (weights alone), ``auto`` (Markov chains for the rows whose Pareto k is above the threshold) or ``mcmc``
            (chains for every row that misses something).
        seed: the seed of all draws; global random state is neither read nor changed.
        labels: one for each row, its name for the random streams, the same draws in any table; positions by default.
            Rows may share one: the second of a label, in the table's order, has other draws than the first. 1 and "1" are two.
        functions: functions by column of real values, which take it (a tensor of any shape) to other units. ``completed`` holds its
            posterior mean in these, which is not the function of the mean; ``draws`` are not touched.
        tolerance: the Monte Carlo error of a row's means that suffices, as a share of each cell's posterior standard deviation, such as
            .02; None spends all particles on every row.
        progress: a bar on standard error; none where that is not a terminal.
        n_jobs: processes that impute, a member each; None is 1 and -1 all cores. The result is the same.
        device: where copies of the members compute, if not where ``x`` is; the result comes back.

    Of several members ``ess`` and ``pareto_k`` are the means, and ``rhat`` is the worst of those members that sampled the row. Their
    errors are independent, so that each may have the square root of their number times the ``tolerance``.

    Raises:
        ValueError: for arguments out of range, labels of the wrong number, a model that names no missing cells, or a list of none.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> members = [MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2)) for _ in range(2)]
        >>> x, mask = torch.zeros(3, 2), torch.tensor([[True, False]] * 3)
        >>> impute(members[0], x, mask, draws=5).draws.shape, impute(members, x, mask, draws=5).draws.shape
        (torch.Size([5, 3, 2]), torch.Size([5, 3, 2]))
    """
    check_seed(seed)
    check_tolerance(tolerance)
    check_counts(0, draws=draws)
    options: dict[str, Any] = {"particles": particles, "method": method, "labels": labels, "functions": functions, "limits": limits}
    if device is not None and torch.device(device) != x.device:
        there = copy.deepcopy(module).to(device) if isinstance(module, nn.Module) else [copy.deepcopy(one).to(device) for one in module]
        options |= {"draws": draws, "seed": seed, "tolerance": tolerance, "progress": progress, "n_jobs": n_jobs}
        options["limits"] = None if limits is None else limits.to(device)
        return impute(there, x.to(device), mask.to(device), **options).to(x.device)
    if isinstance(module, nn.Module):
        return impute_one(module, x, mask, draws=draws, seed=seed, tolerance=tolerance, progress=progress, **options)
    members = module
    check_members("module", members)
    shares = draws_of(draws, len(members))
    options["tolerance"] = None if tolerance is None else tolerance * math.sqrt(len(members))
    seeds, parts = [member_seed(seed, i) for i in range(len(members))], None
    if len(members) > 1 and 0 < len(x) <= FEW and method == "importance" and limits is None:
        own = {name: options[name] for name in ("particles", "labels", "functions", "tolerance")}
        parts = impute_rows(members, x, mask, seeds, draws=shares, **own)
    if parts is None:
        options["progress"] = progress and (len(members) == 1 or (in_whole() and n_processes(n_jobs, len(members)) == 1))
        calls = [
            partial(impute_one, member, x, mask, draws=share, seed=its, **options)
            for member, share, its in zip(members, shares, seeds, strict=True)
        ]
        worth = work_of(int((~mask.all(-1)).sum()))
        parts = list(each(calls, n_jobs=n_jobs, said="imputing", progress=progress, worth=worth))
    completed = _mean([part.completed for part in parts])
    return Imputation(
        torch.where(mask, x, completed),
        torch.cat([part.draws for part in parts]),
        _mean([part.ess for part in parts]),
        _mean([part.pareto_k for part in parts]),
        torch.stack([part.rhat for part in parts]).nan_to_num(-torch.inf).amax(0).nan_to_num(neginf=torch.nan),
        particles,
        _mean([part.probabilities for part in parts]),
        sizes=tuple(shares),
    )


def _mean(parts: Sequence[Tensor]) -> Tensor:
    """Return the mean of members' results, added up in their order: torch adds up the last cells of a stack in another one, so that a
    row's last bit would depend on how many rows come with it."""
    return reduce(torch.add, parts) / len(parts)


def score_ensemble(
    members: Sequence[nn.Module],
    x: Tensor,
    mask: Tensor,
    *,
    limits: Tensor | None = None,
    particles: int = 200,
    seed: int = 0,
    n_jobs: int | None = None,
) -> Tensor:
    """Return the bound of each row under the members' mixture, (N,) in nats, with K = ``particles`` for each member.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> members = [MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2)) for _ in range(2)]
        >>> score_ensemble(members, torch.zeros(3, 2), torch.tensor([[True, False]] * 3)).shape
        torch.Size([3])
    """
    calls = [partial(_score, member, x, mask, limits, particles, seed) for member in members]
    return torch.stack(list(each(calls, n_jobs=n_jobs))).logsumexp(0) - math.log(len(members))


@torch.no_grad()
def _score(member: nn.Module, x: Tensor, mask: Tensor, limits: Tensor | None, particles: int, seed: int) -> Tensor:
    bound = IWELBO(member, particles)
    with seeded(seed):
        parts = torch.arange(len(x), device=x.device).split(min(CHUNK, chunk_size(x.device, particles * x.shape[-1])))
        return torch.cat([bound(*rows_of(rows, x, mask, limits)) for rows in parts]).double()
