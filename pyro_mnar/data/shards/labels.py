"""The column that names the rows of a table in parts: whole numbers or text, no holes, no name twice.

Whether a name comes twice is asked of hashes of 64 bits, some at a time: of a table that does not fit into memory the names do not
either. Two names of one hash, which ten million rows have by chance once in 370 000 tables, are compared as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow

#: Hashes held at once, of 8 bytes each; more of them where names would else be read more often than ``_MOST_ROUNDS`` times, above 130
#: million rows.
AT_ONCE = 2**21
_MOST_ROUNDS = 64


class Seen:
    """The names seen so far, by their hashes, in sorted runs each at least twice as long as the next."""

    def __init__(self) -> None:
        self.runs: list[np.ndarray] = []

    def add(self, hashes: np.ndarray) -> np.ndarray:
        """Add ``hashes`` (N,), and return those of them that were there or are twice among them.

        Example:
            >>> seen = Seen()
            >>> seen.add(np.array([3, 1], np.uint64)).tolist(), seen.add(np.array([2, 3, 4, 4], np.uint64)).tolist()
            ([], [3, 4])
        """
        new, counts = np.unique(hashes, return_counts=True)
        twice = counts > 1
        for run in self.runs:
            at = np.searchsorted(run, new).clip(max=max(len(run) - 1, 0))
            twice |= run[at] == new
        if len(new):
            self.runs.append(new)
        while len(self.runs) > 1 and len(self.runs[-1]) * 2 > len(self.runs[-2]):
            last = self.runs.pop()
            self.runs[-1] = np.sort(np.concatenate([self.runs[-1], last]))
        return new[twice]


def label_field(schema: pyarrow.Schema, label: str) -> pyarrow.Field:
    """Return the field of the label column in an Arrow schema.

    Raises:
        ValueError: where there is none, or it is neither whole numbers nor text.
    """
    import pyarrow as pa

    if label not in schema.names:
        raise ValueError(f"label: got {label!r}, expected a column of the table ({', '.join(schema.names)})")
    kind = schema.field(label).type
    own = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_integer(own) or pa.types.is_string(own) or pa.types.is_large_string(own)):
        raise ValueError(f"label: got column {label!r} of type {kind}, expected whole numbers or text")
    return schema.field(label)


def label_values(column: pyarrow.ChunkedArray | pyarrow.Array, label: str) -> np.ndarray:
    """Return the names in an Arrow column, whole numbers or text, (N,).

    Raises:
        ValueError: where one is missing.
    """
    if column.null_count:
        row = next(i for i, value in enumerate(column.to_pylist()) if value is None)
        raise ValueError(
            f"label: column {label!r} has {column.null_count} holes (the first in row {row + 1}), expected a name in every row"
        )
    return np.asarray(column.to_pandas())


def hashes_of(values: np.ndarray) -> np.ndarray:
    """Return a hash of each name, (N,) of 64 bits.

    Example:
        >>> found = hashes_of(np.array([5, 7, 5]))
        >>> bool(found[0] == found[2]), bool(found[0] == found[1])
        (True, False)
    """
    from pandas.util import hash_array

    return np.asarray(hash_array(values, categorize=False))


def check_distinct(parts: Callable[[], Iterable[np.ndarray]], label: str, rows: int) -> None:
    """Refuse names that come twice.

    Args:
        parts: gives the names in parts (n,), the same ones at each call: they are read once for each ``AT_ONCE`` rows.
        label: the column's name.
        rows: how many there are.

    Raises:
        ValueError: naming one.

    Example:
        >>> check_distinct(lambda: [np.array([1, 2]), np.array([2])], "id", 3)
        Traceback (most recent call last):
        ValueError: label: column 'id' has 2 more than once, expected another name in every row
    """
    rounds = np.uint64(max(1, min(-(-rows // AT_ONCE), _MOST_ROUNDS)))
    for i in range(int(rounds)):
        seen = Seen()
        for values in parts():
            hashes = hashes_of(values)
            doubtful = seen.add(hashes[hashes % rounds == np.uint64(i)])
            if len(doubtful):
                refuse_twice((v[np.isin(hashes_of(v), doubtful)] for v in parts()), label)


def refuse_twice(parts: Iterable[np.ndarray], label: str) -> None:
    """Refuse names in ``parts`` of which one is there twice."""
    known: set[object] = set()
    for part in parts:
        for value in part.tolist():
            if value in known:
                raise ValueError(f"label: column {label!r} has {value!r} more than once, expected another name in every row")
            known.add(value)
