"""Files of tables, CSV and Parquet by their ending: checks of paths, and files written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_mnar.data.extras import extra
from pyro_mnar.data.files.replacement import replacement

if TYPE_CHECKING:
    from pandas import DataFrame

ENDINGS = (".csv", ".parquet")


def check_table(path: Path) -> str:
    """Return the ending of the file of a table that is to be read.

    Raises:
        ValueError: naming the file, when it is absent, empty or of another ending.
    """
    ending = _ending(path)
    if not os.path.isfile(path):  # unlike Path's, it does not raise for a name that is too long
        if os.path.exists(path) and not os.path.isdir(path):  # a pipe of a name: what is read twice is not there twice
            raise ValueError(f"{path}: is no ordinary file, expected a table (`pyro-mnar impute - < {path}` reads a pipe)")
        raise ValueError(f"{path}: {'is a folder' if os.path.isdir(path) else 'no such file'}, expected a table")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty, expected a table")
    return ending


def write_table(frame: DataFrame, path: str | os.PathLike[str], *, index: bool | None = None) -> None:
    """Write a table, whole or not at all.

    Args:
        frame: the table.
        path: ends in .csv or .parquet.
        index: whether to write the row labels; by default a CSV gets none, and Parquet keeps them unless they only count.

    Raises:
        ValueError: naming the file, when it cannot be written.

    Example:
        >>> import pandas as pd
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_table(pd.DataFrame({"a": [0.1]}), Path(folder, "t.csv"))
        ...     Path(folder, "t.csv").read_text().split()
        ['a', '0.1']
    """
    path = Path(path)
    ending = _ending(path)

    def write(temporary: Path) -> None:
        try:
            if ending == ".parquet":
                frame.to_parquet(temporary, index=index)
            else:
                frame.to_csv(temporary, index=bool(index))
        except (ValueError, TypeError) as error:  # pyarrow's errors are of these: no Parquet type for a column
            raise ValueError(f"{path}: {_line(error)}") from None

    write_whole(path, write)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a path to write to and put what it wrote at ``path`` (:mod:`pyro_mnar.data.files.replacement`).

    Raises:
        ValueError: naming the file, when it cannot be written.
    """
    check_writable(path)
    with replacement(path) as new:
        write(new)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError, before any work is done, when a file could not be written at ``path``."""
    path = Path(path)
    try:
        if path.is_dir():
            raise ValueError(f"{path}: is a folder, expected a file to write")
        if path.exists() and not path.is_file():  # a device, or a pipe, would be replaced by a file
            raise ValueError(f"{path}: is no ordinary file, expected one to write")
        if not path.parent.is_dir():
            raise ValueError(f"{path}: no such folder {path.parent}, expected one that exists")
        if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
            raise ValueError(f"{path}: cannot be written (permission denied)")
    except OSError as error:  # such as a name that is too long
        raise ValueError(f"{path}: cannot be written ({error.strerror or error})") from None


def check_ending(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError when the ending of ``path`` is of no known kind of table."""
    _ending(Path(path))


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"{path}: got ending {ending!r}, expected one of {', '.join(ENDINGS)}")
    if ending == ".parquet":
        with extra("parquet"):
            import pyarrow.parquet  # noqa: F401
    return ending


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
