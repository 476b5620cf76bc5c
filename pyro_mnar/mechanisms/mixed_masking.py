"""Different mechanisms for different columns."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from pyro_mnar.mechanisms.base import MaskDistribution, Mechanism


class MixedMasking(nn.Module):
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

    columns: Tensor
    couplings: Tensor

    def __init__(self, *mechanisms: Mechanism) -> None:
        super().__init__()
        if len(mechanisms) < 2 or len({len(m.couplings) for m in mechanisms}) > 1:
            raise ValueError("mechanisms: expected two or more over the same columns")
        if any(hasattr(m, "own") for m in mechanisms):
            raise ValueError("mechanisms: got a SequentialMasking, expected it around the mixture")
        columns = torch.cat([m.columns for m in mechanisms])
        if len(columns.unique()) < len(columns):
            raise ValueError(f"mechanisms: columns {columns.tolist()} are modeled more than once, expected each once")
        self.parts = nn.ModuleList(mechanisms)  # type: ignore[arg-type]  # every mechanism is a module
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("couplings", torch.stack([m.couplings for m in mechanisms]).any(0), persistent=False)

    def mechanisms(self) -> list[Mechanism]:
        """Return the mechanisms given."""
        return [cast(Mechanism, part) for part in self.parts]

    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start every mechanism from the data (N, D); return how far they suppose the column means, (D,), from those seen."""
        return torch.stack([part.initialize(x, mask) for part in self.mechanisms()]).sum(0)

    def forward(self, x: Tensor, effect: Tensor | None = None) -> MaskDistribution:
        """Return the law of the masks of complete rows ``x`` (..., D), ``effect`` (..., D) added to the scores."""
        laws = [part(x, effect) for part in self.parts]
        missing = sum(law.log_missing.masked_fill(~law.modeled, 0.0) for law in laws)
        observed = sum(law.log_observed.masked_fill(~law.modeled, 0.0) for law in laws)
        return MaskDistribution(missing, observed, torch.stack([law.modeled for law in laws]).any(0))

    def gain(self, x: Tensor, factor: float, effect: Tensor | None = None) -> Tensor:
        """Return what the log odds of being missing gain, (..., D), at ``factor`` times the strength, in complete rows (..., D).

        Of mechanisms that have a ``gain`` (self-masking).
        """
        gains: list[Any] = [part.gain(x, factor, effect) for part in self.parts]  # type: ignore[operator]
        return torch.stack(gains).sum(0)
