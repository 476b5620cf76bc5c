"""What other columns say of missing values before anything is fitted."""

import pytest
import torch
from scipy import stats

from pyro_mnar.mechanisms.starts import contrasts, graded, piles, two_sided_normal


def told(predictor, missing):
    """Return shift, spread and turn of a column that one other column predicts well."""
    values = predictor + 0.1 * torch.randn_like(predictor)
    return contrasts(torch.stack([predictor, values], -1), torch.stack([torch.ones_like(missing), ~missing], -1))[:, 1]


@pytest.mark.parametrize("skewed", [False, True])
def test_masks_of_a_middle_and_of_both_tails_turn_and_one_sided_ones_do_not(skewed):
    x = torch.randn(600).double()
    x = x.exp() if skewed else x
    ranks = x.argsort().argsort() / len(x)
    # Not about the middle of the values, so that means differ too.
    middle, tails, large = (ranks - 0.55).abs() < 0.15, (ranks - 0.55).abs() > 0.35, ranks > 0.7
    assert (
        float(told(x, middle)[2]) > 3 and float(told(x, tails)[2]) < -3 and float(told(x, ~large)[2]) == 0 == float(told(x, large)[2])
    )
    # Where predictions are turned round, all but the shift stays.
    here, there = told(x, middle), told(-x, middle)
    assert float(here[0]) * float(there[0]) < 0 < float(here[2]) * float(there[2])


def test_masks_that_nothing_predicts_turn_seldom_and_either_way():
    turns = torch.stack([told(torch.randn(100).double(), torch.rand(100) < 0.3)[2] for _ in range(300)])
    # Both halves beyond two standard errors, one up and one down: 2 x .023 x .023, for each of 300 trials.
    assert int((turns.abs() > 2).sum()) <= 4
    # Both halves go one way in half of the cases; binomial deviations at 4.5 standard errors.
    assert abs(float((turns == 0).double().mean()) - 0.5) < 4.5 * (0.25 / 300) ** 0.5
    assert abs(float(turns.sign().sum())) < 4.5 * 150**0.5


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.85])
@pytest.mark.parametrize("side", ["middle", "tails"])
def test_a_normal_without_its_middle_or_its_tails_has_the_rate_and_unit_variance(side, rate):
    spread, reach = (float(part) for part in two_sided_normal(torch.tensor(rate).double(), side))
    within = stats.norm(scale=spread).cdf(reach) - stats.norm(scale=spread).cdf(-reach)
    assert within == pytest.approx(rate if side == "middle" else 1 - rate)
    inner = stats.norm(scale=spread).expect(lambda x: x * x, -reach, reach)
    seen, share = (spread**2 - inner, 1 - within) if side == "middle" else (inner, within)
    assert seen / share == pytest.approx(1.0)


def test_a_half_without_missing_values_says_nothing():
    x = torch.linspace(-1, 1, 60).double()
    assert float(told(x, x > 0.5)[2]) == 0


def test_a_column_of_two_values_has_nothing_between_them():
    x = torch.randn(300, 3).double()
    x[:, 1], x[:, 2] = (x[:, 1] > 0).double(), x[:, 2].round()
    mask = torch.rand(300, 3) > 0.3
    found = contrasts(torch.where(mask, x, 7.0), mask)
    assert found[1:].isnan().tolist() == [[False, True, False]] * 2 and bool(found[0].isfinite().all())


def test_piles_are_floors_ceilings_and_the_outermost_of_few_grades():
    normal = torch.randn(2000)
    cut = normal.clamp_max(0.0)  # half of the values lie at the end
    levels = (3 * normal).round()
    # One in three is written as a whole or a half.
    favored = torch.where(torch.rand(2000) < 1 / 3, (2 * normal).round() / 2, (10 * normal).round() / 10)
    columns = {
        "normal": (normal, False, False),
        "ceiling": (cut, False, True),
        "floor": (-cut, True, False),
        "grades": ((1.5 * normal + 2).round().clamp(0, 3), False, True),
        "grades cut": ((1.5 * normal + 5).round().masked_fill(normal > -0.1, torch.nan), False, False),
        "three grades": ((1.5 * normal + 2).round().clamp(1, 3), True, True),
        "two values": ((normal > 0.5).float(), True, True),
        "rounded": (levels, False, False),
        "one value": (torch.ones(2000), False, False),
        "rounded and cut": (levels.masked_fill(levels > 0, torch.nan), False, False),
        "cut": (normal.masked_fill(normal > 0, torch.nan), False, False),
        "cut at a favorite": (favored.masked_fill(favored > 0, torch.nan), False, False),
        "ceiling at a favorite": (favored.clamp_max(0.0), False, True),
    }
    x = torch.stack([values for values, *_ in columns.values()], -1)
    found = piles(torch.where(x.isnan(), 9.0, x), ~x.isnan(), torch.ones(2000))
    assert found.T.tolist() == [[low, high] for _, low, high in columns.values()]


def test_piles_count_rows_by_their_weights():
    x = torch.cat([torch.zeros(4), torch.linspace(1, 2, 96)]).unsqueeze(-1)
    weights = torch.where(x[:, 0] == 0, 2.0, 1.0)
    mask = torch.ones_like(x, dtype=torch.bool)
    assert [bool(piles(x, mask, own)[0]) for own in (torch.ones(100), weights)] == [False, True]


def test_grades_are_few_different_values_of_those_seen():
    x = torch.stack([torch.arange(40.0) % 7, torch.arange(40.0) % 8, torch.arange(40.0)], -1)
    mask = torch.ones(40, 3, dtype=torch.bool)
    assert graded(x, mask).tolist() == [True, False, False]
    assert graded(x, mask & (x < 7)).tolist() == [True, True, True]
