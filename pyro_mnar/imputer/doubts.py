"""Which imputations of a fitted imputer are to be doubted, in words, and what settles it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_mnar.data.schema import Schema
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.infer.history import History
from pyro_mnar.infer.schedule import AUTO

#: Pairs of columns that are named.
_PAIRS = 3
#: Observed standard deviations by which imputed means may differ from the ignorable ones without a doubt.
FAR = 1.0
#: Rise of the bound over the last third of training, in nats a row and column, from which there is a doubt.
RISING = 0.2
#: Share of imputed values beyond the observed range, of a column of which at most this share is missing, from which there is a doubt.
BEYOND, NEARLY_WHOLE = 0.1, 0.1


class Doubt(UserWarning):
    """A result that is to be doubted, and what settles it."""


def doubts(imputer: Imputer) -> list[str]:
    """Return sentences that say which imputations of a fitted imputer are to be doubted, and what settles it."""
    reasons, found = imputer.reasons_, []
    rise = still_rising(imputer.histories_) / max(1, len(imputer.codec_.columns))
    ended = {history.stopped for history in imputer.histories_}
    if rise > RISING or (ended == {"steps"} and imputer.steps == AUTO):
        last = max((look.step for history in imputer.histories_ for look in history.evaluations[-1:]), default=0)
        found.append(
            f"training has not converged: the fit still improved over the last third of its {last} steps. State more steps "
            "(--steps) and see whether imputations move."
        )
    for name, row in reasons.iterrows() if "mean" in reasons else ():
        shift = abs(row["mean"] - row["ignorable_mean"]) / row["observed_sd"] if row["observed_sd"] > 0 else 0.0
        if shift > FAR and row["evidence"] in ("weak", "moderate", "stated, but the data speak against it"):
            found.append(
                f"{name}: imputed values have a mean {shift:.1f} standard deviations from what they would have if missing at random, "
                f"and the evidence for that is {row['evidence']}. State what is known by direction (high, low or none)."
            )
        if row["beyond"] > BEYOND and row["missing"] <= NEARLY_WHOLE:
            found.append(
                f"{name}: {row['beyond']:.0%} of the imputed values lie beyond the observed range, though nearly all of the column was "
                "seen. If values are missing at random there, state direction none."
            )
    return found


def still_rising(histories: Sequence[History]) -> float:
    """Return by how much a row's bound rose over the last third of training, the median over members; 0 of too few looks."""
    rises = []
    for history in histories:
        looks = history.evaluations
        if len(looks) >= 3:
            rises.append(looks[-1].train - looks[len(looks) * 2 // 3 - 1].train)
    return float(np.median(rises)) if rises else 0.0


def never_together(schema: Schema, mask: np.ndarray) -> list[str]:
    """Return a sentence that names pairs of columns that are never seen in the same row, three of them if there are more.

    Args:
        schema: the D columns.
        mask: (N, D) True = observed.

    Example:
        >>> from pyro_mnar.data.kinds import Continuous
        >>> table = Schema((Continuous("old", "float64"), Continuous("new", "float64")))
        >>> never_together(table, np.array([[True, False], [False, True]]))[0][:46]
        'old and new: never seen in the same row: how t'
    """
    seen = mask.astype(np.float32)
    pairs = np.argwhere(np.triu(seen.T @ seen == 0, 1))
    if not len(pairs):
        return []
    named = [f"{schema.columns[j].name} and {schema.columns[k].name}" for j, k in pairs[:_PAIRS]]
    more = f"; and {len(pairs) - _PAIRS} more pairs" if len(pairs) > _PAIRS else ""
    return [
        f"{'; '.join(named)}{more}: never seen in the same row: how they are related is not in the data, beyond what other"
        " columns tell of both."
    ]
