"""Margins on the command line: ``--margin``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyro_mnar.data.names import place

_FORMS = "COLUMN:mean=NUMBER, COLUMN:share:LEVEL=NUMBER or COLUMN:quantile:SHARE=NUMBER, NUMBER with :ERROR behind it or not"


def margins_asked(words: Sequence[str] | None, names: Sequence[str], decimal: str = ".") -> dict[str, object]:
    """Return by column what ``--margin`` says, as :class:`~pyro_mnar.imputer.MNARImputer` takes it.

    Args:
        words: as they stand on the command line; several shares of one column are of its levels.
        names: of the table's columns; of two that fit the longer one is meant.
        decimal: the decimal mark of numbers.

    Raises:
        ValueError: for a word of another form, an unknown column, or one that is said twice.

    Example:
        >>> margins_asked(["pay:mean=26499:300", "job:share:b=.2", "job:share:c=.1"], ["pay", "job"])
        {'pay': {'mean': (26499.0, 300.0)}, 'job': {'share': {'b': 0.2, 'c': 0.1}}}
    """
    found: dict[str, dict[str, Any]] = {}
    for word in words or []:
        name, said = place(word, names, ":")
        refused = ValueError(f"--margin: got {word!r}, expected {_FORMS}")
        if name not in names:
            raise ValueError(f"--margin: got {word!r}, expected {_FORMS}, with one of the columns {', '.join(names)}")
        what, _, rest = said.partition(":") if said.startswith(("share:", "quantile:")) else said.partition("=")
        at, mark, number = rest.rpartition("=") if what != "mean" else ("", "=", rest)
        if what not in ("mean", "share", "quantile") or not mark or (what != "mean" and not at):
            raise refused
        try:
            value = _numbers(number, decimal)
            key: object = _numbers(at, decimal) if what == "quantile" else at
        except ValueError:
            raise refused from None
        own = found.setdefault(name, {})
        if own and (what != "share" or set(own) != {"share"} or at in own["share"]):
            raise ValueError(f"--margin: got two for column {name!r}, expected one (or shares of different levels)")
        if what == "mean":
            own["mean"] = value
        else:
            own.setdefault(what, {})[key] = value
    return dict(found)


def _numbers(text: str, decimal: str) -> object:
    """Return a number, or the number and its standard error."""
    parts = [float(part if "." in part else part.replace(decimal, ".")) for part in text.replace("±", ":").split(":")]
    if len(parts) > 2:
        raise ValueError
    return parts[0] if len(parts) == 1 else tuple(parts)
