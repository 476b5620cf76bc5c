"""Text that stands for numbers, dates or times of a day, and what makes it such."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable

from pyro_mnar.data.written_limits import is_limit

_PLAIN = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_DATE = re.compile(r"\s*\d{4}-\d{2}(-\d{2}([T ]\d.*)?)?\s*")
_OTHER_DATE = re.compile(r"\s*\d{1,2}([./-])\d{1,2}\1(\d{4}|\d{2})\s*|\s*\d{4}([./])\d{1,2}\3\d{1,2}\s*")
_CLOCK = re.compile(r"\s*\d{1,2}:[0-5]\d(:[0-5]\d)?\s*")
_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*|\s*[+-]?\d+\s*|\s*[+-]?\d{1,3}(\.\d{3})+,\d+\s*")
_NUMBER = re.compile(
    r"[+-]?(\d+|\d*[.,]\d+)|[+-]?\d{1,3}([,. '\u00a0\u2009\u202f]\d{3})+([.,]\d+)?|[+-]?\d+([.,]\d+)?\s*(%|[A-Za-zµ°€£$¥/]+\d?)"
    r"|[€£$¥]\s*\d[\d.,]*|[<>]=?\s*\d[\d.,]*|\(\d+([.,]\d+)?\)|\u2212\d+([.,]\d+)?|\d+([.,]\d+)?\s?/\s?\d+([.,]\d+)?"
)
# What a limit begins with, of those that nothing else is.
_SIGNS = ("<", ">", "≤", "≥")


def disguised(name: Hashable, texts: Collection[str]) -> str | None:
    """Return what texts look like that they are not read as, with what settles it, or None where they are text.

    Args:
        name: the column's.
        texts: those that are there, or some of them.

    Example:
        >>> disguised("from", ["2024-12-31", "2025-01-01"])
        "looks like dates (--kind 'from=date')"
    """
    limits = [text for text in texts if text.strip()[:1] in _SIGNS and is_limit(text)]
    if limits and len(limits) + sum(bool(_PLAIN.fullmatch(text)) for text in texts) > 0.8 * len(texts):
        return f"looks like numbers and limits (--limit {name!r}, limits={{{name!r}: 'cells'}}; or declare it categorical or ordinal)"
    for pattern, said in (
        (_DATE, f"dates ({kind_option(name, 'date')})"),
        (_OTHER_DATE, "dates (write them as 2024-12-31)"),
        (_CLOCK, f"times of a day ({kind_option(name, 'angle:24')})"),
        (_PLAIN, "numbers (make it numbers, such as by pandas.to_numeric; or declare it categorical or ordinal)"),
        (_COMMA, "numbers with a decimal comma, or with commas for thousands (--decimal ,; or make it plain numbers)"),
        (_NUMBER, "numbers with units, signs or marks (make it plain numbers; or declare it categorical or ordinal)"),
    ):
        if len(texts) > 1 and sum(bool(pattern.fullmatch(text.strip())) for text in texts) > 0.8 * len(texts):
            return f"looks like {said}"
    return None


def kind_option(name: Hashable, kind: str) -> str:
    """Return the option of the command line that declares a column's kind; in Python it is ``kinds``.

    Example:
        >>> kind_option("age", "positive")
        "--kind 'age=positive'"
    """
    return f"--kind '{name}={kind}'"
