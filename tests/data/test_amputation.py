"""Masks made by a known rule, and the data sets they are made on."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from pyro_mnar.data import amputate, load
from pyro_mnar.data.amputation import KINDS

DATA = Path(os.environ.get("PYRO_MNAR_DATA", Path(__file__).parents[3] / "shared" / "data"))
X = np.random.default_rng(1).normal(size=(4000, 4))


def test_the_hard_rule_hides_what_is_above_the_mean():
    mask = amputate(X, "hard")
    assert (mask[:, :2] == (X[:, :2] <= X[:, :2].mean(0))).all() and mask[:, 2:].all()
    low = amputate(X, "hard", rate=0.1, direction="low")
    assert X[~low[:, 0], 0].max() < X[low[:, 0], 0].min() and abs((~low[:, 0]).mean() - 0.1) < 1e-3


@pytest.mark.parametrize("kind", ["self", "coupled", "mar", "mcar"])
@pytest.mark.parametrize("seed", range(5))
def test_soft_rates_are_those_asked_for(kind, seed):
    mask = amputate(X, kind, rate=0.3, columns=[0], seed=seed)
    z = ((~mask[:, 0]).mean() - 0.3) / np.sqrt(0.3 * 0.7 / len(X))
    assert abs(z) < 4 and mask[:, 1:].all()
    assert (mask == amputate(X, kind, rate=0.3, columns=[0], seed=seed)).all()


def test_self_masking_reads_the_value_and_mar_the_others():
    missing = ~amputate(X, "self", columns=[0])[:, 0]
    assert X[missing, 0].mean() > X[~missing, 0].mean() + 0.5
    missing = ~amputate(X, "self", columns=[0], direction="low")[:, 0]
    assert X[missing, 0].mean() < X[~missing, 0].mean() - 0.5
    missing = ~amputate(X, "mar", columns=[0])[:, 0]
    assert X[missing, 1:].mean() > X[~missing, 1:].mean() + 0.3
    assert abs(X[missing, 0].mean() - X[~missing, 0].mean()) < 4 * 2 / np.sqrt(missing.sum())


@pytest.mark.parametrize("direction", ["high", "low"])
def test_a_coupled_mask_reads_the_value_and_one_other_column_and_no_more(direction):
    sign = 1 if direction == "high" else -1
    hidden = ~amputate(X, "coupled", slope=2, direction=direction)
    for j, partner, other in ((0, 2, 3), (1, 3, 2)):
        shift = sign * (X[hidden[:, j]].mean(0) - X[~hidden[:, j]].mean(0))
        assert shift[j] > 0.5 and shift[partner] > 0.5 and abs(shift[other]) < 4 * 2 / np.sqrt(hidden[:, j].sum())
    # Logistic in the sum of the two: regressing the mask on all columns finds the slopes, 2 / sqrt(2) each.
    logits = LogisticRegression(C=1e6).fit((X - X.mean(0)) / X.std(0), hidden[:, 0]).coef_[0]
    np.testing.assert_allclose(logits, np.array([1, 0, 1, 0]) * sign * np.sqrt(2), atol=0.25)
    third = ~amputate(X, "coupled", columns=[0, 1, 2], direction=direction)  # one complete column serves them all
    assert all(sign * X[third[:, j], 3].mean() > 0.3 for j in range(3))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "odd"},
        {"kind": "hard", "slope": 2},
        {"kind": "mcar", "direction": "high"},
        {"kind": "self", "direction": "up"},
        {"kind": "self", "rate": 1.5},
        {"kind": "mar", "columns": range(4)},
        {"kind": "coupled", "columns": range(4)},
        {"kind": "self", "columns": [9]},
    ],
)
def test_amputate_refuses(wrong):
    with pytest.raises(ValueError, match="kind|slope|direction|rate|columns"):
        amputate(X, **wrong)


@pytest.mark.parametrize(
    ("name", "zero_fill"), [("banknote", 0.949), ("concrete", 1.108), ("red", 1.353), ("white", 1.241), ("breast", 1.307)]
)
def test_the_protocol_is_the_papers(name, zero_fill):
    if name != "breast" and not (DATA / "uci").is_dir():
        pytest.skip(f"no UCI tables in {DATA} (set PYRO_MNAR_DATA)")
    x = load(name, DATA).to_numpy(float)
    x = (x - x.mean(0)) / x.std(0)
    hidden = x[~amputate(x, "hard")]
    assert np.sqrt((hidden**2).mean()) == pytest.approx(zero_fill, abs=6e-4)


def test_load_refuses(tmp_path):
    with pytest.raises(ValueError, match="expected one of breast"):
        load("odd")
    with pytest.raises(ValueError, match="data_home: got none"):
        load("red")


@pytest.mark.parametrize(
    ("x", "options", "said"),
    [
        (X, {"kind": "odd"}, "kind: got 'odd', expected one of hard, self, coupled, mar, mcar"),
        (X, {"kind": "hard", "direction": "up"}, "direction: got 'up', expected high or low"),
        (X, {"kind": "mcar", "slope": 2.0}, "slope: got 2.0 with kind 'mcar'"),
        (X, {"kind": "self", "slope": float("nan")}, "slope: got nan"),
        (X, {"kind": "mcar", "columns": [0, 0]}, "columns: got .0, 0., expected distinct"),
        (X, {"kind": "mcar", "columns": [1.7]}, "columns: got .1.7., expected positions"),
        (X, {"kind": "mcar", "columns": ["a"]}, "columns: got"),
        (X[:, :1], {"kind": "hard"}, "columns: got .., expected distinct positions"),
        ([[1.0, float("nan")]], {"kind": "hard"}, "x: got a hole in row 0 of column 1"),
        ([[1.0, float("inf")]], {"kind": "hard"}, "infinite value"),
        ([1.0], {"kind": "hard"}, "dimensions"),
        ([[1.0, 2.0]], {"kind": "mcar", "rate": 0.999999}, "no value would be left"),
    ],
)
def test_amputate_says_what_is_wrong(x, options, said):
    with pytest.raises(ValueError, match=said) as caught:
        amputate(x, **options)
    assert "\n" not in str(caught.value)


def test_frames_and_arrays_give_the_same_mask():
    frame = pd.DataFrame(X, columns=list("abcd"))
    for kind in KINDS:
        assert (amputate(frame, kind) == amputate(X, kind)).all()
    whole = pd.DataFrame({"a": pd.array([1, 2, 3], "Int64"), "b": [1, 2, 3]})
    assert amputate(whole, "hard").tolist() == [[True, True], [True, True], [False, True]]


@pytest.mark.parametrize("n", range(1, 30))
@pytest.mark.parametrize("direction", ["high", "low"])
def test_the_hard_rule_hides_nothing_of_a_constant_column(n, direction):
    assert amputate(np.full((n, 2), 0.1), "hard", direction=direction).all()


@pytest.mark.parametrize("kind", ["self", "coupled", "mar"])
@pytest.mark.parametrize("slope", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("rate", [0.05, 0.6])
def test_the_rate_holds_at_any_slope(kind, slope, rate):
    hidden = (~amputate(X, kind, slope=slope, rate=rate)[:, :2]).mean(0)
    assert (np.abs(hidden - rate) / np.sqrt(rate * (1 - rate) / len(X)) < 4).all()


def test_seeds_differ_and_numpys_global_generator_is_left_alone():
    before = np.random.get_state()[1].tobytes()
    assert (amputate(X, "mcar", seed=1) != amputate(X, "mcar", seed=2)).any()
    assert np.random.get_state()[1].tobytes() == before
