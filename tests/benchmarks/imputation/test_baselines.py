"""The benchmark's own samplers and models against exact answers."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import multivariate_normal, norm
from sklearn.datasets import load_wine

from benchmarks.imputation.baselines import constant, mean, mice, zero
from benchmarks.imputation.censored_normal import censored_normal, normal
from benchmarks.imputation.published import Published


def bivariate(n: int, seed: int) -> tuple[np.ndarray, float]:
    rho = 0.6
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal([0.0, 0.0], [[1.0, rho], [rho, 1.0]], n), rho


@pytest.mark.parametrize("direction", ["high", "low"])
def test_censored_cells_have_the_truncated_normals_mean_and_spread(direction, seed):
    sign = 1.0 if direction == "high" else -1.0
    x, rho = bivariate(20_000, seed)
    holes = sign * x[:, 0] > 0.5
    values = np.where(np.column_stack([holes, np.zeros_like(holes)]), np.nan, x)
    completed, draws = censored_normal(values, seed, 50, direction, burn_in=100, kept=100)
    # x_0 given x_1 is normal with mean rho x_1 and variance 1 - rho^2, and lies beyond .5
    spread = np.sqrt(1 - rho**2)
    bound = (0.5 - rho * sign * x[holes, 1]) / spread
    ratio = np.exp(norm.logpdf(bound) - norm.logsf(bound))
    exact = sign * (rho * sign * x[holes, 1] + spread * ratio)
    variance = spread**2 * (1 + bound * ratio - ratio**2)
    # The parameters are not given but learned from 20 000 rows.
    assert completed[holes, 0].mean() == pytest.approx(exact.mean(), abs=0.03)
    assert np.sqrt(np.mean((completed[holes, 0] - exact) ** 2)) < 0.1
    assert draws[:, holes, 0].var(0).mean() == pytest.approx(variance.mean(), rel=0.08)
    assert (sign * draws[:, holes, 0] >= 0.49).all() and (completed[~holes] == x[~holes]).all()


def test_without_a_direction_it_is_the_regression_on_the_rest(seed):
    x, rho = bivariate(5000, seed)
    holes = np.random.default_rng(seed).random(5000) < 0.3
    values = np.where(np.column_stack([holes, np.zeros_like(holes)]), np.nan, x)
    completed, draws = censored_normal(values, seed, 100, None, burn_in=50, kept=200)
    assert np.sqrt(np.mean((completed[holes, 0] - rho * x[holes, 1]) ** 2)) < 0.1
    assert draws[:, holes, 0].var(0).mean() == pytest.approx(1 - rho**2, rel=0.08)
    assert len(normal(values[:50], seed, 7, "high")[1]) == 7


def test_chained_regressions_draw_from_the_regression(seed):
    x, rho = bivariate(3000, seed)
    holes = np.random.default_rng(seed).random(3000) < 0.3
    values = np.where(np.column_stack([holes, np.zeros_like(holes)]), np.nan, x)
    completed, draws = mice(values, seed, 31, chains=4)
    assert draws.shape == (31, 3000, 2) and (draws[:, ~holes] == x[~holes]).all() and (completed[~holes] == x[~holes]).all()
    assert np.sqrt(np.mean((completed[holes, 0] - rho * x[holes, 1]) ** 2)) < 0.1
    assert (draws[:, holes, 0] - rho * x[holes, 1]).var() == pytest.approx(1 - rho**2, rel=0.08)
    assert len({drawn.tobytes() for drawn in draws}) == 31


def test_constants_are_as_named():
    values = np.array([[1.0, 2.0], [4.0, np.nan], [np.nan, 3.0]])
    assert mean(values, 0, 1)[0].tolist() == [[1, 2], [4, 2.5], [2.5, 3]]
    assert zero(values, 0)[0].tolist() == [[1, 2], [4, 0], [0, 3]]
    assert constant(values, 0, direction="high")[0].tolist() == [[1, 2], [4, 3.5], [5.5, 3]]
    assert constant(values, 0, direction="low")[0].tolist() == [[1, 2], [4, 1.5], [-0.5, 3]]
    drawn = mean(values, 0, 50)[1]
    assert drawn is not None and set(drawn[:, 2, 0]) == {1.0, 4.0} and set(drawn[:, 1, 1]) == {2.0, 3.0}


def test_published_models_train_in_stretches_and_keep_what_is_observed():
    x = load_wine().data[:40, :4]
    x = (x - x.mean(0)) / x.std(0)
    x[x[:, 0] > 0, 0] = np.nan
    settings: list[dict[str, Any]] = [{}, {"direction": "high"}, {"direction": "low", "linear": True}]
    for setting in settings:
        whole, parts = Published(x, 1, **setting), Published(x, 1, **setting)
        whole.train(6)
        for steps in (1, 5):
            parts.train(steps)
        completed, draws = whole.impute(9, samples=50)
        other = parts.impute(9, samples=50)
        assert (completed == other[0]).all() and (draws == other[1]).all() and draws.shape == (9, 40, 4)
        seen = ~np.isnan(x)
        assert (completed[seen] == x[seen]).all() and (draws[:, seen] == x[seen]).all()


@pytest.mark.parametrize("direction", [None, "high", "low"])
def test_the_published_bound_tends_to_the_exact_evidence(direction, seed):
    """A linear decoder makes the rows normal, so that the evidence is a density times an integral of one dimension."""
    values = np.array([[0.4, np.nan], [-1.0, 0.8], [np.nan, 1.1], [np.nan, np.nan]])[: 3 if direction else 4]
    model = Published(values, seed, direction, linear=True)
    with torch.no_grad():
        model.raw[2] += 0.3
        log_w = model._weigh(model.x, model.mask, 200_000)[0].double()
        weights, offset = model.decoder[0].weight.double().numpy(), model.decoder[0].bias.double().numpy()
        raw = model.raw.double().numpy()
    covariance = weights @ weights.T + np.eye(2) * np.log1p(np.exp(raw[0, 0])) ** 2
    steepness = np.log1p(np.exp(raw[1])) * (1 if direction == "low" else -1)
    for row, got in zip(values, log_w.T, strict=True):
        seen = ~np.isnan(row)
        exact = multivariate_normal(offset[seen], covariance[np.ix_(seen, seen)]).logpdf(row[seen]) if seen.any() else 0.0
        if direction:
            observed = expit(steepness * (row - raw[2]))
            exact += np.log(observed[seen]).sum()
            for j in np.flatnonzero(~seen):
                gain = covariance[j, 1 - j] / covariance[1 - j, 1 - j]
                center = offset[j] + gain * (row[1 - j] - offset[1 - j])
                spread = np.sqrt(covariance[j, j] - gain * covariance[j, 1 - j])
                missing = quad(lambda v, j=j, c=center, s=spread: norm.pdf(v, c, s) * expit(-steepness[j] * (v - raw[2, j])), -15, 15)
                exact += np.log(missing[0])
        weight = (got - got.max()).exp()
        error = float(weight.std() / weight.mean()) / np.sqrt(len(got))
        assert abs(float(got.logsumexp(0)) - np.log(len(got)) - exact) < 4.5 * error + 1e-4


def test_published_imputations_are_the_exact_conditional_ones(seed):
    values = np.repeat([[0.9, np.nan]], 300, 0)
    model = Published(values, seed, linear=True)
    completed, draws = model.impute(20, samples=2000)
    with torch.no_grad():
        weights, offset = model.decoder[0].weight.double().numpy(), model.decoder[0].bias.double().numpy()
        noise = np.log1p(np.exp(float(model.raw[0, 0]))) ** 2
    covariance = weights @ weights.T + np.eye(2) * noise
    gain = covariance[0, 1] / covariance[0, 0]
    exact = offset[1] + gain * (0.9 - offset[0])
    assert abs(completed[:, 1].mean() - exact) < 4.5 * completed[:, 1].std() / np.sqrt(300) + 1e-3
    assert draws[:, :, 1].var() == pytest.approx(covariance[1, 1] - gain * covariance[0, 1], rel=0.12)


def test_a_pass_of_the_published_recipe_reads_no_row_twice_and_every_pass_another_order():
    model = Published(np.random.default_rng(0).normal(size=(50, 3)), 0)
    rows: list[int] = []
    weigh = model._weigh
    model._weigh = lambda x, mask, k: rows.extend((model.x == x[:, None]).all(-1).int().argmax(1).tolist()) or weigh(x, mask, k)  # type: ignore[method-assign]
    model.train(6)
    # 50 rows are three batches; two rows are left over.
    assert len(set(rows[:48])) == len(set(rows[48:])) == 48 and rows[:48] != rows[48:] and rows[:48] != list(range(48))
