"""From words to a model: what the command line and ``MNARImputer`` can declare."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pyro_mnar.data.columns import Column
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.data.schema import Schema
from pyro_mnar.data.transforms import NORMAL, TRANSFORMED
from pyro_mnar.distributions.links import PROBIT
from pyro_mnar.mechanisms.base import Mechanism
from pyro_mnar.mechanisms.category_masking import CategoryMasking
from pyro_mnar.mechanisms.mixed_masking import MixedMasking
from pyro_mnar.mechanisms.self_masking import DIRECTIONS, SelfMasking
from pyro_mnar.mechanisms.sequential_masking import SequentialMasking
from pyro_mnar.mechanisms.two_sided_masking import TwoSidedMasking
from pyro_mnar.mechanisms.whole_row import LinearMasking, NeuralMasking
from pyro_mnar.model.mnar import MNAR
from pyro_mnar.model.priors import Prior
from pyro_mnar.networks.conjugate_encoder import ConjugateEncoder
from pyro_mnar.networks.decoders import GaussianDecoder
from pyro_mnar.networks.heads import CategoryHead, CountHead, NormalHead, OrdinalHead
from pyro_mnar.networks.mixed_decoder import MixedDecoder
from pyro_mnar.networks.semicontinuous_head import SemicontinuousHead
from pyro_mnar.networks.warps import SkewWarp

#: What can be said of a column's own value: which values go missing, or that it has no part in it.
WORDS = (*DIRECTIONS, "middle", "tails")
#: The words for mechanisms, with what each assumes.
MECHANISMS = {
    "auto": "per column, whatever reason the data support: at random given other columns, or because of the value itself",
    "self-masking": "a value goes missing because of itself",
    "linear": "a value goes missing because of the whole row, the log-odds linear in it",
    "neural": "a value goes missing because of the whole row, by a small network",
    "none": "what is missing says nothing beyond what is observed (ignorable)",
}


def declare(
    mechanism: str,
    columns: Sequence[int],
    directions: Sequence[str],
    orders: Sequence[Sequence[int]] | None,
    latent: bool,
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
        columns: positions of the columns whose masks are modeled.
        directions: one word for each of them; ``none`` where a mask does not read its own value.
        orders: for each member all columns in the order in which their masks are decided; None where no mask reads another column.
        latent: whether masks read the row's latent.
        n_columns: D.
        latent_dim: L.
        hidden: hidden layers of decoder and encoder.
        members: of the ensemble; they differ in their starts and in the anchors of their priors.
        cells: of each column, ``kind`` and what its block of a decoder wants (:func:`cells_of`); None where all are real numbers.
        transformed: positions of the columns that are modeled by their logarithm or log-odds.

    Example:
        >>> declare("none", [], [], None, False, 5, 2, [16], members=1)[0].mechanism is None
        True
    """
    kinds = ["real"] * n_columns if cells is None else [cell["kind"] for cell in cells]
    real = [j for j, kind in enumerate(kinds) if kind in ("real", "mass")]
    pinned = {} if cells is None else {j: cell["mass"] for j, cell in enumerate(cells) if "mass" in cell}
    own = dict(zip(columns, directions, strict=True))
    by_level = [j for j in columns if kinds[j] == "category" and own[j] != "none"]
    two_sided = {side: [j for j in columns if own[j] == side] for side in ("middle", "tails")}
    by_value = [j for j in columns if j not in by_level and own[j] in DIRECTIONS]
    counts = {} if cells is None else {j: len(cells[j]["shares"]) for j, kind in enumerate(kinds) if kind == "category"}
    separate = mechanism in ("auto", "self-masking") and bool(columns)
    slopes, effects = (len(by_value), sum(counts[j] for j in by_level)) if separate else (0, 0)
    models: list[MNAR] = []
    at_mass, on_log = ([real.index(j) for j in places] for places in (pinned, transformed))
    for i, prior in enumerate(Prior.members(members, len(real), slopes, effects, at_mass, on_log)):
        law: Mechanism | None = None
        if separate:
            # Probit rather than logit: the data cannot tell them apart and the integral has one component, not eight.
            pieces: list[Mechanism] = [SelfMasking(n_columns, by_value, [own[j] for j in by_value], PROBIT)] if by_value else []
            pieces += [CategoryMasking(n_columns, by_level, [counts[j] for j in by_level], PROBIT)] if by_level else []
            pieces += [TwoSidedMasking(n_columns, chosen, side) for side, chosen in two_sided.items() if chosen]
            law = pieces[0] if len(pieces) == 1 else MixedMasking(*pieces)
            if orders is not None or latent:
                law = SequentialMasking(law, None if orders is None else orders[i], latent_dim if latent else 0, counts)
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

    blocks: list[Any] = [NormalHead(at["real"])] if at["real"] else []
    blocks += [SemicontinuousHead(at["mass"], *of("mass", "mass", "share", "side"))] if at["mass"] else []
    blocks += [OrdinalHead(at["ordinal"], *of("ordinal", "shares", "first", "step"))] if at["ordinal"] else []
    blocks += [CategoryHead(at["category"], *of("category", "shares"))] if at["category"] else []
    blocks += [CountHead(at["count"], *of("count", "mean", "largest", "first", "step"))] if at["count"] else []
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
        units = {"first": float(-scaling.center[j] / scaling.scale[j]), "step": float(1 / scaling.scale[j])}
        if column.kind == "semicontinuous":
            assert column.bounds is not None
            mass = (column.bounds[0] - scaling.center[j]) / scaling.scale[j]
            share = ((seen == column.bounds[0]).sum() + 0.5) / (len(seen) + 1)
            side = 1 if column.bounds[1] > column.bounds[0] else -1
            cells.append({"kind": "mass", "mass": float(mass), "share": float(share), "side": side})
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


def declaration_of(
    imputer: Any, schema: Schema, mask: np.ndarray, left_out: Collection[Any] = ()
) -> tuple[dict[str, Any], list[str | None]]:
    """Return the arguments of :func:`declare`, and of each modeled column the direction that is stated or None.

    Args:
        imputer: its settings.
        schema: the D columns.
        mask: (N, D) True = observed.
        left_out: names of the table's other columns, constant or empty; what is said of them is not used.

    Raises:
        ValueError: for a setting out of range, an unknown word, or a column that is not the table's.
    """
    if imputer.members < 1:
        raise ValueError(f"members: got {imputer.members}, expected at least 1")
    names = [column.name for column in schema.columns]
    unknown = [name for name in imputer.ignorable if name not in names and name not in left_out]
    if unknown:
        raise ValueError(f"ignorable: got unknown column {unknown[0]!r}, expected some of {', '.join(map(str, names))}")
    modeled = [j for j in range(len(names)) if not mask[:, j].all() and names[j] not in imputer.ignorable]
    apart = [column for column in schema.columns if column.kind not in NORMAL]
    if apart and imputer.mechanism in ("linear", "neural"):
        raise ValueError(
            f"mechanism: got {imputer.mechanism!r} with {apart[0].kind} column {apart[0].name!r}, expected auto, self-masking or none "
            "(or kind continuous)"
        )
    said = directions_of(imputer.direction, schema, imputer.mechanism, left_out)
    if isinstance(imputer.direction, Mapping):
        for name in (name for name in imputer.direction if name in left_out):
            warnings.warn(f"direction: got a word for column {name!r}, which does not vary; it is not used", UserWarning, stacklevel=5)
    idle = [names[j] for j, word in enumerate(said) if isinstance(imputer.direction, Mapping) and word and mask[:, j].all()]
    if idle and not mask.all():
        warnings.warn(f"direction: got a word for column {idle[0]!r}, which has no holes; it is not used", UserWarning, stacklevel=5)
    mechanism = imputer.mechanism if modeled else "none"
    stated = [said[j] for j in modeled]
    declaration = {
        "mechanism": mechanism,
        "columns": modeled,
        "directions": [word or "none" for word in stated],
        "orders": None,
        "latent": False,
        "n_columns": len(names),
        "latent_dim": imputer.latent_dim or max(1, min(len(names) - 1, 10)),
        "hidden": list(imputer.hidden),
        "members": imputer.members,
        "transformed": [j for j, column in enumerate(schema.columns) if column.kind in TRANSFORMED],
    }
    return declaration, stated


def order_of(order: Sequence[Any] | None, schema: Schema, mechanism: str, left_out: Collection[Any] = ()) -> list[int] | None:
    """Return positions of all columns in the order that is stated, those it does not name first; None where none is.

    Names in ``left_out`` are those of the table's other columns, constant or empty, which no mask reads; an order may have them.

    Raises:
        ValueError: for an unknown column, one that is named twice, or an order where the mechanism, linear or neural, has none.

    Example:
        >>> table = Schema(tuple(Column(name, "continuous", "float64") for name in ("week8", "age", "week4")))
        >>> order_of(["week4", "week8"], table, "auto")
        [1, 2, 0]
    """
    if order is None:
        return None
    names = [column.name for column in schema.columns]
    if mechanism in ("linear", "neural"):
        raise ValueError(f"order: got one with mechanism {mechanism!r}, expected one only with auto or self-masking")
    named = [order] if isinstance(order, str) else list(order)
    for name in named:
        if name not in names and name not in left_out:
            raise ValueError(f"order: got unknown column {name!r}, expected some of {', '.join(map(str, names))}")
        if named.count(name) > 1:
            raise ValueError(f"order: got column {name!r} twice, expected each once")
    if mechanism == "none":
        warnings.warn("order: not used, since mechanism none supposes no reason for holes", UserWarning, stacklevel=5)
    positions = [names.index(name) for name in named if name in names]
    return [j for j in range(len(names)) if j not in positions] + positions


def directions_of(
    direction: str | Mapping[Any, str] | None, schema: Schema, mechanism: str, left_out: Collection[Any] = ()
) -> list[str | None]:
    """Return one direction for each column, None where nothing is said; one word for all is for columns that have an order.

    With self-masking and no word, every column masks itself in a ``free`` direction. Words for columns in ``left_out`` have no effect.

    Raises:
        ValueError: for an unknown mechanism, word or column, and for a direction where the mechanism, linear or neural, has none.

    Example:
        >>> table = Schema((Column("age", "continuous", "float64"), Column("income", "continuous", "float64")))
        >>> directions_of({"income": "high"}, table, "auto")
        [None, 'high']
    """
    if mechanism not in MECHANISMS:
        raise ValueError(f"mechanism: got {mechanism!r}, expected one of {', '.join(MECHANISMS)}")
    names = [column.name for column in schema.columns]
    unordered = {column.name for column in schema.columns if column.kind == "categorical"}
    if direction is None:
        direction = "free" if mechanism == "self-masking" else {}
    if isinstance(direction, str):
        known = direction in WORDS and direction != "none"
        given: dict[Any, str] = {name: "free" if name in unordered and known else direction for name in names}
    else:
        given = dict(direction)
    for name, word in given.items():
        if name not in names and name not in left_out:
            raise ValueError(f"direction: got unknown column {name!r}, expected one of {', '.join(map(str, names))}")
        if word not in WORDS:
            raise ValueError(f"direction: got {word!r}, expected one of {', '.join(WORDS)}")
        if mechanism in ("linear", "neural"):
            raise ValueError(f"direction: got {word!r} with mechanism {mechanism!r}, expected one only with auto or self-masking")
        if word not in ("free", "none") and name in unordered:
            raise ValueError(
                f"direction: got {word!r} for categorical column {name!r}, expected free or none (or kind ordinal, which has an order)"
            )
    if given and mechanism == "none":
        warnings.warn("direction: not used, since mechanism none supposes no reason for holes", UserWarning, stacklevel=6)
    return [given.get(name) for name in names]
