r"""Reference-based imputation of repeated measures: patients who leave are taken to go on as a reference group does.

A table has a row for each patient, a column for each visit, and a group. Under a normal model with means mu_g by group and a common
covariance, draws that suppose missing at random (MAR) are, with B the coefficients of the missing visits on the observed ones,

    y_mis = mu_g,mis + B (y_obs - mu_g,obs) + e.

Carpenter, Roger and Kenward 2013 ("Analysis of longitudinal trials with protocol deviation", Journal of Biopharmaceutical Statistics
23) replace group means after a patient's last visit. With d = mu_ref - mu_g, by which the reference differs from the patient's group
at each visit, that adds to the draw

    jump to reference           d_mis
    copy reference              d_mis - B d_obs                       (the patient was like the reference all along)
    copy increments             d_mis - d_last observed               (from there on, the reference's increments)

So each rule is a shift of the MAR draws, row by row, and needs no refit: d and B are estimated from each completed table, so that they
vary between tables as the imputations do. The estimates' own sampling error is not drawn. Visits missing before the last observed one
stay as they are, and patients of the reference group too. Tables must be completed under MAR.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from pyro_mnar.analysis.candidates import column_of
from pyro_mnar.analysis.completions import Completions

#: The rules by their word, with what each supposes.
RULES = {
    "jump": "after leaving, means jump to the reference group's",
    "copy": "the patient had the reference group's means all along",
    "increments": "after leaving, means change as the reference group's do",
}


def reference_based(
    completions: Completions,
    visits: Sequence[Hashable],
    group: Hashable,
    reference: Hashable,
    rule: str = "jump",
    covariates: Sequence[Hashable] = (),
) -> Completions:
    """Return completed tables in which the other groups' visits after the last observed one follow the reference group, by ``rule``.

    Args:
        completions: drawn under missing at random, with the group among the columns.
        visits: columns, in the order of time.
        group: the column that says the group; complete.
        reference: the reference group's value there.
        rule: ``jump``, ``copy`` or ``increments``.
        covariates: complete baseline columns, numbers, for which the groups' differences are adjusted.

    Raises:
        ValueError: for an unknown rule or column, holes in group or covariates, fewer than two groups, or no row of the reference.

    Example:
        >>> import pandas as pd
        >>> seen = pd.DataFrame({"arm": [0, 0, 0, 1, 1, 1], "v1": [1.0, 2, 3, 5, 6, 7], "v2": [1.0, 2, 4, 5, 6, np.nan]})
        >>> done = reference_based(Completions(seen, [seen.fillna(9.0)]), ["v1", "v2"], "arm", 0)
        >>> round(float(done.tables[0].v2[5]), 3)  # 9 less the difference of the arms' means at v2
        4.667
    """
    if rule not in RULES:
        raise ValueError(f"rule: got {rule!r}, expected one of {', '.join(RULES)}")
    for name in [group, *covariates]:
        if completions.holes(name).any():
            raise ValueError(f"column {name!r}: has holes, expected a complete one")
    holes = np.stack([completions.holes(name) for name in visits], 1)
    groups = np.asarray(column_of(completions.table, group))
    others = [g for g in np.unique(groups) if g != reference]
    if len(others) == len(np.unique(groups)) or not others:
        raise ValueError(f"reference: got {reference!r}, expected one of at least two groups: {', '.join(map(str, np.unique(groups)))}")
    last = np.where(~holes, np.arange(len(visits)), -1).max(1)
    after = np.arange(len(visits)) > last[:, None]
    # Design: an intercept, covariates, and an indicator for each group but the reference.
    members = np.stack([groups == g for g in others], 1).astype(float)
    baseline = [completions.values(name)[0] for name in covariates]
    design = np.column_stack([np.ones(len(groups)), *baseline, members])
    shifts = []
    for y in np.stack([completions.values(name) for name in visits], 2):
        coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
        residual = y - design @ coefficients
        cov = residual.T @ residual / max(1, len(y) - design.shape[1])
        # What the reference group would have had more, (N, visits); nothing for the reference itself.
        gap = -members @ coefficients[-len(others) :]
        shifts.append(np.where(after, gap - _carried(gap, holes, last, cov, rule), 0.0))
    for j, name in enumerate(visits):
        completions = completions.shift(name, np.stack([shift[:, j] for shift in shifts]))
    return completions


def _carried(gap: np.ndarray, holes: np.ndarray, last: np.ndarray, cov: np.ndarray, rule: str) -> np.ndarray:
    """Return the part of ``gap`` (N, visits) that a rule takes for granted at the observed visits."""
    carried = np.zeros_like(gap)
    if rule == "increments":
        return carried + np.where(last >= 0, gap[np.arange(len(gap)), last], 0.0)[:, None]
    if rule == "copy":
        for pattern in np.unique(holes, axis=0):
            if pattern.any() and not pattern.all():
                rows = (holes == pattern).all(1)
                slope = np.linalg.solve(cov[np.ix_(~pattern, ~pattern)], cov[np.ix_(~pattern, pattern)])
                carried[np.ix_(rows, pattern)] = gap[np.ix_(rows, ~pattern)] @ slope
    return carried
