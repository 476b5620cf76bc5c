"""A fit to a table in Parquet files that need not fit into memory.

One pass finds a keyed sample (:mod:`pyro_mnar.data.shards.streamed_sample`), of which kinds, scales, the reasons why values are missing
and members' starting values are learned; it also finds every column's ends and levels exactly. Then each member is trained on rows of
the whole table, which take another pass (:mod:`pyro_mnar.imputer.member_rows`). Neither which rows these are nor their order depends on
the files' layout, so that the model is the same, bit for bit, however the rows are dealt out.

A table of no more rows than the sample differs from one in memory in two things: rows are in the order of their keys, and each member's
table is drawn by Poisson counts, so that it has not exactly as many rows as the table. One member alone is trained on the table itself.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path

import numpy as np

from pyro_mnar.data.extras import extra
from pyro_mnar.data.files.arrow import to_frame
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.shards.labels import check_distinct, label_field
from pyro_mnar.data.shards.shards import Shards, names_of_rows
from pyro_mnar.data.shards.streamed_sample import StreamedSample
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.learning import fit_given
from pyro_mnar.imputer.member_rows import MemberRows
from pyro_mnar.imputer.tables.given import Given, learned
from pyro_mnar.imputer.training.fit_guard import all_or_nothing
from pyro_mnar.infer.history import Evaluation

#: Rows of the sample.
SAMPLE = 20_000


def fit_parquet(
    imputer: Imputer,
    path: str | os.PathLike[str],
    *,
    label: str,
    sample: int = SAMPLE,
    callback: Callable[[Evaluation], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> Imputer:
    """Fit an imputer to a table in Parquet files, whatever their size, and return it.

    Args:
        imputer: an :class:`~pyro_mnar.imputer.imputer.MNARImputer` with a whole number as ``random_state``.
        path: the path of a file, or of a folder of files of one schema. All columns but the label's are the model's.
        label: the column that names the rows, whole numbers or text.
        sample: rows of which kinds, scales and reasons are learned.
        callback: a function that is called with each :class:`~pyro_mnar.infer.history.Evaluation`.
        checkpoint: folder, from which the same call goes on after a kill to the same result.
        rank, world_size: this process's place among those that share the members out, by the ``checkpoint``, which all can write to.
            None waits for another: whoever is done trains what is left, and each ends with the whole model.

    Raises:
        ValueError: naming the file or the column, for files or labels that cannot be used; as ``MNARImputer.fit``.

    Example:
        >>> import tempfile
        >>> import pyarrow as pa, pyarrow.parquet as pq
        >>> from pyro_mnar import MNARImputer
        >>> a, b = [None if i % 3 else 1.0 * i for i in range(30)], [i % 7 / 7 for i in range(30)]
        >>> imputer = MNARImputer(mechanism="none", steps=2, members=1, progress=False)
        >>> with tempfile.TemporaryDirectory() as home:
        ...     pq.write_table(pa.table({"id": range(30), "a": a, "b": b}), f"{home}/t.parquet")
        ...     len(fit_parquet(imputer, f"{home}/t.parquet", label="id").members_)
        1
    """
    with extra("parquet"):
        import pyarrow  # noqa: F401

    if world_size > 1 and checkpoint is None:
        raise ValueError("checkpoint: got none with several ranks, expected a folder, by which they share the members out")
    shards = Shards.of(Path(path))
    found = sampled(shards, label, imputer.random_state, sample)
    seed = int(imputer.random_state)  # type: ignore[arg-type]
    files = partial(fit_sampled, shards=shards, label=label, seed=seed, sample=sample, ranks=(rank, world_size))
    _fit_read(imputer, found, partial(files, imputer, callback=callback, checkpoint=checkpoint))
    return imputer


def sampled(shards: Shards, label: str, seed: object, size: int = SAMPLE) -> StreamedSample:
    """Return the keyed sample of files, after their labels were found to name each row and another one each.

    Raises:
        ValueError: for labels that do not, or a ``seed`` that is no whole number.
    """
    if not isinstance(seed, (int, np.integer)):
        raise ValueError(f"random_state: got {seed!r:.40} with Parquet files, expected a whole number (rows' keys follow from it)")
    label_field(shards.schema, label)
    check_distinct(lambda: names_of_rows(shards, label), label, shards.rows)
    return StreamedSample.of(shards, label, int(seed), size)


def fit_sampled(
    imputer: Imputer,
    given: Given,
    shards: Shards,
    label: str,
    seed: int,
    sample: int = SAMPLE,
    callback: Callable[[Evaluation], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    ranks: tuple[int, int] = (0, 1),
) -> None:
    """Fit an imputer to files of which it has read the sample, members to rows of all of them; arguments as of :func:`fit_parquet`.

    Args:
        given: the sample, read.
        shards: the files.
        seed: of rows' keys.
    """
    rows = MemberRows(shards, label, tuple(map(str, given.codec.layout.names)), seed, sample, *ranks)
    fit_given(imputer, given, callback, checkpoint, rows)


@all_or_nothing
def _fit_read(imputer: Imputer, found: StreamedSample, fit: Callable[[Given], None]) -> None:
    """Read a sample as an imputer's settings say, which sets what it knows of it, and ``fit``."""
    known: dict[Hashable, Column] | None = None
    if len(found.beside):
        frame = to_frame(found.table, None).set_axis([*found.labels.tolist(), *[None] * len(found.beside)], axis=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what is to be said is said of the sample
            known = {column.name: column for column in learned(imputer, frame).codec.columns}
    fit(learned(imputer, found.named(to_frame(found.rows, None)), known))
