"""Warps: the map itself, and the selection distribution of warped cells against quadrature and the law without a warp."""

import numpy as np
import pytest
import torch
from exact import Z_MAX, self_masking, z_between, z_score
from scipy import integrate, stats
from torch.distributions import Bernoulli, Independent, Normal, StudentT

from pyro_mnar.distributions import LOGIT, PROBIT
from pyro_mnar.model import SelectionDistribution
from pyro_mnar.networks import SkewWarp

NAN = float("nan")
SKEW = torch.tensor([0.8, 0.0, -1.3]).double()
LOC, SCALE = torch.tensor([0.4, -0.3, 0.1]).double(), torch.tensor([0.8, 0.5, 1.2]).double()
LAWS = {
    "normal": Independent(Normal(LOC, SCALE), 1),
    "student": Independent(StudentT(torch.tensor([3.5, 5.0, 30.0]).double(), LOC, SCALE), 1),
}


def skewed(skew=SKEW):
    warp = SkewWarp(len(skew)).double()
    with torch.no_grad():
        warp.skew.copy_(torch.as_tensor(skew))
    return warp


# From 1e-8 to 1e8 on both sides, and 0.
WIDE = torch.cat([-torch.logspace(-8, 8, 200).flip(0), torch.zeros(1), torch.logspace(-8, 8, 200)]).double()
WIDE = WIDE.unsqueeze(-1).expand(-1, 3)


@torch.no_grad()
def test_inverse_takes_every_warped_value_back_and_the_warp_is_its_inverse():
    warp = skewed()
    torch.testing.assert_close(warp.inverse(warp(WIDE)[0]), WIDE, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(warp(warp.inverse(WIDE))[0], WIDE, rtol=1e-12, atol=1e-13)


def test_slopes_are_the_derivatives():
    warp, x = skewed(), WIDE.clone().requires_grad_()
    y, log_slope = warp(x)
    torch.testing.assert_close(log_slope, torch.autograd.grad(y.sum(), x)[0].log(), rtol=1e-10, atol=1e-10)
    y = WIDE.clone().requires_grad_()
    torch.testing.assert_close(warp.slope(y), torch.autograd.grad(warp.inverse(y).sum(), y)[0], rtol=1e-10, atol=0)


@pytest.mark.parametrize("settings", [{}, {"transformed": [1, 2]}, {"columns": [1, 2, 3], "pinned": {1: 0.5}, "transformed": [3]}])
def test_one_column_alone_is_warped_as_in_the_whole(settings):
    warp, y = SkewWarp(4, **settings), torch.randn(200, 4)
    warp.skew.data.copy_(torch.randn(len(warp.skew)))
    for j in range(4):
        alone, own = warp.of(j), y[:, j : j + 1]
        found = own if alone is None else alone.inverse(own)
        torch.testing.assert_close(found, warp.inverse(y)[:, j : j + 1])
        torch.testing.assert_close(found if alone is None else alone(found)[0], warp(warp.inverse(y))[0][:, j : j + 1])


@torch.no_grad()
def test_warp_rises_everywhere_and_skewness_zero_leaves_values_alone():
    warp = skewed()
    assert bool((warp(WIDE)[0].diff(dim=0) > 0).all()) and bool((warp.inverse(WIDE).diff(dim=0) > 0).all())
    y, log_slope = warp(WIDE)
    torch.testing.assert_close(y[:, 1], WIDE[:, 1], rtol=1e-12, atol=0)
    torch.testing.assert_close(log_slope[:, 1], torch.zeros_like(y[:, 1]), rtol=0, atol=1e-12)
    # Above 0 is a long upper tail of x: far out the map is linear, with slopes exp(e) up and exp(-e) down.
    torch.testing.assert_close(warp.slope(WIDE)[[-1, 0]], torch.stack([SKEW.exp(), (-SKEW).exp()]), rtol=1e-8, atol=0)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("link", [LOGIT, PROBIT], ids=lambda link: link.name)
@pytest.mark.parametrize("skew", [0.8, -1.3])
@torch.no_grad()
def test_density_of_a_warped_cell_and_its_chance_to_be_missing_add_to_one(law, link, skew):
    base = LAWS[law].base_dist
    cell = Independent(type(base)(**{n: getattr(base, n)[:1] for n in ("df", "loc", "scale") if n in base.arg_constraints}), 1)
    selection = SelectionDistribution(cell, self_masking([3.0], [-0.6], link), skewed([skew]))
    seen = integrate.quad(lambda v: float(selection.log_prob(torch.tensor([v]).double()).exp()), -np.inf, np.inf, epsabs=1e-11)[0]
    assert seen + float(selection.log_prob(torch.tensor([NAN]).double()).exp()) == pytest.approx(1, abs=2e-8)


@pytest.mark.parametrize("law", LAWS)
def test_density_of_unwarped_values_is_that_of_warped_ones_times_the_warp_s_slope(law):
    mechanism, warp = self_masking([2.0, NAN, -1.0], [0.1, 0.0, -0.5]), skewed()
    value = torch.where(torch.rand(50, 3) < 0.6, torch.randn(50, 3).double(), NAN)
    y, log_slope = warp(value)
    expected = SelectionDistribution(LAWS[law], mechanism).log_prob(y) + log_slope.nansum(-1)
    selection = SelectionDistribution(LAWS[law], mechanism, warp)
    found = selection.log_prob(value)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(selection.expand((50,)).log_prob(value), expected, rtol=1e-12, atol=1e-12)
    # NaN in the holes reaches no gradient.
    gradients = torch.autograd.grad(found.sum(), [warp.skew, *mechanism.parameters()])
    assert all(bool(grad.isfinite().all()) for grad in gradients) and bool((gradients[0] != 0).all())


def conditional_moments(loc, slope, intercept):
    """E[x] and sd[x] given that x is missing, by the trapezoid rule over y: (..., D) each, of normal cells at ``loc`` (..., D)."""
    y = loc + SCALE.numpy() * np.linspace(-10, 12, 8001).reshape(-1, *[1] * loc.ndim)
    weight = stats.norm.pdf(y, loc, SCALE.numpy()) * stats.norm.cdf(slope * y + intercept)
    weight /= weight.sum(0)
    x = np.sinh(np.arcsinh(y) + SKEW.numpy())
    mean = (weight * x).sum(0)
    return torch.tensor(mean), torch.tensor(np.sqrt((weight * (x - mean) ** 2).sum(0)))


STEEPNESS = {"soft": np.array([1.5, 0.0, -0.7]), "steep": np.array([200.0, 0.0, -50.0])}


@pytest.mark.parametrize("slope", STEEPNESS.values(), ids=STEEPNESS)
@torch.no_grad()
def test_conditional_mean_and_draws_of_warped_cells_are_those_of_quadrature(slope):
    mechanism = self_masking(slope, 0.2 - 0.5 * slope)
    mean, sd = conditional_moments(LOC.numpy(), slope, 0.2 - 0.5 * slope)
    conditional = SelectionDistribution(LAWS["normal"], mechanism, skewed()).conditional(torch.full((3,), torch.nan).double())
    # As many independent draws as there are points would be off by sd / 11.
    assert float(((conditional.mean - mean) / sd).abs().max()) < 1e-2
    draws = conditional.sample((40_000,))
    assert float(z_score(draws, mean).abs().max()) < Z_MAX
    assert float(z_score((draws - mean).square(), sd**2).abs().max()) < Z_MAX


@pytest.mark.parametrize("slope", STEEPNESS.values(), ids=STEEPNESS)
@pytest.mark.parametrize("particles", [5, 200, 600])
@torch.no_grad()
def test_conditional_means_of_particles_average_to_that_of_quadrature(slope, particles):
    mechanism = self_masking(slope, 0.2 - 0.5 * slope)
    loc = LOC + 0.3 * torch.randn(particles, 1, 1).double()
    mean, sd = (part.reshape(particles, 1, 3) for part in conditional_moments(loc[:, 0].numpy(), slope, 0.2 - 0.5 * slope))
    rows = Independent(Normal(loc.expand(particles, 2, 3), SCALE), 1)
    found = SelectionDistribution(rows, mechanism, skewed()).conditional(torch.full((2, 3), torch.nan).double()).mean
    assert found.shape == (particles, 2, 3)
    torch.testing.assert_close(found[:, 0], found[:, 1])
    error = (found - mean) / sd
    weight = torch.rand(particles, 1, 1).double()
    assert float(error.mean(0).abs().max()) < 0.02 and float((weight * error).sum(0).abs().max()) < 0.06 * float(weight.sum())
    # Each particle by itself is no worse than the few points that are its own, and much better than one draw.
    assert float(error.square().mean(0).sqrt().max()) < 0.5


@pytest.mark.parametrize("law", LAWS)
@torch.no_grad()
def test_samples_are_unwarped_draws_with_holes_where_the_warped_value_says(law):
    mechanism, warp = self_masking([2.0, NAN, -1.0], [0.1, 0.0, -0.5]), skewed()
    draws = SelectionDistribution(LAWS[law], mechanism, warp).sample((40_000,))
    bare = SelectionDistribution(LAWS[law], mechanism).sample((40_000,))
    assert bool(draws[:, 1].isfinite().all())
    for j in range(3):
        # What is seen, taken back to the warped scale, and how often: as without a warp.
        seen, other = (part[:, j][part[:, j].isfinite()] for part in (warp(draws)[0], bare))
        assert abs(float(z_between(seen.tanh(), other.tanh()))) < Z_MAX
        if j != 1:
            assert abs(float(z_between(draws[:, j].isnan(), bare[:, j].isnan()))) < Z_MAX
    free = SelectionDistribution(LAWS[law], None, warp)
    assert bool(free.sample((10,)).isfinite().all())


@torch.no_grad()
def test_observed_cells_and_a_warp_without_skewness_leave_conditionals_as_without_a_warp():
    mechanism, row = self_masking([2.0, NAN, -1.0], [0.1, 0.0, -0.5]), torch.tensor([NAN, NAN, 0.0]).double()
    plain = SelectionDistribution(LAWS["normal"], mechanism).conditional(row)
    flat = SelectionDistribution(LAWS["normal"], mechanism, SkewWarp(3).double()).conditional(row)
    uniforms = torch.rand(50, 3, 3).double()
    torch.testing.assert_close(flat.from_uniforms(uniforms), plain.from_uniforms(uniforms))
    torch.testing.assert_close(flat.mean, plain.mean)
    # Equal uniforms are the same draws, taken back.
    bent = SelectionDistribution(LAWS["normal"], mechanism, skewed()).conditional(row)
    torch.testing.assert_close(
        bent.from_uniforms(uniforms), torch.where(row.isnan(), skewed().inverse(plain.from_uniforms(uniforms)), 0.0)
    )


def test_a_warp_of_cells_that_have_no_real_values_is_refused():
    with pytest.raises(TypeError, match="warp: got one for Bernoulli cells"):
        SelectionDistribution(Independent(Bernoulli(torch.full((3,), 0.5)), 1), None, SkewWarp(3))
