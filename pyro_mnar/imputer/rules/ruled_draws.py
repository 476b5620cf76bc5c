"""Draws that obey rules of rows, where single limits do not see to it.

A rule all of whose columns but one are observed is a limit of that one (:mod:`pyro_mnar.data.rules.rule_ends`), which the model
integrates. In rows where a rule is open in several cells, in a level, or in which of its alternatives holds, draws come from the model
as it is,

- numbers that an equality ties together are conditioned on it (:mod:`pyro_mnar.data.rules.rule_repair`),
- what does not obey is rejected, so that the rest are draws given that the rule holds, and more are drawn until there are enough,
- where fewer than one in a hundred obey, the row's draws are moved inside as normal draws would be, and a warning names the row.

Everything is in the table's units, rounded as the table will have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from pyro_mnar.data.layout import label_of
from pyro_mnar.data.rules.rule_parts import Among, Joined, Part
from pyro_mnar.data.rules.rule_repair import moved_inside, on_steps, repaired
from pyro_mnar.data.rules.rules import Rule
from pyro_mnar.data.warn import warn
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.tables.extremes import within_reach
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.infer.ensembles import member_seed
from pyro_mnar.infer.streams import distinct

#: Draws of each member at once, how often, and the share that obeys below which draws are moved.
_LEAST, _ROUNDS, _FEW = 50, 4, 0.01
# Between the seeds of one round and another.
_APART = 1000


class Obeying(NamedTuple):
    """Draws of some rows that obey.

    Attributes:
        rows: (H,) their places.
        draws: (M, H, D) in the table's units, members in turn: as many of each as of the others.
        open: (H,) bool, whether the model's own draws had to be changed or left out.
    """

    rows: np.ndarray
    draws: np.ndarray
    open: np.ndarray


def steps_of(given: Given) -> np.ndarray:
    """Return how far apart possible numbers of each column stand, (D,), 0 of a continuum."""
    return np.array([column.step(given.values[given.mask[:, j], j]) for j, column in enumerate(given.codec.columns)])


def as_written(given: Given, numbers: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return numbers (..., D) in the table's units as it will hold them: rounded, of its precision, possible."""
    found = on_steps(numbers, steps)
    for j, column in enumerate(given.codec.columns):
        if column.dtype.lower() in ("float32", "float16"):
            found[..., j] = found[..., j].astype(column.dtype.lower()).astype(float)
    return given.codec.inside(found)


def open_rows(given: Given) -> np.ndarray:
    """Return the places of rows in which a rule is open and no limit sees to it, (H,)."""
    values, mask, ends = given.values.copy(), given.mask.copy(), given.known.ends
    if ends is not None:
        single = given.missing & (ends[..., 0] == ends[..., 1])
        values[single], mask = ends[..., 0][single], mask | single
    found = np.zeros(len(mask), bool)
    for rule in given.known.rules:
        columns = sorted(rule.part.columns)
        # A cell that does not exist has no part in a rule.
        undecided = (rule.part.decided(values, mask) == 0) & ~given.absent[:, columns].any(1)
        found |= undecided & ~(_by_limit(rule.part, given, values, mask) if ends is not None else np.zeros(len(mask), bool))
    return np.flatnonzero(found)


def _by_limit(part: Part, given: Given, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return in which rows (N,) what is open of a part is a limit of one cell."""
    single = (~mask[:, sorted(part.columns)]).sum(1) == 1
    if isinstance(part, Joined):
        false = np.stack([own.decided(values, mask) < 0 for own in part.parts])
        true = np.stack([own.decided(values, mask) > 0 for own in part.parts])
        own_limit = np.stack([_by_limit(own, given, values, mask) for own in part.parts])
        if part.every:
            return single & (true | own_limit).all(0)
        return single & (own_limit & (false.sum(0) == len(part.parts) - 1)).any(0)
    ordered = all(given.codec.columns[j].ordered for j in part.columns)
    if isinstance(part, Among):
        ordered &= len(part.places) == max(part.places) - min(part.places) + 1
    return single & (ordered and getattr(part, "sign", "") != "!=")


def rules_in(given: Given, row: int) -> list[Rule]:
    """Return the rules that imputed values of a row have a part in: open ones, all of whose cells exist."""
    one, seen, absent = given.values[[row]], given.mask[[row]], given.absent[row]
    return [
        rule for rule in given.known.rules if int(rule.part.decided(one, seen)[0]) == 0 and not absent[sorted(rule.part.columns)].any()
    ]


@torch.no_grad()
def obeying(imputer: Imputer, given: Given, rows: np.ndarray, each: int, settings: dict[str, Any]) -> Obeying:
    """Return ``each`` draws of every member that obey, of some ``rows`` (H,) of a table.

    Args:
        imputer: fitted.
        given: read by its codec.
        rows: as :func:`open_rows` returns them.
        each: how many of each member.
        settings: of :func:`~pyro_mnar.imputation.ensemble.impute`.

    Raises:
        ValueError: naming a row for which no draw obeys.
    """
    members, labels = imputer.members_, list(range(len(given.mask))) if given.labels is None else distinct(given.labels)
    x, seen, steps = within_reach(given), given.seen, steps_of(given)
    at, size = torch.from_numpy(rows), max(_LEAST, each)
    shape = (len(members), each, len(rows), given.mask.shape[1])
    kept, counts = np.zeros(shape), np.zeros((len(members), len(rows)), int)
    changed, few = np.zeros(len(rows), bool), []
    left = np.arange(len(rows))
    for turn in range(_ROUNDS):
        own = at[torch.from_numpy(left)]
        options = settings | {
            "limits": None if settings["limits"] is None else settings["limits"][own],
            "labels": [labels[i] for i in own.tolist()],
            "seed": member_seed(settings["seed"], _APART * turn) if turn else settings["seed"],
            "progress": False,
        }
        drawn = impute(members, x[own], seen[own], draws=size * len(members), **options).draws
        numbers = given.codec.invert(drawn.double().numpy())
        for k, h in enumerate(left):
            i = int(rows[h])
            found, obeys, moved = draws_in_row(given, i, numbers[:, k], steps)
            if not turn:
                changed[h] = moved or not obeys.all()
            if obeys.mean() < _FEW and turn == _ROUNDS - 1 and not counts[:, h].any():
                found, obeys = _moved(given, i, numbers[:, k], steps)
                few.append(i)
            _keep(kept[:, :, h], counts[:, h], found, obeys)
        left = left[(counts[:, left] < each).any(0)]
        if not len(left):
            break
    for h in left:
        _repeat(given, int(rows[h]), kept[:, :, h], counts[:, h])
    if few:
        named = ", ".join(str(label_of(given.table, i)) for i in few[:10]) + (", ..." if len(few) > 10 else "")
        warn(f"rules: fewer than 1 in 100 draws of {len(few)} rows obey of themselves, and are moved inside (rows {named})")
    return Obeying(rows, kept.reshape(-1, *shape[2:]), changed)


def draws_in_row(given: Given, i: int, draws: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return draws (M, D) of row i as the table will have them, which of them obey, and whether equalities changed some."""
    rules, smooth = rules_in(given, i), _smooth(given)
    whole = _beside(given, i, draws, steps)
    ready = repaired(rules, whole, given.missing[i], smooth, steps)
    found = _beside(given, i, ready, steps)
    return found, _obey(given, rules, found), bool((found != whole).any())


def _moved(given: Given, i: int, draws: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rules, smooth = rules_in(given, i), _smooth(given)
    whole = _beside(given, i, draws, steps)
    for _ in range(2):
        whole = moved_inside(rules, whole, given.missing[i], smooth)
        whole = _beside(given, i, repaired(rules, whole, given.missing[i], smooth, steps), steps)
    return whole, _obey(given, rules, whole)


def _beside(given: Given, i: int, draws: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return draws (M, D) with what is observed of row i, and the rest as the table will have it."""
    found = as_written(given, draws, steps)
    if given.within_ends is not None:
        found = np.clip(found, *given.within_ends[i].T)
    return np.where(given.mask[i], given.values[i], found)


def _smooth(given: Given) -> np.ndarray:
    """Return which columns have a normal law on their line, (D,)."""
    return np.array([column.real and column.head == "heads.NormalHead" for column in given.codec.columns])


def _obey(given: Given, rules: Sequence[Rule], draws: np.ndarray) -> np.ndarray:
    """Return which draws (M, D) obey, and have values of their columns' kinds."""
    found = np.all([rule.part.holds(draws) for rule in rules], axis=0)
    for j, column in enumerate(given.codec.columns):
        found &= ~column.outside(draws[:, j])[0]
    return found


def _keep(kept: np.ndarray, counts: np.ndarray, found: np.ndarray, obeys: np.ndarray) -> None:
    """Add to ``kept`` (members, each, D), of which ``counts`` are there, draws that obey, in the members' order."""
    for m, (own, good) in enumerate(zip(np.split(found, len(counts)), np.split(obeys, len(counts)), strict=True)):
        chosen = own[good][: kept.shape[1] - counts[m]]
        kept[m, counts[m] : counts[m] + len(chosen)] = chosen
        counts[m] += len(chosen)


def _repeat(given: Given, i: int, kept: np.ndarray, counts: np.ndarray) -> None:
    """Fill up the draws of row i with those that are there, a member's own where it has any."""
    if not counts.any():
        named = ", ".join(rule.text for rule in rules_in(given, i))
        raise ValueError(
            f"rules: no draw of row {label_of(given.table, i)} obeys ({named}), expected rules that leave what the model finds likely"
        )
    every = np.concatenate([own[:count] for own, count in zip(kept, counts, strict=True)])
    for own, count in zip(kept, counts, strict=True):
        source = own[:count].copy() if count else every
        own[count:] = source[np.arange(len(own) - count) % len(source)]
