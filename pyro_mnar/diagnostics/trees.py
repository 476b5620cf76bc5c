"""Labeled groups of arrays as ArviZ has them: ``InferenceData`` of ArviZ 0.23, ``DataTree`` of 1.x."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pyro_mnar.data.extras import extra
from pyro_mnar.infer.checks import check_labels

if TYPE_CHECKING:
    from arviz import InferenceData
    from xarray import Dataset, DataTree

#: Arrays by name, each with the names of its dimensions.
Variables: TypeAlias = Mapping[str, tuple[Sequence[str], np.ndarray]]


def labels_of(argument: str, given: Sequence[Hashable] | None, count: int) -> np.ndarray:
    """Return labels that are all different, positions by default.

    Raises:
        ValueError: naming the argument, for labels that are not ``count`` or not all different.
    """
    labels = list(range(count)) if given is None else list(given)
    check_labels(argument, labels, count)
    whole = all(isinstance(label, (int, np.integer)) for label in labels)
    plain = [int(label) if whole else str(label) for label in labels]  # type: ignore[call-overload]
    if len(set(plain)) < count:
        twice = next(label for label in plain if plain.count(label) > 1)
        raise ValueError(f"{argument}: got {twice!r} more than once, expected labels that are all different (as text)")
    return np.array(plain)


def dataset_of(variables: Variables, names: Mapping[str, np.ndarray]) -> Dataset:
    """Return (dimensions, array) by variable as a data set whose dimensions have the labels ``names``, else positions."""
    with extra("arviz"):
        from xarray import Dataset

    sizes = {dim: size for dims, array in variables.values() for dim, size in zip(dims, array.shape, strict=True)}
    coords = {dim: names.get(dim, np.arange(size)) for dim, size in sizes.items()}
    return Dataset(dict(variables), coords, {"made_by": "pyro_mnar"})


def tree_of(groups: Mapping[str, Dataset]) -> InferenceData | DataTree:
    """Return groups as the installed ArviZ has them.

    Raises:
        ImportError: where it is not installed.
    """
    with extra("arviz"):
        major = int(version("arviz").split(".")[0])
    if major >= 1:
        from xarray import DataTree

        return DataTree.from_dict(dict(groups))
    from arviz import InferenceData

    return InferenceData(**groups)
