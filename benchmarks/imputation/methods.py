"""The methods of the grid, in one table: function, number of seeds, and the masks on which they run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.imputation import baselines, censored_normal, peers, published
from pyro_mnar import MNARImputer


def ours(values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None) -> baselines.Completed:
    """Impute with the library's defaults and the known direction."""
    return _ours(values, seed, draws, direction=direction)


def ours_free(values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None) -> baselines.Completed:
    """Impute with the library's defaults, the direction left to the data."""
    return _ours(values, seed, draws, direction="free")


def ours_none(values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None) -> baselines.Completed:
    """Impute with the library's defaults and no mechanism."""
    return _ours(values, seed, draws, mechanism="none")


def _ours(values: np.ndarray, seed: int, draws: int, **settings: Any) -> baselines.Completed:
    imputer = MNARImputer(random_state=seed, progress=False, **settings)
    result = imputer.fit(values).impute(values, draws=draws)
    return result.completed.numpy(), result.draws.numpy()


class Method(NamedTuple):
    """A method and where it runs.

    ``known`` methods need a direction and are left out where values go missing at random; ``long`` ones run on the masks ``hard`` and
    ``mcar`` alone.
    """

    function: Callable[..., baselines.Completed]
    seeds: int = 5
    known: bool = False
    long: bool = False


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
    "notmiwae-pytorch": Method(peers.notmiwae_pytorch, seeds=1, known=True),
    "hyperimpute": Method(peers.hyperimpute, seeds=1),
    "hyperimpute-miwae": Method(peers.hyperimpute_miwae, seeds=1),
    "ours": Method(ours, known=True),
    "ours-free": Method(ours_free),
    "ours-none": Method(ours_none),
}


def settings(name: str) -> dict[str, Any]:
    """Return what a method was run with beyond table, seed, draws and direction, as JSON holds it."""
    function = METHODS[name].function
    defaults = _defaults(function)
    if name.startswith("ours"):
        defaults |= _defaults(MNARImputer)
    if function.__module__ == peers.__name__:
        defaults["requirements"] = " ".join(peers.REQUIREMENTS)
    return {key: value for key, value in defaults.items() if key not in ("draws", "direction", "random_state", "progress", "mechanism")}


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
