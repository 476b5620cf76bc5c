"""The scorer against exact values on laws that are known, and inside scikit-learn's searches."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from exact import Z_MAX
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pyro_mnar import MNARImputer, held_out_crps
from pyro_mnar.analysis.scores import brier, crps

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
QUICK = {"mechanism": "none", "steps": 2, "members": 2, "hidden": (4,), "progress": False}


class Filled(SimpleImputer):
    """Fills every hole with 1."""

    def __init__(self):
        super().__init__(strategy="constant", fill_value=1.0)


def test_a_point_pays_its_distance_in_spreads():
    # Of either column the values are 0 and 2: spread 1, and every hidden cell is 1 away.
    x = np.tile([[0.0, 2.0], [2.0, 0.0]], (20, 1))
    assert held_out_crps(Filled().fit(x), x) == pytest.approx(-1.0)
    assert held_out_crps(Filled().fit(x), 1 + 100 * (x - 1)) == pytest.approx(-1.0, abs=0.011)
    # A column that is always the same is no task, and holes are none.
    assert held_out_crps(Filled().fit(np.c_[x, np.zeros(40)]), np.c_[x, np.zeros(40)]) == pytest.approx(-1.0)


class Exact(MNARImputer):
    """Draws a pair of normals of correlation .8, whatever was learned."""

    def impute(self, X, draws=0, particles=None, method="importance"):
        result = super().impute(X, draws, particles, method)
        x = np.asarray(X)
        noise, other = np.random.default_rng(7).normal(size=(draws, *x.shape)), x[:, ::-1]
        known = np.where(np.isnan(other), noise, 0.8 * other + 0.6 * noise)
        return replace(result, draws=torch.from_numpy(known))


def test_draws_of_the_right_law_have_its_expected_score():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 2))
    x = np.c_[z[:, 0], 0.8 * z[:, 0] + 0.6 * z[:, 1]]
    imputer = Exact(**QUICK).fit(x)
    scores = [held_out_crps(imputer, x, seed=seed, draws=20) for seed in range(8)]
    # E |X - y| - E |X - X'| / 2 of normals of standard deviation s is s / sqrt(pi); both of a row are hidden in one of 10.
    expected = -(0.9 * 0.6 + 0.1) / np.sqrt(np.pi)
    assert abs(np.mean(scores) - expected) < 0.03 + Z_MAX * np.std(scores) / np.sqrt(8)
    points = [-np.mean(np.abs(rng.normal(size=2000) - rng.normal(size=2000)))]  # one draw of no skill
    assert np.mean(scores) > np.mean(points)


def test_a_column_of_two_values_has_one_score_in_numbers_and_in_words():
    rng = np.random.default_rng(1)
    draws, truth = rng.integers(0, 2, (7, 30)).astype(float), rng.integers(0, 2, 30).astype(float)
    assert brier(draws, truth) / 2 == pytest.approx(crps(draws, truth))
    words = np.where(draws == 1, "yes", "no")
    assert brier(words, np.where(truth == 1, "yes", "no")) == pytest.approx(brier(draws, truth))
    frame = pd.DataFrame({"a": rng.integers(0, 2, 200).astype(float), "b": rng.normal(size=200)})
    other = frame.assign(a=np.where(frame.a == 1, "yes", "no"))
    scores = []
    for table, word in ((frame, "yes"), (other, "yes")):
        constant = _Constant({"a": 1.0 if table is frame else word, "b": 0.0})
        scores.append(held_out_crps(constant, table))
    assert scores[0] == pytest.approx(scores[1])


class _Constant:
    def __init__(self, values):
        self.values = values

    def transform(self, X):
        return X.fillna(self.values)


def test_the_brier_score_is_its_definition_and_without_bias():
    rng = np.random.default_rng(2)
    shares = np.array([0.5, 0.3, 0.2])
    draws = rng.choice(3, p=shares, size=(5, 40_000))
    scores = np.array([brier(draws[:, i::40], np.zeros(1000)) for i in range(40)])
    exact = np.square(shares - np.array([1, 0, 0])).sum()
    assert abs(scores.mean() - exact) < Z_MAX * scores.std() / np.sqrt(40)
    assert brier(np.array([[0, 1], [0, 1]]), np.array([0, 0])) == 1.0


def frame():
    rng = np.random.default_rng(3)
    z = rng.normal(size=120)
    table = pd.DataFrame({"a": z, "b": 2 * z + 0.3 * rng.normal(size=120)})
    table["k"] = pd.Categorical(np.where(z > 0, "u", "v"))
    table["grade"] = pd.Categorical(np.where(z > 1, "high", np.where(z > -1, "mid", "low")), ["low", "mid", "high"], ordered=True)
    table["true"], table["whole"] = z > 0.5, np.rint(5 * z).astype(int)
    table["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.rint(100 * z), unit="D")
    table["turn"] = np.mod(360 + 40 * z, 360)
    table.loc[:9, ["a", "k"]] = np.nan
    return table


def test_every_kind_of_column_counts_and_hiding_hangs_on_the_seed_alone():
    kinds = {"turn": "angle:360", "whole": "continuous"}
    imputer = MNARImputer(**QUICK | {"steps": 80, "members": 1, "kinds": kinds}).fit(frame())
    score = held_out_crps(imputer, frame(), seed=1)
    assert score == held_out_crps(imputer, frame(), seed=1) != held_out_crps(imputer, frame(), seed=2)
    # A fit of the relations is better than none, and that not worse than the mean of each column (E|x| of a normal x is .798).
    untrained = MNARImputer(**QUICK | {"steps": 1, "members": 1, "kinds": kinds}).fit(frame())
    assert -0.8 < held_out_crps(untrained, frame(), seed=1) < score - 0.1 < 0
    for name in ("k", "grade", "turn"):
        alone = frame().assign(**{other: np.random.default_rng(0).permutation(frame()[other]) for other in frame() if other != name})
        assert held_out_crps(imputer, alone, seed=1) < score


def test_searches_pipelines_and_frames_take_it():
    table = frame()[["a", "b", "whole"]].astype(float)
    search = GridSearchCV(MNARImputer(**QUICK), {"steps": [1, 100]}, scoring=held_out_crps, cv=2).fit(table)
    assert search.best_params_ == {"steps": 100}
    pipeline = make_pipeline(StandardScaler(), MNARImputer(**QUICK | {"steps": 50}), LinearRegression())
    scores = cross_val_score(pipeline, table, table.b, scoring=partial(held_out_crps, share=0.2, draws=10, seed=3), cv=2)
    assert (scores > -0.5).all() and (scores < 0).all()
    scaled = cross_val_score(make_pipeline(StandardScaler(), SimpleImputer()), table, scoring=held_out_crps, cv=2)
    assert np.allclose(scaled, cross_val_score(SimpleImputer(), table, scoring=held_out_crps, cv=2))
    arrays = held_out_crps(MNARImputer(**QUICK).fit(table.to_numpy()), table.to_numpy())
    assert arrays == pytest.approx(held_out_crps(MNARImputer(**QUICK).fit(table), table))


def test_columns_of_which_limits_are_known_are_left_out():
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"a": rng.normal(size=80), "b": rng.normal(size=80)})
    table.loc[table.a < -1, "a"] = np.nan
    imputer = MNARImputer(**QUICK | {"limits": {"a": ("<", -1.0)}}).fit(table)
    seen = []
    impute = imputer.impute
    imputer.impute = lambda X, **given: seen.append(X) or impute(X, **given)
    held_out_crps(imputer, table, share=0.5)
    assert seen[0].a.isna().equals(table.a.isna()) and seen[0].b.isna().sum() == 40


def test_what_cannot_be_scored_is_said():
    x = np.random.default_rng(5).normal(size=(20, 2))
    fitted = SimpleImputer().fit(x)
    for given, said in (({"share": 0.0}, "share: got 0.0"), ({"share": 1.0}, "share: got 1.0"), ({"draws": 0}, "draws: got 0")):
        with pytest.raises(ValueError, match=said):
            held_out_crps(fitted, x, **given)
    with pytest.raises(ValueError, match="share: got 0.01, which hides no cell"):
        held_out_crps(fitted, x, share=0.01)
    with pytest.raises(ValueError, match="hides no cell that varies"):
        held_out_crps(fitted, np.ones((20, 2)))
