"""Exact maxima of the designs of outside knowledge: the likelihood of ``unit`` is that of its model, and so are its draws."""

import numpy as np
import torch
from scipy.special import ndtr

from benchmarks.outside_exact import impute_unit, tied_likelihood, unit_likelihood

THETA = torch.tensor([0.2, -0.4, np.log(0.9), 0.3, 0.7, 0.5, np.log(1.1), 0.6, 0.8, -0.3], dtype=torch.float64)
X2 = 0.7


def grid():
    """Return values of x1 and y, (P,), and the weight of each under their law given x2 and being missing, unnormalized."""
    m0, m1, s1, b0, b1, b2, s, a1, a2, c = THETA.tolist()
    line = np.linspace(-9, 9, 1201)
    x1, y = (part.ravel() for part in np.meshgrid(line, line, indexing="ij"))
    one, two = (x1 - m0 - m1 * X2) / np.exp(s1), (y - b0 - b1 * x1 - b2 * X2) / np.exp(s)
    density = np.exp(-0.5 * (one**2 + two**2) - s1 - s) / (2 * np.pi) * (line[1] - line[0]) ** 2
    return x1, y, density * ndtr(a1 * x1 + a2 * y + c)


def test_the_likelihood_of_missing_rows_is_an_integral_and_of_others_a_product():
    x1, y, weight = grid()
    x2, rows, one = torch.tensor([X2], dtype=torch.float64), torch.zeros(1, 2).double(), torch.ones(1).double()
    hidden = unit_likelihood(THETA, x2, rows, torch.tensor([False]), one)
    assert abs(float(hidden) - np.log(weight.sum())) < 1e-8
    at = torch.tensor([[0.4, -0.2]], dtype=torch.float64)
    seen = unit_likelihood(THETA, x2, at, torch.tensor([True]), one)
    m0, m1, s1, b0, b1, b2, s, a1, a2, c = THETA.tolist()
    apart = ((0.4 - m0 - m1 * X2) / np.exp(s1)) ** 2 + ((-0.2 - b0 - b1 * 0.4 - b2 * X2) / np.exp(s)) ** 2
    assert abs(float(seen) - (-0.5 * apart - s1 - s + np.log(ndtr(-(a1 * 0.4 - a2 * 0.2 + c))))) < 1e-10


def test_tied_to_a_mean_of_zero():
    x2, rows = torch.tensor([0.5, 1.5]).double(), torch.tensor([[0.1, 0.2], [0.0, 0.0]]).double()
    seen, weight = torch.tensor([True, False]), torch.tensor([2.0, 1.0]).double()
    center = (2 * 0.5 + 1.5) / 3
    whole = torch.cat([torch.tensor([0.4 * center]).double(), THETA[1:]])
    torch.testing.assert_close(tied_likelihood(THETA[1:], x2, rows, seen, weight), unit_likelihood(whole, x2, rows, seen, weight))


def test_draws_have_the_moments_of_the_law_given_that_they_are_missing(seed):
    x1, y, weight = grid()
    weight = weight / weight.sum()
    n = 40_000
    x2, rows, seen = torch.full((n,), X2).double(), torch.zeros(n, 2).double(), torch.zeros(n, dtype=torch.bool)
    drawn = impute_unit(THETA[None], x2, rows, seen, torch.Generator().manual_seed(seed))[0]
    for values, own in ((x1, drawn[:, 0]), (y, drawn[:, 1]), (x1 * y, drawn.prod(-1)), (y**2, drawn[:, 1] ** 2)):
        mean = weight @ values
        assert abs(float(own.mean()) - mean) < 4.5 * (weight @ (values - mean) ** 2 / n) ** 0.5
