"""A missing cell's law on a grid: means of exponentials against closed forms, and a part that is cut at an end."""

import math

import numpy as np
import pytest
import torch
from exact import Z_MAX, z_score
from scipy import integrate, special, stats
from torch.distributions import Independent

from pyro_mnar.distributions import LOGIT, PROBIT
from pyro_mnar.distributions.censored import log_phi
from pyro_mnar.distributions.continuous import Normal
from pyro_mnar.distributions.mixed import MixedCells
from pyro_mnar.distributions.point_mass_normal import PointMassNormal
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.mechanisms.self_masking import LinearScore
from pyro_mnar.mechanisms.two_sided_masking import TwoSidedScore
from pyro_mnar.model import SelectionDistribution
from pyro_mnar.networks import SkewWarp

MEAN, SCALE = 0.4, 1.7


def double(*values):
    return [torch.tensor([value], dtype=torch.float64) for value in values]


def hidden(law, slope=None, intercept=0.0, warp=None):
    """The law of one missing cell under a probit of given slope, or missing whatever it is."""
    mechanism = None
    if slope is not None:
        mechanism = SelfMasking(1, direction="high", link=PROBIT).double()
        mechanism.line = lambda: (torch.tensor([slope]).double(), torch.tensor([intercept]).double())
    return SelectionDistribution(Independent(law, 1), mechanism, warp).conditional(torch.full((1, 1), torch.nan).double())


def normal():
    return Normal(torch.full((1, 1), MEAN).double(), torch.tensor([SCALE]).double())


@pytest.mark.parametrize("rate", [1.0, -1.0, 2.5])
@pytest.mark.parametrize(("slope", "intercept"), [(None, 0.0), (0.7, -0.5), (3.0, 2.0), (1.0, -8.0)])
def test_the_mean_of_an_exponential_is_the_closed_one(rate, slope, intercept):
    """E[exp(r x); a x + c + e > 0] of a normal is exp(r m + r^2 d^2 / 2) Phi of the score at m + r d^2."""
    expected = rate * MEAN + 0.5 * (rate * SCALE) ** 2
    if slope is not None:
        width = math.hypot(1, slope * SCALE)
        at = [(slope * (MEAN + shift * SCALE**2) + intercept) / width for shift in (rate, 0.0)]
        expected += special.log_ndtr(at[0]) - special.log_ndtr(at[1])
    found = hidden(normal(), slope, intercept).mean_of({0: lambda x: (rate * x).exp()})
    assert float(found.detach().log()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("skew", [0.5, -0.8])
def test_of_warped_cells_it_is_that_of_quadrature(skew):
    warp = SkewWarp(1).double()
    warp.skew.data.fill_(skew)
    found = hidden(normal(), 0.7, -0.5, warp).mean_of({0: torch.exp})

    def weight(y, power):
        x = math.sinh(math.asinh(y) + skew)
        return math.exp(power * x) * stats.norm.pdf(y, MEAN, SCALE) * stats.norm.cdf(0.7 * y - 0.5)

    above, below = (integrate.quad(weight, -20, 30, args=(power,), points=[0, 5, 10], limit=200)[0] for power in (1, 0))
    assert float(found.detach()) == pytest.approx(above / below, rel=1e-3)


@pytest.mark.parametrize(("side", "loc"), [(1, 0.3), (-1, -0.3), (1, 3.0), (1, -2.0)])
@pytest.mark.parametrize("slope", [None, 1.5])
def test_the_part_beside_a_value_that_repeats_ends_there(side, loc, slope, seed):
    mass, share, scale, n = 0.1, 0.35, 0.8, 4000
    given = [[mass], [[[math.log(share / (1 - share))]]] * n, [[[loc]]] * n, [scale], [side]]
    law = PointMassNormal(*(torch.tensor(part, dtype=torch.float64) for part in given))
    missing = hidden(MixedCells([law], [[0]]), slope, -0.4)
    a = 0.0 if slope is None else slope
    chance = [1.0, 1.0] if slope is None else [stats.norm.cdf(a * mass - 0.4), None]
    ends = (mass, mass + 30) if side > 0 else (mass - 30, mass)
    inside = stats.norm.cdf(side * (loc - mass) / scale)

    def weight(y, power):
        return y**power * stats.norm.pdf(y, loc, scale) / inside * (1.0 if slope is None else stats.norm.cdf(a * y - 0.4))

    total, first = (integrate.quad(weight, *ends, args=(power,), points=[mass + side * k for k in (0.5, 1, 3)])[0] for power in (0, 1))
    zero = share * chance[0] / (share * chance[0] + (1 - share) * total)
    mean = zero * mass + (1 - zero) * first / total
    torch.manual_seed(seed)
    draws = missing.from_uniforms(torch.rand(n, 1, 1, 3).double().clamp(1e-9, 1 - 1e-9))[:, 0, 0]
    assert bool(((draws - mass) * side >= 0).all())
    assert abs(float(z_score((draws == mass).double(), torch.tensor(zero)))) < Z_MAX
    assert abs(float(z_score(draws, torch.tensor(mean)))) < Z_MAX
    assert float(missing.mean.detach()[:, 0, 0].mean()) == pytest.approx(mean, abs=2e-3)
    beside = np.sort(draws[draws != mass].numpy())
    expected = [integrate.quad(weight, *sorted((mass, y)), args=(0,))[0] / total for y in np.quantile(beside, [0.1, 0.5, 0.9])]
    found = [0.1, 0.5, 0.9] if side > 0 else [0.9, 0.5, 0.1]
    np.testing.assert_allclose(expected, found, atol=4 * 0.5 / math.sqrt(len(beside)))


#: Of a standard normal cell: far below a logit, where a probit of the same score would lie 8 to 250 away; and far from a middle.
FAR = {
    "logit 16 below": LinearScore(*double(1.0, -16.0), LOGIT),
    "logit 50 below": LinearScore(*double(1.0, -50.0), LOGIT),
    "logit 500 below": LinearScore(*double(-2.0, -500.0), LOGIT),
    "middle 14 out": TwoSidedScore(*double(3.0, -42.0, 0.5), 1.0),
    "middle 40 out": TwoSidedScore(*double(1.0, 40.0, 0.5), 1.0),
    "tails 12 out": TwoSidedScore(*double(3.0, -6.0, -38.0), -1.0),
}


@pytest.mark.parametrize("name", FAR)
def test_a_grid_lies_where_the_missing_values_do_however_far_out(name):
    own, x = FAR[name], torch.linspace(-70, 70, 140_001).double()
    log_joint = log_phi(x) + own.log_missing(x.unsqueeze(-1)).squeeze(-1)
    share = log_joint.softmax(0)
    expected = float((share * x).sum()), float((share * x.cos()).sum())
    missing = Normal(*double(0.0, 1.0)).censored(own)
    assert float(missing.mean_of(lambda values: values)) == pytest.approx(expected[0], abs=2e-3)
    assert float(missing.mean_of(torch.cos)) == pytest.approx(expected[1], abs=2e-3)


@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize("side", [1, -1])
def test_a_part_that_ends_is_drawn_where_the_missing_values_are(name, side, seed):
    own, mass, loc, n = FAR[name], 0.1, 0.3, 2000
    x = mass + side * torch.linspace(0, 70, 140_001).double()[1:]
    joint = log_phi(x - loc) - special.log_ndtr(side * (loc - mass)) + math.log(70 / 140_000)
    values, joint = torch.cat([double(mass)[0], x]), torch.cat([double(0.0)[0], joint])
    share = (joint + math.log(0.5) + own.log_missing(values.unsqueeze(-1)).squeeze(-1)).softmax(0)
    expected = float((share * values).sum())
    law = PointMassNormal(*(part.expand(n, 1) for part in double(mass, 0.0, loc, 1.0)), *double(side))
    torch.manual_seed(seed)
    draws = law.censored(own).draw(torch.rand(n, 1, 3).double().clamp(1e-9, 1 - 1e-9)).squeeze(-1)
    assert float(law.censored(own).mean.mean()) == pytest.approx(expected, abs=5e-3)
    error = float((share * (values - expected).square()).sum()) ** 0.5 / n**0.5
    assert abs(float(draws.mean()) - expected) < Z_MAX * error + 5e-3
