"""What was assumed, and what it changed, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pyro_mnar.faces.declaration import MECHANISMS
from pyro_mnar.faces.imputer import MNARImputer
from pyro_mnar.results.diagnosis import Diagnosis, diagnose
from pyro_mnar.results.pooling import impute_ensemble
from pyro_mnar.tables import Scaling, is_frame

_DIRECTIONS = {
    "high": "large values go missing more often",
    "low": "small values go missing more often",
    "free": "in a direction learned from the data",
}


#: Observed standard deviations from the ignorable imputation beyond which an imputed mean is doubted aloud. A normal column whose
#: upper half is hidden is imputed about 2.6 above its observed mean.
_DOUBTFUL = 4.0


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
        for word, meaning in _DIRECTIONS.items():
            chosen = [str(names[j]) for j, d in zip(declaration["columns"], declaration["directions"], strict=True) if d == word]
            if chosen:
                sentences.append(f"  {meaning}: {', '.join(chosen)}")
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
    return sentences


def shifts(imputer: MNARImputer, completed: np.ndarray, ignorable: np.ndarray, mask: np.ndarray) -> list[str]:
    """Return a line for each column with holes: mean of the imputed cells, under the assumption and under ignorable missingness.

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
        if holes.any():
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
    values, mask = imputer._read(X)
    x, seen, members = imputer._scaled(values, mask), torch.from_numpy(mask), imputer.members_
    rows, columns = list(X.index) if is_frame(X) else None, [column.name for column in imputer.schema_.columns]
    seed = imputer.random_state
    draws = impute_ensemble(members, x, seen, draws=25 * len(members), seed=seed, labels=rows, progress=imputer.progress)
    return diagnose(draws, members, x, seen, rows=rows, columns=columns, scaling=imputer.scaling_, seed=seed)
