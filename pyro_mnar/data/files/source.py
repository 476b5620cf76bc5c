"""A table as it stands in its file, beside what is read of it: whatever was observed, or left out, is written as it stood.

Of a CSV that is the text of each cell, of Parquet the Arrow table with its types. Rows are counted from 1, the first below the header.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.extras import extra
from pyro_mnar.data.files.arrow import filled_column, to_frame
from pyro_mnar.data.files.writing import write_table, write_whole
from pyro_mnar.data.kinds.evidence import is_hole
from pyro_mnar.data.stated_holes import with_holes
from pyro_mnar.data.texts import StrayTextError, as_series, escaped, spelled, written
from pyro_mnar.data.written_limits import limits_in

if TYPE_CHECKING:
    import pyarrow
    from pandas import DataFrame


@dataclass
class Source:
    """What a file holds.

    Attributes:
        path: of the file; ``-`` is standard input.
        names: of the columns, in order; those without a name are ``Unnamed: J``.
        cells: of a CSV, the texts by column, each (N,).
        lines: of a CSV, the line on which each row begins.
        short: of a CSV, the lines of rows that are shorter than the header, whose last cells are empty.
        blank: of a CSV, the empty lines between its rows, which are none.
        arrow: of Parquet, the table.
        separator, decimal, encoding, line_end: of a CSV.
        read_as_missing: by column, how often which word was read as a hole (what :meth:`frame` found).
    """

    path: str
    names: list[str]
    cells: dict[str, list[str]] = field(default_factory=dict)
    header: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    short: list[int] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    arrow: pyarrow.Table | None = None
    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8-sig"
    line_end: str = "\n"
    read_as_missing: dict[str, Counter[str]] = field(default_factory=dict)

    def frame(
        self,
        columns: Sequence[str] | None = None,
        missing: Mapping[str, Collection[str]] | None = None,
        levels: Mapping[str, Collection[str]] | None = None,
        lenient: bool = False,
    ) -> DataFrame:
        """Return some columns, all by default, as a DataFrame.

        Args:
            columns: their names.
            missing: by column, further words that stand for a hole there.
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
            result = with_holes(frame, {name: words for name, words in (missing or {}).items() if name in chosen})
            for name in chosen if result is not frame else ():
                gone = (result[name].isna() & ~frame[name].isna()).to_numpy(bool)
                self.read_as_missing[name] = Counter(str(value) for value in frame[name][gone])
            return result
        found = {}
        for name in chosen:
            own, known = (missing or {}).get(name, ()), (levels or {}).get(name, ())
            try:
                found[name], self.read_as_missing[name] = as_series(
                    name, self.cells[name], missing=own, levels=known, decimal=self.decimal
                )
            except StrayTextError as error:
                if lenient:
                    found[name] = pd.Series(self.cells[name], dtype=object)
                    continue
                where = f"row {error.row + 1} (line {self.lines[error.row]} of the file)"
                limit = limits_in(error.text if self.decimal == "." else error.text.replace(self.decimal, ".")) is not None
                way = (
                    f"--limit {name!r} if cells hold limits" if limit else f"--missing {error.text!r} if it stands for a missing value"
                )
                raise ValueError(f"{self.path}: column {name!r}: got {error.text!r} in {where}, expected a number ({way})") from None
        return pd.DataFrame(found, columns=chosen)

    def write(self, path: str, completed: DataFrame, holes: DataFrame, escape: bool = False) -> None:
        """Write the table with ``completed`` values of some columns where ``holes`` are, and everything else as it stands.

        Args:
            path: ends in .csv or .parquet; ``-`` is standard output.
            completed: (N, any columns).
            holes: (N, the same columns) bool.
            escape: whether texts of a CSV that a spreadsheet would take for formulas are escaped, against the rule.

        Raises:
            ValueError: naming the file, when it cannot be written.
        """
        as_csv = path == "-" or path.lower().endswith(".csv")
        if self.arrow is None and as_csv:
            text = self._text(completed, holes, escape)
            if path == "-":
                self._print(text)
                return
            write_whole(Path(path), lambda temporary: temporary.write_bytes(text.encode(self.encoding, "strict")))
        elif self.arrow is not None and not as_csv:
            with extra("parquet"):
                import pyarrow.parquet

            table = self.filled_arrow(completed, holes)
            write_whole(Path(path), lambda temporary: pyarrow.parquet.write_table(table, temporary))
        else:
            whole = self.filled_frame(completed)
            if escape:
                texts = {name: whole[name].map(_escaped) for name in whole.columns if whole[name].dtype.kind not in "iufbM"}
                whole = whole.assign(**texts).rename(columns=escaped)
            if path == "-":
                self._print(whole.to_csv(index=False))
            else:
                write_table(whole, path)

    def filled_arrow(self, completed: DataFrame, holes: DataFrame) -> pyarrow.Table:
        """Return the table of Parquet with ``completed`` values of some columns where ``holes`` are; a value that is a hole is null."""
        assert self.arrow is not None
        table = self.arrow
        for name in completed.columns:
            column = filled_column(table.column(name), completed[name], holes[name].to_numpy(), name)
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(at), column)
        return table

    def filled_frame(self, completed: DataFrame) -> DataFrame:
        """Return the table with the ``completed`` columns in place of its own."""
        whole = self._as_frame() if self.arrow is None else to_frame(self.arrow, None)
        return whole.assign(**{str(name): completed[name].to_numpy() for name in completed.columns})

    def filled_texts(self, completed: DataFrame, holes: DataFrame) -> list[list[str]]:
        """Return the texts of a CSV by column, ``completed`` values of some columns where ``holes`` are, none of a hole.

        A value that stands in another cell of its column, as levels do, is spelled as it is there.
        """
        columns = []
        for name in self.names:
            cells = self.cells[name]
            if name in completed.columns:
                gone = np.flatnonzero(holes[name].to_numpy())
                filled, cells = completed[name].iloc[gone].tolist(), list(cells)
                words = spelled(cells, filled, self.decimal)
                for i, value in zip(gone, filled, strict=True):
                    cells[i] = "" if is_hole(value) else words.get(value) or written(value, self.decimal)
            columns.append(cells)
        return columns

    def _as_frame(self) -> DataFrame:
        """Return every column, as numbers where these are written as they stand, else as text."""
        import pandas as pd

        found = {}
        for name, cells in self.cells.items():
            try:
                series = as_series(name, cells, decimal=self.decimal)[0]
            except StrayTextError:
                series = None
            words = [] if series is None else ["" if is_hole(value) else written(value) for value in series.tolist()]
            found[name] = series if words == cells else pd.Series([cell or None for cell in cells], dtype=object)
        return pd.DataFrame(found)

    def _print(self, text: str) -> None:
        """Write to standard output, in the encoding of the table that was read, whatever the terminal's."""
        sys.stdout.flush()
        if hasattr(sys.stdout, "buffer"):
            sys.stdout.buffer.write(text.encode(self.encoding))
            sys.stdout.buffer.flush()
        else:
            sys.stdout.write(text)

    def _text(self, completed: DataFrame, holes: DataFrame, escape: bool) -> str:
        columns = self.filled_texts(completed, holes)
        columns = [[escaped(cell, self.decimal) for cell in cells] for cells in columns] if escape else columns
        file = io.StringIO(newline="")
        writer = csv.writer(file, delimiter=self.separator, lineterminator=self.line_end)
        writer.writerow([escaped(name) for name in self.header] if escape else self.header)
        writer.writerows(zip(*columns, strict=True))
        return file.getvalue()


def _escaped(value: object) -> object:
    return escaped(value) if isinstance(value, str) else value
