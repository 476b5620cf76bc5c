"""The law of a row's masks, decided column after column; ``sequential_masking`` derives its scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_mnar.distributions.indexing import indicator
from pyro_mnar.mechanisms.base import MaskDistribution, Mechanism


class SequentialMasks(TorchDistribution):
    """The law of one row's mask, cells one after the other; made by ``SequentialMasking``.

    ``log_missing`` and ``log_observed``, (..., D), are those of each cell where all earlier columns are seen.

    Args:
        own: how values enter their own masks.
        order: columns as their masks are decided; the others' are decided last. None, and no mask reads another column.
        earlier: what earlier columns of rows (..., D) seen at a mask (..., D) add to the scores, (..., D); or returns None.
        x: complete rows (..., D); (..., P, D) over points.
        effect: added to the scores, of the shape of ``x``.
        modeled: columns that are scored, (D,) bool; all of ``own``'s where None.
        over_points: whether each cell's law is averaged over P points.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.independent(constraints.boolean, 1)
    has_rsample = False

    def __init__(
        self,
        own: Mechanism,
        order: Sequence[int] | None,
        earlier: Callable[[Tensor, Tensor], Tensor | None],
        x: Tensor,
        effect: Tensor | None,
        modeled: Tensor | None = None,
        over_points: bool = False,
    ) -> None:
        self.own, self.order, self.earlier = own, order, earlier
        self.x, self.effect, self.over_points = x, effect, over_points
        self.modeled = indicator(own.columns, own.n_columns) if modeled is None else modeled
        shape = x.shape if effect is None else torch.broadcast_shapes(x.shape, effect.shape)
        super().__init__(shape[: -2 if over_points else -1], shape[-1:], validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> SequentialMasks:
        x = self.x.expand(*batch_shape, *self.x.shape[-2 if self.over_points else -1 :])
        return SequentialMasks(self.own, self.order, self.earlier, x, self.effect, self.modeled, self.over_points)

    def restrict(self, columns: Tensor) -> SequentialMasks:
        """Return the law that scores only ``columns`` (D,) bool."""
        return SequentialMasks(self.own, self.order, self.earlier, self.x, self.effect, self.modeled & columns, self.over_points)

    def averaged(self) -> SequentialMasks:
        """Return the law whose cells, each given those before, are averaged over the first dimension."""
        effect = None if self.effect is None else self.effect.movedim(0, -2)
        return SequentialMasks(self.own, self.order, self.earlier, self.x.movedim(0, -2), effect, self.modeled, True)

    @property
    def log_missing(self) -> Tensor:
        return self.given(self._all_seen()).log_missing

    @property
    def log_observed(self) -> Tensor:
        return self.given(self._all_seen()).log_observed

    def given(self, mask: Tensor) -> MaskDistribution:
        """Return the laws of the cells, each given what ``mask`` (..., D) says of the columns before it."""
        earlier = self.earlier(self.x, mask.unsqueeze(-2) if self.over_points else mask)
        effect = earlier if self.effect is None else self.effect if earlier is None else self.effect + earlier
        law: MaskDistribution = self.own(self.x, effect)
        if self.over_points:
            law = MaskDistribution(law.log_missing.movedim(-2, 0), law.log_observed.movedim(-2, 0), law.modeled).averaged()
        return law.restrict(self.modeled)

    def missing_rate(self, mask: Tensor) -> Tensor:
        """Return P(s_j = 0 | x), (..., D), given the ``mask`` of all other cells: of earlier ones, and of later ones, which read it."""
        if self.order is None:
            return self.given(mask).log_missing.exp()
        rates = []
        for j in range(mask.shape[-1]):
            own = indicator(torch.tensor([j], device=mask.device), mask.shape[-1])
            rates.append(torch.sigmoid(self.log_prob(mask & ~own) - self.log_prob(mask | own)))
        return torch.stack(rates, -1)

    def cell_log_prob(self, mask: Tensor) -> Tensor:
        """Return log P(s_j | x, s_<j), (..., D), zero in columns that are not modeled."""
        return self.given(mask.bool()).cell_log_prob(mask)

    def log_prob(self, mask: Tensor) -> Tensor:
        return self.cell_log_prob(mask).sum(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = (*sample_shape, *self.batch_shape, *self.event_shape)
        uniform = torch.rand(shape, dtype=self.x.dtype, device=self.x.device)
        mask = torch.ones(shape, dtype=torch.bool, device=self.x.device)
        # A column's law depends on the masks before it: as many looks as columns in the order, of which one is read each time; those
        # that the order leaves out are all read from the last look.
        steps = [[j] for j in self.order or ()]
        steps.append([j for j in range(shape[-1]) if [j] not in steps])
        for columns in steps:
            law = self.given(mask)
            mask[..., columns] = ((uniform < law.log_observed.exp()) | ~law.modeled)[..., columns]
        return mask

    def _all_seen(self) -> Tensor:
        return torch.ones((*self.batch_shape, *self.event_shape), dtype=torch.bool, device=self.x.device)
