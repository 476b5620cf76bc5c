"""A row imputed by all members of an ensemble in one pass, beside each member as a row with parameters of its own.

A row alone takes through the networks what eight take, and nearly all of it is the handling of some hundred small operations. So the
members' parameters are stacked: row n of the pass is a row of the table under one member, and a parameter (D,) is one
(N, D). What is computed cell by cell broadcasts; products with a weight (N, J, D) are one for each row
(:func:`~pyro_mnar.distributions.alignment.linear`). The result is that of the members one after the other, bit for bit.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from pyro_mnar.imputation.impute import Imputation, check_asked, sizes_of
from pyro_mnar.imputation.resampling import chunk_size, padded, warn_of_impossible
from pyro_mnar.imputation.weighed_rows import impute_weighed
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checks import check_rows, row_names
from pyro_mnar.infer.streams import NoInverseError
from pyro_mnar.mechanisms.self_masking import SelfMasking
from pyro_mnar.mechanisms.sequential_masking import SequentialMasking
from pyro_mnar.model.mnar import MNAR
from pyro_mnar.model.priors import Prior
from pyro_mnar.networks.conjugate_encoder import ConjugateEncoder
from pyro_mnar.networks.decoders import GaussianDecoder
from pyro_mnar.networks.layers import AlignedLinear
from pyro_mnar.networks.warps import SkewWarp

#: Parts whose parameters may be each row's own (a test holds them to it); and the most rows of a table that go so. Of several rows the
#: last bit was not the same in all that was tried.
_PARTS = (
    MNAR,
    GaussianDecoder,
    ConjugateEncoder,
    SelfMasking,
    SequentialMasking,
    SkewWarp,
    Prior,
    AlignedLinear,
    nn.Sequential,
    nn.ReLU,
)
FEW = 1


class _Pass(nn.Module):
    def __init__(self, member: nn.Module, particles: int) -> None:
        super().__init__()
        self.bound = IWELBO(member, particles)

    def forward(
        self, rows: tuple[Tensor, ...], seeds: list[int], labels: list[Hashable], tolerance: float | None
    ) -> tuple[Tensor, ...]:
        return impute_weighed(self.bound, rows, 0, seeds, labels, True, None, tolerance)


def stacked(members: Sequence[nn.Module]) -> dict[str, Tensor] | None:
    """Return the members' parameters and what else they differ in, by name, (members, ...); None where they cannot go in one pass."""
    kinds = [[type(part) for part in member.modules()] for member in members]
    if len(members) < 2 or any(one != other for one, other in pairwise(kinds)) or not set(kinds[0]) <= set(_PARTS):
        return None
    held = [dict(member.named_parameters()) | dict(member.named_buffers()) for member in members]
    found = {}
    parameters = {name: name.rpartition(".")[0] for name, _ in members[0].named_parameters()}
    differ = {name for name, first in held[0].items() if any(_differs(first, one.get(name)) for one in held[1:])}
    # Of a part that members differ in all parameters, in their shapes as well, though some may be alike in all members.
    parts = {parameters[name] for name in differ if name in parameters}
    for name, first in held[0].items():
        each = [one.get(name) for one in held]
        if name.startswith("prior.") or (name not in differ and parameters.get(name) not in parts):
            continue
        if any(other is None or other.shape != first.shape or other.dtype != first.dtype for other in each):
            return None
        found[name] = torch.stack([part.detach() for part in each if part is not None])
    return found


def _differs(first: Tensor, other: Tensor | None) -> bool:
    return other is not first and (other is None or not torch.equal(first, other))


def impute_few(
    members: Sequence[nn.Module],
    x: Tensor,
    mask: Tensor,
    seeds: Sequence[int],
    *,
    particles: int,
    labels: Sequence[Hashable] | None,
    tolerance: float | None,
) -> list[Imputation] | None:
    """Return each member's imputation, without draws, or None where these members, or their sites' laws, do not allow it.

    Args:
        members: of an ensemble.
        x, mask, particles, labels, tolerance: as of :func:`~pyro_mnar.imputation.impute.impute_one`.
        seeds: of the members.
    """
    own = stacked(members)
    if own is None:
        return None
    check_rows(x, mask)
    check_asked(0, particles, "importance", tolerance)
    names = row_names(labels, len(x))
    holed = (~mask.all(-1)).nonzero().flatten().cpu()
    found = _in_one_pass(members[0], own, x[holed], mask[holed], seeds, [names[i] for i in holed.tolist()], particles, tolerance)
    if found is None:
        return None
    parts = []
    for mean, ess, k, levels in zip(*(part.unflatten(0, (len(members), -1)) for part in found), strict=True):
        completed, shares = torch.where(mask, x, 0.0), x.new_zeros(len(x), *levels.shape[1:])
        completed[holed], shares[holed] = mean, levels
        sizes, tails = torch.full((len(x),), float(particles)), torch.full((len(x),), -torch.inf)
        sizes[holed], tails[holed] = ess.cpu(), k.cpu()
        warn_of_impossible(tails.isnan(), names)
        none = completed.new_zeros(0, *x.shape)
        parts.append(Imputation(completed, none, sizes, tails, torch.full((len(x),), torch.nan), particles, shares))
    return parts


def _apart(values: Tensor) -> Tensor:
    """Return ``values`` (N, ..., D) with a gap behind each row, so that torch goes through every row as through the parameter that it
    stands for: it takes the last few cells of what lies in one piece by other code, which rounds otherwise."""
    return functional.pad(values, (0, 1))[..., :-1] if values.dim() == 2 else values


@torch.no_grad()
def _in_one_pass(
    first: nn.Module,
    own: dict[str, Tensor],
    x: Tensor,
    mask: Tensor,
    seeds: Sequence[int],
    labels: Sequence[Hashable],
    particles: int,
    tolerance: float | None,
) -> list[Tensor] | None:
    """Return for each row under each member, row after row of a member, the completed row, ess, Pareto k and levels."""
    # A copy that shares the tensors: another thread may be using the member.
    shared: dict[int, Any] = {id(part): part for part in (*first.parameters(), *first.buffers())}
    first = copy.deepcopy(first, shared)
    member = torch.arange(len(seeds)).repeat_interleave(len(x))
    row = torch.arange(len(x)).repeat(len(seeds))
    result = [x.new_zeros(len(row), x.shape[-1]), torch.zeros(len(row)), torch.zeros(len(row)), x.new_zeros(len(row), x.shape[-1], 0)]
    left = torch.arange(len(row))
    for size in sizes_of(particles, tolerance):
        module, within, again = _Pass(first, size), tolerance if size < particles else None, [left[:0]]
        for part in left.split(chunk_size(x.device, size * x.shape[-1])) if len(left) else ():
            at = padded(part)
            tensors = {f"bound.module.{name}": _apart(values[member[at].to(values.device)]) for name, values in own.items()}
            names = [labels[i] for i in row[at].tolist()]
            rows = x[row[at]], mask[row[at]]
            try:
                done = functional_call(module, tensors, (rows, [seeds[i] for i in member[at].tolist()], names, within))
            except NoInverseError:
                return None
            mean, _, ess, k, levels, enough = done
            found = (torch.where(rows[1], rows[0], mean.to(x)), ess, k, levels)
            if levels.shape[1:] != result[3].shape[1:]:
                result[3] = levels.new_zeros(len(row), *levels.shape[1:])
            for whole, each in zip(result, found, strict=True):
                whole[part] = each[: len(part)].to(whole)
            again.append(part[~enough[: len(part)].cpu()])
        left = torch.cat(again)
    return result
