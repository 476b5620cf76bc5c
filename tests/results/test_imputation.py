"""Imputation of exact models, of any Pyro model, and of each row by itself."""

import arviz
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import LinearGaussian, PosteriorEncoder, self_masking
from torch import nn

from pyro_mnar.infer.weights import effective_sample_size, pareto_threshold, smooth
from pyro_mnar.models import MNAR
from pyro_mnar.results.imputation import impute

LAW = LinearGaussian(np.array([[1.0, 0.3], [0.5, -0.8], [0.7, 0.6]]), np.array([0.2, -0.1, 0.0]), np.array([0.5, 0.6, 0.7]))


def mnar(mechanism=None):
    return MNAR(LAW.decoder(), PosteriorEncoder(LAW), mechanism).double()


@pytest.mark.parametrize("masked", [False, True])
def test_mean_and_draws_are_the_exact_posteriors(masked):
    slope, intercept = np.array([2.0, np.nan, np.nan]), np.array([-0.5, np.nan, np.nan])
    model = mnar(self_masking(slope, intercept) if masked else None)
    row, mask = np.array([0.0, 0.4, -0.9]), np.array([False, True, True])
    exact = LAW.probit_one(row, mask, slope, intercept) if masked else LAW.ignorable(row, mask)
    n = 64
    x, seen = torch.from_numpy(row).repeat(n, 1), torch.from_numpy(mask).repeat(n, 1)
    result = impute(model, x, seen, draws=50, particles=1000, progress=False)
    means, draws = result.completed[:, 0], result.draws[:, :, 0]
    assert abs((means.mean() - exact.mean[0]) / (means.std() / n**0.5)) < 4.5
    # Draws of one row share its particles: the row averages are independent, the draws within a row are not quite.
    averages, squares = draws.mean(0), (draws - exact.mean[0]).square().mean(0)
    assert abs((averages.mean() - exact.mean[0]) / (averages.std() / n**0.5)) < 4.5
    assert abs((squares.mean() - exact.cov[0, 0]) / (squares.std() / n**0.5)) < 4.5
    assert torch.equal(result.completed[:, 1:], x[:, 1:])


class Gamma(nn.Module):
    """A user's own model: no class of ours, a Gamma latent, completed rows named ``complete``."""

    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            rate = pyro.sample("rate", dist.Gamma(2.0, 2.0))
            noise = pyro.sample("noise", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            complete = pyro.deterministic("complete", torch.where(mask, x, rate.unsqueeze(-1) + noise), event_dim=1)
            seen = dist.Normal(rate.unsqueeze(-1).expand(complete.shape), 1.0).mask(mask).to_event(1)
            pyro.sample("x", seen, obs=torch.where(mask, x, 0.0))

    def guide(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample("rate", dist.Gamma(torch.full((len(x),), 2.0), 2.0))


def test_any_model_that_keeps_the_conventions_is_imputed_row_by_row():
    x, mask = torch.tensor([[3.0, 0.0], [0.1, 0.0], [3.0, 0.0]]), torch.tensor([[True, False]] * 3)
    result = impute(Gamma(), x, mask, draws=200, particles=2000, labels=["a", "b", "c"], progress=False)
    # E[rate | x] by quadrature
    rate = np.linspace(1e-4, 15, 200001)
    for row, value in ((0, 3.0), (1, 0.1)):
        weight = rate * np.exp(-2 * rate - 0.5 * (value - rate) ** 2)
        mean = (weight * rate).sum() / weight.sum()
        spread = np.sqrt((weight * rate**2).sum() / weight.sum() - mean**2 + 1)
        assert abs(result.completed[row, 1] - mean) < 4.5 * spread / np.sqrt(float(result.ess[row]))
    alone = impute(Gamma(), x[1:2], mask[1:2], draws=200, particles=2000, labels=["b"], progress=False)
    assert torch.equal(alone.draws[:, 0], result.draws[:, 1]) and not torch.equal(result.draws[:, 0], result.draws[:, 2])


def test_more_draws_begin_with_the_same_ones():
    x, mask = torch.zeros(3, 3).double(), torch.tensor([[True, False, True]] * 3)
    few, many = (impute(mnar(), x, mask, draws=m, progress=False).draws for m in (2, 9))
    assert torch.equal(few, many[:2])


def test_global_randomness_is_left_alone_and_the_seed_decides():
    x, mask = torch.zeros(3, 3).double(), torch.tensor([[True, False, True]] * 3)
    model = mnar()
    before = torch.random.get_rng_state()
    first = impute(model, x, mask, draws=2, progress=False).draws
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.equal(first, impute(model, x, mask, draws=2, seed=1, progress=False).draws)


def test_weights_are_smoothed_as_arviz_does(seed):
    rng = np.random.default_rng(seed)
    for scale in (0.2, 1.0, 3.0):
        log_w = rng.normal(size=(400, 20)) * scale
        ours, k = smooth(torch.from_numpy(log_w))
        for column in range(20):
            theirs, their_k = arviz.psislw(log_w[:, column].copy())
            assert float(k[column]) == pytest.approx(float(their_k), abs=1e-6)
            np.testing.assert_allclose(ours[:, column].exp(), np.exp(theirs), atol=1e-8)


def test_equal_weights_are_whole_and_one_heavy_weight_is_flagged():
    flat, k = smooth(torch.zeros(200, 1))
    assert effective_sample_size(flat).item() == pytest.approx(200) and k.item() == -np.inf
    heavy = torch.randn(500, 1).double() * 6
    assert smooth(heavy)[1].item() > pareto_threshold(500)


@pytest.mark.parametrize(
    ("wrong", "said"), [({"particles": 9}, "particles"), ({"draws": -1}, "draws"), ({"labels": ["a"]}, "labels: got 1")]
)
def test_impute_refuses(wrong, said):
    with pytest.raises(ValueError, match=said):
        impute(mnar(), torch.zeros(2, 3).double(), torch.ones(2, 3, dtype=torch.bool), progress=False, **wrong)
