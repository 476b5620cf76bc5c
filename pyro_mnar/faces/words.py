"""What was assumed, and what it changed, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pyro_mnar.faces.declaration import MECHANISMS
from pyro_mnar.faces.imputer import MNARImputer
from pyro_mnar.results.diagnosis import Diagnosis, diagnose
from pyro_mnar.results.pooling import impute_ensemble
from pyro_mnar.tables import Column, Scaling, Schema, Units, is_frame
from pyro_mnar.tables.kinds import KINDS
from pyro_mnar.tables.units import REAL

_DIRECTIONS = {
    "high": "large values go missing more often",
    "low": "small values go missing more often",
    "free": "in a direction learned from the data",
}

_BY_CATEGORY = "each category as often as it does, learned from the data"

#: Observed standard deviations from the ignorable imputation beyond which an imputed mean is doubted aloud. A normal column whose
#: upper half is hidden is imputed about 2.6 above its observed mean.
_DOUBTFUL = 4.0


def kinds_of(schema: Schema) -> list[str]:
    """Return a line for each kind of columns that a table has.

    Example:
        >>> from pyro_mnar.tables import Column
        >>> kinds_of(Schema((Column("n", "count", "int64"), Column("sex", "categorical", "str", ("f", "m")))))
        ['Columns taken as count: n', 'Columns taken as categorical: sex (2)']
    """
    lines = []
    for kind in KINDS:
        names = []
        for column in schema.columns:
            if column.kind == kind:
                detail = f" ({len(column.levels)})" if column.levels else ""
                if column.bounds is not None:
                    detail = (
                        f" ({column.bounds[0]:g} repeats)" if kind == "semicontinuous" else " ({:g} to {:g})".format(*column.bounds)
                    )
                names.append(f"{column.name}{detail if kind != 'binary' else ''}")
        if names:
            lines.append(f"Columns taken as {kind}: {', '.join(names)}")
    return lines


def assumptions(imputer: MNARImputer) -> list[str]:
    """Return sentences that say what the fitted ``imputer`` took for granted.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> fitted = MNARImputer("none", steps=2, progress=False).fit(rng.normal(size=(9, 2)))
        >>> assumptions(fitted)[0]
        'Assumed: what is missing says nothing beyond what is observed (ignorable).'
    """
    declaration = imputer.declaration_
    sentences = [f"Assumed: {MECHANISMS[declaration['mechanism']]}."]
    names = [column.name for column in imputer.schema_.columns]
    if declaration["mechanism"] == "self-masking":
        kinds = [column.kind for column in imputer.schema_.columns]
        pairs = list(zip(declaration["columns"], declaration["directions"], strict=True))
        said = [(meaning, [j for j, d in pairs if d == word and kinds[j] != "categorical"]) for word, meaning in _DIRECTIONS.items()]
        for meaning, chosen in [*said, (_BY_CATEGORY, [j for j, _ in pairs if kinds[j] == "categorical"])]:
            if chosen:
                sentences.append(f"  {meaning}: {', '.join(str(names[j]) for j in chosen)}")
        gain = imputer.covariate_gain_
        why = "" if gain is None else f" (the data's choice, by {abs(gain):.3g} nats)"
        if declaration["covariates"]:
            sentences.append(f"  and the masks depend on: {', '.join(str(names[j]) for j in declaration['covariates'])}{why}")
        elif gain is not None:
            sentences.append(f"  and the masks depend on no complete column{why}")
    elif declaration["columns"]:
        sentences.append(f"  columns: {', '.join(str(names[j]) for j in declaration['columns'])}")
    if declaration["mechanism"] != "none":
        sentences.append("The data alone cannot test this: values beyond those observed follow from the assumption.")
    if declaration["mechanism"] in ("linear", "neural"):
        sentences.append(
            "Not identified: no column is known to stay out of another's masks, so fits of equal likelihood can impute differently. "
            "Compare --mechanism self-masking and other seeds; docs/identifiability.md says when the data decide."
        )
    elif declaration["mechanism"] == "self-masking" and len(names) == 1 and imputer.schema_.columns[0].kind not in REAL:
        sentences.append(
            "Not identified: of a column of levels alone the data say as much for any share among the missing. A related column, whose "
            "value stays out of the mask, decides; docs/identifiability.md says when."
        )
    return sentences


def shifts(imputer: MNARImputer, completed: np.ndarray, ignorable: np.ndarray, mask: np.ndarray) -> list[str]:
    """Return a line for each column with holes: mean of the imputed cells, under the assumption and under ignorable missingness.

    Of columns of levels, the level whose share among the imputed cells differs most.

    A last line doubts the assumption where the two lie implausibly far apart: a column whose mask depends on other columns, taken for
    one that masks itself, is explained by values that nobody saw, however far out they must be.

    Args:
        imputer: fitted.
        completed: (N, D) under the assumption.
        ignorable: (N, D) under ignorable missingness.
        mask: (N, D) True = observed.
    """
    lines = ["Mean of the imputed cells (difference from ignorable missingness, in observed standard deviations):"]
    width = max(len(str(column.name)) for column in imputer.schema_.columns)
    # Not the imputer's own scales: with a known direction those are of supposed complete columns.
    units, doubtful = Scaling.of(completed, mask).scale, []
    for j, column in enumerate(imputer.schema_.columns):
        holes = ~mask[:, j]
        if holes.any() and column.levels:
            lines.append(f"  {column.name!s:<{width}}  {_shares(column, completed[holes, j], ignorable[holes, j])}")
        elif holes.any():
            ours, theirs = completed[holes, j].mean(), ignorable[holes, j].mean()
            if abs(ours - theirs) > _DOUBTFUL * units[j]:
                doubtful.append(str(column.name))
            lines.append(f"  {column.name!s:<{width}}  {ours:.5g}, ignorable {theirs:.5g} ({(ours - theirs) / units[j]:+.2f})")
    if doubtful:
        lines.append(
            f"Doubtful: {', '.join(doubtful)} imputed more than {_DOUBTFUL:g} standard deviations away; does missingness there depend "
            "on other columns? Compare --covariates and --mechanism none."
        )
    return lines


def _shares(column: Column, ours: np.ndarray, theirs: np.ndarray) -> str:
    shares = np.stack([np.bincount(codes.astype(int), minlength=len(column.levels)) / len(codes) for codes in (ours, theirs)])
    k = int(np.abs(shares[0] - shares[1]).argmax())
    return f"{column.levels[k]}: {shares[0, k]:.1%} of the imputed, ignorable {shares[1, k]:.1%}"


def diagnosis(imputer: MNARImputer, X: Any) -> Diagnosis:
    """Return what is wrong with the fitted ``imputer`` and its imputation of the table ``X``, in the table's units.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3))
        >>> x[x[:, 0] > 1, 0] = np.nan
        >>> found = diagnosis(MNARImputer(direction="high", members=2, steps=20, progress=False).fit(x), x)
        >>> sorted(found.caveats)
        ['assumption']
    """
    table, values, mask = imputer._read(X)
    x, seen, members = imputer._scaled(values, mask), torch.from_numpy(mask), imputer.members_
    rows, columns = list(table.index) if is_frame(table) else None, [column.name for column in imputer.schema_.columns]
    seed = imputer._seed()
    units = Units(imputer.schema_.columns, imputer.scaling_)
    options: dict[str, Any] = {"labels": rows, "progress": imputer.progress, "n_jobs": imputer.n_jobs}
    draws = impute_ensemble(members, x, seen, draws=25 * len(members), seed=seed, **options)
    return diagnose(draws, members, x, seen, rows=rows, columns=columns, scaling=units, seed=seed)
