"""What was assumed, and what it changed, in words."""

from __future__ import annotations

import numpy as np
import torch

from pyro_mnar.analysis.rubin import pool
from pyro_mnar.data.columns import KINDS, Column
from pyro_mnar.data.schema import Schema
from pyro_mnar.data.transforms import REAL
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.specification import MECHANISMS

#: Share of an estimate's uncertainty that is due to missing values, from which the assumption is named as nearly all of it.
_ASSUMED = 0.9


def kinds_of(schema: Schema) -> list[str]:
    """Return a line for each kind of columns that a table has.

    Example:
        >>> from pyro_mnar.data.columns import Column
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
    if declaration["mechanism"] in ("auto", "self-masking"):
        for name, row in imputer.reasons_.iterrows():
            sure = row["evidence"] if row["evidence"].startswith("stated") else f"{row['evidence']} evidence"
            sentences.append(f"  {name}: goes missing {row['reason']} ({sure})")
    elif declaration["columns"]:
        sentences.append(f"  columns: {', '.join(str(names[j]) for j in declaration['columns'])}")
    if declaration["mechanism"] != "none":
        sentences.append(
            "Between reasons that explain the data alike no data decide: what is known is stated by --direction, --order, --ignorable."
        )
    if declaration["mechanism"] in ("linear", "neural"):
        sentences.append(
            "Not identified: no column is known to stay out of another's masks, so fits of equal likelihood can impute differently. "
            "Compare --mechanism self-masking and other seeds; docs/identifiability.md says when the data decide."
        )
    elif declaration["mechanism"] in ("auto", "self-masking") and len(names) == 1 and imputer.schema_.columns[0].kind not in REAL:
        sentences.append(
            "Not identified: of a column of levels alone the data say as much for any share among the missing. A related column, whose "
            "value stays out of the mask, decides; docs/identifiability.md says when."
        )
    return sentences


def shifts(imputer: MNARImputer, result: Imputation, mask: np.ndarray) -> list[str]:
    """Return a line for each column with holes: the posterior mean of its missing cells, as assumed and if missing at random.

    Of columns of levels, the mean probability of the most probable level. The mean of a completed table's cells is the same only where
    these are filled with means.

    Args:
        imputer: fitted.
        result: in the table's units.
        mask: (N, D) True = observed.
    """
    lines, width = [], max(len(str(column.name)) for column in imputer.schema_.columns)
    for j, column in enumerate(imputer.schema_.columns):
        if mask[:, j].all():
            continue
        ours = imputed_means(column, result, ~mask[:, j], j)
        if column.levels:
            k = int(np.argmax(ours))
            said = f"{column.levels[k]}: {ours[k]:.1%} of the imputed"
        else:
            said = in_words(column, ours[0])
            known = imputer.reasons_.loc[column.name] if column.name in imputer.reasons_.index else {}
            if np.isfinite(known.get("ignorable_mean", np.nan)) and known["observed_sd"] > 0:
                far = (known["mean"] - known["ignorable_mean"]) / known["observed_sd"]
                said += f"; if missing at random {in_words(column, known['ignorable_mean'])} ({-far:+.2f} observed standard deviations)"
        lines.append(f"  {column.name!s:<{width}}  {said}")
    return ["Posterior mean of the missing cells:", *lines] if lines else []


def estimates(imputer: MNARImputer, result: Imputation, mask: np.ndarray) -> list[str]:
    """Return a line for each column of numbers with holes: its mean by Rubin's rules, and how uncertain holes make it.

    Args:
        imputer: fitted.
        result: with draws, in the table's units.
        mask: (N, D) True = observed.
    """
    columns = [(j, column) for j, column in enumerate(imputer.schema_.columns) if not column.levels and not mask[:, j].all()]
    if len(result.draws) < 2 or len(mask) < 2 or not columns:
        return []
    width = max(len(str(column.name)) for _, column in columns)
    lines = ["Estimated means, with 95 % intervals, and how much of the uncertainty is due to missing values:"]
    for j, column in columns:
        values = result.draws[:, :, j].numpy()
        groups = imputer.members_of(len(values))
        pooled = pool(values.mean(1), values.var(1, ddof=1) / len(mask), complete_dof=len(mask) - 1, groups=groups)
        low, high = (float(end) for end in pooled.interval())
        share = float(pooled.fraction_missing)
        said = f"{in_words(column, float(pooled.estimate))} ({in_words(column, low)} to {in_words(column, high)}), {share:.0%}"
        said += ": almost all of this estimate is the assumption" if share > _ASSUMED else ""
        lines.append(f"  {column.name!s:<{width}}  {said}")
    return lines


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
        >>> from pyro_mnar.data.columns import Column
        >>> in_words(Column("day", "date", "str"), 1.4), in_words(Column("pay", "positive", "float64"), 1234.5678)
        ('1970-01-02', '1234.6')
    """
    if column.kind != "date" or not np.isfinite(number):
        return f"{number:.5g}"
    return str(np.datetime64(round(float(number)), "D"))
