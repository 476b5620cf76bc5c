r"""Which reasons masks have, where nothing is said of them: the data choose, as far as they can.

A candidate supposes for the columns of which nothing is said that their masks read their own values or not, and for all columns with
holes that masks read the seen values of earlier columns or not, and the row's latent or not
(:mod:`pyro_mnar.mechanisms.sequential_masking`). All candidates score the same data, observed values and masks, so that their bounds
compare. Each is fitted as one short model, a *pilot*, and the highest

    bound - sum over its effects (price + rate N),        N rows,

is taken. An effect costs more than the one nat of Akaike (1974, "A new look at the statistical model identification", IEEE
Transactions on Automatic Control 19), which is meant for models that hold: here each is a little wrong, and what a wrong one gains by
its effects grows with the rows. Effects of seen values cost least, since they leave imputations as they are. Those of the latent and of
the own value move imputations to where nothing was seen and must earn it: of candidates that fit alike the less assuming one is taken.

Not all are tried. First come rates alone, earlier columns, the latent, and the own value; then the best of these joined with each of
the others; at last without the own-value terms that are hardly any.

Own values and earlier columns are joined where rows leave one after another (dropout) or an order is stated. Elsewhere they are not:
a hard rule on a value can be told as one on its relatives, which fits as well and leaves nothing for the value to say. Where all own
values are stated, earlier columns are let in beside them if own values alone explain more than earlier columns alone, and so stay the
main reason; the latent, which stands for the values, is not.

What a user says of a column is in every candidate. And no data tell candidates apart that fit alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mnar.imputation.ensemble import score_ensemble
from pyro_mnar.imputer.fitting import fit_specified
from pyro_mnar.imputer.specification import Specification
from pyro_mnar.infer.processes import each, n_processes
from pyro_mnar.mechanisms.starts import contrasts
from pyro_mnar.model.mnar import MNAR

#: What an effect must gain, in nats, and in nats a row beside: of an earlier column's value or absence, of a latent, of an own value.
#: Chosen on development tables (docs/reasons.md).
EARLIER, LATENT, OWN = (2.0, 0.0), (2.0, 0.004), (3.0, 0.004)
#: Share of the training steps that a pilot has, and how it makes up for it: rows an update for each of the ensemble's, learning rates.
PILOT, WIDER, RATES = 0.4, 4, {"lr": 4e-2, "mechanism_lr": 1e-1}
#: Steps of a pilot, unless the ensemble's are fewer.
LEAST = 400
#: Slope of a pilot, per scaled unit, below which an own-value term is hardly any.
SLIGHT = 0.3
#: Standard errors by which predicted spreads must differ for a term on two sides.
SIDED = 4.0


class Candidate(NamedTuple):
    """What a pilot supposed: ``directions``, one word for each modeled column, ``none`` where its own value is not read; whether masks
    read ``earlier`` columns; whether they read the ``latent``. And its ``bound`` over the whole table less the ``cost`` of its effects.
    """

    directions: tuple[str, ...]
    earlier: bool
    latent: bool
    bound: float = math.nan
    cost: float = 0.0

    @property
    def score(self) -> float:
        """The bound less the cost."""
        return self.bound - self.cost


class InUnits(NamedTuple):
    """A ``specification`` that says what cells are; the columns ``x`` (N, D), scaled as it supposes, whose holes hold any number; and
    the logarithm of the scaling's Jacobian, summed over observed cells.
    """

    specification: Specification
    x: Tensor
    log_jacobian: float


class Choice(NamedTuple):
    """What was chosen: a ``specification`` that says all; the ``candidates`` that were tried, the best first, those that contradict
    what is stated last; and a pilot in which no mask reads a missing value or the latent.
    """

    specification: Specification
    candidates: list[Candidate]
    ignorable: MNAR


def choose(
    specification: Specification,
    stated: Sequence[str | None],
    ordered: bool,
    in_turn: bool,
    in_units: Callable[[Specification], InUnits],
    mask: Tensor,
    *,
    seed: int,
    steps: int,
    **settings: Any,
) -> Choice:
    """Return the reasons that the data choose.

    Args:
        specification: of the ensemble, with ``orders``.
        stated: of each modeled column its direction, or None where nothing is said.
        ordered: whether the order is stated, and masks read earlier columns in any case.
        in_turn: whether rows leave one after another, so that own values and earlier columns may decide together in any case.
        in_units: takes a specification to the table in the units that it supposes.
        mask: (N, D) bool, True = observed.
        seed, steps, settings: as :func:`~pyro_mnar.infer.ensembles.fit_ensemble`'s, of a full fit.

    Raises:
        KeyboardInterrupt: when interrupted before the data have chosen.
    """
    alone = settings | RATES | {"steps": max(round(PILOT * steps), min(steps, LEAST)), "batch_size": WIDER * settings["batch_size"]}
    fitted = partial(_fitted, in_units=in_units, mask=mask, seed=seed, **alone)
    at_random = Candidate(("none",) * len(stated), True, False)
    seen = in_units(replace(specification, directions=at_random.directions))
    pilots = _Pilots(seen.specification, stated, ordered, seen.x, mask, fitted, settings.get("n_jobs"))
    none = tuple(word or "none" for word in stated)
    own = tuple(word or side for word, side in zip(stated, _sides(seen.specification, seen.x, mask), strict=True))
    # Of columns whose own values are all said to decide, the latent, which stands for these, would take their place.
    latent = None in stated
    first = [at_random, Candidate(none, ordered, False), Candidate(own, ordered, False), Candidate(none, ordered, latent)]
    pilots.fit(first)
    best = pilots.ranked()[0]
    joined = [best._replace(directions=own), best._replace(earlier=True), best._replace(latent=latent)]
    together = in_turn or (not latent and best.score >= pilots.found[at_random[:3]].score)
    pilots.fit([c for c in joined if together or not c.earlier or set(c.directions) == {"none"}])
    best = pilots.ranked()[0]
    sizes = zip(stated, best.directions, own_effects(pilots.models[best[:3]], specification.columns), strict=True)
    pilots.fit([best._replace(directions=tuple(said or (word if size > SLIGHT else "none") for said, word, size in sizes))])
    candidates = pilots.ranked()
    return Choice(pilots.specified(candidates[0]), candidates, pilots.models[at_random[:3]])


def _sides(specification: Specification, x: Tensor, mask: Tensor) -> list[str]:
    """Return for each modeled column which own-value term is tried: ``middle`` or ``tails`` where missing values are predicted to lie
    nearer to the middle than observed ones, or farther from it, rather than to one side; else ``free``."""
    shift, spread = contrasts(x, mask)[:, list(specification.columns)]
    sided = (spread.abs() > SIDED) & (spread.abs() > 2 * shift.abs())
    found = []
    for j, two, far in zip(specification.columns, sided.tolist(), spread.tolist(), strict=True):
        one, *others = specification.own_words(j)
        word = "tails" if far > 0 else "middle"
        found.append(word if two and word in others else one)
    return found


@torch.no_grad()
def own_effects(member: MNAR, columns: Sequence[int]) -> list[float]:
    """Return the size of each column's own-value term: its slope's, or the standard deviation of its categories' effects."""
    assert member.mechanism is not None
    sizes = member.mechanism.own_effects().abs().tolist()
    return [sizes[j] for j in columns]


class _Pilots:
    """Candidates with their pilots, each fitted once."""

    def __init__(
        self,
        specification: Specification,
        stated: Sequence[str | None],
        ordered: bool,
        x: Tensor,
        mask: Tensor,
        fitted: Callable[..., tuple[float, MNAR]],
        n_jobs: int | None,
    ) -> None:
        self.specification, self.stated, self.ordered, self.x, self.mask = specification, stated, ordered, x, mask
        self.fitted, self.n_jobs = fitted, n_jobs
        self.found: dict[Any, Candidate] = {}
        self.models: dict[Any, MNAR] = {}

    def ranked(self) -> list[Candidate]:
        """Return the candidates that have what is stated, the best first, and then those that are there to compare with."""
        return sorted(self.found.values(), key=lambda candidate: (not self._honours(candidate), -candidate.score))

    def _honours(self, candidate: Candidate) -> bool:
        words = zip(candidate.directions, self.stated, strict=True)
        return all(said in (None, word) for word, said in words) and (candidate.earlier or not self.ordered)

    def fit(self, candidates: Sequence[Candidate]) -> None:
        """Fit those that have no pilot yet; of rates alone the bound follows from that of earlier columns without own values."""
        none = ("none",) * len(self.stated)
        rates, at_random = (none, False, False), (none, True, False)
        new = list(dict.fromkeys(candidate[:3] for candidate in candidates if candidate[:3] not in self.models))
        wanted = [key for key in new if key != rates]
        quiet = {"progress": False} if n_processes(self.n_jobs, len(wanted)) > 1 else {}  # bars of two would write over each other
        calls = [partial(self.fitted, self.specified(Candidate(*key)), **quiet) for key in wanted]
        for key, (bound, model) in zip(wanted, each(calls, n_jobs=self.n_jobs), strict=True):
            self._add(key, bound, model)
        if rates in new:
            model = self.models[at_random]
            share = (~self.mask).double().mean(0)[list(self.specification.columns)]
            constant = (torch.xlogy(share, share) + torch.xlogy(1 - share, 1 - share)).sum() * len(self.mask)
            self._add(
                rates, self.found[at_random].bound - float(model.log_mask(self.x, self.mask).double().sum()) + float(constant), model
            )

    def _add(self, key: Any, bound: float, model: MNAR) -> None:
        self.models[key] = model
        candidate = Candidate(*key)
        self.found[key] = candidate._replace(bound=bound, cost=self.cost(candidate))

    def specified(self, candidate: Candidate) -> Specification:
        """Return the specification of an ensemble that supposes what ``candidate`` does."""
        orders = self.specification.orders if candidate.earlier else None
        return replace(self.specification, directions=candidate.directions, latent=candidate.latent, orders=orders)

    def cost(self, candidate: Candidate) -> float:
        """Return the price of those effects that nobody stated."""
        spec = self.specification
        holes, words = (~self.mask).any(0).tolist(), zip(spec.columns, candidate.directions, self.stated, strict=True)
        own = sum(spec.effects(j) for j, word, said in words if word != "none" and not said)
        earlier, latent = 0, len(spec.columns) * spec.latent_dim * candidate.latent
        if candidate.earlier and spec.orders is not None:
            # An earlier column with holes has one effect more.
            order = spec.orders[0]
            earlier = sum(spec.effects(k) + holes[k] for place, j in enumerate(order) if j in spec.columns for k in order[:place])
        n = len(self.mask)
        return sum(count * (price + rate * n) for count, (price, rate) in ((own, OWN), (earlier, EARLIER), (latent, LATENT)))


def _fitted(
    specification: Specification,
    *,
    in_units: Callable[[Specification], InUnits],
    mask: Tensor,
    seed: int,
    n_jobs: None = None,
    **settings: Any,
) -> tuple[float, MNAR]:
    """Return a pilot and its bound over the whole table, as of a density in the table's units."""
    specification, x, log_jacobian = in_units(specification)
    _, (model,), (history,) = fit_specified(specification.first(1), x, mask, seed=seed, **settings)
    if history.stopped == "interrupted":
        raise KeyboardInterrupt  # there is nothing yet that an interrupted fit could keep
    return float(score_ensemble([model.eval()], x, mask, particles=100, seed=seed).sum()) + log_jacobian, model
