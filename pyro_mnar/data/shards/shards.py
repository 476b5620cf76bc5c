"""A table in Parquet files, taken row group by row group: what there is to do, and what is done.

Each row group is a piece of work with a file of its own in the output folder, written under another name and renamed when it is whole
(:mod:`pyro_mnar.data.files.replacement`). So whoever starts again finds what is done, and processes that share the pieces out need not
speak with one another. ``_run.json`` in the output folder says of which run it is: of the files, by their names and the digest of their
footers, which say where each column of each row group lies and what its extremes are, and of the settings.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_mnar.data.extras import extra
from pyro_mnar.data.files.replacement import replacement
from pyro_mnar.data.shards.labels import label_values

if TYPE_CHECKING:
    import numpy as np
    import pyarrow


@dataclass(frozen=True)
class Shard:
    """One row group of a file: its number there, its rows, and the name of what it becomes."""

    path: Path
    group: int
    rows: int

    @property
    def name(self) -> str:
        """The file that it becomes."""
        return f"{self.path.stem}-{self.group:05d}.parquet"

    def batches(self, size: int, columns: list[str] | None = None) -> Iterator[pyarrow.RecordBatch]:
        """Yield its record batches of at most ``size`` rows.

        Raises:
            ValueError: naming the file, where it is damaged.
        """
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                yield from file.iter_batches(size, row_groups=[self.group], columns=columns)
        except (OSError, pyarrow.ArrowException) as error:
            raise ValueError(f"{self.path}: {_line(error)}") from None

    def labels(self, batch: pyarrow.RecordBatch, label: str) -> np.ndarray:
        """Return the labels of a batch's rows (n,).

        Raises:
            ValueError: naming the file, where one is missing.
        """
        try:
            return label_values(batch.column(label), label)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None

    def is_done(self, folder: Path) -> bool:
        """Return whether its file is in ``folder``, with all its rows."""
        import pyarrow.parquet

        try:
            return bool(pyarrow.parquet.read_metadata(folder / self.name).num_rows == self.rows)
        except (OSError, pyarrow.ArrowException):
            return False

    def write(self, folder: Path, batches: Iterable[pyarrow.RecordBatch], schema: pyarrow.Schema) -> None:
        """Write record batches as its file in ``folder``, whole or not at all."""
        import pyarrow.parquet

        with replacement(folder / self.name) as new, pyarrow.parquet.ParquetWriter(new, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)


@dataclass(frozen=True)
class Shards:
    """The row groups of Parquet files of one schema, in order.

    Attributes:
        schema: of Arrow.
        footers: by file name, the digest of the file's footer.
        parts: the row groups.
    """

    schema: pyarrow.Schema
    footers: dict[str, str]
    parts: list[Shard]

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(part.rows for part in self.parts)

    @classmethod
    def of(cls, path: Path) -> Shards:
        """Return those of a file, or of the files of a folder that end in .parquet; names that begin with ``.`` or ``_`` do not count.

        Raises:
            ValueError: naming the file, where one is absent, damaged or of another schema than the first, and for a folder in a folder.
        """
        with extra("parquet"):
            import pyarrow.parquet

        files = _files(path)
        schema: pyarrow.Schema | None = None
        footers, parts = {}, []
        for file in files:
            try:
                with pyarrow.parquet.ParquetFile(file) as opened:
                    own, groups = opened.schema_arrow, [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
                footers[file.name] = _footer(file)
            except (OSError, pyarrow.ArrowException) as error:
                raise ValueError(f"{file}: {_line(error)}") from None
            schema = own if schema is None else schema
            if not own.equals(schema):
                raise ValueError(f"{file}: has another schema than {files[0].name} ({difference(schema, own)}), expected the same")
            parts += [Shard(file, i, rows) for i, rows in enumerate(groups) if rows]
        if not parts:
            raise ValueError(f"{path}: has no rows, expected at least 1")
        return cls(schema, footers, parts)


def names_of_rows(shards: Shards, label: str) -> Iterator[np.ndarray]:
    """Yield the labels of the rows, in parts (n,).

    Raises:
        ValueError: naming the file, where one is missing.
    """
    for part in shards.parts:
        for batch in part.batches(2**16, [label]):
            yield part.labels(batch, label)


def difference(one: pyarrow.Schema, other: pyarrow.Schema) -> str:
    """Return in words where two Arrow schemas differ first.

    Example:
        >>> import pyarrow as pa
        >>> difference(pa.schema([("a", pa.int8())]), pa.schema([("a", pa.int16())]))
        "column 'a': int16, not int8"
    """
    for name in [*one.names, *(name for name in other.names if name not in one.names)]:
        kinds = [schema.field(name).type if name in schema.names else "absent" for schema in (other, one)]
        if kinds[0] != kinds[1]:
            return f"column {name!r}: {kinds[0]}, not {kinds[1]}"
    return f"columns {', '.join(other.names)}, not {', '.join(one.names)}"


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"{path}: no such file or folder, expected Parquet files")
    shown = sorted(part for part in path.iterdir() if part.name[0] not in "._")
    inner = [part for part in shown if part.is_dir()]
    if inner:
        raise ValueError(f"{path}: holds the folder {inner[0].name!r}, expected files alone")
    files = [part for part in shown if part.suffix.lower() == ".parquet"]
    if not files:
        raise ValueError(f"{path}: holds no file that ends in .parquet, expected at least 1")
    stems = [file.stem for file in files]
    twice = [file.name for file in files if stems.count(file.stem) > 1]
    if twice:
        raise ValueError(f"{path}: holds {' and '.join(twice)}, expected names that differ in more than their endings")
    return files


def _footer(file: Path) -> str:
    """Return the digest of a Parquet file's footer, whose length stands before the last four bytes."""
    with file.open("rb") as opened:
        opened.seek(-8, os.SEEK_END)
        length = int.from_bytes(opened.read(4), "little")
        opened.seek(-8 - length, os.SEEK_END)
        return hashlib.sha256(opened.read(length)).hexdigest()


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
