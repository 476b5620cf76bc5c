"""``pyro-mnar sensitivity``: one conclusion along one assumption or two, from one fit, as a table, a figure and a sentence."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.analysis.analyses import analyze
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.analysis.design import Design
from pyro_mnar.analysis.regressions import regression_in
from pyro_mnar.analysis.tipping import TippingPoint, tipping_point
from pyro_mnar.cli.options import MOVES
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.names import pair, place
from pyro_mnar.data.schema import Schema
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.replicates import as_analyzed
from pyro_mnar.imputer.sensitivity import completions
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.report.levers import every, mean_of

if TYPE_CHECKING:
    from pandas import DataFrame, Series

#: Points of one grid.
_MOST_POINTS = 10_000


@dataclass(frozen=True)
class Move:
    """One assumption to be moved: ``how``, a word of ``MOVES``, the column and its level where these say something, and the grid."""

    how: str
    column: str | int | None
    level: str | float | None
    grid: tuple[float, ...]

    @property
    def label(self) -> str:
        """What the axis of a figure says."""
        of = "" if self.column is None else f" of imputed {self.column}" + ("" if self.level is None else f" = {self.level}")
        return {"odds": "odds ratio", "strength": "strength of the mechanism"}.get(self.how, self.how) + of


def moves(options: argparse.Namespace, schema: Schema, mask: np.ndarray) -> list[Move]:
    """Return what the command line asks to be moved; all is checked here, before any work.

    Args:
        options: parsed.
        schema: D columns.
        mask: (N, D) True = observed.

    Raises:
        ValueError: naming the option, for a column that does not exist, has no holes or is none of numbers, an unknown level, a grid
            that is none, more than two of them or none, and a strength of what is no mechanism of single columns.
    """
    found = [_move(how, word, schema, mask) for how in MOVES for word in getattr(options, how) or []]
    if not 1 <= len(found) <= 2:
        raise ValueError(f"sensitivity: got {len(found)} of --shift, --scale, --odds and --strength, expected one or two")
    if any(move.how == "strength" for move in found) and options.mechanism not in (None, "auto", "self-masking"):
        raise ValueError(f"--strength: got one with --mechanism {options.mechanism}, expected auto or self-masking")
    if options.rows is not None and all(move.how == "strength" for move in found):
        raise ValueError("--rows: got one with --strength alone, expected a --shift, --scale or --odds to say it of")
    return found


def _move(how: str, word: str, schema: Schema, mask: np.ndarray) -> Move:
    target, _, span = word.rpartition("=")
    try:
        low, high, count = (float(part) for part in span.split(":"))
        if not (np.isfinite([low, high]).all() and low < high and (low > 0 or how in ("shift", "strength"))):
            raise ValueError
        if not (2 <= count <= _MOST_POINTS and count == int(count)):
            raise ValueError
        grid = np.geomspace(low, high, int(count)) if how == "odds" else np.linspace(low, high, int(count))
    except ValueError:
        form = "LOW:HIGH:COUNT" if how == "strength" else "COLUMN=LOW:HIGH:COUNT"
        more = ", from above 0" if how in ("scale", "odds") else ""
        raise ValueError(f"--{how}: got {word!r}, expected {form}, rising{more}, of 2 to {_MOST_POINTS} points") from None
    values = tuple(float(x) for x in grid)
    if how == "strength":
        if target:
            raise ValueError(f"--strength: got {word!r}, expected LOW:HIGH:COUNT")
        return Move(how, None, None, values)
    name, level = place(target, [column.name for column in schema.columns], ":")
    column = _column(f"--{how}", name, schema)
    if mask[:, schema.columns.index(column)].all():
        raise ValueError(f"--{how}: got column {name!r}, expected one with missing values (there is nothing to move)")
    if how != "odds":
        if column.levels or level:
            raise ValueError(f"--{how}: got {column.kind} column {target!r}, expected numbers (or --odds {name}:LEVEL=LOW:HIGH:COUNT)")
        return Move(how, column.name, None, values)
    return Move(how, column.name, _level(f"--{how}", column, level), values)


def conclusion(options: argparse.Namespace, schema: Schema) -> tuple[Callable[[Completions], Callable[..., Any]], str]:
    """Return what makes the estimate, given completed tables, and what it is called.

    Raises:
        ValueError: for both or neither of --regress and --mean, and columns that do not exist or are no numbers.
    """
    if (options.regress is None) == (options.mean is None):
        raise ValueError("sensitivity: expected one of --regress and --mean")
    if options.regress is not None:
        own = regression_in(options.regress, schema.columns)
        return lambda _: own, own.about
    name, word = place(options.mean, [column.name for column in schema.columns], "=")
    column = _column("--mean", name, schema)
    level = _level("--mean", column, word) if column.levels else None
    about = f"mean of {name}" if level is None else f"share of {name} = {level}"
    return lambda done: mean_of(done, column.name, level), about


def moved_rows(options: argparse.Namespace, table: DataFrame) -> np.ndarray | None:
    """Return which rows are moved, (N,), all being None.

    Raises:
        ValueError: for a column that does not exist, or no such row.
    """
    if options.rows is None:
        return None
    own = pair(options.rows, list(table.columns))
    if own is None or own[0] not in table.columns:
        raise ValueError(f"--rows: got {options.rows!r}, expected COLUMN=VALUE of {', '.join(map(str, table.columns))}")
    name, value = own
    chosen = _same(table[name], value)
    if not chosen.any():
        raise ValueError(f"--rows: got {options.rows!r}, expected a value that column {name!r} has")
    return chosen


def along(
    imputer: MNARImputer,
    table: Given,
    given: list[Move],
    rows: np.ndarray | None,
    estimate_of: Callable[[Completions], Callable[..., Any]],
    draws: int,
    null: float,
    design: Design | None = None,
    replicates: np.ndarray | None = None,
) -> tuple[TippingPoint, bool]:
    """Return the conclusion along the moves of ``given``, and whether it holds unmoved.

    Args:
        imputer: fitted.
        table: read by its codec.
        given: one move or two.
        rows: (N,) those that are moved; None for all.
        estimate_of: makes the estimate, given completed tables.
        draws: how many.
        null: what the estimate is held against.
        design, replicates: of the rows, for the estimate, and of the imputer's members.
    """
    full = completions(imputer, table, draws)
    start = full if any(move.how in ("odds", "strength") for move in given) else every(full)

    def adjust(done: Completions, *values: float) -> Completions:
        # What re-weights comes first: it reads values that the model can have, which shifted counts need not be.
        for move, value in sorted(zip(given, values, strict=True), key=lambda pair: pair[0].how in ("shift", "scale")):
            if move.how == "shift":
                done = done.shift(move.column, value, rows)
            elif move.how == "scale":
                done = done.scale(move.column, value, rows)
            elif move.how == "odds":
                done = done.tilt(move.column, float(np.log(value)), rows, category=move.level)
            else:
                done = imputer.strengthened(done, value)
        return done

    grids = [list(move.grid) for move in given]
    estimate, sample = estimate_of(start), as_analyzed(design, replicates, start.groups)
    path = tipping_point(start, adjust, grids if len(grids) > 1 else grids[0], estimate, null=null, progress=False, **sample)
    low, high = (float(np.squeeze(end)) for end in analyze(start.tables, estimate, start.groups, **sample).interval(path.level))
    return path, not low <= null <= high


def said(path: TippingPoint, holds: bool, given: list[Move], about: str) -> list[str]:
    """Return sentences on where the conclusion tips; first whether it ``holds`` to begin with."""
    lines = [] if holds else [f"The conclusion does not hold to begin with: unmoved, the interval has {path.null:g} in it."]
    lines += [f"The {about}, {100 * path.level:g} % intervals, against {path.null:g}:"]
    if len(given) == 1:
        where = ", ".join(f"{crossing:.5g}" for crossing in path.crossings)
        lines.append(
            f"  {given[0].label}: " + (f"the interval meets {path.null:g} at {where}" if where else "no tipping point on this grid")
        )
    else:
        lines.append(f"  {len(path.crossings) or 'no'} line(s) of tipping points on this grid: see --figure")
    if path.refit_due.any():
        lines.append(f"  {int(path.refit_due.sum())} of {path.refit_due.size} points keep too few effective draws,")
        lines.append("  and move by less than they state: refit there, or stay nearer to the fit")
    return lines


def _column(option: str, name: str, schema: Schema) -> Column:
    for column in schema.columns:
        if str(column.name) == name and column.circular:
            raise ValueError(f"{option}: got {column.kind} column {name!r}, expected one whose values do not wrap around")
        if str(column.name) == name:
            return column
    raise ValueError(f"{option}: got unknown column {name!r}, expected one of {', '.join(str(c.name) for c in schema.columns)}")


def _level(option: str, column: Column, word: str) -> str | float:
    for level in column.levels:
        if str(level) == word or (isinstance(level, float) and f"{level:g}" == word):
            return level
    known = ", ".join(map(str, column.levels)) or "none: it holds numbers"
    raise ValueError(f"{option}: got level {word!r} of column {column.name!r}, expected one of its levels ({known})")


def _same(values: Series, word: str) -> np.ndarray:
    text = (values.astype("string") == word).fillna(False).to_numpy(bool)
    try:
        return text | (values == float(word)).fillna(False).to_numpy(bool)
    except (TypeError, ValueError):
        return text
