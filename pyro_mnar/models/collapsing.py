"""Which columns' missing values can be integrated out, and which are coupled.

A self-masked column whose value no other column's mask reads can. A column whose value another's mask reads is *coupled*, and so is one
whose own mask reads another modelled column: these masks are left to a separate site, scored on sampled values.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mnar.models.latent_masking import GivenLatent, LatentMasking
from pyro_mnar.models.masks import Mechanism, indicator, neighbours
from pyro_mnar.models.mixed_masking import MixedMasking
from pyro_mnar.models.self_masking import SelfMasking


class Part(NamedTuple):
    """Columns of one self-masking mechanism that can be integrated out."""

    mechanism: SelfMasking
    columns: Tensor
    place: Tensor | slice  # the same columns, as a slice where they are neighbours: a view, where an index would copy
    own: Tensor | slice  # their places among the mechanism's own columns
    effect: Tensor | None = None  # (..., D), what a latent adds to a row's scores

    def line(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return slope (J,) and intercept (J,), or (..., J) where rows have their own, of the scores in rows ``x`` (..., D)."""
        slope, intercept = self.mechanism.line()
        if len(self.mechanism.covariates):
            intercept = intercept + self.mechanism.shift(x)
        if len(slope) > len(self.columns):
            slope, intercept = slope[self.own], intercept[..., self.own]
        return slope, intercept if self.effect is None else intercept + self.effect[..., self.place]


def collapsible(mechanism: Mechanism | None) -> list[Part]:
    """Return the parts of ``mechanism`` whose columns' values no other mask reads."""
    if mechanism is None:
        return []
    if isinstance(mechanism, GivenLatent):
        return [part._replace(effect=mechanism.effect) for part in collapsible(mechanism.mechanism)]
    if isinstance(mechanism, LatentMasking):
        return collapsible(mechanism.base)
    if type(mechanism) is SelfMasking:  # no mask but its own reads a modelled column: nothing to look for, at every step
        return [Part(mechanism, mechanism.columns, mechanism.place, slice(None))]
    read = mechanism.couplings.any(0)
    parts = []
    for piece in mechanism.parts if isinstance(mechanism, MixedMasking) else [mechanism]:
        if isinstance(piece, SelfMasking):
            free = ~(read | (mechanism.couplings & indicator(mechanism.columns, len(read))).any(1))
            own = free[piece.columns].nonzero().squeeze(-1)
            if len(own):
                columns = piece.columns[own]
                parts.append(Part(piece, columns, neighbours(columns) or columns, neighbours(own) or own))
    return parts


def coupled_columns(mechanism: Mechanism | None) -> Tensor | None:
    """Return (D,) bool, True where a modelled column's mask must be scored on sampled values; None where there is none."""
    if mechanism is None:
        return None
    coupled = torch.zeros(len(mechanism.couplings), dtype=torch.bool, device=mechanism.couplings.device)
    coupled[mechanism.columns] = True
    for part in collapsible(mechanism):
        coupled[part.columns] = False
    return coupled if bool(coupled.any()) else None
