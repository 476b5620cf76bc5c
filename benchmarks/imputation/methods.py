"""The methods of the grid, in one table: function, number of seeds, and the masks on which they run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from benchmarks.imputation import baselines, censored_normal, peers, published
from pyro_mnar import MNARImputer


def ours(
    values: np.ndarray,
    seed: int,
    draws: int = 200,
    direction: str | None = None,
    train: np.ndarray | None = None,
    steps: int | None = None,
    stated: Mapping[str, Any] = MappingProxyType({}),
) -> baselines.Completed:
    """Impute with the library's defaults and what is ``stated``; with ``steps``, for a quick look, two members of so many steps."""
    shorter = {} if steps is None else {"steps": steps, "members": 2}
    imputer = MNARImputer(random_state=seed, progress=False, **shorter, **stated)
    result = imputer.fit(values if train is None else train).impute(values, draws=draws)
    return _widened(imputer, values, result.completed.numpy()), _widened(imputer, values, result.draws.numpy())


def ours_told(
    values: np.ndarray,
    seed: int,
    draws: int = 200,
    direction: str | None = None,
    train: np.ndarray | None = None,
    steps: int | None = None,
    told: dict[str, Any] | None = None,
) -> baselines.Completed:
    """Impute with the library's defaults and what is true of the mask stated: ``told``, by default the direction."""
    return ours(values, seed, draws, train=train, steps=steps, stated={"direction": direction} if told is None else told)


def ours_limited(
    values: np.ndarray,
    seed: int,
    draws: int = 200,
    direction: str | None = None,
    train: np.ndarray | None = None,
    steps: int | None = None,
) -> baselines.Completed:
    """Impute with the library's defaults, told that missing values lie beyond the outermost one that was seen.

    Of a column whose values that are left do not vary there is no saying how far beyond, and nothing is told.
    """
    limit, seen = ("<", "smallest") if direction == "low" else (">", "largest"), values if train is None else train
    told = np.flatnonzero(np.isnan(seen).any(0) & (np.nanmax(seen, 0) > np.nanmin(seen, 0)))
    return ours(values, seed, draws, train=train, steps=steps, stated={"limits": {int(j): limit for j in told}})


def _widened(imputer: MNARImputer, values: np.ndarray, completed: np.ndarray) -> np.ndarray:
    """Return the whole table's width of ``completed`` known columns (..., N, known): columns that do not vary hold their constant."""
    layout = imputer.codec_.layout
    if completed.shape[-1] == values.shape[1]:
        return completed
    whole = np.array(np.broadcast_to(values, (*completed.shape[:-1], values.shape[1])))
    for j, value in layout.constants:
        whole[..., np.isnan(values[:, j]), j] = value
    whole[..., list(layout.known)] = completed
    return whole


class Method(NamedTuple):
    """A method and where it runs.

    ``known`` methods need a direction and are left out where no one word is true; ``long`` ones run on the masks ``hard`` and ``mcar``
    alone, ``cut`` ones on ``hard``, which alone makes true what they suppose.
    """

    function: Callable[..., baselines.Completed]
    seeds: int = 5
    known: bool = False
    long: bool = False
    cut: bool = False

    def takes(self, argument: str) -> bool:
        """Return whether the function has an argument: ``train``, ``told`` or ``steps``."""
        return argument in inspect.signature(self.function).parameters


METHODS = {
    "mean": Method(baselines.mean),
    "zero": Method(baselines.zero),
    "constant": Method(baselines.constant, known=True),
    "knn": Method(baselines.knn),
    "mice": Method(baselines.mice),
    "missforest": Method(baselines.missforest, seeds=2),
    "normal": Method(censored_normal.normal),
    "censored-normal": Method(censored_normal.censored_normal, known=True),
    "miwae": Method(published.miwae, seeds=1, long=True),
    "not-miwae": Method(published.not_miwae, seeds=1, known=True, long=True),
    "not-miwae-ppca": Method(published.not_miwae_ppca, seeds=1, known=True, long=True),
    "notmiwae-pytorch": Method(peers.notmiwae_pytorch, seeds=1),
    "hyperimpute": Method(peers.hyperimpute, seeds=1),
    "hyperimpute-miwae": Method(peers.hyperimpute_miwae, seeds=1),
    "unmasking-trees": Method(peers.unmasking_trees, seeds=1),
    "ours": Method(ours),
    "ours-told": Method(ours_told),
    "ours-limited": Method(ours_limited, cut=True),
    "ours-free": Method(partial(ours, stated={"mechanism": "self-masking", "direction": "free"})),
    "ours-none": Method(partial(ours, stated={"mechanism": "none"})),
}


def settings(name: str) -> dict[str, Any]:
    """Return what a method was run with beyond table, seed, draws and direction, as JSON holds it."""
    function = METHODS[name].function
    defaults = _defaults(function)
    if name.startswith("ours"):
        defaults = _defaults(MNARImputer)
    if function.__module__ == peers.__name__:
        defaults["requirements"] = " ".join(peers.REQUIREMENTS[peers.environment(name)])
    # What differs by cell stands in the cell, and the mechanism is what a method's name says.
    by_cell = ("draws", "direction", "random_state", "progress", "mechanism", "limits", "train", "told", "stated")
    return {key: value for key, value in defaults.items() if key not in by_cell}


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
