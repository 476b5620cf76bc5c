"""Holes whose limits are known: what the table of reasons and a run say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_mnar.imputer.tables.given import Given

if TYPE_CHECKING:
    from pandas import DataFrame


def limited_holes(given: Given) -> list[tuple[str, str, int, int]]:
    """Return for each column with limits its name, what is known in words, how many holes have one, and how many have none.

    Example:
        >>> import numpy as np
        >>> from pyro_mnar.data.codec import TableCodec
        >>> x = np.array([[0.7, 1.0], [np.nan, 2.0], [0.9, 3.0]])
        >>> codec, values, mask = TableCodec.learn(x, limits={0: ("<", 0.5)})
        >>> limited_holes(Given(x, x, codec, values, mask, codec.read_limits(x, values, mask)))
        [('0', 'below 0.5', 1, 0)]
    """
    at = {column.name: (j, column) for j, column in enumerate(given.codec.columns)}
    found = []
    for limit in given.codec.limits:
        j, column = at[limit.column]
        limited = int(given.limited[:, j].sum())
        found.append((str(column.name), limit.in_words(column), limited, int(given.missing[:, j].sum()) - limited))
    return found


def limits_in_words(given: Given) -> list[str]:
    """Return a sentence for each column with limits: how many of its holes have one, and by what."""
    lines = []
    for name, words, limited, others in limited_holes(given):
        rest = f"; {others} without a limit" if others else ""
        lines.append(f"Known limits: {limited} of {limited + others} holes of {name} lie {words}{rest}")
    return lines


def with_limits(reasons: DataFrame, given: Given) -> DataFrame:
    """Return the table of reasons, in the columns' order, with those of holes whose limits are why they are missing."""
    from pandas import DataFrame, concat

    names = [column.name for column in given.codec.columns]
    lines = []
    for limit, (_, words, limited, _) in zip(given.codec.limits, limited_holes(given), strict=True):
        if not limited:
            continue
        if limit.column in reasons.index:
            reasons.loc[limit.column, "reason"] = f"{reasons.loc[limit.column, 'reason']}; where limits are known, by these ({words})"
            continue
        seen = given.mask[:, names.index(limit.column)]
        line = {
            "column": limit.column,
            "missing": float((~seen).mean()),
            "reason": f"within known limits ({words})",
            "evidence": "stated",
        }
        shown = given.values[seen, names.index(limit.column)]
        numbers = {"observed_mean": float(shown.mean()), "observed_sd": float(shown.std())}
        lines.append(line | {name: number for name, number in numbers.items() if name in reasons})
    if not lines:
        return reasons
    added = DataFrame(lines).set_index("column")
    whole = concat([reasons, added]) if len(reasons) else added
    return whole.loc[[name for name in names if name in whole.index]]
