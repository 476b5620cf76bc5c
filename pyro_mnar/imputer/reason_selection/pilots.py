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

from pyro_mnar.imputer.reason_selection.mask_orders import masks_by_few, masks_by_rates
from pyro_mnar.imputer.training.specification import Specification, head_of
from pyro_mnar.infer.processes import each, n_processes
from pyro_mnar.infer.progress import also_expect, in_whole
from pyro_mnar.mechanisms.earlier_columns import read_of
from pyro_mnar.mechanisms.starts import piles
from pyro_mnar.model.mnar import MNAR
from pyro_mnar.networks.heads import NormalHead

#: What an effect must gain, in nats, and in nats a row beside: of an earlier column's value or absence, of a latent, of an own value.
#: Chosen on development tables (docs/reasons.md).
EARLIER, LATENT, OWN = (2.0, 0.0), (2.0, 0.004), (3.0, 0.004)
#: What complete columns beside own values must gain besides, in nats for each mask of a row: they take up what its law misses.
BESIDE = 0.025
#: Nats a row and column by which candidates differ that short pilots do not tell apart; where only the worse is on two sides, whose
#: decoder, which starts with the spread that is seen, has farther to go; and, where more, that share of what half their steps gained.
CLOSE, CLOSE_ON_TWO_SIDES, UNSETTLED = 0.02, 0.05, 0.3
#: Slope of a pilot, per scaled unit, below which an own-value term is hardly any.
SLIGHT = 0.3
#: Effects of all columns on all masks beyond which there is no pilot of those that could not gain what they cost.
_MANY = 100_000
#: What tells candidates apart: directions, earlier columns, latent.
_Key: TypeAlias = tuple[tuple[str, ...], str, bool]


class Candidate(NamedTuple):
    """What a pilot supposed: ``directions``, one word for each modeled column, ``none`` where its own value is not read; which
    ``earlier`` columns masks read: ``all``, ``some`` (what explains the masks), ``complete`` (those without holes), ``absent`` (that
    they are missing, and no value), ``few`` (that, and such values as explain who leaves) or "" for none; whether they read the
    ``latent``. And its ``bound`` over the whole table less the ``cost`` of its effects, with the nats a row by which it still rose.
    """

    directions: tuple[str, ...]
    earlier: str
    latent: bool
    bound: float = math.nan
    cost: float = 0.0
    rising: float = 0.0

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
        """Return whether both say the same of missing values: of no column own values on other sides, or these in one alone."""
        words = zip(*(["free" if word in ("high", "low") else word for word in one.directions] for one in (self, other)), strict=True)
        return self.latent == other.latent and self.by_value == other.by_value and all(len({*pair} - {"none"}) < 2 for pair in words)


class Pilot(NamedTuple):
    """A fitted one: its ``bound`` over the whole table, the ``model``, and the nats a row by which it still rose."""

    bound: float
    model: MNAR
    rising: float = 0.0


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
        fitted: Callable[..., Pilot],
        n_jobs: int | None,
        progress: bool = False,
        worth: float = 1.0,
    ) -> None:
        self.specification, self.stated, self.ordered = specification, stated, ordered
        self.x, self.mask, self.settled = x, mask, settled  # missing cells whose limits are why
        self.weights = (torch.ones(len(mask)) if weights is None else weights).double()
        self.fitted, self.n_jobs, self.progress, self.worth = fitted, n_jobs, progress, worth
        self.rows = float(self.weights.sum())
        normal = torch.tensor([head_of(kind) is NormalHead for kind in specification.kinds])
        self.piled = piles(x, mask, self.weights) & normal  # laws of other kinds know their ends
        self.paid: dict[str, float] = {}  # for those effects of earlier columns that were let in
        self.at_random: _Key = (("none",) * len(stated), "all", False)
        self.following: list[_Key] = [(self.at_random[0], way, False) for way in ("", "few", "some")]  # whose bounds follow from its
        self.found: dict[_Key, Candidate] = {}
        self.models: dict[_Key, MNAR] = {}

    def ranked(self) -> list[Candidate]:
        """Return the candidates that have what is stated, the best first, and then those that are there to compare with."""
        return sorted(self.found.values(), key=lambda candidate: (not self.honours(candidate), -candidate.score))

    def honours(self, candidate: Candidate) -> bool:
        """Return whether a candidate has what is stated, and no own value beyond an end at which values pile up."""
        words = zip(candidate.directions, self.stated, strict=True)
        in_turn = not self.ordered or candidate.earlier in ("all", "absent", "few")
        return in_turn and all(said in (None, word) for word, said in words) and self.this_side(candidate) is candidate

    @torch.no_grad()
    def this_side(self, candidate: Candidate) -> Candidate:
        """Return a candidate that has a pilot without those own values, not stated, that are missing beyond an end with a pile."""
        if not candidate.by_value or not bool(self.piled.any()):
            return candidate
        columns, mechanism = list(self.specification.columns), self.models[candidate[:3]].mechanism
        assert mechanism is not None
        beyond = torch.where(mechanism.own_effects() > 0, self.piled[1], self.piled[0])
        at = {"tails": self.piled.all(0)[columns].tolist()} | dict.fromkeys(("free", "high", "low"), beyond[columns].tolist())
        words = enumerate(zip(self.stated, candidate.directions, strict=True))
        kept = tuple("none" if not said and word in at and at[word][i] else word for i, (said, word) in words)
        return candidate if kept == candidate.directions else candidate._replace(directions=kept)

    def fit(self, candidates: Sequence[Candidate]) -> None:
        """Fit those that have no pilot yet; of rates alone, or few values, the bound follows from that of all, without own values."""
        new = list(dict.fromkeys(candidate[:3] for candidate in candidates if candidate[:3] not in self.models))
        of_all = self.at_random in [*new, *self.models] and not self.specification.alone
        derived = [key for key in new if key in self.following[not of_all :]]
        wanted = [key for key in new if key not in derived]
        for key, pilot in zip(wanted, self._each(self._calls(wanted)), strict=True):
            self._add(key, pilot)
        for key in derived:
            at_random, model = self.found[self.at_random], self.models[self.at_random]
            by_columns = (model.log_mask(self.x, self.mask).double().masked_fill(self.settled, 0.0) * self.weights.unsqueeze(-1)).sum()
            self._add(key, Pilot(at_random.bound - float(by_columns) + self._by_few(key[1]), model, at_random.rising))

    def fit_longer(self, times: int, steps: int, **rates: float) -> None:
        """Fit the best candidates, three at most, that are close and tell of different reasons, so many ``times`` as long.

        The others are supposed to rise as the one of these that rises least, or as one whose values have the same law. Models stay
        those of the short pilots, as which an ensemble starts better.
        """
        first, *others = before = self.ranked()
        cells, rivals, family = self.rows * len(self.specification.kinds), [self._fits(first)], [self.at_random, *self.following]
        for one in sorted(others, key=lambda other: not other.turns_beside(first)):
            close = CLOSE_ON_TWO_SIDES if one.turns_beside(first) else CLOSE
            close = max(close * cells, UNSETTLED * self.rows * max(first.rising, one.rising))
            near = first.score - one.score < close and self.honours(one) and "few" not in (first.earlier, one.earlier)
            rivals += [self._fits(one)] if near and len(rivals) < 3 and not any(rival.agrees(one) for rival in rivals) else []
        if len(rivals) > 1:
            if self.progress:
                also_expect(times * self.worth * len(rivals))
            calls = self._calls([rival[:3] for rival in rivals], steps=times * steps, **rates)
            risen = {rival[:3]: pilot.bound - rival.bound for rival, pilot in zip(rivals, self._each(calls, times), strict=True)}
            least = max(0.0, min(risen.values()))
            alike = next((risen[key] for key in family if key in risen), least)
            for one in before:
                by = risen.get(one[:3], alike if one[:3] in family else least)
                self.found[one[:3]] = one._replace(bound=one.bound + by)

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
        return len(self.specification.kinds) ** 2 > _MANY and self.cost(candidate) > -self._by_few("")

    def _by_few(self, way: str) -> float:
        """Return the log likelihood of masks by few effects of earlier columns, or by rates alone, and keep what these cost.

        Each costs as much as an own value, for which it may stand.
        """
        if not way:
            return masks_by_rates(self.mask, self.settled, self.specification.columns, self.weights)
        spec, (order, *_) = self.specification, self.specification.orders or ((),)
        read = read_of(len(spec.kinds), spec.categories, spec.circular)
        rest = order, spec.columns, read, self.weights, self._price(OWN)
        gained, self.paid[way] = masks_by_few(self.x, self.mask, self.settled, *rest, leaving=way == "few")
        return gained

    def _fits(self, one: Candidate) -> Candidate:
        """Return a candidate that has a pilot: of some effects that of rates alone, whose values have the same law."""
        return self.found.get((one.directions, "", one.latent), one) if one.earlier == "some" else one

    def _calls(self, keys: Sequence[_Key], **settings: Any) -> list[Callable[[], Pilot]]:
        quiet = {"progress": False} if n_processes(self.n_jobs, len(keys)) > 1 else {}  # bars of two would write over each other
        return [partial(self.fitted, self.specified(Candidate(*key)), **settings, **quiet) for key in keys]

    def _each(self, calls: Sequence[Callable[[], Pilot]], times: int = 1) -> Iterator[Pilot]:
        return each(calls, n_jobs=self.n_jobs, said="choosing reasons", progress=self.progress and in_whole(), worth=times * self.worth)

    def _add(self, key: _Key, pilot: Pilot) -> None:
        self.models[key] = pilot.model
        self.found[key] = Candidate(*key, pilot.bound, self.cost(Candidate(*key)), pilot.rising)

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
            values = candidate.earlier not in ("absent", "few")
            sums = [0, *accumulate((effects[k] * values + holes[k]) * (candidate.earlier != "some") for k in order)]
            places = {j: place for place, j in enumerate(order)}
            earlier = sum(sums[places.get(j, len(order))] for j in spec.columns)
        priced = sum(count * self._price(effect) for count, effect in ((own, OWN), (earlier, EARLIER), (latent, LATENT)))
        beside = BESIDE * self.rows * len(spec.columns) * (candidate.earlier == "complete")
        return priced + beside + self.paid.get(candidate.earlier, 0.0)

    def _price(self, effect: tuple[float, float]) -> float:
        return effect[0] + effect[1] * self.rows
