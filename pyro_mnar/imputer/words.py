"""What a user says of mechanism, directions and order, in words, and the specification that follows."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyro_mnar.data.schema import Schema
from pyro_mnar.data.warn import warn
from pyro_mnar.imputation.impute import check_tolerance
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.identification.instrument import instruments_of
from pyro_mnar.imputer.identification.shadow import shadows_of
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.infer.checks import check_counts
from pyro_mnar.mechanisms.self_masking import DIRECTIONS

#: The hidden layers unless others are asked for; rows a column below which a table has none, since a network finds in them what is not
#: there (docs/accuracy.md).
HIDDEN, SHORT = (128,), 5
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


def specification_of(
    imputer: Imputer, schema: Schema, mask: np.ndarray, left_out: Collection[Hashable] = (), n_rows: float | None = None
) -> tuple[Specification, list[str | None]]:
    """Return what the settings specify, and of each modeled column the direction that is stated or None.

    Args:
        imputer: its settings.
        schema: the D columns.
        mask: (N, D) True = observed.
        left_out: names of the table's other columns, constant or empty; what is said of them is not used.
        n_rows: for how many rows these count, if not N.

    Raises:
        ValueError: for a setting out of range, an unknown word, or a column that is not the table's.
        TypeError: for a setting of another type.
    """
    _check_settings(imputer)
    names = [column.name for column in schema.columns]
    unknown = [name for name in imputer.ignorable if name not in names and name not in left_out]
    if unknown:
        raise ValueError(f"ignorable: got unknown column {unknown[0]!r}, expected some of {', '.join(map(str, names))}")
    modeled = [j for j in range(len(names)) if not mask[:, j].all() and names[j] not in imputer.ignorable]
    if modeled and imputer.limits and imputer.mechanism in ("linear", "neural"):
        raise ValueError(
            f"limits: got some with mechanism {imputer.mechanism!r}, whose masks read missing values, expected auto or self-masking"
        )
    if modeled and imputer.not_applicable and imputer.mechanism in ("linear", "neural"):
        raise ValueError(
            f"not_applicable: got some with mechanism {imputer.mechanism!r}, whose masks read whole rows, expected auto or self-masking"
        )
    said = directions_of(imputer.direction, schema, imputer.mechanism, left_out)
    _say_unused(imputer.direction, names, said, mask, left_out)
    stated = [said[j] for j in modeled]
    specification = Specification(
        imputer.mechanism if modeled else "none",
        tuple(modeled),
        tuple(word or "none" for word in stated),
        tuple(column.kind for column in schema.columns),
        imputer.latent_dim or max(1, min(len(names) - 1, 10)),
        layers_of(imputer, n_rows or len(mask), len(names)),
        imputer.members,
        unread=shadows_of(imputer, schema, left_out),
        alone=instruments_of(imputer, schema, mask, left_out) if modeled and imputer.instrument else (),
    )
    if imputer.mechanism in ("linear", "neural") and not specification.is_plain:
        apart = next(column for column in schema.columns if not replace(specification, kinds=(column.kind,)).is_plain)
        raise ValueError(
            f"mechanism: got {imputer.mechanism!r} with {apart.kind} column {apart.name!r}, expected auto, self-masking or none "
            "(or kind continuous)"
        )
    return specification, stated


def is_short(n_rows: float, n_columns: int) -> bool:
    """Return whether a table has few rows for its columns.

    Example:
        >>> is_short(60, 30), is_short(569, 30)
        (True, False)
    """
    return n_rows < SHORT * n_columns


def layers_of(imputer: Imputer, n_rows: float, n_columns: int) -> tuple[int, ...]:
    """Return the hidden layers: what is asked for, or by default one, and none for a short table."""
    if imputer.hidden is not None:
        return tuple(imputer.hidden)
    return () if is_short(n_rows, n_columns) else HIDDEN


def _check_settings(imputer: Imputer) -> None:
    """Refuse settings that are no numbers, lists or truth values, where such are expected."""
    check_counts(members=imputer.members, batch_size=imputer.batch_size, particles=imputer.particles)
    if imputer.latent_dim is not None:
        check_counts(latent_dim=imputer.latent_dim)
    hidden = () if imputer.hidden is None else imputer.hidden
    lists = {"hidden": hidden} | {name: getattr(imputer, name) for name in ("ignorable", "shadow", "instrument")}
    for name, value in (lists if imputer.order is None or isinstance(imputer.order, str) else lists | {"order": imputer.order}).items():
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError(f"{name}: got {value!r:.40}, expected a list")
    for size in hidden:
        check_counts(hidden=size)
    check_tolerance(imputer.tolerance)
    for name in ("add_indicator", "keep_empty_features", "progress", "keep_partial"):
        if not isinstance(getattr(imputer, name), bool | np.bool_):
            raise TypeError(f"{name}: got {getattr(imputer, name)!r:.40}, expected True or False")
    if not isinstance(imputer.direction, str | Mapping | None):
        raise TypeError(f"direction: got {imputer.direction!r:.40}, expected a word, or a mapping from columns to words")


def _say_unused(
    direction: str | Mapping[Any, str] | None,
    names: Sequence[Hashable],
    said: Sequence[str | None],
    mask: np.ndarray,
    left_out: Collection[Hashable],
) -> None:
    """Warn of directions of columns that do not vary, or have no holes."""
    if not isinstance(direction, Mapping):
        return
    for name in (name for name in direction if name in left_out):
        warn(f"direction: got a word for column {name!r}, which does not vary; it is not used")
    idle = [names[j] for j, word in enumerate(said) if word and mask[:, j].all()]
    if idle and not mask.all():
        warn(f"direction: got a word for column {idle[0]!r}, which has no holes; it is not used")


def order_of(order: Sequence[Hashable] | None, schema: Schema, mechanism: str, left_out: Collection[Hashable] = ()) -> list[int] | None:
    """Return positions of all columns in the order that is stated, those it does not name first; None where none is.

    Names in ``left_out`` are those of the table's other columns, constant or empty, which no mask reads; an order may have them.

    Raises:
        ValueError: for an unknown column, one that is named twice, or an order where the mechanism, linear or neural, has none.

    Example:
        >>> from pyro_mnar.data.kinds import Continuous
        >>> table = Schema(tuple(Continuous(name, "float64") for name in ("week8", "age", "week4")))
        >>> order_of(["week4", "week8"], table, "auto")
        [1, 2, 0]
    """
    if order is None:
        return None
    names = [column.name for column in schema.columns]
    if mechanism in ("linear", "neural"):
        raise ValueError(f"order: got one with mechanism {mechanism!r}, expected one only with auto or self-masking")
    named: list[Hashable] = [order] if isinstance(order, str) else list(order)
    for name in named:
        if name not in names and name not in left_out:
            raise ValueError(f"order: got unknown column {name!r}, expected some of {', '.join(map(str, names))}")
        if named.count(name) > 1:
            raise ValueError(f"order: got column {name!r} twice, expected each once")
    if mechanism == "none":
        warn("order: not used, since mechanism none supposes no reason for holes")
    positions = [names.index(name) for name in named if name in names]
    return [j for j in range(len(names)) if j not in positions] + positions


def directions_of(
    direction: str | Mapping[Any, str] | None, schema: Schema, mechanism: str, left_out: Collection[Hashable] = ()
) -> list[str | None]:
    """Return one direction for each column, None where nothing is said; one word for all is for columns that have an order.

    With self-masking and no word, every column masks itself in a ``free`` direction. Words for columns in ``left_out`` have no effect.

    Raises:
        ValueError: for an unknown mechanism, word or column, and for a direction where the mechanism, linear or neural, has none.

    Example:
        >>> from pyro_mnar.data.kinds import Continuous
        >>> table = Schema((Continuous("age", "float64"), Continuous("income", "float64")))
        >>> directions_of({"income": "high"}, table, "auto")
        [None, 'high']
    """
    if not isinstance(mechanism, str) or mechanism not in MECHANISMS:
        raise ValueError(f"mechanism: got {mechanism!r}, expected one of {', '.join(MECHANISMS)}")
    names = [column.name for column in schema.columns]
    unordered = {column.name: column for column in schema.columns if not column.ordered}
    if direction is None:
        direction = "free" if mechanism == "self-masking" else {}
    if isinstance(direction, str):
        known = direction in WORDS and direction != "none"
        # Of levels without an order each has its own effect; other values without one have none.
        others = {name: "free" if column.levels else "none" for name, column in unordered.items() if known}
        given: dict[Hashable, str] = {name: others.get(name, direction) for name in names}
    else:
        given = dict(direction)
    for name, word in given.items():
        if name not in names and name not in left_out:
            raise ValueError(f"direction: got unknown column {name!r}, expected one of {', '.join(map(str, names))}")
        if word not in WORDS:
            raise ValueError(f"direction: got {word!r}, expected one of {', '.join(WORDS)}")
        if mechanism in ("linear", "neural"):
            raise ValueError(f"direction: got {word!r} with mechanism {mechanism!r}, expected one only with auto or self-masking")
        if name in unordered and word not in (("free", "none") if unordered[name].levels else ("none",)):
            kind, leveled = unordered[name].kind, bool(unordered[name].levels)
            possible = "free or none (or kind ordinal, which has an order)" if leveled else "none, since its values have no order"
            raise ValueError(f"direction: got {word!r} for {kind} column {name!r}, expected {possible}")
    if given and mechanism == "none":
        warn("direction: not used, since mechanism none supposes no reason for holes")
    return [given.get(name) for name in names]
