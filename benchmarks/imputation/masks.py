"""The masks of the grid: what goes missing, and what a user who knows why would state."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from pandas import DataFrame

from pyro_mnar import MNARImputer
from pyro_mnar.data import amputate

Stated = dict[str, Any]


def ignorable(d: int) -> Stated:
    """Return what is true where values go missing at random; the method ``ours-none`` states it everywhere."""
    return {"mechanism": "none"}


def by_others(d: int) -> Stated:
    """Return what is true where other columns decide, seen or not."""
    return {"mechanism": "linear"}


def in_visits(d: int) -> Stated:
    """Return what is true of dropout: the columns are visits, in their order."""
    return {"order": list(range(d))} if "order" in inspect.signature(MNARImputer).parameters else ignorable(d)


def first_half_high(d: int) -> Stated:
    """Return what is true where large values of the first half go missing because of themselves, and others at random."""
    return {"direction": dict.fromkeys(range(d // 2), "high"), "ignorable": list(range(d // 2, d))}


def _one_word(direction: str) -> Callable[[int], Stated]:
    return lambda d: {"direction": direction}


class Mask(NamedTuple):
    """What goes missing and what of it can be stated.

    ``arguments`` are those of :func:`pyro_mnar.data.amputate`, ``rest`` those that it hides the second half of the columns by, where
    another rule does. ``direction`` is the one word that is true of all columns, for methods that take one (None: there is none).
    ``told`` returns, for D columns, the arguments of :class:`~pyro_mnar.MNARImputer` that state the truth (None: none of them can).
    ``test`` is the share of rows that are imputed by what was fitted to the others (0: all rows are fitted and imputed).
    """

    arguments: dict[str, Any]
    direction: str | None = None
    told: Callable[[int], Stated] | None = None
    rest: dict[str, Any] | None = None
    test: float = 0.0


_SOFT = {"kind": "self", "slope": 2.0, "rate": 0.3}
_STEEP = {"kind": "self", "slope": 6.0, "rate": 0.3}
_HIGH, _LOW, _MIDDLE, _TAILS = map(_one_word, ("high", "low", "middle", "tails"))
#: ``hard`` is the not-MIWAE paper's, ``logistic`` with its share of test rows CACTI's. Those before ``mcar`` amputate the first
#: floor(D/2) columns, ``mcar`` and all after it every column (dropout all but the first, pairs all but an odd last one).
MASKS = {
    "hard": Mask({"kind": "hard"}, "high", _HIGH),
    "coupled": Mask({"kind": "coupled", "slope": 3.0, "rate": 0.3}, "high", _HIGH),
    "soft-high": Mask(_SOFT | {"direction": "high"}, "high", _HIGH),
    "soft-low": Mask(_SOFT | {"direction": "low"}, "low", _LOW),
    "steep-high": Mask(_STEEP | {"direction": "high"}, "high", _HIGH),
    "steep-low": Mask(_STEEP | {"direction": "low"}, "low", _LOW),
    "mar": Mask({"kind": "mar", "slope": 3.0, "rate": 0.3}, None, ignorable),
    "mcar": Mask({"kind": "mcar", "rate": 0.3}, None, ignorable),
    "dropout": Mask({"kind": "dropout", "slope": 3.0, "rate": 0.3}, None, in_visits),
    "pairs": Mask({"kind": "pairs", "slope": 3.0, "rate": 0.3}, None, ignorable),
    "neighbor": Mask({"kind": "neighbor", "slope": 3.0, "rate": 0.3}, None, by_others),
    "soft-all": Mask(_SOFT | {"columns": "all"}, "high", _HIGH),
    "soft-half": Mask(_SOFT, None, first_half_high, rest={"kind": "mcar", "rate": 0.3}),
    "middle-hard": Mask({"kind": "middle", "slope": np.inf, "rate": 0.3}, None, _MIDDLE),
    "middle-soft": Mask({"kind": "middle", "slope": 3.0, "rate": 0.3}, None, _MIDDLE),
    "tails": Mask({"kind": "tails", "slope": 3.0, "rate": 0.3}, None, _TAILS),
    "latent": Mask({"kind": "latent", "slope": 3.0, "rate": 0.3}, None, by_others),
    "logistic": Mask({"kind": "logistic", "slope": 1.0, "rate": 0.3}, None, by_others, test=0.2),
}


def masked(frame: DataFrame, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a table (N, D) standardized with its full data, and its mask (N, D), True = observed: the same for every method.

    Words become the places that they have in the alphabet.
    """
    words = frame.select_dtypes(exclude="number").columns
    x = frame.assign(**{word: frame[word].astype("category").cat.codes for word in words}).to_numpy(float)
    x = (x - x.mean(0)) / x.std(0)
    d, asked = x.shape[1], MASKS[name]
    arguments = asked.arguments | ({"columns": range(d)} if asked.arguments.get("columns") == "all" else {})
    # Methods get ``seed`` itself: a mask from the same stream would share its random numbers with their draws.
    mask = amputate(x, seed=1000 + seed, **arguments)
    if asked.rest is not None:
        mask &= amputate(x, columns=range(d // 2, d), seed=2000 + seed, **asked.rest)
    return x, mask


def divided(n: int, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of N rows are fitted and which are imputed: all and all, but where a share of them is for testing."""
    if not MASKS[name].test:
        return np.arange(n), np.arange(n)
    rows = np.random.default_rng(3000 + seed).permutation(n)
    kept = n - round(MASKS[name].test * n)
    return np.sort(rows[:kept]), np.sort(rows[kept:])
