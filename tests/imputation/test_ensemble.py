"""Pooled imputations are those of the mixture of the members."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from exact import Z_MAX, LinearGaussian, PosteriorEncoder, z_score
from scipy import optimize, stats

from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.infer.ensembles import member_seed
from pyro_mnar.model import MNAR

LAWS = [
    LinearGaussian(np.array([[1.0, 0.3], [0.5, -0.8], [0.7, 0.6]]), np.array([0.2 + shift, -0.1, 0.0]), np.array([noise, 0.6, 0.7]))
    for shift, noise in ((0.0, 0.5), (1.5, 0.3), (-1.0, 0.7))
]
MEMBERS = [MNAR(law.decoder(), PosteriorEncoder(law)).double() for law in LAWS]
ROW, SEEN = np.array([0.0, 0.4, -0.9]), np.array([False, True, True])


def table(n):
    x, mask = torch.randn(n, 3).double(), torch.rand(n, 3) < 0.6
    return torch.where(mask, x, torch.nan), mask


@pytest.mark.parametrize(("draws", "shares"), [(0, [0, 0, 0]), (2, [1, 1, 0]), (7, [3, 2, 2]), (9, [3, 3, 3])])
def test_mean_is_the_mean_of_members_and_draws_are_theirs_in_order(draws, shares):
    n = 20
    x, mask = table(n)
    labels = [f"r{i}" for i in range(n)]
    own = {"particles": 100, "labels": labels, "progress": False}
    parts = [impute(m, x, mask, draws=k, seed=member_seed(3, i), **own) for i, (m, k) in enumerate(zip(MEMBERS, shares, strict=True))]
    pooled = impute(MEMBERS, x, mask, draws=draws, seed=3, **own)
    holes = ~mask
    assert pooled.draws.shape == (draws, n, 3) and torch.equal(pooled.draws, torch.cat([part.draws for part in parts]))
    torch.testing.assert_close(pooled.completed[holes], sum(part.completed[holes] for part in parts) / 3)
    torch.testing.assert_close(pooled.ess, sum(part.ess for part in parts) / 3)
    torch.testing.assert_close(pooled.pareto_k, sum(part.pareto_k for part in parts) / 3)
    assert torch.equal(pooled.completed[mask], x[mask]) and torch.equal(pooled.draws[:, mask], x[mask].expand(draws, -1))
    assert bool(pooled.completed.isfinite().all()) and pooled.particles == 100


def test_pooled_moments_are_those_of_the_mixture():
    exact = [law.ignorable(ROW, SEEN) for law in LAWS]
    means, variances = np.array([e.mean[0] for e in exact]), np.array([e.cov[0, 0] for e in exact])
    mean, variance = means.mean(), variances.mean() + means.var()
    assert variance > variances.max()
    n = 300
    x, mask = torch.tensor(ROW).expand(n, 3), torch.tensor(SEEN).expand(n, 3)
    result = impute(MEMBERS, x, mask, draws=30, particles=200, progress=False)
    # Draws of a row share its particles: one number for each row.
    assert abs(float(z_score(result.completed[:, 0], mean))) < Z_MAX
    assert abs(float(z_score(result.draws[:, :, 0].mean(0), mean))) < Z_MAX
    assert abs(float(z_score((result.draws[:, :, 0] - mean).square().mean(0), variance))) < Z_MAX
    # Members do not share their randomness: the row's deviations from each member's mean are uncorrelated.
    deviations = torch.stack([part[:, :, 0].mean(0) - m for part, m in zip(result.draws.split(10), means, strict=True)])
    assert float((torch.corrcoef(deviations) - torch.eye(3)).abs().max()) < Z_MAX / n**0.5


def test_quantiles_count_members_alike_however_many_draws_each_has(seed):
    """N(0, 1) with twice the draws of N(4, 1): the median of the two is 2, of the draws .67."""
    rng, n = np.random.default_rng(seed), 300
    draws = torch.from_numpy(np.concatenate([rng.normal(0, 1, (200, n)), rng.normal(4, 1, (100, n))])[..., None])
    plain = Imputation(draws[0], draws, torch.ones(n), torch.zeros(n), torch.ones(n), 100)
    pooled = replace(plain, sizes=(200, 0, 100))
    for q in (0.1, 0.5, 0.75, 0.9):
        exact = optimize.brentq(lambda x, q=q: (stats.norm.cdf(x) + stats.norm.cdf(x - 4)) / 2 - q, -5, 9)
        assert abs(float(pooled.quantile(q).mean()) - exact) < (0.1 if q == 0.5 else 0.03)
    assert float(plain.quantile(0.5).mean()) < 1
    # Equal sizes: as without; and where weights are all but equal, nearly so.
    assert torch.equal(replace(plain, sizes=(100, 100, 100)).quantile(0.3), plain.quantile(0.3))
    near = replace(plain, sizes=(1,) * 299 + (1,), draws=draws)
    assert torch.equal(near.quantile(0.0), draws.amin(0)) and torch.equal(pooled.quantile(1.0), draws.amax(0))
    assert torch.equal(pooled.quantile(0.0), draws.amin(0))
    x, mask = table(5)
    assert impute(MEMBERS, x, mask, draws=7, particles=100, progress=False).sizes == (3, 2, 2)


def test_no_members_are_refused_and_global_randomness_is_left_alone():
    x, mask = table(2)
    before = torch.get_rng_state()
    impute(MEMBERS[:1], x, mask, draws=1, particles=100, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="module: got no members"):
        impute([], torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool), progress=False)
