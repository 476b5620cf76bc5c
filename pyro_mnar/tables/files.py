"""Tables on disk: CSV and Parquet, by file ending. Nothing is left half written."""

from __future__ import annotations

import csv
import os
import secrets
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

ENDINGS = (".csv", ".parquet")


def read_table(path: str | os.PathLike[str]) -> DataFrame:
    """Read a table; numbers of a CSV are exactly those of its text.

    Raises:
        ValueError: naming the file, when it is absent, empty, damaged, has no rows, duplicate column names, rows longer than the
            header, or text among numbers (with its line in the file, the header being line 1).

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
    if not os.path.isfile(path):  # unlike Path's, it does not raise for a name that is too long
        raise ValueError(f"{path}: {'is a folder' if os.path.isdir(path) else 'no such file'}, expected a table")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty, expected a table")
    try:
        if ending == ".parquet":
            import pyarrow.parquet

            _refuse_repeated(pyarrow.parquet.read_schema(path).names)
            frame = pd.read_parquet(path)
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                # pandas skips blank lines before the header, and would rename a second 'a' to 'a.1'.
                _refuse_repeated(next((row for row in csv.reader(file) if row), []))
            # From 3.1 on pandas' default is exact, and asking for it is deprecated.
            old = tuple(int(part) for part in pd.__version__.split(".")[:2]) < (3, 1)
            exact: Any = {"float_precision": "round_trip"} if old else {}
            with warnings.catch_warnings():
                # Where every row is longer than the header pandas only warns, and drops the last values.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = pd.read_csv(path, encoding="utf-8-sig", index_col=False, low_memory=False, **exact)
    except pd.errors.ParserWarning:
        raise ValueError(f"{path}: rows have more values than the header has names, expected as many") from None
    except (ValueError, OSError, csv.Error) as error:
        raise ValueError(f"{path}: {_line(error)}") from None
    if not len(frame):
        raise ValueError(f"{path}: has no rows, expected at least 1")
    if ending == ".csv":
        _refuse_stray_text(frame, path)
    return frame


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


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Call ``write`` with a temporary path in the folder of ``path`` and move what it wrote into place.

    Raises:
        ValueError: naming the file, when it cannot be written.
    """
    check_writable(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        try:
            # Made by open, unlike tempfile's, it has the permissions that any new file of the user gets.
            temporary.open("xb").close()
            write(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror or error})") from None


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError, before any work is done, when a file could not be written at ``path``."""
    path = Path(path)
    try:
        if path.is_dir():
            raise ValueError(f"{path}: is a folder, expected a file to write")
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
    return ending


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _refuse_repeated(header: list[str]) -> None:
    # Columns without a name do not count: pandas numbers them.
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise ValueError(f"column {twice[0]!r} stands more than once in the header")


def _refuse_stray_text(frame: DataFrame, path: Path) -> None:
    """A column of which most entries are numbers but some are not is a mistake in the file, not a column of text."""
    import pandas as pd
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    for name in frame.columns:
        series = frame[name]
        if is_numeric_dtype(series.dtype) or is_bool_dtype(series.dtype):
            continue
        numbers = pd.to_numeric(series, errors="coerce")
        stray = numbers.isna() & series.notna()
        if not stray.any():
            # Whole numbers too long for an int64, which pandas leaves as text.
            frame[name] = numbers.astype("float64")
        elif stray.sum() < 0.5 * series.notna().sum():
            row = int(stray.to_numpy().argmax())
            where = f"row {row + 1} (line {_line_of(path, row)} of the file)"
            raise ValueError(f"{path}: column {name!r}: got {series.iloc[row]!r} in {where}, expected a number")


def _line_of(path: Path, row: int) -> int:
    """Return the line on which a data row begins; blank lines and line ends within quotes make it differ from the row's number."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader, seen, before = csv.reader(file), -1, 0
        for cells in reader:
            if len(cells) > 1 or (cells and (cells[0] == "" or cells[0].strip())):  # else blank, and no row to pandas
                if seen == row:
                    break
                seen += 1
            before = reader.line_num
    return before + 1
