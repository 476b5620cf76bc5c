r"""Instruments: columns that move whether a value is missing, and have no part in the value itself.

With y the column, s its mask, x other columns and z an instrument, such as which interviewer came, or how often a person was called,

    z independent of y given x,        z not independent of s given (y, x).

Whoever was asked with more zeal answers more often at the same y. Were values missing at random, those seen would then be alike over z;
how they differ says how s depends on y (Heckman 1979, "Sample selection bias as a specification error", Econometrica 47; Tchetgen
Tchetgen and Wirth 2017, "A general instrumental variable framework for regression analysis with outcome missing not at random",
Biometrics 73). It is the counterpart of a shadow variable (:mod:`pyro_mnar.imputer.identification.shadow`), which enters the value and
not the mask.

In the model z has a law of its own, which does not read the row's latent, so that no value is related to z but through x and through
going missing; and the mask of every column with holes reads it. A selection model of Heckman, y = x' b + e, seen where
x' c + d z + u > 0, (e, u) normal with correlation rho, is of this form: given y and x its mask is a probit of y, x and z, with slope
rho / (sd e sqrt(1 - rho^2)). An instrument is complete, since masks read it. A column that a strong one identifies may go missing
because of itself, unless its direction is stated.

Whether z moves the mask is looked at by the F of z in the least squares regression of the mask on z and the other columns, as
:mod:`pyro_mnar.imputer.identification.shadow` has it; weak below 10 (Staiger and Stock 1997). That z has no part in the value no data
say.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.schema import Schema
from pyro_mnar.data.warn import warn
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.identification.shadow import as_read, partial_f, strengths_in_words, weakness_in_words
from pyro_mnar.imputer.tables.given import Given

if TYPE_CHECKING:
    from pandas import DataFrame


def instruments_of(imputer: Imputer, schema: Schema, mask: np.ndarray, left_out: Collection[Hashable] = ()) -> tuple[int, ...]:
    """Return the places of the columns that are declared instruments.

    Args:
        imputer: its settings.
        schema: the D columns.
        mask: (N, D) True = observed.
        left_out: names of the table's other columns; what is said of them is not used.

    Raises:
        ValueError: for an unknown column, one with holes, one that is a shadow variable too, or a mechanism without masks of columns.
    """
    names = [column.name for column in schema.columns]
    for name in imputer.instrument:
        if name not in names and name not in left_out:
            raise ValueError(f"instrument: got unknown column {name!r}, expected some of {', '.join(map(str, names))}")
        if name in names and not mask[:, names.index(name)].all():
            row = int((~mask[:, names.index(name)]).argmax())
            raise ValueError(f"instrument: got column {name!r}, which has a hole in row {row}, expected complete columns")
        if name in imputer.shadow:
            raise ValueError(f"instrument: got column {name!r}, which is declared a shadow variable too, expected one of both")
    if imputer.mechanism in ("linear", "neural"):
        raise ValueError(
            f"instrument: got some with mechanism {imputer.mechanism!r}, whose masks read the whole row, expected auto or self-masking"
        )
    if imputer.mechanism == "none":
        warn("instrument: not used, since mechanism none supposes no reason for holes")
        return ()
    return tuple(sorted({names.index(name) for name in imputer.instrument if name in names}))


def mask_strengths(given: Given, modeled: Sequence[int], instruments: Sequence[int]) -> DataFrame:
    """Return the table ``instruments_``: for each column with holes and each instrument the partial F of its mask.

    Args:
        given: the table.
        modeled: columns whose masks are modeled.
        instruments: places of the instruments.
    """
    from pandas import DataFrame

    columns, mask, lines = given.codec.columns, given.mask, []
    blocks = [as_read(given, j) for j in range(len(columns))]
    for j in modeled:
        missing = (~mask[:, [j]]).astype(float)
        for z in instruments:
            others = [k for k in range(len(columns)) if k not in (j, z)]
            beside = [blocks[k] for k in others] + [(~mask[:, [k]]).astype(float) for k in others]
            f, first, second = partial_f(missing, blocks[z], np.hstack([np.ones_like(missing), *beside]))
            lines.append({"column": columns[j].name, "instrument": columns[z].name, "f": f, "of": first, "rows_left": second})
    return DataFrame(lines)


def instruments_in_words(imputer: Imputer) -> list[str]:
    """Return a sentence for each column and instrument: how strong it is."""
    return strengths_in_words(imputer.instruments_, "instrument {instrument} of {column} going missing")


def weak_instruments(imputer: Imputer) -> list[str]:
    """Return a sentence that names columns no instrument of which is strong, where some are declared."""
    return weakness_in_words(imputer.instruments_, "instrument: hardly moves whether {weak} is missing")
