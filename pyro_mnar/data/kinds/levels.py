"""Kinds whose values are one of a list: as numbers the places of their levels, 0, 1, ...

    binary        two values; of numbers, 0 and 1
    categorical   values without order
    ordinal       ordered values: numbers, an ordered pandas Categorical, or ordinal:A:B:C, from lowest to highest

A model's column of ordered levels spans half a unit, whatever their number. So the priors of slopes (:mod:`pyro_mnar.model.priors`),
made for a column's standard deviations, expect about one unit of score between lowest and highest level.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.evidence import Evidence, Name, distinct, is_hole, unseen

if TYPE_CHECKING:
    from pandas import Series

#: Text of more distinct values than this is taken for names, not categories, unless declared.
MOST_LEVELS = 50


class Leveled(Column):
    """Levels; two of them at least."""

    fewest: ClassVar[str] = "at least 2"

    def __post_init__(self) -> None:
        if not self.levels or self.bounds is not None:
            self._refuse()
        if len(self.levels) < 2 or (self.fewest == "2" and len(self.levels) > 2):
            raise ValueError(
                f"column {self.name!r}: got {len(self.levels)} level(s), {', '.join(map(str, self.levels[:5]))}, expected "
                f"{self.fewest} for kind {self.kind} (leave the column out, or declare another kind)"
            )

    @classmethod
    def declare(cls, name: Name, dtype: str, rest: Sequence[str], values: np.ndarray, order: Sequence[Hashable] | None = None) -> Self:
        """Return the column with the levels that were observed."""
        if rest:
            cls.refuse_word(name, rest, f"nothing after {cls.kind}")
        found = set(distinct(values, name))
        return cls(name, dtype, tuple(level for level in order or cls.arranged(name, found) if level in found))

    @classmethod
    def arranged(cls, name: Name, found: set[Any]) -> list[Any]:
        """Return levels in the order in which they are listed: numbers first, and by size."""
        return sorted(found, key=lambda level: (isinstance(level, str), level))

    def read(self, values: np.ndarray, labels: Iterable[Hashable]) -> np.ndarray:
        """Return objects (N,) as the places of their levels, NaN in the holes.

        Raises:
            ValueError: naming a value that is no level.
        """
        place = {level: float(k) for k, level in enumerate(self.levels)}
        codes = np.full(len(values), np.nan)
        for i, (label, value) in enumerate(zip(labels, values, strict=True)):
            if is_hole(value):
                continue
            try:
                codes[i] = place[value]
            except (KeyError, TypeError):
                known = ", ".join(map(str, self.levels[:12])) + (", ..." if len(self.levels) > 12 else "")
                raise ValueError(
                    f"column {self.name!r}: got new category {value!r} in row {label}, expected one of those in training: {known}"
                ) from None
        return codes

    def fill(self, series: Series, holes: np.ndarray, values: np.ndarray) -> Series:
        """Return a pandas Series (N,) with the levels whose places are ``values`` at ``holes`` (N,).

        A column that is missing altogether may come with another dtype; it then gets that of its levels.
        """
        import pandas as pd

        levels = [self.levels[int(k)] for k in values]
        if str(series.dtype) == "category":
            # All levels, so that every draw has the same dtype.
            others = [level for level in self.levels if level not in series.cat.categories]
            series = series.cat.add_categories(others) if holes.any() else series
        elif holes.all():
            return pd.Series(levels, series.index, name=series.name)
        series.iloc[np.flatnonzero(holes)] = levels
        return series

    def written(self, values: np.ndarray) -> np.ndarray:
        """Return the levels whose places are ``values``."""
        found = np.empty(len(values), object)
        found[:] = [self.levels[int(k)] for k in values]
        return found

    def may_be_far(self, values: np.ndarray) -> np.ndarray:
        """Return that none are: a model's values of the last levels may be large."""
        return np.zeros(len(values), bool)

    def inside(self, numbers: np.ndarray) -> np.ndarray:
        """Return places that are there."""
        return np.clip(np.rint(numbers), 0, len(self.levels) - 1)

    def units(self, line: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> tuple[float, float]:
        """Return the mean place, and what makes all levels span half a unit."""
        return center, 2.0 * (len(self.levels) - 1)

    def typical(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the place of the most probable level, (N,)."""
        return probabilities[:, : len(self.levels)].argmax(-1)

    def cell(self, seen: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> dict[str, object]:
        """Return the levels' shares, and which of a model's values stand for them."""
        return {"shares": self._shares(seen, weights), "first": float(-center / scale), "step": float(1 / scale)}

    def _shares(self, seen: np.ndarray, weights: np.ndarray | None = None) -> list[float]:
        counts = np.bincount(seen.astype(int), weights, len(self.levels)) + 0.5  # so that no level starts as impossible
        return (counts / ((len(seen) if weights is None else weights.sum()) + 0.5 * len(self.levels))).tolist()

    @property
    def is_number(self) -> bool:
        """Whether levels are numbers."""
        return not any(isinstance(level, str) for level in self.levels)

    @property
    def detail(self) -> str:
        """The number of levels."""
        return f"{len(self.levels)}"


class Binary(Leveled):
    """Two levels.

    Example:
        >>> Binary("truth", "bool", (False, True)).read(np.array([True, None]), [0, 1]).tolist()
        [1.0, nan]
    """

    kind: ClassVar[str] = "binary"
    form: ClassVar[str] = "binary"
    head: ClassVar[str] = "heads.OrdinalHead"
    fewest: ClassVar[str] = "2"

    @classmethod
    def infer(cls, seen: Evidence) -> Self | None:
        """Return a column of truth values, or of the numbers 0 and 1."""
        truths = seen.says == "objects" and len(seen.values) > 1 and all(isinstance(v, (bool, np.bool_)) for v in seen.values)
        if seen.says == "truth" or truths:
            return cls(seen.name, seen.dtype, (False, True))
        numbers = seen.numbers if seen.says == "numbers" and not seen.dtype.startswith("decimal") else None
        return cls(seen.name, seen.dtype, (0, 1)) if numbers is not None and set(np.unique(numbers)) == {0.0, 1.0} else None

    @classmethod
    def declare(cls, name: Name, dtype: str, rest: Sequence[str], values: np.ndarray, order: Sequence[Hashable] | None = None) -> Self:
        """Return the column with the levels that were observed, or 0 and 1, or False and True, where these are among them."""
        found = set(distinct(values, name))
        if rest or not found <= {0, 1}:
            return super().declare(name, dtype, rest, values, order)
        whole = any(not isinstance(level, bool) for level in found)
        return cls(name, dtype, (0, 1) if whole else (False, True))

    @property
    def detail(self) -> str:
        """Nothing: there are always two."""
        return ""


class Categorical(Leveled):
    """Levels without order.

    Example:
        >>> Categorical("place", "str", ("b", "a")).written(np.array([1.0])).tolist()
        ['a']
    """

    kind: ClassVar[str] = "categorical"
    form: ClassVar[str] = "categorical"
    head: ClassVar[str] = "heads.CategoryHead"
    ordered: ClassVar[bool] = False

    @classmethod
    def infer(cls, seen: Evidence) -> Self | None:
        """Return a column of a pandas Categorical without order, or of text whose values repeat: each twice on average."""
        if seen.says == "categories" and seen.values:
            return cls(seen.name, seen.dtype, tuple(seen.values))
        if seen.says == "objects" and seen.values and all(isinstance(value, str) for value in seen.values):
            levels = sorted(set(seen.values))
            if len(levels) <= min(MOST_LEVELS, len(seen.values) / 2):
                return cls(seen.name, seen.dtype, tuple(levels))
        return None

    def units(self, line: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> tuple[float, float]:
        """Return 0 and 1: a model's values are the places."""
        return 0.0, 1.0

    def cell(self, seen: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> dict[str, object]:
        """Return the levels' shares."""
        return {"shares": self._shares(seen, weights)}


class Ordinal(Leveled):
    """Ordered levels.

    Example:
        >>> Ordinal.declare("size", "str", ["s", "m", "l"], np.array(["m", "s"], object)).levels
        ('s', 'm', 'l')
    """

    kind: ClassVar[str] = "ordinal"
    form: ClassVar[str] = "ordinal[:A:B:C]"
    head: ClassVar[str] = "heads.OrdinalHead"

    @classmethod
    def infer(cls, seen: Evidence) -> Self | None:
        """Return a column of an ordered pandas Categorical."""
        return cls(seen.name, seen.dtype, tuple(seen.values)) if seen.says == "ordered" and seen.values else None

    @classmethod
    def declare(cls, name: Name, dtype: str, rest: Sequence[str], values: np.ndarray, order: Sequence[Hashable] | None = None) -> Self:
        """Return the column with the levels of the word, in their order, or those that were observed."""
        if not rest:
            return super().declare(name, dtype, rest, values, order)
        found = distinct(values, name)
        # Words of a command line are text whatever the column holds.
        by_text = {str(level): level for level in found} | {f"{level:g}": level for level in found if isinstance(level, float)}
        return cls(name, dtype, tuple(by_text[part] if part in by_text else unseen(name, part, found) for part in rest))

    @classmethod
    def arranged(cls, name: Name, found: set[Any]) -> list[Any]:
        """Return numbers by size; text has no order of its own."""
        if any(isinstance(level, str) for level in found):
            raise ValueError(f"kinds: column {name!r} is text without an order, expected ordinal:A:B:C, from lowest to highest")
        return super().arranged(name, found)

    @classmethod
    def level_words(cls, rest: Sequence[str]) -> Sequence[str]:
        """Return the levels."""
        return rest

    def typical(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the place of the median (N,), which minimizes the expected distance."""
        return np.minimum((np.cumsum(probabilities.astype(np.float64), -1) < 0.5).sum(-1), len(self.levels) - 1)
