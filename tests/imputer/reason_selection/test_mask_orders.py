"""Masks that are at random in no order of the columns: of each row one of two is hidden by the other."""

import numpy as np
import pytest
import torch
from scipy.special import log_ndtr, ndtr

from pyro_mnar import MNARImputer
from pyro_mnar.data import amputate
from pyro_mnar.imputer.reason_selection import mask_orders
from pyro_mnar.mechanisms.earlier_columns import read_of


def either_order(seed, n=1500):
    """Return values and masks (n, 3): the third column is whole, the first two are decided in an order that a coin says; and the log
    likelihood of the masks as they came about."""
    rng = np.random.default_rng(seed)
    x, a_first = rng.normal(size=(n, 3)), rng.random(n) < 0.4
    mask, lead = np.ones((n, 3), dtype=bool), np.where(a_first, 0, 1)
    rows = np.arange(n)
    mask[rows, lead] = rng.random(n) > 0.03
    score = np.where(mask[rows, lead], -0.4 + 1.5 * x[rows, lead], -1.0)
    mask[rows, 1 - lead] = rng.random(n) > ndtr(score)
    ways = []
    for share, first in ((0.4, 0), (0.6, 1)):
        seen, last = mask[:, first], ~mask[:, 1 - first]
        score = np.where(seen, -0.4 + 1.5 * x[:, first], -1.0)
        ways.append(np.log(share) + np.log(np.where(seen, 0.97, 0.03)) + log_ndtr(np.where(last, score, -score)))
    return torch.tensor(x), torch.tensor(mask), float(np.logaddexp(*ways).sum())


def given(x, mask, order=(0, 1, 2), weights=None):
    weights = torch.ones(len(x)) if weights is None else weights
    return torch.where(mask, x, torch.nan), mask, mask & False, list(order), [0, 1], read_of(3, {}, ()), weights.double()


def test_masks_in_either_order_are_explained_as_well_as_by_their_own_law(seed):
    x, mask, truth = either_order(seed)
    likelihood, cost = mask_orders.masks_by_few(*given(x, mask), 6.0, leaving=False)
    # The maximum over nine numbers gains half a chi-squared variable of nine degrees: beyond 20 once in 100 000 times.
    assert truth - 0.1 < likelihood < truth + 20
    # Two values, of three columns, and five rates.
    assert cost == pytest.approx(2 * (6 + np.log(3)) + 5 * 2)
    # No order of the columns comes near.
    dear = mask_orders.masks_by_few(*given(x, mask), 1e4, leaving=False)
    assert dear == (pytest.approx(mask_orders.masks_by_rates(mask, mask & False, [0, 1], torch.ones(len(x)).double())), 0.0)
    assert max(one_order(x, mask, order) for order in ((0, 1, 2), (1, 0, 2))) < truth - 30


def one_order(x, mask, order):
    """Return the likelihood by all that is seen in one order, which prices below 0 let in."""
    features, total = torch.cat([torch.where(mask, x, 0.0), (~mask).double()], -1), 0.0
    for place, j in enumerate(order):
        chosen = features[:, [*order[:place], *(3 + k for k in order[:place])]]
        total += mask_orders._by_few(chosen, ~mask[:, j], torch.ones(len(x)).double(), -1e3)[0]
    return total


def test_the_order_of_the_columns_and_repeated_rows_do_not_matter(seed):
    x, mask, _ = either_order(seed, 600)
    here = mask_orders.masks_by_few(*given(x, mask), 6.0, leaving=False)
    assert mask_orders.masks_by_few(*given(x, mask, (1, 2, 0)), 6.0, leaving=False) == pytest.approx(here, abs=0.05)
    twice = x.repeat(2, 1), mask.repeat(2, 1)
    halves = given(*twice, weights=torch.full((1200,), 0.5))
    assert mask_orders.masks_by_few(*halves, 6.0, leaving=False) == pytest.approx(here, abs=0.05)


def test_columns_that_are_missing_together_as_often_as_by_chance_have_one_order(seed, monkeypatch):
    monkeypatch.setattr(mask_orders, "_in_either_order", lambda *_: pytest.fail("tried"))
    rng = np.random.default_rng(seed)
    x, mask = torch.tensor(rng.normal(size=(1500, 3))), torch.tensor(rng.random((1500, 3)) < [0.7, 0.7, 2])
    mask[:, 1] &= torch.tensor(rng.random(1500) > ndtr(x[:, 2].numpy() - 1))
    mask_orders.masks_by_few(*given(x, mask), 6.0, leaving=False)
    # Nor have holes whose reason is known.
    x, mask, _ = either_order(seed, 600)
    settled = ~mask & (torch.arange(3) == 0)
    mask_orders.masks_by_few(*given(x, mask)[:2], settled, *given(x, mask)[3:], 6.0, leaving=False)


def test_unrelated_columns_of_which_each_hides_the_next_are_at_random():
    x = np.random.default_rng(0).normal(size=(500, 4))
    mask = amputate(x, kind="pairs", rate=0.3, slope=3.0, seed=1)
    imputer = MNARImputer(members=1, steps=300, progress=False).fit(np.where(mask, x, np.nan))
    best = imputer.candidates_[0]
    assert best.earlier == "some" and not best.by_value and not best.latent
    assert np.abs(imputer.reasons_["mean"]).max() < 0.5
