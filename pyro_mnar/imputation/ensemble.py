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
from pyro_mnar.imputation.impute import Imputation, impute_one
from pyro_mnar.imputation.resampling import CHUNK, chunk_size, work_of
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checks import rows_of
from pyro_mnar.infer.ensembles import member_seed
from pyro_mnar.infer.processes import each, n_processes
from pyro_mnar.infer.progress import in_whole
from pyro_mnar.infer.streams import seeded


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

    Arguments and errors are those of :func:`~pyro_mnar.imputation.impute.impute_one`. Of several members, ``draws`` are of the mixture,
    in whole: M draws of an ensemble of eight are M / 8 of each member, in the members' order, and where that leaves a remainder the
    first members have one more. ``particles`` are of each member; ``ess`` and ``pareto_k`` are the members' means, ``rhat`` the worst
    of those members that sampled the row.

    ``tolerance`` is of the pooled means: the members' errors are independent, and each may have the square root of their number times
    as much.

    ``n_jobs`` processes impute, a member each; None is 1 and -1 all cores, and the result is the same. On another ``device`` than that
    of ``x`` copies of the members compute, and the result comes back.

    Raises:
        ValueError: also for a list of none.

    Example:
        >>> from pyro_mnar.model.mnar import MNAR
        >>> from pyro_mnar.networks.decoders import GaussianDecoder
        >>> from pyro_mnar.networks.encoders import GaussianEncoder
        >>> members = [MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2)) for _ in range(2)]
        >>> x, mask = torch.zeros(3, 2), torch.tensor([[True, False]] * 3)
        >>> impute(members[0], x, mask, draws=5).draws.shape, impute(members, x, mask, draws=5).draws.shape
        (torch.Size([5, 3, 2]), torch.Size([5, 3, 2]))
    """
    options: dict[str, Any] = {"particles": particles, "method": method, "labels": labels, "functions": functions, "limits": limits}
    if device is not None and torch.device(device) != x.device:
        there = copy.deepcopy(module).to(device) if isinstance(module, nn.Module) else [copy.deepcopy(one).to(device) for one in module]
        options |= {"draws": draws, "seed": seed, "tolerance": tolerance, "progress": progress, "n_jobs": n_jobs}
        options["limits"] = None if limits is None else limits.to(device)
        return impute(there, x.to(device), mask.to(device), **options).to(x.device)
    if isinstance(module, nn.Module):
        return impute_one(module, x, mask, draws=draws, seed=seed, tolerance=tolerance, progress=progress, **options)
    members = module
    if not len(members):
        raise ValueError("module: got no members, expected at least one")
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
