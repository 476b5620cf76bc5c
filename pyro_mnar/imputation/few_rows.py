"""A few rows imputed by all members of an ensemble in one pass, beside each member as rows with parameters of their own.

A row alone takes through the networks what eight take, and nearly all of it is the handling of some hundred small operations. So the
members' parameters are stacked: row n of the pass is a row of the table under one member, and a parameter (D,) is one
(N, D). What is computed cell by cell broadcasts; products with a weight (N, J, D) are one for each row
(:func:`~pyro_mnar.distributions.alignment.linear`). The result is that of the members one after the other, bit for bit.

Each class of parts whose parameters may be rows' own says so by ``rowwise = True``, also of those it inherits from. A part that
computes something of its parameters alone, in another shape than it would have for all rows together, may ask the members for it:
``stand_for(members, at)`` gives it theirs, the member of each row.

A service asks one ensemble row after row: what was stacked is kept for as long as the first member lives, and stacked anew where a
member's tensors are others or were changed in place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyro_mnar.imputation.impute import Imputation, check_asked, sizes_of
from pyro_mnar.imputation.resampling import chunk_size, padded, warn_of_impossible
from pyro_mnar.imputation.weighed_rows import impute_weighed
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.checks import check_rows, row_names
from pyro_mnar.infer.streams import NoInverseError

#: The most rows that go so: of more each member has passes that are worth their handling.
FEW = 8
# Numbers in what a processor reads at once.
_LINE = 16
# Numbers of all members' parameters, counted over rows, beyond which memory would be dear.
_MOST = 2**23


class _Stack(NamedTuple):
    """What was stacked, by the number of rows, None where it cannot be, of which tensors, and how these stood."""

    modules: dict[int, nn.Module | None]
    tensors: list[Tensor]
    stamps: list[tuple[int, int, int]]


_STACKS: WeakKeyDictionary[nn.Module, _Stack] = WeakKeyDictionary()


def stacked(members: Sequence[nn.Module], n_rows: int = 1) -> nn.Module | None:
    """Return a member whose parameters are all members', of ``n_rows`` rows each, one member after the other and padded as rows are;
    None where they cannot go in one pass."""
    parts, held = list(members), []
    for part in parts:  # which grows by what it holds
        held += [*part._parameters.values(), *part._buffers.values()]
        parts += [inner for inner in part._modules.values() if inner is not None]
    tensors = [tensor for tensor in held if tensor is not None]
    if tensors and tensors[0].is_inference():  # which nobody counts the changes of
        return None
    if n_rows > 1 and n_rows * sum(tensor.numel() for tensor in tensors) > _MOST:
        return None
    stamps = [(id(tensor), tensor._version, tensor.data_ptr()) for tensor in tensors]
    found = _STACKS.get(members[0])
    if found is None or found.stamps != stamps:
        found = _STACKS[members[0]] = _Stack({}, tensors, stamps)
    if n_rows not in found.modules:
        found.modules[n_rows] = _stacked(members, n_rows)
    return found.modules[n_rows]


@torch.no_grad()
def _stacked(members: Sequence[nn.Module], n_rows: int) -> nn.Module | None:
    kinds = [[type(part) for part in member.modules()] for member in members]
    if len(members) < 2 or any(one != other for one, other in pairwise(kinds)) or not all(map(_is_rowwise, kinds[0])):
        return None
    held = [dict(member.named_parameters()) | dict(member.named_buffers()) for member in members]
    owners = {name: name.rpartition(".")[0] for name, _ in members[0].named_parameters()}
    differ = {name for name, first in held[0].items() if any(_differs(first, one.get(name)) for one in held[1:])}
    # Of a part that members differ in all parameters, in their shapes as well, though some may be alike in all members.
    parts = {owners[name] for name in differ if name in owners}
    # Tensors are shared with the first member, which is left as it is.
    shared: dict[int, Any] = {id(tensor): tensor for tensor in held[0].values()}
    module, at = copy.deepcopy(members[0], shared), padded(torch.arange(len(members)).repeat_interleave(n_rows))
    for name, first in held[0].items():
        each = [one.get(name) for one in held]
        if name.startswith("prior.") or (name not in differ and owners.get(name) not in parts):
            continue
        if any(other is None or other.shape != first.shape or other.dtype != first.dtype for other in each):
            return None
        place, _, leaf = name.rpartition(".")
        part = module.get_submodule(place)
        part._parameters.pop(leaf, None)
        part._buffers[leaf] = _apart(torch.stack([one for one in each if one is not None])[at.to(first.device)])
    for name, kept in module.named_modules():
        if hasattr(kept, "stand_for"):
            kept.stand_for([member.get_submodule(name) for member in members], at)
    return module


def _is_rowwise(kind: type[nn.Module]) -> bool:
    # Each class says it of itself: what a class below it adds may not do so.
    return kind in (nn.Sequential, nn.ModuleList) or vars(kind).get("rowwise", False)


def _differs(first: Tensor, other: Tensor | None) -> bool:
    # NaN stands for none, and is like NaN.
    return other is not first and (other is None or not torch.equal(first.nan_to_num(torch.inf), other.nan_to_num(torch.inf)))


def _apart(values: Tensor) -> Tensor:
    """Return ``values`` (N, ...) with a gap behind each row, so that torch goes through every row as through the parameter that it
    stands for: it takes the last few cells of what lies in one piece by other code, which rounds otherwise."""
    size = values[0].numel()
    # Rows begin where tensors of their own would.
    whole = functional.pad(values.flatten(1), (0, _LINE - size % _LINE))
    return whole[:, :size].unflatten(1, values.shape[1:]) if values.dim() > 1 else values


@torch.no_grad()
def impute_rows(
    members: Sequence[nn.Module],
    x: Tensor,
    mask: Tensor,
    seeds: Sequence[int],
    *,
    draws: Sequence[int],
    particles: int,
    labels: Sequence[Hashable] | None,
    functions: Mapping[int, Callable[[Tensor], Tensor]] | None,
    tolerance: float | None,
) -> list[Imputation] | None:
    """Return each member's imputation of a few rows, or None where these members, or their sites' laws, do not allow it.

    Args:
        members: of an ensemble.
        x: (N, D) float.
        mask: (N, D) bool, True = observed.
        seeds: of the members.
        draws: of each member.
        particles, labels, functions, tolerance: as of :func:`~pyro_mnar.imputation.impute.impute_one`.
    """
    # One, two, four or eight rows, so that there are few stacks.
    rows = padded(torch.arange(len(x)), 1)
    count, most = len(members) * len(rows), max(draws)
    module = stacked(members, len(rows)) if count <= chunk_size(x.device, particles * x.shape[-1]) else None
    if module is None:
        return None
    check_rows(x, mask)
    check_asked(min(draws), particles, "importance", tolerance)
    names, at = row_names(labels, len(x)), padded(torch.arange(count))
    own, n_own = rows[at % len(rows)], len(x)
    given, each = (x[own], mask[own]), [seeds[i] for i in (at // len(rows)).tolist()]
    x, mask = (part[:count] for part in given)
    sizes, tails = torch.full((count,), float(particles)), torch.full((count,), -torch.inf)
    found = [x.clone(), x.repeat(most, 1, 1).transpose(0, 1), sizes, tails, x.new_zeros(count, x.shape[-1], 0)]
    left, all_names = ~mask.all(-1).cpu(), [names[i] for i in own.tolist()]
    for size in sizes_of(particles, tolerance):
        if not bool(left.any()):
            break
        within, bound = tolerance if size < particles else None, IWELBO(module, size)
        try:
            mean, drawn, ess, k, levels, enough = impute_weighed(bound, given, most, each, all_names, True, functions, within)
        except NoInverseError:
            return None
        if levels.shape[1:] != found[4].shape[1:]:
            found[4] = levels.new_zeros(count, *levels.shape[1:])
        filled = torch.where(mask, x, mean[:count].to(x)), torch.where(mask, x, drawn[:, :count].to(x)).transpose(0, 1)
        for whole, part in zip(found, (*filled, ess, k, levels), strict=True):
            whole[left] = part[:count].to(whole)[left]
        left &= ~enough[:count].cpu()
    parts = []
    for share, *of_member in zip(draws, *(part.split(len(rows)) for part in found), strict=True):
        completed, drawn, ess, k, levels = (part[:n_own] for part in of_member)
        warn_of_impossible(k.isnan(), names)
        none = torch.full((n_own,), torch.nan)
        parts.append(Imputation(completed, drawn[:, :share].transpose(0, 1), ess, k, none, particles, levels))
    return parts
