"""Tables as ``MNARImputer`` is given them: checked as scikit-learn checks its own, read once, and completed in the same type."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.exceptions import NotFittedError
from torch import Tensor

from pyro_mnar.analysis.design import Design
from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.doubts import doubts, impossible, may_be_impossible
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.layout import as_pandas, like
from pyro_mnar.data.masking import split
from pyro_mnar.data.row_weights import row_weights, warn_of_scale
from pyro_mnar.data.rules.not_applicable import as_they_stood
from pyro_mnar.data.rules.rule_ends import within_both
from pyro_mnar.data.schema import Schema, is_frame, names_of
from pyro_mnar.data.warn import warn
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.tables.checked_tables import checked_table
from pyro_mnar.imputer.tables.known_cells import NOTHING, Known, existing_ends, known_of, model_limits, read_existing
from pyro_mnar.infer.row_weights import repeated
from pyro_mnar.mechanisms.starts import contrasts
from pyro_mnar.networks.encoders import between

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame


@dataclass(frozen=True)
class Given:
    """A table as it was given, and as it was read.

    Attributes:
        X: as it was given.
        table: as a pandas DataFrame or an array, with the columns of training.
        codec: that read it.
        values: (N, D) numbers in the table's units, 0 in the holes.
        mask: (N, D) True = observed.
        ends: (N, D, 2) between which numbers missing values are known to lie; None where nothing is known.
        declared: columns whose kind was stated.
        known: rules of its rows, and cells that do not exist.
        weights: (N,) how many rows each counts for; None where that is one each.
        units: (2, N) stratum and cluster of each row; None where rows were sampled one by one.
    """

    X: ArrayLike | DataFrame
    table: DataFrame | np.ndarray
    codec: TableCodec
    values: np.ndarray
    mask: np.ndarray
    ends: np.ndarray | None = None
    declared: frozenset[Hashable] = frozenset()
    known: Known = NOTHING
    weights: np.ndarray | None = None
    units: np.ndarray | None = None

    @property
    def x(self) -> Tensor:
        """A model's values (N, D), 0 in the holes."""
        return torch.from_numpy(self.codec.apply(self.values, self.mask)).float()

    @property
    def seen(self) -> Tensor:
        """The mask (N, D)."""
        return torch.from_numpy(self.mask)

    @cached_property
    def contrasts(self) -> Tensor:
        """What the other columns say of each one's missing values, (3, D): :func:`~pyro_mnar.mechanisms.starts.contrasts`, once."""
        return contrasts(torch.from_numpy(self.codec.apply(self.values, self.mask))[self.rows], self.seen[self.rows])

    @cached_property
    def rows(self) -> Tensor | slice:
        """Places of rows that stand for the table with its weights."""
        return slice(None) if self.weights is None else repeated(torch.from_numpy(self.weights))

    @property
    def row_weights(self) -> Tensor | None:
        """A model's weights (N,); None where they are one each."""
        return None if self.weights is None else torch.from_numpy(self.weights).float()

    @cached_property
    def limits(self) -> Tensor | None:
        """Between which of a model's values missing ones lie, (N, D, 2); None where nothing is known.

        With rules or cells that do not exist (N, D, 3), as :mod:`pyro_mnar.model.limited` tells these apart.
        """
        if self.within_ends is None and not self.known.absent:
            return None
        ends = np.tile([-np.inf, np.inf], (*self.mask.shape, 1)) if self.within_ends is None else self.within_ends
        beside = self.known.ends is not None and self.known.beside
        settled = (self.limited if beside else np.isfinite(ends).any(-1)) | self.absent
        return model_limits(self.codec, ends, settled if beside or self.known.absent else None)

    @cached_property
    def within_ends(self) -> np.ndarray | None:
        """Between which numbers missing values lie by limits and rules together, (N, D, 2); None where nothing is known."""
        if self.ends is None or self.known.ends is None:
            return self.known.ends if self.ends is None else self.ends
        return within_both(self.ends, self.known.ends)

    @cached_property
    def absent(self) -> np.ndarray:
        """(N, D) True = does not exist: neither observed nor missing."""
        return self.known.absent_cells(self.codec, len(self.mask)) if self.known.absent else np.zeros_like(self.mask)

    @property
    def missing(self) -> np.ndarray:
        """(N, D) True = to be imputed."""
        return ~self.mask & ~self.absent

    @property
    def limited(self) -> np.ndarray:
        """(N, D) True = missing, and a limit is known that is why."""
        return np.zeros_like(self.mask) if self.ends is None else ~self.mask & np.isfinite(self.ends).any(-1)

    @cached_property
    def told(self) -> Given:
        """The table with limited cells as if they were seen, each where a normal law of its column would lie between its limits; and
        cells that do not exist, at the column's center."""
        limits, settled = self.limits, self.limited | self.absent
        if limits is None or not settled.any():
            return self
        middle = self.within(self.codec.invert(between(limits[..., :2]).double().numpy()))
        return replace(self, values=np.where(settled, middle, self.values), mask=self.mask | settled, ends=None, known=NOTHING)

    def within(self, numbers: np.ndarray) -> np.ndarray:
        """Return numbers (..., N, D) in the table's units with those of cells that have limits held within these."""
        ends = self.within_ends
        return numbers if ends is None else np.clip(numbers, ends[..., 0], ends[..., 1])

    @property
    def part(self) -> DataFrame | np.ndarray:
        """The columns of the table that the model knows."""
        return self.codec.layout.part(self.table)

    @property
    def labels(self) -> list[Hashable] | None:
        """What a frame's rows are called."""
        return list(self.table.index) if is_frame(self.table) else None

    def complete(self, results: Iterable[np.ndarray]) -> list[DataFrame | np.ndarray]:
        """Return completed tables of the type of ``X`` of numbers (N, D) in the table's units; a warning says what cannot be."""
        settled = self.mask | self.absent
        tables = [self.codec.decode(result, self.table, settled) for result in results]
        # What is known is no surprise, and what is declared is believed.
        told, columns = self.told, self.codec.columns
        at = [j for j, column in enumerate(columns) if column.name not in self.declared and may_be_impossible(column, told.mask[:, j])]
        if at:
            layout, schema = self.codec.layout, Schema(tuple(columns[j] for j in at))
            filled = np.stack([split(layout.part_of_whole(table, at), schema, allow_empty=True)[0] for table in tables])
            said = impossible(schema.columns, told.values[:, at], told.mask[:, at], filled)
            if said:
                warn(f"X: {'; '.join(said)}")
        if self.known.stood is not None:
            tables = [as_they_stood(whole, self.known.stood, self.known.absent, self.codec.layout.kept) for whole in tables]
        given = as_pandas(self.X)
        if is_frame(given) and is_frame(self.table) and list(given.columns) != list(self.table.columns):
            names = dict(zip(self.table.columns, given.columns, strict=True))
            tables = [whole.rename(columns=names) if is_frame(whole) else whole for whole in tables]
        return [like(self.X, whole) for whole in tables]


def units_of(X: ArrayLike | DataFrame, strata: ArrayLike | Hashable | None, clusters: ArrayLike | Hashable | None) -> np.ndarray | None:
    """Return stratum and cluster of each row, (2, N); None where neither is given.

    Raises:
        ValueError: as :class:`~pyro_mnar.analysis.design.Design` does.
    """
    if strata is None and clusters is None:
        return None
    return Design.of(X if is_frame(X) else np.asarray(X), strata=strata, clusters=clusters).units


def learned(
    imputer: Imputer,
    X: ArrayLike | DataFrame,
    inferred: Mapping[Any, Column] | None = None,
    sample_weight: ArrayLike | None = None,
    units: np.ndarray | None = None,
) -> Given:
    """Return a table with a codec learned from it, as the settings of ``imputer`` say.

    Args:
        imputer: whose columns the table's become.
        X: as ``fit`` takes it.
        inferred: columns that are known already, by name.
        sample_weight: (N,) of the rows.
        units: (2, N) their strata and clusters, or None.

    Raises:
        ValueError: for a table that cannot be learned from, or a weight that is none.
    """
    table, written = checked_table(imputer, X, fitting=True)
    apart = imputer.not_applicable or {}
    learn = partial(
        TableCodec.learn,
        kinds=imputer.kinds,
        keep_empty=imputer.keep_empty_features,
        indicators=imputer.add_indicator,
        plain=imputer.mechanism in ("linear", "neural"),  # masks that read whole rows of numbers
        inferred=None if inferred is None else {name: column for name, column in inferred.items() if name not in apart},
        limits=imputer.limits,
    )
    stood, names = table, names_of(table)
    table, (codec, values, mask), absent = read_existing(imputer, table, names, learn)
    each = row_weights(sample_weight, len(mask), list(table.index) if is_frame(table) else None)
    weights = None if (each == 1).all() else each
    if weights is not None:
        warn_of_scale(weights)
        codec = codec.scaled_by(values, mask, weights)
    empty = ", ".join(str(codec.layout.names[j]) for j in codec.layout.empty)
    if empty and not imputer.keep_empty_features:
        warn(f"X: columns without an observed value are left out: {empty}")
    said = doubts(codec.columns, values, mask, imputer.kinds)
    if said:
        warn(f"X: {'; '.join(said)}")
    ends = existing_ends(codec.read_limits(table, values, mask, written), codec, absent)
    known = known_of(imputer, table, stood, (codec, values, mask), absent, ends, True)
    return Given(X, table, codec, values, mask, ends, frozenset(imputer.kinds or ()), known, weights, units)


def check_fitted(imputer: object) -> None:
    """Raise scikit-learn's error before ``fit``."""
    if not hasattr(imputer, "members_"):
        raise NotFittedError("MNARImputer: not fitted yet, expected a call of fit first")


def given(imputer: Imputer, X: ArrayLike | DataFrame) -> Given:
    """Return a table as the codec of the fitted ``imputer`` reads it.

    Raises:
        ValueError, TypeError: before ``fit``, for what is no table, or has other columns or values than training.
    """
    check_fitted(imputer)
    stood, written = checked_table(imputer, X)
    codec = imputer.codec_
    table, read, absent = read_existing(imputer, stood, names_of(stood), lambda own: (codec, *codec.read(own)))
    ends = existing_ends(codec.read_limits(table, *read[1:], written), codec, absent)
    known = known_of(imputer, table, stood, read, absent, ends, False)
    return Given(X, table, *read, ends, frozenset(imputer.kinds or ()), known)
