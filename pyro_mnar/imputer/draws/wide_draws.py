r"""Draws of a fitted ``MNARImputer`` that reach as far as tilts of its law may go.

A table that is analyzed needs few draws, and a tilt hundreds (:mod:`pyro_mnar.analysis.candidates`): so the completed tables come from
candidates, ``CANDIDATES`` of each member.

Where masks of a member read their own values, and not the row's latent, half of these are drawn as the model says, from
p(x) P(s | x), and half as if it had no mechanism, from p(x): a weaker mechanism's missing values lie where few of the first do. With
L = log P(s | x), each is weighed by the model's law over the mixture of the two that it could come from (the balance heuristic of Veach
and Guibas 1995, "Optimally combining sampling techniques for Monte Carlo rendering"; as importance weights Owen and Zhou 2000, "Safe
and effective importance sampling", JASA 95),

    w  =  e^L / (1/2 e^L / Z + 1/2),        Z  =  mean of w over both halves,

which is at most 2 Z. Z is found by Newton's method on its logarithm; where the two laws lie apart, plain iteration would stand still.
(1 / Z would be the mean of e^-L over the first half, whose variance is infinite.)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.analysis.candidates import Candidates
from pyro_mnar.data.masking import join
from pyro_mnar.data.schema import Schema, is_frame
from pyro_mnar.imputation.weighted_draws import weighted_draws
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.rules.ruled_candidates import obedient_candidates
from pyro_mnar.imputer.tables.extremes import within_reach
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.infer.ensembles import member_seed
from pyro_mnar.infer.processes import each as run_each
from pyro_mnar.model.mnar import MNAR

if TYPE_CHECKING:
    from pandas.api.extensions import ExtensionArray

#: Draws of each member; fewer where ``_MOST`` rows or ``_MOST_CELLS`` cells would be exceeded, of all members together.
CANDIDATES = 800
_MOST, _MOST_CELLS = 20_000_000, 100_000_000
# Below, the weights' tails cannot be fitted, and the draws of few members are few.
_FEWEST = 200
# Cells handled at once.
_AT_ONCE = 4_000_000
# Rounds of Newton's method for log Z, and its longest step.
_ROUNDS, _STEP = 30, 3.0


@torch.no_grad()
def candidates_of(imputer: Imputer, given: Given, groups: Sequence[int]) -> Candidates:
    """Return weighted draws of the missing cells of a table (N, D), of each member that ``groups`` (M,) name.

    There are ``CANDIDATES`` of each, or twice as many as ``groups`` asks of it where that is more.
    """
    values, mask, missing, codec = given.values, given.mask, given.missing, given.codec
    rows, chosen = np.flatnonzero(missing.any(1)), list(dict.fromkeys(groups))  # of fewer tables than members, the first
    members, least = [imputer.members_[group] for group in chosen], 2 * groups.count(chosen[0])
    once = len(members) * max(1, len(rows))
    each = max(least, _FEWEST, min(CANDIDATES, _MOST // once, _MOST_CELLS // (once * values.shape[1])))
    total = each * len(members)
    free = each // 2 if imputer.specification_.own_alone else 0
    turns = torch.cat([torch.arange(each - free) * 2, torch.arange(free) * 2 + 1]).argsort()
    limits, limited = given.limits, torch.from_numpy(given.limited | given.absent)
    labels = _unique(given.labels or range(len(values)))
    log_weights, filled = np.zeros((total, len(values))), values.copy()
    names, whole = names_of(given), within_reach(given)
    holed = np.flatnonzero(missing.any(0)).tolist()
    parts: dict[int, list[np.ndarray]] = {j: [] for j in holed}
    for some in in_parts(rows, total * values.shape[1]):
        x, seen = whole[some], given.seen[some]
        known = None if limits is None else limits[some]
        drawn, own_weights = _draw(imputer, members, x, seen, known, each, free, [labels[i] for i in some])
        if free:
            masks = [_log_mask(member, own, seen, limited[some]) for member, own in zip(members, drawn, strict=True)]
            own_weights = torch.stack([balanced(part, own, free) for part, own in zip(masks, own_weights, strict=True)])
            # Each half alone has another law than the model's: by turns, so that tables, each from a stretch of the draws, have both.
            drawn, own_weights = drawn[:, turns], own_weights[:, turns]
        log_weights[:, some] = own_weights.flatten(0, 1).numpy()
        # Observed cells come from the table itself, as they stood.
        cells = codec.invert(drawn.flatten(0, 2).double().numpy()).reshape(total, len(some), -1)
        cells = cells if given.within_ends is None else np.clip(cells, *np.moveaxis(given.within_ends[some], -1, 0))
        cells = np.where(mask[some], values[some], cells)
        if given.known.rules:
            flat = log_weights[:, some]
            obedient_candidates(imputer, given, some, cells, flat, len(members))
            log_weights[:, some] = flat
        filled[some] = cells[0]
        for j in holed:
            parts[j].append(cells[:, missing[some, j], j])
    holes = {names[j]: np.flatnonzero(missing[:, j]) for j in holed}
    written = {names[j]: _written(given, j, np.concatenate(parts[j], 1)) for j in holed}
    template = given.complete([filled])[0]
    return Candidates(template, holes, written, np.repeat([str(group) for group in chosen], each), log_weights)


def _written(given: Given, j: int, cells: np.ndarray) -> ExtensionArray | np.ndarray:
    """Return numbers (P, H) of the missing cells of column j in the column's own type, (P * H,)."""
    table, column = given.table, given.codec.columns[j]
    # With what is observed of the column beside them: types, and whether dates are whole days, are read off it.
    seen, holes = np.flatnonzero(given.mask[:, j]), np.flatnonzero(given.missing[:, j])
    index = np.concatenate([seen, np.tile(holes, len(cells))])
    piece = table[[column.name]].iloc[index] if is_frame(table) else table[index][:, [given.codec.layout.known[j]]]
    numbers = np.concatenate([given.values[seen, j], cells.ravel()])
    own = join(piece, numbers[:, None], np.arange(len(index))[:, None] < len(seen), Schema((column,)))
    return (own[column.name].array if is_frame(own) else own[:, 0])[len(seen) :]


def in_parts(rows: np.ndarray, cells: int) -> list[np.ndarray]:
    """Return ``rows`` some at a time, each of which means so many ``cells``."""
    size = max(1, _AT_ONCE // max(1, cells))
    return np.split(rows, range(size, len(rows), size)) if len(rows) and cells else []


def warped(member: MNAR, x: Tensor) -> Tensor:
    """Return complete rows ``x`` (..., D) on the scale that the mechanism of ``member`` reads."""
    return x if member.warp is None else member.warp(x)[0]


def _draw(
    imputer: Imputer,
    members: Sequence[MNAR],
    x: Tensor,
    mask: Tensor,
    limits: Tensor | None,
    each: int,
    free: int,
    labels: list[Hashable],
) -> tuple[Tensor, Tensor]:
    """Return draws (G, K, N, D) of rows from each of G ``members``, the last ``free`` of K = ``each`` as if it had no mechanism.

    And the logarithms of their weights, (G, K, N), which add to 1 in either part.
    """
    sources = [(members, each - free, imputer.seed)]
    if free:  # with another seed: the two are to be independent
        sources.append(([_ignorable(member) for member in members], free, member_seed(imputer.seed, len(imputer.members_))))
    calls = [
        partial(weighted_draws, model, x, mask, share, limits=limits, seed=member_seed(seed, i), labels=labels)
        for models, share, seed in sources
        for i, model in enumerate(models)
    ]
    found = list(run_each(calls, n_jobs=imputer.n_jobs, said="drawing", progress=imputer.progress))
    halves = [found[i : i + len(members)] for i in range(0, len(found), len(members))]
    rows, log_weights = (torch.cat([torch.stack([pair[k] for pair in half]) for half in halves], 1) for k in (0, 1))
    return rows, log_weights.double()


def _ignorable(member: MNAR) -> MNAR:
    """Return a member without its mechanism; one whose masks read the latent, and is not to be moved, as it is."""
    if member.mechanism is None or member.mechanism.reads_latent:
        return member
    return MNAR(member.decoder, member.encoder, None, member.warp, latent_prior=member.latent_prior).eval()


def _log_mask(member: MNAR, x: Tensor, mask: Tensor, limited: Tensor) -> Tensor:
    """Return log P(s | x), (K, N), of the masks (N, D) in complete rows (K, N, D), but of cells that are ``limited`` (N, D)."""
    assert member.mechanism is not None
    if member.mechanism.reads_latent:  # both parts have its law
        return torch.zeros(x.shape[:-1]).double()
    cells = member.mechanism(warped(member, x)).cell_log_prob(mask.expand(x.shape))
    return torch.where(limited, 0.0, cells).sum(-1).double()


def balanced(log_mask: Tensor, log_weights: Tensor, free: int) -> Tensor:
    """Return log w of draws under the model's law, (K, N).

    Args:
        log_mask: (K, N) log P(s | x) at the draws.
        log_weights: (K, N) of each part's draws under its own law, adding to 1.
        free: how many, the last ones, come from the law without a mechanism.

    Example:
        >>> balanced(torch.zeros(4, 1).double(), torch.full((4, 1), 0.5).double().log(), 2).exp().flatten()
        tensor([0.2500, 0.2500, 0.2500, 0.2500], dtype=torch.float64)
    """
    log_mask = log_mask.nan_to_num()  # rows that no particle explains
    share = free / len(log_mask)
    own = log_weights + torch.cat([log_mask.new_full((len(log_mask) - free, 1), 1 - share), log_mask.new_full((free, 1), share)]).log()
    log_z = (log_mask + log_weights)[-free:].logsumexp(0)
    for _ in range(_ROUNDS):
        first = log_mask - log_z + math.log1p(-share)
        mixture = torch.logaddexp(first, torch.full_like(log_mask, math.log(share)))
        log_w = own + log_mask - mixture
        found = log_w.logsumexp(0)
        # The share of it that the first half explains is the derivative of what is found by log Z.
        left = 1 - ((log_w - found).exp() * (first - mixture).exp()).sum(0)
        log_z = log_z + ((found - log_z) / left.clamp_min(1e-6)).clamp(-_STEP, _STEP)
    return log_w


def names_of(given: Given) -> list[Hashable]:
    """Return what the model's columns are called in the table as it was given, and in its draws; of an array, their positions."""
    X, layout = given.X, given.codec.layout
    if not is_frame(X):
        return list(layout.known)
    names: list[Hashable] = [column.name for column in given.codec.columns]
    return names if set(names) <= set(X.columns) else [X.columns[j] for j in layout.known]


def _unique(labels: Iterable[Hashable]) -> list[Hashable]:
    """Return rows' names for their random streams, those that repeat with a count: rows are imputed some at a time."""
    seen: Counter[Hashable] = Counter()
    names: list[Hashable] = []
    for label in labels:
        names.append((label, seen[label]) if seen[label] else label)
        seen[label] += 1
    return names
