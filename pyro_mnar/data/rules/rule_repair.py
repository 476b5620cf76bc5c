r"""Draws of rows made to obey equalities, and moved to obey inequalities, as normal draws are.

Of normal x with the covariance S, and a draw x, the draw of x given C x = t is

    x - S C' (C S C')^-1 (C x - t)

(conditioning by a linear step: Journel and Huijbregts 1978, "Mining Geostatistics", VII.A.3; Doucet 2010, "A note on efficient
conditional simulation of Gaussian distributions"). What it leaves to rounding the last free number of each equality takes up. So an
inequality c'x <= 0 is met: c'x is normal, and is taken to the normal cut at 0 by its rank, the rest following as above.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_mnar.data.rules.rule_parts import Among, Comparison, Joined, Part
from pyro_mnar.data.rules.rules import Rule

_SWEEPS = 3


def repaired(rules: Sequence[Rule], draws: np.ndarray, free: np.ndarray, smooth: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return draws (M, D) of one row that obey equalities, as far as they can: those that hold always, and those after an ``if``.

    Args:
        rules: that the row's observed values do not break.
        draws: (M, D) complete rows in the table's units.
        free: (D,) bool, True = not observed.
        smooth: (D,) bool, True = a column whose numbers may move with those of others; else they move where a rule names them.
        steps: (D,) how far apart possible numbers stand, 0 of a continuum.

    Example:
        >>> rule = Rule("a + b == 4", Comparison(((0, 1.0), (1, 1.0)), -4.0, "=="))
        >>> repaired([rule], np.array([[1.0, 2.0], [3.0, 3.0]]), np.array([True, True]), np.ones(2, bool), np.ones(2)).tolist()
        [[2.0, 2.0], [2.0, 2.0]]
    """
    draws, spread = draws.copy(), _covariance(draws)
    moving = free & (smooth | _summed(rules, len(free)))
    whole = np.ones(draws.shape, bool)
    always = [p for rule in rules for p in _parts(rule, draws[:1]) if isinstance(p, Comparison) and p.sign == "=="]
    _meet(draws, np.arange(len(draws)), always, moving, spread)
    for _ in range(_SWEEPS):
        for rule in rules:
            wrong = ~rule.part.holds(draws)
            if not wrong.any():
                continue
            # What follows an if comes last, and is what gives way.
            for part, rows in reversed(list(rule.part.due(draws, whole, wrong))):
                at = np.flatnonzero(rows & ~rule.part.holds(draws))
                if not len(at):
                    continue
                if isinstance(part, Among):
                    if free[part.column] and len(part.places) == 1:
                        draws[at, part.column] = part.places[0]
                elif part.sign == "==":
                    _meet(draws, at, [part], moving, spread)
                    draws[at] = on_steps(draws[at], steps * moving)
                    _close(draws, at, [part], moving, spread, steps)
    draws = on_steps(draws, steps * moving)
    _close(draws, np.arange(len(draws)), always, moving, spread, steps)
    return draws


def on_steps(numbers: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the nearest possible numbers (..., D) of columns whose values stand ``steps`` (D,) apart, 0 of a continuum."""
    width = np.where(steps > 0, steps, 1.0)
    return np.where(steps > 0, np.rint(numbers / width) * width, numbers)


def moved_inside(rules: Sequence[Rule], draws: np.ndarray, free: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """Return draws (M, D) of one row moved so that they obey inequalities, as draws of a normal law would lie; arguments as of
    :func:`repaired`."""
    from scipy.special import ndtr

    draws, moving = draws.copy(), free & (smooth | _summed(rules, len(free)))
    spread, whole, first = _covariance(draws), np.ones(draws.shape, bool), set()
    for _ in range(4 * _SWEEPS):
        for rule in rules:
            wrong = ~rule.part.holds(draws)
            if not wrong.any():
                continue
            for part, rows in reversed(list(rule.part.due(draws, whole, wrong))):
                if not isinstance(part, Comparison) or part.sign not in ("<", "<="):
                    continue
                factors = np.zeros(draws.shape[1])
                for j, factor in part.terms:
                    factors[j] = factor * moving[j]
                width = float(np.sqrt(factors @ spread @ factors))
                if not width > 0:
                    continue
                # All of the law is moved once, and afterwards what is still outside.
                at = np.arange(len(draws)) if part not in first and isinstance(rule.part, Comparison) else np.flatnonzero(rows)
                first.add(part)
                sums = part.sums(draws[at])
                center = float(part.sums(draws).mean()) if len(at) == len(draws) else 0.0
                target = center + width * _cut_below(ndtr((sums - center) / width), -center / width)
                draws[at] += ((target - sums) / width**2)[:, None] * (spread @ factors) * moving
    return draws


def _parts(rule: Rule, one: np.ndarray) -> list[Comparison | Among]:
    """Return the parts of a rule that must hold whatever a row is."""
    part = rule.part
    every = getattr(part, "every", True)
    return [own for own, _ in part.due(one, np.ones(one.shape, bool), np.ones(1, bool))] if every else []


def _summed(rules: Sequence[Rule], columns: int) -> np.ndarray:
    """Return which columns stand in sums of rules, (D,): columns of levels among them stay as they are, since they have steps."""
    found = np.zeros(columns, bool)
    for rule in rules:
        found[[j for part in _comparisons(rule.part) for j, _ in part.terms]] = True
    return found


def _comparisons(part: Part) -> list[Comparison]:
    if isinstance(part, Joined):
        return [one for own in part.parts for one in _comparisons(own)]
    return [part] if isinstance(part, Comparison) else []


def _covariance(draws: np.ndarray) -> np.ndarray:
    """Return the covariance of draws (D, D), with a little more on its diagonal: single draws, and numbers that are the same, too."""
    found = np.atleast_2d(np.cov(draws.T)) if len(draws) > 1 else np.zeros((draws.shape[1],) * 2)
    scale = np.maximum(np.diag(found), 1e-12 * np.maximum(1.0, np.square(draws).mean(0)))
    return found + np.diag(1e-9 * scale)


def _meet(draws: np.ndarray, at: np.ndarray, equalities: Sequence[Comparison], moving: np.ndarray, spread: np.ndarray) -> None:
    """Have ``draws`` at ``at`` meet some equalities, as far as their numbers that are ``moving`` can."""
    met = [part for part in equalities if any(moving[j] for j, _ in part.terms)]
    if not met:
        return
    factors = np.zeros((len(met), draws.shape[1]))
    for row, part in zip(factors, met, strict=True):
        for j, factor in part.terms:
            row[j] = factor * moving[j]
    gaps = np.stack([part.sums(draws[at]) for part in met], 1)
    along = spread @ factors.T * moving[:, None]
    draws[at] -= gaps @ np.linalg.pinv(factors @ along) @ along.T


def _close(
    draws: np.ndarray,
    at: np.ndarray,
    equalities: Sequence[Comparison],
    moving: np.ndarray,
    spread: np.ndarray,
    steps: np.ndarray,
) -> None:
    """Have one number of each of some equalities take up what is left of it: one that no other needs, the finest, the widest."""
    used: set[int] = set()
    for part in equalities:
        own = [(j, factor) for j, factor in part.terms if moving[j] and j not in used]
        if not own:
            continue
        shared = {j: sum(j in other.columns for other in equalities) for j, _ in own}
        j, factor = max(own, key=lambda term: (-shared[term[0]], -steps[term[0]], spread[term[0], term[0]]))
        used.add(j)
        rest = draws[at].copy()
        rest[:, j] = 0.0
        draws[at, j] = -part.sums(rest) / factor + 0.0


def _cut_below(shares: np.ndarray, high: float) -> np.ndarray:
    """Return the quantiles of a standard normal cut to below ``high``."""
    from scipy.special import log_ndtr, ndtri_exp

    with np.errstate(divide="ignore"):
        return np.minimum(ndtri_exp(np.log(np.clip(shares, 1e-300, 1 - 1e-12)) + log_ndtr(high)), high)
