"""Interval and energy scores against closed forms and their definitions."""

from itertools import combinations

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import norm

from pyro_mnar.analysis.scores import crps, energy_score, interval_score, interval_width


def test_interval_score_is_its_definition():
    # Quartiles of 0, 1, .., 4 are 1 and 3; values outside pay 2 / (1 - level) = 4 for each unit.
    draws, truth = np.arange(5.0)[:, None] + np.array([0.0, 0.0, 0.0, 10.0]), np.array([0.5, 2.0, 4.0, 11.0])
    assert interval_score(draws, truth, 0.5) == pytest.approx(np.mean([2 + 4 * 0.5, 2, 2 + 4 * 1, 2]))
    assert interval_width(draws, 0.5) == 2.0
    assert interval_width(draws * 3, 0.5) == 6.0


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_interval_score_of_a_normal_has_a_closed_form(level, seed):
    rng = np.random.default_rng(seed)
    draws, truth = np.repeat(norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None], 40, 1), rng.normal(size=(5000, 40))
    edge = norm.ppf((1 + level) / 2)
    # E max(Z - b, 0) = phi(b) - b (1 - Phi(b)), on either side
    exact = 2 * edge + 2 * 2 / (1 - level) * (norm.pdf(edge) - edge * norm.sf(edge))
    scores = [interval_score(draws, row, level) for row in truth[:300]]
    assert abs(np.mean(scores) - exact) < 4.5 * np.std(scores) / np.sqrt(300) + 1e-3
    assert interval_width(draws, level) == pytest.approx(2 * edge, abs=1e-3)


def test_energy_score_is_its_definition_over_pairs(seed):
    rng = np.random.default_rng(seed)
    draws, truth = rng.normal(size=(6, 5, 3)), rng.normal(size=(5, 3))
    mask = np.array([[1, 0, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    scores = []
    for i in (0, 2, 3, 4):  # row 1 has no holes
        x, y = draws[:, i, ~mask[i]], truth[i, ~mask[i]]
        pairs = [np.linalg.norm(a - b) for a, b in combinations(x, 2)]
        scores.append(np.mean([np.linalg.norm(a - y) for a in x]) - np.mean(pairs) / 2)
    assert energy_score(draws, truth, mask) == pytest.approx(np.mean(scores))


def test_energy_score_of_single_cells_is_the_crps_and_of_a_point_the_distance(seed):
    rng = np.random.default_rng(seed)
    draws, truth, mask = rng.normal(size=(9, 30, 2)), rng.normal(size=(30, 2)), np.array([[True, False]] * 30)
    assert energy_score(draws, truth, mask) == pytest.approx(crps(draws[:, :, 1], truth[:, 1]))
    point = np.linalg.norm(draws[0] - truth, axis=1).mean()
    assert energy_score(draws[:1], truth, np.zeros((30, 2), bool)) == pytest.approx(point)


def test_energy_score_of_a_calibrated_normal_has_a_closed_form(seed):
    rng = np.random.default_rng(seed)
    d, n = 3, 1500
    draws, truth, mask = rng.normal(size=(30, n, d)), rng.normal(size=(n, d)), np.zeros((n, d), bool)
    # E ||X - y|| = E ||X - X'|| = sqrt(2) E chi_d, so that half of it remains.
    exact = np.sqrt(2) * np.sqrt(2) * np.exp(gammaln((d + 1) / 2) - gammaln(d / 2)) / 2
    assert abs(energy_score(draws, truth, mask) - exact) < 4.5 * 0.75 / np.sqrt(n)
    assert energy_score(draws + 1, truth, mask) > exact + 0.2 and energy_score(draws * 0.2, truth, mask) > exact + 0.05
