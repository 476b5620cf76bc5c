"""What the functions of this folder ask of an imputer: its settings and, once it is fitted, what it learned."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.imputer.moves import Move
from pyro_mnar.imputer.reason_selection.pilots import Candidate
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.infer.history import History
from pyro_mnar.model.mnar import MNAR

if TYPE_CHECKING:
    from pandas import DataFrame


class Imputer(Protocol):
    """Settings as :class:`~pyro_mnar.imputer.imputer.MNARImputer` documents them, and its fitted attributes, which end in ``_``."""

    mechanism: str
    direction: str | Mapping[Any, str] | None
    order: Sequence[Hashable] | None
    ignorable: Sequence[Hashable]
    shadow: Sequence[Hashable]
    instrument: Sequence[Hashable]
    latent_dim: int | None
    hidden: Sequence[int] | None
    members: int
    particles: int
    steps: int | str
    batch_size: int
    held_out: float
    patience: int | None
    random_state: int | np.random.RandomState | None
    add_indicator: bool
    keep_empty_features: bool
    kinds: Mapping[Any, str] | None
    missing: object
    limits: Mapping[Any, Any] | None
    rules: Sequence[str] | None
    not_applicable: Mapping[Any, Any] | None
    margins: Mapping[Any, Any] | None
    point: str
    tolerance: float | None
    progress: bool
    n_jobs: int | None
    device: str
    keep_partial: bool

    codec_: TableCodec
    specification_: Specification
    members_: list[MNAR]
    histories_: list[History]
    candidates_: list[Candidate]
    reasons_: DataFrame
    moves_: list[Move]
    margins_: DataFrame
    shadows_: DataFrame
    instruments_: DataFrame
    seed_: int

    @property
    def seed(self) -> int:
        """The seed of training and draws."""

    def members_of(self, n_draws: int) -> list[int]:
        """Return which member each draw comes from."""

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return the settings by name."""
