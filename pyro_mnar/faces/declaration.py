"""From words to a model: what the command line and ``MNARImputer`` can declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pyro_mnar.models import (
    MNAR,
    PROBIT,
    CategoryBlock,
    CategoryMasking,
    ConjugateEncoder,
    CountBlock,
    GaussianDecoder,
    LinearMasking,
    Mechanism,
    MixedDecoder,
    MixedMasking,
    NeuralMasking,
    NormalBlock,
    OrdinalBlock,
    Prior,
    SelfMasking,
    SemicontinuousBlock,
    SkewWarp,
)
from pyro_mnar.models.self_masking import DIRECTIONS
from pyro_mnar.tables import Column, Scaling, Schema
from pyro_mnar.tables.kinds import LEVELLED
from pyro_mnar.tables.units import NORMAL, TRANSFORMED

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
    cells: Sequence[Mapping[str, Any]] | None = None,
    transformed: Sequence[int] = (),
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
        cells: of each column, ``kind`` and what its block of a decoder wants (:func:`cells_of`); None where all are real numbers.
        transformed: positions of the columns that are modelled by their logarithm or log-odds.

    Example:
        >>> declare("none", [], [], [], 5, 2, [16], members=1)[0].mechanism is None
        True
    """
    kinds = ["real"] * n_columns if cells is None else [cell["kind"] for cell in cells]
    real = [j for j, kind in enumerate(kinds) if kind in ("real", "mass")]
    pinned = {} if cells is None else {j: cell["mass"] for j, cell in enumerate(cells) if "mass" in cell}
    by_level = [j for j in columns if kinds[j] == "category"]
    by_value = [j for j in columns if kinds[j] != "category"]
    levels = [len(cells[j]["shares"]) for j in by_level] if cells is not None else []
    self_masking = mechanism == "self-masking"
    slopes, effects = (len(by_value), sum(levels)) if self_masking else (0, 0)
    models: list[MNAR] = []
    at_mass, on_log = ([real.index(j) for j in places] for places in (pinned, transformed))
    for prior in Prior.members(members, len(real), slopes, effects, at_mass, on_log):
        law: Mechanism | None = None
        if self_masking:
            # Probit rather than logit: the data cannot tell them apart and the integral has one component, not eight.
            words = [word for j, word in zip(columns, directions, strict=True) if j in by_value]
            pieces: list[Mechanism] = [SelfMasking(n_columns, by_value, words, PROBIT, covariates)] if by_value else []
            pieces += [CategoryMasking(n_columns, by_level, levels, PROBIT, covariates)] if by_level else []
            law = pieces[0] if len(pieces) == 1 else MixedMasking(*pieces)
        elif mechanism == "linear":
            law = LinearMasking(n_columns, columns)
        elif mechanism == "neural":
            law = NeuralMasking(n_columns, columns)
        decoder = GaussianDecoder(latent_dim, n_columns, hidden) if cells is None else _mixed(latent_dim, cells, hidden)
        warp = SkewWarp(n_columns, real, pinned, transformed) if real else None
        models.append(MNAR(decoder, ConjugateEncoder(decoder, hidden), law, warp, prior))
    return models


def _mixed(latent_dim: int, cells: Sequence[Mapping[str, Any]], hidden: Sequence[int]) -> MixedDecoder:
    at = {
        kind: [j for j, cell in enumerate(cells) if cell["kind"] == kind] for kind in ("real", "mass", "ordinal", "category", "count")
    }

    def of(kind: str, *names: str) -> list[list[Any]]:
        return [[cells[j][name] for j in at[kind]] for name in names]

    blocks: list[Any] = [NormalBlock(at["real"])] if at["real"] else []
    blocks += [SemicontinuousBlock(at["mass"], *of("mass", "mass", "share"))] if at["mass"] else []
    blocks += [OrdinalBlock(at["ordinal"], *of("ordinal", "shares", "first", "step"))] if at["ordinal"] else []
    blocks += [CategoryBlock(at["category"], *of("category", "shares"))] if at["category"] else []
    blocks += [CountBlock(at["count"], *of("count", "mean", "largest", "first", "step"))] if at["count"] else []
    return MixedDecoder(latent_dim, blocks, hidden)


def cells_of(columns: Sequence[Column], values: np.ndarray, mask: np.ndarray, scaling: Scaling) -> list[dict[str, Any]] | None:
    """Return what a decoder must know of each column, plain enough for a model file; None where all are real numbers.

    Args:
        columns: of the table.
        values: (N, D), levels by their places.
        mask: (N, D) True = observed.
        scaling: of the model's columns.

    Example:
        >>> flag = Column("flag", "binary", "bool", (False, True))
        >>> cells_of([flag], np.array([[0.0], [1.0]]), np.array([[True], [True]]), Scaling(np.array([0.5]), np.array([2.0])))
        [{'kind': 'ordinal', 'shares': [0.5, 0.5], 'first': -0.25, 'step': 0.5}]
    """
    if all(column.kind in NORMAL for column in columns):
        return None
    cells: list[dict[str, Any]] = []
    for j, column in enumerate(columns):
        seen = values[mask[:, j], j]
        units = {"first": float(-scaling.centre[j] / scaling.scale[j]), "step": float(1 / scaling.scale[j])}
        if column.kind == "semicontinuous":
            assert column.bounds is not None
            mass = (column.bounds[0] - scaling.centre[j]) / scaling.scale[j]
            share = ((seen == column.bounds[0]).sum() + 0.5) / (len(seen) + 1)
            cells.append({"kind": "mass", "mass": float(mass), "share": float(share)})
        elif column.kind in NORMAL:
            cells.append({"kind": "real"})
        elif column.kind == "count":
            cells.append({"kind": "count", "mean": float(max(seen.mean(), 0.1)), "largest": float(seen.max())} | units)
        else:
            # Half a row for each level, so that none starts as impossible.
            shares = (np.bincount(seen.astype(int), minlength=len(column.levels)) + 0.5) / (len(seen) + 0.5 * len(column.levels))
            kind = "category" if column.kind == "categorical" else "ordinal"
            cells.append({"kind": kind, "shares": shares.tolist()} | (units if kind == "ordinal" else {}))
    return cells


def declaration_of(imputer: Any, schema: Schema, mask: np.ndarray) -> dict[str, Any]:
    """Return the arguments of :func:`declare` for a table of ``schema``, with its ``mask`` (N, D), and the settings of ``imputer``.

    Raises:
        ValueError: for a setting out of range, an unknown word, or a column that is not the table's.
    """
    if imputer.members < 1:
        raise ValueError(f"members: got {imputer.members}, expected at least 1")
    names = [column.name for column in schema.columns]
    unknown = [name for name in imputer.ignorable if name not in names]
    if unknown:
        raise ValueError(f"ignorable: got unknown column {unknown[0]!r}, expected some of {', '.join(map(str, names))}")
    modelled = [j for j in range(len(names)) if not mask[:, j].all() and names[j] not in imputer.ignorable]
    directions = directions_of(imputer.direction, schema, imputer.mechanism)
    apart = [column for column in schema.columns if column.kind not in NORMAL]
    if apart and imputer.mechanism in ("linear", "neural"):
        raise ValueError(
            f"mechanism: got {imputer.mechanism!r} with {apart[0].kind} column {apart[0].name!r}, expected self-masking or none "
            "(or kind continuous)"
        )
    return {
        "mechanism": imputer.mechanism if modelled else "none",
        "columns": modelled,
        "directions": [directions[j] for j in modelled],
        "covariates": covariates_of(imputer.covariates, schema, modelled, imputer.mechanism),
        "n_columns": len(names),
        "latent_dim": imputer.latent_dim or max(1, min(len(names) - 1, 10)),
        "hidden": list(imputer.hidden),
        "members": imputer.members,
        "transformed": [j for j, column in enumerate(schema.columns) if column.kind in TRANSFORMED],
    }


def directions_of(direction: str | Mapping[Any, str], schema: Schema, mechanism: str) -> list[str]:
    """Return one direction for each column, ``free`` where none is given; one word for all is for columns that have an order.

    Raises:
        ValueError: for an unknown mechanism, word or column, and for a direction other than ``free`` where the mechanism has none.

    Example:
        >>> table = Schema((Column("age", "continuous", "float64"), Column("income", "continuous", "float64")))
        >>> directions_of({"income": "high"}, table, "self-masking")
        ['free', 'high']
    """
    if mechanism not in MECHANISMS:
        raise ValueError(f"mechanism: got {mechanism!r}, expected one of {', '.join(MECHANISMS)}")
    names = [column.name for column in schema.columns]
    unordered = {column.name for column in schema.columns if column.kind == "categorical"}
    if isinstance(direction, str):
        given: dict[Any, str] = {name: "free" if name in unordered and direction in DIRECTIONS else direction for name in names}
    else:
        given = dict(direction)
    for name, word in given.items():
        if name not in names:
            raise ValueError(f"direction: got unknown column {name!r}, expected one of {', '.join(map(str, names))}")
        if word not in DIRECTIONS:
            raise ValueError(f"direction: got {word!r}, expected one of {', '.join(DIRECTIONS)}")
        if word != "free" and mechanism != "self-masking":
            raise ValueError(f"direction: got {word!r} with mechanism {mechanism!r}, expected one only with self-masking")
        if word != "free" and name in unordered:
            raise ValueError(
                f"direction: got {word!r} for categorical column {name!r}, expected free (or kind ordinal, which has an order)"
            )
    return [given.get(name, "free") for name in names]


def covariates_of(covariates: str | Sequence[Any], schema: Schema, modelled: Sequence[int], mechanism: str) -> list[int]:
    """Return the positions of the columns that masks read beside their own values.

    Args:
        covariates: names, or ``complete`` or ``auto`` for every column whose mask is not modelled; categories without order cannot be
            any.
        schema: the D columns.
        modelled: positions of the columns whose masks are modelled.
        mechanism: a word of ``MECHANISMS``.

    Raises:
        ValueError: for an unknown word or column, one that is modelled, and with another mechanism than self-masking.

    Example:
        >>> table = Schema(tuple(Column(name, "continuous", "float64") for name in ("age", "size", "income")))
        >>> covariates_of("complete", table, [2], "self-masking")
        [0, 1]
    """
    if mechanism != "self-masking":
        if not len(covariates) or covariates == "auto":
            return []
        raise ValueError(f"covariates: got {covariates!r} with mechanism {mechanism!r}, expected some only with self-masking")
    names = [column.name for column in schema.columns]
    others = [j for j, column in enumerate(schema.columns) if j not in modelled and column.kind != "categorical"]
    if isinstance(covariates, str) and covariates not in ("auto", "complete"):
        raise ValueError(f"covariates: got {covariates!r}, expected a sequence of columns, 'complete' or 'auto'")
    if isinstance(covariates, str):
        return others if modelled else []
    free = [names[j] for j in others]
    wrong = [name for name in covariates if name not in free]
    if wrong or len(set(covariates)) < len(covariates):
        raise ValueError(
            f"covariates: got {(wrong or list(covariates))[0]!r}, expected each once and only columns whose own masks are not modelled "
            f"(without holes, or ignorable) and that are not categorical: {', '.join(map(str, free)) or 'there are none'}"
        )
    return [names.index(name) for name in covariates] if modelled else []


def most_probable(columns: Sequence[Column], point: Tensor, probabilities: Tensor) -> Tensor:
    """Return ``point`` (N, D) with levels that answer for the whole posterior, of whose places the mean says nothing.

    The most probable level; of ordinal columns the median, which minimises the expected distance.

    Args:
        columns: of the table.
        point: (N, D).
        probabilities: of levels, (N, D, V); V = 0 where none was missing.
    """
    point = point.clone()
    if not probabilities.shape[-1]:
        return point
    for j, column in enumerate(columns):
        if column.kind == "ordinal":
            point[:, j] = (probabilities[:, j].double().cumsum(-1) < 0.5).sum(-1).clamp(max=len(column.levels) - 1).to(point)
        elif column.kind in LEVELLED:
            point[:, j] = probabilities[:, j].argmax(-1).to(point)
    return point
