"""Files read as they stand: CSV as the text of its cells, Parquet as its Arrow table."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_mnar.data.files.arrow import read_arrow, to_frame
from pyro_mnar.data.files.source import Source
from pyro_mnar.data.files.writing import check_table

if TYPE_CHECKING:
    from pandas import DataFrame

#: Separators that a file of one column may have been meant to have.
_SEPARATORS = {";": "';'", "\t": "a tab (--separator tab)", "|": "'|'"}
#: What files in UTF-16 begin with, such as Excel's "Unicode text".
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_source(
    path: str | os.PathLike[str], *, separator: str | None = None, decimal: str = ".", encoding: str | None = None
) -> Source:
    """Read a file as it stands.

    Args:
        path: .csv, .parquet, or ``-`` for a CSV from standard input.
        separator: of a CSV's cells, one character or ``tab``; a comma by default.
        decimal: the decimal mark of a CSV's numbers.
        encoding: of a CSV, UTF-8 by default.

    Raises:
        ValueError: naming the file, when it is absent, empty, damaged, has no rows, duplicate column names, rows longer than the
            header, a quote that is not closed, Excel's line ``sep=;``, or one column whose name and cells hold another separator.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "t.csv").write_text("id,a" + chr(10) + "007,2.50" + chr(10))
        ...     source = read_source(Path(folder, "t.csv"))
        >>> source.cells["id"], source.frame().iloc[0].tolist()
        (['007'], [7.0, 2.5])
    """
    name = os.fspath(path)
    if name != "-" and check_table(Path(name)) == ".parquet":
        for option, given in (("separator", separator), ("encoding", encoding)):
            if given is not None:
                raise ValueError(f"--{option}: got {given!r} for {name}, expected one only for a CSV")
        table = read_arrow(name)
        return Source(name, [str(column) for column in to_frame(table.slice(0, 1), None).columns], arrow=table)
    mark = "\t" if separator in ("tab", "\\t") else separator or ","
    if len(mark) != 1 or len(decimal) != 1 or mark == decimal:
        raise ValueError(f"--separator, --decimal: got {mark!r} and {decimal!r}, expected two different characters")
    try:
        if name == "-" and sys.stdin is None:
            raise ValueError("table: got -, expected a file, since standard input is closed")
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = content.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        likely = "utf-16" if content[:2] in _UTF_16 else "cp1252"
        raise ValueError(f"{name}: {str(error).splitlines()[0]} (is it another encoding, such as --encoding {likely}?)") from None
    except (OSError, LookupError) as error:
        raise ValueError(f"{name}: {error}") from None
    source = Source(
        name, [], separator=mark, decimal=decimal, encoding=encoding or ("utf-8-sig" if content[:3] == b"\xef\xbb\xbf" else "utf-8")
    )
    return _filled(source, text)


def _filled(source: Source, text: str) -> Source:
    name, (rows, longest) = source.path, _rows(source, text)
    header, width = source.header, len(source.header)
    if not header:
        raise ValueError(f"{name}: No columns to parse from file")
    told = re.fullmatch(r"sep=(.?)", source.separator.join(header), re.DOTALL)
    if told and rows:
        way = "" if told[1] in ("", source.separator) else f", and give --separator {'tab' if told[1] == chr(9) else repr(told[1])}"
        raise ValueError(f"{name}: line 1 is {told[0]!r}, which says a separator and names no column (delete that line{way})")
    twice = [column for column in header if column and header.count(column) > 1]
    if twice:
        raise ValueError(f"{name}: column {twice[0]!r} stands more than once in the header")
    if longest:
        if all(len(row) > width for row in rows):
            said = ", ".join(map(repr, header[:5])) + (", ..." if width > 5 else "")
            raise ValueError(
                f"{name}: rows have more values than the header has names ({said}), expected as many (is line 1 the header?)"
            )
        long = next(row for row in rows if len(row) > width)
        raise ValueError(f"{name}: Expected {width} fields in line {longest}, saw {len(long)}")
    if not rows:
        raise ValueError(f"{name}: has no rows, expected at least 1")
    _doubt_separator(source, rows)
    source.names = [column or f"Unnamed: {j}" for j, column in enumerate(header)]
    for line, row in zip(source.lines, rows, strict=True):
        if len(row) < width:
            source.short.append(line)
            row.extend([""] * (width - len(row)))
    source.cells = {column: [row[j] for row in rows] for j, column in enumerate(source.names)}
    return source


def _rows(source: Source, text: str) -> tuple[list[list[str]], int]:
    """Return the rows below the header, which is kept with their lines, and the line of the first that is longer; 0 where none is."""
    reader, rows = csv.reader(io.StringIO(text, newline=""), delimiter=source.separator), []
    before, begun, longest, blank = 0, 0, 0, []
    try:
        for row in reader:
            begun, before = before + 1, reader.line_num
            # A blank line is no row; an empty cell in quotes is one.
            if not (len(row) > 1 or (row and (row[0] == "" or row[0].strip()))):
                blank.append(begun)
            elif not source.header:
                source.header, blank = row, []
                (end,) = islice(io.StringIO(text, newline=""), before - 1, before)
                source.line_end = "\r\n" if end.endswith("\r\n") else "\n"
            else:
                rows.append(row)
                source.lines.append(begun)
                source.blank.extend(blank)
                blank.clear()
                longest = longest or (before if len(row) > len(source.header) else 0)
    except csv.Error as error:
        raise ValueError(f"{source.path}: {error}, in line {before + 1} (is a quote not closed?)") from None
    if begun and _is_open(text, begun, source.separator):
        raise ValueError(f"{source.path}: a quote that opens in the row of line {begun} is not closed before the end of the file")
    return rows, longest


def _is_open(text: str, line: int, separator: str) -> bool:
    """Return whether the row that begins in a line, the last one of ``text``, ends within quotes."""
    try:
        # Strict it also minds text behind a closing quote, which is read as it stands.
        list(csv.reader(islice(io.StringIO(text, newline=""), line - 1, None), delimiter=separator, strict=True))
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def _doubt_separator(source: Source, rows: list[list[str]]) -> None:
    if len(source.header) == 1:
        for mark, said in _SEPARATORS.items():
            if mark in source.header[0] and sum(mark in row[0] for row in rows) > 0.5 * len(rows):
                raise ValueError(
                    f"{source.path}: one column called {source.header[0]!r}, whose cells hold {mark!r} too; is the separator {said}? "
                    f"(--separator {'tab' if mark == chr(9) else repr(mark)}; a decimal comma: --decimal ,)"
                )


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
    return read_source(path).frame()
