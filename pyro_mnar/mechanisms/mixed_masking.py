"""Different mechanisms for different columns."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from pyro_mnar.distributions.indexing import indicator, neighbors
from pyro_mnar.mechanisms.base import Anchors, LogPrior, MaskDistribution, Mechanism, OwnColumns


class MixedMasking(Mechanism):
    """Different mechanisms for different columns; the masks are independent given the row.

    Args:
        mechanisms: two or more, over the same D columns, no column modeled twice.

    Raises:
        ValueError: when a column is modeled twice or the tables differ in width; for a ``SequentialMasking``, whose part this may be.

    Example:
        >>> from pyro_mnar.mechanisms.whole_row import LinearMasking
        >>> from pyro_mnar.mechanisms.self_masking import SelfMasking
        >>> mixed = MixedMasking(SelfMasking(3, [0], "high"), LinearMasking(3, [2]))
        >>> mixed.columns.tolist()
        [0, 2]
    """

    rowwise = True

    def __init__(self, *mechanisms: Mechanism) -> None:
        if len(mechanisms) < 2 or len({len(m.couplings) for m in mechanisms}) > 1:
            raise ValueError("mechanisms: expected two or more over the same columns")
        for m in mechanisms:
            if not m.independent:
                raise ValueError(f"mechanisms: got a {type(m).__name__}, expected it around the mixture")
        columns = torch.cat([m.columns for m in mechanisms])
        if len(columns.unique()) < len(columns):
            raise ValueError(f"mechanisms: columns {columns.tolist()} are modeled more than once, expected each once")
        couplings = torch.stack([m.couplings for m in mechanisms]).any(0)
        super().__init__(len(couplings), columns.tolist(), couplings)
        self.parts = nn.ModuleList(mechanisms)
        self.smooth = all(m.smooth for m in mechanisms)
        modeled = indicator(columns, len(couplings))
        # Columns whose value no other mask reads and whose mask reads no other modeled column.
        self.register_buffer("alone", modeled & ~(couplings.any(0) | (couplings & modeled).any(1)), persistent=False)

    alone: Tensor

    def mechanisms(self) -> list[Mechanism]:
        """Return the mechanisms given."""
        return [cast(Mechanism, part) for part in self.parts]

    def own_scores(self) -> list[OwnColumns]:
        return [kept for part in self.mechanisms() for own in part.own_scores() if (kept := _kept(own, self.alone)) is not None]

    def own_effects(self) -> Tensor:
        return torch.stack([part.own_effects() for part in self.mechanisms()]).sum(0)

    def reads_own(self) -> Tensor:
        return torch.stack([part.reads_own() for part in self.mechanisms()]).any(0)

    @property
    def anchored(self) -> int:
        return sum(part.anchored for part in self.mechanisms())

    def start(self, anchors: Anchors) -> None:
        for part, own in self._shared(anchors):
            part.start(own)

    def log_prior(self, anchors: Anchors) -> LogPrior:
        total = LogPrior()
        for part, own in self._shared(anchors):
            total = total.plus(part.log_prior(own))
        return total

    def _shared(self, anchors: Anchors) -> list[tuple[Mechanism, Anchors]]:
        parts = self.mechanisms()
        slopes = anchors.slope.split([part.anchored for part in parts])
        return [(part, anchors._replace(slope=own)) for part, own in zip(parts, slopes, strict=True)]

    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start every mechanism from the data (N, D); return how far they suppose the column means, (D,), from those seen."""
        return torch.stack([part.initialize(x, mask) for part in self.mechanisms()]).sum(0)

    def forward(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution:
        """Return the law of the masks of complete rows ``x`` (..., D), ``effect`` (..., D) added to the scores."""
        laws = [part(x, effect) for part in self.parts]
        missing = sum(law.log_missing.masked_fill(~law.modeled, 0.0) for law in laws)
        observed = sum(law.log_observed.masked_fill(~law.modeled, 0.0) for law in laws)
        return MaskDistribution(missing, observed, torch.stack([law.modeled for law in laws]).any(0))


def _kept(own: OwnColumns, alone: Tensor) -> OwnColumns | None:
    """Return those of ``own`` that are ``alone``; None where none is."""
    free = alone[own.columns]
    if bool(free.all()):
        return own
    places = free.nonzero().squeeze(-1)
    if not len(places):
        return None
    columns = own.columns[places]
    return OwnColumns(columns, neighbors(columns) or columns, own.score.take(neighbors(places) or places))
