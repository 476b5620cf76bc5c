"""Known means, shares and quantiles of whole columns, on models that are known exactly, and on a small fit."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from exact import LAW, MASKS, ROWS, self_masking
from scipy import special

from pyro_mnar import MNARImputer
from pyro_mnar.data import Scaling, TableCodec
from pyro_mnar.data.kinds import Bounded, Continuous
from pyro_mnar.data.margins import Margin, learned_margins, margins_of
from pyro_mnar.distributions import LOGIT, PROBIT
from pyro_mnar.imputer.draws.weighed_cells import rows_of, weighed_cells
from pyro_mnar.imputer.draws.wide_draws import candidates_of
from pyro_mnar.imputer.margins.margin_fit import TARGETS, met_margins
from pyro_mnar.imputer.margins.margin_words import margins_in_words, margins_table, unmet
from pyro_mnar.imputer.moves import Move
from pyro_mnar.imputer.tables.given import given
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.model import MNAR
from pyro_mnar.networks import ConjugateEncoder

SLOPES, INTERCEPTS = np.array([1.5, -1.2, np.nan, np.nan]), np.array([0.3, -0.2, 0.0, 0.0])
ROW, MASK, N = ROWS[1], MASKS[1], 150
(HOLE,) = np.flatnonzero(~MASK)


def exact_imputer(mechanism, margin, members=1, seed=0, link=LOGIT):
    """An imputer whose members are a known law, with or without self-masking, and the table whose first rows have a hole."""
    imputer = MNARImputer(mechanism, progress=False, random_state=seed)
    imputer.codec_ = TableCodec.of(Scaling(np.zeros(4), np.ones(4)))
    own = () if mechanism == "none" else (0, 1)
    imputer.specification_ = Specification(mechanism, own, ("high", "low")[: len(own)], ("continuous",) * 4, 2, (), members)
    imputer.members_ = []
    for _ in range(members):
        decoder = LAW.decoder().float()
        masking = None if mechanism == "none" else self_masking(SLOPES, INTERCEPTS, link).float()
        imputer.members_.append(MNAR(decoder, ConjugateEncoder(decoder), masking).eval())
    imputer.n_features_in_, imputer.moves_ = 4, []
    x = np.tile(ROW, (N, 1))
    x[:100, HOLE] = np.nan
    table = given(imputer, x)
    margins = learned_margins(margins_of({HOLE: margin}, range(4)), table.codec.columns, table.values, table.mask, table.absent)
    imputer.moves_ = met_margins(imputer, table, margins)
    return imputer, x, table


def whole(imputed_mean):
    """Return the mean of the column whose missing cells have a mean."""
    return (100 * imputed_mean + 50 * ROW[HOLE]) / N


def test_a_mean_shifts_a_normal_cell_by_its_variance_and_is_met_to_the_last_digits(seed):
    free = LAW.ignorable(ROW, MASK)
    mean, variance = float(free.mean[0]), float(free.cov[0, 0])
    wanted = whole(mean + 0.6 * variance**0.5)
    imputer, x, _ = exact_imputer("none", {"mean": wanted}, members=2, seed=seed)
    (move,) = imputer.moves_
    assert move.way == "tilt" and move.in_reach
    np.testing.assert_allclose(move.moves[:, 0, 0] - 1, 0.6 / variance**0.5, rtol=0.05)
    result = imputer.impute(x, draws=200)
    assert result.completed[:, HOLE].mean() == pytest.approx(wanted, rel=1e-6)
    spread = result.draws[:, :100, HOLE].std(0).mean()
    assert spread == pytest.approx(variance**0.5, rel=0.05)  # shifted, and not narrower
    assert (result.completed[100:].numpy() == x[100:]).all()


@pytest.mark.parametrize(
    ("link", "cdf", "steep"), [(LOGIT, special.log_expit, 1.0), (PROBIT, special.log_ndtr, 4 / (2 * np.pi) ** 0.5)]
)
@pytest.mark.parametrize("factor", [0.5, 1.4])
def test_where_a_value_masks_itself_its_strength_meets_the_mean(factor, link, cdf, steep, seed):
    def log_mask(rows):
        score = rows[:, HOLE] * SLOPES[HOLE] + INTERCEPTS[HOLE]
        inner = min(factor, 1.0)
        return inner * cdf(score) + (1 - inner) * cdf(-score) + (factor - inner) * steep * score

    exact = LAW.grid(ROW, MASK, log_mask)
    imputer, _, _ = exact_imputer("self-masking", {"mean": whole(float(exact.mean[0]))}, members=2, seed=seed, link=link)
    (move,) = imputer.moves_
    assert move.way == "strength"
    np.testing.assert_allclose(move.moves[:, 0, 0], factor, atol=0.12)
    said = margins_in_words(imputer)[0]
    assert "times as strong as the data's own" in said


def test_a_quantile_is_met(seed):
    free = LAW.ignorable(ROW, MASK)
    mean, scale = float(free.mean[0]), float(free.cov[0, 0]) ** 0.5
    value = ROW[HOLE] - 0.2 if ROW[HOLE] > mean else ROW[HOLE] + 0.2
    seen = 50 * (ROW[HOLE] <= value)
    share = (seen + 100 * 0.4) / N
    imputer, x, _ = exact_imputer("none", {"quantile": {share: value}}, seed=seed)
    (move,) = imputer.moves_
    exact = (value - mean - scale * special.ndtri(0.4)) / scale**2
    assert move.moves[0, 0, 0] - 1 == pytest.approx(exact, abs=0.15 / scale)
    assert move.met[0] == pytest.approx(share, abs=1e-4)


def test_draws_meet_numbers_from_the_standard_error(seed):
    error = 0.05
    mean = float(LAW.ignorable(ROW, MASK).mean[0])
    wanted = whole(mean + 0.2)
    imputer, _, table = exact_imputer("none", {"mean": (wanted, error)}, members=2, seed=seed)
    (move,) = imputer.moves_
    assert move.moves.shape == (2, 1 + TARGETS, 1)
    table = rows_of(table, np.arange(N))
    drawn = candidates_of(imputer, table, [0, 1])
    cells = weighed_cells(imputer, table, drawn, {HOLE: "tilt"})[HOLE]
    for group in (0, 1):
        own = np.flatnonzero(drawn.groups == str(group))
        met = []
        for target in range(1 + TARGETS):
            weights = np.exp(drawn.log_weights[np.ix_(own, cells.rows)] + cells.gain(own, move.moves[group, target]))
            met.append(whole(((weights / weights.sum(0)) * cells.values[own]).sum(0).mean()))
        assert met[0] == pytest.approx(wanted, abs=1e-3)
        assert np.mean(met[1:]) == pytest.approx(wanted, abs=1e-3)
        assert np.std(met[1:]) == pytest.approx(error, rel=0.01)


def test_a_margin_beyond_the_draws_is_said():
    mean, scale = float(LAW.ignorable(ROW, MASK).mean[0]), float(LAW.ignorable(ROW, MASK).cov[0, 0]) ** 0.5
    imputer, _, _ = exact_imputer("none", {"mean": whole(mean + 8 * scale)})
    assert not imputer.moves_[0].in_reach
    (said,) = unmet(imputer)
    assert "farther from the fitted model than its draws reach" in said


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    x = rng.normal(size=120)
    table = pd.DataFrame(
        {"pay": np.exp(3 + 0.5 * x), "x": x, "job": rng.choice(["a", "b", "c"], 120), "whole": x + rng.normal(size=120)}
    )
    table.loc[rng.random(120) < 0.4, "pay"] = np.nan
    table.loc[rng.random(120) < 0.4, "job"] = None
    return table


def imputer_of(margins, **settings):
    kinds = {"pay": "positive"}
    return MNARImputer("none", kinds=kinds, margins=margins, steps=3, members=2, hidden=(4,), progress=False, **settings)


def test_a_fit_meets_its_margins_keeps_them_when_saved_and_applies_them_to_other_rows(frame, tmp_path):
    asked = {"pay": {"mean": 26.0}, "job": {"share": {"a": 0.45, "b": 0.3}}}
    fitted = imputer_of(asked).fit(frame)
    result = fitted.impute(frame, draws=10)
    assert result.completed[:, 0].mean() == pytest.approx(26.0, rel=1e-6)
    levels, j = list(fitted.schema_.columns[2].levels), 2
    held = frame.job.notna().to_numpy()
    for level, share in asked["job"]["share"].items():
        seen = (frame.job == level).sum()
        assert (seen + float(result.probabilities[~held, j, levels.index(level)].sum())) / 120 == pytest.approx(share, abs=1e-5)
    table = fitted.margins_
    np.testing.assert_allclose(table.met, table.asked, rtol=1e-5)
    assert list(table.moved) == ["tilt", "odds", "odds"]
    fitted.save(tmp_path / "m")
    again = MNARImputer.load(tmp_path / "m")
    assert again.margins == asked or dict(again.margins["pay"]) == asked["pay"]
    pd.testing.assert_frame_equal(again.margins_, table)
    some = frame.iloc[:30]
    pd.testing.assert_frame_equal(again.transform(some), fitted.transform(some))
    free = imputer_of(None).fit(frame)
    missing = some.pay.isna()
    assert (again.transform(some).pay[missing].mean() > free.transform(some).pay[missing].mean()) == (table.by[0] > 0)
    for point in ("median", "draw"):
        filled = replace(fitted, point=point)
        for name, value in vars(fitted).items():
            if name.endswith("_"):
                setattr(filled, name, value)
        done = filled.transform(frame)
        assert done.notna().all().all() and (done.pay[frame.pay.notna()] == frame.pay.dropna()).all()


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ([1], "expected a mapping from columns"),
        ({"none": {"mean": 1}}, "got unknown column 'none'"),
        ({"pay": 3}, "got 3 for column 'pay', expected {'mean': NUMBER}"),
        ({"pay": {"mean": "3"}}, "got {'mean': '3'} for column 'pay'"),
        ({"pay": {"mean": (3, -1)}}, "for column 'pay', expected {'mean'"),
        ({"pay": {"mean": float("nan")}}, "for column 'pay', expected {'mean'"),
        ({"pay": {"mean": 0.5}}, "missing values would then have a mean of -"),
        ({"pay": {"quantile": {1.5: 3}}}, "got a quantile at 1.5 for column 'pay', expected one between 0 and 1"),
        ({"pay": {"quantile": {0.9999: 3}}}, "which observed values leave room for"),
        ({"pay": {"quantile": {0.2: 3, 0.4: 4}}}, "got 2 quantiles for column 'pay', expected one"),
        ({"pay": {"share": {"a": 0.2}}}, "got a share for positive column 'pay', expected a mean or a quantile"),
        ({"job": {"mean": 1}}, "got a mean for categorical column 'job', expected a share of its levels"),
        ({"job": {"share": {"a": 1.2}}}, "got a share of 1.2 of level 'a' for column 'job', expected one between 0 and 1"),
        ({"job": {"share": {"a": 0.01}}}, "which observed values leave room for"),
        ({"job": {"share": {"a": 0.6, "b": 0.6}}}, "got shares that add to 1.2"),
        ({"job": {"share": {"a": 0.4, "b": 0.5}}}, "shares that add to 0.9 for column 'job', expected less than 0."),
        ({"job": {"share": {"d": 0.2}}}, "got level 'd' of column 'job', expected one of a, b, c"),
        ({"job": {"share": {"a": 0.3, "b": 0.3, "c": 0.3}}}, "shares of every level that add to 0.9"),
        ({"whole": {"mean": 1}}, "got one for column 'whole', which has no holes"),
    ],
)
def test_bad_margins_are_refused_in_one_line_before_the_fit(frame, margins, message):
    imputer = imputer_of(margins)
    with pytest.raises(ValueError, match="^margins: ") as caught:
        imputer.fit(frame)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not hasattr(imputer, "members_")


def test_margins_as_plain_data():
    margin = Margin.of("x", {"quantile": {0.5: (3, 1)}})
    assert Margin.from_json(margin.to_json()) == margin
    for wrong in ({"what": "mode"}, {"values": [1.0, 2.0]}, {"errors": [float("nan")]}, {"values": ["a"]}, {"at": []}):
        with pytest.raises(ValueError, match="^margins: got"):
            Margin.from_json(margin.to_json() | wrong)
    arrays = {"unadjusted": [1.0], "met": [1.0], "before": [1.0], "after": [1.0]}
    plain = {"margin": margin.to_json(), "column": 0, "way": "tilt", "moves": [[[1.5]]], "in_reach": True, "refitted": False} | arrays
    columns = [Continuous("x", "float64")]
    assert Move.from_json(plain, 1, columns).to_json() == plain
    for wrong in (
        {"column": 1},
        {"column": True},
        {"refitted": 1},
        {"way": "odds"},
        {"way": "up"},
        {"moves": [[1.5]]},
        {"moves": [[]]},
        {"met": [1.0, 2.0]},
    ):
        with pytest.raises(ValueError, match="^margins: got"):
            Move.from_json(plain | wrong, 1, columns)
    with pytest.raises(ValueError, match="^margins: got moves of shape"):
        Move.from_json(plain, 2, columns)
    with pytest.raises(ValueError, match="^margins: got numbers that are not finite"):
        Move.from_json(plain | {"met": [float("nan")]}, 1, columns)
    assert margins_table([Continuous("x", "float64")], []).empty


@pytest.fixture(scope="module")
def beyond():
    """A table of whose y all above 1 is missing, and its mean."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=120)
    y = 0.4 * x + 0.92 * rng.normal(size=120)
    return pd.DataFrame({"x": x, "y": np.where(y > 1, np.nan, y)}), float(y.mean())


def test_a_margin_beyond_the_draws_has_the_model_fitted_again_nearer_to_it(beyond, tmp_path):
    frame, mean = beyond
    settings = {"members": 1, "steps": 40, "hidden": (4,), "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = MNARImputer("none", **settings).fit(frame)
        fitted = MNARImputer("none", margins={"y": {"mean": mean}}, **settings).fit(frame)
    assert fitted.specification_.own == {1: "high"} and plain.specification_.own == {}
    (move,) = fitted.moves_
    assert move.refitted and move.way == "strength" and fitted.margins_["refitted"].tolist() == [True]
    # Whatever the draws' weights, the fit itself lies nearer: what it imputes without the margin.
    moves, fitted.moves_ = fitted.moves_, []
    missing = frame.y.isna()
    near, far = (one.transform(frame).y[missing].mean() for one in (fitted, plain))
    assert near - far > 0.5 * (float(move.after[0]) - far)
    fitted.moves_ = moves
    assert fitted.transform(frame).y.mean() == pytest.approx(mean, abs=1e-6)
    assert float(move.unadjusted[0]) == pytest.approx(plain.transform(frame).y.mean(), abs=0.03)
    assert "the model was fitted again" in margins_in_words(fitted)[0]
    assert "as strongly as its margin says" in fitted.reasons_["reason"]["y"]
    fitted.save(tmp_path / "m")
    again = MNARImputer.load(tmp_path / "m")
    assert again.moves_[0].refitted and again.specification_ == fitted.specification_
    np.testing.assert_array_equal(again.transform(frame), fitted.transform(frame))


def test_a_margin_in_reach_leaves_the_fit_as_it_is(beyond):
    frame, _ = beyond
    settings = {"members": 1, "steps": 5, "hidden": (4,), "progress": False}
    plain = MNARImputer("none", **settings).fit(frame)
    fitted = MNARImputer("none", margins={"y": {"mean": plain.transform(frame).y.mean() + 0.02}}, **settings).fit(frame)
    assert not fitted.moves_[0].refitted and fitted.specification_ == plain.specification_


def test_held_slopes_stay_and_have_no_gradient():
    mechanism = self_masking([1.0, np.nan, -2.0], [0.0, np.nan, 0.5])
    mechanism.hold({2: -7.0})
    torch.testing.assert_close(mechanism.slope.detach(), torch.tensor([1.0, -7.0], dtype=torch.float64))
    mechanism.slope.sum().backward()
    assert mechanism.raw_slope.grad[0] > 0 and mechanism.raw_slope.grad[1] == 0


@pytest.mark.parametrize("draws", [1, 2])
def test_points_are_of_every_member_whatever_the_number_of_draws(draws):
    wanted = whole(float(LAW.ignorable(ROW, MASK).mean[0]) + 0.5)
    imputer, x, _ = exact_imputer("none", {"mean": wanted}, members=3)
    assert imputer.impute(x).completed[:, HOLE].mean() == pytest.approx(wanted, rel=1e-6)
    few = imputer.impute(x, draws=draws)
    assert few.completed[:, HOLE].mean() == pytest.approx(wanted, rel=1e-6)  # and not of those members alone whose draws these are
    assert few.means[:, HOLE].mean() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("weight", [3.0, 1 / 3])
def test_what_is_met_is_the_mean_with_the_weights_of_the_rows(weight):
    weights = np.where(np.arange(N) % 3, 1.0, weight)
    free = float(LAW.ignorable(ROW, MASK).mean[0])
    wanted = np.average(np.where(np.arange(N) < 100, free + 0.4, ROW[HOLE]), weights=weights)
    imputer, x, table = exact_imputer("none", {"mean": 0.0})
    read = (table.codec.columns, table.values, table.mask, table.absent, weights)
    margins = learned_margins(margins_of({HOLE: {"mean": wanted}}, range(4)), *read)
    imputer.moves_ = met_margins(imputer, replace(table, weights=weights), margins)
    completed = imputer.impute(x).completed[:, HOLE].numpy()
    assert np.average(completed, weights=weights) == pytest.approx(wanted, rel=1e-6)
    assert imputer.moves_[0].met[0] == pytest.approx(wanted, rel=1e-9)
    assert imputer.moves_[0].after[0] == pytest.approx(np.average(completed[:100], weights=weights[:100]), rel=1e-6)


def test_what_observed_values_leave_room_for_is_weighed():
    values, seen = np.array([[3.0], [0.0], [0.0], [0.0]]), np.array([[True], [True], [False], [False]])
    read = ([Bounded("a", "float64", bounds=(0.0, 5.0))], values, seen, np.zeros((4, 1), bool), np.array([4.0, 1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="whose 2 missing values would then have a mean of 8,"):  # (7 * 4 - 4 * 3) / 2
        learned_margins(margins_of({"a": {"mean": 4.0}}, ["a"]), *read)
    with pytest.raises(ValueError, match=r"expected one between 0\.1429 and 0\.4286"):  # 1 / 7 and 3 / 7
        learned_margins(margins_of({"a": {"quantile": {0.5: 1.0}}}, ["a"]), *read)
