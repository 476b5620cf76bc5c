"""What was decided about why values are missing, as a table and in words, with the doubts that it leaves.

Evidence for a reason is how much higher the best candidate that has it scores than the best one that has not
(:mod:`pyro_mnar.imputer.reason_selection`): called strong where the data are e^10 times as likely, moderate from e^3 on (Kass and
Raftery
1995, "Bayes factors", Journal of the American Statistical Association 90, call e^5 very strong; no candidate is quite right here, so
more is asked). For one column's own value, the members of the ensemble must agree on it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.data.schema import Schema
from pyro_mnar.data.transforms import Units
from pyro_mnar.imputation.ensemble import impute_ensemble
from pyro_mnar.imputer.reason_selection import Candidate
from pyro_mnar.imputer.specification import MECHANISMS
from pyro_mnar.infer.training import History
from pyro_mnar.model.mnar import MNAR

if TYPE_CHECKING:
    from pandas import DataFrame

#: Rows with holes that the table is made from, those of one column at least, and particles of each.
_ROWS, _EACH, _PARTICLES = 500, 50, 100
#: Pairs of columns that are named.
_PAIRS = 3
#: Effect of an earlier column, in units of score per standard deviation, from which it is named.
_NAMED = 0.25
#: Observed standard deviations by which imputed means may differ from the ignorable ones without a doubt.
FAR = 1.0
#: Rise of the bound over the last third of training, in nats a row and column, from which there is a doubt.
RISING = 0.2
#: Share of imputed values beyond the observed range, of a column of which at most this share is missing, from which there is a doubt.
BEYOND, NEARLY_WHOLE = 0.1, 0.1
_WORDS = {
    "high": "large values go missing",
    "low": "small values go missing",
    "middle": "values near the middle go missing",
    "tails": "values far from the middle go missing",
}


class Doubt(UserWarning):
    """A result that is to be doubted, and what settles it."""


def reasons_of(
    imputer: Any,
    stated: Sequence[str | None],
    ignorable: MNAR,
    first: tuple[Tensor, Units],
    values: np.ndarray,
    mask: np.ndarray,
) -> DataFrame:
    """Return the table ``reasons_`` of a fitted imputer.

    Args:
        imputer: with members, declaration, candidates, schema and scaling.
        stated: of each modeled column the direction that the user gave, or None.
        ignorable: a model in which no mask reads a missing value, of the columns as the next argument has them.
        first: these columns, (N, D), and their units.
        values: (N, D) in the table's units.
        mask: (N, D) True = observed.
    """
    from pandas import DataFrame

    declaration, columns = imputer.declaration_, imputer.schema_.columns
    rows = torch.from_numpy(_some_rows(mask))
    x, seen = imputer._scaled(values, mask), torch.from_numpy(mask)[rows]
    settings: dict[str, Any] = {"particles": _PARTICLES, "seed": imputer._seed(), "progress": False}
    draws = impute_ensemble(imputer.members_, x[rows], seen, draws=4 * len(imputer.members_), **settings).draws
    drawn = imputer.scaling_.invert(draws.double().numpy())
    plain = first[1].invert(impute_ensemble([ignorable], first[0][rows], seen, draws=16, **settings).draws.double().numpy())
    lines = []
    for place, j in enumerate(declaration["columns"]):
        holes, shown = ~seen[:, j].numpy(), values[mask[:, j], j]
        line: dict[str, Any] = {"column": columns[j].name, "missing": float((~mask[:, j]).mean())}
        line["reason"] = _reason(imputer, place, stated[place])
        line["evidence"] = _evidence(imputer, place, stated[place])
        if columns[j].kind != "categorical":
            inside = (drawn[:, holes, j] >= shown.min()) & (drawn[:, holes, j] <= shown.max())
            line |= {"beyond": float(1 - inside.mean()), "mean": float(drawn[:, holes, j].mean())}
            line |= {
                "ignorable_mean": float(plain[:, holes, j].mean()),
                "observed_mean": float(shown.mean()),
                "observed_sd": float(shown.std()),
            }
        lines.append(line)
    return DataFrame(lines).set_index("column")


def _some_rows(mask: np.ndarray) -> np.ndarray:
    """Return the places of rows with holes, spread over the table: ``_ROWS`` of all, and ``_EACH`` of each column's."""
    chosen = np.zeros(len(mask), dtype=bool)
    for holes, most in [(~mask.all(1), _ROWS), *((hole, _EACH) for hole in ~mask.T)]:
        at = np.flatnonzero(holes)
        if len(at):
            chosen[at[np.linspace(0, len(at) - 1, min(most, len(at))).round().astype(int)]] = True
    return np.flatnonzero(chosen)


def no_reasons(imputer: Any) -> DataFrame:
    """Return the table ``reasons_`` where one reason is stated for all columns with holes, and none is to be decided."""
    from pandas import DataFrame

    declaration = imputer.declaration_
    names = [imputer.schema_.columns[j].name for j in declaration["columns"]]
    words = {"reason": [MECHANISMS[declaration["mechanism"]]] * len(names), "evidence": ["stated"] * len(names)}
    return DataFrame({"column": names, **words}).set_index("column")


def reasons_to_json(reasons: DataFrame) -> dict[str, list[Any]]:
    """Return the table as plain lists, by column; a number that is not known is None."""
    plain = reasons.reset_index().to_dict("list")
    return {str(name): [None if isinstance(v, float) and np.isnan(v) else v for v in values] for name, values in plain.items()}


def reasons_from_json(plain: dict[str, list[Any]]) -> DataFrame:
    """Return the table that :func:`reasons_to_json` was given."""
    from pandas import DataFrame

    frame = DataFrame({name: values for name, values in plain.items()}).set_index("column")
    return frame.astype({name: float for name in frame.columns if name not in ("reason", "evidence")})


def doubts(imputer: Any) -> list[str]:
    """Return sentences that say which imputations of a fitted imputer are to be doubted, and what settles it."""
    reasons, found = imputer.reasons_, []
    rise = still_rising(imputer.histories_) / max(1, len(imputer.schema_.columns))
    if rise > RISING:
        found.append(
            f"training has not converged: the fit still improved over the last third of its {imputer.steps} steps. Raise steps "
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
        >>> from pyro_mnar.data.columns import Column
        >>> table = Schema((Column("old", "continuous", "float64"), Column("new", "continuous", "float64")))
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


def own_columns(imputer: Any) -> list[int]:
    """Return the positions of the columns whose masks read their own values by a term of their own."""
    declaration = imputer.declaration_
    if declaration["mechanism"] not in ("auto", "self-masking"):
        return []
    return [j for j, word in zip(declaration["columns"], declaration["directions"], strict=True) if word != "none"]


@torch.no_grad()
def missingness_of(imputer: Any, points: int) -> list[tuple[Any, np.ndarray, np.ndarray]]:
    """Return what :meth:`~pyro_mnar.imputer.imputer.MNARImputer.missingness` does."""
    wide = imputer._unscaled(torch.linspace(-4, 4, points).unsqueeze(-1).repeat(1, len(imputer.schema_.columns))).numpy()
    curves = []
    for j in own_columns(imputer):
        column = imputer.schema_.columns[j]
        # Four standard deviations to the side that goes missing shows the whole rise; of levels there are as many as there are.
        values = np.arange(float(len(column.levels))) if column.levels else np.unique(wide[:, j])
        rows = np.repeat(wide[:1], len(values), 0)
        rows[:, j] = values
        x = torch.zeros(rows.shape)  # the others' observed means
        x[:, j] = imputer._scaled(rows, np.ones_like(rows, dtype=bool))[:, j]
        chances = torch.stack([member.missing_rate(x)[:, j] for member in imputer.members_])
        curves.append((column.name, values, chances.numpy()))
    return curves


def _evidence(imputer: Any, place: int, word: str | None) -> str:
    """Return how strong the evidence is for what was decided about a column."""
    best, *others = imputer.candidates_
    own = best.directions[place] != "none"
    if word is not None:
        at_random = [c for c in imputer.candidates_ if set(c.directions) == {"none"} and not c.latent]
        against = own and at_random and max(c.score for c in at_random) - best.score > 10
        return "stated, but the data speak against it" if against else "stated"
    rivals = [
        c
        for c in others
        if (c.directions[place] != "none") != own or (not own and (c.latent, c.earlier) != (best.latent, best.earlier))
    ]
    gain = best.score - max((c.score for c in rivals), default=-np.inf)
    if own:
        slopes = torch.tensor([_own(member, imputer.declaration_["columns"][place]) for member in imputer.members_])
        agreement = float(slopes.mean().abs() / slopes.std(correction=0).clamp_min(1e-9)) if len(slopes) > 1 else np.inf
        gain = min(gain, 3.0 * agreement if agreement < 3 else np.inf)
    return "strong" if gain > 10 else "moderate" if gain > 3 else "weak"


@torch.no_grad()
def _own(member: MNAR, column: int) -> float:
    """Return a column's slope, or of categories the size of their effects."""
    return 0.0 if member.mechanism is None else float(member.mechanism.own_effects()[column])


def _reason(imputer: Any, place: int, word: str | None) -> str:
    """Return in words what decides whether a column's value goes missing."""
    best: Candidate = imputer.candidates_[0]
    j = imputer.declaration_["columns"][place]
    parts = []
    if best.directions[place] != "none":
        if imputer.schema_.columns[j].kind == "categorical":
            parts.append("its own category")
        else:
            rising = np.mean([_own(member, j) for member in imputer.members_]) > 0
            free = "high" if rising else "low"
            parts.append(f"its own value ({_WORDS.get(best.directions[place], _WORDS[free])})")
    if best.latent:
        parts.append("what the other columns are expected to be, seen or not")
    names = _earlier(imputer, j)
    if names:
        parts.append(f"the seen values of {', '.join(names)}")
    if not parts:
        return "completely at random"
    return ("at random given " if best.directions[place] == "none" and not best.latent else "by ") + " and ".join(parts)


@torch.no_grad()
def _earlier(imputer: Any, j: int) -> list[str]:
    """Return the names of the columns whose seen values, or absence, change a mask, at most three, the largest effect first."""
    sizes = np.zeros(len(imputer.schema_.columns))
    for member in imputer.members_:
        effects = None if member.mechanism is None else member.mechanism.effects_of_columns()
        if effects is not None:
            sizes += effects[j].numpy() / len(imputer.members_)
    order = [int(k) for k in np.argsort(-sizes)[:3] if sizes[k] > _NAMED]
    return [str(imputer.schema_.columns[k].name) for k in order]
