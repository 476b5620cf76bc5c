"""Rules of a table's rows, such as ``systolic >= diastolic``: read, and held against its columns.

A rule holds in every row. What is observed stands as it is, also where it breaks one; what is imputed obeys, to the last bit for
comparisons of two numbers, and to one part in 10^12 for sums. The grammar: :mod:`pyro_mnar.data.rules.rule_grammar`. Conditions of
``not_applicable`` have the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple, NoReturn

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.rules.rule_grammar import Node, parsed_rule, refusal
from pyro_mnar.data.rules.rule_parts import Among, Comparison, Part, joined

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_SIGNS = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True)
class Rule:
    """A rule as it was written, ``text``, and what it says of a model's columns."""

    text: str
    part: Part


class _Sum(NamedTuple):
    """Factors of columns, a constant, and how many dates are in it, those taken off counted off."""

    terms: dict[int, float]
    constant: float
    dates: float = 0.0

    def plus(self, other: _Sum, factor: float) -> _Sum:
        terms = dict(self.terms)
        for j, own in other.terms.items():
            terms[j] = terms.get(j, 0.0) + factor * own
        return _Sum(terms, self.constant + factor * other.constant, self.dates + factor * other.dates)

    def times(self, factor: float) -> _Sum:
        return _Sum({}, 0.0).plus(self, factor)


def rules_of(said: object, columns: Sequence[Column], names: Sequence[Hashable]) -> tuple[Rule, ...]:
    """Return the rules of a setting.

    Args:
        said: texts, or None.
        columns: those that are modeled, D.
        names: of all the table's columns.

    Raises:
        TypeError: for what are no texts.
        ValueError: for another grammar, an unknown column, or a comparison of what does not compare, with the place.

    Example:
        >>> from pyro_mnar.data.kinds.numbers import Continuous
        >>> ab = [Continuous("a", "float64"), Continuous("b", "float64")]
        >>> [rule.part.columns for rule in rules_of(["a <= b"], ab, ["a", "b"])]
        [frozenset({0, 1})]
    """
    if said is None:
        return ()
    if isinstance(said, (str, bytes)) or not isinstance(said, Sequence):
        raise TypeError(f"rules: got {said!r:.60}, expected a list of texts such as ['a <= b']")
    return tuple(read_rule(text, columns, names, "rules") for text in said)


def read_rule(text: object, columns: Sequence[Column], names: Sequence[Hashable], setting: str) -> Rule:
    """Return one rule, or a condition; arguments and errors as of :func:`rules_of`, ``setting`` being what errors call it."""
    tree = parsed_rule(text, setting)
    return Rule(str(text), _Reader(str(text), columns, names, setting).part(tree))


class _Reader:
    """Takes trees to parts."""

    def __init__(self, text: str, columns: Sequence[Column], names: Sequence[Hashable], setting: str) -> None:
        self.text, self.columns, self.setting = text, columns, setting
        self.places = {name_in_rules(column.name): j for j, column in enumerate(columns)}
        self.names = [name_in_rules(name) for name in names]

    def part(self, node: Node) -> Part:
        """Return what a condition or a rule says."""
        if node.what == "if":
            condition, then = map(self.part, node.parts)
            return joined([condition.negated(), then], False)
        if node.what in ("and", "or"):
            return joined([self.part(one) for one in _spine(node, node.what)], node.what == "and")
        if node.what in _SIGNS:
            return self.comparison(node)
        self.refuse(node, "a comparison such as 'a <= b'")

    def comparison(self, node: Node) -> Part:
        """Return what a comparison says."""
        left, right = node.parts
        if self.level(right) is not None and self.level(left) is None:
            return self.comparison(Node(_FLIPPED[node.what], node.at, None, (right, left)))
        own = self.level(left)
        if own is not None:
            return self.of_levels(own, node, right)
        found = self.sum(left).plus(self.sum(right), -1.0)
        if found.dates:
            self.refuse(node, "a date beside a date (such as '2020-01-31'), or a number of days beside a difference of dates")
        return self.compared(found, node)

    def compared(self, found: _Sum, node: Node) -> Comparison:
        """Return how a sum compares with 0."""
        terms = {j: factor for j, factor in found.terms.items() if factor}
        if not terms:
            self.refuse(node, "a column that it depends on")
        if not np.isfinite([found.constant, *terms.values()]).all():
            self.refuse(node, "finite numbers")
        flip = -1.0 if node.what in (">", ">=") else 1.0
        sign = {">": "<", ">=": "<="}.get(node.what, node.what)
        return Comparison(tuple((j, flip * factor) for j, factor in sorted(terms.items())), flip * found.constant, sign)

    def of_levels(self, j: int, node: Node, right: Node) -> Part:
        """Return how a column of levels compares."""
        column, other = self.columns[j], self.level(right)
        if node.what not in ("==", "!=") and not column.ordered:
            self.refuse(node, f"== or != of {column.kind} column {column.name!r}, whose levels have no order")
        if other is not None:
            if self.columns[other].levels != column.levels:
                self.refuse(right, f"a column with the levels of {column.name!r}")
            return self.compared(_Sum({j: 1.0}, 0.0).plus(_Sum({other: 1.0}, 0.0), -1.0), node)
        levels = ", ".join(map(str, column.levels))
        if right.what in ("word", "day"):
            words = [f"{level:g}" if isinstance(level, float) else str(level) for level in column.levels]
            if right.value not in words:
                self.refuse(right, f"a level of column {column.name!r} ({levels})")
            places = _SIGNS[node.what](np.arange(len(words)), words.index(right.value))
        else:
            number = self.sum(right)
            numeric = all(isinstance(level, (int, float)) and not isinstance(level, bool) for level in column.levels)
            if number.terms or number.dates or not numeric:
                self.refuse(right, f"a level of column {column.name!r} in quotes ({levels})")
            places = _SIGNS[node.what](np.array(column.levels, float), number.constant)
        chosen = tuple(np.flatnonzero(places).tolist())
        if not chosen:
            self.refuse(node, f"what at least one level of column {column.name!r} is ({levels})")
        return Among(j, chosen, len(column.levels))

    def level(self, node: Node) -> int | None:
        """Return the column of levels that a node is, if it is one."""
        if node.what != "name":
            return None
        j = self.column(node)
        return j if self.columns[j].levels else None

    def sum(self, node: Node) -> _Sum:
        """Return a linear sum."""
        if node.what == "number":
            return _Sum({}, node.value)
        if node.what == "name":
            j = self.column(node)
            column = self.columns[j]
            if column.levels or column.circular:
                self.refuse(node, f"numbers or dates ({column.name!r} is {column.kind}: levels stand alone, in quotes on one side)")
            return _Sum({j: 1.0}, 0.0, float(column.kind == "date"))
        if node.what in ("word", "day"):
            return _Sum({}, self.day(node), 1.0)
        if node.what == "negative":
            return self.sum(node.parts[0]).times(-1.0)
        if node.what in ("+", "-"):
            return self.total(node)
        if node.what in ("*", "/"):
            return self.product(node)
        self.refuse(node, "a sum of columns and numbers")

    def total(self, node: Node) -> _Sum:
        """Return a sum of sums, from the right to the left."""
        found, factors = _Sum({}, 0.0), []
        while node.what in ("+", "-"):
            left, right = node.parts
            factors.append((1.0 if node.what == "+" else -1.0, right))
            node = left
        for factor, one in [(1.0, node), *reversed(factors)]:
            found = found.plus(self.sum(one), factor)
        return found

    def product(self, node: Node) -> _Sum:
        """Return a product, one side of which is a number."""
        chain = []
        while node.what in ("*", "/"):
            chain.append((node, node.parts[1]))
            node = node.parts[0]
        left = self.sum(node)
        for sign, one in reversed(chain):
            right = self.sum(one)
            if sign.what == "*" and not (left.terms or left.dates):
                left, right = right, left
            if right.terms or right.dates:
                self.refuse(sign, "a sum that is linear in the columns (a column times or over a number)")
            if sign.what == "/" and not right.constant:
                self.refuse(sign, "another number than 0 to divide by")
            left = left.times(1 / right.constant if sign.what == "/" else right.constant)
        return left

    def day(self, node: Node) -> float:
        """Return a date in days since 1970."""
        try:
            return float((np.datetime64(node.value) - np.datetime64("1970-01-01")) / np.timedelta64(1, "us")) / 86_400_000_000
        except (ValueError, TypeError):
            self.refuse(node, "a number or a date such as '2020-01-31' (a word stands beside a column of levels alone)")

    def column(self, node: Node) -> int:
        """Return the place of a column."""
        if node.value in self.places:
            return self.places[node.value]
        if node.value in self.names:
            self.refuse(node, f"a column that is modeled ({node.value!r} does not vary, or holds limits)")
        near = get_close_matches(node.value, self.names, 3, 0.5) or self.names[:8]
        self.refuse(node, f"a column of the table, such as {', '.join(near)} (words in quotes, names with other marks in backquotes)")

    def refuse(self, node: Node, expected: str) -> NoReturn:
        """Raise the ValueError of a part."""
        raise ValueError(refusal(self.text, node.at, self.setting, expected))


def name_in_rules(name: Hashable) -> str:
    """Return what a column is called in rules: by its name, and of an array x0, x1, ...

    Example:
        >>> name_in_rules(0), name_in_rules("a b")
        ('x0', 'a b')
    """
    return f"x{name}" if isinstance(name, int) else str(name)


def _spine(node: Node, what: str) -> list[Node]:
    """Return what a chain of one operator joins, from the left."""
    found = []
    while node.what == what:
        found.append(node.parts[1])
        node = node.parts[0]
    return [node, *reversed(found)]
