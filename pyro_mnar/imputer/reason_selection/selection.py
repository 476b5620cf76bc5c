r"""Which reasons masks have, where nothing is said of them: the data choose, as far as they can.

A candidate supposes for the columns of which nothing is said that their masks read their own values or not, and for all columns with
holes that masks read the seen values of earlier columns or not, and the row's latent or not
(:mod:`pyro_mnar.mechanisms.sequential_masking`). All candidates score the same data, observed values and masks, so that their bounds
compare. Each is fitted as one short model, a *pilot*, and the highest

    bound - sum over its effects (price + rate N),        N rows, or the sum of their weights,

is taken. An effect costs more than the one nat of Akaike (1974, "A new look at the statistical model identification", IEEE Transactions
on Automatic Control 19), meant for models that hold: here each is a little wrong, and what a wrong one gains grows with the rows.
Effects of seen values cost least: they leave imputations as they are. Those of the latent and of the own value move these to where
nothing was seen and must earn it: of candidates that fit alike the less assuming one is taken.

Not all are tried. First come rates alone, earlier columns (all, and as many as gain their price), the latent, and the own value: on two
sides where a column points to them, where columns together do, and on one side everywhere, free and as columns point; then the best of
these joined with each of the others; at last it, and the own values alone, without those that are hardly any. A pile of values at an
end looks like a cut to a model that has no end: own values that would be missing beyond it are left out. Bounds of short pilots still
rise: those that are close for that and tell of other reasons are fitted for longer. Of large tables some rows are what bounds are
compared by. Hundreds of columns are left out if they could not earn their price by telling every mask exactly.

Where rows leave one after another (dropout), own values are tried with the bare fact that a row has left, in place of the seen values
before. One value must then explain what these would, which the data contradict soon where it is false (docs/reasons.md). Against them
stand as few seen values as gain their price, and none on two sides: little is seen of a row that left early, so that it is predicted to
lie near the middle whatever the reason.

Own values and earlier columns are joined there and where an order is stated. Elsewhere a hard rule on a value can be told as one on its
relatives and their absence, which fits as well and leaves nothing for the value to say: masks that read own values may read complete
columns alone, at a price for each mask of a row besides, since they take from the value itself (docs/reasons.md). Where all own values
are stated, the latent, which stands for the values, is left out.

Data seldom tell all reasons apart. Where another one comes close, some members suppose it, unless rows leave or an order is stated
(:mod:`pyro_mnar.imputer.reason_selection.shares`). What a user says of a column is in every candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mnar.data.warn import warn
from pyro_mnar.imputation.ensemble import score_ensemble
from pyro_mnar.imputer.reason_selection.pilots import Candidate, Pilot, Pilots
from pyro_mnar.imputer.reason_selection.shares import lie_far, shared_out
from pyro_mnar.imputer.training.fit_files import FitFiles
from pyro_mnar.imputer.training.fitting import InUnits, as_tried, fit_specified, values_alone
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.infer.progress import step_worth
from pyro_mnar.infer.row_weights import some_rows
from pyro_mnar.infer.schedule import most_steps, rise
from pyro_mnar.mechanisms.starts import common_direction, graded
from pyro_mnar.model.limited import settled_cells
from pyro_mnar.model.mnar import MNAR

#: Share of the training steps that a pilot has, and how it makes up for it: rows an update for each of the ensemble's, learning rates.
PILOT, WIDER, RATES = 0.2, 4, {"lr": 4e-2, "mechanism_lr": 1e-1}
#: How many there mostly are, with the model as which they start.
PILOTS = 8
#: How many times the steps of a pilot those have that are close and tell of different reasons, at an ensemble's rates: the higher ones
#: of a short pilot hold it far from its best, and not as far for one as for another.
LONGER, LONG_RATES = 3, {"lr": 1e-2, "mechanism_lr": 5e-2}
#: Steps of a pilot, unless the ensemble's are fewer, updates between its looks, and the most rows by which bounds are compared.
LEAST, LOOKS, JUDGED = 200, 50, 10_000
#: Standard errors by which predicted spreads must differ for a term on two sides, or by which both halves must turn; up to which a
#: column points to no side, and by which such columns in sum must point inwards or outwards.
SIDED, TURNED, SHIFTED, SUMMED = 4.0, 2.0, 2.0, 2.0


class Choice(NamedTuple):
    """What was chosen: a ``specification`` that says all; the ``candidates`` that were tried, the best first, those that contradict
    what is stated last; for each member the pilot that it starts as; and a pilot in which no mask reads a missing value or the latent.
    """

    specification: Specification
    candidates: list[Candidate]
    starts: list[MNAR]
    ignorable: MNAR


def choose(
    specification: Specification,
    stated: Sequence[str | None],
    ordered: bool,
    leaving: bool,
    in_units: Callable[[Specification], InUnits],
    mask: Tensor,
    contrasts: Tensor,
    weights: Tensor | None = None,
    *,
    seed: int,
    steps: int | str,
    **settings: Any,
) -> Choice:
    """Return the reasons that the data choose.

    Args:
        specification: of the ensemble, with ``orders``.
        stated: of each modeled column its direction, or None where nothing is said.
        ordered: whether the order is stated, and masks read earlier columns in any case.
        leaving: whether rows leave one after another, in the order.
        in_units: takes a specification to the table in the units that it supposes.
        mask: (N, D) bool, True = observed.
        contrasts: (3, D) of the table, as of :func:`~pyro_mnar.mechanisms.starts.contrasts`.
        weights: (N,) of the rows, None being 1 each.
        seed, steps, settings: as :func:`~pyro_mnar.imputer.training.fitting.fit_specified`'s, of a full fit.

    Raises:
        KeyboardInterrupt: when interrupted before the data have chosen.
    """
    alone = settings | RATES | {"steps": _pilot_steps(steps), "batch_size": WIDER * settings["batch_size"]}
    ignorable = ("none",) * len(stated)
    narrow = alone | {"batch_size": settings["batch_size"], "n_jobs": None}
    shared = values_alone(specification, in_units, mask, weights=weights, seed=seed, **narrow)
    rows, counts = some_rows(weights, len(mask), JUDGED)
    judged: dict[str, Any] = {"rows": rows, "counts": counts, "weights": weights}
    fitted = partial(fitted_pilot, start=shared, in_units=in_units, mask=mask, seed=seed, **judged, **alone)
    seen = in_units(replace(specification, directions=ignorable))
    settled = torch.zeros_like(mask) if seen.limits is None else settled_cells(seen.limits, mask)  # a limited hole is explained
    shown = settings.get("n_jobs"), settings.get("progress", False), pilot_worth(steps, settings["batch_size"], len(mask))
    pilots = Pilots(seen.specification, stated, ordered, seen.x[rows], mask[rows], settled[rows], counts, fitted, *shown)
    none = tuple(word or "none" for word in stated)
    told = torch.zeros_like(contrasts) if leaving else contrasts
    # A column that is cut hard looks as if it were cut on two sides where it is skewed: one side is tried everywhere as well.
    one_side = [seen.specification.own_words(j)[0] for j in seen.specification.columns]
    by_sides = *sides_of(seen.specification, told), one_side, _directed(seen.specification, told[0], graded(pilots.x, pilots.mask))
    tried = [tuple(w or s for w, s in zip(stated, sides, strict=True)) for sides in by_sides]
    # Of columns whose own values are all said to decide, the latent, which stands for these, would take their place.
    latent = None in stated and not specification.unread
    in_turn, in_place = ordered or leaving, leaving and not specification.alone  # every mask reads an instrument's values
    before = "absent" if in_place else "all" if ordered else ""
    few = "few" if in_place else before
    too_many = not in_turn and pilots.too_many("all")
    at_random = Candidate(ignorable, "" if too_many else "all", False)
    if too_many:
        warn(
            f"whether masks read other columns was not tried: {mask.shape[1]} columns have too many effects on each other's masks for "
            f"{len(mask)} rows to tell"
        )
    by_value = [Candidate(words, before, False) for words in dict.fromkeys(tried)]
    some = [] if in_turn or too_many or any(stated) or specification.alone else [Candidate(ignorable, "some", False)]
    pilots.fit([at_random, Candidate(none, few, False), *some, *by_value, Candidate(none, before, latent)])
    by_value += [pilots.this_side(candidate) for candidate in by_value]
    pilots.fit(by_value)
    best, keys = pilots.ranked()[0], {candidate[:3] for candidate in by_value}
    own = next((one.directions for one in pilots.ranked() if one[:3] in keys and pilots.honours(one)), none)
    if not in_turn and bool(mask.all(0).any()) and not pilots.too_many("complete"):
        pilots.fit([Candidate(own, "complete", False)])
        best = pilots.ranked()[0]
    best = best._replace(earlier={few: before, "some": "all"}.get(best.earlier, best.earlier))
    joined = [best._replace(directions=own), best._replace(earlier="all"), best._replace(latent=latent)]
    pilots.fit([c for c in joined if in_turn or c.earlier != "all" or (c.directions == ignorable and not too_many)])
    best = pilots.ranked()[0]
    # Of all own values at once a short pilot may miss what it finds of some.
    pilots.fit([pilots.without_slight(best), pilots.without_slight(Candidate(own, before, False))])
    pilots.fit_longer(LONGER, alone["steps"], **LONG_RATES)
    candidates = pilots.ranked()
    told_of = candidates[:1] if in_turn else [one for one in candidates if pilots.honours(one)]  # few units tell how rows leave
    far = partial(lie_far, in_units=in_units, mask=mask, seed=seed)
    among = pilots.rows * len(specification.columns), specification.members
    chosen, follows = shared_out(told_of, *among, lambda one: far(pilots.specified(one), pilots.models[one[:3]]))
    first, *others = (pilots.specified(one) for one in chosen)
    if others:
        first = replace(first, others=tuple(others), follows=tuple(follows))
    return Choice(first, candidates, [pilots.models[chosen[k][:3]] for k in follows], pilots.models[at_random[:3]])


def fitted_pilot(
    specification: Specification,
    *,
    start: MNAR | None,
    in_units: Callable[[Specification], InUnits],
    mask: Tensor,
    weights: Tensor | None,
    rows: Tensor,
    counts: Tensor,
    seed: int,
    n_jobs: None = None,
    checkpoint: FitFiles | None = None,
    **settings: Any,
) -> Pilot:
    """Return a pilot, begun as ``start``, with its bound over ``rows`` that stand for so many, as of a density in the table's units."""
    specification, x, log_jacobian, limits = as_tried(in_units, specification)
    settings |= {"limits": limits, "weights": weights, "checkpoint": checkpoint, "starts": [] if start is None else [start]}
    _, (model,), (history,) = fit_specified(specification.first(1), x, mask, seed=seed, every=LOOKS, **settings)
    if history.stopped == "interrupted":
        raise KeyboardInterrupt  # there is nothing yet that an interrupted fit could keep

    def bound() -> float:
        ends = None if limits is None else limits[rows]
        bounds = score_ensemble([model.eval()], x[rows], mask[rows], limits=ends, particles=100, seed=seed)
        return float((bounds + log_jacobian[rows]).double() @ counts)

    score = bound() if checkpoint is None else checkpoint.number(model.state_dict(), x, mask, limits, weights, seed, found=bound)
    return Pilot(score, model.eval(), rise(history.evaluations))


def pilot_worth(steps: int | str, batch_size: int, n_rows: int) -> float:
    """Return what a pilot is worth, in training steps, where a full fit has these.

    Example:
        >>> pilot_worth(1000, 96, 10_000)
        400.0
    """
    return _pilot_steps(steps) * step_worth(min(WIDER * batch_size, n_rows))


def _pilot_steps(steps: int | str) -> int:
    most = most_steps(steps)
    return max(round(PILOT * most), min(most, LEAST))


def sides_of(specification: Specification, contrasts: Tensor) -> list[list[str]]:
    """Return for each modeled column which own-value term is tried, and which beside it where columns are taken together.

    A term is ``middle`` or ``tails`` where missing values are predicted to lie nearer to the middle than observed ones, or farther from
    it, rather than to one side; else ``free``. Of one column alone that is seldom clear. Together, those that point to no side have the
    term that their predictions have in sum; and where any has one, all have that of the sum over all: a column that is skewed, or seen
    through few others, points to one side though it misses both.
    """
    shift, spread, turn = contrasts[:, list(specification.columns)]
    turned, two_sided = turn.abs() > TURNED, ~spread.isnan()
    outwards = torch.where(turned, -turn, spread)
    sided = turned | (spread.abs() > SIDED) & (spread.abs() > 2 * shift.abs())
    undecided = two_sided & (sided | (shift.abs() <= SHIFTED))
    summed = outwards[undecided].sum() / max(1, int(undecided.sum())) ** 0.5
    alike = sided | undecided & (summed.abs() > SUMMED)
    towards = torch.where(sided, outwards, summed)
    found = [_words(specification, sided, outwards), _words(specification, alike, towards)]
    everywhere = [two_sided, torch.full_like(outwards, float(outwards.nansum()))]
    return [*found, _words(specification, *everywhere)] if bool(alike.any()) else found


def _directed(specification: Specification, shift: Tensor, few: Tensor) -> list[str]:
    ways = common_direction(shift).masked_fill(few, 0)[list(specification.columns)].tolist()
    words = zip((specification.own_words(j) for j in specification.columns), ways, strict=True)
    return [("high" if way > 0 else "low") if way and len(own) > 1 else own[0] for own, way in words]


def _words(specification: Specification, sided: Tensor, outwards: Tensor) -> list[str]:
    found = []
    for j, two, out in zip(specification.columns, sided.tolist(), outwards.tolist(), strict=True):
        one, *others = specification.own_words(j)
        word = "tails" if out > 0 else "middle"
        found.append(word if two and word in others else one)
    return found
