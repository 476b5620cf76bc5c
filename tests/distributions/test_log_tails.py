"""Margins of logarithms: the map against autograd and its limits, and what it makes of lognormal, gamma and Weibull columns."""

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from pyro_mnar.distributions.log_tails import from_normal, slope, to_normal
from pyro_mnar.networks import SkewWarp

SKEW = torch.tensor([-1.2, -0.3, -1e-4, -1e-12, 0.0, 1e-9, 0.01, 0.4, 1.0]).double()
Y = torch.cat([torch.linspace(-7, 7, 141), torch.logspace(-8, -1, 50), -torch.logspace(-8, -1, 50)]).double().sort().values
Y = Y.unsqueeze(-1).expand(-1, len(SKEW))


def warp(skew, places=(0,)):
    made = SkewWarp(1, None, None, places).double()
    torch.nn.init.constant_(made.skew, skew)
    return made


def test_inverse_takes_every_value_back_and_rises():
    x = from_normal(Y, SKEW)
    torch.testing.assert_close(to_normal(x, SKEW)[0], Y, rtol=1e-8, atol=1e-14)
    assert bool((x.diff(dim=0) > 0).all())
    single, skew = Y.float(), SKEW.float()
    torch.testing.assert_close(to_normal(from_normal(single, skew), skew)[0], single, rtol=1e-5, atol=1e-6)


def test_slopes_are_the_derivatives_and_gradients_are_finite_far_out():
    y = Y.clone().requires_grad_()
    torch.testing.assert_close(slope(y, SKEW), torch.autograd.grad(from_normal(y, SKEW).sum(), y)[0], rtol=1e-7, atol=0)
    x, skew = from_normal(Y, SKEW).detach().requires_grad_(), SKEW.clone().requires_grad_()
    inside, log_slope = to_normal(x, skew)
    torch.testing.assert_close(log_slope, torch.autograd.grad(inside.sum(), x, retain_graph=True)[0].log(), rtol=1e-7, atol=1e-7)
    far = torch.tensor([-60.0, 60.0]).unsqueeze(-1).requires_grad_()
    skew = SKEW.float().requires_grad_()
    for found in (to_normal(far, skew)[1], from_normal(far, skew), slope(far, skew)):
        assert all(bool(grad.isfinite().all()) for grad in torch.autograd.grad(found.sum(), [far, skew], retain_graph=True))


def test_gradient_in_the_skewness_is_the_finite_difference():
    inner = torch.linspace(-2.5, 2.5, 11).double().unsqueeze(-1)
    skew = SKEW[[1, 6, 7]].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda e: to_normal(inner, e), skew) and torch.autograd.gradcheck(
        lambda e: from_normal(inner, e), skew
    )


def test_it_bends_at_0_as_sinh_arcsinh_does_and_the_other_skewness_is_its_mirror_image():
    y = torch.zeros(1, len(SKEW)).double().requires_grad_()
    (first,) = torch.autograd.grad(from_normal(y, SKEW).sum(), y, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), y)
    torch.testing.assert_close(first.detach(), torch.ones_like(first))
    torch.testing.assert_close(second[0], SKEW, rtol=1e-6, atol=3e-4)
    some = SKEW != 0
    torch.testing.assert_close(from_normal(-Y, -SKEW)[:, some], -from_normal(Y, SKEW)[:, some], rtol=1e-7, atol=1e-12)
    torch.testing.assert_close(from_normal(Y, SKEW)[:, 4], Y[:, 4], rtol=0, atol=1e-2)


def test_upper_tails_are_powers_of_a_normal_or_barely_heavier_than_lognormal():
    y = torch.tensor([[30.0], [60.0]]).double()
    a, g = 0.3 / (1 / (2 * np.log(2)) - 0.5), 1 / (2 * np.log(2))
    power = (from_normal(y, torch.tensor([-0.3], dtype=torch.float64)) * a * g).exp() * np.log(2)
    torch.testing.assert_close(power, a * y)  # v to the power of a g is linear in y
    for skew in (0.1, 0.5, 3.0):
        assert bool((from_normal(Y[Y > 0], torch.tensor(skew)) < Y[Y > 0] / g).all())
    # What the other warp does to the mean of a lognormal column (docstring): about thirtyfold at a third.
    y = torch.linspace(-9, 14, 20_001).double()
    law = torch.distributions.Normal(0.0, 1.0).log_prob(y)
    with torch.no_grad():
        logs = (warp(1 / 3, places).inverse(y.unsqueeze(-1)).squeeze(-1) for places in ((), (0,)))
        mean, short = (torch.trapezoid((2.6 * values + law).exp(), y).item() for values in logs)
    lognormal = np.exp(2.6**2 / 2)
    assert 25 < mean / lognormal < 45 and short < 0.4 * mean


LAWS = {
    "lognormal 1.29": stats.lognorm(1.29),
    "gamma 1": stats.gamma(1.0),
    "gamma 2": stats.gamma(2.0),
    "Weibull .7": stats.weibull_min(0.7),
    "Weibull 1.5": stats.weibull_min(1.5),
}


@pytest.mark.parametrize("law", LAWS)
def test_the_best_fit_to_a_positive_column_has_its_mean_and_its_far_quantiles(law):
    """Maximum likelihood of mean, scale and skewness on the law's own quantiles; sinh-arcsinh is off by 60 % at .999."""
    uniform = (np.arange(4000) + 0.5) / 4000
    logs = np.log(LAWS[law].ppf(uniform))
    center, scale = logs.mean(), logs.std()
    x, made = torch.tensor((logs - center) / scale).unsqueeze(-1), warp(0.0)

    def loss(values):
        loc, log_sd, skew = given = torch.tensor(values, requires_grad=True)
        y, log_slope = to_normal(x, skew.unsqueeze(0))
        total = (0.5 * ((y - loc) * (-log_sd).exp()).square() + log_sd - log_slope).mean()
        return total.item(), torch.autograd.grad(total, given)[0].numpy()

    loc, log_sd, skew = optimize.minimize(loss, np.array([0.0, 0.0, -0.1]), jac=True).x
    torch.nn.init.constant_(made.skew, skew)
    y = torch.tensor(loc + np.exp(log_sd) * stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)).unsqueeze(-1)
    with torch.no_grad():
        values = np.exp(center + scale * made.inverse(y).squeeze(-1).numpy())
    assert values.mean() == pytest.approx(LAWS[law].mean(), rel=0.05)
    for level in (0.5, 0.99, 0.999):
        assert np.quantile(values, level) == pytest.approx(LAWS[law].ppf(level), rel=0.15)
