"""What a run and the table of reasons say of rules, and of cells that do not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_mnar.imputer.rules.ruled_draws import open_rows
from pyro_mnar.imputer.tables.given import Given

if TYPE_CHECKING:
    from pandas import DataFrame


def known_in_words(given: Given) -> list[str]:
    """Return sentences on the rules of a table, on rows that break one, and on cells that do not exist.

    Example:
        >>> import numpy as np
        >>> from pyro_mnar.data.codec import TableCodec
        >>> x = np.array([[0.7, 1.0], [np.nan, 2.0], [0.9, 3.0]])
        >>> known_in_words(Given(x, x, *TableCodec.learn(x)))
        []
    """
    lines = []
    if given.known.rules:
        lines.append(f"Rules that every imputed value obeys: {'; '.join(rule.text for rule in given.known.rules)}")
        count = len(open_rows(given))
        if count:
            lines.append(f"  in {count} of {len(given.mask)} rows several missing values are tied together by them")
    lines += [f"  {sentence}" for sentence in given.known.broken]
    for name, count in absent_counts(given).items():
        lines.append(
            f"Not applicable: {count} of {len(given.mask)} cells of {name}, neither observed nor missing; other columns are imputed "
            "without them"
        )
    return lines


def absent_counts(given: Given) -> dict[str, int]:
    """Return by column how many of its cells do not exist, of those that have such."""
    return {str(name): int(own.sum()) for name, own in given.known.absent.items()}


def with_absent(reasons: DataFrame, given: Given) -> DataFrame:
    """Return the table of reasons with a column that counts cells which do not exist."""
    counts = {name: int(own.sum()) for name, own in given.known.absent.items()}
    return reasons.assign(not_applicable=[float(counts.get(name, 0)) for name in reasons.index])
