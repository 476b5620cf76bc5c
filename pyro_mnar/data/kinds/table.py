"""The table of kinds, and which of them a column is: as a word declares, or as what was seen says."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from pyro_mnar.data.kinds.angle import Angle
from pyro_mnar.data.kinds.bounded import Bounded
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.dates import Date
from pyro_mnar.data.kinds.evidence import Evidence, Name
from pyro_mnar.data.kinds.levels import Binary, Categorical, Ordinal
from pyro_mnar.data.kinds.numbers import Continuous, Count, Positive
from pyro_mnar.data.kinds.proportion import Proportion
from pyro_mnar.data.kinds.semicontinuous import Semicontinuous

#: By the word that declares it. A column is inferred to be of the last kind that takes it.
KINDS: dict[str, type[Column]] = {
    kind.kind: kind
    for kind in (
        Continuous,
        Positive,
        Bounded,
        Semicontinuous,
        Proportion,
        Binary,
        Categorical,
        Ordinal,
        Count,
        Date,
        Angle,
    )
}


def kind_of(word: str, name: Name, argument: str = "kind") -> type[Column]:
    """Return the class of a kind.

    Raises:
        ValueError: naming the column, for an unknown word.
    """
    if word not in KINDS:
        raise ValueError(f"{argument}: got {word!r} for column {name!r}, expected one of {', '.join(KINDS)}")
    return KINDS[word]


def declared(name: Name, word: object, dtype: str, values: np.ndarray, order: Sequence[Hashable] | None = None) -> Column:
    """Return the column that ``word`` declares.

    Args:
        name: the column's.
        word: a kind, or what its ``form`` is.
        dtype: the name of its dtype.
        values: (N,) objects or numbers, for levels to be read from.
        order: levels in their order, where the dtype has one.

    Raises:
        ValueError: for an unknown word, or values that are none of the kind.
    """
    if not isinstance(word, str):
        raise ValueError(f"kinds: got {word!r} for column {name!r}, expected a word, one of {', '.join(KINDS)}")
    kind, *rest = word.split(":")
    if kind not in KINDS:
        raise ValueError(f"kinds: got {word!r} for column {name!r}, expected one of {', '.join(KINDS)}")
    return KINDS[kind].declare(name, dtype, rest, values, order)


def infer(seen: Evidence) -> Column | None:
    """Return the column that what was seen says it is, or None where that is no kind."""
    for kind in reversed(KINDS.values()):
        column = kind.infer(seen)
        if column is not None:
            return column
    return None
