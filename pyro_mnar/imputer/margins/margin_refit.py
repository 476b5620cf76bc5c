r"""A margin beyond the reach of a fit's draws: the ensemble is fitted again, nearer to it.

Missing values that are tilted by exp(lambda y) are those of a mask whose log odds are lambda y and something of the others. Where the
tilt that a margin asks for is so large that few draws are left, its column is supposed to go missing by its own value, at the end that
it points to, and the ensemble is fitted anew. Where a mechanism is to be so much stronger or weaker that few draws are left, its slope
is held at the one asked for, while all else is fitted anew. Then draws are weighed again, and what they reach decides whether there is
another round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.moves import Move
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.imputer.words import MECHANISMS

#: How often an ensemble is fitted again, at most.
ROUNDS = 3
# The steepest slope that is held, per scaled unit: a rule, for all that data tell.
_STEEPEST = 30.0
_WORDS = {True: "large values go missing", False: "small values go missing"}


def nearer_to_margins(imputer: Imputer, mask: np.ndarray) -> Specification:
    """Return what is to be fitted next; where nothing brings the margins nearer, what was fitted.

    Args:
        imputer: fitted, its draws weighed.
        mask: (N, D) True = observed, or known by a limit.
    """
    specification, names = imputer.specification_, [column.name for column in imputer.codec_.columns]
    ends, held = {}, dict(specification.held)
    for move in imputer.moves_:
        if move.in_reach or names[move.column] in imputer.ignorable or len(imputer.members_) < imputer.members:
            continue
        factor = float(np.median(move.moves[:, 0, 0]))
        if move.way == "tilt" and move.column not in specification.own and specification.mechanism in ("auto", "self-masking", "none"):
            ends[move.column] = "high" if factor > 1 else "low"
        elif move.way == "strength" and factor > 0:
            held[move.column] = float(np.clip(factor * _slope(imputer, move.column), -_STEEPEST, _STEEPEST))
    said = dict(zip(specification.columns, specification.directions, strict=True))
    if ends and specification.mechanism == "none":
        specification = replace(specification, mechanism="self-masking")
        said = {j: "none" for j in range(len(names)) if not mask[:, j].all()}
    said = dict(sorted((said | ends).items()))
    words: dict[str, Any] = {"columns": tuple(said), "directions": tuple(said.values()), "latent": specification.latent and not ends}
    # What margins ask for is supposed by all members.
    words |= {"others": (), "follows": ()} if ends or held != dict(specification.held) else {}
    return replace(specification, **words, held=tuple(held.items()))


def say_refitted(imputer: Imputer, at_first: Specification, moves: Sequence[Move]) -> None:
    """Write into ``moves_`` and ``reasons_`` of an ``imputer`` what was fitted again to meet its margins.

    Args:
        imputer: fitted, with both.
        at_first: what was fitted at first.
        moves: those that it asked for.
    """
    last = imputer.specification_
    changed = {j for j in last.own if last.own[j] != at_first.own.get(j) or dict(last.held).get(j) is not None}
    for i, (move, own) in enumerate(zip(imputer.moves_, moves, strict=True)):
        if move.column in changed:
            imputer.moves_[i] = replace(move, refitted=True, unadjusted=own.unadjusted, before=own.before)
    for j in last.columns if changed else ():
        name = imputer.codec_.columns[j].name
        if j in changed:
            reason = f"by its own value ({_WORDS[_slope(imputer, j) > 0]}), as strongly as its margin says"
            imputer.reasons_.loc[name, ["reason", "evidence"]] = [reason, "stated margin"]
        elif at_first.mechanism == "none":
            imputer.reasons_.loc[name, ["reason", "evidence"]] = [MECHANISMS["none"], "stated"]


@torch.no_grad()
def _slope(imputer: Imputer, j: int) -> float:
    """Return a column's slope, the mean over members."""
    return float(np.mean([float(member.mechanism.own_effects()[j]) for member in imputer.members_ if member.mechanism is not None]))
