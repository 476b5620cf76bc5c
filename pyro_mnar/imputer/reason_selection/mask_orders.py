"""In which order masks are decided, where nobody says: the orders in which seen values of earlier columns explain most.

Without own values and latent the masks of an order are D probit regressions on what is seen, whose likelihood needs no model of the
values. Of several random orders, and each one's reverse, those whose likelihood is highest are taken. Of some hundred columns and more
it is the likelihood of as many masks, drawn at random, as keeps the work that of a hundred columns: it grows with the columns alone.
Two columns that are seldom missing together may be decided in either order, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from pyro_mnar.distributions.links import log_ndtr
from pyro_mnar.infer.adamw import AdamW
from pyro_mnar.infer.streams import seeded
from pyro_mnar.mechanisms.earlier_columns import features_of
from pyro_mnar.mechanisms.prior_scales import EFFECT_DOF

#: Orders that are tried for each that is taken.
TRIES = 4
#: Rows that are looked at, steps of the regressions, and effects in all, beyond which the masks of some columns alone are looked at.
_ROWS, _STEPS, _EFFECTS = 2000, 80, 700_000
# A step, per scaled unit, at which a regression has come to rest.
_SETTLED = 1e-7
# Standard errors by which two columns are missing together too seldom; rounds in which their regressions settle, to so many units.
_SELDOM, _ROUNDS, _STILL = 3.0, 50, 0.01
# What a rate must gain, and how many two orders have beyond one each: the second's two rates, two absences, and the orders' share.
_RATE, _MORE_RATES = 2.0, 5


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
    by_count = sorted(modeled, key=lambda j: int((~mask[:, j]).sum()))
    if len(modeled) < 2 or leave_in_turn(mask, by_count):
        return [rest + by_count] * members
    with seeded(seed):
        rows = torch.randperm(len(x))[:_ROWS]
        drawn = [torch.randperm(len(modeled)).tolist() for _ in range(TRIES * members // 2)]
        tried = [rest + [modeled[i] for i in way] for one in drawn for way in (one, one[::-1])]
        some = torch.randperm(len(modeled))[: max(1, _EFFECTS // (2 * len(tried) * mask.shape[1]))].sort().values.tolist()
    likely = _penalized(torch.where(mask, x, 0.0)[rows], mask[rows], [modeled[i] for i in some], tried)
    return [tried[i] for i in likely.argsort(descending=True, stable=True)[:members].tolist()]


def leave_in_turn(mask: Tensor, order: Sequence[int]) -> bool:
    """Return whether rows leave one after another and stay away: of two or more columns, in ``order``, each one's holes are among the
    next one's."""
    pairs = list(pairwise(order))
    return bool(pairs) and all(bool((mask[:, a] | ~mask[:, b]).all()) for a, b in pairs)


def masks_by_few(
    x: Tensor,
    mask: Tensor,
    settled: Tensor,
    order: Sequence[int],
    modeled: Sequence[int],
    read: tuple[Tensor, Tensor],
    weights: Tensor,
    price: float,
    leaving: bool,
) -> tuple[float, float]:
    """Return the log likelihood of masks by few seen values of earlier columns, and that some are missing, and what these cost.

    Of each column a probit regression. An effect of an earlier column is let in, the most promising first, while the likelihood gains
    its ``price`` and the logarithm of how many there are: the best of many gains by chance (Chen and Chen 2008, "Extended Bayesian
    information criteria for model selection with large model spaces", Biometrika 95). Effects that do not matter, be they many, then
    cost nothing.

    Args:
        x: (N, D) scaled columns; the holes may hold any number.
        mask: (N, D) bool, True = observed.
        settled: (N, D) bool, holes whose reason is known.
        order: columns in the order in which masks are decided, or rows leave.
        modeled: columns whose masks are modeled.
        read: what masks may read, as of :func:`~pyro_mnar.mechanisms.earlier_columns.read_of`.
        weights: (N,) of the rows.
        price: of an effect.
        leaving: whether rows leave one after another; regressions are then among the rows still there, of which nothing is missing yet.

    Example:
        >>> from pyro_mnar.mechanisms.earlier_columns import read_of
        >>> x = torch.arange(-50.0, 50.0)[:, None].expand(-1, 2) / 25
        >>> mask = torch.stack([x[:, 0] < 9, (17 * torch.arange(100)) % 100 > 40 * (x[:, 0] > 0)], 1)
        >>> few = masks_by_few(x, mask, mask & False, [0, 1], [1], read_of(2, {}, ()), torch.ones(100).double(), 2.0, leaving=True)
        >>> round(few[0], 1), few[1]
        (-44.0, 2.0)
    """
    features, owner = features_of(x, mask, *read), read[0]
    if not leaving:
        holed = (~mask).any(0).nonzero().flatten()
        features, owner = torch.cat([features, (~mask[:, holed]).to(x)], -1), torch.cat([owner, holed])
    place = torch.full((mask.shape[1],), len(order))
    place[list(order)] = torch.arange(len(order))
    there, found = torch.ones(len(x), dtype=torch.bool), {}
    for j in [j for j in order if j in modeled] if leaving else modeled:
        rows, before = there & ~settled[:, j], (place[owner] < place[j]).nonzero().flatten()
        found[j] = _by_few(features[rows][:, before], ~mask[rows, j], weights[rows], price)
        if leaving:
            there = there & (mask[:, j] | settled[:, j])
    for a, b in [] if leaving else _apart(mask, [j for j in modeled if not settled[:, j].any()], weights):
        one, other = (features[:, owner == j].double() for j in (a, b))  # of which the last is that it is missing
        paid = (one.shape[1] + other.shape[1] - 2) * (price + math.log(len(order))) + _MORE_RATES * _RATE
        gained = _in_either_order(one, other, ~mask[:, a], ~mask[:, b], weights)
        if gained - paid > sum(likelihood - cost for likelihood, cost in (found[a], found[b])):
            found |= {a: (gained, paid), b: (0.0, 0.0)}
    return sum(likelihood for likelihood, _ in found.values()), sum(cost for _, cost in found.values())


def _apart(mask: Tensor, columns: Sequence[int], weights: Tensor) -> list[tuple[int, int]]:
    """Return pairs of ``columns`` that are missing together more seldom than by chance, the most clearly so first, each column once."""
    missing = (~mask[:, list(columns)]).double()
    share = weights @ missing / weights.sum()
    expected = weights.sum() * share.unsqueeze(1) * share
    off = (missing.T @ (weights.unsqueeze(-1) * missing) - expected) / expected.clamp_min(1e-12).sqrt()
    pairs: list[tuple[int, int]] = []
    for place in off.triu(1).flatten().argsort().tolist()[: len(columns)]:
        a, b = divmod(place, len(columns))
        if float(off[a, b]) < -_SELDOM and not {columns[a], columns[b]} & {j for pair in pairs for j in pair}:
            pairs.append((columns[a], columns[b]))
    return pairs


def _in_either_order(one: Tensor, other: Tensor, a: Tensor, b: Tensor, weights: Tensor) -> float:
    """Return the log likelihood of two columns' masks that a row decides in the one order or the other, which is not seen.

    The first has a rate, the second a probit regression on the first's features, if that is seen, and its absence. All are functions
    of what is seen, so that such masks are at random though no order of the columns explains them ("randomized monotone missingness":
    Robins and Gill 1997, "Non-response models for the analysis of non-monotone ignorable missing data", Statistics in Medicine 16).
    By EM.

    Args:
        one, other: (N, F) features of the two columns, 0 where they are missing, with their absence the last.
        a, b: (N,) bool, where they are missing.
        weights: (N,) of the rows.
    """
    ways = [(a, torch.cat([torch.ones_like(one[:, :1]), one], 1), b), (b, torch.cat([torch.ones_like(one[:, :1]), other], 1), a)]
    first, before = torch.where(a == b, 0.5, torch.where(b, 0.9, 0.1)).double(), -math.inf  # the missing one was decided last
    for _ in range(_ROUNDS):
        terms = []
        for (lead, design, led), part in zip(ways, (first, 1 - first), strict=True):
            own = (weights * part).clamp_min(1e-9)
            share = (own @ lead.double() / own.sum()).clamp(1e-9, 1 - 1e-9)
            score = _probit(design, led, own)[-1]
            of_lead = torch.where(lead, share.log(), torch.log1p(-share))
            terms.append((own.sum() / weights.sum()).log() + of_lead + log_ndtr(torch.where(led, score, -score)))
        joint = torch.stack(terms)
        first, likelihood = joint.softmax(0)[0], float(weights @ joint.logsumexp(0))
        if likelihood - before < _STILL:
            break
        before = likelihood
    return likelihood


def masks_by_rates(mask: Tensor, settled: Tensor, modeled: Sequence[int], weights: Tensor) -> float:
    """Return the log likelihood of masks by each column's rate alone; arguments are those of :func:`masks_by_few`.

    Example:
        >>> mask = torch.tensor([[True], [False]])
        >>> round(masks_by_rates(mask, mask & False, [0], torch.ones(2).double()), 2)
        -1.39
    """
    counted = (weights @ (~settled).double())[list(modeled)]
    share = (weights @ (~mask & ~settled).double())[list(modeled)] / counted
    return float(((torch.xlogy(share, share) + torch.xlogy(1 - share, 1 - share)) * counted).sum())


def _by_few(features: Tensor, missing: Tensor, weights: Tensor, price: float) -> tuple[float, float]:
    """Return the likelihood of one column's mask and what those of ``features`` (M, F) that were let in cost."""
    price = price + math.log(max(features.shape[1], 1))
    design = torch.ones(len(features), 1, dtype=torch.double)
    likelihood, residual, information, _ = _probit(design, missing, weights)
    for count in range(features.shape[1]):
        promise = _promise(features, residual.to(features), information.to(features))
        design = torch.cat([design, features[:, [int(promise.argmax())]].double()], 1)
        more, residual, information, _ = _probit(design, missing, weights)
        if more < likelihood + price:
            return likelihood, count * price
        likelihood = more
    return likelihood, features.shape[1] * price


def _promise(features: Tensor, residual: Tensor, information: Tensor) -> Tensor:
    """Return twice what each of ``features`` (M, F) alone would gain, to second order; the squares are of some rows at a time."""
    squares = torch.zeros_like(features[0])
    for told, part in zip(information.split(_ROWS), features.split(_ROWS), strict=True):
        squares += told @ part.square()
    return (residual @ features).square() / squares.clamp_min(1e-12)


def _probit(design: Tensor, missing: Tensor, weights: Tensor) -> tuple[float, Tensor, Tensor, Tensor]:
    """Return a probit regression's log likelihood, each row's derivative and information, (M,), of its score, and the score."""
    sign = torch.where(missing, 1.0, -1.0).double()
    beta = design.new_zeros(design.shape[1])
    for _ in range(25):  # Fisher's scoring; a little held back, since a hard rule has no end
        score = design @ beta
        log_density = -0.5 * score.square() - 0.5 * math.log(2 * math.pi)
        residual = weights * sign * (log_density - log_ndtr(sign * score)).exp()
        information = weights * (2 * log_density - log_ndtr(score) - log_ndtr(-score)).exp()
        curvature = design.T @ (information.unsqueeze(-1) * design) + 0.01 * torch.eye(len(beta), dtype=torch.double)
        step = torch.linalg.solve(curvature, design.T @ residual - 0.01 * beta)
        beta = beta + step
        if float(step.abs().max()) < _SETTLED:
            break
    score = design @ beta
    return float(weights @ log_ndtr(sign * score)), residual, information, score


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
