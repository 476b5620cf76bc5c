"""Hide values of a complete table by a known rule, to see how well they are recovered."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.masking import split
from pyro_mnar.data.missingness_rules import EVEN_RULES, ROW_RULES, chances, standardized
from pyro_mnar.data.schema import Schema

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame

KINDS = ("hard", "self", "coupled", "mar", "mcar", *ROW_RULES)


def amputate(
    x: ArrayLike | DataFrame,
    kind: str,
    *,
    columns: Sequence[int] | None = None,
    rate: float | None = None,
    slope: float | None = None,
    direction: str | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return a mask (N, D), True = observed, of complete values ``x`` (N, D).

    - ``hard``: in each of ``columns`` every value above the column's mean goes missing, the rule of the not-MIWAE paper (Ipsen,
      Mattei and Frellsen, arXiv 2006.12871); with ``rate``, the share of largest values instead.
    - ``self``: P(missing) = 1 / (1 + exp(-(slope x' - c))) with x' the standardized value and c such that the mean is ``rate``.
    - ``coupled``: the same, with x' the standardized value plus that of a column that is not amputated (these are taken in turn), over
      the square root of 2.
    - ``mar``: the same, with x' the standardized mean of the columns that are not amputated.
    - ``mcar``: P(missing) = ``rate``.
    - ``dropout``: rows leave at one of ``columns``, in their order, by the value before it, and stay away; ``dropout-own``: by the
      value that is then missing. The first column is complete.
    - ``pairs``: each row shows one of two neighboring columns and may hide the other by it.
    - ``neighbor``: by the value of the next of ``columns``, seen or not.
    - ``middle``, ``tails``: values near, or far from, their column's median.
    - ``latent``: by a propensity of the row, half of which is its first principal component.
    - ``logistic``: 30 % of ``columns`` decide on the others by random weights, and have holes at random themselves.

    Args:
        x: complete numbers, array or DataFrame.
        kind: one of the above.
        columns: positions; the first half by default, all of them for ``mcar`` and from ``dropout`` on. At least two from ``dropout``
            on, but for ``middle``, ``tails`` and ``latent``.
        rate: expected share of missing values, .3 by default (not for ``hard``), in those of ``columns`` that get any; below .5 for
            ``pairs``.
        slope: log-odds per standard deviation, 3 by default; infinite for a hard rule of the kinds from ``pairs`` on; not for ``hard``
            and ``mcar``.
        direction: ``high`` (the default: large values, of what decides, go missing) or ``low``; not for ``mcar``, ``middle``, ``tails``
            and ``logistic``.
        seed: the seed of the draws; ``hard`` draws nothing.

    Raises:
        ValueError: for an unknown word, an argument the kind has no use for, holes in ``x``, or a mask that leaves a column empty.

    Example:
        >>> amputate([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]], "hard").tolist()
        [[True, True], [True, True], [False, True]]
    """
    values, complete = split(x, Schema.of(x), allow_empty=True)
    if not complete.all():
        i, j = np.argwhere(~complete)[0]
        raise ValueError(f"x: got a hole in row {i} of column {j} (both by position), expected a complete table")
    _check_words(kind, rate, slope, direction)
    chosen = _chosen(kind, columns, values.shape[1])
    sign, share, steep = -1.0 if direction == "low" else 1.0, rate or 0.3, 3.0 if slope is None else slope
    rng = np.random.default_rng(seed)
    if kind in ROW_RULES:
        mask = ROW_RULES[kind](standardized(values), chosen, share, steep, sign, rng)
    else:
        mask = np.ones(values.shape, bool)
        rest = [j for j in range(values.shape[1]) if j not in chosen]
        for place, j in enumerate(chosen):
            if kind == "hard":
                score = sign * values[:, j]
                # Rounding can put the mean of a constant column below it, where it never is.
                mask[:, j] = score <= (max(score.mean(), score.min()) if rate is None else np.quantile(score, 1 - rate))
            else:
                driver = None if kind == "mcar" else sign * _driver(kind, values, j, rest, place)
                probability = np.full(len(values), share) if driver is None else chances(driver, steep, share)
                mask[:, j] = rng.random(len(values)) >= probability
    if not mask.any(0).all():
        raise ValueError(f"column {int(mask.any(0).argmin())}: no value would be left, expected a lower rate or more rows")
    return mask


def _check_words(kind: str, rate: float | None, slope: float | None, direction: str | None) -> None:
    """Raise a ValueError for an unknown word, or an argument that the kind has no use for."""
    if kind not in KINDS:
        raise ValueError(f"kind: got {kind!r}, expected one of {', '.join(KINDS)}")
    if slope is not None and kind in ("hard", "mcar"):
        raise ValueError(f"slope: got {slope} with kind {kind!r}, expected none")
    if direction is not None and kind in ("mcar", *EVEN_RULES):
        raise ValueError(f"direction: got {direction!r} with kind {kind!r}, expected none")
    if direction not in (None, "high", "low"):
        raise ValueError(f"direction: got {direction!r}, expected high or low")
    if rate is not None and not 0 < rate < 1:
        raise ValueError(f"rate: got {rate}, expected a share between 0 and 1")
    if kind == "pairs" and rate is not None and rate >= 0.5:
        raise ValueError(f"rate: got {rate} with kind 'pairs', expected a share below .5 (a row hides at most one of two)")
    endless = kind in ROW_RULES and not kind.startswith("dropout")
    if slope is not None and (np.isnan(slope) or (np.isinf(slope) and not (endless and slope > 0))):
        raise ValueError(f"slope: got {slope}, expected a finite number")


def _chosen(kind: str, columns: Sequence[int] | None, d: int) -> list[int]:
    """Return the positions, of D, of the columns that get holes."""
    try:
        chosen = list(range(d if kind == "mcar" or kind in ROW_RULES else d // 2)) if columns is None else [index(j) for j in columns]
    except TypeError:
        raise ValueError(f"columns: got {columns!r}, expected positions from 0 to {d - 1}") from None
    if not chosen or not all(0 <= j < d for j in chosen) or len(set(chosen)) < len(chosen):
        raise ValueError(f"columns: got {chosen}, expected distinct positions from 0 to {d - 1}, at least 1")
    if kind in ("coupled", "mar") and len(chosen) == d:
        raise ValueError(f"columns: got all of them, expected at least one that stays complete for kind {kind!r}")
    if kind in ROW_RULES and len(chosen) < 2 and kind not in ("middle", "tails", "latent"):
        raise ValueError(f"columns: got {chosen}, expected at least 2 for kind {kind!r}")
    return chosen


def _driver(kind: str, values: np.ndarray, j: int, rest: Sequence[int], place: int) -> np.ndarray:
    """Return what decides on column ``j``, the ``place``-th to get holes, standardized (N,); ``rest`` are the complete columns."""
    if kind == "mar":
        return standardized(standardized(values[:, rest]).mean(1))
    own = standardized(values[:, j])
    return own if kind == "self" else (own + standardized(values[:, rest[place % len(rest)]])) / np.sqrt(2)
