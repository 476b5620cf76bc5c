"""Weights, strata and clusters on the command line: ``--weight``, ``--strata`` and ``--cluster``, each a column without holes."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from pyro_mnar.analysis.design import Design
from pyro_mnar.data.files.source import Source
from pyro_mnar.data.row_weights import row_weights, sampling_weights


class Sampled(NamedTuple):
    """How the rows of a table were sampled.

    Attributes:
        weights: (N,) as a fit takes them, adding to what they tell; None without.
        design: of the estimates; None without weights, strata and clusters.
        about: a sentence on it, or None.
        left_out: columns that are no part of the model.
        units: (2, N) strata and clusters, by which members' tables are drawn; None without.
    """

    weights: np.ndarray | None
    design: Design | None
    about: str | None
    left_out: tuple[str, ...]
    units: np.ndarray | None = None


def add_design_options(command: argparse.ArgumentParser) -> None:
    """Add the options to a command."""
    command.add_argument(
        "--weight",
        metavar="COLUMN",
        help="sampling weights, 1 over the probability that a row came into the table, on any scale: rows count in proportion, in the "
        "model and in estimates; the column itself is left out of the model",
    )
    command.add_argument(
        "--strata", metavar="COLUMN", help="strata that were sampled separately, for members' tables and standard errors"
    )
    command.add_argument("--cluster", metavar="COLUMN", help="clusters that were sampled, such as schools, likewise")


def sampled(options: argparse.Namespace, source: Source, missing: Mapping[str, Collection[str]], used: Collection[str] = ()) -> Sampled:
    """Return how rows were sampled, as a command line says it.

    Args:
        options: parsed.
        source: the table.
        missing: by column, words that stand for a hole.
        used: columns that are asked for as part of the model.

    Raises:
        ValueError: naming the option, for an unknown column, one with holes, and weights that are none, by row.
    """
    columns = {name: getattr(options, name, None) for name in ("weight", "strata", "cluster")}
    given = {name: column for name, column in columns.items() if column is not None}
    for option, name in given.items():
        if name not in source.names:
            raise ValueError(f"--{option}: got unknown column {name!r}, expected one of {', '.join(source.names)}")
    if columns["weight"] in used:
        raise ValueError(
            f"--weight: got column {columns['weight']!r}, which is asked for as part of the model too, expected one of both"
        )
    if not given:
        return Sampled(None, None, None, ())
    found = {option: _column(option, name, source, missing) for option, name in given.items()}
    rows, weights = list(range(1, len(next(iter(found.values()))) + 1)), None
    if "weight" in found:
        own = row_weights(found["weight"], len(rows), rows, f"--weight: column {given['weight']!r}")
        weights = sampling_weights(own)
        weights = None if (weights == 1).all() else weights
    try:
        design = Design(found.get("weight"), found.get("strata"), found.get("cluster"))
    except ValueError as error:
        raise ValueError(f"{', '.join(f'--{option}' for option in given)}: {error}") from None
    words = ", ".join(f"{option} {name}" for option, name in given.items())
    about = f"Estimates are of the population that was sampled ({words}): {design.in_words()}."
    units = design.units if {"strata", "cluster"} & set(found) else None
    return Sampled(weights, design, about, () if "weight" not in given else (given["weight"],), units)


def _column(option: str, name: str, source: Source, missing: Mapping[str, Collection[str]]) -> np.ndarray:
    values = source.frame([name], missing, lenient=option != "weight")[name]
    holes = values.isna().to_numpy(bool)
    if holes.any():
        raise ValueError(f"--{option}: column {name!r}: got none in row {int(holes.argmax()) + 1}, expected no holes")
    if option == "weight" and values.dtype.kind not in "iuf":
        raise ValueError(f"--weight: column {name!r}: got {values.iloc[0]!r} in row 1, expected numbers above zero")
    return values.to_numpy(dtype=object if option != "weight" else float)
