"""What was decided about why values are missing, as a table and in words, with the doubts that it leaves.

Evidence for a reason is how much higher the best candidate that has it scores than the best one that has not
(:mod:`pyro_mnar.imputer.reason_selection.selection`): called strong where the data are e^10 times as likely, moderate from e^3 on (Kass
and Raftery 1995, "Bayes factors", Journal of the American Statistical Association 90, call e^5 very strong; no candidate is quite right
here, so more is asked). For one column's own value, the members of the ensemble must agree on it as well. Where some members suppose
another reason (:mod:`pyro_mnar.imputer.reason_selection.shares`), both are told, and the evidence is weak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_mnar.data.codec import TableCodec
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.reason_selection.pilots import Candidate
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.imputer.words import MECHANISMS
from pyro_mnar.infer.torch_state import as_usual
from pyro_mnar.model.mnar import MNAR

if TYPE_CHECKING:
    from pandas import DataFrame

#: Rows with holes that the table is made from, those of one column at least, and particles of each.
_ROWS, _EACH, _PARTICLES = 500, 50, 100
#: Effect of an earlier column, in units of score per standard deviation, from which it is named.
_NAMED = 0.25
_WORDS = {
    "high": "large values go missing",
    "low": "small values go missing",
    "middle": "values near the middle go missing",
    "tails": "values far from the middle go missing",
}


@np.errstate(over="ignore", invalid="ignore")  # sums of the largest floats
def reasons_of(
    imputer: Imputer,
    stated: Sequence[str | None],
    ignorable: MNAR,
    first: TableCodec,
    given: Given,
) -> DataFrame:
    """Return the table ``reasons_`` of a fitted imputer.

    Args:
        imputer: with members, specification, candidates and codec.
        stated: of each modeled column the direction that the user gave, or None.
        ignorable: a model in which no mask reads a missing value.
        first: the codec of its columns.
        given: the table.
    """
    from pandas import DataFrame

    columns, values, mask = imputer.codec_.columns, given.values, given.mask
    rows = torch.from_numpy(_some_rows(mask | given.limited | given.absent))  # the others' reason is known
    seen = torch.from_numpy(mask)[rows]

    def drawn_from(codec: TableCodec, members: list[MNAR], draws: int) -> np.ndarray:
        own = replace(given, codec=codec)
        limits = None if own.limits is None else own.limits[rows]
        x, seed = own.x[rows], imputer.seed
        result = impute(members, x, seen, limits=limits, draws=draws, particles=_PARTICLES, seed=seed, progress=False)
        return codec.invert(result.draws.double().numpy())

    drawn = drawn_from(imputer.codec_, imputer.members_, 4 * len(imputer.members_))
    plain = drawn_from(first, [ignorable], 16)
    effects, lines = [_Effects.of(imputer, followers) for _, followers in imputer.specification_.supposed], []
    missing, absent = given.missing, given.absent
    told = (missing & ~given.limited)[rows.numpy()]
    for place, j in enumerate(imputer.specification_.columns):
        holes, shown = told[:, j], values[mask[:, j], j]
        line: dict[str, object] = {"column": columns[j].name, "missing": float(missing[~absent[:, j], j].mean())}
        line["reason"] = _reasons(imputer, place, effects)
        line["evidence"] = _evidence(imputer, place, stated[place], effects[0])
        if columns[j].ordered:
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


def no_reasons(imputer: Imputer) -> DataFrame:
    """Return the table ``reasons_`` where one reason is stated for all columns with holes, and none is to be decided."""
    from pandas import DataFrame

    specification = imputer.specification_
    names = [imputer.codec_.columns[j].name for j in specification.columns]
    words = {"reason": [MECHANISMS[specification.mechanism]] * len(names), "evidence": ["stated"] * len(names)}
    return DataFrame({"column": names, **words}).set_index("column")


@as_usual
@torch.no_grad()
def missingness_of(imputer: Imputer, points: int) -> list[tuple[str | int, np.ndarray, np.ndarray]]:
    """Return what :meth:`~pyro_mnar.imputer.imputer.MNARImputer.missingness` does."""
    codec = imputer.codec_
    wide = codec.invert(np.linspace(-4, 4, points, dtype=np.float32).astype(float)[:, None].repeat(len(codec.columns), 1))
    curves = []
    for j in imputer.specification_.any_own:
        column = codec.columns[j]
        # Four standard deviations to the side that goes missing shows the whole rise; of levels there are as many as there are.
        values = np.arange(float(len(column.levels))) if column.levels else np.unique(wide[:, j])
        rows = np.repeat(wide[:1], len(values), 0)
        rows[:, j] = values
        x = torch.zeros(rows.shape)  # the others' observed means
        x[:, j] = torch.from_numpy(codec.apply(rows, np.ones_like(rows, dtype=bool))[:, j])
        chances = torch.stack([member.missing_rate(x)[:, j] for member in imputer.members_])
        curves.append((column.name, values, chances.numpy()))
    return curves


class _Effects(NamedTuple):
    """What masks of some members read: of own values, member by member, their slopes, of categories the sizes of their effects,
    (members, D), 0 without a mechanism; and the mean size of what each column, seen or absent, does to each mask, (D, D)."""

    own: Tensor
    of_columns: np.ndarray

    @classmethod
    @torch.no_grad()
    def of(cls, imputer: Imputer, members: Sequence[int]) -> _Effects:
        # After an interruption the last of them are not there.
        some = [member for i, member in enumerate(imputer.members_) if i in members]
        d, mechanisms = len(imputer.codec_.columns), [member.mechanism for member in some]
        own = torch.stack([torch.zeros(d) if one is None else one.own_effects() for one in mechanisms])
        sizes = np.zeros((d, d))
        for one in mechanisms:
            effects = None if one is None else one.effects_of_columns()
            if effects is not None:
                sizes += effects.numpy() / len(mechanisms)
        return cls(own, sizes)


def _evidence(imputer: Imputer, place: int, word: str | None, effects: _Effects) -> str:
    """Return how strong the evidence is for what was decided about a column."""
    best, *others = imputer.candidates_
    own = best.directions[place] != "none"
    if word is not None:
        at_random = [c for c in imputer.candidates_ if set(c.directions) == {"none"} and not c.latent]
        against = own and at_random and max(c.score for c in at_random) - best.score > 10
        return "stated, but the data speak against it" if against else "stated"
    if any(one.latent != best.latent or (one.directions[place] != "none") != own for one in imputer.specification_.others):
        return "weak"
    rivals = [c for c in others if (c.directions[place] != "none") != own or (not own and _seen(c) != _seen(best))]
    gain = best.score - max((c.score for c in rivals), default=-np.inf)
    if own:
        slopes = effects.own[:, imputer.specification_.columns[place]]
        agreement = float(slopes.mean().abs() / slopes.std(correction=0).clamp_min(1e-9)) if len(slopes) > 1 else np.inf
        gain = min(gain, 3.0 * agreement if agreement < 3 else np.inf)
    return "strong" if gain > 10 else "moderate" if gain > 3 else "weak"


def _seen(candidate: Candidate) -> tuple[bool, str]:
    """Return what masks read beside own values; a few of the seen values are told as all of them are."""
    return candidate.latent, "all" if candidate.earlier in ("few", "some") else candidate.earlier


def _reasons(imputer: Imputer, place: int, effects: Sequence[_Effects]) -> str:
    """Return in words what decides whether a column's value goes missing; where members suppose different reasons, how many which."""
    supposed = imputer.specification_.supposed
    by_reason: Counter[str] = Counter()
    for (one, members), own in zip(supposed, effects, strict=True):
        by_reason[_reason(imputer, one, place, own)] += len(members)
    if len(by_reason) == 1:
        return next(iter(by_reason))
    return "; or ".join(f"{reason}, as {count} of {len(imputer.members_)} members suppose" for reason, count in by_reason.items())


def _reason(imputer: Imputer, supposed: Specification, place: int, effects: _Effects) -> str:
    """Return in words what decides whether a column's value goes missing, as some members suppose."""
    j, word = supposed.columns[place], supposed.directions[place]
    parts = []
    if word != "none":
        if not imputer.codec_.columns[j].ordered:
            parts.append("its own category")
        else:
            rising = float(effects.own[:, j].double().mean()) > 0
            free = "high" if rising else "low"
            parts.append(f"its own value ({_WORDS.get(word, _WORDS[free])})")
    if supposed.latent:
        parts.append("what the other columns are expected to be, seen or not")
    sizes = effects.of_columns[j]
    order = [int(k) for k in np.argsort(-sizes)[:3] if sizes[k] > _NAMED]  # the largest first
    names = [str(imputer.codec_.columns[k].name) for k in order]
    if names:
        named = ", ".join(names)
        parts.append(f"the seen values of {named}" if supposed.values else f"whether values of {named} are there")
    if not parts:
        return "completely at random"
    return ("at random given " if word == "none" and not supposed.latent else "by ") + " and ".join(parts)
