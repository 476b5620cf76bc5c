"""Names on the command line: files that must differ, columns in lists and pairs, words for missing values."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


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


def missing_words(words: Sequence[str] | None, names: Sequence[str]) -> dict[str, list[str]]:
    """Return by column the words of ``--missing WORD``, which are every column's, and ``--missing COLUMN=WORD``.

    Example:
        >>> missing_words(["-99", "job=?"], ["age", "job"])
        {'age': ['-99'], 'job': ['-99', '?']}
    """
    found: dict[str, list[str]] = {}
    for word in words or []:
        own = pair(word, names)
        chosen, word = ([own[0]], own[1]) if own is not None and own[0] in names else (names, word)
        for name in chosen:
            found.setdefault(name, []).append(word)
    return found
