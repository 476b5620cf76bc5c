"""Links and the mixtures of probits that stand for them."""

import math

import pytest
import torch
from scipy import special

from pyro_mnar.distributions.links import LINKS, LOGIT, PROBIT, THRESHOLD, log_ndtr

GRID = torch.linspace(-40, 40, 160_001, dtype=torch.float64)


def log_mixture(link, score):
    score = score.unsqueeze(-1)
    w, t, b, place, width = (torch.tensor(v, dtype=score.dtype) for v in (link.weights, link.widths, *link.tail))
    tail = b.log() + score + torch.special.log_ndtr(-(score + place) / width)
    return torch.cat([w.log() + torch.special.log_ndtr(score / t), tail], -1).logsumexp(-1)


@pytest.mark.parametrize("link", [LOGIT, PROBIT], ids=lambda link: link.name)
def test_mixture_is_the_link(link):
    assert float((log_mixture(link, GRID).exp() - link.log_missing(GRID).exp()).abs().max()) < 1e-8
    # And so is its logarithm, however far below; above -12 to a ten-thousandth.
    far = torch.cat([GRID, torch.linspace(-1000, -40, 2001, dtype=torch.float64)])
    error = (log_mixture(link, far) - link.log_missing(far)).abs()
    assert float(error.max()) < 0.006 and float(error[(far > -12) | (far < -50)].max()) < 2e-4


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS.keys())
def test_mixture_weights_are_a_distribution(link):
    assert math.fsum(link.weights) == pytest.approx(1, abs=2e-9)  # of the order of the fit
    assert all(w > 0 for w in link.weights)
    assert len(link.weights) == len(link.widths) == len(set(link.widths))
    assert not link.tail.weights or math.fsum(link.tail.weights) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("link", [LOGIT, PROBIT], ids=lambda link: link.name)
def test_missing_and_observed_add_to_one_and_mirror_each_other(link):
    torch.testing.assert_close(link.log_missing(GRID).exp() + link.log_observed(GRID).exp(), torch.ones_like(GRID))
    torch.testing.assert_close(link.log_missing(GRID), link.log_observed(-GRID), rtol=0, atol=0)


@pytest.mark.parametrize(("link", "reference"), [(LOGIT, special.log_expit), (PROBIT, special.log_ndtr)], ids=["logit", "probit"])
def test_log_probabilities_are_right_far_in_the_tails(link, reference):
    score = torch.tensor([-1e4, -300.0, -40.0, -1.0, 0.0, 1.0, 8.0, 30.0], dtype=torch.float64)
    torch.testing.assert_close(link.log_missing(score), torch.tensor(reference(score.numpy())), rtol=1e-10, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
def test_slope_of_the_log_probit_holds_in_the_tails_and_in_single_precision(dtype):
    score = torch.tensor([-1e6, -1e3, -40.0, -1.0, 0.0, 1.0, 6.0], dtype=dtype).requires_grad_()
    log_ndtr(score).sum().backward()
    at = score.detach().double().numpy()
    # phi / Phi; far on the left, where both underflow, -u + 1 / -u up to a relative 1 / u^4.
    near = special.erfcx(-at.clip(-100, 12) / 2**0.5)
    expected = (2 / math.pi) ** 0.5 / near * (at > -100) + (-at - 1 / at.clip(-math.inf, -1)) * (at <= -100)
    torch.testing.assert_close(score.grad, torch.tensor(expected).to(dtype), rtol=1e-5 if dtype == torch.float32 else 1e-11, atol=0)
    far = torch.tensor([20.0, 1e6, math.inf], dtype=dtype).requires_grad_()
    log_ndtr(far).sum().backward()
    assert bool((far.grad.abs() < 1e-30).all())
    assert torch.autograd.gradgradcheck(log_ndtr, torch.linspace(-8, 8, 9, dtype=torch.float64).requires_grad_())


def test_threshold_is_one_on_both_sides_of_its_own_place():
    score = torch.tensor([-1.0, 0.0, 1.0])
    assert THRESHOLD.log_missing(score).tolist() == [-math.inf, 0, 0]
    assert THRESHOLD.log_observed(score).tolist() == [0, 0, -math.inf]


def test_links_are_found_by_their_own_names():
    assert all(LINKS[name].name == name for name in ("logit", "probit", "threshold"))
