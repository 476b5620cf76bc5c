"""Normals and other laws cut to intervals: quadrature, 40 standard deviations, draws inside."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from pyro_mnar.distributions import cut_normal
from pyro_mnar.distributions.continuous import Normal, StudentT
from pyro_mnar.distributions.discrete import CountCells, LevelCells
from pyro_mnar.distributions.open_cells import OpenCells
from pyro_mnar.distributions.point_mass_normal import PointMassNormal
from pyro_mnar.networks.angle import VonMises
from pyro_mnar.networks.proportion import ProportionCells

INF = math.inf
INTERVALS = [
    (-INF, INF),
    (-INF, -40.0),
    (-INF, 3.0),
    (-INF, 30.0),
    (40.0, INF),
    (40.0, 40.001),
    (-40.001, -40.0),
    (-1.0, 2.0),
    (-0.1, 0.1),
    (5.0, 5.3),
    (-6.0, 7.0),
    (38.0, 60.0),
    (-60.0, -38.0),
    (0.0, 1e-8),
    (-1000.0, 5.0),
    (7.0, 1e6),
    (-INF, -200.0),
]


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def exact(low: float, high: float) -> tuple[float, float, float]:
    """Return log mass, mean and variance of a standard normal between two ends, by adaptive quadrature about its likeliest point."""
    mode = min(max(0.0, low), high)
    reach = 90.0 / (abs(mode) + math.sqrt(mode * mode + 90.0))  # exp(-45) is left beyond
    first, last = max(low - mode, -reach), min(high - mode, reach)

    def integral(function) -> float:
        return integrate.quad(lambda t: function(t) * math.exp(-t * (mode + t / 2)), first, last, epsabs=0, epsrel=1e-13, limit=200)[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", integrate.IntegrationWarning)  # of the last digits
        mass = integral(lambda t: 1.0)
        away = (
            integrate.quad(lambda t: t * math.exp(-t * (mode + t / 2)), first, last, epsabs=1e-16 * mass, epsrel=1e-13, limit=200)[0]
            / mass
        )
        variance = integral(lambda t: (t - away) ** 2) / mass
    if low == -INF and mode == 0:  # of nearly all of it
        return float(special.log_ndtr(high)), mode + away, variance
    return stats.norm.logpdf(mode) + math.log(mass), mode + away, variance


@pytest.mark.parametrize(("low", "high"), INTERVALS)
def test_mass_mean_and_variance_are_exact(low: float, high: float) -> None:
    log_mass, mean, variance = exact(low, high)
    a, b = tensor(low), tensor(high)
    assert float(cut_normal.log_mass(a, b)) == pytest.approx(log_mass, rel=1e-12, abs=1e-15)
    assert float(cut_normal.mean(a, b)) == pytest.approx(mean, rel=1e-11, abs=1e-15)
    found, spread = cut_normal.moments(a, b)
    assert float(found) == pytest.approx(mean, rel=1e-12, abs=1e-12)
    assert float(spread) == pytest.approx(variance, rel=1e-9)
    # In single precision, as models are.
    assert float(cut_normal.log_mass(a.float(), b.float())) == pytest.approx(log_mass, rel=2e-6, abs=1e-8)
    if math.isfinite(mean) and high - low > 1e-3:
        assert float(cut_normal.mean(a.float(), b.float())) == pytest.approx(mean, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("low", "high"), INTERVALS)
def test_draws_lie_inside_and_have_the_law(low: float, high: float) -> None:
    _, mean, variance = exact(low, high)
    uniforms = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64).clamp_min(1e-300)
    drawn = cut_normal.draw(tensor(low), tensor(high), torch.cat([uniforms, tensor(1e-300, 1 - 1e-16)]))
    assert bool((drawn >= low).all() and (drawn <= high).all())
    assert abs(float(drawn.mean()) - mean) < 4 * math.sqrt(variance / len(uniforms))
    assert bool((drawn[:-2][uniforms.argsort()].diff() >= 0).all())


def test_gradients_hold_at_infinite_ends_and_far_out() -> None:
    low, high = (tensor(*ends).requires_grad_() for ends in zip(*INTERVALS, strict=True))
    scale = torch.ones_like(low, requires_grad=True)
    ends = [cut_normal.standardized(end, tensor(0.0), scale) for end in (low, high)]
    found = torch.autograd.grad(cut_normal.log_mass(*ends).sum() + cut_normal.mean(*ends).sum(), (low, high, scale))
    assert all(bool(part.isfinite().all()) for part in found)
    a, b = tensor(-1.0, 5.0, 38.0).requires_grad_(), tensor(2.0, 5.3, 60.0).requires_grad_()
    assert torch.autograd.gradcheck(cut_normal.log_mass, (a, b))


def _law(name: str) -> tuple:
    """Return cells (1,) of a law, their density at values, points of mass, and a range to integrate over."""
    one = tensor(1.0)
    if name == "normal":
        return Normal(0.3 * one, 0.7 * one), stats.norm(0.3, 0.7).pdf, {}
    if name == "student":
        return StudentT(4 * one, 0.3 * one, 0.7 * one), stats.t(4, 0.3, 0.7).pdf, {}
    if name == "semicontinuous":
        law = PointMassNormal(-0.5 * one, 0.4 * one, 0.3 * one, 0.7 * one, one)
        share = 1 / (1 + math.exp(-0.4))
        return law, lambda x: (1 - share) * stats.norm(0.3, 0.7).pdf(x) * (x > -0.5), {-0.5: share}
    law = ProportionCells(-2.0 * one, 3.0 * one, 0.1 * one, -0.6 * one, 0.3 * one, 0.7 * one)
    total = 1 + math.exp(0.1) + math.exp(-0.6)
    return law, lambda x: stats.norm(0.3, 0.7).pdf(x) / total, {-INF: math.exp(0.1) / total, INF: math.exp(-0.6) / total}


@pytest.mark.parametrize("name", ["normal", "student", "semicontinuous", "proportion"])
@pytest.mark.parametrize(("low", "high"), [(-INF, 0.2), (0.5, INF), (-0.2, 0.9), (-INF, INF), (2.0, 2.5)])
def test_laws_of_real_values_against_quadrature(name: str, low: float, high: float) -> None:
    law, density, points = _law(name)
    within = law.within(tensor(low), tensor(high))
    # A proportion's ends are possible where a limit is infinite, whatever their places on the line.
    held = {v: p for v, p in points.items() if low < v < high or v == low == -INF or v == high == INF}
    places = {-INF: -2.0, INF: 3.0}
    first, last = max(low, -60.0), min(high, 60.0)

    def integral(function) -> float:
        cuts = [v for v in (-0.5, 0.3, -3.0, 4.0) if first < v < last]
        own = integrate.quad(lambda x: function(x) * density(x), first, last, points=cuts, limit=400, epsabs=1e-13)[0]
        return own + sum(p * function(places.get(v, v)) for v, p in held.items())

    mass = integral(lambda x: 1.0)
    tolerance = 1e-6 if name == "student" else 1e-9  # Student-t by its mixture of normals
    assert float(within.log_mass) == pytest.approx(math.log(mass), abs=tolerance)
    assert float(within.mean) == pytest.approx(integral(lambda x: x) / mass, abs=1e-6 if name != "student" else 2e-4)
    assert float(within.mean_of(torch.sin)) == pytest.approx(integral(math.sin) / mass, abs=1e-5)
    uniforms = torch.rand(4000, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = within.draw(uniforms)[..., 0]
    at_end = torch.zeros_like(drawn, dtype=torch.bool)
    for value in held:
        at_end |= drawn == places.get(value, value)
    assert bool((((drawn >= low) & (drawn <= high)) | at_end).all())
    mean, spread = (
        integral(math.sin) / mass,
        math.sqrt(max(integral(lambda x: math.sin(x) ** 2) / mass - (integral(math.sin) / mass) ** 2, 0)),
    )
    assert abs(float(drawn.sin().mean()) - mean) < 4 * spread / math.sqrt(len(drawn)) + 1e-9


def test_nothing_lies_beyond_the_value_that_repeats() -> None:
    law = PointMassNormal(tensor(0.0), tensor(-3.0), tensor(0.1), tensor(1.0), tensor(1.0))
    within = law.within(tensor(-INF), tensor(0.4))
    drawn = within.draw(torch.rand(2000, 1, 3, dtype=torch.float64))
    assert float(drawn.min()) == 0.0 and float(drawn.max()) <= 0.4
    only = law.within(tensor(-INF), tensor(1e-12))
    assert float(only.log_mass.exp()) == pytest.approx(1 / (1 + math.exp(3)), rel=1e-9)


def test_levels_and_counts_are_sums_within() -> None:
    levels = LevelCells(tensor(0.2, 0.3, 0.5).log().unsqueeze(-1), tensor(0.0), tensor(0.25))
    within = levels.within(tensor(0.125), tensor(INF))
    assert float(within.log_mass.exp()) == pytest.approx(0.8) and within.probabilities.flatten().tolist() == pytest.approx(
        [0, 3 / 8, 5 / 8]
    )
    counts = CountCells(tensor(3.0).log(), tensor(5.0).log(), tensor(0.0), tensor(1.0))
    law = stats.nbinom(5, 5 / 8)
    for low, high in ((-INF, 4.5), (6.5, INF), (1.5, 3.5), (60.5, INF), (200.5, INF)):
        found = counts.within(tensor(low), tensor(high))
        k = np.arange(max(0, math.ceil(low) if low > 0 else 0), min(2000, math.floor(high) if high < INF else 2000) + 1)
        log_p = law.logpmf(k)
        mass = np.logaddexp.reduce(log_p)
        assert float(found.log_mass) == pytest.approx(mass, abs=1e-6)
        assert float(found.mean) == pytest.approx((np.exp(log_p - mass) * k).sum(), rel=1e-6)
        drawn = found.draw(torch.rand(500, 1, 3, dtype=torch.float64))
        assert bool(((drawn > low) & (drawn < high)).all())


def test_laws_without_an_order_or_an_integral_refuse() -> None:
    low, high = tensor(-1.0), tensor(1.0)
    with pytest.raises(TypeError, match=r"^limits: got some for VonMises cells"):
        VonMises(low, high).within(low, high)
    with pytest.raises(TypeError, match=r"^limits: got some for Laplace cells"):
        OpenCells(torch.distributions.Laplace(low, high)).at(torch.ones(1, dtype=torch.bool)).within(low, high)
