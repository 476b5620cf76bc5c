"""The rows of Parquet files that a member is trained on: drawn with replacement, by keys that the files' layout has no part in.

Member m takes the rows in the order of its own keys, each as often as a Poisson count of its own says
(:mod:`pyro_mnar.data.shards.keyed_rows`), until it has as many as its training asks for: steps times rows an update, at least those of
the sample that starting values come from. A table of fewer rows it takes whole, and passes over it several times. So what is in memory
at once is one member's rows, however many the files have, and a table of a billion rows is trained on as on a random order of it. Of
very wide tables or very long trainings a member has ``MOST_CELLS`` cells, and passes over these several times.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.files.arrow import to_frame
from pyro_mnar.data.shards.keyed_rows import below, counts_of
from pyro_mnar.data.shards.labels import hashes_of
from pyro_mnar.data.shards.shards import Shards
from pyro_mnar.data.shards.streamed_sample import keyed_batches, rows_at
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.tables.given import given
from pyro_mnar.imputer.training.fit_files import digest_of
from pyro_mnar.infer.ensembles import MemberTable
from pyro_mnar.infer.schedule import most_steps

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow

#: Cells of a member's rows.
MOST_CELLS = 2**23


@dataclass(frozen=True)
class MemberRows:
    """Where members' rows come from.

    Args:
        shards: the files.
        label: the column that names the rows.
        names: of the model's columns and those that tell of them.
        seed: of the keys.
        fewest: rows that a member has at least, where there are so many.
        rank, world_size: of this process among those that share the members out.

    The whole is what training in other processes is told: it pickles.
    """

    shards: Shards
    label: str
    names: tuple[str, ...]
    seed: int
    fewest: int
    rank: int = 0
    world_size: int = 1

    @property
    def digest(self) -> str:
        """Return a digest of all that members' rows follow from beside the imputer's settings."""
        return digest_of(sorted(self.shards.footers.items()), self.label, self.names, self.seed, self.fewest)

    def settings(self, imputer: Imputer, codec: TableCodec) -> dict[str, Any]:
        """Return what :func:`~pyro_mnar.imputer.training.fitting.fit_specified` is told of the members' rows, which ``codec`` reads."""
        first = [] if self.world_size == 1 else list(range(self.rank % imputer.members, imputer.members, self.world_size))
        return {"tables": self._tables(imputer, codec), "drawn_from": self.digest, "first": first}

    def _tables(self, imputer: Imputer, codec: TableCodec) -> list[Callable[[], MemberTable]]:
        reader = copy.copy(imputer)  # reads as it will once it is fitted
        reader.codec_, reader.members_ = codec, []
        return [partial(self.table, reader, member) for member in range(imputer.members)]

    def table(self, reader: Imputer, member: int) -> MemberTable:
        """Return a member's rows as its model has them, after one pass over the files."""
        most = MOST_CELLS // max(1, len(reader.codec_.columns))
        wanted = max(self.fewest, min(most_steps(reader.steps) * reader.batch_size, most))
        rows, labels, counts = self._drawn(member, wanted, reader.members > 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of rows that break a rule, which the sample has said
            read = given(reader, to_frame(rows, list(self.names)).set_axis(labels.tolist(), axis=0))
        limits = read.limits
        at = np.repeat(np.arange(len(counts)), counts)[:wanted]
        places = torch.from_numpy(at)
        return MemberTable(read.x[places], read.seen[places], None if limits is None else limits[places], places)

    def _drawn(self, member: int, wanted: int, resample: bool) -> tuple[pyarrow.Table, np.ndarray, np.ndarray]:
        """Return rows in the order of their keys, their labels, and how often each is drawn, together ``wanted`` times or more."""
        import pyarrow as pa

        kept, keys, labels, counts = [], [], [], []
        most = below(self.shards.rows, wanted)
        for batch, names, own in keyed_batches(self.shards, self.label, self.seed, f"order of member {member}"):
            chosen = np.flatnonzero(own <= most)
            times = np.ones(len(chosen), int)
            if resample:
                times = counts_of(hashes_of(names[chosen]), self.seed, f"counts of member {member}")
                chosen, times = chosen[times > 0], times[times > 0]
            kept.append(batch.select(list(self.names)).take(pa.array(chosen)))
            keys.append(own[chosen])
            labels.append(names[chosen])
            counts.append(times)
        order = np.argsort(np.concatenate(keys), kind="stable")
        times = np.concatenate(counts)[order]
        order = order[: int(np.searchsorted(times.cumsum(), wanted)) + 1]
        return rows_at(kept, order), np.concatenate(labels)[order], times[: len(order)]
