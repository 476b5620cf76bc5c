"""The command line's tables: what is read, what is left out and why, and names of columns on the command line."""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, TypeVar

from pyro_mnar.cli.limits import frame_with_limits
from pyro_mnar.data.doubts import constant
from pyro_mnar.data.files.reading import read_source
from pyro_mnar.data.files.source import Source
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.schema import Schema
from pyro_mnar.data.stated_holes import level_words, without
from pyro_mnar.data.written_limits import split_written

if TYPE_CHECKING:
    from pandas import DataFrame

_Result = TypeVar("_Result")
# Numbers as they are written with points for thousands, and how many lines are named.
_GROUPED, _NAMED = re.compile(r"[+-]?\d{1,3}(\.\d{3})+"), 5


def opened(options: argparse.Namespace) -> Source:
    """Return the table of a command line as it stands in its file."""
    return read_source(options.table, separator=options.separator, decimal=options.decimal or ".", encoding=options.encoding)


def known_levels(schema: Schema) -> dict[str, Collection[str]]:
    """Return by column the texts that a model knows as levels, and so no holes."""
    texts = {str(column.name): [level for level in column.levels if isinstance(level, str)] for column in schema.columns}
    return {name: levels for name, levels in texts.items() if levels}


def usable(
    source: Source,
    chosen: list[str] | None,
    kinds: dict[str, str],
    missing: Mapping[str, Collection[str]],
    cells: Collection[str] = (),
    aside: Collection[str] = (),
    left_out: Collection[str] = (),
    codes: Mapping[str, Collection[object]] | None = None,
) -> tuple[DataFrame, dict[str, Column], list[str]]:
    """Return the columns that a model can be of, what each of them is, and a sentence on each other column.

    Columns that are always the same are among the first, and nothing more of them; and so are those that are set ``aside``. Columns of
    ``cells`` hold limits beside their numbers. Those that are ``left_out`` are none of the model's. By column there may be ``codes`` of
    cells that do not exist, which say nothing of what the others are.

    Raises:
        ValueError: for a chosen or declared column that cannot be used, text by mistake among numbers, and where nothing is left.
    """
    names = [name for name in (source.names if chosen is None else chosen) if name not in left_out]
    said: list[str] = []
    kept: list[str] = []
    known: dict[str, Column] = {}
    own, codes = [name for name in cells if name in names], codes or {}
    frame = counted(frame_with_limits(source, names, missing, level_words(kinds), own, codes))
    for name in names:
        if name in aside:
            kept.append(name)
            continue
        series = split_written(frame[name])[0] if name in cells else frame[name]
        series = without(series, codes[name]) if name in codes else series
        if not series.notna().any():
            said.append(f"{name}: has no value; passed through")
            continue
        try:
            if name not in kinds and constant(series.to_numpy(dtype=object, na_value=None))[0]:
                what = "holes are filled with it" if series.isna().any() else "passed through"
                said.append(f"{name}: always {series.dropna().iloc[0]}; {what}")
            else:
                known[name] = Schema.of(series.to_frame(), kinds={k: word for k, word in kinds.items() if k == name}).columns[0]
            kept.append(name)
        except ValueError as error:
            if chosen is not None or name in kinds or name in cells:
                raise
            holes = int(series.isna().sum())
            # Left out it is already.
            why = str(error).removeprefix(f"column {name!r}: ").removesuffix(" (leave the column out, or declare its kind)")
            said.append(f"{name}: passed through, {'its holes too' if holes else 'not used'} ({why})")
    if not kept:
        raise ValueError(f"no column can be used ({'; '.join(said)})")
    return frame[kept], known, [*said, *grouped(source, frame[kept])]


def read_holes(source: Source, frame: DataFrame) -> list[str]:
    """Return sentences on the words that were read as holes, empty cells aside, and on cells that are not there."""
    parts = []
    for name in frame.columns:
        for word, count in sorted(source.read_as_missing.get(name, {}).items()):
            if word.strip():
                parts.append(f"{word!r} in {name} ({count})")
    said = [f"Read as missing, beside empty cells: {', '.join(parts)}"] if parts else []
    if source.short:
        where = _lines(source.short)
        said.append(f"Note: rows shorter than the header: {len(source.short)}, whose last cells are read as missing ({where})")
    if source.blank and len(source.names) == 1:
        # Beside other columns a hole has its separators, so that nothing can be meant by a line that is empty.
        way = 'a hole of the only column is written NA or ""'
        said.append(f"Note: empty lines: {len(source.blank)}, which are no rows ({_lines(source.blank)}); {way}")
    return said


def _lines(lines: list[int]) -> str:
    return f"lines {', '.join(map(str, lines[:_NAMED]))}" + (", ..." if len(lines) > _NAMED else "")


def grouped(source: Source, frame: DataFrame) -> list[str]:
    """Return a sentence for each column of numbers in which a point may be no decimal mark, that being another one."""
    said = []
    for name in frame.columns if source.decimal == "," and source.arrow is None else ():
        pointed = [cell.strip() for cell in source.cells[name] if "." in cell] if frame[name].dtype.kind in "fO" else []
        if pointed and all(_GROUPED.fullmatch(cell) for cell in pointed):
            way = "if points are for thousands, write numbers without them"
            said.append(f"{name}: {pointed[0]} is read with a point as its decimal mark, also beside --decimal ','; {way}")
    return said


def counted(frame: DataFrame) -> DataFrame:
    """Return ``frame`` with rows counted from 1, where its index only counts."""
    import pandas as pd

    plain = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1)) if plain else frame


def told(call: Callable[..., _Result], *given: object) -> tuple[_Result, list[str]]:
    """Return what ``call`` returns, and the warnings of the library in its course, which the command line prints."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", UserWarning)
        result = call(*given)
    return result, [str(one.message).removeprefix("X: ") for one in seen if issubclass(one.category, UserWarning)]
