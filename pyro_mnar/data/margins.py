"""Margins: what is known of a whole column, missing values included, such as a census's mean.

    {"mean": 26_499}                            of the whole population, in the column's units
    {"share": {"yes": 0.24}}                    of levels, one or several
    {"quantile": {0.5: 21_000}}                 the value at or below which that share lies

A pair in the place of a number is the number and its standard error: ``{"mean": (26_499, 300)}``.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.names import by_column

_FORMS = "{'mean': NUMBER}, {'share': {LEVEL: NUMBER}} or {'quantile': {SHARE: NUMBER}}, each NUMBER alone or with its standard error"


@dataclass(frozen=True)
class Margin:
    """What is known of one column.

    Attributes:
        column: its name.
        what: ``mean``, ``share`` or ``quantile``.
        at: K levels, of a quantile the share, of a mean nothing.
        values: the known numbers: of a mean or a quantile one, of shares K.
        errors: their standard errors, 0 for none.
    """

    column: Hashable
    what: str
    at: tuple[Any, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]

    @classmethod
    def of(cls, column: Hashable, said: object) -> Self:
        """Return what is said of a column.

        Raises:
            ValueError: for another form.

        Example:
            >>> Margin.of("income", {"mean": (26_499, 300)})
            Margin(column='income', what='mean', at=(), values=(26499.0,), errors=(300.0,))
        """
        refused = ValueError(f"margins: got {said!r:.60} for column {column!r}, expected {_FORMS}")
        if not isinstance(said, Mapping) or len(said) != 1:
            raise refused
        ((what, given),) = said.items()
        if what == "mean":
            value, error = _number(given, refused)
            return cls(column, what, (), (value,), (error,))
        if what not in ("share", "quantile") or not isinstance(given, Mapping) or not given:
            raise refused
        pairs = [_number(one, refused) for one in given.values()]
        margin = cls(column, what, tuple(given), tuple(value for value, _ in pairs), tuple(error for _, error in pairs))
        margin._check()
        return margin

    def _check(self) -> None:
        if self.what == "quantile":
            if len(self.at) > 1:
                raise ValueError(f"margins: got {len(self.at)} quantiles for column {self.column!r}, expected one")
            (at,) = self.at
            if isinstance(at, (str, bool)) or not isinstance(at, (int, float, np.number)) or not 0 < at < 1:
                raise ValueError(f"margins: got a quantile at {at!r} for column {self.column!r}, expected one between 0 and 1")
        else:
            for level, share in zip(self.at, self.values, strict=True):
                if not 0 < share < 1:
                    raise ValueError(
                        f"margins: got a share of {share:g} of level {level!r} for column {self.column!r}, expected one between 0 and 1"
                    )
            if sum(self.values) > 1 + 1e-9:
                raise ValueError(f"margins: got shares that add to {sum(self.values):g} for column {self.column!r}, expected at most 1")

    def learned(self, column: Column, values: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> Self:
        """Return it with places in the place of levels, where the column's missing values can meet it.

        Args:
            column: the one that is meant.
            values: (N,) its numbers.
            mask: (N,) True = observed.
            weights: (N,) what rows count for.

        Raises:
            ValueError: for a column without holes, of another kind, or one whose observed values leave no room for what is known.
        """
        if mask.all():
            raise ValueError(f"margins: got one for column {self.column!r}, which has no holes, expected a column with some")
        if column.circular or bool(column.levels) != (self.what == "share"):
            expected = "a share of its levels" if column.levels else "none" if column.circular else "a mean or a quantile"
            raise ValueError(f"margins: got a {self.what} for {column.kind} column {self.column!r}, expected {expected}")
        found = replace(self, at=tuple(_place(column, level) for level in self.at)) if self.what == "share" else self
        if len(set(found.at)) < len(found.at):
            raise ValueError(f"margins: got a level twice for column {self.column!r}, expected each once")
        found._check_room(column, values, mask, weights)
        return found

    def _check_room(self, column: Column, values: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> None:
        n, holes, seen, gone = float(weights.sum()), float(weights[~mask].sum()), values[mask], int((~mask).sum())
        if self.what == "mean":
            needed = (n * self.values[0] - float((weights[mask] * seen).sum())) / holes
            # Of counts a mean lies between two possible values.
            wrong, expected = column.outside(np.array([needed, np.floor(needed), np.ceil(needed)]))
            if wrong[0] and wrong[1:].any():
                raise ValueError(
                    f"margins: got a mean of {self.values[0]:g} for column {self.column!r}, whose {gone} missing values would then "
                    f"have a mean of {needed:.5g}, expected {expected} for kind {column.kind}"
                )
            return
        shares = self.values if self.what == "share" else self.at
        for at, value, share in zip(self.at, self.values, shares, strict=True):
            own = seen == at if self.what == "share" else seen <= value
            there = float(weights[mask][own].sum())
            low, high = there / n, (there + holes) / n
            if not low < share < high:
                what = f"level {column.levels[at]!r}" if self.what == "share" else f"values up to {value:g}"
                raise ValueError(
                    f"margins: got a share of {share:g} of {what} for column {self.column!r}, expected one between {low:.4g} and "
                    f"{high:.4g}, which observed values leave room for"
                )
        if self.what == "share":
            self._check_rest(column, float(weights[mask][~np.isin(seen, self.at)].sum()) / n)

    def _check_rest(self, column: Column, seen: float) -> None:
        """Raise a ValueError where shares leave too little to the other levels, whose observed values are a share ``seen`` of all."""
        every, total = len(self.at) == len(column.levels), sum(self.values)
        if every and abs(total - 1) > 1e-6:
            raise ValueError(f"margins: got shares of every level that add to {total:g} for column {self.column!r}, expected 1")
        if not every and len(self.at) > 1 and not total < 1 - seen:
            raise ValueError(
                f"margins: got shares that add to {total:g} for column {self.column!r}, expected less than {1 - seen:.4g}, since "
                "observed values of other levels are the rest"
            )

    def in_words(self, column: Column) -> str:
        """Return what is known, such as ``a mean of 26499 (standard error 300)``; of a learned one.

        Example:
            >>> from pyro_mnar.data.kinds.numbers import Continuous
            >>> Margin.of("x", {"quantile": {0.5: 3}}).in_words(Continuous("x", "float64"))
            'a quantile of 3 at 0.5'
        """
        parts = []
        for i, (value, error) in enumerate(zip(self.values, self.errors, strict=True)):
            doubt = f" (standard error {error:g})" if error else ""
            if self.what == "share":
                parts.append(f"a share of {value:g} of {column.levels[self.at[i]]}{doubt}")
            else:
                place = f" at {float(self.at[0]):g}" if self.what == "quantile" else ""
                parts.append(f"a {self.what} of {column.in_words(value)}{place}{doubt}")
        return " and ".join(parts)

    def to_json(self) -> dict[str, object]:
        """Return it as plain data."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` wrote of a learned one; ValueError for anything else."""
        held: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
        margin = cls(**held)
        numbers = [*margin.at, *margin.values, *margin.errors]
        sizes = {"mean": 0, "quantile": 1, "share": len(margin.values)}
        fits = margin.what in sizes and sizes[margin.what] == len(margin.at) and len(margin.values) == len(margin.errors) > 0
        if not fits or not all(isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x) for x in numbers):
            raise ValueError(f"margins: got {plain!r:.60}, expected a mean, shares or a quantile")
        return margin


def margins_of(said: Mapping[Hashable, object] | None, names: Sequence[Hashable]) -> tuple[Margin, ...]:
    """Return what a setting says of a table's columns.

    Raises:
        ValueError: for another form, or a column that is not the table's.
    """
    if said is None:
        return ()
    return tuple(Margin.of(column, given) for column, given in by_column(said, names, "margins", "what is known of them").items())


def learned_margins(
    said: Sequence[Margin],
    columns: Sequence[Column],
    values: np.ndarray,
    mask: np.ndarray,
    absent: np.ndarray,
    weights: np.ndarray | None = None,
) -> dict[int, Margin]:
    """Return what is said by the place of its column, with places in the place of levels.

    Args:
        said: of some columns.
        columns: those that vary, D.
        values, mask: (N, D) of these.
        absent: (N, D) True = does not exist; what is known is of the cells that do.
        weights: (N,) what rows count for, None being one each.

    Raises:
        ValueError: for a column that does not vary, and as :meth:`Margin.learned`.
    """
    at = {column.name: j for j, column in enumerate(columns)}
    found = {}
    for margin in said:
        if margin.column not in at:
            raise ValueError(
                f"margins: got one for column {margin.column!r}, whose observed values do not vary, expected one that is modeled"
            )
        j = at[margin.column]
        exists = ~absent[:, j]
        own = np.ones(int(exists.sum())) if weights is None else weights[exists]
        found[j] = margin.learned(columns[j], values[exists, j], mask[exists, j], own)
    return found


def _number(given: object, refused: ValueError) -> tuple[float, float]:
    value, error = given if isinstance(given, (tuple, list)) and len(given) == 2 else (given, 0.0)
    found = []
    for number in (value, error):
        if isinstance(number, (str, bool)) or not isinstance(number, (int, float, np.number)) or not math.isfinite(float(number)):
            raise refused
        found.append(float(number))
    if found[1] < 0:
        raise refused
    return found[0], found[1]


def _place(column: Column, level: object) -> int:
    for i, own in enumerate(column.levels):
        if own == level or str(own) == str(level) or (isinstance(own, float) and f"{own:g}" == str(level)):
            return i
    raise ValueError(f"margins: got level {level!r} of column {column.name!r}, expected one of {', '.join(map(str, column.levels))}")
