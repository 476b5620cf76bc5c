"""The grammar of rules and conditions: text to a tree, by a parser, never by evaluation.

    RULE        if CONDITION: CONDITION   |   CONDITION
    CONDITION   comparisons joined by and, or, in brackets where need be
    COMPARISON  SUM < SUM, or <=, >, >=, ==, !=; a chain such as 0 <= a <= b says both
    SUM         columns, numbers, 'words' and dates (2020-01-31), with + - * / and brackets

A column is named as it stands, or in backquotes where its name has other characters than letters, digits and _; an array's: x0, x1, ...
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pyparsing as pp

#: The longest text of a rule, and the deepest brackets.
LONGEST, DEEPEST = 2000, 12
_NOT_NAMES = ("if", "and", "or", "not")


class Node(NamedTuple):
    """A part of a rule.

    Attributes:
        what: ``name``, ``number``, ``word``, ``day``, an operator, or ``if``.
        at: its place in the text.
        value: of a name, a number, a word or a day.
        parts: what an operator joins.
    """

    what: str
    at: int
    value: Any = None
    parts: tuple[Node, ...] = ()


def parsed_rule(text: object, setting: str = "rules") -> Node:
    """Return the tree of a rule.

    Args:
        text: the rule.
        setting: what errors call it.

    Raises:
        TypeError: for what is no text.
        ValueError: for another grammar, with the place.

    Example:
        >>> parsed_rule("a + 1 <= `b c`").what
        '<='
    """
    if not isinstance(text, str):
        raise TypeError(f"{setting}: got {text!r:.60}, expected a text such as 'a <= b'")
    depth = deepest = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    if len(text) > LONGEST or deepest > DEEPEST:
        raise ValueError(f"{setting}: got {text!r:.60}, expected at most {LONGEST} characters and {DEEPEST} brackets in one another")
    try:
        tree: Node = _grammar().parse_string(text, parse_all=True)[0]
    except pp.ParseBaseException as error:
        raise ValueError(refusal(text, error.loc, setting, "a comparison such as 'a <= b', or 'if a == 1: b == 0'")) from None
    except RecursionError:
        raise ValueError(f"{setting}: got {text!r:.60}, expected a simpler one") from None
    return tree


def refusal(text: str, at: int, setting: str, expected: str) -> str:
    """Return the message of a ValueError that shows the place ``at`` of a rule's ``text``.

    Example:
        >>> refusal("a <", 3, "rules", "a column")
        "rules: got 'a <', which goes wrong at its end, expected a column"
    """
    rest = text[at : at + 20].strip()
    where = f"at {rest!r} (character {at + 1})" if rest else "at its end"
    return f"{setting}: got {text!r:.120}, which goes wrong {where}, expected {expected}"


@cache
def _grammar() -> pp.ParserElement:
    """Return the parser; with nothing to go back on, so that no text takes it long."""
    suppress = pp.Suppress
    name = pp.Regex(r"[^\W\d]\w*").add_condition(lambda found: found[0] not in _NOT_NAMES)
    quoted = pp.Regex(r"`([^`]+)`").set_parse_action(lambda found: found[0][1:-1])
    column = _leaf(name | quoted, "name", str)
    day = _leaf(pp.Regex(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?)?(?![\w.])"), "day", str)
    number = _leaf(pp.Regex(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(?![\w.])"), "number", float)
    word = _leaf(pp.Regex(r"'[^']*'|\"[^\"]*\""), "word", lambda text: text[1:-1])
    either = pp.Forward()
    atom = day | number | word | column | suppress("(") + either + suppress(")")
    signed = (pp.ZeroOrMore(pp.one_of("+ -")) + atom).set_parse_action(_signed)
    product = _joined(signed, pp.one_of("* /"))
    total = _joined(product, pp.one_of("+ -"))
    comparison = (total + pp.ZeroOrMore(pp.one_of("<= >= == != < >") + total)).set_parse_action(_chained)
    both = _joined(comparison, pp.Keyword("and"))
    either <<= _joined(both, pp.Keyword("or"))
    if_ = suppress(pp.Keyword("if")) + either + suppress(":") + either
    if_.set_parse_action(lambda text, at, found: Node("if", at, None, tuple(found)))
    return (if_ | either).parse_with_tabs()


def _leaf(element: pp.ParserElement, what: str, of: Callable[[str], Any]) -> pp.ParserElement:
    return element.copy().add_parse_action(lambda text, at, found: Node(what, at, of(found[0])))


def _joined(part: pp.ParserElement, sign: pp.ParserElement) -> pp.ParserElement:
    whole: pp.ParserElement = part + pp.ZeroOrMore(sign + part)
    return whole.set_parse_action(_from_the_left)


def _from_the_left(text: str, at: int, found: pp.ParseResults) -> Node:
    left: Node = found[0]
    for sign, right in zip(found[1::2], found[2::2], strict=True):
        left = Node(sign, right.at, None, (left, right))
    return left


def _signed(text: str, at: int, found: pp.ParseResults) -> Node:
    *signs, atom = found
    return Node("negative", at, None, (atom,)) if signs.count("-") % 2 else atom


def _chained(text: str, at: int, found: pp.ParseResults) -> Node:
    sums, signs = found[0::2], found[1::2]
    links = [Node(sign, right.at, None, (left, right)) for sign, left, right in zip(signs, sums, sums[1:], strict=False)]
    if not links:
        return found[0]
    whole = links[0]
    for link in links[1:]:
        whole = Node("and", link.at, None, (whole, link))
    return whole
