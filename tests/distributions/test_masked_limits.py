"""Cells between limits that are not why they are missing: masses, means, draws and gradients against integrals."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor
from torch.distributions import Independent

from pyro_mnar.distributions.continuous import Normal
from pyro_mnar.distributions.discrete import CountCells
from pyro_mnar.distributions.links import PROBIT
from pyro_mnar.mechanisms.self_masking import SelfMasking
from pyro_mnar.model.selection import SelectionDistribution

INF = math.inf


def law(limits: Tensor, mean: Tensor, scale: Tensor, warp: None = None) -> SelectionDistribution:
    torch.manual_seed(0)
    mechanism = SelfMasking(1, direction="high", link=PROBIT).double()
    with torch.no_grad():
        for parameter in mechanism.parameters():
            parameter.copy_(torch.full_like(parameter, 0.7))
    return SelectionDistribution(Independent(Normal(mean, scale), 1), mechanism, warp, limits)


def missing_rate(selection: SelectionDistribution, value: float) -> float:
    assert selection.mechanism is not None
    return float(selection.mechanism(torch.tensor([value], dtype=torch.float64)).log_missing.exp().detach())


@pytest.mark.parametrize(("low", "high"), [(0.3, INF), (-INF, -1.2), (-0.5, 0.8), (3.5, 9.0), (1.0, 1.0001)])
def test_mass_mean_draws_and_gradient(low: float, high: float) -> None:
    mean, scale = torch.tensor([0.4], dtype=torch.float64).requires_grad_(), torch.tensor([0.9], dtype=torch.float64).requires_grad_()
    selection = law(torch.tensor([[low, high, 0.0]], dtype=torch.float64), mean, scale)
    row = torch.tensor([math.nan], dtype=torch.float64)
    ends = max(low, -9.0), min(high, 9.0)

    def integral(power: int, m: float = 0.4, d: float = 0.9) -> float:
        return quad(lambda x: x**power * norm.pdf(x, m, d) * missing_rate(selection, x), *ends, epsabs=1e-14, epsrel=1e-11)[0]

    whole = integral(0)
    log_prob = selection.log_prob(row)
    assert float(log_prob.detach()) == pytest.approx(math.log(whole), abs=1e-7)
    log_prob.backward()
    step = 1e-4
    by_mean = (math.log(integral(0, 0.4 + step)) - math.log(integral(0, 0.4 - step))) / (2 * step)
    by_scale = (math.log(integral(0, 0.4, 0.9 + step)) - math.log(integral(0, 0.4, 0.9 - step))) / (2 * step)
    assert mean.grad is not None and scale.grad is not None
    assert float(mean.grad) == pytest.approx(by_mean, abs=1e-4) and float(scale.grad) == pytest.approx(by_scale, abs=2e-4)
    with torch.no_grad():
        cells = selection.conditional(row)
        assert float(cells.mean) == pytest.approx(integral(1) / whole, abs=1e-6)
        draws = cells.sample((20_000,))[:, 0]
        assert float(draws.min()) >= low and float(draws.max()) <= high
        spread = math.sqrt(max(integral(2) / whole - (integral(1) / whole) ** 2, 1e-12))
        assert abs(float(draws.mean()) - integral(1) / whole) < 4.5 * spread / math.sqrt(len(draws)) + 1e-9
        assert float(draws.std()) == pytest.approx(spread, rel=0.04)


def test_limits_that_are_why_have_no_mechanism() -> None:
    mean, scale = torch.tensor([0.4], dtype=torch.float64), torch.tensor([0.9], dtype=torch.float64)
    row = torch.tensor([math.nan], dtype=torch.float64)
    why = law(torch.tensor([[0.3, INF, 1.0]], dtype=torch.float64), mean, scale)
    plain = law(torch.tensor([[0.3, INF]], dtype=torch.float64), mean, scale)
    assert (
        float(why.log_prob(row).detach())
        == float(plain.log_prob(row).detach())
        == pytest.approx(norm.logsf((0.3 - 0.4) / 0.9), abs=1e-12)
    )
    # Open limits with a mechanism are those of any hole; without one nothing is scored at all.
    hole = law(torch.tensor([[-INF, INF, 0.0]], dtype=torch.float64), mean, scale)
    nothing = law(torch.tensor([[-INF, INF, 1.0]], dtype=torch.float64), mean, scale)
    free = SelectionDistribution(hole.decoder, hole.mechanism)
    assert float(hole.log_prob(row).detach()) == float(free.log_prob(row).detach()) != 0
    assert float(nothing.log_prob(row).detach()) == 0


def test_counts_between_limits_with_a_mechanism() -> None:
    cells = CountCells(torch.tensor([3.0]).log(), torch.tensor([5.0]).log(), torch.zeros(1), torch.ones(1))
    mechanism = SelfMasking(1, direction="high", link=PROBIT)
    limits = torch.tensor([[1.5, 6.5, 0.0]])
    selection = SelectionDistribution(Independent(cells, 1), mechanism, None, limits)
    counts = torch.arange(2.0, 7.0)
    rates = torch.stack([mechanism(count.reshape(1)).log_missing.exp().squeeze() for count in counts])
    shares = torch.stack([cells.log_prob(count.reshape(1)).exp().squeeze() for count in counts]) * rates
    row = torch.tensor([math.nan])
    assert float(selection.log_prob(row).detach()) == pytest.approx(float(shares.sum().log().detach()), abs=1e-5)
    assert float(selection.conditional(row).mean.detach()) == pytest.approx(
        float(((shares * counts).sum() / shares.sum()).detach()), abs=1e-4
    )
