"""From words to a model: what the command line and ``MNARImputer`` can declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pyro_mnar.models import (
    MNAR,
    PROBIT,
    ConjugateEncoder,
    GaussianDecoder,
    LinearMasking,
    Mechanism,
    NeuralMasking,
    Prior,
    SelfMasking,
    SkewWarp,
)
from pyro_mnar.models.self_masking import DIRECTIONS, censored_normal

#: The words for mechanisms, with what each assumes.
MECHANISMS = {
    "self-masking": "a value goes missing because of itself",
    "linear": "a value goes missing because of the whole row, the log-odds linear in it",
    "neural": "a value goes missing because of the whole row, by a small network",
    "none": "what is missing says nothing beyond what is observed (ignorable)",
}


def declare(
    mechanism: str,
    columns: Sequence[int],
    directions: Sequence[str],
    covariates: Sequence[int],
    n_columns: int,
    latent_dim: int,
    hidden: Sequence[int],
    members: int,
) -> list[MNAR]:
    """Return an ensemble of untrained models, each an :class:`MNAR`; the arguments are plain enough for a model file.

    Args:
        mechanism: a word of ``MECHANISMS``.
        columns: positions of the columns whose masks are modelled.
        directions: one word for each of them; only self-masking has any but ``free``.
        covariates: positions of the columns that self-masked columns' masks read as well.
        n_columns: D.
        latent_dim: L.
        hidden: hidden layers of decoder and encoder.
        members: of the ensemble; they differ in their starts and in the anchors of their priors.

    Example:
        >>> declare("none", [], [], [], 5, 2, [16], members=1)[0].mechanism is None
        True
    """
    models: list[MNAR] = []
    for prior in Prior.members(members, n_columns, len(columns) if mechanism == "self-masking" else 0):
        law: Mechanism | None = None
        if mechanism == "self-masking":
            # Probit rather than logit: the data cannot tell them apart and the integral has one component, not eight.
            law = SelfMasking(n_columns, columns, directions, PROBIT, covariates)
        elif mechanism == "linear":
            law = LinearMasking(n_columns, columns)
        elif mechanism == "neural":
            law = NeuralMasking(n_columns, columns)
        decoder = GaussianDecoder(latent_dim, n_columns, hidden)
        models.append(MNAR(decoder, ConjugateEncoder(decoder, hidden), law, SkewWarp(n_columns), prior))
    return models


def directions_of(direction: str | Mapping[Any, str], names: Sequence[Any], mechanism: str) -> list[str]:
    """Return one direction for each column, ``free`` where none is given.

    Raises:
        ValueError: for an unknown mechanism, word or column, and for a direction other than ``free`` where the mechanism has none.

    Example:
        >>> directions_of({"income": "high"}, ["age", "income"], "self-masking")
        ['free', 'high']
    """
    if mechanism not in MECHANISMS:
        raise ValueError(f"mechanism: got {mechanism!r}, expected one of {', '.join(MECHANISMS)}")
    given = dict.fromkeys(names, direction) if isinstance(direction, str) else dict(direction)
    for name, word in given.items():
        if name not in names:
            raise ValueError(f"direction: got unknown column {name!r}, expected one of {', '.join(map(str, names))}")
        if word not in DIRECTIONS:
            raise ValueError(f"direction: got {word!r}, expected one of {', '.join(DIRECTIONS)}")
        if word != "free" and mechanism != "self-masking":
            raise ValueError(f"direction: got {word!r} with mechanism {mechanism!r}, expected one only with self-masking")
    return [given.get(name, "free") for name in names]


def covariates_of(covariates: str | Sequence[Any], names: Sequence[Any], modelled: Sequence[int], mechanism: str) -> list[int]:
    """Return the positions of the columns that masks read beside their own values.

    Args:
        covariates: names, or ``complete`` or ``auto`` for every column whose mask is not modelled.
        names: of the D columns.
        modelled: positions of the columns whose masks are modelled.
        mechanism: a word of ``MECHANISMS``.

    Raises:
        ValueError: for an unknown word or column, one that is modelled, and with another mechanism than self-masking.

    Example:
        >>> covariates_of("complete", ["age", "sex", "income"], [2], "self-masking")
        [0, 1]
    """
    if mechanism != "self-masking":
        if not len(covariates) or covariates == "auto":
            return []
        raise ValueError(f"covariates: got {covariates!r} with mechanism {mechanism!r}, expected some only with self-masking")
    others = [j for j in range(len(names)) if j not in modelled]
    if isinstance(covariates, str) and covariates not in ("auto", "complete"):
        raise ValueError(f"covariates: got {covariates!r}, expected a sequence of columns, 'complete' or 'auto'")
    if isinstance(covariates, str):
        return others if modelled else []
    free = [names[j] for j in others]
    wrong = [name for name in covariates if name not in free]
    if wrong or len(set(covariates)) < len(covariates):
        raise ValueError(
            f"covariates: got {(wrong or list(covariates))[0]!r}, expected each once and only columns whose own masks are not modelled "
            f"(without holes, or ignorable): {', '.join(map(str, free)) or 'there are none'}"
        )
    return [list(names).index(name) for name in covariates] if modelled else []


def supposed_moments(columns: Sequence[int], directions: Sequence[str], mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the mean and the scale of complete columns, (D,) each, are from the observed ones', in scales, were all normal.

    Only a known direction says anything: elsewhere the two are 0 and 1.

    Example:
        >>> shift, stretch = supposed_moments([1], ["high"], np.array([[True, True], [True, False]]))
        >>> shift.round(2).tolist(), stretch.round(2).tolist()
        ([0.0, 1.32], [1.0, 1.66])
    """
    shift, stretch = np.zeros(mask.shape[1]), np.ones(mask.shape[1])
    signs = {"high": 1.0, "low": -1.0}
    for j, word in zip(columns, directions, strict=True):
        if word in signs:
            mean, scale, _ = censored_normal(torch.tensor(1 - mask[:, j].mean()))
            shift[j], stretch[j] = signs[word] * float(mean), float(scale)
    return shift, stretch
