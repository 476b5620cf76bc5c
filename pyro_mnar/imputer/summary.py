"""What was assumed, and what it changed, in words."""

from __future__ import annotations

import numpy as np
import torch

from pyro_mnar.analysis.design import Design
from pyro_mnar.analysis.rubin import pool
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.table import KINDS
from pyro_mnar.data.schema import Schema
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.words import MECHANISMS

#: Share of an estimate's uncertainty that is due to missing values, from which the assumption is named as nearly all of it.
_ASSUMED = 0.9
# Columns with holes of which each has a line of its own.
_MANY = 12


def kinds_of(schema: Schema) -> list[str]:
    """Return a line for each kind of columns that a table has.

    Example:
        >>> from pyro_mnar.data.kinds import Categorical, Count
        >>> kinds_of(Schema((Count("n", "int64"), Categorical("sex", "str", ("f", "m")))))
        ['Columns taken as categorical: sex (2)', 'Columns taken as count: n']
    """
    lines = []
    for kind in KINDS:
        own = [column for column in schema.columns if column.kind == kind]
        if own:
            names = [f"{column.name}{f' ({column.detail})' if column.detail else ''}" for column in own]
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
    specification, columns = imputer.specification_, imputer.codec_.columns
    sentences = [f"Assumed: {MECHANISMS[specification.mechanism]}."]
    if specification.separate:
        sentences += _reasons(imputer)
    elif specification.columns:
        sentences.append(f"  columns: {', '.join(str(columns[j].name) for j in specification.columns)}")
    if specification.mechanism != "none":
        sentences.append(
            "Between reasons that explain the data alike no data decide: what is known is stated by --direction, --order, --ignorable."
        )
    if specification.mechanism in ("linear", "neural"):
        sentences.append(
            "Not identified: no column is known to stay out of another's masks, so fits of equal likelihood can impute differently. "
            "Compare --mechanism self-masking and other seeds; docs/identifiability.md says when the data decide."
        )
    elif specification.separate and len(columns) == 1 and not columns[0].real:
        sentences.append(
            "Not identified: of a column of levels alone the data say as much for any share among the missing. A related column, whose "
            "value stays out of the mask, decides; docs/identifiability.md says when."
        )
    return sentences


def _reasons(imputer: MNARImputer) -> list[str]:
    """Return a line for each column with holes, or where these are many, for each reason."""
    sure = [word if word.startswith("stated") else f"{word} evidence" for word in imputer.reasons_["evidence"]]
    names, hows = (
        [str(name) for name in imputer.reasons_.index],
        [f"{reason} ({word})" for reason, word in zip(imputer.reasons_["reason"], sure, strict=True)],
    )
    if len(names) <= _MANY:
        return [f"  {name}: goes missing {how}" for name, how in zip(names, hows, strict=True)]
    alike = {how: [name for name, own in zip(names, hows, strict=True) if own == how] for how in hows}
    lines = []
    for how, some in alike.items():
        left = len(some) - _MANY
        said = ", ".join(some[:_MANY]) + (f" and {left} others" if left > 1 else f", {some[-1]}" if left == 1 else "")
        lines.append(f"  {said}: {'go' if some[1:] else 'goes'} missing {how}")
    return lines


def shifts(imputer: MNARImputer, result: Imputation, mask: np.ndarray) -> list[str]:
    """Return a line for each column with holes: the posterior mean of its missing cells, as assumed and if missing at random.

    Of columns of levels, the mean probability of the most probable level. The mean of a completed table's cells is the same only where
    these are filled with means.

    Args:
        imputer: fitted.
        result: in the table's units.
        mask: (N, D) True = observed.
    """
    lines, width, specification = [], max(len(str(column.name)) for column in imputer.codec_.columns), imputer.specification_
    for j, column in enumerate(imputer.codec_.columns):
        if mask[:, j].all() or column.circular:  # of directions no sum is taken
            continue
        ours = imputed_means(column, result, ~mask[:, j], j)
        if column.levels:
            k = int(np.argmax(ours))
            said = f"{column.levels[k]}: {ours[k]:.1%} of the imputed"
        else:
            said = column.in_words(ours[0])
            known = imputer.reasons_.loc[column.name] if column.name in imputer.reasons_.index else {}
            # Of what goes missing at random that is what was assumed.
            moved = specification.any_latent or j in specification.any_own or "at random" not in known.get("reason", "")
            told = moved and np.isfinite(known.get("ignorable_mean", np.nan))
            if told and known["observed_sd"] > 0:
                far = (known["mean"] - known["ignorable_mean"]) / known["observed_sd"]
                said += f"; if missing at random {column.in_words(known['ignorable_mean'])} ({-far:+.2f} observed standard deviations)"
        lines.append(f"  {column.name!s:<{width}}  {said}")
    return ["Posterior mean of the missing cells:", *lines] if lines else []


def estimates(
    imputer: MNARImputer, result: Imputation, mask: np.ndarray, design: Design | None = None, replicates: np.ndarray | None = None
) -> list[str]:
    """Return a line for each column of numbers with holes: its mean by Rubin's rules, and how uncertain holes make it.

    Args:
        imputer: fitted.
        result: with draws, in the table's units.
        mask: (N, D) True = observed.
        design: of the rows.
        replicates: (G, N), how often each row was in each member's table, or None.
    """
    from pyro_mnar.analysis.analyses import analyze
    from pyro_mnar.imputer.replicates import as_analyzed

    holed = [(j, column) for j, column in enumerate(imputer.codec_.columns) if not mask[:, j].all()]
    columns = [(j, column) for j, column in holed if not (column.levels or column.circular)]
    if len(result.draws) < 2 or len(mask) < 2 or not columns:
        return []
    width = max(len(str(column.name)) for _, column in columns)
    lines = ["Estimated means, with 95 % intervals, and how much of the uncertainty is due to missing values:"]
    for j, column in columns:
        values = result.draws[:, :, j].numpy()
        groups = imputer.members_of(len(values))
        if design is None:
            values = values[:, ~np.isnan(values).any(0)]  # cells that do not exist have no part in it
            pooled = pool(values.mean(1), values.var(1, ddof=1) / values.shape[1], complete_dof=values.shape[1] - 1, groups=groups)
        else:
            pooled = analyze(list(values), lambda own, rows: rows.mean(own), groups, **as_analyzed(design, replicates, groups))
        low, high = (float(end) for end in pooled.interval())
        share = float(pooled.fraction_missing)
        said = f"{column.in_words(float(pooled.estimate))} ({column.in_words(low)} to {column.in_words(high)}), {share:.0%}"
        said += ": almost all of this estimate is the assumption" if share > _ASSUMED else ""
        lines.append(f"  {column.name!s:<{width}}  {said}")
    return lines


@np.errstate(over="ignore", invalid="ignore")  # sums of the largest floats
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
