"""A value that repeats and a continuum beside it: densities, integrals and draws against quadrature."""

import pytest
import torch
from exact import Z_MAX, self_masking, z_score
from torch.distributions import Independent

from pyro_mnar.distributions import LOGIT, PROBIT, THRESHOLD, PointMassNormal
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.mechanisms.starts import censored_normal, observed_moments
from pyro_mnar.model import MNAR, SelectionDistribution
from pyro_mnar.networks import GaussianEncoder, MixedDecoder, NormalHead, SemicontinuousHead, SkewWarp

MASS = torch.tensor([-0.7, 0.4], dtype=torch.float64)
# Between the two values that repeat, never at them.
GRID = torch.linspace(-30, 30, 60_000, dtype=torch.float64)
STEP = float(GRID[1] - GRID[0])


def law():
    return PointMassNormal(
        MASS, torch.tensor([[0.3, -1.0]]).double(), torch.tensor([[0.5, -0.2]]).double(), torch.tensor([0.6, 1.1]).double()
    )


def warp(skew=(0.6, -0.4)):
    made = SkewWarp(2, pinned=dict(enumerate(MASS.tolist()))).double()
    made.skew.data.copy_(torch.tensor(skew))
    return made


def selection(link, slope, warped=True):
    return SelectionDistribution(Independent(law(), 1), self_masking([slope, -slope], [0.2, 0.5], link), warp() if warped else None)


def test_a_pinned_value_stays_where_it_is_and_the_warp_about_it_is_invertible():
    made, plain = warp(), SkewWarp(2).double()
    y, log_slope = made(MASS)
    torch.testing.assert_close(y, MASS)
    assert log_slope.tolist() == [0.0, 0.0]
    x = torch.randn(200, 2).double().requires_grad_()
    y, log_slope = made(x)
    torch.testing.assert_close(made.inverse(y), x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope.log(), log_slope)
    torch.testing.assert_close(made.slope(y), 1 / slope)
    # About 0 it is the other warp but for a shift; a column without a pinned value has that other warp.
    plain.skew.data.copy_(made.skew)
    torch.testing.assert_close(y - MASS - made.skew.sinh(), plain(x - MASS)[0])
    one = SkewWarp(2, pinned={1: 0.4}).double()
    one.skew.data.copy_(made.skew)
    for found, expected in zip(one(x), plain(x), strict=True):
        torch.testing.assert_close(found[:, 0], expected[:, 0])
    torch.testing.assert_close(one(x)[0][:, 1], y[:, 1])
    torch.testing.assert_close(one.inverse(one(x)[0]), x)


@pytest.mark.parametrize("link", [LOGIT, PROBIT], ids=lambda link: link.name)
@pytest.mark.parametrize("slope", [0.0, 1.5, 40.0])
@pytest.mark.parametrize("warped", [False, True], ids=["plain", "warped"])
def test_what_is_seen_and_what_is_missing_have_probability_one_together(link, slope, warped):
    """For each column: the chance to see the value that repeats, the density of seeing another, and the chance to see none."""
    made = selection(link, slope, warped)
    for j in range(2):
        others = MASS[1 - j].expand(len(GRID))
        rows = torch.stack([GRID, others] if j == 0 else [others, GRID], -1)
        hole, at = MASS.clone(), MASS.clone()
        hole[j] = torch.nan
        own = made.log_prob(at).exp().item() + made.log_prob(hole).exp().item() + made.log_prob(rows).exp().sum().item() * STEP
        # The other column is seen at its own value that repeats.
        y = MASS[1 - j]
        a, c = (part[1 - j] for part in made.mechanism.line())
        rest = torch.sigmoid(torch.tensor([0.3, -1.0]).double()[1 - j]) * link.log_observed(a * y + c).exp()
        assert own == pytest.approx(rest.item(), rel=2e-4)


@pytest.mark.parametrize("slope", [0.0, 1.5, 40.0])
def test_missing_values_are_drawn_and_averaged_as_quadrature_says(slope):
    made = selection(PROBIT, slope)
    cells = made.conditional(torch.full((1, 2), torch.nan).double())
    uniforms = torch.rand(40_000, 1, 2, 3).double().clamp(1e-9, 1 - 1e-9)
    draws = cells.from_uniforms(uniforms)
    a, c = made.mechanism.line()
    density = torch.distributions.Normal(law().loc, law().scale).log_prob(GRID.unsqueeze(-1)).exp() * (
        1 - torch.sigmoid(law().given["logit"])
    )
    beside = density * PROBIT.log_missing(a * GRID.unsqueeze(-1) + c).exp() * STEP
    at = torch.sigmoid(law().given["logit"])[0] * PROBIT.log_missing(a * MASS + c).exp()
    x = made.warp.inverse(GRID.unsqueeze(-1).expand(-1, 2))
    share = at / (at + beside.sum(0))
    mean = (at * MASS + (beside * x).sum(0)) / (at + beside.sum(0))
    here = (draws - MASS).abs() < 1e-6
    rare = share < 1e-6
    assert not here.squeeze(1)[:, rare].any()
    if not rare.all():
        assert float(z_score(here.double().squeeze(1), share.detach())[~rare].abs().max()) < Z_MAX
    assert float(z_score(draws.squeeze(1), mean.detach()).abs().max()) < Z_MAX
    torch.testing.assert_close(cells.mean[0], mean, rtol=0.02, atol=0.02)
    # Without a warp the mean is closed.
    plain = selection(PROBIT, slope, warped=False).conditional(torch.full((1, 2), torch.nan).double()).mean[0]
    exact = (at * MASS + (beside * GRID.unsqueeze(-1)).sum(0)) / (at + beside.sum(0))
    torch.testing.assert_close(plain, exact, rtol=1e-6, atol=1e-6)


def test_a_threshold_decides_about_the_value_that_repeats_by_its_side_and_has_gradients():
    mechanism = SelfMasking(2, None, "high", THRESHOLD).double()
    mechanism.anchor.copy_(torch.tensor([0.0, 0.0]))
    logit = torch.tensor([[0.3, -1.0]]).double().requires_grad_()
    cells = PointMassNormal(MASS, logit, law().loc, law().given["scale"])
    hole = torch.tensor([[torch.nan, torch.nan]]).double()
    found = SelectionDistribution(Independent(cells, 1), mechanism).log_prob(hole)
    beyond = 1 - torch.distributions.Normal(law().loc, law().scale).cdf(torch.zeros(1, 2).double())
    share = torch.sigmoid(logit.detach())
    chances = (1 - share) * beyond + share * torch.tensor([[0.0, 1.0]])
    torch.testing.assert_close(found.detach(), chances.log().sum(-1))
    (gradient,) = torch.autograd.grad(found.sum(), logit)
    assert bool(gradient.isfinite().all())
    missing = SelectionDistribution(Independent(law(), 1), mechanism).conditional(hole)
    draws = missing.sample((2000,))
    assert bool((draws[:, 0, 0] > 0).all()) and bool((draws[:, 0, 1] == MASS[1]).any()) and bool((draws[:, 0, 1] > 0).all())
    assert float(z_score(draws[:, 0], missing.mean[0]).abs().max()) < Z_MAX


def test_single_precision_knows_the_value_again_however_far_it_is():
    for mass in (0.3, -7.1, 812.3):
        made = PointMassNormal(torch.tensor([mass]), torch.zeros(1), torch.zeros(1), torch.ones(1))
        y, log_slope = SkewWarp(1, pinned={0: mass})(torch.tensor([mass]))
        assert made.log_prob(y).exp().item() == pytest.approx(0.5) and log_slope.item() == 0
        assert made.log_prob(y + 0.05 * (1 + abs(mass))).item() != pytest.approx(-0.6931, abs=1e-3)


@pytest.mark.parametrize("direction", ["high", "low", "free"])
@pytest.mark.parametrize("low", [False, True], ids=["at the top", "at the bottom"])
def test_a_mechanism_starts_from_the_values_beside_it(direction, low):
    """Where the cut is at the other end, as if rows of the value that repeats were not there."""
    end = -3.0 if low else 3.0
    values = torch.randn(400, 2).clamp(-2.9, 2.9)
    x = torch.cat([values, torch.tensor([end, 0.0]).expand(200, 2)])
    sign = {"high": 1, "low": -1, "free": 0}[direction]
    mask = torch.ones_like(x, dtype=torch.bool)
    mask[:400, 0] = torch.arange(400) % 4 > 0

    def started(rows, decoder):
        model = MNAR(decoder, GaussianEncoder(1, 2), SelfMasking(2, [0], direction))
        model.initialize(x[rows], mask[rows])
        return model.mechanism, model.decoder.linear.bias.detach()

    with_mass, bias = started(slice(None), MixedDecoder(1, [NormalHead([1]), SemicontinuousHead([0], [end], [0.3])]))
    without, _ = started(slice(400), MixedDecoder(1, [NormalHead([0, 1])]))
    torch.testing.assert_close(bias[0], x[:, 1].mean())
    if direction == "free":
        assert with_mass.anchor.isfinite().all() and with_mass.offset.isfinite().all()
    elif sign * end < 0:
        torch.testing.assert_close(with_mass.anchor, without.anchor)
    else:  # the value that repeats is cut off as the others are: the share of all that is missing
        loc, scale = observed_moments(x[:400], mask[:400])
        torch.testing.assert_close(with_mass.anchor, loc[:1] + sign * scale[:1] * censored_normal(torch.tensor([100 / 600]))[2])


def test_a_threshold_beyond_the_end_is_refused():
    decoder = MixedDecoder(1, [SemicontinuousHead([0], [3.0], [0.3])])
    model = MNAR(decoder, GaussianEncoder(1, 1), SelfMasking(1, [0], "high", THRESHOLD))
    with pytest.raises(ValueError, match="link: got THRESHOLD"):
        model.initialize(torch.tensor([[1.0], [3.0], [3.0], [0.0]]), torch.tensor([True, True, True, False]).unsqueeze(-1))
