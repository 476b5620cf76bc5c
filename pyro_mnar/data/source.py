"""A table as it stands in its file, beside what is read of it: whatever was observed, or left out, is written as it stood.

Of a CSV that is the text of each cell, of Parquet the Arrow table with its types. Rows are counted from 1, the first below the header.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.data.arrow import filled_column, read_arrow, to_frame
from pyro_mnar.data.extras import extra
from pyro_mnar.data.files import check_table, write_table, write_whole
from pyro_mnar.data.texts import StrayTextError, as_series, spelled, without, written

if TYPE_CHECKING:
    from pandas import DataFrame

#: Separators that a file of one column may have been meant to have.
_SEPARATORS = {";": "';'", "\t": "a tab (--separator tab)", "|": "'|'"}


@dataclass
class Source:
    """What a file holds.

    Attributes:
        path: of the file; ``-`` is standard input.
        names: of the columns, in order; those without a name are ``Unnamed: J``.
        cells: of a CSV, the texts by column, each (N,).
        lines: of a CSV, the line on which each row begins.
        arrow: of Parquet, the table.
        separator, decimal, encoding: of a CSV.
        read_as_missing: by column, how often which word was read as a hole (what :meth:`frame` found).
    """

    path: str
    names: list[str]
    cells: dict[str, list[str]] = field(default_factory=dict)
    header: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    arrow: Any = None
    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8-sig"
    read_as_missing: dict[str, Counter[str]] = field(default_factory=dict)

    def frame(
        self,
        columns: Sequence[str] | None = None,
        missing: Callable[[str], Collection[str]] = lambda _: (),
        levels: Mapping[str, Collection[str]] | None = None,
        lenient: bool = False,
    ) -> DataFrame:
        """Return some columns, all by default, as a DataFrame.

        Args:
            columns: their names.
            missing: of a column's name, further words that stand for a hole there.
            levels: by column, words that are levels and so no holes.
            lenient: whether text among numbers makes a column text.

        Raises:
            ValueError: naming file, column and row, for text among numbers, and unknown columns.
        """
        import pandas as pd

        chosen = self.names if columns is None else list(columns)
        unknown = [name for name in chosen if name not in self.names]
        if unknown:
            raise ValueError(f"columns: got unknown {unknown[0]!r}, expected some of {', '.join(self.names)}")
        if self.arrow is not None:
            frame = to_frame(self.arrow, chosen)
            words = {name: missing(name) for name in chosen if missing(name)}
            return frame.assign(**{name: without(frame[name], own) for name, own in words.items()}) if words else frame
        found = {}
        for name in chosen:
            given: Any = {"missing": missing(name), "levels": (levels or {}).get(name, ()), "decimal": self.decimal}
            try:
                found[name], self.read_as_missing[name] = as_series(name, self.cells[name], **given)
            except StrayTextError as error:
                if lenient:
                    found[name] = pd.Series(self.cells[name], dtype=object)
                    continue
                where = f"row {error.row + 1} (line {self.lines[error.row]} of the file)"
                raise ValueError(
                    f"{self.path}: column {name!r}: got {error.text!r} in {where}, expected a number "
                    f"(--missing {error.text!r} if it stands for a missing value)"
                ) from None
        return pd.DataFrame(found, columns=chosen)

    def write(self, path: str, completed: DataFrame, holes: DataFrame) -> None:
        """Write the table with ``completed`` values of some columns where ``holes`` are, and everything else as it stands.

        Args:
            path: ends in .csv or .parquet; ``-`` is standard output.
            completed: (N, any columns).
            holes: (N, the same columns) bool.

        Raises:
            ValueError: naming the file, when it cannot be written.
        """
        as_csv = path == "-" or path.lower().endswith(".csv")
        if self.arrow is None and as_csv:
            text = self._text(completed, holes)
            if path == "-":
                print(text, end="")
                return
            write_whole(Path(path), lambda temporary: temporary.write_bytes(text.encode(self.encoding, "strict")))
        elif self.arrow is not None and not as_csv:
            with extra("parquet"):
                import pyarrow.parquet

            table = self.arrow
            for name in completed.columns:
                column = filled_column(table.column(name), completed[name], holes[name].to_numpy(), name)
                at = table.schema.get_field_index(name)
                table = table.set_column(at, table.schema.field(at), column)
            write_whole(Path(path), lambda temporary: pyarrow.parquet.write_table(table, temporary))
        else:
            whole = self._as_frame() if self.arrow is None else to_frame(self.arrow, None)
            whole = whole.assign(**{str(name): completed[name].to_numpy() for name in completed.columns})
            if path == "-":
                print(whole.to_csv(index=False), end="")
            else:
                write_table(whole, path)

    def _as_frame(self) -> DataFrame:
        """Return every column, as numbers where these are written as they stand, else as text."""
        import pandas as pd

        found = {}
        for name, cells in self.cells.items():
            try:
                series = as_series(name, cells, decimal=self.decimal)[0]
            except StrayTextError:
                series = None
            words = [] if series is None else ["" if value != value or value is pd.NA else written(value) for value in series.tolist()]
            found[name] = series if words == cells else pd.Series([cell or None for cell in cells], dtype=object)
        return pd.DataFrame(found)

    def _text(self, completed: DataFrame, holes: DataFrame) -> str:
        columns = []
        for name in self.names:
            cells = self.cells[name]
            if name in completed.columns:
                gone = np.flatnonzero(holes[name].to_numpy())
                filled, words = completed[name].iloc[gone].tolist(), spelled(cells)
                cells = list(cells)
                for i, value in zip(gone, filled, strict=True):
                    is_truth = isinstance(value, (bool, np.bool_))
                    cells[i] = words.get(bool(value), str(value)) if is_truth else written(value, self.decimal)
            columns.append(cells)
        file = io.StringIO(newline="")
        writer = csv.writer(file, delimiter=self.separator, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(zip(*columns, strict=True))
        return file.getvalue()


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
            header, or one column whose name and cells hold another separator.

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
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = content.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: {str(error).splitlines()[0]} (is it another encoding, such as --encoding cp1252?)") from None
    except (OSError, LookupError) as error:
        raise ValueError(f"{name}: {error}") from None
    source = Source(
        name, [], separator=mark, decimal=decimal, encoding=encoding or ("utf-8-sig" if content[:3] == b"\xef\xbb\xbf" else "utf-8")
    )
    return _filled(source, text)


def _filled(source: Source, text: str) -> Source:
    name, rows = source.path, []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=source.separator)
    before, longest = 0, 0
    try:
        for row in reader:
            # A blank line is no row; an empty cell in quotes is one.
            if len(row) > 1 or (row and (row[0] == "" or row[0].strip())):
                if not source.header:
                    source.header, before = row, reader.line_num
                    continue
                rows.append(row)
                source.lines.append(before + 1)
                if len(row) > len(source.header) and not longest:
                    longest = reader.line_num
            before = reader.line_num
    except csv.Error as error:
        raise ValueError(f"{name}: {error}") from None
    header, width = source.header, len(source.header)
    if not header:
        raise ValueError(f"{name}: No columns to parse from file")
    twice = [column for column in header if column and header.count(column) > 1]
    if twice:
        raise ValueError(f"{name}: column {twice[0]!r} stands more than once in the header")
    if longest:
        if all(len(row) > width for row in rows):
            raise ValueError(f"{name}: rows have more values than the header has names, expected as many")
        long = next(row for row in rows if len(row) > width)
        raise ValueError(f"{name}: Expected {width} fields in line {longest}, saw {len(long)}")
    if not rows:
        raise ValueError(f"{name}: has no rows, expected at least 1")
    _doubt_separator(source, rows)
    source.names = [column or f"Unnamed: {j}" for j, column in enumerate(header)]
    for row in rows:
        row.extend([""] * (width - len(row)))
    source.cells = {column: [row[j] for row in rows] for j, column in enumerate(source.names)}
    return source


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
