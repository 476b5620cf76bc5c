"""From words to a model: what the command line and ``MNARImputer`` can declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyro_mnar.models import MNAR, PROBIT, GaussianDecoder, GaussianEncoder, LinearMasking, Mechanism, NeuralMasking, SelfMasking
from pyro_mnar.models.self_masking import DIRECTIONS

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
    n_columns: int,
    latent_dim: int,
    hidden: Sequence[int],
) -> MNAR:
    """Return an untrained model; the arguments are plain enough for a model file.

    Args:
        mechanism: a word of ``MECHANISMS``.
        columns: positions of the columns whose masks are modelled.
        directions: one word for each of them; only self-masking has any but ``free``.
        n_columns: D.
        latent_dim: L.
        hidden: hidden layers of decoder and encoder.

    Raises:
        ValueError: for an unknown word.

    Example:
        >>> declare("none", [], [], 5, 2, [16]).mechanism is None
        True
    """
    if mechanism not in MECHANISMS:
        raise ValueError(f"mechanism: got {mechanism!r}, expected one of {', '.join(MECHANISMS)}")
    law: Mechanism | None = None
    if mechanism == "self-masking":
        # Probit rather than logit: the data cannot tell them apart and the integral has one component, not eight.
        law = SelfMasking(n_columns, columns, directions, PROBIT)
    elif mechanism == "linear":
        law = LinearMasking(n_columns, columns)
    elif mechanism == "neural":
        law = NeuralMasking(n_columns, columns)
    return MNAR(GaussianDecoder(latent_dim, n_columns, hidden), GaussianEncoder(n_columns, latent_dim, hidden), law)


def directions_of(direction: str | Mapping[Any, str], names: Sequence[Any], mechanism: str) -> list[str]:
    """Return one direction for each column, ``free`` where none is given.

    Raises:
        ValueError: for an unknown word or column, and for a direction other than ``free`` where the mechanism has none.

    Example:
        >>> directions_of({"income": "high"}, ["age", "income"], "self-masking")
        ['free', 'high']
    """
    given = dict.fromkeys(names, direction) if isinstance(direction, str) else dict(direction)
    for name, word in given.items():
        if name not in names:
            raise ValueError(f"direction: got unknown column {name!r}, expected one of {', '.join(map(str, names))}")
        if word not in DIRECTIONS:
            raise ValueError(f"direction: got {word!r}, expected one of {', '.join(DIRECTIONS)}")
        if word != "free" and mechanism != "self-masking":
            raise ValueError(f"direction: got {word!r} with mechanism {mechanism!r}, expected one only with self-masking")
    return [given.get(name, "free") for name in names]
