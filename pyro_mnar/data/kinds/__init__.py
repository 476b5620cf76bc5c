"""Kinds of columns, each one class: how it is declared, inferred, read, written, scaled and said."""

from pyro_mnar.data.kinds.bounded import Bounded
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.dates import Date
from pyro_mnar.data.kinds.levels import Binary, Categorical, Ordinal
from pyro_mnar.data.kinds.numbers import Continuous, Count, Positive
from pyro_mnar.data.kinds.semicontinuous import Semicontinuous
from pyro_mnar.data.kinds.table import KINDS

__all__ = [
    "KINDS",
    "Binary",
    "Bounded",
    "Categorical",
    "Column",
    "Continuous",
    "Count",
    "Date",
    "Ordinal",
    "Positive",
    "Semicontinuous",
]
