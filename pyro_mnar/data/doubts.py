"""What a table's columns look like that they are not taken for: codes for missing values, numbers in disguise, labels, weights.

Nothing is changed on such a guess. Each is one sentence that names the column and what settles it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.evidence import is_hole

#: Words that may well stand for a missing value.
# fmt: off
_WORDS = frozenset({
    "?", "-", "--", "---", ".", "..", "x", "*", "unknown", "unk", "missing", "n.a.", "n.a", "na", "n/a", "nil", "none", "null",
    "nan", "refused", "dk", "tbd", "blank", "empty", "undefined", "unspecified", "nodata", "undetermined", "-9", "-99", "-999",
    "-9999", "99", "999", "9999", "#value!", "#ref!", "#div/0!", "not available", "not applicable", "not known", "not stated",
    "not recorded", "not reported", "no data", "no answer", "don't know",
})
# fmt: on
_DISGUISED = re.compile(
    r"[+-]?(\d+|\d*[.,]\d+)|[+-]?\d{1,3}([,. ']\d{3})+([.,]\d+)?|[+-]?\d+([.,]\d+)?\s*(%|[A-Za-zµ°€£$¥/]+\d?)"
    r"|[€£$¥]\s*\d[\d.,]*|[<>]=?\s*\d[\d.,]*"
)
_LABEL = re.compile(
    r"(^|[_. ])(id|nr|no|key|index|uuid|code|zip|postcode|ticket)$|^(id|index|row)($|[_. ])|[a-z]I[dD]$|^Unnamed: 0$", re.IGNORECASE
)
_WEIGHT = re.compile(r"^(wt|wgt|w|fnlwgt|weights?)$|(sampl\w*|survey|design|person|p|f)_?(weights?|wgt|wt)$|_(wgt|wt)$", re.IGNORECASE)


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
    found = []
    for j, column in enumerate(columns):
        seen, known = values[mask[:, j], j], column.name in (declared or {})
        if column.levels:
            found += [] if known else _of_levels(column, seen)
        elif len(seen):
            found += _of_numbers(column, seen, known)
    return found


def _of_levels(column: Column, seen: np.ndarray) -> list[str]:
    found, texts = [], [level for level in column.levels if isinstance(level, str)]
    for k, level in enumerate(column.levels):
        if isinstance(level, str) and (level.strip().lower() in _WORDS or not level.strip()):
            found.append(
                f"column {column.name!r}: {level!r} ({int((seen == k).sum())} times) is taken for a category and may be a code for "
                f"missing (--missing {level!r}; in Python, NaN in its place)"
            )
    plain = [level for level in texts if level.strip().lower() not in _WORDS]
    if len(plain) > 1 and sum(bool(_DISGUISED.fullmatch(level.strip())) for level in plain) > 0.8 * len(plain):
        found.append(
            f"column {column.name!r}: text such as {plain[0]!r} looks like numbers and is taken for categories (make it numbers, with "
            "--decimal or --separator where the file has others; or declare it categorical or ordinal)"
        )
    return found


def _of_numbers(column: Column, seen: np.ndarray, known: bool) -> list[str]:
    codes = codes_in(seen, column.may_be_code)
    name, found = column.name, []
    if codes:
        said = ", ".join(
            f"{column.in_words(code, 10)} ({count} times)" if count > 1 else column.in_words(code, 10) for code, count in codes
        )
        words = " ".join(f"--missing {column.in_words(code, 10)}" for code, _ in codes)
        found.append(f"column {name!r}: {said} may be a code for missing, far from the others ({words}; in Python, NaN in its place)")
    if known or not column.is_number:
        return found
    different = np.unique(seen)
    whole = bool((different == np.rint(different)).all())
    if whole and len(seen) >= 20 and len(different) == len(seen):
        steps = np.diff(different)
        if (steps == steps[0]).all() or _LABEL.search(str(name)):
            found.append(f"column {name!r}: every value differs, as those of labels or row numbers do (leave it out of the model)")
    elif _WEIGHT.search(str(name)) and seen.min() > 0:
        found.append(
            f"column {name!r}: may be a weight, which is imputed with like any other column (leave it out, or declare its kind)"
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
    different, counts = np.unique(seen, return_counts=True)
    for end in (slice(None), slice(None, None, -1)):
        values, often = different[end], counts[end]
        # As many as four codes beside each other, such as -99, -98 and -97.
        for size in range(1, min(5, len(values) - 2)):
            group, rest = values[:size], values[size:]
            width, gap = abs(rest[-1] - rest[0]), abs(rest[0] - group[-1])
            if all(coded(value, count) for value, count in zip(group, often, strict=False)) and gap > 0.5 * width:
                return list(zip(group.tolist(), often[:size].tolist(), strict=True))
            if size == 1 and group[0] != 0 and often[0] >= max(3, 0.02 * len(seen)) and gap > 2 * width:
                return [(float(group[0]), int(often[0]))]
    return []


def impossible(columns: Sequence[Column], values: np.ndarray, mask: np.ndarray, filled: np.ndarray) -> list[str]:
    """Return a sentence for each column whose filled values cannot be, as what was observed has it.

    Args:
        columns: of the table.
        values: (N, D), observed.
        mask: (N, D) bool, True = observed.
        filled: (..., N, D), as they come back.
    """
    found = []
    for j, column in enumerate(columns):
        seen, own = values[mask[:, j], j], filled[..., ~mask[:, j], j]
        if not column.may_stray or len(seen) < 20 or not own.size:
            continue
        if seen.min() >= 0 and own.min() < 0:
            word = "positive" if seen.min() > 0 else "bounded:0:HIGH or semicontinuous:0"
            some = f"{int((own < 0).sum())} of {own.size} imputed values are below 0, where no observed one is"
            found.append(f"column {column.name!r}: {some}; declare it {word} (--kind, kinds=) if it cannot be")
        different = np.unique(seen)
        if len(different) > 2 and (different == np.rint(different)).all():
            if (own != np.rint(own)).any():
                found.append(
                    f"column {column.name!r}: imputed values lie between whole numbers, which all that were observed are; declare it "
                    "count or ordinal, or give it a dtype of whole numbers"
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
    first: Any = None
    for value in values:
        if is_hole(value):
            continue
        if first is None:
            first = value
        elif type(value) is not type(first) or value != first:
            return False, None
    plain = first.item() if isinstance(first, np.generic) else first
    good = isinstance(plain, (str, bool, int)) or (isinstance(plain, float) and np.isfinite(plain))
    return (True, plain) if good else (False, None)
