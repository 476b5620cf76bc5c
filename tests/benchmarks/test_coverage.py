"""The coverage study: its batched model is the library's, its maxima are maxima, its draws are exact, and it tells good from bad."""

import numpy as np
import torch
from exact import LinearGaussian

from benchmarks import coverage


def test_the_batched_likelihood_is_that_of_a_linear_decoder_with_self_masking(seed):
    """For any weights of the decoder, through the law of y given x that they imply."""
    rng = np.random.default_rng(seed)
    law = LinearGaussian(rng.normal(size=(3, 2)), rng.normal(size=3), rng.uniform(0.3, 1, 3))
    slope, intercept = np.array([np.nan, np.nan, 1.3]), np.array([0.0, 0.0, -0.4])
    rows, masks = rng.normal(size=(6, 3)), np.array([[1, 1, k % 2] for k in range(6)], bool)
    cov = law.cov
    b = np.linalg.solve(cov[:2, :2], cov[:2, 2])
    theta = torch.tensor([law.bias[2] - b @ law.bias[:2], *b, 0.5 * np.log(cov[2, 2] - b @ cov[:2, 2]), 1.3, -0.4])
    data = [torch.tensor(part) for part in (rows[:, :2], rows[:, 2], masks[:, 2])]
    alone = LinearGaussian(law.weight[:2], law.bias[:2], law.noise[:2])
    for i in range(6):
        ours = coverage.log_likelihood(theta, *(part[i : i + 1] for part in data), torch.ones(1))
        of_x = alone.ignorable(rows[i, :2], masks[i, :2]).log_prob
        constant = 0.5 * np.log(2 * np.pi) if masks[i, 2] else 0.0
        assert abs(float(ours) - constant + of_x - law.probit(rows[i], masks[i], slope, intercept)) < 1e-10


def test_every_model_of_the_batch_is_at_its_own_maximum(seed):
    generator = torch.Generator().manual_seed(seed)
    x, y, seen = coverage.simulate(4, 300, 1.0, 0.3, generator)
    weight = torch.randint(0, 3, y.shape, generator=generator).double()
    theta, left = coverage.fit(coverage.start(x, y, seen, weight, 0.5), x, y, seen, weight)
    assert float(left.max()) < 1e-3
    best = coverage.log_likelihood(theta, x, y, seen, weight)
    for _ in range(20):
        near = theta + 0.05 * torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
        assert bool((coverage.log_likelihood(near, x, y, seen, weight) < best).all())
    # Repeated rows are what weights say they are.
    rows = torch.repeat_interleave(torch.arange(300), weight[0].long())
    alone = [part[:1, rows] for part in (x, y, seen)]
    again, _ = coverage.fit(coverage.start(*alone, torch.ones(1, len(rows)), 0.5), *alone, torch.ones(1, len(rows), dtype=x.dtype))
    torch.testing.assert_close(again[0], theta[0], rtol=1e-4, atol=1e-4)
    beta, variance = coverage.least_squares(*(part[0] for part in (x, y)), torch.ones(300, dtype=x.dtype))
    design = np.column_stack([np.ones(300), x[0].numpy()])
    expected, rss, *_ = np.linalg.lstsq(design, y[0].numpy(), rcond=None)
    np.testing.assert_allclose(beta.numpy(), expected)
    np.testing.assert_allclose(variance.numpy(), rss[0] / 297 * np.diag(np.linalg.inv(design.T @ design)))


def test_draws_have_the_moments_of_the_missing_given_that_they_are_missing(seed):
    law = LinearGaussian(np.zeros((1, 1)), np.array([0.5]), np.array([1.2]))
    exact = law.probit_one(np.zeros(1), np.zeros(1, bool), np.array([0.9]), np.array([-0.3]))
    theta = torch.tensor([0.5, 0.0, 0.0, np.log(1.2), 0.9, -0.3], dtype=torch.float64)
    n = 40_000
    none = torch.zeros(n, dtype=torch.float64)
    drawn = coverage.impute(theta, torch.zeros(n, 2).double(), none, none > 1, torch.Generator().manual_seed(seed))
    assert abs(float(drawn.mean()) - exact.mean[0]) < 4.5 * (exact.cov[0, 0] / n) ** 0.5
    assert abs(float(drawn.var()) / exact.cov[0, 0] - 1) < 4.5 * (3 / n) ** 0.5


def test_the_study_tells_with_from_without_and_bias(seed):
    result = coverage.study(50, 200, 1.0, 0.4, 8, seed, progress=False)
    methods = result["methods"]
    assert (
        set(methods) == {*("without", "with", "8 refits", "8 refits, not nested", "ignorable, with", "complete rows")}
        and result["largest gradient"] < 1e-2
    )
    assert methods["with"]["width"][0] > 1.2 * methods["without"]["width"][0]
    assert methods["with"]["coverage"][0] > methods["ignorable, with"]["coverage"][0] + 0.3
    assert methods["ignorable, with"]["bias"][0] < -0.2
