"""The check of the mask: counts by hand, p-values uniform where the mechanism is known and small where it is wrong."""

import numpy as np
import pytest
import torch
from exact import LinearGaussian, PosteriorEncoder, self_masking
from scipy import stats

from pyro_mnar.diagnostics.mask_check import check_mask, missing_rates
from pyro_mnar.distributions import PROBIT
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.mechanisms import LinearMasking, SelfMasking, SequentialMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks import ConjugateEncoder
from pyro_mnar.plots.model import plot_mask_check

LAW = LinearGaussian(np.array([[1.0, 0.3], [0.5, -0.8], [0.7, 0.6]]), np.array([0.2, -0.1, 0.0]), np.array([0.5, 0.6, 0.7]))
NAN = torch.nan


def test_counts_and_rates_of_bins_by_hand():
    x = torch.arange(8.0)[:, None].repeat(1, 3)
    mask = torch.ones(8, 3, dtype=torch.bool)
    mask[[0, 1, 5], 0] = False
    mask[7, 1] = False
    rates = torch.full((2, 8, 3), 0.5)
    rates[..., 2] = NAN
    check = check_mask(x.expand(2, 8, 3), rates, mask, columns=["a", "b", "c"], bins=2)
    assert check.columns == ("a", "b") and check.by == (None, "a", "b", "c")
    # Of c the values 0 to 3 and 4 to 7; of b, which misses 7, those below its median 3 and the others.
    assert check.counts.tolist()[0] == [8, 0, 0] and check.counts.tolist()[2:] == [[3, 4, 1], [4, 4, 0]]
    assert check.rate[0, 0, 0] == 3 / 8 and check.rate[0, 3, :2].tolist() == [2 / 4, 1 / 4]
    assert check.rate[0, 2].tolist() == [2 / 3, 1 / 4, 0]
    assert np.isnan(check.p_value).tolist() == [[False, True, False, False], [False, False, True, False]]
    # Of a by c: 2 and 1 of 4 each where 2 +- 1 are expected; b and itself: nothing.
    tail = stats.chi2.sf((2 - 2) ** 2 / 1 + (1 - 2) ** 2 / 1, 2)
    assert check.surprise[0, 3] == pytest.approx(-np.log10(tail)) and check.surprise[1, 2] == 0
    assert check.where(0, 0) == "all rows" and check.where(3, 0) == "c below 3.5" and check.where(3, 1) == "c from 3.5"
    assert check.where(2, 2) == "where b is missing" and check.replicates == 1000


def test_replicated_rates_are_binomial(seed):
    n = 200
    x, mask = torch.zeros(5, n, 1), torch.ones(n, 1, dtype=torch.bool)
    check = check_mask(x, torch.full_like(x, 0.3), mask, replicates=4000, seed=seed)
    low, middle, high = check.replicated[:, 0, 0, 0] * n
    for quantile, level in ((low, 0.05), (middle, 0.5), (high, 0.95)):
        # Within the quantiles of levels four standard errors away.
        error = 4 * np.sqrt(level * (1 - level) / 4000)
        assert stats.binom.ppf(level - error, n, 0.3) <= quantile <= stats.binom.ppf(level + error, n, 0.3)


def test_p_values_of_the_true_mechanism_are_uniform_over_all_comparisons(seed):
    """Rows complete, rates true: the least p-value of all pairs is then uniform; many coupled columns, few and rare holes."""
    rng = np.random.default_rng(seed)
    least = []
    for i in range(80):
        x = torch.from_numpy(rng.normal(size=(1, 120, 4)))
        rates = torch.special.ndtr(0.8 * x - 1)
        mask = torch.from_numpy(rng.random((120, 4))) > rates[0]
        least.append(float(np.nanmin(check_mask(x, rates, mask, replicates=200, bins=3, seed=i).p_value)))
    assert stats.kstest(least, "uniform").pvalue > 1e-4


def simulated(seed, reads, n=400):
    """Rows of the linear-Gaussian law whose column 0 goes missing by a probit of column ``reads``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) @ LAW.weight.T + LAW.bias + LAW.noise * rng.normal(size=(n, 3))
    mask = np.ones((n, 3), bool)
    mask[:, 0] = 1.5 * x[:, reads] - 0.5 + rng.normal(size=n) < 0
    return torch.from_numpy(x), torch.from_numpy(mask)


def checked(x, mask, slope, intercept, seed=0):
    decoder = LAW.decoder()
    model = MNAR(decoder, ConjugateEncoder(decoder), self_masking([slope, np.nan, np.nan], [intercept, 0, 0])).double()
    draws = impute(model, x, mask, draws=40, particles=200, seed=seed, progress=False).draws
    return check_mask(draws, missing_rates(model, draws, mask), mask, columns=["a", "b", "c"], seed=seed)


def test_a_true_mechanism_passes_with_values_missing_and_wrong_ones_do_not(seed):
    x, mask = simulated(seed, reads=0)
    assert np.nanmin(checked(x, mask, 1.5, -0.5, seed).p_value) > 0.002
    # Too many holes expected: seen in all rows. No dependence on the value: seen in columns that go with it.
    assert checked(x, mask, 1.5, 0.5, seed).p_value[0, 0] < 0.01
    ignorant = checked(x, mask, 0.0, stats.norm.ppf(float((~mask[:, 0]).double().mean())), seed)
    assert ignorant.p_value[0, 0] > 0.05 and np.nanmin(ignorant.p_value[0, 2:]) < 0.01
    # The mask reads column b, and the mechanism blames column a. Told by b, and by c as well, which goes with a and not with b.
    x, mask = simulated(seed, reads=1)
    blamed = checked(x, mask, 1.5, -0.5, seed)
    assert (blamed.p_value[0, 2:] < 0.002).all() and blamed.worst(0) > 1


def test_masks_that_go_together_are_seen_in_the_rows_where_the_other_is_missing(seed):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(1, 400, 2)))
    mask = torch.from_numpy(rng.random((400, 2))) > 0.3
    mask[:, 1] = torch.where(torch.from_numpy(rng.random(400)) < 0.5, mask[:, 0], mask[:, 1])
    check = check_mask(x, torch.full_like(x, 0.3), mask, columns=["a", "b"], seed=seed)
    assert check.p_value[0, 2] < 0.01 and check.rate[0, 2, 5] > check.replicated[2, 0, 2, 5]


def test_rates_of_masks_that_read_others_are_given_all_the_others(seed):
    dropout = SequentialMasking(SelfMasking(3, [1, 2], "none", PROBIT), [0, 1, 2]).double()
    with torch.no_grad():
        dropout.own.offset.copy_(torch.tensor([-0.8, -0.8]))
        dropout.effects[1, 0] = dropout.effects[2, 1] = 1.0
        dropout.absences[2, 1] = 4.0
    decoder = LAW.decoder()
    model = MNAR(decoder, ConjugateEncoder(decoder), dropout).double()
    torch.manual_seed(seed)
    with torch.no_grad():
        x = decoder(torch.randn(600, LAW.weight.shape[1]).double()).sample()
        mask = dropout(x).sample()
    rates = missing_rates(model, x.unsqueeze(0), mask)
    last = torch.special.ndtr(torch.where(mask[:, 1], -0.8 + x[:, 1], 3.2))
    torch.testing.assert_close(rates[0, :, 2], last)
    # By Bayes' rule: whether the last one is seen says much of the one before it.
    first, other = torch.special.ndtr(-0.8 + x[:, 0]), torch.special.ndtr(torch.stack([torch.full_like(last, 3.2), -0.8 + x[:, 1]]))
    here, there = torch.where(mask[:, 2], 1 - other, other)
    torch.testing.assert_close(rates[0, :, 1], first * here / (first * here + (1 - first) * there))
    assert float(np.nanmin(check_mask(x.unsqueeze(0), rates, mask, seed=seed).p_value)) > 0.002
    # Given that those before are seen, who left would have to leave anew.
    alone = torch.where(rates.isnan(), rates, model.missing_rate(x.unsqueeze(0)).detach())
    assert float(np.nanmin(check_mask(x.unsqueeze(0), alone, mask, seed=seed).p_value)) < 0.002


def test_a_coupled_mechanism_and_columns_chosen_to_bin_by(seed):
    x, mask = simulated(seed, reads=1)
    linear = LinearMasking(3, [0]).double()
    with torch.no_grad():  # a logit of slope 1.7 b - .. is the probit to a hundredth
        linear.score.weight.zero_()[0, 1] = 1.5 * 1.702
        linear.score.bias.fill_(-0.5 * 1.702)
    decoder = LAW.decoder()
    model = MNAR(decoder, ConjugateEncoder(decoder), linear).double()
    draws = impute(model, x, mask, draws=20, particles=200, progress=False).draws
    rates = missing_rates(model, draws, mask)
    assert rates[..., 1:].isnan().all() and rates[..., 0].isfinite().all()
    check = check_mask(draws, rates, mask, by=[1], seed=seed)
    assert check.by == (None, 1) and check.p_value.shape == (1, 2) and check.p_value.min() > 0.002


def test_one_row_and_a_column_never_seen():
    x = torch.zeros(3, 1, 2)
    mask = torch.tensor([[False, True]])
    check = check_mask(x, torch.full_like(x, 0.5), mask)
    assert check.rate[0, 0, 0] == 1 and np.nanmin(check.p_value) > 0.2
    assert check.counts[1].tolist() == [0, 0, 0, 0, 0, 1]


def test_global_randomness_is_left_alone_and_the_seed_decides():
    x, mask, rates = torch.zeros(3, 500, 1), torch.rand(500, 1) < 0.5, torch.full((3, 500, 1), 0.4)
    before = torch.random.get_rng_state()
    first, again, other = (check_mask(x, rates, mask, replicates=30, seed=s).replicated[:, 0, 0, 0] for s in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state()) and (first == again).all() and (first != other).any()


def test_the_figure_shows_rates_and_what_is_expected_worst_column_first(seed):
    x, mask = simulated(seed, reads=1)
    mask[:, 2] = torch.from_numpy(np.random.default_rng(seed).random(len(x)) > 0.2)
    completed = x.expand(20, *x.shape)
    rates = torch.full_like(completed, 0.2)
    rates[..., 1] = NAN
    check = check_mask(completed, rates, mask, columns=["a", "b", "c"], seed=seed)
    axes = plot_mask_check(check).axes
    assert [axis.get_title().split(" (")[0] for axis in axes[:1]] == ["a by b"] and axes[1].get_title().startswith("c by")
    dots = axes[0].lines[-1]
    np.testing.assert_array_equal(dots.get_ydata(), [check.rate[0, 0, 0], *check.rate[0, 2, :5]])
    labels = [text.get_text() for text in axes[0].get_xticklabels()]
    assert labels[0] == "all rows" and labels[1].startswith("below") and axes[0].get_ylim()[1] > 1
    one = check_mask(completed[..., :1], rates[..., :1], mask[:, :1], columns=["a"])
    assert plot_mask_check(one).axes[0].get_title().startswith("a (p")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"completed": torch.zeros(2, 4, 2)}, "completed, rates, mask: got"),
        ({"mask": torch.ones(5, 2)}, "completed, rates, mask: got"),
        ({"completed": torch.zeros(0, 5, 2), "rates": torch.zeros(0, 5, 2)}, "completed: got 0 draws"),
        ({"rates": torch.full((2, 5, 2), NAN)}, "NaN in every column"),
        ({"rates": torch.tensor([0.5, NAN]).repeat(2, 5, 1).index_fill(1, torch.tensor([0]), NAN)}, "NaN in some cells"),
        ({"columns": ["a"]}, "columns: got 1"),
        ({"bins": 1}, "bins, replicates: got 1"),
    ],
)
def test_what_cannot_be_checked_is_refused(wrong, said):
    given = {"completed": torch.zeros(2, 5, 2), "rates": torch.full((2, 5, 2), 0.5), "mask": torch.ones(5, 2, dtype=torch.bool)}
    given |= wrong
    with pytest.raises(ValueError, match=said):
        check_mask(given.pop("completed"), given.pop("rates"), given.pop("mask"), **given)


def test_a_model_without_a_mechanism_has_no_rates():
    model = MNAR(LAW.decoder(), PosteriorEncoder(LAW)).double()
    with pytest.raises(ValueError, match="module: got one without a mechanism"):
        missing_rates(model, torch.zeros(2, 3).double(), torch.ones(2, 3, dtype=torch.bool))
