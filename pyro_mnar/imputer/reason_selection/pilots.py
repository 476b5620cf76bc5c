"""Pilots: one short model for each candidate of :mod:`~pyro_mnar.imputer.reason_selection.selection`, with its bound and its price."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from pyro_mnar.imputer.reason_selection.mask_orders import leaving_by_few
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.infer.processes import each, n_processes
from pyro_mnar.infer.progress import also_expect, in_whole
from pyro_mnar.mechanisms.earlier_columns import read_of
from pyro_mnar.model.mnar import MNAR

#: What an effect must gain, in nats, and in nats a row beside: of an earlier column's value or absence, of a latent, of an own value.
#: Chosen on development tables (docs/reasons.md).
EARLIER, LATENT, OWN = (2.0, 0.0), (2.0, 0.004), (3.0, 0.004)
#: What complete columns beside own values must gain besides, in nats for each mask of a row: they take up what its law misses.
BESIDE = 0.025
#: Nats a row and column by which candidates differ that short pilots do not tell apart; and where only the worse is on two sides, whose
#: decoder, which starts with the spread that is seen, has farther to go.
CLOSE, CLOSE_ON_TWO_SIDES = 0.02, 0.05
#: Slope of a pilot, per scaled unit, below which an own-value term is hardly any.
SLIGHT = 0.3
#: Effects of all columns on all masks beyond which there is no pilot of those that could not gain what they cost.
_MANY = 100_000
#: What tells candidates apart: directions, earlier columns, latent.
_Key: TypeAlias = tuple[tuple[str, ...], str, bool]


class Candidate(NamedTuple):
    """What a pilot supposed: ``directions``, one word for each modeled column, ``none`` where its own value is not read; which
    ``earlier`` columns masks read: ``all``, ``complete`` (those without holes), ``absent`` (that they are missing, and no value),
    ``few`` (that they are missing, and as few values as explain the masks) or "" for none; whether they read the ``latent``. And its
    ``bound`` over the whole table less the ``cost`` of its effects.
    """

    directions: tuple[str, ...]
    earlier: str
    latent: bool
    bound: float = math.nan
    cost: float = 0.0

    @property
    def score(self) -> float:
        """The bound less the cost."""
        return self.bound - self.cost

    @property
    def by_value(self) -> bool:
        """Whether some mask reads its own value."""
        return {*self.directions} != {"none"}

    def includes(self, other: Candidate) -> bool:
        """Return whether it has all kinds of effects that ``other`` has."""
        earlier = other.earlier in ("", self.earlier) or self.earlier == "all"
        return earlier and self.latent >= other.latent and self.by_value >= other.by_value

    def turns_beside(self, other: Candidate) -> bool:
        """Return whether it has own values on two sides of a kind that ``other`` has not."""
        return bool({"middle", "tails"} & {*self.directions} - {*other.directions})

    def agrees(self, other: Candidate) -> bool:
        """Return whether both say the same of missing values: of no column different own values, or these in one alone."""
        words = zip(self.directions, other.directions, strict=True)
        return self.latent == other.latent and self.by_value == other.by_value and all(len({*pair} - {"none"}) < 2 for pair in words)


class InUnits(NamedTuple):
    """A ``specification`` that says what cells are; the columns ``x`` (N, D), scaled as it supposes, whose holes hold any number; the
    logarithm of the scaling's Jacobian, summed over observed cells; and ``limits`` (N, D, 2) of missing ones, or None.
    """

    specification: Specification
    x: Tensor
    log_jacobian: float
    limits: Tensor | None = None


class Pilots:
    """Candidates with their pilots, each fitted once."""

    def __init__(
        self,
        specification: Specification,
        stated: Sequence[str | None],
        ordered: bool,
        x: Tensor,
        mask: Tensor,
        settled: Tensor,
        weights: Tensor | None,
        fitted: Callable[..., tuple[float, MNAR]],
        n_jobs: int | None,
        progress: bool = False,
        worth: float = 1.0,
    ) -> None:
        self.specification, self.stated, self.ordered, self.x, self.mask = specification, stated, ordered, x, mask
        self.settled = settled  # missing cells whose limits are why
        self.weights = (torch.ones(len(mask)) if weights is None else weights).double()
        self.fitted, self.n_jobs, self.progress, self.worth = fitted, n_jobs, progress, worth
        self.rows = float(self.weights.sum())
        self.few = 0.0  # what the few seen values cost that explain who leaves
        self.found: dict[_Key, Candidate] = {}
        self.models: dict[_Key, MNAR] = {}

    def ranked(self) -> list[Candidate]:
        """Return the candidates that have what is stated, the best first, and then those that are there to compare with."""
        return sorted(self.found.values(), key=lambda candidate: (not self.honours(candidate), -candidate.score))

    def honours(self, candidate: Candidate) -> bool:
        """Return whether a candidate has what is stated."""
        words = zip(candidate.directions, self.stated, strict=True)
        return all(said in (None, word) for word, said in words) and (not self.ordered or candidate.earlier in ("all", "absent", "few"))

    def fit(self, candidates: Sequence[Candidate]) -> None:
        """Fit those that have no pilot yet; of rates alone, or few values, the bound follows from that of all, without own values."""
        none = ("none",) * len(self.stated)
        new = list(dict.fromkeys(candidate[:3] for candidate in candidates if candidate[:3] not in self.models))
        of_all = (none, "all", False) in [*new, *self.models] and not self.specification.alone
        without_pilot = [(none, "", False), (none, "few", False)] if of_all else [(none, "few", False)]
        derived = [key for key in new if key in without_pilot]
        wanted = [key for key in new if key not in derived]
        for key, (bound, model) in zip(wanted, self._each(self._calls(wanted)), strict=True):
            self._add(key, bound, model)
        for key in derived:
            at_random, model = self.found[none, "all", False], self.models[none, "all", False]
            by_columns = (model.log_mask(self.x, self.mask).double().masked_fill(self.settled, 0.0) * self.weights.unsqueeze(-1)).sum()
            self._add(key, at_random.bound - float(by_columns) + (self._by_few() if key[1] else self._by_rates()), model)

    def fit_longer(self, times: int, steps: int, **rates: float) -> None:
        """Fit the best candidates, three at most, that are close and tell of different reasons, so many ``times`` as long.

        The others are supposed to rise as the one of these that rises least. Few seen values have no pilot of their own to be fitted.
        """
        first, *others = before = self.ranked()
        cells, rivals = self.rows * len(self.specification.kinds), [first]
        for one in sorted(others, key=lambda other: not other.turns_beside(first)):
            close = CLOSE_ON_TWO_SIDES if one.turns_beside(first) else CLOSE
            near = first.score - one.score < close * cells and self.honours(one) and "few" not in (first.earlier, one.earlier)
            rivals += [one] if near and len(rivals) < 3 and not any(rival.agrees(one) for rival in rivals) else []
        if len(rivals) > 1:
            if self.progress:
                also_expect(times * self.worth * len(rivals))
            calls = self._calls([rival[:3] for rival in rivals], steps=times * steps, **rates)
            for rival, (bound, _) in zip(rivals, self._each(calls, times), strict=True):
                self.found[rival[:3]] = rival._replace(bound=bound)  # an ensemble starts better as the short pilot
            risen = max(0.0, min(self.found[rival[:3]].bound - rival.bound for rival in rivals))
            self.found |= {one[:3]: one._replace(bound=one.bound + risen) for one in before if one not in rivals}

    @torch.no_grad()
    def without_slight(self, candidate: Candidate) -> Candidate:
        """Return a candidate that has a pilot without those own-value terms that are hardly any and that nobody stated."""
        mechanism = self.models[candidate[:3]].mechanism
        assert mechanism is not None
        sizes = mechanism.own_effects().abs()[list(self.specification.columns)].tolist()  # of categories their effects' deviation
        words = zip(self.stated, candidate.directions, sizes, strict=True)
        return candidate._replace(directions=tuple(said or (word if size > SLIGHT else "none") for said, word, size in words))

    def too_many(self, earlier: str) -> bool:
        """Return whether earlier columns have more effects than could earn their price, and too many for a pilot that shows it.

        A probability of masks is at most 1: what masks read of seen values gains no more than minus their log likelihood by rates.
        """
        candidate = Candidate(("none",) * len(self.stated), earlier, False)
        return len(self.specification.kinds) ** 2 > _MANY and self.cost(candidate) > -self._by_rates()

    def _by_rates(self) -> float:
        """Return the log likelihood of masks by rates alone."""
        columns = list(self.specification.columns)
        counted = (self.weights @ (~self.settled).double())[columns]
        share = (self.weights @ (~self.mask & ~self.settled).double())[columns] / counted
        return float(((torch.xlogy(share, share) + torch.xlogy(1 - share, 1 - share)) * counted).sum())

    def _by_few(self) -> float:
        """Return the log likelihood of masks of rows that leave, by few seen values, and keep what these cost.

        Each costs as much as an own value, in whose place it stands.
        """
        spec, (order, *_) = self.specification, self.specification.orders or ((),)
        read = read_of(len(spec.kinds), spec.categories, spec.circular)
        rest = order, spec.columns, read, self.weights, self._price(OWN)
        gained, self.few = leaving_by_few(self.x, self.mask, self.settled, *rest)
        return gained

    def _calls(self, keys: Sequence[_Key], **settings: Any) -> list[Callable[[], tuple[float, MNAR]]]:
        quiet = {"progress": False} if n_processes(self.n_jobs, len(keys)) > 1 else {}  # bars of two would write over each other
        return [partial(self.fitted, self.specified(Candidate(*key)), **settings, **quiet) for key in keys]

    def _each(self, calls: Sequence[Callable[[], tuple[float, MNAR]]], times: int = 1) -> Iterator[tuple[float, MNAR]]:
        worth = times * self.worth
        return each(calls, n_jobs=self.n_jobs, said="choosing reasons", progress=self.progress and in_whole(), worth=worth)

    def _add(self, key: _Key, bound: float, model: MNAR) -> None:
        self.models[key] = model
        candidate = Candidate(*key)
        self.found[key] = candidate._replace(bound=bound, cost=self.cost(candidate))

    def specified(self, candidate: Candidate) -> Specification:
        """Return the specification of an ensemble that supposes what ``candidate`` does."""
        alone = self.specification.alone
        orders = self.specification.orders if candidate.earlier else (alone,) * self.specification.members if alone else None
        if candidate.earlier == "complete":
            whole = self.mask.all(0).nonzero().flatten().tolist()
            orders = (tuple(j for j in whole if j not in self.specification.unread),) * self.specification.members
        values = candidate.earlier != "absent"
        return replace(self.specification, directions=candidate.directions, latent=candidate.latent, orders=orders, values=values)

    def cost(self, candidate: Candidate) -> float:
        """Return the price of those effects that nobody stated."""
        spec = self.specification
        holes, words = (~self.mask).any(0).tolist(), zip(spec.columns, candidate.directions, self.stated, strict=True)
        effects = spec.effects()
        own = sum(effects[j] for j, word, said in words if word != "none" and not said)
        earlier, latent = 0, len(spec.columns) * spec.latent_dim * candidate.latent
        for order in (self.specified(candidate).orders or ())[:1]:
            # An earlier column with holes has one effect more; columns that the order leaves out come last.
            sums = [0, *accumulate(effects[k] * (candidate.earlier not in ("absent", "few")) + holes[k] for k in order)]
            places = {j: place for place, j in enumerate(order)}
            earlier = sum(sums[places.get(j, len(order))] for j in spec.columns)
        priced = sum(count * self._price(effect) for count, effect in ((own, OWN), (earlier, EARLIER), (latent, LATENT)))
        beside = BESIDE * self.rows * len(spec.columns) * (candidate.earlier == "complete")
        return priced + beside + self.few * (candidate.earlier == "few")

    def _price(self, effect: tuple[float, float]) -> float:
        return effect[0] + effect[1] * self.rows


def as_tried(in_units: Callable[[Specification], InUnits], specification: Specification) -> InUnits:
    """Return a specification as tried, in its units: noise that grows with the mean would explain a cut by the value nearly as well."""
    return in_units(replace(specification, growing=False))
