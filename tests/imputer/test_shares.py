"""Ensembles whose members suppose different reasons, where the data do not tell these apart."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.reason_selection import selection, shares
from pyro_mnar.imputer.reason_selection.pilots import Candidate
from pyro_mnar.imputer.reason_selection.shares import FAR, apportioned, lie_far, shared_out
from pyro_mnar.imputer.reasons import reasons_of
from pyro_mnar.imputer.tables.given import given
from pyro_mnar.imputer.training.fitting import InUnits
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.mechanisms.sequential_masking import SequentialMasking

NONE, OWN = ("none", "none"), ("free", "none")


def near(_):
    """No candidate has missing values far beyond those seen."""
    return False


def supposing(directions, earlier="", latent=False, score=0.0):
    return Candidate(directions, earlier, latent, score)


@pytest.mark.parametrize("share", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_members_are_shared_out_in_proportion_and_so_are_the_first_of_them(share):
    follows = apportioned([share, 1 - share], 40)
    for members in range(1, 41):
        assert abs(follows[:members].count(1) - members * (1 - share)) <= 0.5 + 1e-9  # the nearest whole number
    assert follows[0] == 0


@pytest.mark.parametrize(("gap", "masks"), [(0.0, 100), (2.0, 100), (30.0, 1000), (300.0, 10_000)])
def test_a_reason_s_share_falls_by_e_for_each_so_many_nats_a_mask(gap, masks):
    chosen, follows = shared_out([supposing(OWN), supposing(NONE, "all", score=-gap)], masks, 1000, near)
    expected = 1 / (1 + math.exp(gap / (masks * shares.TEMPERATURE)))
    assert follows.count(1) == pytest.approx(1000 * expected, abs=1) and [one.directions for one in chosen] == [OWN, NONE]


def test_candidates_of_one_kind_have_one_share():
    at_random = [supposing(NONE, earlier) for earlier in ("all", "", "absent")]
    own = [supposing(OWN, "complete", score=-1.0), supposing(("tails", "none"), score=-2.0)]
    chosen, follows = shared_out([*at_random, *own], 1e9, 8, near)
    assert chosen == [at_random[0], own[0]] and follows.count(1) == 4


def test_a_reason_by_which_missing_values_would_lie_far_has_no_share_unless_it_is_the_best():
    at_random, own, latent = supposing(NONE, "all"), supposing(OWN, score=-1.0), supposing(NONE, latent=True, score=-2.0)
    asked = []

    def far(one):
        asked.append(one)
        return one.by_value

    assert shared_out([at_random, own, latent], 1e9, 8, far) == ([at_random, latent], [0, 1] * 4) and asked == [own, latent]
    assert shared_out([own, at_random], 1e9, 8, far)[0] == [own, at_random] and asked[2:] == [at_random]
    assert shared_out([at_random, own], 1e9, 8, far) == ([at_random], [0] * 8)
    # Of one that would have no share anyway nothing is asked.
    assert shared_out([at_random, own._replace(bound=-1e12)], 1e9, 8, far) == ([at_random], [0] * 8) and len(asked) == 4


@pytest.mark.parametrize(("word", "latent"), [("high", False), ("none", True), ("none", False)])
def test_missing_values_lie_far_that_are_so_many_observed_deviations_away_on_average(word, latent):
    """A model that predicts them at a known place, by own values somewhat higher; where nothing moves them none is far."""
    orders = ((1, 0),) if latent else None
    supposed = Specification("auto", (0,), (word,), ("continuous",) * 2, 1, (), 1, orders=orders, latent=latent)
    model, x = supposed.models()[0].eval(), torch.linspace(-1, 1, 400).repeat(2, 1).T
    mask = torch.ones(400, 2, dtype=torch.bool)
    mask[::2, 0] = False
    spread = x[mask[:, 0], 0].std()

    def found(places):
        with torch.no_grad():
            model.decoder.linear.weight.zero_()
            model.decoder.linear.bias.copy_(spread * torch.tensor(places))
        return lie_far(supposed, model, lambda one: InUnits(one, x, torch.zeros(len(x))), mask, seed=0)

    moved = word != "none" or latent
    assert found([FAR + 2, 0.0]) == found([-FAR - 30, 0.0]) == moved
    # Nor are the values of a column without holes, wherever a model would have them.
    assert not found([FAR - 3, 0.0]) and not found([0.0, 99.0])


def test_what_has_all_effects_of_the_best_and_more_has_no_share():
    """It is behind by the price of what it does not need: over ten simulated tables the latent beside seen values by 4 at most."""
    at_random, latent = supposing(NONE, "all"), supposing(NONE, latent=True)
    for one in (at_random._replace(latent=True), supposing(OWN, "all"), supposing(OWN, "all", True)):
        assert shared_out([at_random, one], 1e9, 8, near)[0] == [at_random]
    for one in (latent, supposing(OWN), supposing(OWN, "complete"), supposing(OWN, latent=True)):
        assert shared_out([at_random, one], 1e9, 8, near)[0] == [at_random, one]
    assert shared_out([latent, supposing(OWN, latent=True), at_random], 1e9, 8, near)[0] == [latent, at_random]
    assert shared_out([supposing(OWN), supposing(OWN, latent=True), supposing(NONE)], 1e9, 8, near)[0] == [
        supposing(OWN),
        supposing(NONE),
    ]
    # Of rates alone all others have the effects.
    assert shared_out([supposing(NONE), at_random, latent, supposing(OWN)], 1e9, 8, near)[0] == [supposing(NONE)]


def test_what_is_far_behind_has_no_member_and_is_not_kept():
    assert shared_out([supposing(OWN), supposing(NONE, score=-1000.0)], 100, 8, near) == ([supposing(OWN)], [0] * 8)
    assert shared_out([supposing(OWN)], 100, 3, near) == ([supposing(OWN)], [0] * 3)
    assert shared_out([supposing(OWN), supposing(NONE)], 100, 1, near)[1] == [0]


def two_reasons(members=5):
    at_random = Specification("auto", (0, 1), NONE, ("continuous",) * 3, 1, (4,), members, orders=((2, 0, 1),) * members)
    own = replace(at_random, directions=OWN, orders=None)
    return replace(own, others=(at_random,), follows=(0, 1, 0, 0, 1)[:members])


def test_members_are_models_of_what_they_suppose_in_the_units_of_all():
    both = two_reasons()
    models = both.models()
    assert [isinstance(one.mechanism, SequentialMasking) for one in models] == [False, True, False, False, True]
    assert [members for _, members in both.supposed] == [[0, 2, 3], [1, 4]]
    assert both.any_own == {0: "free"} and not both.any_latent
    turned = replace(both.others[0], others=(replace(both, others=(), follows=()),), follows=both.follows, latent=True)
    assert turned.own == {} and turned.any_own == {0: "free"} and turned.any_latent
    fewer = both.first(2)
    assert fewer.follows == (0, 1) and fewer.others[0].members == 2 and len(fewer.others[0].orders) == 2


def test_a_specification_comes_back_from_json_and_has_no_others_of_others():
    both = two_reasons()
    plain = json.loads(json.dumps(both.to_json()))
    assert Specification.from_json(plain) == both
    plain["others"][0]["others"] = [both.others[0].to_json()]
    with pytest.raises(ValueError, match="others: got some that have others of their own, expected none"):
        Specification.from_json(plain)


def hidden_table(n=150, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, 3))
    x[x[:, 0] > 0.5, 0] = np.nan
    x[rng.random(n) < 0.2, 1] = np.nan
    return x


def fitted(monkeypatch, latent, callback=None, **settings):
    """Return an imputer whose members suppose two reasons, whatever the data say, one of them the latent or none of them."""

    def two(candidates, masks, members, _):
        own = next(one for one in candidates if set(one.directions) != {"none"} and not one.latent)
        other = next(one for one in candidates if set(one.directions) == {"none"} and one.latent == latent)
        return shared_out([own, other], 1e99, members, near)

    monkeypatch.setattr(selection, "shared_out", two)
    x = hidden_table()
    return MNARImputer(steps=10, members=4, hidden=(8,), progress=False, **settings).fit(x, callback=callback), x


@pytest.fixture
def hedged(monkeypatch):
    return fitted(monkeypatch, latent=False)


def test_both_reasons_are_told_and_the_evidence_is_weak(hedged):
    imputer, _ = hedged
    told = imputer.reasons_.iloc[0]
    assert sorted(imputer.specification_.follows) == [0, 0, 1, 1]
    assert told.reason.count("as 2 of 4 members suppose") == 2 and "its own value" in told.reason and "at random" in told.reason
    assert told.evidence == "weak"


def test_a_latent_that_some_members_suppose_is_told(monkeypatch):
    imputer, _ = fitted(monkeypatch, latent=True)
    assert "what the other columns are expected to be" in imputer.reasons_.iloc[0].reason


def test_each_member_has_the_mechanism_that_it_supposes(hedged):
    imputer, _ = hedged
    for supposed, members in imputer.specification_.supposed:
        for i in members:
            reads = imputer.members_[i].mechanism.own_effects().abs() > 0
            assert reads.nonzero().flatten().tolist() == sorted(supposed.own)


def test_what_was_saved_imputes_alike_and_other_sizes_are_refused(hedged, tmp_path):
    imputer, x = hedged
    imputer.save(tmp_path / "model")
    back = MNARImputer.load(tmp_path / "model")
    assert back.specification_ == imputer.specification_
    np.testing.assert_array_equal(back.sample(x, 4), imputer.sample(x, 4))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"follows": (0, 1, 0, 5)}, r"follows: got .*, expected for each member a place among 1 others"),
        ({"follows": (0, 1)}, r"follows: got .*, expected for each member a place among 1 others"),
        ({"others": ()}, r"follows: got .*, expected for each member a place among 0 others"),
        ({"hidden": (9,)}, "others: got some of other columns or sizes, expected the same"),
    ],
)
def test_a_saved_model_of_which_members_follow_nothing_is_refused(hedged, tmp_path, change, said):
    imputer, _ = hedged
    imputer.specification_ = replace(imputer.specification_, **change)
    imputer.save(tmp_path / "model")
    with pytest.raises(ValueError, match=said):
        MNARImputer.load(tmp_path / "model")


@pytest.mark.parametrize("latent", [False, True])
def test_draws_are_those_of_a_mixture_and_members_that_suppose_own_values_can_be_made_stronger(monkeypatch, latent):
    imputer, x = fitted(monkeypatch, latent)
    assert imputer.specification_.any_latent == latent and list(imputer.specification_.own_alone) == list(imputer.specification_.own)
    done = imputer.completions(x, 40)
    assert len(set(done.groups)) == 4
    moved = imputer.strengthened(done, 0.0)
    change = np.stack(moved.tables)[:, :, 0] - np.stack(done.tables)[:, :, 0]
    by_member = {group: np.nanmax(np.abs(change[[g == group for g in done.groups]])) for group in set(done.groups)}
    owners = {str(i) for supposed, members in imputer.specification_.supposed for i in members if supposed.own}
    # What the others suppose is missing at random already, or has no strength of the own value.
    assert all((size > 0) == (str(group) in owners) for group, size in by_member.items()), by_member


def test_members_that_read_the_latent_keep_their_law_among_the_candidates(monkeypatch):
    imputer, x = fitted(monkeypatch, latent=True)
    with torch.no_grad():
        for member in imputer.members_:
            if member.mechanism.reads_latent:
                member.mechanism.loadings[0] = 3.0  # so that it matters whether they keep their mechanism
    drawn = imputer.completions(x, 8).drawn
    readers = [str(i) for supposed, members in imputer.specification_.supposed for i in members if supposed.latent]
    (reader,) = readers[:1]
    own = np.flatnonzero(drawn.groups == reader)
    alone = copy.copy(imputer)
    alone.specification_ = imputer.specification_.others[0]  # all of them read the latent, and none is drawn otherwise
    theirs = alone.completions(x, 8).drawn
    rows = drawn.holes[0]

    def mean(candidates, places):
        cells = np.asarray(candidates.column(0), float).reshape(len(candidates.groups), -1)[places]
        weights = np.exp(candidates.log_weights[np.ix_(places, rows)])
        weights /= weights.sum(0)
        center = (weights * cells).sum(0)
        return center, (weights**2 * (cells - center) ** 2).sum(0)

    (one, first), (other, second) = mean(drawn, own), mean(theirs, np.flatnonzero(theirs.groups == reader))
    z = (one - other) / np.sqrt(first + second)
    assert np.abs(z).max() < 5 and 0.3 < z.std() < 2
    assert abs((one - other).sum()) < 4 * np.sqrt((first + second).sum())


def test_members_of_which_own_values_stand_beside_the_latent_stay_as_they_are(hedged):
    imputer, x = hedged
    supposed = imputer.specification_
    both = replace(supposed, others=(replace(supposed, others=(), follows=(), latent=True),))
    members = [member.eval() for member in both.models()]
    for member, trained, follows in zip(members, imputer.members_, both.follows, strict=True):
        member.load_state_dict(trained.state_dict(), strict=False)
        if follows:
            member.mechanism.own.load_state_dict(imputer.members_[0].mechanism.state_dict())
    imputer.specification_, imputer.members_ = both, members
    done = imputer.completions(x, 40)
    change = np.stack(imputer.strengthened(done, 0.0).tables)[:, :, 0] - np.stack(done.tables)[:, :, 0]
    by_member = {group: np.nanmax(np.abs(change[[g == group for g in done.groups]])) for group in done.groups}
    assert [by_member[group] > 0 for group in sorted(by_member)] == [follows == 0 for follows in both.follows]


def test_what_masks_read_is_told_of_the_members_that_suppose_it(hedged):
    imputer, x = hedged
    at_random = imputer.specification_.others[0]
    with torch.no_grad():
        for member, follows in zip(imputer.members_, imputer.specification_.follows, strict=True):
            if follows:
                member.mechanism.effects.zero_()
                member.mechanism.effects[0, 2] = 0.4  # a mean over all members were below what is named
    told = reasons_of(imputer, [None] * 2, imputer.members_[0], imputer.codec_, given(imputer, x))
    assert at_random.own == {} and "at random given the seen values of 2, as 2 of 4 members suppose" in told.iloc[0].reason


def test_where_all_masks_read_the_latent_nothing_can_be_made_stronger(monkeypatch):
    imputer, x = fitted(monkeypatch, latent=True)
    imputer.specification_ = imputer.specification_.others[0]
    with pytest.raises(ValueError, match="masks read the row's latent"):
        imputer.strengthened(imputer.completions(x, 8), 0.5)


def test_one_member_supposes_the_likeliest_reason(monkeypatch):
    monkeypatch.setattr(shares, "TEMPERATURE", 1e9)
    imputer = MNARImputer(steps=10, members=1, hidden=(8,), progress=False).fit(hidden_table())
    assert imputer.specification_.others == () and imputer.specification_.directions == imputer.candidates_[0].directions


def test_what_is_stated_is_supposed_by_all(monkeypatch):
    monkeypatch.setattr(shares, "TEMPERATURE", 1e9)
    imputer = MNARImputer(direction={0: "high", 1: "none"}, steps=10, members=4, hidden=(8,), progress=False).fit(hidden_table())
    assert all(one.directions == ("high", "none") for one, _ in imputer.specification_.supposed)


def test_an_interrupted_ensemble_keeps_what_its_members_suppose(hedged):
    imputer, _ = hedged
    fewer = imputer.specification_.first(3)
    kept = [one.mechanism.own_effects().bool().any().item() for one in imputer.members_[:3]]
    assert kept == [bool(one.own) for i in range(3) for one, members in fewer.supposed if i in members]
    assert torch.nn.ModuleList(fewer.models()).state_dict().keys() == torch.nn.ModuleList(imputer.members_[:3]).state_dict().keys()


@pytest.mark.parametrize("order", [None, [2, 1, 0]])
def test_of_rows_that_leave_one_after_another_all_members_suppose_the_best(order, monkeypatch):
    monkeypatch.setattr(shares, "TEMPERATURE", 1e9)
    x = hidden_table()
    x[np.isnan(x[:, 1]), 0] = np.nan  # column 1 is missing only where 0 is
    settings = {"steps": 10, "members": 4, "hidden": (8,), "progress": False}
    assert MNARImputer(order=order, **settings).fit(x).specification_.others == ()


def test_a_reason_that_no_member_is_left_to_suppose_is_not_told(monkeypatch, tmp_path):
    def stop(_):
        raise KeyboardInterrupt  # in the first member's training

    with pytest.warns(UserWarning, match="interrupted: 1 of 4 models"):
        imputer, x = fitted(monkeypatch, False, stop, keep_partial=True)
    assert imputer.specification_.others == () and imputer.specification_.follows == ()
    assert "members suppose" not in imputer.reasons_.iloc[0].reason
    imputer.save(tmp_path / "model")
    np.testing.assert_array_equal(MNARImputer.load(tmp_path / "model").transform(x), imputer.transform(x))
