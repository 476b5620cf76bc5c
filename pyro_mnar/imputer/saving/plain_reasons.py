"""The table ``reasons_`` of a fitted imputer as a model file holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame


def reasons_to_json(reasons: DataFrame) -> dict[str, list[object]]:
    """Return the table as plain lists, by column; a number that is not known, or beyond double precision, is None."""
    plain = reasons.reset_index().to_dict("list")
    return {str(name): [None if isinstance(v, float) and not np.isfinite(v) else v for v in values] for name, values in plain.items()}


def reasons_from_json(plain: dict[str, list[Any]]) -> DataFrame:
    """Return the table that :func:`reasons_to_json` was given.

    Raises:
        TypeError, ValueError: for anything else.
    """
    from pandas import DataFrame

    words, numbers = {"column", "reason", "evidence"}, {"missing", "beyond", "mean", "ignorable_mean", "observed_mean", "observed_sd"}
    known = set(plain) - {"not_applicable"}
    if known - numbers != words or (len(known) > len(words) + 1 and not numbers <= known):
        raise ValueError(f"reasons: got {sorted(plain)!r:.100}, expected {', '.join(sorted(words | numbers))}")
    for name, values in plain.items():
        for value in values:
            if name in ("reason", "evidence") and not isinstance(value, str):
                raise ValueError(f"reasons: got {value!r:.60} as {name}, expected words")
            if name not in ("column", "reason", "evidence") and value is not None:
                finite(value, "reasons")
    frame = DataFrame({name: values for name, values in plain.items()}).set_index("column")
    return frame.astype({name: float for name in frame.columns if name not in ("reason", "evidence")})


def finite(value: Any, name: str) -> float:
    """Return a number as it is, or raise a ValueError that says whose it is not.

    Example:
        >>> finite(2, "candidates")
        2
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(float(value)):
        raise ValueError(f"{name}: got {value!r:.60}, expected a finite number")
    return value
