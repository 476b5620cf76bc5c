r"""How well an imputer predicts cells that were seen, as a scorer of scikit-learn's: observed cells of a fold are hidden and drawn.

The score of a cell with value y and draws X, X' of it is E d(X, y) - E d(X, X') / 2, without bias in the number of draws, for a
distance d: |x - y| between numbers and between places of ordered levels (the continuous ranked probability score, which for levels is
the ranked probability score), 0 or 1 between categories (half of Brier's score), the chord between directions. All are proper
(Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", Journal of the American Statistical Association 102,
2007). Each is divided by its column's spread, the square root of E d(Y, Y')^2 / 2 over the column's values: of numbers that is their
standard deviation. So a column of zeros and ones has one score whether it is written in numbers or in words.

Which cells are hidden hangs on no value. An imputer that supposes that large values go missing draws large ones for them, and is wrong
here though it may be right where values are missing. So the score compares what predicts values (sizes, steps, kinds, methods that take
missingness as ignorable), and never reasons why values are missing: of these held-out cells know nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.analysis.scores import brier, crps, energy_score
from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.layout import as_pandas
from pyro_mnar.data.schema import is_frame
from pyro_mnar.imputer.tables.given import given

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame


def held_out_crps(
    estimator: Any, X: ArrayLike | DataFrame, y: object = None, *, share: float = 0.1, draws: int = 40, seed: int = 0
) -> float:
    """Return minus the mean score of observed cells that were hidden and imputed, each in units of its column's spread.

    Higher is better, 0 the best; columns that do not vary here, and those of which ``limits`` are known, are left out. For
    ``GridSearchCV(..., scoring=held_out_crps)``; ``functools.partial`` sets what follows ``y``.

    Args:
        estimator: fitted: an :class:`~pyro_mnar.MNARImputer`, which draws; another imputer, whose point is one draw; or a pipeline, of
            which the first step that draws is meant, and else the last one. Cells are hidden before the steps before it.
        X: (N, D), a frame or an array, with NaN in the holes.
        y: ignored.
        share: the part of the observed cells that is hidden, above 0 and below 1.
        draws: the number of draws of each hidden cell.
        seed: the seed of the choice of cells.

    Raises:
        ValueError: for arguments out of range, and where nothing is hidden that an imputer could fill.

    Example:
        >>> from sklearn.impute import SimpleImputer
        >>> from sklearn.model_selection import cross_val_score
        >>> x = np.random.default_rng(0).normal(size=(200, 2))
        >>> scores = cross_val_score(SimpleImputer(), x, scoring=held_out_crps, cv=2)
        >>> bool((abs(scores + 0.8) < 0.2).all())
        True
    """
    del y
    if not 0 < share < 1:
        raise ValueError(f"share: got {share!r:.40}, expected a number above 0 and below 1")
    if draws < 1:
        raise ValueError(f"draws: got {draws!r:.40}, expected at least 1")
    head, imputer = _parts(estimator)
    table = as_pandas(X)
    limited = {limit.column for limit in getattr(getattr(imputer, "codec_", None), "limits", ())}
    concealed = _concealed(table, limited, share, seed)
    full, part = (table, concealed) if head is None else (as_pandas(head.transform(one)) for one in (table, concealed))
    if hasattr(imputer, "impute"):
        seen, left = given(imputer, full), given(imputer, part)
        columns, values, mask = seen.codec.columns, seen.values, seen.mask
        hidden, drawn = mask & ~left.mask, imputer.impute(part, draws=draws).draws.numpy()
    else:
        codec, values, mask = TableCodec.learn(full, plain=True)
        columns, hidden = codec.columns, mask & ~codec.read(part)[1]
        drawn = codec.read(_like(full, imputer.transform(part)))[0][None]
    total, count = 0.0, 0
    for j, column in enumerate(columns):
        cells, spread = hidden[:, j], _spread(column, values[mask[:, j], j])
        if cells.any() and spread > 0:
            total += _score(column, drawn[:, cells, j], values[cells, j]) / spread * int(cells.sum())
            count += int(cells.sum())
    if not count:
        raise ValueError(f"share: got {share}, which hides no cell that varies and that the imputer fills, expected more")
    return -total / count


def _parts(estimator: Any) -> tuple[Any, Any]:
    """Return the steps before the one that imputes, or None, and that one."""
    steps = list(getattr(estimator, "named_steps", {}).values())
    if not steps:
        return None, estimator
    at = next((i for i, step in enumerate(steps) if hasattr(step, "impute")), len(steps) - 1)
    return estimator[:at] if at else None, steps[at]


def _concealed(table: DataFrame | np.ndarray, limited: set[Any], share: float, seed: int) -> DataFrame | np.ndarray:
    """Return the table with a share of its observed cells missing."""
    import pandas as pd

    frame = table if is_frame(table) else pd.DataFrame(np.asarray(table))
    free = frame.notna().to_numpy() & np.array([name not in limited for name in frame.columns])
    places = np.flatnonzero(free)
    chosen = np.zeros(free.size, dtype=bool)
    chosen[np.random.default_rng(seed).choice(places, round(share * len(places)), replace=False)] = True
    holes = chosen.reshape(free.shape)
    columns = {}
    for j, name in enumerate(frame.columns):
        own = frame[name]
        # Where a dtype knows no hole, the one that does.
        columns[name] = (own.astype(own.convert_dtypes().dtype) if own.dtype == bool else own).mask(holes[:, j])
    hidden = pd.DataFrame(columns, index=frame.index)
    return hidden if is_frame(table) else hidden.to_numpy()


def _like(full: DataFrame | np.ndarray, completed: Any) -> DataFrame | np.ndarray:
    table = as_pandas(completed)
    if is_frame(full) and not is_frame(table) and table.shape == full.shape:
        import pandas as pd

        return pd.DataFrame(table, columns=full.columns, index=full.index)
    return table


def _is_category(column: Column) -> bool:
    return bool(column.levels) and not column.ordered


def _direction(column: Column, values: np.ndarray) -> np.ndarray:
    turned = column.on_line(values) / column.units(values, 0.0, 1.0)[1]
    return np.stack([np.cos(turned), np.sin(turned)], -1)


def _score(column: Column, draws: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean score of draws (M, C) of a column's cells (C,)."""
    if column.circular:
        return energy_score(_direction(column, draws), _direction(column, truth), np.zeros((len(truth), 2), dtype=bool))
    return brier(draws, truth) / 2 if _is_category(column) else crps(draws, truth)


def _spread(column: Column, seen: np.ndarray) -> float:
    """Return the root of half the mean squared distance of two of a column's values (n,)."""
    if column.circular:
        return float(np.sqrt(_direction(column, seen).var(0).sum())) if len(seen) else 0.0
    if _is_category(column):
        shares = np.unique(seen, return_counts=True)[1] / max(1, len(seen))
        return float(np.sqrt((1 - np.square(shares).sum()) / 2)) if len(seen) else 0.0
    return float(seen.std()) if len(seen) else 0.0
