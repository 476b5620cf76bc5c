"""What the data say of directions: moments of what is seen, and where the other columns point. And slopes, set and learned."""

import numpy as np
import pytest
import torch

from pyro_mnar import IWELBO, fit
from pyro_mnar.distributions import PROBIT
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.mechanisms.starts import apparent_direction, observed_moments
from pyro_mnar.model import MNAR
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder


def related(n=400):
    """Four columns of one factor, some of them with it, some against: every pair's correlation is about .7 or -.7."""
    return torch.randn(n, 1).double() * torch.tensor([1.0, -1.0, 1.0, 1.0]).double() + 0.65 * torch.randn(n, 4).double()


MASKS = {
    "hard": lambda u: u < 0.5,
    "soft": lambda u: torch.rand_like(u) < torch.sigmoid(0.5 - 2 * u),
}


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("sign", [1, -1])
def test_direction_is_found_from_related_columns(kind, sign):
    x = related()
    # Column 0 alone, then every column but the last, each the other way round than the one before.
    alone = torch.ones_like(x, dtype=torch.bool)
    alone[:, 0] = MASKS[kind](sign * x[:, 0])
    assert apparent_direction(x, alone)[0] == sign and bool((apparent_direction(x, alone)[1:] == 0).all())
    several = alone.clone()
    several[:, 1], several[:, 2] = MASKS[kind](-sign * x[:, 1]), MASKS[kind](sign * x[:, 2])
    assert apparent_direction(x, several).tolist() == [sign, -sign, sign, 0]


def test_direction_is_that_of_the_column_whatever_its_place_unit_and_filler():
    x = related()
    mask = torch.stack([x[:, 0] < 0.5, x[:, 1] > -0.5, x[:, 2] < 9, x[:, 3] < 0.2], -1)
    found = apparent_direction(x, mask)
    assert found.tolist() == [1, -1, 0, 1]
    for scale in (torch.full((4,), 0.2), torch.full((4,), 5.0), torch.tensor([0.2, 5.0, 3.0, 0.5])):
        moved = x * scale + torch.tensor([1e4, -3.0, 0.0, -1e5])
        for filler in (0.0, 1e9, torch.nan, -torch.inf):
            assert torch.equal(apparent_direction(torch.where(mask, moved, filler), mask), found)
    assert torch.equal(apparent_direction(-x, mask), -found)


def test_where_other_columns_do_not_tell_the_rows_apart_there_is_no_direction():
    # Each row twice, once with a hole: what the other columns predict is the same on both sides.
    x = related(100).repeat(2, 1)
    mask = torch.ones(200, 4, dtype=torch.bool)
    mask[100:, 0] = False
    assert apparent_direction(x, mask).tolist() == [0, 0, 0, 0]
    constant = torch.cat([x[:, :1], torch.ones(200, 1).double()], -1)
    assert apparent_direction(constant, torch.stack([x[:, 0] < 0.5, mask[:, 1]], -1)).tolist() == [0, 0]
    one = x[:, :1]
    assert apparent_direction(one, one < 0.5).tolist() == [0]


def test_unrelated_columns_seldom_point_anywhere_and_to_both_sides_alike():
    found = []
    for _ in range(300):
        x = torch.randn(100, 3)
        found.append(apparent_direction(x, torch.stack([x[:, 0] < 0.5, *torch.ones(2, 100, dtype=torch.bool)], -1))[0])
    found = torch.stack(found)
    # A normal is within two standard errors with probability .954; binomial deviations of 300 trials, at 4.5 standard errors.
    assert abs(float((found == 0).double().mean()) - 0.954) < 4.5 * (0.954 * 0.046 / 300) ** 0.5 + 0.01
    assert abs(float(found.sum())) < 4.5 * (0.046 * 300) ** 0.5


@pytest.mark.parametrize("few", [0, 1, 2])
def test_with_fewer_than_three_rows_on_one_side_there_is_no_direction(few):
    x = related()
    for side in (True, False):
        mask = torch.ones_like(x, dtype=torch.bool)
        mask[:, 0] = not side
        mask[x[:, 0].topk(few).indices, 0] = side
        assert apparent_direction(x, mask)[0] == 0
    enough = torch.ones_like(x, dtype=torch.bool)
    enough[x[:, 0].topk(3).indices, 0] = False
    assert apparent_direction(x, enough)[0] == 1


def test_observed_moments_are_those_of_what_is_seen_and_zero_where_nothing_is():
    x, mask = torch.randn(50, 4).double(), torch.rand(50, 4) < 0.6
    mask[:, 3] = False
    x = torch.where(mask, x, torch.nan)
    loc, scale = observed_moments(x, mask)
    np.testing.assert_allclose(loc[:3], np.nanmean(x[:, :3], 0))
    np.testing.assert_allclose(scale[:3], np.nanstd(x[:, :3], 0))
    assert loc[3] == 0 and scale[3] == 0


def test_slopes_are_as_they_were_set_and_on_their_own_side():
    mechanism = SelfMasking(4, None, ["high", "low", "free", "free"]).double()
    for value in ([2.0, -0.1, -3.0, 0.0], [1e-3, -50.0, 0.5, 200.0]):
        mechanism.slope = torch.tensor(value)
        torch.testing.assert_close(mechanism.slope, torch.tensor(value).double())
    for value in ([-2.0, -0.1, -3.0, 0.0], [1.0, 2.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], 3.0):
        with pytest.raises(ValueError, match="slope: got"):
            mechanism.slope = value
    torch.testing.assert_close(mechanism.slope[3].item(), 200.0)


@pytest.mark.parametrize("direction", ["high", "free"])
def test_a_hard_rule_is_learned_as_one_and_a_gentle_one_stays_gentle(direction, seed):
    """Two related columns; the rule of the first is hard, or a probit of slope 2."""
    torch.manual_seed(seed)
    x = torch.randn(2000, 1) * torch.tensor([[1.0, 0.7]]) + torch.tensor([0.0, 0.7]) * torch.randn(2000, 2)
    for truth, lowest, highest in ((1e4, 12.0, 1e4), (2.0, 1.2, 4.5)):
        mask = torch.ones_like(x, dtype=torch.bool)
        mask[:, 0] = truth * x[:, 0] + torch.randn(2000) < 0
        mechanism = SelfMasking(2, [0], direction, PROBIT)
        mnar = MNAR(GaussianDecoder(1, 2, hidden=()), GaussianEncoder(1, 2, [16]), mechanism)
        mnar.initialize(x, mask)
        assert mechanism.slope.item() == pytest.approx(2.0)  # it points the right way
        fit(
            IWELBO(mnar, 5), x, mask, steps=400, batch_size=200, lr=1e-2, weight_decay=0.0, seed=seed, progress=False, mechanism_lr=1e-1
        )
        assert lowest < mechanism.slope.item() < highest


def test_the_apparent_direction_of_more_columns_than_rows_is_the_same_ridge_regression_and_takes_no_longer(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, 1, generator=generator) + 0.5 * torch.randn(60, 80, generator=generator)
    mask = torch.rand(60, 80, generator=generator) > 0.2
    mask[:, 0] &= x[:, 1] < 0.3
    features = torch.cat([torch.where(mask, x, 0.0), (~mask).to(x)], -1).double()
    found, seen = apparent_direction(x, mask), mask[:, 0]
    values = torch.where(mask, x, 0.0).double()
    features[:, :80] = torch.where(mask, values - values.sum(0) / mask.sum(0), 0.0)
    others = features[:, [k for k in range(160) if k % 80]]
    centered = others[seen] - others[seen].mean(0)
    predicted = others @ torch.linalg.solve(centered.T @ centered + torch.eye(158).double(), centered.T @ features[seen, 0])
    error = (predicted[seen].var() / seen.sum() + predicted[~seen].var() / (~seen).sum()).sqrt()
    z = (predicted[~seen].mean() - predicted[seen].mean()) / error
    assert float(found[0]) == (float(z.sign()) if abs(z) > 2 else 0.0)
