"""What a report estimates and moves: columns' means, shares of levels, and the completed tables with these columns.

Of a wide table a report draws few columns, and copies of whole tables would take most of its time: the completed tables that it moves
have those columns alone that it estimates or that an analysis reads. What was drawn of the others still says how rows are tilted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.analysis.analyses import analyze
from pyro_mnar.analysis.candidates import column_of
from pyro_mnar.analysis.completions import Completions, numbers
from pyro_mnar.analysis.design import Design, Sampling
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.evidence import is_hole
from pyro_mnar.data.masking import join
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.data.schema import Schema, is_frame
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.sensitivity import completions, with_times
from pyro_mnar.imputer.tables.given import Given

if TYPE_CHECKING:
    from pandas import DataFrame

#: Completed tables that are analyzed; re-weighting starts from all there are.
TABLES = 40
#: Panels of a figure.
PANELS = 12


@dataclass(frozen=True)
class Lever:
    """What moves the imputed values of a column: numbers by a shift, levels by the odds of one of them."""

    column: Hashable
    name: str
    about: str  # what is estimated
    estimate: Callable[[Any], Any]
    adjust: Callable[[Completions, float], Completions]
    label: str  # of the shift or odds
    unit: float
    levels: bool
    logs: bool = False

    def said(self, value: float) -> str:
        """Return a shift, a factor or odds in words."""
        if self.levels:
            return f"odds of {self.name} times {np.exp(value):.3g}"
        if self.logs:
            return f"a factor of {np.exp(value * self.unit):.3g} (a shift of its logarithm by {value:.3g} standard deviations)"
        return f"a shift of {value:.3g} standard deviations ({value * self.unit:.4g})"


def completed(
    imputer: MNARImputer, table: Given, result: Imputation, ignorable: Imputation | None, reads: Sequence[Hashable] | None
) -> dict[str, Completions]:
    """Return completed tables by assumption, ``as assumed`` and perhaps ``ignorable``.

    Args:
        imputer: fitted.
        table: read by its codec.
        result: of the imputer, with its draws.
        ignorable: the same under ignorable missingness, to compare with.
        reads: columns of a DataFrame that an analysis reads; the tables have these and those that are estimated. All by default.
    """
    known, columns = table.codec.columns, None
    if reads is not None and is_frame(table.X):
        at = [j for j, column in enumerate(known) if j in most_missing(table) or column.name in reads]
        columns = [known[j].name for j in at]
    done = {"as assumed": completions(imputer, table, len(result.draws), columns)}
    if ignorable is not None:
        # Not moved, so they need no candidates.
        table = with_times(table)
        draws, groups = ignorable.draws.numpy(), imputer.members_of(len(ignorable.draws))
        step = max(1, len(draws) // TABLES)
        if columns is None:
            plain = table.complete(draws[::step])
        else:
            frame: Any = table.table
            part, schema = frame[columns], Schema(tuple(known[j] for j in at))
            plain = [join(part, draw[:, at], (table.mask | table.absent)[:, at], schema) for draw in draws[::step]]
        done["ignorable"] = Completions(done["as assumed"].table, plain, groups[::step])
    return done


def most_missing(table: Given) -> list[int]:
    """Return the columns with most missing, from which those are chosen that are drawn; of directions no sum is taken."""
    holed = [int(j) for j in np.flatnonzero(table.missing.any(0)) if not table.codec.columns[j].circular]
    return sorted(holed, key=lambda j: -float(table.missing[:, j].mean()))[: 2 * PANELS]


def levers_of(table: Given, done: Completions, sample: Sampling) -> dict[int, Lever]:
    """Return what moves the columns that are drawn: of those with most missing, the ones whose estimate is most an assumption.

    Args:
        table: read by a codec.
        done: completed tables, which are moved.
        sample: how rows were sampled, as ``analyze`` takes it.
    """
    units, some = Scaling.of(table.values, table.mask | ~table.mask.any(0)).scale, every(done)
    levers = {j: _lever(table.codec.columns[j], units[j], done) for j in most_missing(table)}
    pooled = {j: analyze(some.tables, own.estimate, some.groups, **sample) for j, own in levers.items()}
    assumed = {j: float(np.max(own.fraction_missing)) for j, own in pooled.items()}
    return {j: levers[j] for j in sorted(levers, key=lambda j: -assumed[j])[:PANELS]}


def alone(done: Completions, columns: list[Hashable]) -> Completions:
    """Return the tables with some columns alone, where those have names."""
    return done.only(columns) if is_frame(done.table) else done


def every(done: Completions) -> Completions:
    """Return about ``TABLES`` of the completed tables, of every group alike."""
    step = max(1, len(done.tables) // TABLES)
    return replace(done, tables=done.tables[::step], groups=None if done.groups is None else done.groups[::step])


def _lever(column: Column, unit: float, done: Completions) -> Lever:
    """Return what moves ``column``; of levels the odds of the one whose share in the imputed and the observed values differs most."""
    name = column.name
    if not column.levels:
        label = f"shift of imputed {name} (standard deviations)"
        return Lever(
            name,
            str(name),
            f"mean of {name}{column.about}",
            mean_of(done, name),
            lambda c, d: c.shift(name, d * unit),
            label,
            unit,
            False,
        )
    holes = done.holes(name)
    seen, found = column_of(done.table, name)[~holes], [column_of(table, name)[holes] for table in done.tables]
    gaps = [abs(float(np.mean([(part == level).mean() for part in found])) - float((seen == level).mean())) for level in column.levels]
    # Of two levels, the second: the differences are the same.
    level = column.levels[1 if len(column.levels) == 2 else int(np.argmax(gaps))]
    there = any(bool((part == level).any()) for part in found)

    def tilted(c: Completions, d: float) -> Completions:
        return c.tilt(name, d, category=level) if there else c

    label = f"log odds ratio of {name} = {level} among imputed values"
    return Lever(name, f"{name} = {level}", f"share of {name} = {level}", mean_of(done, name, level), tilted, label, 1.0, True)


def of_logarithm(lever: Lever, done: Completions) -> Lever:
    """Return what moves the logarithms of a column's imputed values: a factor, since a shift may leave none to be taken."""
    name, holes = lever.column, done.holes(lever.column)
    unit = float(np.log(numbers(column_of(done.table, name)[~holes], name)).std(ddof=1))
    label = f"shift of the logarithm of imputed {name} (standard deviations)"
    return replace(lever, adjust=lambda c, d: c.scale(name, float(np.exp(d * unit))), label=label, unit=unit, logs=True)


def mean_of(done: Completions, column: Hashable, level: str | float | None = None) -> Callable[..., tuple[float, float, float]]:
    """Return an analysis of the tables of ``done``: the mean of ``column``, or the share of its ``level``.

    It takes a table, and the rows' design where there is one. Cells that do not exist have no part in it.
    """

    def mean(table: DataFrame | np.ndarray, design: Design | None = None) -> tuple[float, float, float]:
        own = column_of(table, column)
        exists = np.array([not is_hole(value) for value in np.asarray(own, object)])
        values = numbers(own[exists], column) if level is None else np.asarray(own[exists] == level, float)
        if design is not None:
            whole = np.full(len(exists), np.nan)
            whole[exists] = values
            return design.mean(whole)
        if len(values) < 2:
            raise ValueError(f"column {column!r}: got {len(values)} value(s), expected at least 2 for the standard error of a mean")
        return values.mean(), values.var(ddof=1) / len(values), len(values) - 1

    return mean
