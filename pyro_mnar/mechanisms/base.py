"""Mechanisms p(s given x): why values are missing.

A mechanism is a :class:`Mechanism`, a module whose ``forward(x)`` takes complete rows (..., D) and returns a
:class:`MaskDistribution` over s, with ``True`` = observed. It says two things about itself:

- ``columns``: the indices of the columns whose masks it models; the other columns' masks are not modeled (ignorable);
- ``couplings``: (D, D), True at [j, k] where the *value* of column k enters the mask of another column j.

``initialize(x, mask)`` starts from data, in which a value that repeats at an end of its column stands as an infinite one, and returns
how far the column means, (D,), are supposed from those seen.

``forward(x, effect)`` adds a given number, (..., D), to each cell's score; so a latent enters
(:mod:`pyro_mnar.mechanisms.latent_masking`).

A missing value can be integrated out (see :mod:`pyro_mnar.model.selection`) if its column is self-masked, no other column's mask reads
it, and its own mask reads no other modeled column. ``own_scores()`` says how such values enter their masks, ``row_effects(x, mask)``
what else of a row moves these masks. All other modeled columns are *coupled*: their masks are scored at a separate site, on sampled
values. Signs, once: slope a > 0 means that P(missing) rises with x (``direction`` high); the score u = a x + c is that of *missing*.
Source of the model: Ipsen, Mattei and Frellsen, "not-MIWAE", arXiv 2006.12871.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_mnar.distributions.cells import OwnScore
from pyro_mnar.distributions.indexing import column_indices, indicator


class MaskDistribution(TorchDistribution):
    """The law of one row's mask, cells independent given x.

    Args:
        log_missing: log P(s = 0 | x), (..., D).
        log_observed: log P(s = 1 | x), (..., D).
        modeled: (D,) bool; cells of the other columns are always drawn as observed and have log probability 0.

    Example:
        >>> law = MaskDistribution(torch.zeros(2).sub(0.6931472), torch.zeros(2).sub(0.6931472), torch.tensor([True, False]))
        >>> round(float(law.log_prob(torch.tensor([False, False]))), 4)
        -0.6931
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.independent(constraints.boolean, 1)
    has_rsample = False

    def __init__(self, log_missing: Tensor, log_observed: Tensor, modeled: Tensor) -> None:
        self.log_missing, self.log_observed, self.modeled = log_missing, log_observed, modeled
        super().__init__(log_missing.shape[:-1], log_missing.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> MaskDistribution:
        shape = (*batch_shape, *self.event_shape)
        return MaskDistribution(self.log_missing.expand(shape), self.log_observed.expand(shape), self.modeled)

    def restrict(self, columns: Tensor) -> MaskDistribution:
        """Return the law that scores only ``columns`` (D,) bool."""
        return MaskDistribution(self.log_missing, self.log_observed, self.modeled & columns)

    def missing_rate(self, mask: Tensor) -> Tensor:
        """Return P(s_j = 0 | x), (..., D), given the ``mask`` (..., D) of the other cells, which says nothing here."""
        return self.log_missing.exp()

    def averaged(self) -> MaskDistribution:
        """Return the law whose cells are averaged over the first dimension."""
        missing, observed = (part.logsumexp(0) - math.log(len(part)) for part in (self.log_missing, self.log_observed))
        return MaskDistribution(missing, observed, self.modeled)

    def cell_log_prob(self, mask: Tensor) -> Tensor:
        """Return log P(s_j | x), (..., D), zero in columns that are not modeled."""
        return torch.where(mask.bool(), self.log_observed, self.log_missing).masked_fill(~self.modeled, 0.0)

    def log_prob(self, mask: Tensor) -> Tensor:
        return self.cell_log_prob(mask).sum(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = (*sample_shape, *self.log_missing.shape)
        uniform = torch.rand(shape, dtype=self.log_missing.dtype, device=self.log_missing.device)
        return (uniform < self.log_observed.exp()) | ~self.modeled


class OwnColumns(NamedTuple):
    """Columns whose missing values can be integrated out, and how these values enter their masks."""

    columns: Tensor
    place: Tensor | slice  # the same columns, as a slice where they are neighbors: a view, where an index would copy
    score: OwnScore


class Anchors(NamedTuple):
    """Where a member's prior puts its mechanism: ``slope`` (J,) in standard deviations, ``by_level`` flat, as it is."""

    slope: Tensor
    by_level: Tensor


class LogPrior(NamedTuple):
    """log p of parameters, up to a constant: of those that the data know, and of those that only the shape of what is seen tells of."""

    known: Tensor | float = 0.0
    unseen: Tensor | float = 0.0

    def plus(self, other: LogPrior) -> LogPrior:
        """Return the sum of two."""
        return LogPrior(self.known + other.known, self.unseen + other.unseen)


class Mechanism(nn.Module):
    """What every mechanism offers; a new one is one class and one row in the contract-test table.

    A subclass says ``forward`` and ``initialize``, and where a missing value can be integrated out ``own_scores``.

    Args:
        n_columns: D.
        columns: indices of the modeled columns; all by default.
        couplings: (D, D) bool; none by default.

    Raises:
        ValueError: for columns out of range or repeated.
    """

    columns: Tensor
    couplings: Tensor
    #: Whether masks are independent of one another given the row.
    independent = True
    #: Whether other things can be added to the scores: not to a threshold, which stays where it is.
    smooth = True

    def __init__(self, n_columns: int, columns: Sequence[int] | None = None, couplings: Tensor | None = None) -> None:
        super().__init__()
        self.n_columns = n_columns
        none = torch.zeros(n_columns, n_columns, dtype=torch.bool)
        self.register_buffer("columns", column_indices(columns, n_columns), persistent=False)
        self.register_buffer("couplings", none if couplings is None else couplings, persistent=False)

    def forward(self, x: Tensor, effect: Tensor | None = None) -> Any:
        """Return the law of the masks of complete rows ``x`` (..., D), ``effect`` (..., D) added to the scores."""
        raise NotImplementedError

    def initialize(self, x: Tensor, mask: Tensor) -> Tensor:
        """Start from data (N, D); return how far the column means, (D,), are supposed from those seen."""
        raise NotImplementedError

    def check_columns(self, x: Tensor, mask: Tensor) -> None:
        """Refuse what is no table (N, D) to start from, as columns beyond would be passed over.

        Raises:
            ValueError: for another width, or shapes that differ.
            TypeError: for a mask that is none of bools.
        """
        if mask.dtype != torch.bool:
            raise TypeError(f"mask: got {mask.dtype}, expected torch.bool, True = observed (mask.bool())")
        if x.dim() != 2 or x.shape[1] != self.n_columns:
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected (N, {self.n_columns})")
        if mask.shape != x.shape:
            raise ValueError(f"mask: got shape {tuple(mask.shape)}, expected that of x {tuple(x.shape)}")

    def own_scores(self) -> list[OwnColumns]:
        """Return how values enter their own masks, of the columns whose missing values can be integrated out."""
        return []

    def row_effects(self, x: Tensor, mask: Tensor) -> Tensor | None:
        """Return what is added to the scores, (..., D), of rows ``x`` (..., D) seen where ``mask`` is True; None for nothing."""
        return None

    def coupled(self) -> Tensor:
        """Return (D,) bool, True at modeled columns whose missing values cannot be integrated out."""
        coupled = indicator(self.columns, self.n_columns)
        for own in self.own_scores():
            coupled[own.columns] = False
        return coupled

    def model(self, z: Tensor) -> Mechanism:
        """Declare the mechanism's own latents, if any; return the mechanism of rows of latents ``z`` (..., L)."""
        return self

    def guide(self, x: Tensor, mask: Tensor) -> None:
        """Declare the guide of the mechanism's own latents."""

    @property
    def reads_latent(self) -> bool:
        """Whether masks read the row's latent."""
        return False

    def effects_of(self, z: Tensor) -> Tensor | None:
        """Return what latents ``z`` (..., L) add to the scores, (..., D); None where masks do not read them."""
        return None

    def gain(self, x: Tensor, factor: float, mask: Tensor) -> Tensor:
        """Return what the log odds of being missing gain, (..., D), at ``factor`` times the strength of the values' own effects.

        Args:
            x: complete rows (..., D).
            factor: 1 for no change.
            mask: (..., D) bool, True = observed, where masks are decided by what is seen of other columns.

        Raises:
            TypeError: for a mechanism whose masks read more than that.
        """
        if bool(self.coupled().any()):
            raise TypeError(f"mechanism: got {type(self).__name__}, expected one of own values")
        effects, gain = self.row_effects(x, mask), torch.zeros_like(x)
        for columns, place, score in self.own_scores():
            own = score if effects is None else score.shifted(effects[..., place])
            gain = gain.index_copy(-1, columns, own.gain(x[..., place], factor))
        return gain

    def own_effects(self) -> Tensor:
        """Return how strongly each column's value enters its mask, (D,): its slope, or of categories the spread of their effects."""
        return torch.zeros(self.n_columns)

    def reads_own(self) -> Tensor:
        """Return (D,) bool, True at columns whose masks read their own values."""
        return indicator(self.columns, self.n_columns)

    def effects_of_columns(self) -> Tensor | None:
        """Return the size of what column k, seen or absent, does to mask j, (D, D) at [j, k]; None where masks have no order."""
        return None

    @property
    def anchored(self) -> int:
        """How many slopes have an anchor, those of its parts one after the other."""
        return 0

    def start(self, anchors: Anchors) -> None:
        """Put the anchored parameters at their anchors."""

    def log_prior(self, anchors: Anchors) -> LogPrior:
        """Return log p of the parameters, about the anchors where they are anchored."""
        return LogPrior()
