"""In which order masks are decided, where nobody says: the orders in which seen values of earlier columns explain most.

Without own values and latent the masks of an order are D probit regressions on what is seen, whose likelihood needs no model of the
values. Of several random orders, and each one's reverse, those whose likelihood is highest are taken. Of some hundred columns and more
it is the likelihood of as many masks, drawn at random, as keeps the work that of a hundred columns: it grows with the columns alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from pyro_mnar.distributions.links import log_ndtr
from pyro_mnar.infer.adamw import AdamW
from pyro_mnar.infer.streams import seeded
from pyro_mnar.mechanisms.prior_scales import EFFECT_DOF

#: Orders that are tried for each that is taken.
TRIES = 4
#: Rows that are looked at, steps of the regressions, and effects in all, beyond which the masks of some columns alone are looked at.
_ROWS, _STEPS, _EFFECTS = 2000, 80, 700_000


def orders_of(x: Tensor, mask: Tensor, modeled: Sequence[int], order: Sequence[int] | None, members: int, seed: int) -> list[list[int]]:
    """Return for each member all columns in the order in which their masks are decided; those that are not modeled come first.

    The stated order, where there is one. Else the order in which rows leave, where they do: each column's holes are then among the next
    one's. Else the likeliest of random orders, a different one for each member.

    Args:
        x: (N, D) scaled columns; the holes may hold any number.
        mask: (N, D) bool, True = observed.
        modeled: columns whose masks are modeled.
        order: all columns, or None.
        members: how many orders are wanted.
        seed: of the random orders.

    Example:
        >>> mask = torch.tensor([[True, True, True], [True, True, False], [False, True, False]])
        >>> orders_of(torch.zeros(3, 3), mask, [0, 2], None, 2, seed=0)
        [[1, 0, 2], [1, 0, 2]]
    """
    if order is not None:
        return [list(order)] * members
    rest = [j for j in range(mask.shape[1]) if j not in modeled]
    if len(modeled) < 2 or leave_in_turn(mask, modeled):
        return [rest + _by_count(mask, modeled)] * members
    with seeded(seed):
        rows = torch.randperm(len(x))[:_ROWS]
        drawn = [torch.randperm(len(modeled)).tolist() for _ in range(TRIES * members // 2)]
        tried = [rest + [modeled[i] for i in way] for one in drawn for way in (one, one[::-1])]
        some = torch.randperm(len(modeled))[: max(1, _EFFECTS // (2 * len(tried) * mask.shape[1]))].sort().values.tolist()
    likely = _penalized(torch.where(mask, x, 0.0)[rows], mask[rows], [modeled[i] for i in some], tried)
    return [tried[i] for i in likely.argsort(descending=True, stable=True)[:members].tolist()]


def leave_in_turn(mask: Tensor, modeled: Sequence[int]) -> bool:
    """Return whether rows leave one after another: of two or more columns, each one's holes are among the next one's, fewest first."""
    pairs = list(pairwise(_by_count(mask, modeled)))
    return bool(pairs) and all(bool((mask[:, a] | ~mask[:, b]).all()) for a, b in pairs)


def _by_count(mask: Tensor, modeled: Sequence[int]) -> list[int]:
    return sorted(modeled, key=lambda j: int((~mask[:, j]).sum()))


def _penalized(x: Tensor, mask: Tensor, modeled: Sequence[int], orders: Sequence[Sequence[int]]) -> Tensor:
    """Return the penalized log-likelihood of the masks, (O,), of probit regressions on what is seen earlier in each of ``orders``."""
    place = torch.tensor(orders).argsort(-1)  # (O, D)
    allowed = (place.unsqueeze(1) < place[:, list(modeled)].unsqueeze(2)).repeat(1, 1, 2).to(x)
    features, sign = torch.cat([x, (~mask).to(x)], -1), torch.where(mask, -1.0, 1.0)[:, list(modeled)].unsqueeze(1)
    start = torch.special.ndtri((~mask).to(x).mean(0).clamp(0.01, 0.99))[list(modeled)]
    weight = torch.zeros_like(allowed, requires_grad=True)
    bias = start.expand(len(orders), -1).clone().requires_grad_()
    optimizer = AdamW([{"params": [weight, bias], "lr": 0.1, "weight_decay": 0.0}], betas=(0.9, 0.999))
    for _ in range(_STEPS):
        optimizer.zero_grad()
        score = torch.einsum("nf,ojf->noj", features, weight * allowed) + bias
        penalty = 0.5 * (EFFECT_DOF + 1) * torch.log1p(weight.square() / EFFECT_DOF).sum((1, 2))
        value = log_ndtr(sign * score).sum((0, 2)) - penalty
        (-value.sum() / len(x)).backward()
        optimizer.step()
    return value.detach()
