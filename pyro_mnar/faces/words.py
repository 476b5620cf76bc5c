"""What was assumed, and what it changed, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pyro_mnar.faces.declaration import MECHANISMS
from pyro_mnar.faces.imputer import MNARImputer
from pyro_mnar.results.diagnosis import Diagnosis, diagnose
from pyro_mnar.results.imputation import Imputation
from pyro_mnar.results.pooling import impute_ensemble
from pyro_mnar.tables import Column, Scaling, Schema, is_frame
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


def shifts(imputer: MNARImputer, result: Imputation, ignorable: Imputation | None, mask: np.ndarray) -> list[str]:
    """Return a line for each column with holes: the posterior mean of its missing cells, as assumed and if missingness were ignorable.

    Of columns of levels, the mean probability of the level for which the two differ most. The mean of a completed table's cells is the
    same only where these are filled with means.

    A last line doubts the assumption where the two lie implausibly far apart: a column whose mask depends on other columns, taken for
    one that masks itself, is explained by values that nobody saw, however far out they must be.

    Args:
        imputer: fitted.
        result: under the assumption, in the table's units.
        ignorable: under ignorable missingness; None where that is what was assumed.
        mask: (N, D) True = observed.
    """
    against = "" if ignorable is None else " (difference from ignorable missingness, in observed standard deviations)"
    lines = [f"Posterior mean of the missing cells{against}:"]
    width = max(len(str(column.name)) for column in imputer.schema_.columns)
    # Not the imputer's own scales: with a known direction those are of supposed complete columns.
    units, doubtful = Scaling.of(result.means.numpy(), mask).scale, []
    for j, column in enumerate(imputer.schema_.columns):
        holes = ~mask[:, j]
        if not holes.any():
            continue
        ours, theirs = (None if part is None else imputed_means(column, part, holes, j) for part in (result, ignorable))
        assert ours is not None
        if column.levels:
            k = int(np.argmax(ours if theirs is None else np.abs(ours - theirs)))
            said = f"{column.levels[k]}: {ours[k]:.1%} of the imputed"
            said += "" if theirs is None else f", ignorable {theirs[k]:.1%}"
        else:
            said = in_words(column, ours[0])
            if theirs is not None:
                far = (ours[0] - theirs[0]) / units[j]
                said += f", ignorable {in_words(column, theirs[0])} ({far:+.2f})"
                doubtful += [str(column.name)] if abs(far) > _DOUBTFUL else []
        lines.append(f"  {column.name!s:<{width}}  {said}")
    if doubtful:
        lines.append(
            f"Doubtful: {', '.join(doubtful)} imputed more than {_DOUBTFUL:g} standard deviations away; does missingness there depend "
            "on other columns? Compare --covariates and --mechanism none."
        )
    return lines if len(lines) > 1 else []


def imputed_means(column: Column, result: Imputation, holes: np.ndarray, j: int) -> np.ndarray:
    """Return the posterior mean of a column's missing cells, (1,), or the mean probability of each of its levels, (V,).

    Args:
        column: the table's ``j``-th.
        result: in the table's units.
        holes: (N,) bool, True where it is missing.
    """
    if column.levels:
        return result.probabilities[torch.from_numpy(holes), j, : len(column.levels)].double().mean(0).numpy()
    return np.array([result.means.numpy()[holes, j].mean()])


def in_words(column: Column, number: float) -> str:
    """Return a mean as it is printed: five digits, or a date.

    Example:
        >>> from pyro_mnar.tables import Column
        >>> in_words(Column("day", "date", "str"), 1.4), in_words(Column("pay", "positive", "float64"), 1234.5678)
        ('1970-01-02', '1234.6')
    """
    if column.kind != "date" or not np.isfinite(number):
        return f"{number:.5g}"
    return str(np.datetime64(round(float(number)), "D"))


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
    options: dict[str, Any] = {"labels": rows, "progress": imputer.progress, "n_jobs": imputer.n_jobs}
    draws = impute_ensemble(members, x, seen, draws=25 * len(members), seed=seed, **options)
    return diagnose(draws, members, x, seen, rows=rows, columns=columns, scaling=imputer.scaling_, seed=seed)
