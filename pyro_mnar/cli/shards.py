"""``pyro-mnar impute`` of Parquet files row group by row group."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

#: Options of one table in memory, which a folder does not take.
_ONE_TABLE = (
    "save",
    "checkpoint",
    "keep_partial",
    "draws",
    "draws_output",
    "report",
    "regress",
    "weight",
    "strata",
    "cluster",
    "separator",
    "decimal",
    "encoding",
    "escape_formulas",
)


def is_sharded(options: argparse.Namespace) -> bool:
    """Return whether a command line asks for a folder, or names the column of labels."""
    return options.label is not None or os.path.isdir(options.table)


def ranks(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return this process's rank and how many there are, as launchers say it: ``RANK`` and ``WORLD_SIZE``.

    Raises:
        ValueError: where only one of them is set, or they are no numbers that go together.

    Example:
        >>> ranks({"RANK": "1", "WORLD_SIZE": "2"}), ranks({})
        ((1, 2), (0, 1))
    """
    rank, size = (environment.get(name) for name in ("RANK", "WORLD_SIZE"))
    if rank is None and size is None:
        return 0, 1
    if rank is None or size is None:
        raise ValueError(f"RANK, WORLD_SIZE: got {rank} and {size}, expected both to be set, or none")
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise ValueError(f"RANK, WORLD_SIZE: got {rank!r} and {size!r}, expected whole numbers, the first from 0 and below the second")
    return int(rank), int(size)


def impute_folder(options: argparse.Namespace) -> int:
    """Impute the files of a command line, with a saved model or one that is fitted to them, and return the exit code.

    Raises:
        ValueError: naming the option, the file or the column, for what cannot be done.
    """
    from pyro_mnar.cli.asked import refuse_fitting
    from pyro_mnar.cli.names import refuse_same
    from pyro_mnar.cli.shard_fit import fitted_to
    from pyro_mnar.imputer.imputer import MNARImputer
    from pyro_mnar.imputer.margins.margin_words import margins_in_words
    from pyro_mnar.imputer.points import POINTS
    from pyro_mnar.imputer.saving.model_files import HEAD
    from pyro_mnar.imputer.shards.shard_run import file_digest, impute_shards
    from pyro_mnar.imputer.summary import assumptions, kinds_of

    for name in _ONE_TABLE:
        if getattr(options, name) not in (None, False):
            raise ValueError(f"--{name.replace('_', '-')}: got one with --label, expected it only for one table in memory")
    if options.model is not None:
        refuse_fitting(options, "missing")
    if options.label is None:
        raise ValueError("--label: got none for a folder, expected the column that names its rows")
    if options.output == "-":
        raise ValueError("--output: got - with --label, expected a folder")
    if os.path.isfile(options.table) and options.table.lower().endswith(".csv"):
        raise ValueError(f"--label: got one for {options.table}, expected it only for Parquet (a CSV is read as one table)")
    rank, world_size = ranks(os.environ)
    refuse_same(options.table, [("output", options.output)])
    source, output = Path(options.table), Path(options.output)
    if Path(os.path.realpath(output)).is_relative_to(os.path.realpath(source)):
        raise ValueError(f"--output: got {output}, which lies in the folder that is read, expected another place")
    settings = {"label": options.label, "rank": rank, "world_size": world_size}
    try:
        if options.model is None:
            imputer, model = fitted_to(options, source, output, rank, world_size)
        else:
            imputer, model = MNARImputer.load(options.model), file_digest(Path(options.model, HEAD))
            imputer.random_state = imputer.random_state if options.seed is None else options.seed
            imputer.point = options.point or imputer.point
        imputer.progress, imputer.n_jobs, imputer.device = False, options.jobs or 1, options.device or imputer.device
        done = impute_shards(imputer, model, source, output, progress=True, **settings)
    except KeyboardInterrupt:
        print(f"pyro-mnar: interrupted; what is in {output} is whole, and the same command goes on", file=sys.stderr)
        return int(options.interruption.code)
    share = "" if world_size == 1 else f" of rank {rank}"
    there = f" ({done.there} were there)" if done.there else ""
    print(f"{output}: {done.written} of {done.all} row groups{share} written, {done.rows} rows{there}")
    print(*margins_in_words(imputer), *kinds_of(imputer.schema_), *assumptions(imputer), sep="\n")
    print(f"Filled with {POINTS[imputer.point]}.")
    return 0
