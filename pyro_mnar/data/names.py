"""Columns' names in texts such as ``A,B``, ``COLUMN=WORD`` and ``Y=X,A``, with whatever marks these names have themselves."""

from __future__ import annotations

import csv
from collections.abc import Hashable, Mapping, Sequence
from difflib import get_close_matches


def names_in(words: str, names: Sequence[Hashable], option: str) -> list[str]:
    """Return the columns that a list with commas names; names with commas as they are, or in quotes.

    Raises:
        ValueError: for a name that is no column's, or that stands twice.

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
    twice = [name for name in found if found.count(name) > 1]
    if twice:
        raise ValueError(f"{option}: got column {twice[0]!r} twice, expected each once")
    return found


def pair(word: str, names: Sequence[Hashable]) -> tuple[str, str] | None:
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


def place(word: str, names: Sequence[Hashable], mark: str) -> tuple[str, str]:
    """Return column and rest of COLUMN and, after ``mark``, what may be left out: the column the longest that has such a name.

    Example:
        >>> place("a:b:x", ["a", "a:b"], ":"), place("a", ["a"], ":"), place("c:x", ["a"], ":")
        (('a:b', 'x'), ('a', ''), ('c', 'x'))
    """
    known = {str(name) for name in names}
    ends = [len(word), *(i for i in reversed(range(len(word))) if word.startswith(mark, i))]
    at = next((i for i in ends if word[:i] in known), ends[-1])
    return word[:at], word[at + len(mark) :]


def nearest(name: str, names: Sequence[Hashable]) -> str:
    """Return which columns may be meant by a name that is none's: up to three that are spelled like it, or else all of them.

    Example:
        >>> nearest("agee", ["age", "job"]), nearest("x", ["age", "job"])
        ('age', 'age, job')
    """
    known = {str(known).lower(): str(known) for known in names}
    return ", ".join([known[word] for word in get_close_matches(name.lower(), known, 3)] or known.values())


def by_column(said: object, names: Sequence[Hashable], setting: str, about: str) -> Mapping[Hashable, object]:
    """Return a setting that says something of some columns.

    Args:
        said: the setting.
        names: of the columns.
        setting, about: what errors call it, and what it maps columns to.

    Raises:
        ValueError: for what is no mapping, or an unknown column.

    Example:
        >>> by_column({"c": 1}, ["a", "b"], "limits", "limits")
        Traceback (most recent call last):
        ValueError: limits: got unknown column 'c', expected some of a, b
    """
    if not isinstance(said, Mapping):
        raise ValueError(f"{setting}: got {said!r:.60}, expected a mapping from columns to {about}")
    for column in said:
        if column not in names:
            raise ValueError(f"{setting}: got unknown column {column!r}, expected some of {', '.join(map(str, names))}")
    return said


def missing_words(words: Sequence[str] | None, names: Sequence[str]) -> dict[str, list[str]]:
    """Return by column the words of ``--missing WORD``, which are every column's, and ``--missing COLUMN=WORD``.

    Raises:
        ValueError: for a word with ``=`` in it before which no column stands, which may be one that is misspelt.

    Example:
        >>> missing_words(["-99", "job=?"], ["age", "job"])
        {'age': ['-99'], 'job': ['-99', '?']}
    """
    found: dict[str, list[str]] = {}
    for word in words or []:
        own = pair(word, names)
        if own is not None and own[0] not in names:
            raise ValueError(
                f"--missing: got unknown column {own[0]!r} in {word!r}, expected COLUMN=WORD with a column such as "
                f"{nearest(own[0], names)} (a word that has = in it stands after its column: COLUMN={word})"
            )
        chosen, word = (names, word) if own is None else ([own[0]], own[1])
        for name in chosen:
            found.setdefault(name, []).append(word)
    return found
