"""The demonstration of the identifiability page: equal likelihood and different imputations alone, one answer with a related column."""

import itertools

import pytest
import torch
from scipy import optimize

from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks import CategoryHead, GaussianEncoder, MixedDecoder


def with_share(share, yes_seen, no_seen):
    """A model of one yes-or-no column with a given share of yes, whose mask explains the shares of yes and no that are seen."""
    decoder = MixedDecoder(1, [CategoryHead([0], [[1 - share, share]])], [])
    mnar = MNAR(decoder, GaussianEncoder(1, 1, [4]), SelfMasking(1, [0], "free")).double()
    rate_yes, rate_no = 1 - yes_seen / share, 1 - no_seen / (1 - share)
    with torch.no_grad():
        decoder.linear.weight.zero_()
        decoder.linear.bias.copy_(torch.tensor([1 - share, share]).log())
        low, high = (torch.logit(torch.tensor(rate).double()) for rate in (rate_no, rate_yes))
        mnar.mechanism.slope = high - low
        mnar.mechanism.offset.fill_(low)
    # z is not read: its posterior is its prior, and the bound the likelihood.
    mnar.encoder.forward = lambda x, mask: mnar.latent_law().expand(x.shape[:-1])
    return mnar


def test_fits_of_equal_likelihood_impute_any_share():
    x = torch.tensor([[1.0]] * 3 + [[0.0]] * 4 + [[0.0]] * 3).double()
    mask = torch.arange(10).unsqueeze(-1) < 7
    bounds, shares = [], []
    for share in (0.35, 0.5, 0.59):
        mnar = with_share(share, 0.3, 0.4)
        bounds.append(IWELBO(mnar, 2)(x, mask).sum())
        shares.append(float(impute(mnar, x, mask, particles=100).completed[-1, 0]))
    torch.testing.assert_close(bounds[1:], bounds[:1] * 2)
    # Of 3 in 10 that are missing, those that the share of yes has not shown.
    assert shares == pytest.approx([0.05 / 0.3, 0.2 / 0.3, 0.29 / 0.3], abs=1e-6)


def test_a_related_column_makes_the_shares_identified_and_an_unrelated_one_does_not():
    def cells(p):
        """P(x_0, x_1, s_0 = 1) and P(x_1, s_0 = 0) of shares (3 free) and rates (2)."""
        joint = torch.cat([p[:3], 1 - p[:3].sum(0, keepdim=True)]).reshape(2, 2)
        rate = p[3:].unsqueeze(-1)
        return torch.cat([(joint * (1 - rate)).flatten(), (joint * rate).sum(0)])

    def rank(p):
        return int(torch.linalg.matrix_rank(torch.autograd.functional.jacobian(cells, torch.tensor(p).double()), rtol=1e-8))

    related, unrelated = [0.4, 0.1, 0.15, 0.6, 0.2], [0.25, 0.25, 0.25, 0.6, 0.2]
    assert rank(related) == 5 and rank(unrelated) == 4
    # And globally: from anywhere, what fits the related table's cells is the truth.
    exact = cells(torch.tensor(related).double()).numpy()
    for start in itertools.product((0.1, 0.3), (0.1, 0.7), (0.1, 0.7)):
        guess = [start[0], 0.2, 0.2, *start[1:]]
        found = optimize.least_squares(
            lambda p: cells(torch.tensor(p)).numpy() - exact, guess, bounds=(1e-3, 0.999), xtol=1e-15, gtol=1e-15
        )
        if found.cost < 1e-20:
            assert found.x == pytest.approx(related, abs=1e-5)
