"""The oracles of tests/exact.py, held against one another."""

import numpy as np
import pytest
from exact import INTERCEPT, LAW, MASKS, ROWS, SLOPE, log_self_masking
from scipy import stats


@pytest.mark.parametrize("row", [1, 2, 4])
def test_orthant_probability_agrees_with_the_grid(row):
    mask = MASKS[row]
    grid = LAW.grid(ROWS[row], mask, log_self_masking(mask, SLOPE, INTERCEPT))
    assert LAW.probit(ROWS[row], mask, SLOPE, INTERCEPT) == pytest.approx(grid.log_prob, abs=1e-7)


def test_one_missing_cell_has_the_moments_of_the_grid():
    mask = MASKS[1]
    closed = LAW.probit_one(ROWS[1], mask, SLOPE, INTERCEPT)
    grid = LAW.grid(ROWS[1], mask, log_self_masking(mask, SLOPE, INTERCEPT))
    np.testing.assert_allclose(closed.mean, grid.mean, atol=1e-9)
    np.testing.assert_allclose(closed.cov, grid.cov, atol=1e-9)


def test_probabilities_of_all_masks_add_to_the_density_of_the_row():
    # Missing cells have no density: with cells 0 and 1 hidden in every way, p(x_2, x_3, s) adds to p(x_2, x_3, s_3).
    slope, intercept = np.array([1.5, -2.0, np.nan, np.nan]), INTERCEPT
    x = ROWS[2]
    both = LAW.probit(x, np.array([False, False, True, True]), slope, intercept)
    axis = np.linspace(-8, 8, 1601)
    one = sum(
        np.exp(LAW.probit(np.array([v, 0, x[2], x[3]]), np.array([True, False, True, True]), slope, intercept)) for v in axis[::8]
    ) * (axis[8] - axis[0])
    other = sum(
        np.exp(LAW.probit(np.array([0, v, x[2], x[3]]), np.array([False, True, True, True]), slope, intercept)) for v in axis[::8]
    ) * (axis[8] - axis[0])
    free = LAW.ignorable(x, np.array([False, False, True, True]))
    grid = np.linspace(-8, 8, 321)
    rows = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    seen = stats.multivariate_normal(free.mean, free.cov).pdf(rows) * stats.norm.cdf(-(rows * slope[:2] + intercept[:2])).prod(-1)
    none = np.exp(free.log_prob) * seen.sum() * (grid[1] - grid[0]) ** 2
    assert np.exp(both) + one + other + none == pytest.approx(np.exp(free.log_prob), rel=1e-6)
