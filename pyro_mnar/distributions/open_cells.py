"""Any distribution of torch's as cells: those that have an integral become the library's own, the others are open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, constraints
from torch.distributions import Normal as TorchNormal
from torch.distributions import StudentT as TorchStudentT
from torch.nn.functional import logsigmoid

from pyro_mnar.distributions.alignment import TOGETHER
from pyro_mnar.distributions.cells import Cells, Censored, OwnScore
from pyro_mnar.distributions.continuous import Normal, StudentT
from pyro_mnar.distributions.discrete import LevelCells
from pyro_mnar.distributions.indexing import chosen_of, columns_of, put_back

# Of an open law, equal shares of its probability over which a function is averaged.
_SHARES = 512


class OpenCells(Cells, TorchDistribution):
    """Cells (..., J) of a law that has no integral of a missing value: masks of its columns are scored on sampled values.

    Args:
        law: a law of batch shape (..., J); missing cells are drawn by its inverse distribution function.

    Example:
        >>> cells = OpenCells(torch.distributions.Laplace(torch.zeros(7, 3), torch.ones(3)))
        >>> cells.batch_shape, cells.closed
        (torch.Size([7, 3]), False)
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = False
    closed = False

    def __init__(self, law: Distribution) -> None:
        self.law = law
        super().__init__(law.batch_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return self.law.support or constraints.real

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> OpenCells:
        return OpenCells(self.law.expand(torch.Size(batch_shape)))

    @property
    def mean(self) -> Tensor:
        """(..., J)."""
        return self.law.mean

    @property
    def like(self) -> Tensor:
        return self.law.mean

    def log_prob(self, value: Tensor) -> Tensor:
        return self.law.log_prob(value)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.law.sample(torch.Size(sample_shape))

    def take(self, columns: Tensor | slice | Sequence[int]) -> OpenColumns:
        return OpenColumns(self.law, columns)

    def at(self, chosen: Tensor, together: int = TOGETHER) -> OpenMissing:
        return OpenMissing(self.law, slice(None), chosen, together)


class OpenColumns(Cells):
    """Some columns of an open law."""

    closed = False

    def __init__(self, law: Distribution, columns: Tensor | slice | Sequence[int]) -> None:
        self.law, self.columns = law, columns
        self.batch_shape = columns_of(law.mean, columns).shape

    def at(self, chosen: Tensor, together: int = TOGETHER) -> OpenMissing:
        return OpenMissing(self.law, self.columns, chosen, together)


class OpenMissing:
    """M cells of some columns of an open law, drawn whatever their masks."""

    probabilities = None

    def __init__(self, law: Distribution, columns: Tensor | slice | Sequence[int], chosen: Tensor, together: int) -> None:
        self.law, self.columns, self.chosen, self.together = law, columns, chosen, together

    def censored(self, own: OwnScore | None) -> Censored:
        """Return these cells; TypeError where a mask reads their values, for which this law has no integral."""
        if own is not None:
            raise TypeError(f"decoder cells: got {type(self.law).__name__}, which has no integral of a missing value")
        return self

    def within(self, low: Tensor, high: Tensor, own: OwnScore | None = None) -> Censored:
        """Raise a TypeError."""
        raise TypeError(f"limits: got some for {type(self.law).__name__} cells, expected cells whose law has an integral between them")

    @property
    def log_mass(self) -> Tensor:
        return torch.zeros_like(self.mean)

    @property
    def mean(self) -> Tensor:
        return self._own(self.law.mean)

    def mean_of(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        like = self.law.mean
        shares = (torch.arange(_SHARES).to(like) + 0.5) / _SHARES
        values = self._inverse(shares.reshape(-1, *[1] * like.dim()).expand(-1, *like.shape))
        return self._own(function(values).mean(0))

    def draw(self, uniforms: Tensor) -> Tensor:
        lead, width = uniforms.shape[:-2], self.law.batch_shape[-1]
        own = put_back(uniforms[..., 2], uniforms.new_full((*lead, *self.chosen.shape), 0.5), self.chosen)
        rows = uniforms.new_full((*own.shape[:-1], width), 0.5)
        rows[..., self.columns] = own
        return self._own(self._inverse(rows))

    def _own(self, rows: Tensor) -> Tensor:
        return chosen_of(columns_of(rows, self.columns), self.chosen, self.together)

    def _inverse(self, uniforms: Tensor) -> Tensor:
        try:
            return self.law.icdf(uniforms)
        except NotImplementedError:
            name = type(self.law).__name__
            raise TypeError(f"decoder cells: got {name}, which has no inverse distribution function to draw by") from None


@singledispatch
def cells_of(law: Any) -> Any:
    """Return a law of cells (..., J) as one that keeps the contract of :class:`~pyro_mnar.distributions.cells.Cells`.

    The library's own are returned as they are; torch's ``Bernoulli`` and ``Categorical`` become levels 0, 1, ...

    Example:
        >>> cells_of(Bernoulli(torch.tensor([0.25, 0.5]))).mean.tolist()
        [0.25, 0.5]
    """
    return OpenCells(law)


@cells_of.register
def _(law: Cells) -> Cells:
    return law


@cells_of.register
def _(law: TorchNormal) -> Normal:
    return Normal(law.loc, law.scale)


@cells_of.register
def _(law: TorchStudentT) -> StudentT:
    return StudentT(law.df, law.loc, law.scale)


@cells_of.register
def _(law: Bernoulli) -> LevelCells:
    return _levels(torch.stack([logsigmoid(-law.logits), logsigmoid(law.logits)]))


@cells_of.register
def _(law: Categorical) -> LevelCells:
    return _levels(law.logits.log_softmax(-1).movedim(-1, 0))


def _levels(log_probs: Tensor) -> LevelCells:
    width = log_probs.shape[-1]
    return LevelCells(log_probs, log_probs.new_zeros(width), log_probs.new_ones(width))
