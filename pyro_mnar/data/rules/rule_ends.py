"""What rules say of single missing values, given what is observed of their rows: limits, and values where both limits are one.

Of a comparison that must hold, all of whose columns but one are seen, that one has a limit: x_j <= -(sum of the others) / c_j, and by
an equality a value. A value that follows counts as seen for the others, until nothing more follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.layout import label_of
from pyro_mnar.data.limit_ends import possible
from pyro_mnar.data.rules.rule_parts import Among, Comparison
from pyro_mnar.data.rules.rules import Rule
from pyro_mnar.data.written_limits import Ends

if TYPE_CHECKING:
    from pandas import DataFrame

#: How many values may follow from one another.
_ROUNDS = 8


def broken_rows(rules: Sequence[Rule], values: np.ndarray, mask: np.ndarray) -> list[tuple[Rule, np.ndarray]]:
    """Return the rules that observed values break, whatever the row's holes are, with the places of the rows.

    Args:
        rules: of the D columns.
        values, mask: (N, D) numbers in the table's units, True = observed.
    """
    found = [(rule, np.flatnonzero(rule.part.decided(values, mask) < 0)) for rule in rules]
    return [(rule, rows) for rule, rows in found if len(rows)]


def implied_ends(
    rules: Sequence[Rule],
    columns: Sequence[Column],
    table: DataFrame | np.ndarray,
    values: np.ndarray,
    mask: np.ndarray,
    known: np.ndarray | None = None,
) -> np.ndarray | None:
    """Return between which numbers rules leave missing values, (N, D, 2), both possible, infinite for no limit; None without rules.

    Args:
        rules: of the D columns.
        columns: those that are modeled.
        table: whose rows they are, for messages.
        values, mask: (N, D) numbers in the table's units, True = observed.
        known: limits that are known besides, (N, D, 2), or None.

    Raises:
        ValueError: naming the row, where a hole is left no value.

    Example:
        >>> from pyro_mnar.data.kinds.numbers import Continuous
        >>> from pyro_mnar.data.rules.rules import rules_of
        >>> ab = [Continuous("a", "float64"), Continuous("b", "float64")]
        >>> rules = rules_of(["a <= b"], ab, ["a", "b"])
        >>> table = np.array([[1.0, np.nan], [0.0, 2.0]])
        >>> implied_ends(rules, ab, table, np.nan_to_num(table), ~np.isnan(table))[0].tolist()
        [[-inf, inf], [1.0, inf]]
    """
    if not rules:
        return None
    values, mask = values.copy(), mask.copy()
    found = np.tile([-np.inf, np.inf], (*mask.shape, 1))
    seen = [values[mask[:, j], j] for j in range(len(columns))]
    holes = ~mask
    for _ in range(_ROUNDS):
        for j in np.flatnonzero((~mask).any(0)):
            hidden = np.flatnonzero(~mask[:, j])
            low, high = _ends_of(rules, columns, seen, values, mask, int(j))
            found[hidden, j, 0] = np.maximum(found[hidden, j, 0], low[hidden])
            found[hidden, j, 1] = np.minimum(found[hidden, j, 1], high[hidden])
        within = found if known is None else np.where(holes[..., None], within_both(found, known), found)
        _refuse_nothing(rules, columns, table, within, ~mask)
        single = ~mask & (within[..., 0] == within[..., 1])
        if not single.any():
            break
        values[single], mask = within[..., 0][single], mask | single
    return np.where(holes[..., None], found, [-np.inf, np.inf])


def within_both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the ends (..., 2) of what lies between both of two.

    Example:
        >>> within_both(np.array([0.0, 2.0]), np.array([1.0, np.inf])).tolist()
        [1.0, 2.0]
    """
    return np.stack([np.maximum(first[..., 0], second[..., 0]), np.minimum(first[..., 1], second[..., 1])], -1)


def _ends_of(
    rules: Sequence[Rule], columns: Sequence[Column], seen: Sequence[np.ndarray], values: np.ndarray, mask: np.ndarray, j: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest number (N,) that rules leave the missing values of column j."""
    low, high = np.full(len(mask), -np.inf), np.full(len(mask), np.inf)
    for rule in rules:
        if j not in rule.part.columns:
            continue
        # What breaks a rule already is left alone.
        for part, rows in rule.part.due(values, mask, ~mask[:, j] & (rule.part.decided(values, mask) == 0)):
            if j not in part.columns:
                continue
            alone = rows & mask[:, sorted(part.columns - {j})].all(1)
            for ends in _said(part, columns[j], values, j):
                least, most = possible(ends, columns[j], seen[j])
                low = np.where(alone, np.maximum(low, least), low)
                high = np.where(alone, np.minimum(high, most), high)
    return low, high


def _said(part: Comparison | Among, column: Column, values: np.ndarray, j: int) -> Iterator[Ends]:
    """Yield the ends (N,) that a part sets to column j, all its other columns being seen."""
    none = np.full(len(values), np.nan)
    if isinstance(part, Among):
        low, high = min(part.places), max(part.places)
        # Levels apart from one another are no interval, and levels without order none at all.
        if column.ordered and len(part.places) == high - low + 1:
            yield Ends(np.full(len(values), float(low)), np.full(len(values), float(high)))
        return
    if part.sign == "!=" or not column.ordered or column.circular:
        return
    factor = dict(part.terms)[j]
    own = values.copy()
    own[:, j] = 0.0
    bound, strict = -part.sums(own) / factor, part.sign == "<"
    if strict and not part.exact:
        # So far inside that no rounding of the sum reaches the end.
        bound = bound - np.sign(factor) * 4 * part.slack(own) / abs(factor)
    if part.sign == "==":
        yield Ends(bound, bound)
    elif factor > 0:
        yield Ends(none, bound, False, strict)
    else:
        yield Ends(bound, none, strict, False)


def _refuse_nothing(
    rules: Sequence[Rule], columns: Sequence[Column], table: DataFrame | np.ndarray, ends: np.ndarray, holes: np.ndarray
) -> None:
    for j, column in enumerate(columns):
        low, high = ends[:, j].T
        least, most = (np.where(np.isfinite(end), end, 0.0) for end in (low, high))
        beyond = np.isfinite(low) & (column.inside(least) < least) | np.isfinite(high) & (column.inside(most) > most)
        first, last = column.between(low, high)
        nothing = holes[:, j] & (beyond | (low > high) | (first > last) | (first == last) & np.isinf(first))
        if nothing.any():
            i = int(nothing.argmax())
            named = ", ".join(rule.text for rule in rules if j in rule.part.columns)
            raise ValueError(
                f"rules: leave column {column.name!r} no value in row {label_of(table, i)} ({named}), expected observed values that do "
                "(or another rule)"
            )
