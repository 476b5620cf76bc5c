"""``pyro-mnar impute`` of Parquet files without a model: one is fitted to them first, and kept in the output folder."""

from __future__ import annotations

import argparse
import copy
import json
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import pyro_mnar
from pyro_mnar.cli.asked import FITTING, asked_for
from pyro_mnar.cli.reading import told
from pyro_mnar.cli.saying import note
from pyro_mnar.data.files.run_folder import RUN, start_run
from pyro_mnar.data.files.source import Source
from pyro_mnar.data.shards.labels import label_field
from pyro_mnar.data.shards.shards import Shards
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.shards.batches import check_schema
from pyro_mnar.imputer.shards.parquet_fit import fit_sampled, sampled
from pyro_mnar.imputer.shards.shard_run import run_of
from pyro_mnar.imputer.training.fit_files import digest_of

#: Where the fit is kept, below the output folder.
KEPT = "_fit"


def fitted_to(options: argparse.Namespace, source: Path, output: Path, rank: int, world_size: int) -> tuple[MNARImputer, str]:
    """Return the model of files, fitted or of an earlier run of the same command, and what is to be said of which it is.

    Raises:
        ValueError: naming the option, the file or the column, before anything is written, for what cannot be done.
    """
    shards = Shards.of(source)
    label_field(shards.schema, options.label)
    said = {name: getattr(options, name) for name in (*FITTING, "missing")}
    model = f"fitted to the files, {digest_of(pyro_mnar.__version__, json.dumps(said))}"
    unfitted = MNARImputer(random_state=options.seed or 0, point=options.point or "mean")
    run = run_of(unfitted, model, shards, options.label)
    if (output / RUN).exists():
        start_run(output, run)
        with suppress(ValueError):  # not there yet, or damaged, which the fit says
            return MNARImputer.load(output / KEPT / "model"), model
    _fit(options, shards, output, run, (rank, world_size))
    return MNARImputer.load(output / KEPT / "model"), model


def _fit(options: argparse.Namespace, shards: Shards, output: Path, run: dict[str, object], ranks: tuple[int, int]) -> None:
    seed = options.seed or 0
    found = sampled(shards, options.label, seed)
    asked = asked_for(options, Source(options.table, list(found.table.schema.names), arrow=found.table))
    asked = asked._replace(part=found.named(asked.part))
    given, doubts = told(asked.learned)
    fitted = copy.copy(asked.imputer)
    fitted.codec_ = given.codec
    check_schema(fitted, shards.schema, options.label)
    there = output.exists()
    start_run(output, run)
    try:
        fit = partial(fit_sampled, asked.imputer, given, shards, options.label, seed, checkpoint=output / KEPT, ranks=ranks)
        _, more = told(fit)
    except ValueError:
        if not (output / KEPT).exists():  # nothing was fitted: as if nobody had been here
            with suppress(OSError):
                os.remove(output / RUN)
                if not there:
                    output.rmdir()
        raise
    note(options, [*asked.notes, *(f"Note: {sentence}" for sentence in [*doubts, *more])])
