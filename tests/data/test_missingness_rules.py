"""Rules of whole rows: what they hide, how much of it, and what decides."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr, ndtri
from sklearn.linear_model import LogisticRegression

from pyro_mnar.data import amputate
from pyro_mnar.data.missingness_rules import EVEN_RULES, ROW_RULES, standardized

X = standardized(np.random.default_rng(1).normal(size=(6000, 5)))
#: Columns of X that a rule of all columns can hide values of.
HOLED = {"dropout": slice(1, 5), "dropout-own": slice(1, 5), "pairs": slice(0, 4)}
DROPOUTS = ("dropout", "dropout-own")


def weights(drivers: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    return LogisticRegression(C=1e6).fit(drivers, hidden).coef_[0]


@pytest.mark.parametrize("kind", ROW_RULES)
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.45])
@pytest.mark.parametrize("slope", [0.0, 2.0, 1e3])
def test_the_rate_is_the_one_asked_for_in_the_columns_that_get_holes(kind, rate, slope, seed):
    hidden = ~amputate(X, kind, rate=rate, slope=slope, seed=seed)
    inside = hidden[:, HOLED.get(kind, slice(0, 5))]
    shares = inside.mean(1)
    assert abs(shares.mean() - rate) < 4 * shares.std() / np.sqrt(len(X)) and inside.sum() == hidden.sum()
    if kind not in DROPOUTS:
        assert (np.abs(inside.mean(0) - rate) < 4.5 * np.sqrt(rate * (1 - rate) / len(X))).all()


@pytest.mark.parametrize("kind", DROPOUTS)
@pytest.mark.parametrize("direction", ["high", "low"])
def test_who_left_stays_away_and_left_by_the_value_before_or_by_the_unseen_one(kind, direction, seed):
    visits = [3, 0, 4, 1]
    seen = amputate(X, kind, columns=visits, slope=2, direction=direction, seed=seed)
    assert seen[:, [2, 3]].all() and (np.diff(seen[:, visits].astype(int), axis=1) <= 0).all()
    for before, at in pairwise(visits):
        there = seen[:, before]
        expected = np.zeros(5)
        expected[before if kind == "dropout" else at] = 2 if direction == "high" else -2
        # The score's slope is the same at every visit, as is its constant.
        np.testing.assert_allclose(weights(X[there], ~seen[there, at]), expected, atol=0.4)


def test_one_of_a_pair_is_hidden_by_the_other(seed):
    hidden = ~amputate(X, "pairs", slope=2, seed=seed)
    for a, b in ((0, 1), (2, 3)):
        assert not (hidden[:, a] & hidden[:, b]).any() and abs((hidden[:, a] ^ hidden[:, b]).mean() - 0.6) < 4 * 0.5 / np.sqrt(6000)
        for one, other in ((a, b), (b, a)):
            found = weights(X, hidden[:, one])
            assert found[other] > 0.5 and np.abs(np.delete(found, other)).max() < 0.2
    assert not hidden[:, 4].any()
    hard = ~amputate(X, "pairs", slope=np.inf, rate=0.2, direction="low", seed=seed)
    assert X[hard[:, 0], 1].max() < ndtri(0.45) and X[hard[:, 1], 0].max() < ndtri(0.45)


@pytest.mark.parametrize("direction", ["high", "low"])
def test_the_next_column_decides_whether_it_is_seen_or_not(direction, seed):
    columns = [4, 0, 2]
    hidden = ~amputate(X, "neighbor", columns=columns, slope=2, direction=direction, seed=seed)
    for j, following in zip(columns, [0, 2, 4], strict=True):
        expected = np.zeros(5)
        expected[following] = 2 if direction == "high" else -2
        np.testing.assert_allclose(weights(X, hidden[:, j]), expected, atol=0.3)
        # Of those it reads, some are hidden themselves.
        assert (hidden[:, j] & hidden[:, following]).any()


@pytest.mark.parametrize(("kind", "sign"), [("middle", -1), ("tails", 1)])
def test_the_distance_from_the_median_decides(kind, sign, seed):
    skewed = np.exp(X)
    distance = np.abs(skewed - np.median(skewed, 0))
    hard = ~amputate(skewed, kind, slope=np.inf, seed=seed)
    for j in range(5):
        assert (sign * distance[hard[:, j], j]).min() > (sign * distance[~hard[:, j], j]).max()
        assert hard[:, j].mean() == pytest.approx(0.3, abs=1e-3)
    soft = ~amputate(X, kind, columns=[2], slope=2, seed=seed)[:, 2]
    found = weights(np.column_stack([X, np.abs(X[:, 2] - np.median(X[:, 2]))]), soft)
    np.testing.assert_allclose(found, [0, 0, 0, 0, 0, sign * 2], atol=0.3)
    # With ties the largest rows cannot be told apart, and fewer go; of a constant column none.
    assert amputate(np.ones((20, 2)), kind, slope=np.inf).all()


def test_a_propensity_of_the_row_is_half_its_first_component(seed):
    rng = np.random.default_rng(100 + seed)  # another stream than that of the mask
    factor = rng.normal(size=(6000, 1))
    x = factor + 0.7 * rng.normal(size=(6000, 4))
    component = standardized(standardized(x).sum(1))  # the columns are alike, so that the component is their sum, nearly
    for direction, sign in (("high", 1), ("low", -1)):
        hidden = ~amputate(x, "latent", slope=np.inf, direction=direction, seed=seed)
        assert (hidden == hidden[:, :1]).all()
        # Propensity is (component + noise) / sqrt(2), standard normal: P(hidden | component) is a probit of slope 1.
        error = hidden[:, 0] - ndtr(sign * component - np.sqrt(2) * ndtri(0.7))
        for moment in (error, error * component):
            assert abs(moment.mean()) < 4 * moment.std() / np.sqrt(len(x)) + 2e-3
    soft = ~amputate(x, "latent", slope=2, seed=seed)
    assert np.corrcoef(soft.T)[~np.eye(4, dtype=bool)].min() > 0.2 and not (soft == soft[:, :1]).all()


def test_a_share_of_the_columns_decides_on_the_others_and_has_holes_at_random(seed):
    x = standardized(np.random.default_rng(100 + seed).normal(size=(6000, 7)))
    hidden = ~amputate(x, "logistic", slope=1, seed=seed)
    found = np.stack([weights(x, column) for column in hidden.T])
    inputs = [j for j in range(7) if np.abs(np.delete(found, j, 0)[:, j]).max() > 0.25]
    assert len(inputs) == 2  # 30 % of 7
    rest = [j for j in range(7) if j not in inputs]
    assert np.abs(found[inputs]).max() < 0.2 and np.abs(found[np.ix_(rest, rest)]).max() < 0.2
    # Standardized weights: in a unit of the score all columns have the slope asked for.
    np.testing.assert_allclose((x[:, inputs] @ found[np.ix_(rest, inputs)].T).std(0), 1, atol=0.2)
    one = ~amputate(x[:, :2], "logistic", slope=3, seed=seed)
    assert (np.abs([weights(x[:, :2], column) for column in one.T]).max(1) > 2).sum() == 1


@pytest.mark.parametrize("kind", ROW_RULES)
def test_columns_that_are_not_named_are_complete_and_seeds_decide(kind):
    mask = amputate(X, kind, columns=[3, 1], rate=0.3, seed=4)
    assert mask[:, [0, 2, 4]].all() and not mask[:, 1].all()
    assert (mask == amputate(pd.DataFrame(X, columns=list("abcde")), kind, columns=[3, 1], rate=0.3, seed=4)).all()
    assert (mask != amputate(X, kind, columns=[3, 1], rate=0.3, seed=5)).any()


@pytest.mark.parametrize("kind", ROW_RULES)
@pytest.mark.parametrize("d", [1, 2, 3, 30])
def test_few_and_many_columns_and_few_rows(kind, d):
    x = np.random.default_rng(d).normal(size=(12, d))
    if d == 1 and kind not in ("middle", "tails", "latent"):
        with pytest.raises(ValueError, match="columns: got .0., expected at least 2"):
            amputate(x, kind)
        return
    assert any(not amputate(x, kind, rate=0.2, seed=seed).all() for seed in range(5))


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        *[(kind, {"direction": "high"}, f"direction: got 'high' with kind '{kind}', expected none") for kind in EVEN_RULES],
        *[(kind, {"slope": np.inf}, "slope: got inf, expected a finite number") for kind in (*DROPOUTS, "self")],
        ("middle", {"slope": -np.inf}, "slope: got -inf"),
        ("tails", {"slope": np.nan}, "slope: got nan"),
        ("pairs", {"rate": 0.5}, "rate: got 0.5 with kind 'pairs', expected a share below .5"),
        ("neighbor", {"columns": [2]}, "columns: got .2., expected at least 2 for kind 'neighbor'"),
        ("latent", {"columns": []}, "columns: got .., expected distinct"),
    ],
)
def test_what_a_rule_has_no_use_for_is_refused(kind, options, said):
    with pytest.raises(ValueError, match=said):
        amputate(X, kind, **options)
