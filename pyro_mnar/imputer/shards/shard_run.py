"""A run over a table in Parquet files: row groups imputed one after the other by one process or several, and gone on with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from pyro_mnar.data.files.run_folder import RUN, start_run
from pyro_mnar.data.shards.labels import check_distinct
from pyro_mnar.data.shards.shards import Shards, names_of_rows
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.shards.batches import check_schema, impute_batches
from pyro_mnar.infer.progress import bar

#: Rows in memory at once.
BATCH = 4096


class Done(NamedTuple):
    """What a process did: row groups ``written``, those that were ``there``, and its share of ``all``; and rows written."""

    written: int
    there: int
    all: int
    rows: int


def impute_shards(
    imputer: Imputer,
    model: str,
    source: Path,
    output: Path,
    *,
    label: str,
    rank: int = 0,
    world_size: int = 1,
    batch_size: int = BATCH,
    progress: bool = False,
) -> Done:
    """Impute Parquet files, a file for each row group, and skip what an earlier run of the same has done.

    Args:
        imputer: fitted.
        model: digest of the model.
        source: a file, or a folder of files.
        output: a folder, new, empty or of the same run.
        label: the column that names the rows.
        rank, world_size: of this process among those that share the row groups out, each of which is started with the same.
        batch_size: rows in memory at once, which change nothing but the time.
        progress: a bar on standard error.

    Raises:
        ValueError: naming file or column, before anything is written, for files that cannot be imputed or another run's output.
    """
    shards = Shards.of(source)
    check_schema(imputer, shards.schema, label)
    run = run_of(imputer, model, shards, label)
    if not (output / RUN).exists():  # whoever made it has asked
        check_distinct(lambda: names_of_rows(shards, label), label, shards.rows)
    start_run(output, run)
    own = shards.parts[rank::world_size]
    left = [part for part in own if not part.is_done(output)]
    with bar(len(left), "imputing", "row group", progress) as done:
        for part in left:
            part.write(output, impute_batches(imputer, part.batches(batch_size), label=label), shards.schema)
            done.update()
    return Done(len(left), len(own) - len(left), len(own), sum(part.rows for part in left))


def run_of(imputer: Imputer, model: str, shards: Shards, label: str) -> dict[str, object]:
    """Return plain data that says which run one is; arguments as of :func:`impute_shards`."""
    settings = {"seed": imputer.seed, "point": imputer.point, "tolerance": imputer.tolerance, "label": label}
    return {"model": model, "settings": settings, "files": shards.footers}


def file_digest(path: Path) -> str:
    """Return the digest of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
