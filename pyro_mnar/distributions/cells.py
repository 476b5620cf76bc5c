r"""The contract of cells: what a law of one column's values says of missing ones, and what a mechanism must say for that.

Of a cell with the law p(x | z), whose value alone decides over its mask, given everything else that does, the law owns

    log INT p(x | z) P(s = 0 | x) dx,     E[x | z, s = 0],     draws of x given z and s = 0,

and, of levels, their probabilities: :meth:`Cells.censored` returns them as one :class:`Censored`. The other side of it, P(s = 0 | x) as
a function of the value, is an :class:`OwnScore`, which the mechanism makes. A new law is one class here below, a new mechanism one
class of :mod:`pyro_mnar.mechanisms`; neither knows the other's.

Where more is known of a missing cell than that, that it lies between two limits, the law owns the same three things of

    INT_low^high p(x | z) dx        (:meth:`Cells.within`)

where the limits are why it is missing, so that no mask enters, and INT_low^high p(x | z) P(s = 0 | x) dx where they are not.

A law without such an integral is *open* (``closed`` is False): masks of its columns are scored on sampled values.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor

from pyro_mnar.distributions.alignment import TOGETHER, together_of
from pyro_mnar.distributions.censored import Missing, Normals
from pyro_mnar.distributions.indexing import broadcast, put_back


class OwnScore(Protocol):
    """How the values of J columns, or of M cells, enter their own masks, all else that decides over these being given."""

    def take(self, columns: Tensor | slice) -> Self:
        """Return that of some columns."""
        ...

    def at(self, chosen: Tensor, together: int = TOGETHER) -> Self:
        """Return that of some cells, M of them, where ``chosen`` (..., J) is True."""
        ...

    def shifted(self, effect: Tensor) -> Self:
        """Return the same with ``effect`` (..., J) added to the scores."""
        ...

    def log_missing(self, values: Tensor) -> Tensor:
        """Return log P(s = 0 | x) of ``values`` (..., J)."""
        ...

    def log_observed(self, values: Tensor) -> Tensor:
        """Return log P(s = 1 | x) of ``values`` (..., J)."""
        ...

    def gain(self, values: Tensor, factor: float) -> Tensor:
        """Return what the log odds of being missing gain, (..., J), when what values do becomes ``factor`` times as strong."""
        ...

    def components(self, normals: Normals) -> Missing:
        """Return the components of missing cells whose law is a mixture of normals; TypeError where that has no closed form."""
        ...

    def rising(self, values: Tensor) -> Tensor | None:
        """Return scores (..., J) that rise or fall with P(s = 0 | x) on a line; None where P(s = 0 | x) does neither."""
        ...

    def probit(self) -> tuple[Tensor, Tensor] | None:
        """Return slope and intercept where P(s = 0 | x) is Phi(slope x + intercept); else None."""
        ...


class Censored(Protocol):
    """The law of M missing cells given z and that they are missing; tensors are (..., M)."""

    @property
    def probabilities(self) -> Tensor | None:
        """Of levels, P(level | z, s = 0), (V, ..., M); else None."""
        ...

    @property
    def log_mass(self) -> Tensor:
        """log INT p(x | z) P(s = 0 | x) dx."""
        ...

    @property
    def mean(self) -> Tensor:
        """E[x | z, s = 0]."""
        ...

    def mean_of(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return E[function(x) | z, s = 0]; ``function`` takes and returns a tensor of any shape."""
        ...

    def draw(self, uniforms: Tensor) -> Tensor:
        """Return the draws that independent ``uniforms`` (..., M, 3) in the open unit interval stand for."""
        ...


class Cells:
    """What every law of cells (..., J) offers beside being a distribution; a part of its class."""

    #: Whether its values are levels or counts.
    discrete: ClassVar[bool] = False
    #: Whether a missing cell has an integral.
    closed: bool = True
    batch_shape: torch.Size

    @property
    def blocks(self) -> list[tuple[list[int] | None, Any]]:
        """Laws of one kind with their columns; None for all."""
        return [(None, self)]

    @property
    def like(self) -> Tensor:
        """A tensor of the law's type."""
        raise NotImplementedError

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> Any:
        # Parameters stay as they are: what is computed with them broadcasts.
        new: Any = copy.copy(self)
        new._batch_shape = torch.Size(batch_shape)
        return new

    def take(self, columns: Tensor | slice | Sequence[int]) -> Any:
        """Return the laws of some columns."""
        raise NotImplementedError

    def at(self, chosen: Tensor, together: int = TOGETHER) -> Any:
        """Return the laws of some cells, (..., M), where ``chosen``, bool of the last dimensions, is True M times.

        Where no gradients are recorded they are more, as :func:`~pyro_mnar.distributions.indexing.chosen_of` says.
        """
        raise NotImplementedError

    def censored(self, own: OwnScore | None) -> Censored:
        """Return the law of these cells where they are missing; ``own`` is None where the mask says nothing of them."""
        raise NotImplementedError

    def within(self, low: Tensor, high: Tensor, own: OwnScore | None = None) -> Censored:
        """Return the law of these cells where they are known to lie between ``low`` and ``high`` (..., M), infinite for none.

        Of levels and counts no limit is a value: a law need not know whether limits are in. ``own`` is how their values enter their
        masks, None where the limits are why they are missing.

        Raises:
            TypeError: for a law that has no such integral.
        """
        raise TypeError(f"limits: got some for {type(self).__name__} cells, expected cells whose law has an integral between them")

    def log_mask(self, own: OwnScore, x: Tensor, mask: Tensor) -> Tensor:
        """Return log P(s = 1 | x) of the observed values among ``x`` (..., J), and the log mass of missing cells, (..., J)."""
        hidden = spread(~mask, self.batch_shape)
        seen = own.log_observed(x)
        if not bool(hidden.any()):
            return seen
        # Of missing cells alone, since each may have hundreds of components.
        together = together_of(torch.Size(self.batch_shape[: len(self.batch_shape) - hidden.dim()]).numel())
        missing = self.at(hidden, together).censored(own.at(hidden, together)).log_mass
        return put_back(missing, seen.expand(*missing.shape[:-1], *hidden.shape), hidden)


def spread(hidden: Tensor, batch_shape: Sequence[int]) -> Tensor:
    """Return ``hidden`` (..., J) expanded to those of the last dimensions of ``batch_shape`` that it has."""
    return hidden.expand(broadcast(hidden.shape, batch_shape[-hidden.dim() :]))
