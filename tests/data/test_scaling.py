"""Scales come from observed values only, and lose nothing on the way there and back."""

import json

import numpy as np
import pytest

from pyro_mnar.data import Scaling


def table(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((300, 3)) < 0.7
    mask[0] = True
    return np.where(mask, rng.normal([5, -2, 1e6], [1, 0.01, 1e5], (300, 3)), 0.0), mask


def test_mean_and_sd_are_those_of_the_observed_values(seed):
    values, mask = table(seed)
    scaling = Scaling.of(values, mask)
    for j in range(3):
        seen = values[mask[:, j], j]
        np.testing.assert_allclose([scaling.center[j], scaling.scale[j]], [seen.mean(), seen.std()], rtol=1e-12)
    scaled = scaling.apply(values, mask)
    assert scaled.dtype == np.float64 and (scaled[~mask] == 0).all()
    np.testing.assert_allclose(scaled.sum(0), 0, atol=1e-8)
    np.testing.assert_allclose((scaled**2).sum(0), mask.sum(0), rtol=1e-9)
    np.testing.assert_allclose(scaling.invert(scaled)[mask], values[mask], rtol=1e-12)


def test_what_stands_in_the_holes_does_not_matter(seed):
    values, mask = table(seed)
    for junk in (np.nan, np.inf, 1e300):
        other = np.where(mask, values, junk)
        assert Scaling.of(other, mask).to_json() == Scaling.of(values, mask).to_json()
        assert Scaling.of(values, mask).apply(other, mask).tobytes() == Scaling.of(values, mask).apply(values, mask).tobytes()


@pytest.mark.parametrize("value", [0.1, 0.0, -7e300, 5e-324])
@pytest.mark.parametrize("n", [1, 3, 1000])
def test_a_constant_column_gets_scale_1(value, n):
    scaling = Scaling.of(np.full((n, 1), value), np.ones((n, 1), bool))
    assert scaling.scale.tolist() == [1] and scaling.center.tolist() == [value]


def test_neither_huge_nor_tiny_values_overflow():
    huge, mask = np.array([[1.7e308], [-1.7e308], [1.7e308]]), np.ones((3, 1), bool)
    scaling = Scaling.of(huge, mask)
    np.testing.assert_allclose(scaling.apply(huge, mask)[:, 0], [0.5**0.5, -(2**0.5), 0.5**0.5])
    np.testing.assert_allclose(scaling.invert(scaling.apply(huge, mask)), huge)
    assert Scaling.of(np.array([[5e-324], [0.0]]), np.ones((2, 1), bool)).scale.tolist() == [1]


def test_the_jacobian_turns_a_density_into_one_in_the_tables_units():
    scipy_stats = pytest.importorskip("scipy.stats")
    scaling, mask = Scaling(np.array([1.0, 2.0]), np.array([2.0, 5.0])), np.array([[True, True], [True, False], [False, False]])
    values = np.array([[0.0, 4.0], [3.0, 0.0], [0.0, 0.0]])
    scaled = (scipy_stats.norm.logpdf(scaling.apply(values, mask)) * mask).sum(1) + scaling.log_jacobian(mask)
    direct = (scipy_stats.norm.logpdf(values, scaling.center, scaling.scale) * mask).sum(1)
    assert scaled.shape == (3,)
    np.testing.assert_allclose(scaled, direct, atol=1e-12)


def test_json_round_trip_is_exact(seed):
    scaling = Scaling.of(*table(seed))
    back = Scaling.from_json(json.loads(json.dumps(scaling.to_json())))
    assert back.center.tobytes() == scaling.center.tobytes() and back.scale.tobytes() == scaling.scale.tobytes()


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [],
        {"center": [1.0]},
        {"center": [1.0], "scale": [0.0]},
        {"center": [1.0], "scale": [-1.0]},
        {"center": [1.0], "scale": [float("nan")]},
        {"center": [1.0, 2.0], "scale": [1.0]},
        {"center": ["x"], "scale": [1.0]},
        {"center": 1.0, "scale": 1.0},
        {"center": [None], "scale": [{}]},
    ],
)
def test_damaged_json_is_refused(damaged):
    with pytest.raises(ValueError, match="scaling"):
        Scaling.from_json(damaged)


def test_of_refuses():
    with pytest.raises(ValueError, match="column 1: has no observed value"):
        Scaling.of(np.zeros((2, 2)), np.array([[True, False], [True, False]]))
    with pytest.raises(ValueError, match=r"mask: got shape \(2, 1\) for values of shape \(2, 2\)"):
        Scaling.of(np.zeros((2, 2)), np.ones((2, 1), bool))
