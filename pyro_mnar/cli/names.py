"""Files on the command line, which must differ."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


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
