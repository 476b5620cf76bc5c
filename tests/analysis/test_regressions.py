"""The coefficient of a regression against a solution of the same rows about another origin, and what no data tell."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar.analysis import Design, regression

N = 200
RNG = np.random.default_rng(0)
U, V = RNG.random(N), RNG.normal(size=N)
Y = 2 + 3 * U + 0.5 * V + 0.1 * RNG.normal(size=N)
WON = RNG.random(N) < 1 / (1 + np.exp(1 - 2 * U))
WEIGHTS = 0.5 + RNG.random(N)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("spread", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("outcome", ["y", "logit(won)"])
def test_where_a_term_begins_does_not_matter(outcome, spread, weighted):
    """Seconds since 1970, say, of which an hour, or a second, is looked at: 1.7e9 is no part of the answer, only of the constant."""
    late = 1.7e9 + spread * U
    frame = pd.DataFrame({"y": Y, "won": WON.astype(float), "v": V, "late": late, "time": late - 1.7e9})  # the difference is exact
    design = [Design(WEIGHTS)] if weighted else []
    for first, second in (("late", "v"), ("v", "late")):
        expected = regression(outcome, [first.replace("late", "time"), second.replace("late", "time")])(frame, *design)
        assert regression(outcome, [first, second])(frame, *design) == pytest.approx(expected, rel=1e-6)


def test_the_answer_is_that_of_least_squares():
    x = np.column_stack([V, U, np.ones(N)])
    beta, squares, _, _ = np.linalg.lstsq(x, Y, rcond=None)
    variance = np.linalg.inv(x.T @ x)[0, 0] * squares[0] / (N - 3)
    frame = pd.DataFrame({"y": Y, "v": V, "u": U})
    assert regression("y", ["v", "u"])(frame) == pytest.approx((beta[0], variance, N - 3), rel=1e-10)


@pytest.mark.parametrize("outcome", ["y", "logit(won)"])
@pytest.mark.parametrize("other", [3 * V, 0.1 * V * 3, V + U - U, np.ones(N), 1e9 + 0 * V], ids=["3v", ".3v", "rounded", "one", "far"])
def test_terms_that_no_data_tell_apart_are_refused(outcome, other):
    frame = pd.DataFrame({"y": Y, "won": WON.astype(float), "v": V, "w": other})
    with pytest.raises(ValueError, match="terms v, w: one is constant or a sum of others"):
        regression(outcome, ["v", "w"])(frame)


def test_unknown_columns_and_no_terms_are_named():
    frame = pd.DataFrame({"y": Y, "v": V})
    for analysis in (regression("z", ["v"]), regression("y", ["v", "z"]), regression("y", ["log(z)"])):
        with pytest.raises(ValueError, match="got unknown column 'z', expected one of y, v"):
            analysis(frame)
    for none in ([], "v", 3):
        with pytest.raises(ValueError, match="predictors: got .*, expected a list of terms"):
            regression("y", none)
