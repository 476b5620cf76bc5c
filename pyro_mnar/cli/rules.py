"""Rules and cells that do not exist on the command line: ``--rule`` and ``--not-applicable``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyro_mnar.data.texts import number_in
from pyro_mnar.imputer.tables.given import Given

if TYPE_CHECKING:
    from pandas import DataFrame

_FORMS = "COLUMN: CONDITION, or COLUMN=CODE"


def known_asked(options: argparse.Namespace, names: Sequence[str], decimal: str = ".") -> dict[str, object]:
    """Return what ``--rule`` and ``--not-applicable`` say, as settings of :class:`~pyro_mnar.imputer.MNARImputer`.

    Raises:
        ValueError: for a word of another form, or an unknown column.
    """
    found: dict[str, object] = {}
    if getattr(options, "rule", None):
        found["rules"] = list(options.rule)
    if getattr(options, "not_applicable", None):
        found["not_applicable"] = not_applicable_asked(options.not_applicable, names, decimal)
    return found


def codes_asked(options: argparse.Namespace, names: Sequence[str], decimal: str) -> dict[str, list[object]]:
    """Return by column the codes that ``--not-applicable`` says, without conditions; arguments as of :func:`known_asked`."""
    found = not_applicable_asked(getattr(options, "not_applicable", None) or (), names, decimal)
    return {name: codes for name, codes in found.items() if isinstance(codes, list)}


def not_applicable_asked(words: Sequence[str], names: Sequence[str], decimal: str = ".") -> dict[str, object]:
    """Return by column what ``--not-applicable`` says: a condition, or codes.

    Args:
        words: as they stand on the command line.
        names: of the table's columns; of two that fit the longer one is meant.
        decimal: the decimal mark of numbers.

    Raises:
        ValueError: for a word of another form, an unknown column, or both for one column.

    Example:
        >>> not_applicable_asked(["births: sex == 'male'", "job=-8", "job=none"], ["births", "job", "sex"])
        {'births': "sex == 'male'", 'job': [-8, 'none']}
    """
    found: dict[str, object] = {}
    for word in words:
        fits = [name for name in names if word.startswith(name) and word[len(name) :].lstrip()[:1] in (":", "=")]
        if not fits:
            raise ValueError(f"--not-applicable: got {word!r}, expected {_FORMS}, with one of the columns {', '.join(names)}")
        column = max(fits, key=len)
        rest = word[len(column) :].lstrip()
        mark, said = rest[0], rest[1:].strip()
        if not said or (column in found and (mark == ":" or isinstance(found[column], str))):
            raise ValueError(f"--not-applicable: got {word!r}, expected {_FORMS}, one condition of a column or codes")
        if mark == ":":
            found[column] = said
            continue
        own = found.setdefault(column, [])
        assert isinstance(own, list)
        number = number_in(said, decimal)
        own.append(said if number is None else number)
    return found


def existing(holes: DataFrame, table: Given) -> DataFrame:
    """Return which cells are to be imputed, but for those that do not exist."""
    found = holes.copy()
    for name, own in table.known.absent.items():
        if name in found:
            found[name] = found[name].to_numpy() & ~own
    return found
