r"""Shadow variables: columns that are related to a missing one, and have no part in its going missing but through its value.

With y the column, s its mask, x other columns and w a shadow variable,

    w independent of s given (y, x),        w not independent of y given x.

How w is distributed where y is seen then says how y is distributed where it is not: P(s = 0 | y, x) solves an integral equation in
which w takes the place of an index, and is identified where w tells enough values of y apart (Miao and Tchetgen Tchetgen 2016, "On
varieties of doubly robust estimators under missingness not at random with a shadow variable", Biometrika 103; Wang, Shao and Kim 2014,
"An instrumental variable approach for identification and estimation with nonignorable nonresponse", Statistica Sinica 24, where it is
called an instrument). In the model no mask but its own reads w, neither its value nor its absence, and none reads the row's latent,
through which w would come in again. A column that a strong shadow variable identifies may go missing because of itself, unless its
direction is stated: how much is then estimated, where without one the data first choose whether.

Whether w tells values of y apart is looked at where both are seen: F of w in the least squares regression of y on w and the other
columns, with b coefficients of w, n rows and p columns in all,

    F  =  [(RSS without w - RSS) / b] / [RSS / (n - p)],

residual sums of squares added over the levels of a y that has such. It is called weak below 10, the rule of Staiger and Stock 1997
("Instrumental variables regression with weak instruments", Econometrica 65) for instruments, which stand to what they identify as
shadow variables do here. Other columns' holes count as their means, and their absence as a column more.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.schema import Schema
from pyro_mnar.data.warn import warn
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.imputer.training.specification import Specification

if TYPE_CHECKING:
    from pandas import DataFrame

#: F below which a shadow variable is called weak.
WEAK = 10.0
_NUMBERS = ["f", "of", "rows_left"]


def shadows_of(imputer: Imputer, schema: Schema, left_out: Collection[Hashable] = ()) -> tuple[int, ...]:
    """Return the places of the columns that are declared shadow variables.

    Args:
        imputer: its settings.
        schema: the D columns.
        left_out: names of the table's other columns; what is said of them is not used.

    Raises:
        ValueError: for an unknown column, or a mechanism whose masks read the whole row.
    """
    names = [column.name for column in schema.columns]
    for name in imputer.shadow:
        if name not in names and name not in left_out:
            raise ValueError(f"shadow: got unknown column {name!r}, expected some of {', '.join(map(str, names))}")
    if imputer.shadow and imputer.mechanism in ("linear", "neural"):
        raise ValueError(
            f"shadow: got some with mechanism {imputer.mechanism!r}, whose masks read the whole row, expected auto or self-masking"
        )
    if imputer.shadow and imputer.mechanism == "none":
        warn("shadow: not used, since mechanism none supposes no reason for holes")
        return ()
    return tuple(sorted({names.index(name) for name in imputer.shadow if name in names}))


def strengths(given: Given, modeled: Sequence[int], shadows: Sequence[int], called: str = "shadow") -> DataFrame:
    """Return the table ``shadows_``: for each column with holes and each shadow variable their partial F and its degrees of freedom.

    Args:
        given: the table.
        modeled: columns whose masks are modeled.
        shadows: places of the shadow variables.
        called: the name of the table's second column.
    """
    from pandas import DataFrame

    columns, mask, lines = given.codec.columns, given.mask, []
    blocks = [as_read(given, j) for j in range(len(columns))] if shadows else []
    for j in (j for j in modeled if shadows):
        for w in (w for w in shadows if w != j):
            rows = mask[:, j] & mask[:, w]
            others = [blocks[k][rows] for k in range(len(columns)) if k not in (j, w)]
            absent = [(~mask[rows][:, [k]]).astype(float) for k in range(len(columns)) if k not in (j, w)]
            f, first, second = partial_f(blocks[j][rows], blocks[w][rows], np.hstack([np.ones((int(rows.sum()), 1)), *others, *absent]))
            lines.append({"column": columns[j].name, called: columns[w].name, "f": f, "of": first, "rows_left": second})
    return DataFrame(lines, columns=["column", called, *_NUMBERS])


def identified(
    specification: Specification, stated: Sequence[str | None], schema: Schema, found: DataFrame
) -> tuple[Specification, list[str | None]]:
    """Return what is specified and stated where columns that a strong shadow variable or instrument identifies, and of which nothing is
    said, may go missing because of themselves: what it identifies is to be estimated, and no longer chosen.

    Args:
        specification, stated: as of :func:`~pyro_mnar.imputer.words.specification_of`.
        schema: the D columns.
        found: the table of :func:`strengths`, or that of instruments.
    """
    strong = set(found["column"][found["f"] >= WEAK])
    words = [
        "free" if word is None and schema.columns[j].name in strong and "free" in specification.own_words(j) else word
        for j, word in zip(specification.columns, stated, strict=True)
    ]
    return replace(specification, directions=tuple(word or "none" for word in words)), words


def strengths_from_json(plain: Mapping[str, list[object]], names: Collection[Hashable], called: str = "shadow") -> DataFrame:
    """Return the table that :func:`strengths` made of its columns as lists; ValueError for anything else."""
    from pandas import DataFrame

    table = ["column", called, *_NUMBERS]
    frame = DataFrame({name: plain[name] for name in table})
    if set(plain) != set(table) or not {*frame["column"], *frame[called]} <= set(names):
        raise ValueError(f"{called}s: got {list(plain)!r:.60}, expected {', '.join(table)}, of columns")
    for number in (number for name in _NUMBERS for number in plain[name]):
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < np.inf:
            raise ValueError(f"{called}s: got {number!r:.40}, expected finite numbers")
    return frame


def partial_f(y: np.ndarray, w: np.ndarray, x: np.ndarray) -> tuple[float, int, int]:
    """Return F of ``w`` (n, b) in the regression of ``y`` (n, m) on ``x`` (n, p) and ``w``, and its degrees of freedom.

    Columns that others add up to do not count. Without degrees of freedom, or where nothing is to be explained, F is 0.

    Example:
        >>> y = np.array([[1.0], [2.0], [4.0], [3.0]])
        >>> round(partial_f(y, np.array([[0.0], [1.0], [2.0], [3.0]]), np.ones((4, 1)))[0], 6)
        3.555556
    """
    (without, rank), (left, rank_of_all) = (_unexplained(part, y) for part in (x, np.hstack([x, w])))
    first, second = rank_of_all - rank, len(y) - rank_of_all
    if first == 0 or second <= 0 or without <= 0:
        return 0.0, first, max(second, 0)
    return float((without - left) / first / max(left / second, 1e-15 * without)), first, second


def strengths_in_words(found: DataFrame, about: str) -> list[str]:
    """Return a sentence for each row of a table of :func:`strengths`: how strong that is.

    Args:
        found: the table.
        about: what a row declares, with the names of the table's columns in braces.
    """
    said = []
    for row in found.to_dict("records"):
        word = "strong enough to identify" if row["f"] >= WEAK else f"weak, below {WEAK:g}"
        freedom = f"({int(row['of'])} and {int(row['rows_left'])} degrees of freedom)"
        said.append(f"Declared {about.format(**row)}: partial F {row['f']:.3g} {freedom}, {word}")
    return said


def weakness_in_words(found: DataFrame, about: str) -> list[str]:
    """Return a sentence that names the columns of which no row of a table of :func:`strengths` is strong, if there are any.

    Args:
        found: the table.
        about: the sentence's first part, with ``{weak}`` for the names.
    """
    best = found.groupby("column", sort=False)["f"].max()
    weak = ", ".join(str(name) for name, f in best.items() if f < WEAK)
    said = f"{about} (partial F below {WEAK:g}), so what is imputed there rests on the shape of the model"
    return [said.format(weak=weak)] if weak else []


def shadows_in_words(imputer: Imputer) -> list[str]:
    """Return a sentence for each column and shadow variable: how strong it is."""
    return strengths_in_words(imputer.shadows_, "shadow variable {shadow} of {column}")


def weak_shadows(imputer: Imputer) -> list[str]:
    """Return a sentence that names columns no shadow variable of which is strong, where some are declared."""
    return weakness_in_words(imputer.shadows_, "shadow: hardly related to {weak} beside the other columns")


def as_read(given: Given, j: int) -> np.ndarray:
    """Return a column as regressions read it, (N, m), 0 in the holes: a number over its scale, a level by whether it is that one."""
    column, values, mask = given.codec.columns[j], given.values[:, j], given.mask[:, j]
    if column.levels and not (column.ordered and len(column.levels) > 2):
        return np.where(mask[:, None], values[:, None] == np.arange(1, len(column.levels)), False).astype(float)
    return given.x[:, [j]].double().numpy() * mask[:, None]


def _unexplained(x: np.ndarray, y: np.ndarray) -> tuple[float, int]:
    """Return the residual sum of squares of a regression, and its rank."""
    found, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    return float(((y - x @ found) ** 2).sum()), int(rank)
