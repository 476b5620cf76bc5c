"""What is fitted, as plain data: mechanism, columns, kinds, sizes. It makes the untrained models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from importlib import import_module
from typing import Any, Self

import numpy as np

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.kinds.table import KINDS
from pyro_mnar.distributions.links import PROBIT
from pyro_mnar.mechanisms.base import Mechanism
from pyro_mnar.mechanisms.category_masking import CategoryMasking
from pyro_mnar.mechanisms.mixed_masking import MixedMasking
from pyro_mnar.mechanisms.self_masking import DIRECTIONS, SelfMasking
from pyro_mnar.mechanisms.sequential_masking import SequentialMasking
from pyro_mnar.mechanisms.two_sided_masking import TwoSidedMasking
from pyro_mnar.mechanisms.whole_row import LinearMasking, NeuralMasking
from pyro_mnar.model.mnar import MNAR
from pyro_mnar.model.priors import Prior
from pyro_mnar.networks.conjugate_encoder import ConjugateEncoder
from pyro_mnar.networks.decoders import GaussianDecoder
from pyro_mnar.networks.head import Head
from pyro_mnar.networks.heads import CategoryHead, NormalHead
from pyro_mnar.networks.mixed_decoder import MixedDecoder
from pyro_mnar.networks.warps import SkewWarp


@cache
def head_of(kind: str) -> Callable[..., Head]:
    """Return the head that models a kind of column; it takes the columns' places and what their ``cell`` says.

    Example:
        >>> head_of("date")
        <class 'pyro_mnar.networks.heads.NormalHead'>
    """
    file, name = KINDS[kind].head.split(".")
    head: type[Head] = getattr(import_module(f"pyro_mnar.networks.{file}"), name)
    return head


@dataclass(frozen=True)
class Specification:
    """An ensemble of models, in words and numbers that a model file can hold.

    Args:
        mechanism: a word of :data:`~pyro_mnar.imputer.words.MECHANISMS`.
        columns: positions of the columns whose masks are modeled.
        directions: one word for each of them; ``none`` where a mask does not read its own value.
        kinds: of each of the D columns.
        latent_dim: L.
        hidden: hidden layers of decoder and encoder.
        members: of the ensemble; they differ in their starts and in the anchors of their priors.
        orders: for each member columns in the order in which their masks are decided, as
            :class:`~pyro_mnar.mechanisms.SequentialMasking` takes them; None where no mask reads another column.
        latent: whether masks read the row's latent.
        values: whether masks read the values of earlier columns, beside that they are missing.
        cells: of each column what its head must know (:meth:`in_units`).
        of_two: columns that have a normal law and two values, which tell of no skewness.
        unread: columns that no mask reads but their own; no mask then reads the latent.
        held: columns with the slopes of their own-value terms that are not fitted.
        growing: whether noise may grow with the mean.
        alone: instruments, whose law does not read the latent, and which every mask reads.
        others: specifications of the same columns and sizes that suppose other reasons, where the data do not tell these apart.
        follows: for each member which one it follows: 0 this one, k the k-th of ``others``; all this one where it is empty.

    Example:
        >>> Specification("none", (), (), ("continuous",) * 5, 2, (16,), members=1).models()[0].mechanism is None
        True
    """

    mechanism: str
    columns: tuple[int, ...]
    directions: tuple[str, ...]
    kinds: tuple[str, ...]
    latent_dim: int
    hidden: tuple[int, ...]
    members: int
    orders: tuple[tuple[int, ...], ...] | None = None
    latent: bool = False
    values: bool = True
    cells: tuple[Mapping[str, Any], ...] = ()
    of_two: tuple[int, ...] = ()
    unread: tuple[int, ...] = ()
    alone: tuple[int, ...] = ()
    held: tuple[tuple[int, float], ...] = ()
    growing: bool = True
    others: tuple[Self, ...] = ()
    follows: tuple[int, ...] = ()

    @property
    def supposed(self) -> list[tuple[Self, list[int]]]:
        """What members suppose, this specification first, each with the members that follow it."""
        follows = self.follows or (0,) * self.members
        return [(one, [i for i, k in enumerate(follows) if k == place]) for place, one in enumerate((self, *self.others))]

    @property
    def any_own(self) -> dict[int, str]:
        """By column the direction of those whose own value is read in some member."""
        return {j: word for one, _ in reversed(self.supposed) for j, word in one.own.items()}

    @property
    def own_alone(self) -> dict[int, str]:
        """The same of those members whose masks do not read the latent."""
        return {j: word for one, _ in reversed(self.supposed) for j, word in one.own.items() if not one.latent}

    @property
    def any_latent(self) -> bool:
        """Whether masks read the row's latent in some member."""
        return any(one.latent for one, _ in self.supposed)

    @property
    def separate(self) -> bool:
        """Whether each mask has a mechanism of its own, which may read the column's own value."""
        return self.mechanism in ("auto", "self-masking")

    @cached_property
    def own(self) -> dict[int, str]:
        """By column the direction of those whose masks read their own values by a term of their own."""
        return {j: word for j, word in zip(self.columns, self.directions, strict=True) if self.separate and word != "none"}

    @property
    def is_plain(self) -> bool:
        """Whether all columns have a normal law."""
        return all(head_of(kind) is NormalHead for kind in self.kinds)

    @cached_property
    def categories(self) -> dict[int, int]:
        """By column the number of levels of those whose levels have no order."""
        return {j: len(self.cells[j]["shares"]) for j, kind in enumerate(self.kinds) if head_of(kind) is CategoryHead}

    @cached_property
    def circular(self) -> list[int]:
        """The columns whose values wrap around."""
        return [j for j, kind in enumerate(self.kinds) if KINDS[kind].circular]

    def effects(self) -> list[int]:
        """Return how many effects each column's value has on a mask: one, an angle two, a category one for each level but one."""
        return [2 if j in self.circular else self.categories.get(j, 2) - 1 for j in range(len(self.kinds))]

    def own_words(self, j: int) -> tuple[str, ...]:
        """Return which directions can be chosen for a column of which nothing is said, on one side first."""
        categories = head_of(self.kinds[j]) is CategoryHead
        return ("free", "middle", "tails") if KINDS[self.kinds[j]].ordered else ("free",) if categories else ("none",)

    def first(self, members: int) -> Self:
        """Return the specification of the first of its members."""
        follows, orders = self.follows[:members], self.orders and self.orders[:members]
        followed = [one.first(members) for one in self.others[: max(follows, default=0)]]
        return replace(self, members=members, orders=orders, others=tuple(followed), follows=follows if followed else ())

    def in_units(self, codec: TableCodec, values: np.ndarray, mask: np.ndarray, weights: np.ndarray | None = None) -> Self:
        """Return the specification that says what cells are in the units of ``codec``.

        Args:
            codec: of the D columns.
            values, mask, weights: (N, D) numbers, and True = observed; (N,) of the rows, None being 1 each.
        """
        found, of_two = [], []
        for j, (column, center, scale) in enumerate(zip(codec.columns, codec.scaling.center, codec.scaling.scale, strict=True)):
            seen, own = values[mask[:, j], j], None if weights is None else weights[mask[:, j]]
            found.append(column.cell(seen, center, scale, own))
            few = head_of(self.kinds[j]) is NormalHead and len(np.unique(seen[:100])) <= 2  # long columns are sorted only then
            of_two += [j] if few and len(np.unique(seen)) == 2 else []
        known: dict[str, Any] = {"cells": tuple(found), "of_two": tuple(of_two)}
        return replace(self, **known, others=tuple(replace(one, **known) for one in self.others))

    def models(self) -> list[MNAR]:
        """Return the untrained members."""
        supposed = [self._models(), *(one._models() for one in self.others)]
        return [supposed[k][i] for i, k in enumerate(self.follows or (0,) * self.members)]

    def _models(self) -> list[MNAR]:
        d = len(self.kinds)
        warped = [j for j, kind in enumerate(self.kinds) if KINDS[kind].real and KINDS[kind].warped and j not in self.of_two]
        transformed = [j for j in warped if KINDS[self.kinds[j]].transformed]
        pinned = {j: cell["mass"] for j, cell in enumerate(self.cells) if "mass" in cell}
        slopes, effects = len(self._by_value) + [*self.own.values()].count("tails"), sum(self.categories[j] for j in self._by_level)
        at_mass, on_log = ([warped.index(j) for j in places] for places in (pinned, transformed))
        members: list[MNAR] = []
        for i, prior in enumerate(Prior.members(self.members, len(warped), slopes, effects, at_mass, on_log)):
            mechanism = self._mechanism(i)
            decoder = GaussianDecoder(self.latent_dim, d, self.hidden, growing=True) if self.is_plain else self._mixed_decoder()
            if self.alone:
                decoder.set_alone(self.alone)
            if not self.growing:
                decoder.hold_growth()
            warp = SkewWarp(d, warped, pinned, transformed) if warped else None
            members.append(MNAR(decoder, ConjugateEncoder(decoder, self.hidden), mechanism, warp, prior))
        return members

    @cached_property
    def _by_level(self) -> list[int]:
        return [j for j in self.own if j in self.categories]

    @cached_property
    def _by_value(self) -> list[int]:
        words = zip(self.columns, self.directions, strict=True)  # those whose masks read no value too: their slopes are 0
        return [j for j, word in words if self.separate and word in DIRECTIONS and j not in self._by_level]

    def _mechanism(self, member: int) -> Mechanism | None:
        d, own, by_value, by_level = len(self.kinds), self.own, self._by_value, self._by_level
        if self.mechanism == "linear":
            return LinearMasking(d, self.columns)
        if self.mechanism == "neural":
            return NeuralMasking(d, self.columns)
        if not self.separate or not self.columns:
            return None
        # Probit rather than logit: the data cannot tell them apart and the integral has one component, not eight.
        pieces: list[Mechanism] = [self._sloped(by_value)] if by_value else []
        pieces += [CategoryMasking(d, by_level, [self.categories[j] for j in by_level], PROBIT)] if by_level else []
        two_sided = {side: [j for j, word in own.items() if word == side] for side in ("middle", "tails")}
        pieces += [TwoSidedMasking(d, chosen, side) for side, chosen in two_sided.items() if chosen]
        law = pieces[0] if len(pieces) == 1 else MixedMasking(*pieces)
        if self.orders is None and not self.latent:
            return law
        order, latent_dim = self.orders[member] if self.orders else None, self.latent_dim if self.latent else 0
        return SequentialMasking(law, order, latent_dim, self.categories, self.circular, self.alone, self.values)

    def _sloped(self, columns: Sequence[int]) -> SelfMasking:
        law = SelfMasking(len(self.kinds), columns, [self.own.get(j, "none") for j in columns], PROBIT)
        if self.held:
            law.hold(dict(self.held))
        return law

    def _mixed_decoder(self) -> MixedDecoder:
        heads = []
        for head in dict.fromkeys(map(head_of, KINDS)):  # in the order of the kinds
            at = [j for j, kind in enumerate(self.kinds) if head_of(kind) is head]
            if at:
                heads.append(head(at, **{name: [self.cells[j][name] for j in at] for name in self.cells[at[0]]}))
        return MixedDecoder(self.latent_dim, heads, self.hidden)

    def to_json(self) -> dict[str, object]:
        """Return the specification as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Return the specification that :meth:`to_json` wrote."""
        held: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
        orders, others = held["orders"], held.get("others", ())
        if any(one["others"] or one["follows"] for one in others):
            raise ValueError("others: got some that have others of their own, expected none")
        known = {"orders": orders and tuple(map(tuple, orders)), "held": tuple((int(j), float(slope)) for j, slope in held["held"])}
        return cls(**held | known | {"others": tuple(map(cls.from_json, others))})
