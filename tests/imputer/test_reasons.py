"""What is decided about why values are missing, where it is told, and what is doubted."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, special

from pyro_mnar import MNARImputer, amputate
from pyro_mnar.data import Schema
from pyro_mnar.data.kinds import Continuous
from pyro_mnar.imputer import learning
from pyro_mnar.imputer.doubts import doubts, never_together, still_rising
from pyro_mnar.imputer.reason_selection import mask_orders, pilots, selection
from pyro_mnar.imputer.reason_selection.pilots import Candidate, Pilot, Pilots
from pyro_mnar.imputer.reason_selection.selection import sides_of
from pyro_mnar.imputer.training.fitting import InUnits
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.imputer.words import MECHANISMS
from pyro_mnar.infer.history import Evaluation, History
from pyro_mnar.infer.row_weights import some_rows
from pyro_mnar.mechanisms.earlier_columns import read_of

QUICK = {"steps": 10, "members": 2, "hidden": (8,), "progress": False}
LEARNED = {"steps": 300, "members": 2, "hidden": (), "latent_dim": 1, "progress": False}


def related(n=500, seed=0, columns=4):
    """Columns that share a factor: of variance 1.25, any two correlated .8."""
    rng = np.random.default_rng(seed)
    return rng, rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, columns))


def error(completed, x, hidden):
    return np.sqrt(np.mean((completed[hidden, 0] - x[hidden, 0]) ** 2))


def few(n=120, seed=0):
    rng, x = related(n, seed)
    x[x[:, 0] > 0.5, 0] = np.nan
    x[rng.random(n) < 0.2, 1] = np.nan
    return x


@pytest.mark.filterwarnings("error")
def test_masks_that_depend_on_a_complete_column_are_not_taken_for_the_value_s_own_doing(seed):
    rng, x = related(seed=seed)
    hidden = rng.random(500) < special.expit(4 * x[:, 3])
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame.loc[hidden, "a"] = np.nan
    imputer = MNARImputer(random_state=seed, **LEARNED).fit(frame)
    found, best = imputer.reasons_.loc["a"], imputer.candidates_[0]
    assert "the seen values of d" in found.reason and best.earlier
    # Over six seeds 32 to 49.
    assert best.score > 15 + max(candidate.score for candidate in imputer.candidates_ if not candidate.earlier and not candidate.latent)
    # Pilots this short may let the own value in beside, by little.
    assert found.evidence != "strong" or found.reason.startswith("at random given")
    at_random = MNARImputer("none", random_state=seed, **LEARNED).fit(frame).transform(frame).to_numpy()
    ours = imputer.transform(frame).to_numpy()
    assert error(ours, x, hidden) < 1.15 * error(at_random, x, hidden)
    # A row in which what the masks read is missing has an answer too.
    frame.loc[:5, "d"] = np.nan
    assert np.isfinite(imputer.transform(frame)).all(axis=None)


def test_beside_a_stated_value_complete_columns_are_read_where_they_decide_too(seed):
    rng, x = related(600, seed=seed)
    hidden = rng.random(600) < special.expit(3 * (x[:, 0] - 0.3) + 4 * x[:, 3])
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame.loc[hidden, "a"] = np.nan
    imputer = MNARImputer(direction={"a": "high"}, random_state=seed, **LEARNED).fit(frame)
    best, alone = imputer.candidates_[0], [c for c in imputer.candidates_ if c.directions == ("high",) and not c.earlier]
    # Over six seeds 13 to 35.
    assert best[:3] == (("high",), "complete", False) and best.score > 5 + alone[0].score
    assert "and the seen values of d" in imputer.reasons_.loc["a", "reason"]
    own = rng.random(600) < special.expit(6 * (x[:, 0] - 0.6))
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame.loc[own, "a"] = np.nan
    imputer = MNARImputer(direction={"a": "high"}, random_state=seed, **LEARNED).fit(frame)
    # Over six seeds the columns gain -17 to -21, their price taken off.
    gains = {c.earlier: c.score for c in imputer.candidates_ if c.directions == ("high",)}
    assert gains["complete"] - gains[""] < 5


@pytest.mark.parametrize(("gained", "taken"), [(0.01, False), (0.02, False), (0.074, True), (0.1, True)])
@pytest.mark.parametrize(("n_rows", "n_whole"), [(300, 3), (5000, 3), (5000, 40)])
def test_beside_stated_values_complete_columns_must_gain_more_than_their_law_misses(n_rows, n_whole, gained, taken):
    """In nats for each mask of a row: .018 were the most, less half a nat an effect that chance gains, on nine development tables whose
    values alone decided, and .074 the least where complete columns decided too (docs/reasons.md)."""
    d, own = 2 + n_whole, ("high", "high")
    mask = torch.ones(n_rows, d, dtype=torch.bool)
    mask[:5, :2] = False
    spec = Specification("auto", (0, 1), own, ("continuous",) * d, 1, (), 1, orders=(tuple(range(d)),))

    def fitted(specification):
        return Pilot(2 * gained * n_rows * (specification.orders is not None), None)

    pilots = Pilots(spec, own, False, torch.zeros(n_rows, d), mask, torch.zeros_like(mask), None, fitted, None)
    pilots.fit([Candidate(own, "", False), Candidate(own, "complete", False)])
    assert (pilots.ranked()[0].earlier == "complete") == taken


@pytest.mark.parametrize("ordered", [True, False])
def test_where_an_order_is_stated_candidates_that_keep_it_come_first(ordered):
    spec = Specification("auto", (0, 1), ("none",) * 2, ("continuous",) * 3, 1, (), 1, orders=((0, 1, 2),))
    mask, bounds = torch.ones(9, 3, dtype=torch.bool), {"": 8.0, "complete": 9.0, "all": 1.0, "absent": 2.0, "few": 3.0}
    pilots = Pilots(spec, [None] * 2, ordered, torch.zeros(9, 3), mask, ~mask, None, lambda *_: None, None)
    candidates = [Candidate(("none",) * 2, way, False, bound) for way, bound in bounds.items()]
    pilots.found = {candidate[:3]: candidate for candidate in candidates}
    kept, others = ["few", "absent", "all"], ["complete", ""]
    assert [one.earlier for one in pilots.ranked()] == (kept + others if ordered else others + kept)


def test_prices_are_those_of_the_documented_effects():
    """Of 1000 rows an own value costs 3 + 4 nats, a latent's effect 2 + 4, an earlier column's value or absence 2 (docs/reasons.md)."""
    mask = torch.ones(1000, 5, dtype=torch.bool)
    mask[:5, :2] = False
    spec = Specification("auto", (0, 1), ("none",) * 2, ("continuous",) * 5, 3, (), 1, orders=((2, 3, 0, 1),), unread=(4,))
    own, none = ("high", "free"), ("none",) * 2
    prices = {
        (own, "", False): 2 * 7,
        # Columns 2 and 3 for both masks, and for the second the first one's value and absence.
        (none, "all", False): 2 * (2 + 4),
        (none, "absent", False): 2 * 1,
        (none, "", True): 6 * 3 * 2,
        # The complete columns that may be read, and 25 nats a mask for what they take up of the own value's law.
        (own, "complete", False): 2 * 7 + 2 * 4 + 2 * 25,
    }
    for stated, free in (([None, None], 0), (["high", None], 7)):
        pilots = Pilots(spec, stated, False, torch.zeros(1000, 5), mask, torch.zeros_like(mask), None, lambda *_: None, None)
        for key, price in prices.items():
            assert pilots.cost(Candidate(*key)) == pytest.approx(price - free * (key[0] == own), abs=1e-9), key


def test_self_masking_is_found_and_gains(seed):
    """Of large values in two columns and of small ones in two, half of whose spread is their own; of one column alone, related ones
    would tell as much."""
    rng, sign = np.random.default_rng(seed), np.array([1, 1, -1, -1])
    x = rng.normal(size=(800, 1)) + rng.normal(size=(800, 4))
    hidden = rng.random(x.shape) < special.expit(8 * (sign * x - 0.7))
    holed = np.where(hidden, np.nan, x)
    imputer = MNARImputer(random_state=seed, **LEARNED).fit(holed)
    best, none = imputer.candidates_[0], ("none",) * 4
    assert "none" not in best.directions and not best.latent
    assert best.score > 10 + max(candidate.score for candidate in imputer.candidates_ if candidate.directions == none)
    found = imputer.reasons_
    which = ["large", "large", "small", "small"]
    right = pd.Series(
        [told.startswith(f"by its own value ({word} values go missing)") for told, word in zip(found.reason, which, strict=True)]
    )
    # Two short members may differ on one of the columns.
    assert right.sum() >= 3 and (sign * (found["mean"] - found.ignorable_mean) > 0.5).sum() >= 3
    at_random = MNARImputer("none", random_state=seed, **LEARNED).fit(holed).transform(holed)
    ours, plain = (np.sqrt(np.mean((completed - x)[hidden] ** 2)) for completed in (imputer.transform(holed), at_random))
    assert ours < 0.85 * plain


def test_what_is_stated_is_in_every_candidate_and_of_the_rest_nothing_is_supposed():
    x = few()
    imputer = MNARImputer(direction={0: "low"}, **QUICK).fit(x)
    # The large values are missing: what contradicts the statement scores higher, and comes last all the same.
    told = [candidate for candidate in imputer.candidates_ if candidate.directions[0] == "low"]
    (other,) = imputer.candidates_[len(told) :]
    assert imputer.candidates_[: len(told)] == told and other.directions == ("none", "none") and other.score > told[0].score
    assert imputer.specification_.directions == told[0].directions
    scores = [candidate.score for candidate in told]
    assert scores == sorted(scores, reverse=True) and np.isfinite(scores).all()
    assert imputer.reasons_.loc[0, "evidence"].startswith("stated") and not imputer.reasons_.loc[1, "evidence"].startswith("stated")
    none = MNARImputer(direction="none", **QUICK).fit(x)
    assert none.specification_.directions == ("none", "none") and none.missingness() == []
    # Under self-masking a mapping leaves the others to the data, and no mapping leaves none of them out.
    assert MNARImputer("self-masking", direction={0: "none", 1: "high"}, **QUICK).fit(x).specification_.directions == ("none", "high")
    assert MNARImputer("self-masking", **QUICK).fit(x).specification_.directions == ("free", "free")


def test_the_table_has_what_a_statistician_asks_for():
    x = few()
    frame = pd.DataFrame(x, columns=list("abcd")).assign(e=pd.Categorical(np.where(x[:, 2] > 0, "p", "q")))
    frame.loc[::5, "e"] = np.nan
    frame = frame[["a", "e", "b", "c", "d"]]
    imputer = MNARImputer(direction={"a": "high"}, **QUICK).fit(frame)
    found = imputer.reasons_
    assert list(found.index) == ["a", "e", "b"]
    assert list(found) == ["missing", "reason", "evidence", "beyond", "mean", "ignorable_mean", "observed_mean", "observed_sd"]
    np.testing.assert_allclose(found.missing, frame[["a", "e", "b"]].isna().mean())
    numbers = found.loc[["a", "b"]]
    np.testing.assert_allclose(numbers.observed_mean, frame[["a", "b"]].mean())
    np.testing.assert_allclose(numbers.observed_sd, frame[["a", "b"]].std(ddof=0))
    assert found.loc["e", ["beyond", "mean", "ignorable_mean", "observed_mean", "observed_sd"]].isna().all()
    draws = imputer.impute(frame, draws=200).draws.numpy()
    for name, j in (("a", 0), ("b", 2)):
        holes = frame[name].isna().to_numpy()
        own = draws[:, holes, j]
        means = own.mean(1)
        # Eight draws of each row there, two hundred here.
        assert abs(found.loc[name, "mean"] - means.mean()) < 5 * means.std() / np.sqrt(8)
        outside = (own < frame[name].min()) | (own > frame[name].max())
        assert abs(found.loc[name, "beyond"] - outside.mean()) < 5 * outside.mean(1).std() / np.sqrt(8) + 0.01
    assert found.loc["a", "reason"].startswith("by its own value (large values go missing)") and found.loc["a", "evidence"] == "stated"
    assert set(found.evidence) <= {"stated", "stated, but the data speak against it", "weak", "moderate", "strong"}


@pytest.mark.parametrize("mechanism", ["none", "linear"])
def test_one_reason_for_all_is_told_as_stated(mechanism, tmp_path):
    imputer = MNARImputer(mechanism, **QUICK).fit(few())
    assert imputer.candidates_ == [] and imputer.reasons_.index.tolist() == [0, 1]
    assert set(imputer.reasons_.reason) == {MECHANISMS[mechanism]} and set(imputer.reasons_.evidence) == {"stated"}
    imputer.save(tmp_path / "m")
    pd.testing.assert_frame_equal(MNARImputer.load(tmp_path / "m").reasons_, imputer.reasons_)


def test_a_column_whose_few_holes_are_at_the_end_is_told_of_as_well(recwarn):
    _, x = related(700)
    x[:600, 0] = np.where(x[:600, 1] > 0, np.nan, x[:600, 0])
    x[:600:2, 3] = np.nan
    x[-2:, 2] = np.nan
    found = MNARImputer(direction="none", **QUICK | {"steps": 2}).fit(x).reasons_
    assert np.isfinite(found[["beyond", "mean", "ignorable_mean"]]).all(axis=None)
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_more_processes_choose_and_tell_the_same():
    x = few()
    one, two = (MNARImputer(n_jobs=jobs, **QUICK).fit(x) for jobs in (1, 2))
    assert one.candidates_ == two.candidates_ and one.specification_ == two.specification_
    pd.testing.assert_frame_equal(one.reasons_, two.reasons_, check_exact=True)
    assert one.transform(x).tobytes() == two.transform(x).tobytes()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"direction": {2: "high"}}, "direction: got a word for column 2, which has no holes; it is not used"),
        ({"mechanism": "none", "direction": "high"}, "direction: not used, since mechanism none supposes no reason for holes"),
        ({"mechanism": "none", "order": [1, 0]}, "order: not used, since mechanism none supposes no reason for holes"),
    ],
)
def test_what_is_stated_and_not_used_is_said_where_it_was_stated(settings, said):
    x, plain = few(), {"mechanism": "none"} if settings.get("mechanism") == "none" else {}
    with pytest.warns(UserWarning, match=said) as found:
        imputer = MNARImputer(**QUICK | settings).fit(x)
    assert [w.filename for w in found if str(w.message) == said] == [__file__]
    assert imputer.transform(x).tobytes() == MNARImputer(**QUICK | plain).fit(x).transform(x).tobytes()


@pytest.mark.parametrize("mechanism", ["auto", "none"])
def test_columns_never_seen_together_are_named_and_imputed(mechanism):
    rng, x = related(120)
    half = rng.random(120) < 0.5
    x[half, 2], x[~half, 3] = np.nan, np.nan
    with pytest.warns(UserWarning, match="^c and d: never seen in the same row: how they are related is not in the data") as found:
        imputer = MNARImputer(mechanism, **QUICK).fit(pd.DataFrame(x, columns=list("abcd")))
    assert [w.filename for w in found] == [__file__]
    completed = imputer.transform(pd.DataFrame(x, columns=list("abcd"))).to_numpy()
    assert np.isfinite(completed).all() and (completed[~np.isnan(x)] == x[~np.isnan(x)]).all()


def test_of_many_pairs_some_are_named_and_the_rest_counted():
    mask = np.eye(5, dtype=bool)
    schema = Schema(tuple(Continuous(name, "float64") for name in "abcde"))
    (said,) = never_together(schema, mask)
    assert said.startswith("a and b; a and c; a and d; and 7 more pairs: never seen in the same row")
    assert never_together(schema, ~mask) == never_together(schema, np.ones((1, 5), dtype=bool)) == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mechanism", ["auto", "self-masking", "none"])
def test_a_table_whose_every_row_is_incomplete(mechanism):
    rng, x = related(120)
    x[np.arange(120), rng.integers(0, 4, 120)] = np.nan
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*imputed values")  # so few steps leave doubts
        completed = MNARImputer(mechanism, **QUICK).fit_transform(x)
    assert np.isfinite(completed).all() and (completed[~np.isnan(x)] == x[~np.isnan(x)]).all()


def reasons(**changed):
    row = {"missing": 0.3, "reason": "by its own value (large values go missing)", "evidence": "weak", "beyond": 0.0}
    row |= {"mean": 5.0, "ignorable_mean": 2.0, "observed_mean": 0.0, "observed_sd": 2.0}
    return pd.DataFrame([{"column": "pay"} | row | changed]).set_index("column")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "pay: imputed values have a mean 1.5 standard deviations from what they would have if missing at random"),
        ({"mean": -1.0, "evidence": "moderate"}, "the evidence for that is moderate"),
        ({"evidence": "stated, but the data speak against it"}, "the data speak against it"),
        ({"evidence": "strong"}, None),
        ({"evidence": "stated"}, None),
        ({"mean": 3.9}, None),
        ({"observed_sd": 0.0}, None),
        ({"mean": 2.0, "beyond": 0.12, "missing": 0.1}, "pay: 12% of the imputed values lie beyond the observed range"),
        ({"mean": 2.0, "beyond": 0.1, "missing": 0.1}, None),
        ({"mean": 2.0, "beyond": 0.5, "missing": 0.11}, None),
        (dict.fromkeys(["mean", "ignorable_mean", "observed_mean", "observed_sd", "beyond"], np.nan), None),
    ],
)
def test_doubts(changed, said):
    found = doubts(SimpleNamespace(reasons_=reasons(**changed), histories_=[], codec_=SimpleNamespace(columns=[None])))
    assert found == [] if said is None else len(found) == 1 and said in found[0]


def test_training_that_still_rises_is_doubted():
    def history(*bounds):
        return History([Evaluation(100 * (i + 1), bound, None) for i, bound in enumerate(bounds)])

    flat, rising = history(-9.0, -5.0, -4.9), history(-9.0, -5.0, -4.0)
    assert still_rising([flat, rising, rising]) == pytest.approx(1.0) and still_rising([history(-9.0, -5.0)]) == 0.0
    for histories, said in (([flat] * 3, 0), ([rising] * 3, 1)):
        imputer = SimpleNamespace(
            reasons_=reasons(mean=2.0), histories_=histories, codec_=SimpleNamespace(columns=[None] * 4), steps=300
        )
        found = doubts(imputer)
        assert len(found) == said and (not said or ("training has not converged" in found[0] and "--steps" in found[0]))


def test_doubts_are_warnings_of_fit(monkeypatch):
    monkeypatch.setattr(learning, "reasons_of", lambda *_: reasons())
    with pytest.warns(UserWarning, match="pay: imputed values have a mean 1.5 .* State what is known by direction") as found:
        MNARImputer(**QUICK).fit(few())
    assert [w.filename for w in found] == [__file__]


def test_orders_of_many_columns_are_compared_by_as_many_masks_as_keep_the_work_small(monkeypatch):
    seen, whole = [], mask_orders._penalized

    def counted(x, mask, modeled, orders):
        seen.append((len(modeled), 2 * len(modeled) * len(orders) * x.shape[1]))
        return whole(x, mask, modeled, orders)

    monkeypatch.setattr(mask_orders, "_penalized", counted)
    for n_columns in (40, 300):
        x = torch.randn(20, n_columns)
        found = mask_orders.orders_of(x, x < 0.5, range(n_columns), None, 4, seed=0)
        assert all(sorted(order) == list(range(n_columns)) for order in found) and len({tuple(order) for order in found}) == 4
    # 40 columns are all looked at; of 300, with 16 orders, 72.
    assert seen == [(40, 2 * 40 * 16 * 40), (72, 2 * 72 * 16 * 300)]


def visits(seed, own, n=1500):
    """Four visits, neighbors correlated .6, that rows leave for good by the value then not seen or by the one before."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1)) * 0.6**0.5 + 0.4**0.5 * rng.normal(size=(n, 4))
    seen = np.ones((n, 4), bool)
    for t in range(1, 4):
        seen[:, t] = seen[:, t - 1] & (rng.random(n) < special.ndtr(1.0 - 1.2 * x[:, t if own else t - 1]))
    return torch.tensor(x), torch.tensor(seen)


def test_few_seen_values_explain_who_leaves(seed):
    """Exact: a probit regression on the value before alone; others are let in where chance alone gains their price, once in fifty."""
    x, mask = visits(seed, own=False)
    read, settled = read_of(4, {}, ()), torch.zeros_like(mask)
    given = torch.where(mask, x, torch.nan), mask, settled, [0, 1, 2, 3], [1, 2, 3], read, torch.ones(len(x)).double()
    likelihood, cost = mask_orders.masks_by_few(*given, 5.4, leaving=True)
    expected = 0.0
    for t in range(1, 4):
        there, design = mask[:, t - 1].numpy(), np.column_stack([np.ones(len(x)), x[:, t - 1]])[mask[:, t - 1].numpy()]
        sign = np.where(mask[:, t].numpy()[there], -1, 1)
        best = optimize.minimize(lambda b, design=design, sign=sign: -special.log_ndtr(sign * (design @ b)).sum(), np.zeros(2))
        expected -= best.fun
    # One of one, of two and of three.
    three = cost == pytest.approx(3 * 5.4 + np.log(6))
    assert three or cost < 3 * 5.4 + np.log(6) + 8 + np.log(3)
    assert likelihood == pytest.approx(expected, abs=1e-2) if three else expected < likelihood < expected + 15
    # What costs nothing is let in, all six, and at no gain worth its price none.
    assert mask_orders.masks_by_few(*given, -9.0, leaving=True)[1] == pytest.approx(-54 + np.log(2 * 2 * 3 * 3 * 3))
    assert mask_orders.masks_by_few(*given, 1e9, leaving=True)[1] == 0
    # Repeated rows are rows of that weight.
    twice = [part.repeat(2, 1) for part in given[:3]]
    assert mask_orders.masks_by_few(*twice, *given[3:6], torch.full((2 * len(x),), 0.5).double(), 5.4, leaving=True) == pytest.approx(
        (likelihood, cost)
    )


def test_rows_whose_hole_has_a_known_reason_are_no_part_of_a_column_s_regression_and_stay():
    """Exact where no effect is let in: the entropy of each column's share among the rows that are there and not settled."""
    _, mask = visits(0, own=False, n=300)
    settled = torch.zeros_like(mask)
    settled[:40, 1] = ~mask[:40, 1]
    expected, there = 0.0, torch.ones(300, dtype=torch.bool)
    for t in range(1, 4):
        rows = there & ~settled[:, t]
        gone, n = float((rows & ~mask[:, t]).sum()), float(rows.sum())
        expected += gone * np.log(gone / n) + (n - gone) * np.log(1 - gone / n)
        there &= mask[:, t] | settled[:, t]
    given = torch.zeros(300, 4), mask, settled, [0, 1, 2, 3], [1, 2, 3], read_of(4, {}, ()), torch.ones(300).double()
    assert settled.any() and mask_orders.masks_by_few(*given, 1e9, leaving=True) == pytest.approx((expected, 0.0), abs=1e-2)


def test_which_effects_are_let_in_does_not_hang_on_units(seed):
    x, mask = visits(seed, own=False, n=600)
    rest = [0, 1, 2, 3], [1, 2, 3], read_of(4, {}, ()), torch.ones(len(x)).double(), 5.4
    found = [
        mask_orders.masks_by_few(x * torch.tensor(by), mask, mask & False, *rest, leaving=True)
        for by in ([1.0] * 4, [5.0, 0.2, 5.0, 1.0])
    ]
    assert found[0][1] == found[1][1] and found[0][0] == pytest.approx(found[1][0], abs=0.2)


def test_masks_are_explained_by_as_many_earlier_columns_as_gain_their_price(seed):
    """Exact: the second mask reads the first column's value, the third that the second is missing; twenty more matter to nobody."""
    rng = np.random.default_rng(seed)
    x, mask = torch.tensor(rng.normal(size=(1500, 23))), torch.ones(1500, 23, dtype=torch.bool)
    mask[:, 1] = torch.tensor(rng.random(1500) < special.ndtr(0.5 - 1.2 * x[:, 0].numpy()))
    mask[:, 2] = torch.tensor(rng.random(1500) < np.where(mask[:, 1], 0.9, 0.5))
    mask[:, 3:] = torch.tensor(rng.random((1500, 20)) < 0.8)
    order, read, settled = list(range(23)), read_of(23, {}, ()), torch.zeros_like(mask)
    given = torch.where(mask, x, torch.nan), mask, settled, order, [1, 2], read, torch.ones(1500).double()
    likelihood, cost = mask_orders.masks_by_few(*given, 12.0, leaving=False)
    expected = 0.0
    for j, told in ((1, x[:, 0]), (2, (~mask[:, 1]).double())):
        design, sign = np.column_stack([np.ones(1500), told.numpy()]), np.where(mask[:, j].numpy(), -1, 1)
        best = optimize.minimize(lambda b, design=design, sign=sign: -special.log_ndtr(sign * (design @ b)).sum(), np.zeros(2))
        expected -= best.fun
    assert likelihood == pytest.approx(expected, abs=1e-2)
    # One of one; and one of two values and an absence.
    assert cost == pytest.approx(2 * 12 + np.log(3))
    # What comes later in the order, or is left out of it, is not read. In the reverse order the second mask reads that the third is
    # missing, one of 21 values and as many absences.
    for other, price in ((order[::-1], 12 + np.log(42)), (order[1:3], 0.0)):
        assert mask_orders.masks_by_few(*given[:3], other, [1], *given[5:], 12.0, leaving=False)[1] == pytest.approx(price)
    # Rows whose hole has a known reason are no part of a regression.
    settled[:700, 1:3] = ~mask[:700, 1:3]
    of_few, _ = mask_orders.masks_by_few(*given, 1e9, leaving=False)
    assert of_few == pytest.approx(mask_orders.masks_by_rates(mask, settled, [1, 2], torch.ones(1500).double()), abs=1e-2)
    assert of_few > mask_orders.masks_by_rates(mask, settled & False, [1, 2], torch.ones(1500).double())


def test_the_bound_of_some_earlier_columns_follows_from_that_of_all_at_the_price_of_own_values(seed):
    rng, none = np.random.default_rng(seed), ("none",) * 3
    x, mask = torch.tensor(rng.normal(size=(1000, 4))), torch.ones(1000, 4, dtype=torch.bool)
    mask[:, 1:] = torch.tensor(rng.random((1000, 3)) < special.ndtr(0.8 - x[:, :1].numpy()))
    model = SimpleNamespace(log_mask=lambda x, mask: torch.full((1000, 4), -0.125).double())
    spec = Specification("auto", (1, 2, 3), none, ("continuous",) * 4, 1, (), 1, orders=((0, 1, 2, 3),))
    pilots = Pilots(spec, [None] * 3, False, x, mask, mask & False, None, lambda *_, **__: Pilot(-10.0, model), None)
    pilots.fit([Candidate(none, "all", False), Candidate(none, "some", False)])
    given = x, mask, mask & False, [0, 1, 2, 3], [1, 2, 3], read_of(4, {}, ()), torch.ones(1000).double()
    likelihood, cost = mask_orders.masks_by_few(*given, 3 + 0.004 * 1000, leaving=False)
    found = pilots.found[none, "some", False]
    assert found.bound == pytest.approx(-10 + 500 + likelihood) and found.cost == pytest.approx(cost) and cost > 3 * 7


@pytest.mark.parametrize(("gain", "by_own"), [(10.0, True), (-30.0, False)])
def test_where_rows_leave_own_values_are_tried_in_place_of_seen_ones(gain, by_own, monkeypatch):
    """Pilots that are given: of masks by own values alone, their bound is ``gain`` above that of all seen values."""
    x, mask = visits(1, own=True, n=600)
    columns, read, rows = [1, 2, 3], read_of(4, {}, ()), torch.ones(600).double()
    by_all, _ = mask_orders.masks_by_few(x, mask, mask & False, [0, *columns], columns, read, rows, -1e9, leaving=True)
    cells = torch.zeros(600, 4).double().index_fill(1, torch.tensor([1]), by_all / 600)
    model = SimpleNamespace(mechanism=SimpleNamespace(own_effects=lambda: torch.ones(4)), log_mask=lambda *_: cells)

    def fitted(specification, **_):
        own, latent = set(specification.directions) != {"none"}, specification.latent
        alone = not specification.values
        return Pilot(-1000.0 + (gain if own and alone else 1.0 if own or latent else -60.0 if alone else 0.0), model)

    monkeypatch.setattr(selection, "fitted_pilot", fitted)
    monkeypatch.setattr(selection, "values_alone", lambda *_, **__: None)
    spec = Specification("auto", (1, 2, 3), ("none",) * 3, ("continuous",) * 4, 3, (), 1, orders=((0, 1, 2, 3),))
    turned = torch.full((3, 4), 9.0)  # what is seen of a row that leaves early predicts little, so nearer to the middle
    settings = {"seed": 0, "steps": 1000, "batch_size": 96}
    choice = selection.choose(spec, [None] * 3, False, True, lambda one: InUnits(one, x, torch.zeros(len(x))), mask, turned, **settings)
    scores = {candidate[:3]: candidate.score for candidate in choice.candidates}
    none, own = ("none",) * 3, ("free",) * 3
    assert {words for words, *_ in scores} == {none, own}
    best = choice.candidates[0]
    assert best.score == max(scores.values())
    assert best[:3] == (own, "absent", False) if by_own else best.directions == none and best.earlier in ("all", "few")
    assert choice.specification.values is not by_own and choice.specification.directions == best.directions
    # 3 + .004 * 600 an own value, 2 an absence; an effect of a seen value, of which there are 1, 2 and 3, costs 2.
    assert scores[own, "absent", False] == pytest.approx(-1000 + gain - 3 * 5.4 - 3 * 2)
    assert scores[none, "all", False] == pytest.approx(-1000 - 6 * 2 - 3 * 2)
    # The value just before, at each visit, and no other: what that leaves out is what the two others gain.
    few, cost = mask_orders.masks_by_few(x, mask, mask & False, [0, *columns], columns, read, rows, 5.4, leaving=True)
    assert scores[none, "few", False] == pytest.approx(-1000 - by_all + few - cost - 3 * 2)


@pytest.mark.parametrize(
    "shift, spread, turn, alone, together, everywhere",
    [
        # Clear alone; and in sum, of those that point to no side; a column that points to one side is left out of it, but for the last.
        ([0.0, 0.5, -1.0, 6.0], [9.0, 1.0, 1.5, 1.0], [0.0] * 4, "tails free free free", "tails tails tails free", "tails"),
        ([0.0, 0.5, -1.0, 6.0], [-9.0, -1.0, 1.5, 2.0], [0.0] * 4, "middle free free free", "middle middle middle free", "middle"),
        ([0.5] * 4, [1.2, 1.2, 1.2, 1.2], [0.0] * 4, "free free free free", "tails tails tails tails", "tails"),
        ([0.5] * 4, [0.9, 0.9, 0.9, 0.9], [0.0] * 4, "free free free free", "free free free free", None),
        ([0.5] * 4, [1.2, -1.2, 1.2, -1.2], [0.0] * 4, "free free free free", "free free free free", None),
        # What a column shows alone stands against the sum; not against that of all.
        ([0.0] * 4, [4.5, -3.9, -3.9, -3.9], [0.0] * 4, "tails free free free", "tails middle middle middle", "middle"),
        # A turn counts in place of the spread.
        (
            [3.0, 0.0, 0.0, 0.0],
            [9.0, 0.5, 0.0, 0.0],
            [8.0, 0.0, 0.0, 0.0],
            "middle free free free",
            "middle middle middle middle",
            "middle",
        ),
    ],
)
def test_two_sides_are_tried_where_a_column_or_all_together_point_to_them(shift, spread, turn, alone, together, everywhere):
    spec = Specification("auto", (0, 1, 2, 3), ("free",) * 4, ("continuous",) * 4, 2, (8,), 1)
    expected = [alone.split(), together.split(), *([] if everywhere is None else [[everywhere] * 4])]
    assert sides_of(spec, torch.tensor([shift, spread, turn])) == expected


def test_of_a_binary_column_no_two_sides_are_tried():
    cells = ({"shares": [0.5, 0.5], "first": 0.0, "step": 1.0}, {}, {}, {})
    spec = Specification("auto", (0, 1, 2, 3), ("free",) * 4, ("categorical", *["continuous"] * 3), 2, (8,), 1, cells=cells)
    assert sides_of(spec, torch.tensor([[0.0] * 4, [9.0] * 4, [0.0] * 4]))[0] == ["free", "tails", "tails", "tails"]


NONE, FREE, TAILS = (("none",) * 3, ("free",) * 3, ("tails",) * 3)


def tried(
    bound_of,
    monkeypatch,
    rows=60,
    ordered=False,
    spread=(0.0, 1.3, 1.3, 1.3),
    rising=0.0,
    x=None,
    stated=(None,) * 3,
    by_all=0.0,
    shift=(0.0,) * 4,
):
    """What is tried of four columns, the first without holes, by bounds that are given; of the third the own value does little."""
    x = torch.zeros(rows, 4) if x is None else x
    mask = torch.ones(rows, 4, dtype=torch.bool)
    mask[: rows // 2, 1:] = False
    effects = torch.tensor([9.0, -0.31, 0.29, 5.0])
    model = SimpleNamespace(
        mechanism=SimpleNamespace(own_effects=lambda: effects), log_mask=lambda *_: torch.full((rows, 4), by_all).double()
    )

    def fitted(specification, **_):
        (order,) = specification.orders or ((),)
        earlier = {(): "", (0,): "complete", (0, 1, 2, 3): "all"}[order]
        return Pilot(bound_of(specification.directions, earlier, specification.latent), model, rising)

    monkeypatch.setattr(selection, "fitted_pilot", fitted)
    monkeypatch.setattr(selection, "values_alone", lambda *_, **__: None)
    monkeypatch.setattr(selection, "lie_far", lambda *_, **__: False)
    spec = Specification("auto", (1, 2, 3), NONE, ("continuous",) * 4, 3, (), 1, orders=((0, 1, 2, 3),))
    contrasts = torch.tensor([shift, spread, [0.0] * 4])  # by default tails together, and of one alone nothing
    given = stated, ordered, False, lambda one: InUnits(one, x, torch.zeros(len(x))), mask, contrasts
    choice = selection.choose(spec, *given, seed=0, steps=1000, batch_size=96)
    return choice.candidates[0][:3], {candidate[:3] for candidate in choice.candidates}, choice.candidates


@pytest.mark.parametrize("weighted", [False, True])
def test_of_many_rows_some_are_what_candidates_are_compared_by(monkeypatch, weighted):
    n_rows, most = 3000, 500
    x = torch.randn(n_rows, 3) @ torch.randn(3, 3)
    mask = (torch.rand(n_rows, 3) < 0.7).index_fill(1, torch.tensor([0]), True)
    jacobian, weights = torch.randn(n_rows), torch.rand(n_rows) + 0.5 if weighted else None
    whole = torch.arange(n_rows), torch.ones(n_rows).double() if weights is None else weights.double()
    fitted_pilot, judged = selection.fitted_pilot, []

    def watched(specification, rows, counts, **settings):
        of_some, of_all = (fitted_pilot(specification, rows=r, counts=c, **settings) for r, c in ((rows, counts), whole))
        judged.append((len(rows), of_some.bound - of_all.bound))
        assert settings["weights"] is weights  # fitted to all
        return of_some

    monkeypatch.setattr(selection, "JUDGED", most)
    monkeypatch.setattr(selection, "fitted_pilot", watched)
    spec = Specification("auto", (1, 2), ("none",) * 2, ("continuous",) * 3, 1, (), 1, orders=((0, 1, 2),))
    given = [None] * 2, False, False, lambda one: InUnits(one, x, jacobian), mask, torch.zeros(3, 3), weights
    choice = selection.choose(spec, *given, steps=3, particles=2, batch_size=96, progress=False, seed=0)
    # A row's bound has a standard deviation below four here: that of a sum over 500 rows, for 3000, is below 3000 * 4 / 500 ** .5.
    assert len(judged) > 3 and all(rows == most and abs(apart) < 5 * n_rows * 4 / most**0.5 for rows, apart in judged)
    # And of the same rows is what follows of rates without a pilot.
    rows, counts = some_rows(weights, n_rows, most)
    found = {one.earlier: one.bound for one in choice.candidates if not one.by_value and not one.latent}
    read = float((choice.ignorable.log_mask(x[rows], mask[rows]).double() * counts.unsqueeze(-1)).sum())
    by_rates = mask_orders.masks_by_rates(mask[rows], torch.zeros(most, 3) > 0, (1, 2), counts)
    assert found[""] - found["all"] == pytest.approx(by_rates - read, rel=1e-6)


@pytest.mark.parametrize(
    ("shift", "few", "words"),
    [
        ((0.0, 9.0, 3.0, 0.5), None, ("high", "high", "high")),  # the last as all do in sum
        ((0.0, -9.0, 3.0, -0.5), None, ("low", "high", "low")),
        ((0.0, 4.0, -4.0, 0.5), None, ("high", "low", "free")),  # in sum to no side
        ((0.0, 9.0, 3.0, 0.5), 3, ("high", "high", "free")),  # grades, which end as if they were cut
    ],
)
def test_own_values_are_tried_in_the_direction_to_which_columns_point(shift, few, words, monkeypatch):
    x = torch.linspace(-2, 2, 60).unsqueeze(-1).expand(-1, 4).clone()
    if few is not None:
        x[:, few] = (3 * x[:, few]).round()
    best, found, candidates = tried(
        lambda own, *_: -900.0 + 99 * (own == words), monkeypatch, x=x, shift=shift, spread=(0.0, 0.1, 0.1, 0.1)
    )
    assert (words, "", False) in found and best == (words, "", False)
    # To be fitted for longer beside it, another must say something else.
    assert candidates[0].agrees(candidates[0]._replace(directions=FREE))
    assert not candidates[0].agrees(candidates[0]._replace(directions=TAILS))


def test_each_step_of_the_choice_tries_what_the_best_of_those_before_suggests(monkeypatch):
    first = {
        (NONE, "all", False),
        (NONE, "some", False),
        (NONE, "", False),
        (FREE, "", False),
        (TAILS, "", False),
        (NONE, "", True),
        (TAILS, "complete", False),
    }
    less = ("tails", "none", "tails")
    # Seen values are best: the latent is tried beside them, and the better own values alone without that which does little.
    best, found, _ = tried(lambda words, earlier, latent: -900.0 + 50 * (earlier == "all") - 5 * ("free" in words), monkeypatch)
    assert best == (NONE, "all", False)
    assert found == first | {(NONE, "all", True), (less, "", False)}
    # Some of these explain the masks better than all do, of whose bound a part is each cell's: the latent is tried beside all.
    best, found, _ = tried(lambda words, earlier, latent: -900.0 + 50 * (earlier == "all"), monkeypatch, by_all=-1.0)
    assert best == (NONE, "some", False) and (NONE, "all", True) in found and (NONE, "some", True) not in found
    # Own values with the latent are: then without that which does little, with the latent and alone.
    best, found, _ = tried(
        lambda words, earlier, latent: -900.0 + 100 * (words != NONE) - 5 * ("free" in words) + 60 * latent, monkeypatch
    )
    assert best == (less, "", True)
    assert found == first | {(TAILS, "", True), (less, "", True), (less, "", False)}


def test_two_sides_are_tried_everywhere_where_one_column_points_to_them(monkeypatch):
    # One that is skewed points to one side though it misses both its tails.
    best, found, _ = tried(lambda words, *_: -900.0 + 50 * (words == TAILS), monkeypatch, spread=(0.0, 0.1, 9.0, -0.1))
    assert best == (TAILS, "", False) and {("free", "tails", "free"), FREE} < {words for words, *_ in found}


@pytest.mark.parametrize(
    ("words", "gap", "again"), [(FREE, 79.0, True), (FREE, 81.0, False), (TAILS, 199.0, True), (TAILS, 201.0, False)]
)
def test_close_candidates_of_other_reasons_are_fitted_for_longer(words, gap, again, monkeypatch):
    """To .02 a row and column (1000 and 4), or .05 on two sides; what is not fitted again rises as the less rising of these."""
    fitted, scores = [], {}

    def bound_of(*key):
        fitted.append(key)
        scores.setdefault(key, {(NONE, "all", False): 918.0, (words, "", False): 900.0 - gap + 3 * (3 + 4)}.get(key, 0.0))
        return scores[key] + (fitted.count(key) > 1) * (230.0 if key[0] == words else 30.0)

    best, _, candidates = tried(bound_of, monkeypatch, rows=1000, spread=(0.0, 0.1, 9.0 * (words == TAILS), -0.1))
    twice = {key for key in fitted if fitted.count(key) > 1}
    assert twice == ({(NONE, "all", False), (words, "", False)} if again else set())
    assert best == ((words, "", False) if again else (NONE, "all", False))
    assert {one.bound - scores[one[:3]] for one in candidates if one[:3] in {*scores} - twice} == {30.0 if again else 0.0}


@pytest.mark.parametrize(("gap", "again"), [(299.0, True), (301.0, False)])
def test_candidates_whose_pilots_still_rise_are_close_from_farther_off(gap, again, monkeypatch):
    """To .3 of what a pilot's bound rose by in the second half of its steps, 1 of 1000 rows; rates rise as all seen values do."""
    fitted = []

    def bound_of(*key):
        longer, price = key in fitted, 3 * (3 + 4)
        fitted.append(key)
        bounds = {(NONE, "all", False): (918.0, 130.0), (FREE, "", False): (900.0 - gap + price, 30.0), (NONE, "", True): (-900.0, 0.0)}
        bound, risen = bounds.get(key, (-900.0, 0.0))
        return bound + longer * risen

    best, _, candidates = tried(bound_of, monkeypatch, rows=1000, spread=(0.0,) * 4, rising=1.0)
    bounds = {one[:3]: one.bound for one in candidates}
    assert {key for key in fitted if fitted.count(key) > 1} == ({(NONE, "all", False), (FREE, "", False)} if again else set())
    assert best == (NONE, "all", False) and bounds[NONE, "", True] == pytest.approx(-900.0 + 30.0 * again)
    by_rates = 1000 * 3 * np.log(0.5)  # half of three columns' cells are missing
    assert bounds[NONE, "", False] == pytest.approx(918.0 + by_rates + 130.0 * again)


@pytest.mark.parametrize(
    ("column", "end", "stated", "left"),
    [
        (3, 1, None, ("free", "free", "none")),  # its own effect is 5: large values would go missing, beyond a ceiling
        (3, 0, None, FREE),
        (1, 0, None, ("none", "free", "free")),  # and that of column 1 -.31
        (1, 1, None, FREE),
        (3, 1, "free", FREE),  # what is stated is supposed
    ],
)
def test_own_values_that_would_be_missing_beyond_a_pile_are_left_out(column, end, stated, left, monkeypatch):
    x = torch.linspace(-1, 1, 60).repeat(4, 1).T.clone()
    x[30:40, column] = (-1.0, 1.0)[end]  # seen: the first half of the rows is missing
    words = (None, None, stated)
    given = {"spread": (0.0,) * 4, "x": x, "stated": words}
    best, found, candidates = tried(lambda own, *_: -900.0 + 99 * own.count("free"), monkeypatch, **given)
    assert (left, "", False) in found and best[0] in (left, tuple(said or word for said, word in zip(words, left, strict=True)))
    if left != FREE:
        assert candidates[-1][0] == FREE  # tried, and listed behind all that may be


@pytest.mark.parametrize(("column", "end", "word", "left"), [(3, 1, "high", 2), (1, 0, "low", 0)])
def test_own_values_of_a_direction_are_left_out_beyond_a_pile_too(column, end, word, left, monkeypatch):
    x = torch.linspace(-1, 1, 60).repeat(4, 1).T.clone()
    x[30:40, column] = (-1.0, 1.0)[end]
    shift = (0.0, *[9.0 if word == "high" else -9.0] * 3)
    best, found, candidates = tried(lambda own, *_: -900.0 + 99 * own.count(word), monkeypatch, spread=(0.0,) * 4, x=x, shift=shift)
    kept = tuple("none" if place == left else word for place in range(3))
    assert best == (kept, "", False) and ((word,) * 3, "", False) in found
    assert {one[0] for one in candidates[-2:]} == {(word,) * 3, FREE}  # tried, and listed behind all that may be


@pytest.mark.parametrize(("ends", "left"), [((0, 1), ("free", "none", "tails")), ((0,), ("free", "tails", "tails"))])
def test_both_tails_are_left_out_where_both_ends_have_a_pile(ends, left, monkeypatch):
    x = torch.linspace(-1, 1, 60).repeat(4, 1).T.clone()
    for end in ends:  # of the second of the columns whose masks are modeled
        x[30 + 10 * end : 40 + 10 * end, 2] = (-1.0, 1.0)[end]
    words = ("free", "tails", "tails")
    _, found, candidates = tried(lambda *_: -900.0, monkeypatch, spread=(0.0, 0.0, 9.0, 9.0), x=x)
    assert (words, "", False) in found and (left, "", False) in found
    beyond = [one[0][1] != "none" for one in candidates]
    assert left == words or beyond == sorted(beyond)  # tried, and listed behind all that may be
    scores = [one.score for one in candidates]
    assert (scores == sorted(scores, reverse=True)) == (left == words)  # beside a floor alone both tails may be


def test_grades_with_a_ceiling_are_not_taken_for_values_cut_by_themselves(seed):
    """Grades 0 to 3 of which others decide what is missing. To a model without ends more and higher ones would be likely."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(600, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(600, 6))
    x = np.clip(np.round(1.5 * factors / factors.std(0) + 2), 0, 3)
    x = (x - x.mean(0)) / x.std(0)
    mask = amputate(x, "mar", slope=3.0, rate=0.3, seed=seed)
    holed = np.where(mask, x, np.nan)
    settings = {"members": 2, "steps": 200, "progress": False, "random_state": seed}
    errors = []
    for mechanism in ("auto", "none"):
        completed = MNARImputer(mechanism, **settings).fit(holed).transform(holed)
        errors.append(np.sqrt(np.mean((completed[~mask] - x[~mask]) ** 2)))
    constant = np.sqrt(np.mean((np.broadcast_to(np.nanmean(holed, 0), x.shape)[~mask] - x[~mask]) ** 2))
    assert errors[0] < min(1.2 * errors[1], constant)


def test_few_seen_values_have_no_pilot_of_their_own_that_could_be_fitted_for_longer():
    """They would be fitted as all seen values are, and have the bound of these at the price of a few."""
    fitted, mask = [], torch.ones(1000, 4, dtype=torch.bool)
    spec = Specification("auto", (1, 2, 3), NONE, ("continuous",) * 4, 3, (), 1, orders=((0, 1, 2, 3),))

    def longer(specification, **_):
        fitted.append(specification.directions)
        return Pilot(100.0, None)

    made = Pilots(spec, [None] * 3, False, torch.zeros(1000, 4), mask, ~mask, None, longer, None)
    few, own, latent = Candidate(NONE, "few", False, 4.0), Candidate(FREE, "absent", False, 3.0), Candidate(NONE, "absent", True, 2.0)
    made.found = {one[:3]: one for one in (few, own, latent)}
    made.fit_longer(3, 200)
    assert not fitted and made.ranked() == [few, own, latent]
    made.found[few[:3]] = few._replace(bound=2.5)
    made.fit_longer(3, 200)
    assert fitted == [FREE, NONE] and made.found[few[:3]].bound == pytest.approx(2.5 + 97)  # the least rise, of own values


def test_candidates_agree_that_say_the_same_of_missing_values():
    own, less, other = (Candidate(words, "", False) for words in (("free", "tails"), ("free", "none"), ("tails", "tails")))
    none = Candidate(("none", "none"), "all", False)
    assert own.agrees(less) and less.agrees(own) and none.agrees(none._replace(earlier=""))
    assert not own.agrees(other) and not own.agrees(none) and not less.agrees(none) and not none.agrees(none._replace(latent=True))


def test_one_side_is_tried_everywhere_where_a_column_points_to_two(monkeypatch):
    # A skewed column that is cut hard points to two sides as well; the bound decides.
    mixed = ("free", "middle", "free")
    best, found, _ = tried(lambda words, *_: -900.0 + 50 * (words == FREE), monkeypatch, spread=(0.0, 0.1, -9.0, -0.1))
    assert best == (FREE, "", False) and (mixed, "", False) in found
    best, found, _ = tried(lambda words, *_: -900.0 + 50 * ("middle" in words), monkeypatch, spread=(0.0, 0.1, -9.0, -0.1))
    assert best[0][1] == "middle" and (FREE, "", False) in found


@pytest.mark.filterwarnings("error")
def test_where_an_order_is_stated_seen_values_are_tried_however_many_they_are(monkeypatch):
    monkeypatch.setattr(pilots, "_MANY", 1)
    with pytest.warns(UserWarning, match="whether masks read other columns was not tried"):
        assert (NONE, "all", False) not in tried(lambda *_: -10.0, monkeypatch, rows=8)[1]
    assert (NONE, "all", False) in tried(lambda *_: -10.0, monkeypatch, rows=8, ordered=True)[1]


def test_own_values_that_are_hardly_any_are_left_out_unless_they_are_stated():
    candidate = Candidate(("free", "free", "tails"), "", False)
    model = SimpleNamespace(mechanism=SimpleNamespace(own_effects=lambda: torch.tensor([0.29, 9.0, 0.1, -0.31])))
    own = SimpleNamespace(stated=[None, "free", None], specification=SimpleNamespace(columns=(0, 2, 3)), models={candidate[:3]: model})
    assert Pilots.without_slight(own, candidate) == candidate._replace(directions=("none", "free", "tails"))
