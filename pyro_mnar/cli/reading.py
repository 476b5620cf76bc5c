"""The command line's tables: what is read, what is left out and why, and names of columns on the command line."""

from __future__ import annotations

import argparse
import csv
import os
import warnings
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_mnar.data.doubts import constant
from pyro_mnar.data.schema import Schema
from pyro_mnar.data.source import Source, read_source

if TYPE_CHECKING:
    from pandas import DataFrame

    from pyro_mnar.imputer.imputer import MNARImputer


def opened(options: argparse.Namespace) -> Source:
    """Return the table of a command line as it stands in its file."""
    return read_source(options.table, separator=options.separator, decimal=options.decimal or ".", encoding=options.encoding)


def refuse_same(table: str, outputs: Iterable[tuple[str, str | None]]) -> None:
    """Raise a ValueError where an output, given with its option's name, is the table that is read, or another output."""
    seen = {os.path.realpath(table): "the table that is read"} if table != "-" else {}
    for option, path in outputs:
        if path is None or path == "-":
            continue
        where = os.path.realpath(path)
        if where in seen or any(os.path.exists(where) and os.path.exists(other) and os.path.samefile(where, other) for other in seen):
            raise ValueError(f"--{option}: got {path}, which is {seen.get(where, 'the table that is read')}, expected another file")
        seen[where] = f"--{option} as well"


def refuse_inside(folder: str, outputs: Iterable[tuple[str, str | None]]) -> None:
    """Raise a ValueError where an output, given with its option's name, lies in the model's folder, which is replaced as a whole."""
    for option, path in outputs:
        if path is not None and option != "save" and Path(os.path.realpath(path)).parent.is_relative_to(os.path.realpath(folder)):
            raise ValueError(f"--{option}: got {path}, which lies in the folder of --save, expected another place")


def names_in(words: str, names: Sequence[Any], option: str) -> list[str]:
    """Return the columns that a list with commas names; names with commas as they are, or in quotes.

    Raises:
        ValueError: for a name that is no column's.

    Example:
        >>> names_in("income, eur,b", ["income, eur", "b", "c"], "columns")
        ['income, eur', 'b']
    """
    known = {str(name) for name in names}
    pieces, found, i = words.split(","), [], 0
    if '"' in words:
        pieces = next(csv.reader([words], skipinitialspace=True))
    while i < len(pieces):
        for j in range(len(pieces), i, -1):
            joined = ",".join(pieces[i:j])
            name = next((word for word in (joined, joined.strip()) if word in known), None)
            if name is not None:
                found.append(name)
                i = j
                break
        else:
            raise ValueError(f"{option}: got unknown column {pieces[i].strip()!r}, expected some of {', '.join(map(str, names))}")
    return found


def pair(word: str, names: Sequence[Any]) -> tuple[str, str] | None:
    """Return column and rest of COLUMN=REST, the column the longest that has such a name, or the part before the first ``=``.

    Example:
        >>> pair("a=b=count", ["a=b", "a"]), pair("count", ["a"])
        (('a=b', 'count'), None)
    """
    known = {str(name) for name in names}
    places = [i for i, letter in enumerate(word) if letter == "="]
    if not places or places[0] == 0:
        return None
    at = next((i for i in reversed(places) if word[:i] in known), places[0])
    return word[:at], word[at + 1 :]


def missing_words(words: Sequence[str] | None, names: Sequence[str]) -> dict[str | None, list[str]]:
    """Return by column the words of ``--missing WORD`` and ``--missing COLUMN=WORD``; those of every column under None."""
    found: dict[str | None, list[str]] = {None: []}
    for word in words or []:
        own = pair(word, names)
        if own is not None and own[0] in names:
            found.setdefault(own[0], []).append(own[1])
        else:
            found[None].append(word)
    return found


def declared_levels(kinds: dict[str, str] | None, schema: Schema | None = None) -> dict[str, Collection[str]]:
    """Return by column the words that are levels, as declared or as a model knows them, and so no holes."""
    found: dict[str, Collection[str]] = {}
    for name, word in (kinds or {}).items():
        kind, *levels = word.split(":")
        if kind == "ordinal" and levels and not all(_is_number(level) for level in levels):
            found[name] = levels
    for column in () if schema is None else schema.columns:
        if column.levels and all(isinstance(level, str) for level in column.levels):
            found[str(column.name)] = column.levels
    return found


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def usable(source: Source, chosen: list[str] | None, kinds: dict[str, str], missing: Any, levels: Any) -> tuple[DataFrame, list[str]]:
    """Return the columns that a model can be of, and a sentence for each other; what was chosen or declared must be usable.

    Raises:
        ValueError: for a chosen or declared column that cannot be used, text by mistake among numbers, and where nothing is left.
    """
    names, said, kept = source.names if chosen is None else chosen, [], []
    frame = counted(source.frame(names, missing, levels))
    for name in names:
        series = frame[name]
        if not series.notna().any():
            said.append(f"{name}: has no value; passed through")
            continue
        if name in kinds:
            kept.append(name)
            continue
        try:
            if constant(series.to_numpy(dtype=object, na_value=None))[0]:
                what = "holes are filled with it" if series.isna().any() else "passed through"
                said.append(f"{name}: always {series.dropna().iloc[0]}; {what}")
            else:
                Schema.of(frame[[name]])
            kept.append(name)
        except ValueError as error:
            if chosen is not None:
                raise
            holes = int(series.isna().sum())
            said.append(f"{name}: passed through, {'its holes too' if holes else 'not used'} ({error})")
    if not kept:
        raise ValueError(f"no column can be used ({'; '.join(said)})")
    return frame[kept], said


def read_holes(source: Source, frame: DataFrame) -> list[str]:
    """Return a sentence on the words that were read as holes, empty cells aside."""
    parts = []
    for name in frame.columns:
        for word, count in sorted(source.read_as_missing.get(name, {}).items()):
            if word.strip():
                parts.append(f"{word!r} in {name} ({count})")
    return [f"Read as missing, beside empty cells: {', '.join(parts)}"] if parts else []


def counted(frame: DataFrame) -> DataFrame:
    """Return ``frame`` with rows counted from 1, where its index only counts."""
    import pandas as pd

    plain = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1)) if plain else frame


def told(call: Any, *given: Any) -> tuple[Any, list[str]]:
    """Return what ``call`` returns, and the warnings of the library in its course, which the command line prints."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", UserWarning)
        result = call(*given)
    return result, [str(one.message).removeprefix("X: ") for one in seen if issubclass(one.category, UserWarning)]


def asked_for(options: argparse.Namespace, source: Source) -> tuple[MNARImputer, DataFrame, list[str]]:
    """Return an imputer, fitted where a model was given, the columns that it is for, and sentences on the others."""
    from pyro_mnar.imputer.imputer import MNARImputer
    from pyro_mnar.report.sensitivity import parsed

    words = missing_words(getattr(options, "missing", None), source.names)

    def missing(name: str) -> list[str]:
        return [*words[None], *words.get(name, [])]

    if options.model is not None:
        for name in ("mechanism", "direction", "order", "ignorable", "kind", "columns", "save", "steps"):
            if getattr(options, name, None) is not None:
                raise ValueError(f"--{name}: got one with --model, expected it only when fitting (the model has its own)")
        imputer = MNARImputer.load(options.model)
        names = [str(name) for name in imputer.layout_.names]
        lacking = [name for name in names if name not in source.names]
        if lacking:
            unknown = [name for name in source.names if name not in names]
            more = f"; the model does not know {', '.join(unknown)}" if unknown else ""
            raise ValueError(f"table: lacks the model's column(s) {', '.join(lacking)}{more}")
        part = source.frame(names, missing, declared_levels(None, imputer.schema_))
        if getattr(options, "seed", None) is not None:
            imputer.random_state = options.seed
        imputer.point = getattr(options, "point", None) or imputer.point
        imputer.n_jobs = _jobs(options.jobs)
        if getattr(options, "regress", None) is not None:
            parsed(options.regress, imputer.schema_)
        return imputer, counted(part), []
    chosen = None if options.columns is None else names_in(options.columns, source.names, "columns")
    kinds = _kinds(options.kind, source.names)
    unknown = [name for name in kinds if name not in (chosen or source.names)]
    if unknown:
        raise ValueError(f"kinds: got unknown column {unknown[0]!r}, expected some of {', '.join(chosen or source.names)}")
    part, notes = usable(source, chosen, kinds, missing, declared_levels(kinds))
    if options.regress is not None:
        parsed(options.regress, Schema.of(part, kinds=kinds))
    if options.steps is not None and options.steps < 1:
        raise ValueError(f"--steps: got {options.steps}, expected at least 1")
    settings = {"steps": options.steps, "mechanism": options.mechanism, "random_state": options.seed}
    settings["point"] = getattr(options, "point", None)
    given = {name: value for name, value in settings.items() if value is not None}
    if kinds:
        given["kinds"] = kinds
    if options.order is not None:
        given["order"] = names_in(options.order, part.columns, "order")
    if options.ignorable is not None:
        given["ignorable"] = names_in(options.ignorable, part.columns, "ignorable")
    direction = _direction(options.direction, part.columns)
    given["keep_partial"] = getattr(options, "keep_partial", False)
    return MNARImputer(direction=direction, n_jobs=_jobs(options.jobs), **given), part, notes


def _jobs(wanted: int | None) -> int:
    from joblib import cpu_count

    if wanted is not None and wanted < 1:
        raise ValueError(f"--jobs: got {wanted}, expected at least 1")
    return wanted or cpu_count()


def _kinds(words: list[str] | None, names: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in words or []:
        own = pair(word, names)
        if own is None or not own[1]:
            raise ValueError(f"--kind: got {word!r}, expected COLUMN=KIND")
        found[own[0]] = own[1]
    return found


def _direction(words: list[str] | None, names: Sequence[str]) -> str | dict[str, str] | None:
    if not words:
        return None
    pairs = [pair(word, names) for word in words]
    if all(own is not None for own in pairs):
        return dict(own for own in pairs if own is not None)
    if len(words) > 1:
        raise ValueError(f"--direction: got {' and '.join(words)}, expected one word for all columns, or COLUMN=WORD for each")
    return words[0]
