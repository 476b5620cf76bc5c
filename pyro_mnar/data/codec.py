"""``TableCodec``: a table as a model's columns, and back, in one object that everyone asks.

table  --read-->  values, mask     numbers in the table's units: days, places of levels
       --apply->  x                a model's: on the line (log, log-odds), less the center, over the scale
x      --invert>  values
values --decode>  table            holes filled, everything else as it stood
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.evidence import is_hole
from pyro_mnar.data.kinds.numbers import Continuous
from pyro_mnar.data.layout import Layout, refuse_without_zero
from pyro_mnar.data.learned_parts import constants_of, objects_of, refuse_beyond, refuse_unwritable, schema_of, some_columns
from pyro_mnar.data.limit_ends import read_ends
from pyro_mnar.data.limits import Limit, learned_limits, limits_of, set_aside
from pyro_mnar.data.masking import join, split
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.data.schema import Schema, is_frame, names_of
from pyro_mnar.data.written_limits import Ends

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class TableCodec:
    """The way from a table to a model's columns and back.

    Args:
        layout: which columns of the table the model knows.
        schema: what each of these D columns is.
        scaling: (D,) of the columns on the line.
        limits: what is known of holes.

    Example:
        >>> table = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 4.0]])
        >>> codec = TableCodec.fit(table, kinds={1: "positive"})
        >>> x, mask = codec.encode(table)
        >>> x[:, 1].round(6).tolist()
        [-1.0, 0.0, 1.0]
        >>> codec.decode(codec.invert(x), table).round(3).tolist()
        [[1.0, 2.0], [3.0, 2.828], [5.0, 4.0]]
    """

    layout: Layout
    schema: Schema
    scaling: Scaling
    limits: tuple[Limit, ...] = ()

    @classmethod
    def fit(cls, X: DataFrame | np.ndarray, kinds: Mapping[Any, str] | None = None, **options: Any) -> Self:
        """Return the codec of a table; arguments as of :meth:`learn`."""
        return cls.learn(X, kinds, **options)[0]

    @classmethod
    def learn(
        cls,
        X: DataFrame | np.ndarray,
        kinds: Mapping[Any, str] | None = None,
        *,
        keep_empty: bool = False,
        indicators: bool = False,
        plain: bool = False,
        inferred: Mapping[Any, Column] | None = None,
        limits: Mapping[Any, Any] | None = None,
    ) -> tuple[Self, np.ndarray, np.ndarray]:
        """Return the codec of a table with the numbers (N, D) and mask (N, D) that it read of it.

        Args:
            X: DataFrame or array, of at least two rows.
            kinds: words, by name or position, for columns of which the dtype does not say it.
            keep_empty, indicators: as of :class:`~pyro_mnar.data.layout.Layout`.
            plain: whether columns that are not declared are taken for plain numbers where they can be.
            inferred: columns of a frame that are known already, by name.
            limits: by column, what is known of its holes (:mod:`pyro_mnar.data.limits`).

        Raises:
            ValueError: for a table that cannot be learned from, naming the column.
        """
        names = names_of(X)
        said = limits_of(limits, names)
        aside = sorted(map(names.index, set_aside(said, names, kinds or ())))
        constants = {j: value for j, value in constants_of(X, names, kinds or {}).items() if j not in aside}
        if len(names) and not len(X):
            split(X)  # says so
        varied = [j for j in range(len(names)) if j not in constants and j not in aside]
        if names and not varied:
            # Something must be learned from: constants that are numbers, as any numbers are.
            varied = [j for j, value in constants.items() if not isinstance(value, str)]
        if names and not varied:
            raise ValueError("X: got no column that varies, expected at least 1")
        part = some_columns(X, names, varied)
        every = schema_of(part, names, varied, kinds, inferred)
        if plain:
            every = Schema(tuple(column if column.name in (kinds or {}) else column.plain() for column in every.columns))
        values, mask = split(part, every, allow_empty=True)
        refuse_beyond(every, values, mask)
        if len(values) < 2:
            raise ValueError(f"X: got {len(values)} row, expected at least 2 (1 sample cannot be learned from)")
        known = np.flatnonzero(mask.any(0))
        if not len(known):
            raise ValueError("X: got no observed value at all, expected some")
        schema, values, mask = Schema(tuple(every.columns[j] for j in known)), values[:, known], mask[:, known]
        if is_frame(X):
            refuse_unwritable(part, schema, values, mask)
        at = np.array(varied)[known].tolist()
        holed = [j for k, j in enumerate(at) if not mask[:, k].all()]
        holed += [j for j in constants if j not in at and any(is_hole(value) for value in objects_of(X, names, j))]
        layout = Layout(
            tuple(names), tuple(at), tuple(sorted(holed)), bool(keep_empty), bool(indicators), tuple(constants.items()), tuple(aside)
        )
        refuse_without_zero(X, layout)
        unscaled = cls(
            layout, schema, Scaling(np.zeros(len(at)), np.ones(len(at))), learned_limits(said, names, schema.columns, values, mask)
        )
        return unscaled.scaled_by(values, mask), values, mask

    @classmethod
    def of(cls, given: Scaling | Self) -> Self:
        """Return ``given``, a scaling as the codec of columns that are plain numbers."""
        if not isinstance(given, Scaling):
            return given
        places = tuple(range(len(given.center)))
        plain = Schema(tuple(Continuous(j, "float64") for j in places))
        return cls(Layout(places, places, (), keep_empty=False, indicators=False), plain, given)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The D columns."""
        return self.schema.columns

    def scaled_by(self, values: np.ndarray, mask: np.ndarray, weights: np.ndarray | None = None) -> Self:
        """Return the codec with centers and scales of numbers (N, D) and their mask (N, D), every column observed at least once.

        Rows count for ``weights`` (N,), None being one each.
        """
        line = self.on_line(values, mask)
        scaling = Scaling.of(line, mask, weights)
        found = [
            column.units(line[mask[:, j], j], center, scale, None if weights is None else weights[mask[:, j]])
            for j, (column, center, scale) in enumerate(zip(self.columns, scaling.center, scaling.scale, strict=True))
        ]
        return replace(self, scaling=Scaling(*np.array(found).T))

    def read(self, table: DataFrame | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers (N, D) of a table in its units, 0 in the holes, and its mask (N, D), True = observed.

        Raises:
            ValueError: for other columns than the codec's, or a value that is not of its column's kind; names column and row.
        """
        return split(self.layout.part(table), self.schema, allow_empty=True)

    def read_limits(
        self, table: Any, values: np.ndarray, mask: np.ndarray, written: Mapping[Any, Ends] | None = None
    ) -> np.ndarray | None:
        """Return between which numbers missing values lie, (N, D, 2), both possible, infinite for no limit; None where there is none.

        Args:
            table: one with all its columns.
            values, mask: as :meth:`read` read them.
            written: of columns whose cells say it, what they say.

        Raises:
            ValueError: for what are no limits, or leave no possible value; names column and row.
        """
        return read_ends(self.limits, self.columns, table, values, mask, written)

    def apply_limits(self, limits: np.ndarray) -> np.ndarray:
        """Return limits (N, D, 2) on a model's columns of those in the table's numbers."""
        line = np.stack([np.stack(column.between(*limits[:, j].T), -1) for j, column in enumerate(self.columns)], 1)
        return (line - self.scaling.center[:, None]) / self.scaling.scale[:, None]

    def encode(self, table: DataFrame | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a model's values (N, D) of a table, 0 in the holes, and its mask (N, D), True = observed."""
        values, mask = self.read(table)
        return self.apply(values, mask), mask

    def decode(self, values: np.ndarray, table: DataFrame | np.ndarray, mask: np.ndarray | None = None) -> DataFrame | np.ndarray:
        """Return a table with ``values`` (N, D), numbers in its units, in the holes; everything else as it stood.

        The ``mask`` (N, D) is that of the table, which is read where it is not given.
        """
        seen = self.read(table)[1] if mask is None else mask
        return self.layout.whole(table, join(self.layout.part(table), values, seen, self.schema), seen)

    def on_line(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return numbers (N, D) on the line; what stands in the holes is not to be used."""
        result = values.copy()
        for j, column in enumerate(self.columns):
            result[mask[:, j], j] = column.on_line(values[mask[:, j], j])
        return result

    def apply(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return a model's values (N, D), exactly 0 in the holes, of numbers in the table's units."""
        return self.scaling.apply(self.on_line(values, mask), mask)

    def invert(self, x: np.ndarray) -> np.ndarray:
        """Return numbers (..., D) in the table's units, each a possible value of its column, of a model's values."""
        # Each column in one piece of memory: functions such as exp may round otherwise what lies apart, by how many rows there are.
        line = np.ascontiguousarray(np.moveaxis(self.scaling.invert(x), -1, 0))
        return np.stack([column.off_line(line[j]) for j, column in enumerate(self.columns)], -1)

    def inside(self, numbers: np.ndarray) -> np.ndarray:
        """Return the nearest possible values of numbers (..., D) in the table's units."""
        return np.stack([column.inside(numbers[..., j]) for j, column in enumerate(self.columns)], -1)

    def means(self, found: np.ndarray) -> np.ndarray:
        """Return means (..., D) in the table's units, given those of the columns' summands; counts are not rounded."""
        result = self.scaling.invert(found)
        for j, column in enumerate(self.columns):
            if not column.linear:
                result[..., j] = column.mean(found[..., j], self.scaling.center[j], self.scaling.scale[j])
        return result

    def log_jacobian(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return what to add to a row's log density of a model's columns for one in the table's units, (N,).

        Levels, counts and the value that repeats in a semicontinuous column have probabilities, which no unit changes.
        """
        total = np.zeros(len(values))
        for j, (column, seen) in enumerate(zip(self.columns, mask.T, strict=True)):
            total[seen] += column.log_jacobian(values[seen, j], self.scaling.scale[j])
        return total

    def to_json(self) -> dict[str, object]:
        """Return the codec as plain data."""
        return {
            "layout": self.layout.to_json(),
            "schema": self.schema.to_json(),
            "scaling": self.scaling.to_json(),
            "limits": [limit.to_json() for limit in self.limits],
        }

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Return the codec that :meth:`to_json` wrote."""
        return cls(
            Layout.from_json(plain["layout"]),
            Schema.from_json(plain["schema"]),
            Scaling.from_json(plain["scaling"]),
            tuple(map(Limit.from_json, plain["limits"])),
        )
