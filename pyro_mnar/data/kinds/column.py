"""What a kind of column is asked: the contract of the classes in this folder.

A column's values have three forms. In the table they are what the user has: numbers, dates, words. As *numbers* they are float64 in the
table's units, days since 1970 for dates, places 0, 1, ... for levels. On the *line* they are where a model's law lives, such as
logarithms; a model's column is these, less a center, over a scale.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import numpy as np

from pyro_mnar.data.kinds.evidence import Evidence, Name

if TYPE_CHECKING:
    from pandas import Series

_CODE = re.compile(r"-?9\d{0,2}|-?9+|-?8+|-?7+|-1")


@dataclass(frozen=True)
class Column:
    """One column: its name (its position, for arrays), its dtype's name, and its levels or bounds where its kind has such.

    A kind is a subclass; what is here holds for most. Values that methods are given are those that were observed, unless they say
    otherwise.

    Attributes:
        kind: the word that declares it.
        form: the word with what follows it, in brackets where that may be left out.
        head: what models it, as the file and the class in it of :mod:`pyro_mnar.networks`: by name, since kinds lie below.
        real: whether values have a density.
        warped: whether a warp bends the margin of values with a density.
        transformed: whether its line is a logarithm or log-odds.
        ordered: whether values have an order, so that large ones or small ones can go missing.
        circular: whether values wrap around: a model's are angles in radians, of which the mean is a direction.
        linear: whether means on the line are means in the table's units.
        may_stray: whether values may be imputed that no observed value is like: below 0, between whole numbers.
        reads_floats: whether floats of a frame are its numbers as they stand.
        about: what a mean is in, for labels.
    """

    kind: ClassVar[str]
    form: ClassVar[str]
    head: ClassVar[str] = "heads.NormalHead"
    real: ClassVar[bool] = False
    warped: ClassVar[bool] = True
    transformed: ClassVar[bool] = False
    ordered: ClassVar[bool] = True
    circular: ClassVar[bool] = False
    linear: ClassVar[bool] = True
    may_stray: ClassVar[bool] = False
    reads_floats: ClassVar[bool] = False
    about: ClassVar[str] = ""

    name: Name
    dtype: str
    levels: tuple[Any, ...] = ()
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.levels or self.bounds is not None:
            self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError(f"kind: got levels {self.levels!r:.60} and bounds {self.bounds!r} for {self.kind} column {self.name!r}")

    @property
    def ends(self) -> tuple[float, float]:
        """The bounds of a kind that has them."""
        if self.bounds is None:
            self._refuse()
        return self.bounds

    @classmethod
    def declare(cls, name: Name, dtype: str, rest: Sequence[str], values: np.ndarray, order: Sequence[Hashable] | None = None) -> Self:
        """Return the column that a word declares.

        Args:
            name: the column's.
            dtype: the name of its dtype.
            rest: what follows the kind in the word, split at colons.
            values: (N,) objects or numbers, for levels and ends to be read from.
            order: levels in their order, where the dtype has one.

        Raises:
            ValueError: where the word or the values are none of the kind.
        """
        if rest:
            cls.refuse_word(name, rest, f"nothing after {cls.kind}")
        return cls(name, dtype)

    @classmethod
    def refuse_word(cls, name: Name, rest: Sequence[str], expected: str) -> NoReturn:
        """Raise the ValueError of a word that declares nothing."""
        raise ValueError(f"kinds: got {':'.join([cls.kind, *rest])!r} for column {name!r}, expected {expected}") from None

    @classmethod
    def infer(cls, seen: Evidence) -> Self | None:
        """Return the column where what was seen is of this kind, and else None; by default it is only declared."""
        return None

    @classmethod
    def level_words(cls, rest: Sequence[str]) -> Sequence[str]:
        """Return which words, of those that follow the kind, are values of the table and so no holes."""
        return ()

    def plain(self) -> Column:
        """Return the column as one of plain numbers, for a model that knows no other, where it can be."""
        return self

    def read_series(self, series: Series) -> np.ndarray:
        """Return a pandas Series (N,) as numbers, NaN in the holes."""
        # Never through NumPy's own conversion, which would take '1.5' and True for numbers.
        return self.read(series.to_numpy(dtype=object, na_value=np.nan), series.index)

    def read(self, values: np.ndarray, labels: Iterable[Hashable]) -> np.ndarray:
        """Return an array (N,) of numbers or objects, with its rows' labels, as numbers, NaN in the holes.

        Raises:
            ValueError: naming the row of a value that is none of the kind.
        """
        raise NotImplementedError

    def fill(self, series: Series, holes: np.ndarray, values: np.ndarray) -> Series:
        """Return a pandas Series (N,) with what numbers ``values`` stand for at ``holes`` (N,), all True being a column that is missing
        altogether; its dtype stays where it can hold them."""
        raise NotImplementedError

    def written(self, values: np.ndarray) -> np.ndarray:
        """Return what numbers stand for in an array."""
        return values

    def outside(self, numbers: np.ndarray) -> tuple[np.ndarray, str]:
        """Return which numbers (N,), NaN in the holes, are none of the kind, and what is expected."""
        return np.zeros(len(numbers), bool), ""

    def check(self, numbers: np.ndarray, labels: Sequence[Hashable]) -> None:
        """Raise a ValueError, naming the row, where numbers (N,), NaN in the holes, are not of the kind."""
        wrong, expected = self.outside(numbers)
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(f"column {self.name!r}: got {numbers[i]:g} in row {labels[i]}, expected {expected} for kind {self.kind}")

    def may_be_far(self, values: np.ndarray) -> np.ndarray:
        """Return which numbers (n,) a model knows by how far out they are, and not by what they are."""
        return np.ones(len(values), bool)

    def on_line(self, values: np.ndarray) -> np.ndarray:
        """Return numbers (n,) on the line."""
        return values

    def off_line(self, line: np.ndarray) -> np.ndarray:
        """Return numbers (...) in the table's units, each a possible value, of those on the line."""
        return self.inside(line)

    def inside(self, numbers: np.ndarray) -> np.ndarray:
        """Return the nearest possible values of numbers (...) in the table's units, such as means."""
        return numbers

    def step(self, seen: np.ndarray) -> float:
        """Return how far apart possible numbers stand, given those that were observed (n,); 0 of a continuum."""
        decimals = re.search(r"decimal\d*\(\d+, (\d+)\)", self.dtype)
        if decimals:
            return 10.0 ** -int(decimals[1])
        whole = self.dtype == "object" and len(seen) > 0 and bool((seen == np.rint(seen)).all())
        return 1.0 if "int" in self.dtype.lower() or self.levels or whole else 0.0

    def between(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return between which places on the line the possible numbers from ``low`` to ``high`` (n,) stand, infinite ones for no end.

        Of values with a probability neither place is one.
        """
        if not self.real:
            return low - 0.5, high + 0.5
        found = []
        for end in (low, high):
            finite = np.isfinite(end)
            found.append(np.where(finite, self.on_line(np.where(finite, end, self.inside(np.ones(len(end))))), end))
        return found[0], found[1]

    def units(self, line: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> tuple[float, float]:
        """Return center and scale of a model's column, given values on the line (n,) with their mean and standard deviation.

        Rows count for ``weights`` (n,), None being one each; also below.
        """
        return center, scale

    def log_jacobian(self, values: np.ndarray, scale: float) -> np.ndarray:
        """Return what to add to log densities of a model's column for those in the table's units, (n,); 0 of probabilities."""
        return np.full(len(values), -np.log(scale) if self.real else 0.0)

    def summand(self, x: np.ndarray, center: float, scale: float) -> np.ndarray:
        """Return what a mean is taken of, numbers that are linear in the table's, of a model's values (...)."""
        return x

    def mean(self, found: np.ndarray, center: float, scale: float) -> np.ndarray:
        """Return means in the table's units, of counts not rounded, given those of :meth:`summand`."""
        return center + scale * found

    def typical(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the place of the level (N,) that answers for the whole posterior, given probabilities (N, V) of the levels."""
        raise NotImplementedError

    def cell(self, seen: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> dict[str, object]:
        """Return what the head that models the column must know beside its place, by argument, plain enough for a model file.

        Args:
            seen: (n,) observed numbers.
            center, scale: of a model's column.
            weights: (n,) of their rows.
        """
        return {}

    def cut_share(self, sign: float, values: np.ndarray, mask: np.ndarray, weights: np.ndarray | None = None) -> float:
        """Return which share of a continuum is cut off where the largest values (``sign`` 1) or smallest (-1) are missing.

        Args:
            sign: of the end.
            values: (N,) numbers.
            mask: (N,) True = observed.
            weights: (N,) of the rows.
        """
        return float(1 - np.average(mask, weights=weights))

    @property
    def is_number(self) -> bool:
        """Whether one can calculate with the values as they stand in the table."""
        return True

    @property
    def detail(self) -> str:
        """What is said of it in brackets beside its name; empty for most."""
        return ""

    def in_words(self, number: float, digits: int = 5) -> str:
        """Return a number in the table's units, such as a mean, as it is printed."""
        return f"{number:.{digits}g}"

    def may_be_code(self, value: float, count: int) -> bool:
        """Return whether an extreme value, there so many times, looks like a code for a missing one."""
        word = f"{value:.0f}"
        return value == round(value) and bool(_CODE.fullmatch(word)) and (len(word) > 1)
