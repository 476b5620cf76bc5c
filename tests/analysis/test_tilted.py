"""Tilts that meet a margin, against closed forms."""

import numpy as np
import pytest
from scipy import optimize, stats

from pyro_mnar.analysis.tilted import odds_that_meet, tilted_means, where_it_meets

#: A normal law as draws: values at even quantiles, too many for the sum to be far from the integral.
EVEN = np.linspace(-9, 9, 4001)[:, None]
LOG_DENSITY = stats.norm.logpdf(EVEN)
MEANS, SCALES = np.array([0.5, -1.0, 2.0]), np.array([0.7, 1.3, 0.4])
VALUES = MEANS + SCALES * EVEN


def test_a_normal_law_is_shifted_to_the_mean_by_its_variance():
    """Of rows with means m and variances v the tilt lambda x moves the sum by lambda times the sum of v."""
    found = where_it_meets(lambda tilt: tilted_means(LOG_DENSITY + tilt * VALUES, VALUES).sum(), 3.0)
    assert found == pytest.approx((3.0 - MEANS.sum()) / (SCALES**2).sum(), rel=1e-9)


def test_a_quantile_is_met_where_shifted_normals_have_it():
    def share(tilt):
        return stats.norm.cdf((0.8 - MEANS - tilt * SCALES**2) / SCALES).sum()

    exact = optimize.brentq(lambda tilt: share(tilt) - 1.2, -20, 20)
    found = where_it_meets(lambda tilt: tilted_means(LOG_DENSITY + tilt * VALUES, (VALUES <= 0.8) * 1.0).sum(), 1.2)
    assert found == pytest.approx(exact, abs=0.02)  # the indicator jumps between neighboring draws


def test_a_falling_sum_is_met_and_one_out_of_reach_is_the_farthest():
    assert where_it_meets(lambda x: -2 * x, 3.0) == pytest.approx(-1.5, rel=1e-12)
    assert where_it_meets(np.tanh, 2.0) == 0.25 * 2**8
    assert where_it_meets(np.tanh, -2.0) == -0.25 * 2**8


@pytest.mark.parametrize("target", [0.3, 6.0, 11.5])
def test_binary_odds_of_alike_rows_are_the_ratio_of_odds(target):
    shares, n = np.tile([0.7, 0.3], (12, 1)), 12
    log_odds = odds_that_meet(shares, np.array([1]), np.array([target]), np.ones(n))
    assert log_odds[0] == 0
    assert np.exp(log_odds[1]) == pytest.approx(target / (n - target) / (0.3 / 0.7), rel=1e-7)


def test_odds_of_several_levels_meet_all_shares(seed):
    rng = np.random.default_rng(seed)
    shares, rows = rng.dirichlet(np.ones(4), 50), rng.uniform(0.5, 2, 50)
    for at, wanted in (([1, 3], [20.0, 9.0]), ([0, 1, 2, 3], np.array([0.1, 0.2, 0.3, 0.4]) * rows.sum())):
        log_odds = odds_that_meet(shares, np.array(at), np.array(wanted), rows)
        tilted = shares * np.exp(log_odds)
        np.testing.assert_allclose(rows @ (tilted / tilted.sum(1, keepdims=True))[:, at], wanted, rtol=1e-8)
        assert (log_odds[[v for v in range(4) if v not in at[:3]]] == 0).all() or len(at) < 4
