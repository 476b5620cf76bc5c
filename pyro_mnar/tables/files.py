"""Tables on disk: CSV and Parquet, by file ending. Nothing is left half written."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

ENDINGS = (".csv", ".parquet")


def read_table(path: str | os.PathLike[str]) -> DataFrame:
    """Read a table; numbers of a CSV are exactly those of its text.

    Raises:
        ValueError: naming the file, when it is absent, empty, damaged, has no rows, duplicate column names, or text among numbers.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name, "t.csv")
        >>> _ = path.write_text("a,b" + chr(10) + "1,2.5" + chr(10))
        >>> read_table(path).iloc[0].tolist()
        [1.0, 2.5]
        >>> folder.cleanup()
    """
    import pandas as pd

    path = Path(path)
    ending = _ending(path)
    if not path.is_file():
        raise ValueError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}, expected a table")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty, expected a table")
    try:
        if ending == ".parquet":
            frame = pd.read_parquet(path)
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                header = next(csv.reader(file), [])
            twice = [name for name in header if header.count(name) > 1]
            if twice:
                raise ValueError(f"column {twice[0]!r} stands more than once in the header")
            # From 3.1 on pandas' default is exact, and asking for it is deprecated.
            old = tuple(int(part) for part in pd.__version__.split(".")[:2]) < (3, 1)
            exact: Any = {"float_precision": "round_trip"} if old else {}
            frame = pd.read_csv(path, encoding="utf-8-sig", index_col=False, low_memory=False, **exact)
    except (ValueError, OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None
    if not len(frame):
        raise ValueError(f"{path}: has no rows, expected at least 1")
    if ending == ".csv":
        _refuse_stray_text(frame, path)
    return frame


def write_table(frame: DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table, whole or not at all; a CSV gets no index column.

    Raises:
        ValueError: naming the file, when it cannot be written.

    Example:
        >>> import pandas as pd
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_table(pd.DataFrame({"a": [0.1]}), Path(folder, "t.csv"))
        ...     Path(folder, "t.csv").read_text().split()
        ['a', '0.1']
    """
    path = Path(path)
    ending = _ending(path)

    def write(temporary: Path) -> None:
        if ending == ".parquet":
            frame.to_parquet(temporary)
        else:
            frame.to_csv(temporary, index=False)

    write_whole(path, write)


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Call ``write`` with a temporary path in the folder of ``path`` and move what it wrote into place.

    Raises:
        ValueError: naming the file, when it cannot be written.
    """
    check_writable(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        mode = 0o666 & ~_umask()
        temporary.chmod(mode)
        os.replace(temporary, path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError, before any work is done, when a file could not be written at ``path``."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a file to write")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: no such folder {path.parent}, expected one that exists")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ValueError(f"{path}: cannot be written (permission denied)")


def check_ending(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError when the ending of ``path`` is of no known kind of table."""
    _ending(Path(path))


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"{path}: got ending {ending!r}, expected one of {', '.join(ENDINGS)}")
    return ending


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _refuse_stray_text(frame: DataFrame, path: Path) -> None:
    """A column of which most entries are numbers but some are not is a mistake in the file, not a column of text."""
    import pandas as pd
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    for name in frame.columns:
        series = frame[name]
        if is_numeric_dtype(series.dtype) or is_bool_dtype(series.dtype):
            continue
        stray = pd.to_numeric(series, errors="coerce").isna() & series.notna()
        if stray.sum() < 0.5 * series.notna().sum():
            row = int(stray.to_numpy().argmax())
            raise ValueError(f"{path}: column {name!r}: got {series.iloc[row]!r} in row {row + 1}, expected a number")
