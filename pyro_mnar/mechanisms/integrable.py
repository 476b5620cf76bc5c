"""Which columns' missing values can be integrated out, and which are coupled.

A self-masked column whose value no other column's mask reads can. A column whose value another's mask reads is *coupled*, and so is one
whose own mask reads another modeled column: these masks are left to a separate site, scored on sampled values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mnar.distributions.indexing import chosen_of, indicator, neighbors
from pyro_mnar.mechanisms.base import Mechanism
from pyro_mnar.mechanisms.category_masking import CategoryMasking
from pyro_mnar.mechanisms.latent_masking import GivenLatent, LatentMasking
from pyro_mnar.mechanisms.mixed_masking import MixedMasking
from pyro_mnar.mechanisms.self_masking import SelfMasking
from pyro_mnar.mechanisms.sequential_masking import SequentialMasking
from pyro_mnar.mechanisms.two_sided_masking import TwoSidedMasking


class Part(NamedTuple):
    """Columns of one self-masking mechanism that can be integrated out, all in one block of the decoder's cells."""

    mechanism: SelfMasking | CategoryMasking | TwoSidedMasking
    columns: Tensor
    place: Tensor | slice  # the same columns, as a slice where they are neighbors: a view, where an index would copy
    own: Tensor | slice  # their places among the mechanism's own columns
    block: int = 0  # of the decoder's cells
    within: Tensor | slice | None = None  # their places in it; None for ``place``, of cells that are one block
    effect: Tensor | None = None  # (..., D), what a latent adds to a row's scores
    sequence: SequentialMasking | None = None  # says what earlier columns add to them

    def line(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the mechanism's ``log_missing`` needs for rows ``x`` (..., D), seen where ``mask`` is True, each ending in J.

        Slope and intercept; of categories, their table (V, J) and what is added to it; of two sides, slope and place (2, J) and width.
        The second is (..., J) where rows have their own.
        """
        slope, intercept = self.mechanism.line()
        if slope.shape[-1] > len(self.columns):
            slope, intercept = slope[..., self.own], intercept[..., self.own]
        earlier = None if self.sequence is None else self.sequence.of_earlier(x, mask)
        if earlier is not None:
            intercept = intercept + earlier[..., self.place]
        return slope, intercept if self.effect is None else intercept + self.effect[..., self.place]

    def at(self, line: tuple[Tensor, Tensor], chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the line of some cells, each ending in M, where ``chosen`` (..., J) is True M times."""
        slope, intercept = line
        if slope.dim() > 1:
            slope = slope.reshape(len(slope), *[1] * (chosen.dim() - 1), -1)
        return chosen_of(slope, chosen), chosen_of(intercept, chosen)


def collapsible(mechanism: Mechanism | None, blocks: Sequence[Sequence[int]] | None = None) -> list[Part]:
    """Return the parts of ``mechanism`` whose columns' values no other mask reads.

    Args:
        mechanism: p(s given x).
        blocks: columns of each block of the decoder's cells, where there are several; a part is of one block.
    """
    parts = _parts(mechanism)
    if blocks is None:
        return parts
    return [inside for part in parts for b, block in enumerate(blocks) for inside in _inside(part, b, block)]


def _parts(mechanism: Mechanism | None) -> list[Part]:
    if mechanism is None:
        return []
    if isinstance(mechanism, GivenLatent):
        inner = _parts(mechanism.mechanism)
        return [part._replace(effect=mechanism.effect if part.effect is None else part.effect + mechanism.effect) for part in inner]
    if isinstance(mechanism, SequentialMasking):
        return [part._replace(sequence=mechanism) for part in _parts(mechanism.own)]
    if isinstance(mechanism, LatentMasking):
        return _parts(mechanism.base)
    if type(mechanism) is SelfMasking:  # no mask but its own reads a modeled column: nothing to look for, at every step
        return [Part(mechanism, mechanism.columns, mechanism.place, slice(None))]
    read = mechanism.couplings.any(0)
    parts = []
    for piece in mechanism.parts if isinstance(mechanism, MixedMasking) else [mechanism]:
        if isinstance(piece, (SelfMasking, CategoryMasking, TwoSidedMasking)):
            free = ~(read | (mechanism.couplings & indicator(mechanism.columns, len(read))).any(1))
            own = free[piece.columns].nonzero().squeeze(-1)
            if len(own):
                columns = piece.columns[own]
                parts.append(Part(piece, columns, neighbors(columns) or columns, neighbors(own) or own))
    return parts


def _inside(part: Part, number: int, block: Sequence[int]) -> list[Part]:
    """Return what of ``part`` is in a block."""
    columns = part.columns.tolist()
    chosen = [i for i, j in enumerate(columns) if j in block]
    if not chosen:
        return []
    device = part.columns.device
    picked = torch.tensor(chosen, device=device)
    own = torch.arange(len(part.mechanism.columns), device=device)[part.own][picked]
    within = torch.tensor([list(block).index(columns[i]) for i in chosen], device=device)
    mine = part.columns[picked]
    return [
        part._replace(
            columns=mine,
            place=neighbors(mine) or mine,
            own=neighbors(own) or own,
            block=number,
            within=neighbors(within) or within,
        )
    ]


def coupled_columns(mechanism: Mechanism | None) -> Tensor | None:
    """Return (D,) bool, True where a modeled column's mask must be scored on sampled values; None where there is none."""
    if mechanism is None:
        return None
    coupled = torch.zeros(len(mechanism.couplings), dtype=torch.bool, device=mechanism.couplings.device)
    coupled[mechanism.columns] = True
    for part in collapsible(mechanism):
        coupled[part.columns] = False
    return coupled if bool(coupled.any()) else None
