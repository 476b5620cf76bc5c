"""What a table's columns look like that they are not taken for: codes for missing values, numbers in disguise, labels, weights.

Nothing is changed on such a guess. Each is one sentence that names the column and what settles it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np

from pyro_mnar.data.disguises import disguised, kind_option
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.evidence import is_hole
from pyro_mnar.data.kinds.numbers import LARGEST_COUNT
from pyro_mnar.data.texts import number_in

#: Words that may well stand for a missing value.
# fmt: off
_WORDS = frozenset({
    "?", "-", "--", "---", ".", "..", "x", "*", "unknown", "unk", "missing", "n.a.", "n.a", "na", "n/a", "nil", "none", "null",
    "nan", "refused", "dk", "tbd", "blank", "empty", "undefined", "unspecified", "nodata", "undetermined", "-9", "-99", "-999",
    "-9999", "99", "999", "9999", "#value!", "#ref!", "#div/0!", "not available", "not applicable", "not known", "not stated",
    "not recorded", "not reported", "no data", "no answer", "don't know", "prefer not to say", "no response", "withheld", "n/k",
    "k.a.", "k. a.", "keine angabe", "unbekannt", "weiß nicht", "inconnu", "sin dato", "desconocido", "n/d", "s/d", "sconosciuto",
})
# fmt: on
_LABEL = re.compile(
    r"(^|[_. ])(id|nr|no|num|number|key|index|uuid|code|zip|postcode|ticket|serial|barcode|phone|ssn)$"
    r"|^(id|index|row|case|record)($|[_. ])|[a-z]I[dD]$|^Unnamed: 0$"
    r"|^(patient|subject|customer|person|respondent|participant|household|user|account|sample)s?$",
    re.IGNORECASE,
)
_WEIGHT = re.compile(
    r"^(wt|wgt|w|fnlwgt|weights?|wt(int|mec|fa|dr|saf)\w*|(per|hh|asec)wt|[afip]weight)$|(sampl\w*|survey|design|person|p|f)_?(weights?|wgt|wt)$"
    r"|_(wgt|wt)$",
    re.IGNORECASE,
)
#: Whole numbers that are no more different ones than these are more often codes or grades than amounts.
_FEW = 10
#: Values from which on something can be said of all of them.
_ENOUGH = 10


def doubts(
    columns: Sequence[Column], values: np.ndarray, mask: np.ndarray, declared: Mapping[Hashable, str] | None = None
) -> list[str]:
    """Return a sentence for each column that looks like something else.

    Args:
        columns: of the table.
        values: (N, D), levels by their places.
        mask: (N, D) bool, True = observed.
        declared: words for columns that were declared, which are believed.

    Example:
        >>> from pyro_mnar.data.kinds import Continuous
        >>> age = np.r_[20.0 + np.arange(40) % 7, [-99.0] * 5, np.zeros(5)][:, None]
        >>> mask = np.r_[np.ones(45, bool), np.zeros(5, bool)][:, None]
        >>> doubts([Continuous("age", "float64")], age, mask)[0][:51]
        "column 'age': -99 (5 times) may be a code for missi"
    """
    found: list[str] = []
    few: dict[Hashable, np.ndarray] = {}
    for j, column in enumerate(columns):
        seen, known = values[mask[:, j], j], column.name in (declared or {})
        if column.levels:
            found += [] if known else _of_levels(column, seen)
        elif len(seen):
            own = _of_numbers(column, seen, known)
            found += own
            if not (own or known or mask[:, j].all()) and _are_few(column, seen):
                few[column.name] = np.unique(seen)
    return found + _of_few(few)


def _of_levels(column: Column, seen: np.ndarray) -> list[str]:
    found, texts = [], [level for level in column.levels if isinstance(level, str)]
    numbers = [level for level in texts if number_in(level) is not None]
    for k, level in enumerate(column.levels):
        odd = level in numbers and len(numbers) < 0.5 * len(texts)
        if isinstance(level, str) and (odd or _may_be_hole(level)):
            found.append(
                f"column {column.name!r}: {level!r} ({int((seen == k).sum())} times) is taken for a category and may be a code for "
                f"missing ({_stated(column.name, [level])})"
            )
    plain = [level for level in texts if not _may_be_hole(level)]
    said = disguised(column.name, plain)
    if said is not None:
        found.append(f"column {column.name!r}: text such as {plain[0]!r} is taken for categories and {said}")
    return found


def _may_be_hole(level: str) -> bool:
    word = level.strip(" ()[]<>").lower()
    return word in _WORDS or not any(letter.isalnum() or letter in "+<>=" for letter in level)


def _stated(name: Hashable, values: Sequence[object]) -> str:
    """Return how values are stated to stand for missing ones."""
    options = " ".join(f"--missing '{name}={value}'" for value in values)
    return f"{options}; in Python missing={{{name!r}: {list(values)!r}}}"


def _are_few(column: Column, seen: np.ndarray) -> bool:
    """Return whether values are whole numbers that are few, and are imputed as amounts."""
    different = np.unique(seen)
    return column.may_stray and 2 <= len(different) <= _FEW <= len(seen) / 2 and bool((different == np.rint(different)).all())


def _of_few(few: Mapping[Hashable, np.ndarray]) -> list[str]:
    """Return one sentence on all columns of few whole numbers, by name the different ones."""
    if not few:
        return []
    first, different = next(iter(few.items()))
    listed = ", ".join(f"{value:g}" for value in different[:3]) + (", ..." if len(different) > 3 else "")
    which = f"column {first!r}: whole numbers {listed}"
    if len(few) > 1:
        which = f"columns {', '.join(map(repr, few))}: few whole numbers each (such as {listed})"
    return [
        f"{which} are taken for amounts ({kind_option(first, 'categorical')} if they are codes, ordinal if grades, count if they "
        "count; in Python kinds)"
    ]


def _of_numbers(column: Column, seen: np.ndarray, known: bool) -> list[str]:
    codes = codes_in(seen, column.may_be_code)
    name, found = column.name, []
    if codes:
        words = [column.in_words(code, 10) for code, _ in codes]
        said = ", ".join(f"{word} ({count} times)" if count > 1 else word for word, (_, count) in zip(words, codes, strict=True))
        values = [number_in(word) if number_in(word) is not None else word for word in words]
        found.append(f"column {name!r}: {said} may be a code for missing, far from the others ({_stated(name, values)})")
    if known or not column.is_number:
        return found
    different = np.unique(seen)
    whole = bool((different == np.rint(different)).all())
    if whole and len(seen) >= 20 and len(different) == len(seen):
        steps = np.diff(different)
        if (steps == steps[0]).all() or _LABEL.search(str(name)):
            found.append(
                f"column {name!r}: every value differs, as those of labels or row numbers do (leave it out: --columns, or drop it)"
            )
    elif _WEIGHT.search(str(name)) and seen.min() > 0:
        found.append(
            f"column {name!r}: may be a weight, which is imputed with like any other column (leave it out: --columns, or drop it; "
            "or declare its kind)"
        )
    return found


def codes_in(seen: np.ndarray, coded: Callable[[float, int], bool]) -> list[tuple[float, int]]:
    """Return values that may be codes, with how often each is there: extremes that look like one, or repeat, far from the others.

    Args:
        seen: (n,) numbers.
        coded: whether an extreme value, there so many times, looks like one.

    Example:
        >>> codes_in(np.array([20.0, 21, 22, 23, 24, 25, 999, 999]), lambda value, count: value == 999)
        [(999.0, 2)]
    """
    found: list[tuple[float, int]] = []
    for _ in range(3):  # at both ends, such as -99 and 999, and one beyond another, such as 99 and 9999
        found += _code_of(seen[~np.isin(seen, [value for value, _ in found])], coded)
    return found


def _code_of(seen: np.ndarray, coded: Callable[[float, int], bool]) -> list[tuple[float, int]]:
    """Return the codes at one end of values (n,), or none."""
    different, counts = np.unique(seen, return_counts=True)
    for end in (slice(None), slice(None, None, -1)):
        values, often = different[end], counts[end]
        # As many as four codes beside each other, such as -99, -98 and -97.
        for size in range(1, min(5, len(values))):
            group, rest = values[:size], values[size:]
            with np.errstate(over="ignore"):
                width, gap = abs(rest[-1] - rest[0]), abs(rest[0] - group[-1])
            far = gap > 0.5 * width if width or abs(group).min() >= 9 else False
            if all(coded(value, count) for value, count in zip(group, often, strict=False)):
                below = group.max() < 0 <= rest.min() and often[:size].min() > 1 and len(rest) > 2
                if (far and len(rest) > 2) or below or (far and abs(group).min() >= 9):
                    return list(zip(group.tolist(), often[:size].tolist(), strict=True))
            if size == 1 and len(rest) > 2 and group[0] != 0 and often[0] >= max(3, 0.02 * len(seen)) and gap > 2 * width:
                return [(float(group[0]), int(often[0]))]
        digit = values[0] if len(values) > 2 else 0.0
        # A single 7, 8 or 9 after few others, as in 1, 2, 9.
        if digit in (7.0, 8.0, 9.0) and len(values) <= 6 and values[0] - values[1] >= max(3.0, values[1] - values[-1]) and often[0] > 1:
            return [(float(digit), int(often[0]))]
    return []


def may_be_impossible(column: Column, seen: np.ndarray) -> bool:
    """Return whether :func:`impossible` may say something of a column, ``seen`` (N,) True = observed."""
    return column.may_stray and _ENOUGH <= int(seen.sum()) < len(seen)


def impossible(columns: Sequence[Column], values: np.ndarray, mask: np.ndarray, filled: np.ndarray) -> list[str]:
    """Return a sentence for each column whose filled values cannot be, as what was observed has it.

    Args:
        columns, values, mask: of the table, (N, D), with True = observed.
        filled: (M, N, D), as they come back.
    """
    found = []
    for j, column in enumerate(columns):
        seen, own = values[mask[:, j], j], filled[..., ~mask[:, j], j]
        if not may_be_impossible(column, mask[:, j]):
            continue
        if seen.min() >= 0 and own.min() < 0:
            word = "positive" if seen.min() > 0 else "bounded:0:HIGH or semicontinuous:0"
            some = f"{int((own < 0).sum())} of {own.size} imputed values are below 0, where no observed one is"
            instead = f"declare it {word} ({kind_option(column.name, word)}, kinds=) if it cannot be"
            found.append(f"column {column.name!r}: {some}; {instead}")
        different = np.unique(seen)
        if len(different) > 1 and (different == np.rint(different)).all():
            if (own != np.rint(own)).any():
                declare = "declare it count or ordinal, or " if seen.min() >= 0 and seen.max() <= LARGEST_COUNT else ""
                found.append(
                    f"column {column.name!r}: imputed values lie between whole numbers, which all that were observed are; {declare}"
                    "make it a column of whole numbers (dtype Int64; 2 for 2.0 in a CSV)"
                )
            elif len(different) <= 10 and ((own < seen.min()) | (own > seen.max())).any():
                found.append(
                    f"column {column.name!r}: imputed values lie beyond the grades {seen.min():g} to {seen.max():g}; declare it ordinal"
                )
    return found


def constant(values: Iterable[object]) -> tuple[bool, object]:
    """Return whether objects (N,) that are no holes are all alike, and what they are.

    Example:
        >>> constant(np.array(["x", None, "x"], dtype=object)), constant(np.array([1.0, 2.0]))
        ((True, 'x'), (False, None))
    """
    first: object = None
    for value in values:
        if is_hole(value):
            continue
        if isinstance(value, np.ndarray):
            return False, None
        if first is None:
            first = value
        elif type(value) is not type(first) or value != first:
            return False, None
    plain = first.item() if isinstance(first, np.generic) else first
    good = isinstance(plain, (str, bool, int)) or (isinstance(plain, float) and np.isfinite(plain))
    return (True, plain) if good else (False, None)
