"""Whether rules leave a row any value at all: a linear program over what must hold whatever else does.

Rules with alternatives (``or``, ``if``) are not in it: of these single rows tell (:mod:`pyro_mnar.data.rules.rule_ends`). Of strict
comparisons a slack is made as large as it can be, which has to be above 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.rules.rule_parts import Among, Comparison, Joined, Part
from pyro_mnar.data.rules.rules import Rule


def check_feasible(rules: Sequence[Rule], columns: Sequence[Column]) -> None:
    """Raise a ValueError that names rules which contradict one another, as few as can be.

    Example:
        >>> from pyro_mnar.data.kinds.numbers import Continuous
        >>> from pyro_mnar.data.rules.rules import rules_of
        >>> ab = [Continuous("a", "float64"), Continuous("b", "float64")]
        >>> check_feasible(rules_of(["a < b", "b <= 3", "b < a"], ab, ["a", "b"]), ab)
        Traceback (most recent call last):
        ValueError: rules: 'a < b' and 'b < a' contradict one another, expected rules that a row can obey
    """
    left = list(rules)
    if not left or _feasible(left, columns):
        return
    for rule in rules:
        rest = [other for other in left if other is not rule]
        if not _feasible(rest, columns):
            left = rest
    named = " and ".join(repr(rule.text) for rule in left)
    each = "contradict one another" if len(left) > 1 else "can hold in no row"
    raise ValueError(f"rules: {named} {each}, expected rules that a row can obey")


def _feasible(rules: Sequence[Rule], columns: Sequence[Column]) -> bool:
    from scipy.optimize import linprog

    low, high = (np.array([_natural(column)[end] for column in columns]) for end in (0, 1))
    upper, upper_by, equal, equal_by = [], [], [], []
    among = [set(range(len(column.levels))) for column in columns]
    for part in (one for rule in rules for one in _certain(rule.part)):
        if isinstance(part, Among):
            among[part.column] &= set(part.places)
            continue
        row = np.zeros(len(columns) + 1)
        for j, factor in part.terms:
            row[j] = factor
        if part.sign == "==":
            equal.append(row)
            equal_by.append(-part.constant)
        elif part.sign != "!=":
            row[-1] = float(part.sign == "<")
            upper.append(row)
            upper_by.append(-part.constant)
    for j, column in enumerate(columns):
        if column.levels:
            if not among[j]:
                return False
            low[j], high[j] = min(among[j]), max(among[j])
    if not (upper or equal):
        return True
    bounds = [*zip(low, high, strict=True), (0.0, 1.0)]
    objective = np.zeros(len(columns) + 1)
    objective[-1] = -1.0
    found = linprog(objective, upper or None, upper_by or None, equal or None, equal_by or None, bounds)
    # Where the program itself fails nothing is known.
    return bool(found.status not in (0, 2) or (found.status == 0 and (found.x[-1] > 1e-9 or not any(row[-1] for row in upper))))


def _natural(column: Column) -> tuple[float, float]:
    """Return between which numbers a column's values lie."""
    reach = np.array([-1e300, 1e300])
    ends = column.inside(reach)
    low, high = (float(end) if abs(end) < 1e299 else float(far) for end, far in zip(ends, (-np.inf, np.inf), strict=True))
    if column.bounds is not None:
        low, high = max(low, column.bounds[0]), min(high, column.bounds[1])
    return (max(low, 0.0), high) if column.transformed and column.bounds is None else (low, high)


def _certain(part: Part) -> list[Comparison | Among]:
    """Return the comparisons that hold in every row."""
    if isinstance(part, Joined):
        return [one for own in part.parts for one in _certain(own)] if part.every else []
    assert isinstance(part, (Comparison, Among))
    return [part]
