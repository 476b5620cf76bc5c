"""What rules are made of: comparisons of linear sums of a row's numbers, levels among others, and what joins them.

Numbers are a table's, as :class:`~pyro_mnar.data.codec.TableCodec` reads it: days for dates, places for levels. Of a row with holes a
part is true, false or open, by the logic of Kleene.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

#: What sums of more than two numbers may be off by rounding, as a share of these.
ROUNDING = 1e-12
_OPPOSITE = {"<": "<=", "<=": "<", "==": "!=", "!=": "=="}


class Part(Protocol):
    """A statement on rows of numbers (..., D)."""

    @property
    def columns(self) -> frozenset[int]:
        """The columns that it reads."""

    def holds(self, numbers: np.ndarray) -> np.ndarray:
        """Return where it is true of complete rows, (...)."""

    def decided(self, numbers: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return 1 where it is true of rows with holes (N, D), whatever these hold, -1 where it is false, and else 0, (N,)."""

    def negated(self) -> Part:
        """Return what is true where it is false."""

    def due(self, numbers: np.ndarray, mask: np.ndarray, rows: np.ndarray) -> Iterator[tuple[Comparison | Among, np.ndarray]]:
        """Yield comparisons that must hold in some of ``rows`` (N,) bool, where it is to hold in all of them, with these."""


@dataclass(frozen=True)
class Comparison:
    """The sum of ``terms`` (column, factor) and a ``constant``, beside 0 by a ``sign``: <, <=, == or !=.

    Of two numbers it is exact. Of more, or with factors, <=, == and != hold to :data:`ROUNDING`.

    Example:
        >>> Comparison(((0, 1.0), (1, -1.0)), 0.0, "<=").holds(np.array([[1.0, 2.0], [2.0, 1.0]])).tolist()
        [True, False]
    """

    terms: tuple[tuple[int, float], ...]
    constant: float
    sign: str

    @property
    def columns(self) -> frozenset[int]:
        """The columns that it reads."""
        return frozenset(j for j, _ in self.terms)

    @property
    def exact(self) -> bool:
        """Whether nothing is rounded."""
        return len(self.terms) + (self.constant != 0) <= 2 and all(abs(factor) == 1 for _, factor in self.terms)

    def sums(self, numbers: np.ndarray) -> np.ndarray:
        """Return the sum that is compared with 0, (...)."""
        total = np.zeros(numbers.shape[:-1])
        for j, factor in self.terms:
            total = total + factor * numbers[..., j]
        return total + self.constant

    def holds(self, numbers: np.ndarray) -> np.ndarray:
        """Return where it is true of complete rows (..., D), (...)."""
        found, slack = self.sums(numbers), 0.0 if self.exact else self.slack(numbers)
        if self.sign == "<":
            return found < 0
        if self.sign == "<=":
            return found <= slack
        return (np.abs(found) <= slack) == (self.sign == "==")

    def slack(self, numbers: np.ndarray) -> np.ndarray:
        """Return what the sum may be off, (...)."""
        sizes = [np.abs(factor * numbers[..., j]) for j, factor in self.terms]
        return np.asarray(ROUNDING * (np.sum(sizes, 0) + abs(self.constant)))

    def decided(self, numbers: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return what it is of rows with holes."""
        return _decided(self, numbers, mask)

    def negated(self) -> Comparison:
        """Return the opposite comparison."""
        flip = -1.0 if self.sign in ("<", "<=") else 1.0
        return Comparison(tuple((j, flip * factor) for j, factor in self.terms), flip * self.constant, _OPPOSITE[self.sign])

    def due(self, numbers: np.ndarray, mask: np.ndarray, rows: np.ndarray) -> Iterator[tuple[Comparison | Among, np.ndarray]]:
        """Yield itself."""
        yield self, rows


@dataclass(frozen=True)
class Among:
    """The place of a ``column`` of levels is one of ``places``.

    Example:
        >>> Among(0, (1,)).holds(np.array([[1.0], [0.0]])).tolist()
        [True, False]
    """

    column: int
    places: tuple[int, ...]
    count: int = 2

    @property
    def columns(self) -> frozenset[int]:
        """The column."""
        return frozenset([self.column])

    def holds(self, numbers: np.ndarray) -> np.ndarray:
        """Return where it is true of complete rows (..., D), (...)."""
        return np.isin(numbers[..., self.column], self.places)

    def decided(self, numbers: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return what it is of rows with holes."""
        return _decided(self, numbers, mask)

    def negated(self) -> Among:
        """Return that it is one of the others."""
        return Among(self.column, tuple(k for k in range(self.count) if k not in self.places), self.count)

    def due(self, numbers: np.ndarray, mask: np.ndarray, rows: np.ndarray) -> Iterator[tuple[Comparison | Among, np.ndarray]]:
        """Yield itself."""
        yield self, rows


@dataclass(frozen=True)
class Joined:
    """Several parts of which ``every`` one holds, or at least one."""

    parts: tuple[Part, ...]
    every: bool

    @property
    def columns(self) -> frozenset[int]:
        """The columns that it reads."""
        return frozenset[int]().union(*(part.columns for part in self.parts))

    def holds(self, numbers: np.ndarray) -> np.ndarray:
        """Return where it is true of complete rows (..., D), (...)."""
        found = np.stack([part.holds(numbers) for part in self.parts])
        return np.asarray(found.all(0) if self.every else found.any(0))

    def decided(self, numbers: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return what it is of rows with holes."""
        found = np.stack([part.decided(numbers, mask) for part in self.parts])
        return found.min(0) if self.every else found.max(0)

    def negated(self) -> Joined:
        """Return, by De Morgan, the opposite."""
        return Joined(tuple(part.negated() for part in self.parts), not self.every)

    def due(self, numbers: np.ndarray, mask: np.ndarray, rows: np.ndarray) -> Iterator[tuple[Comparison | Among, np.ndarray]]:
        """Yield what must hold: of alternatives the last that is left, where the others are false."""
        if self.every:
            for part in self.parts:
                yield from part.due(numbers, mask, rows)
            return
        false = np.stack([part.decided(numbers, mask) < 0 for part in self.parts])
        for i, part in enumerate(self.parts):
            left = rows & np.delete(false, i, 0).all(0)
            if left.any():
                yield from part.due(numbers, mask, left)


def joined(parts: Sequence[Part], every: bool) -> Part:
    """Return parts joined, or the one that there is."""
    return parts[0] if len(parts) == 1 else Joined(tuple(parts), every)


def _decided(part: Part, numbers: np.ndarray, mask: np.ndarray) -> np.ndarray:
    known = mask[:, sorted(part.columns)].all(1)
    return np.where(known, np.where(part.holds(numbers), 1, -1), 0)
