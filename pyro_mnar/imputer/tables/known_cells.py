"""What is known of a table's cells beside their values: rules of its rows, and cells that do not exist."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.layout import label_of
from pyro_mnar.data.rules.not_applicable import absent_rows, coded_rows, codes_and_conditions, without_rows
from pyro_mnar.data.rules.rule_ends import broken_rows, implied_ends
from pyro_mnar.data.rules.rule_feasibility import check_feasible
from pyro_mnar.data.rules.rules import Rule, read_rule, rules_of
from pyro_mnar.data.schema import is_frame
from pyro_mnar.data.warn import warn
from pyro_mnar.imputer.contract import Imputer

if TYPE_CHECKING:
    from pandas import DataFrame

_NAMED = 10
# Of a model's values, what limits of one value are apart from it.
_NEAR = 1e-4
Read = Callable[["DataFrame | np.ndarray"], tuple[TableCodec, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Known:
    """What is known of the cells of N rows and D columns.

    Attributes:
        rules: that every row obeys.
        ends: (N, D, 2) between which they leave missing values, given what is observed; None without rules.
        broken: sentences on rows whose observed values break a rule.
        absent: by column of the table, in which rows (N,) its cells do not exist.
        stood: the table with these cells as they were; None where there are none.
        beside: whether there are mechanisms beside rules; without one a rule of one cell is a limit like any other.
    """

    rules: tuple[Rule, ...] = ()
    ends: np.ndarray | None = None
    broken: tuple[str, ...] = ()
    absent: Mapping[Hashable, np.ndarray] = field(default_factory=dict)
    stood: DataFrame | np.ndarray | None = None
    beside: bool = True

    def absent_cells(self, codec: TableCodec, rows: int) -> np.ndarray:
        """Return which cells of a model's columns do not exist, (N, D)."""
        none = np.zeros(rows, bool)
        return np.stack([self.absent.get(column.name, none) for column in codec.columns], 1)

    def of_rows(self, rows: np.ndarray) -> Known:
        """Return what is known of the cells of some rows (n,)."""
        stood = self.stood.iloc[rows] if is_frame(self.stood) else None if self.stood is None else self.stood[rows]
        ends = None if self.ends is None else self.ends[rows]
        return replace(self, ends=ends, absent={name: own[rows] for name, own in self.absent.items()}, stood=stood)


#: Of a table of which nothing is known.
NOTHING = Known()


def model_limits(codec: TableCodec, ends: np.ndarray, settled: np.ndarray | None) -> Tensor:
    """Return limits of a model's columns, (N, D, 2), or (N, D, 3) where it is told which are ``settled`` (N, D).

    Args:
        codec: of the table.
        ends: (N, D, 2) in the table's numbers, both possible.
        settled: whether no mechanism enters a missing cell (:mod:`pyro_mnar.model.limited`); None where that is so of all with limits.
    """
    low, high = torch.from_numpy(codec.apply_limits(ends)).float().unbind(-1)
    # A value that is known, or nearly so, has room for its density in single precision, through a warp too.
    near = ~(high - low > 2 * _NEAR)
    both = [torch.where(near, low - _NEAR, low), torch.where(near, high + _NEAR, high)]
    return torch.stack(both if settled is None else [*both, torch.from_numpy(settled).float()], -1)


def existing_ends(ends: np.ndarray | None, codec: TableCodec, absent: Mapping[Hashable, np.ndarray]) -> np.ndarray | None:
    """Return limits of missing values (N, D, 2), infinite ones of cells that do not exist; None of none.

    Args:
        ends: what is known.
        codec: of the table.
        absent: by column, in which rows (N,) its cells do not exist.
    """
    if ends is None or not absent:
        return ends
    apart = Known(absent=absent).absent_cells(codec, len(ends))
    return np.where(apart[..., None], [-np.inf, np.inf], ends)


def check_known(rules: object, not_applicable: object, codec: TableCodec) -> None:
    """Raise a ValueError or a TypeError where these settings are none for the table of a codec."""
    rules_of(rules, codec.columns, codec.layout.names)
    _, conditions = codes_and_conditions(not_applicable, codec.layout.names)
    for text in conditions.values():
        read_rule(text, codec.columns, codec.layout.names, "not_applicable")


def read_existing(
    imputer: Imputer, table: DataFrame | np.ndarray, names: list[Hashable], read: Read
) -> tuple[DataFrame | np.ndarray, tuple[TableCodec, np.ndarray, np.ndarray], dict[Hashable, np.ndarray]]:
    """Return a table with holes in the place of cells that do not exist, what is read of it, and where these are, by column.

    Args:
        imputer: with its settings.
        table: a DataFrame or an array.
        names: of its columns.
        read: takes it to its codec, numbers and mask.
    """
    if imputer.not_applicable is None:
        return table, read(table), {}
    codes, conditions = codes_and_conditions(imputer.not_applicable, names)
    rows = coded_rows(table, codes)
    table = without_rows(table, rows)
    codec, values, mask = read(table)
    if conditions:
        told = absent_rows(conditions, codec.columns, codec.layout.names, values, mask)
        rows |= {name: own | rows[name] if name in rows else own for name, own in told.items()}
        table = without_rows(table, told)
        codec, values, mask = read(table)
    return table, (codec, values, mask), rows


def known_of(
    imputer: Imputer,
    table: DataFrame | np.ndarray,
    stood: DataFrame | np.ndarray,
    read: tuple[TableCodec, np.ndarray, np.ndarray],
    absent: dict[Hashable, np.ndarray],
    ends: np.ndarray | None,
    fitting: bool,
) -> Known:
    """Return what is known of a table's cells, after a warning that names rows whose observed values break a rule.

    Args:
        imputer: with its settings.
        table: as it is read.
        stood: with the cells that do not exist as they were.
        read: its codec, numbers and mask.
        absent: where these cells are, by column.
        ends: (N, D, 2), limits of missing values that were declared, or None.
        fitting: whether rules are to be held against one another.

    Raises:
        ValueError, TypeError: for what are no rules, contradict one another, or leave a hole no value.
    """
    codec, values, mask = read
    if imputer.rules is None and imputer.not_applicable is None:
        return NOTHING
    rules = rules_of(imputer.rules, codec.columns, codec.layout.names)
    if fitting:
        check_feasible(rules, codec.columns)
        for name, codes in codes_and_conditions(imputer.not_applicable, codec.layout.names)[0].items():
            if not absent[name].any():
                warn(f"not_applicable: {', '.join(map(repr, codes))} stands in no cell of column {name!r}")
    broken = []
    for rule, rows in broken_rows(rules, values, mask):
        named = ", ".join(str(label_of(table, i)) for i in rows[:_NAMED]) + (", ..." if len(rows) > _NAMED else "")
        broken.append(f"Observed values of {len(rows)} rows break the rule {rule.text}, and stand as they are (rows {named})")
    if broken:
        warn(f"rules: {'; '.join(broken)}")
    apart = {name: own for name, own in absent.items() if own.any()}
    # Masks that read missing values have no integrals to be cut: draws alone obey then.
    integrated = imputer.mechanism not in ("linear", "neural")
    implied = existing_ends(implied_ends(rules, codec.columns, table, values, mask, ends) if integrated else None, codec, absent)
    return Known(rules, implied, tuple(broken), apart, stood if apart else None, imputer.mechanism != "none")
