"""Imputation of exact models, of any Pyro model, and of each row by itself."""

import arviz
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import Z_MAX, LinearGaussian, PosteriorEncoder, self_masking
from own_model import GammaRate
from torch import nn

from pyro_mnar.distributions import THRESHOLD
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputation.importance import sample_importance, weight_table
from pyro_mnar.infer.weights import effective_sample_size, pareto_threshold, smooth
from pyro_mnar.mcmc.posterior import sample_posterior
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.model import MNAR, SelectionDistribution

LAW = LinearGaussian(np.array([[1.0, 0.3], [0.5, -0.8], [0.7, 0.6]]), np.array([0.2, -0.1, 0.0]), np.array([0.5, 0.6, 0.7]))


def mnar(mechanism=None):
    return MNAR(LAW.decoder(), PosteriorEncoder(LAW), mechanism).double()


@pytest.mark.parametrize("masked", [False, True])
def test_mean_and_draws_are_the_exact_posteriors(masked):
    slope, intercept = np.array([2.0, np.nan, np.nan]), np.array([-0.5, np.nan, np.nan])
    model = mnar(self_masking(slope, intercept) if masked else None)
    row, mask = np.array([0.0, 0.4, -0.9]), np.array([False, True, True])
    exact = LAW.probit_one(row, mask, slope, intercept) if masked else LAW.ignorable(row, mask)
    n = 64
    x, seen = torch.from_numpy(row).repeat(n, 1), torch.from_numpy(mask).repeat(n, 1)
    result = impute(model, x, seen, draws=50, particles=1000, progress=False)
    means, draws = result.completed[:, 0], result.draws[:, :, 0]
    assert abs((means.mean() - exact.mean[0]) / (means.std() / n**0.5)) < 4.5
    # Draws of one row share its particles: the row averages are independent, the draws within a row are not quite.
    averages, squares = draws.mean(0), (draws - exact.mean[0]).square().mean(0)
    assert abs((averages.mean() - exact.mean[0]) / (averages.std() / n**0.5)) < 4.5
    assert abs((squares.mean() - exact.cov[0, 0]) / (squares.std() / n**0.5)) < 4.5
    assert torch.equal(result.completed[:, 1:], x[:, 1:])


def test_any_model_that_keeps_the_conventions_is_imputed_row_by_row():
    x, mask = torch.tensor([[3.0, 0.0], [0.1, 0.0], [3.0, 0.0]]), torch.tensor([[True, False]] * 3)
    result = impute(GammaRate(), x, mask, draws=200, particles=2000, labels=["a", "b", "c"], progress=False)
    # E[rate | x] by quadrature
    rate = np.linspace(1e-4, 15, 200001)
    for row, value in ((0, 3.0), (1, 0.1)):
        weight = rate * np.exp(-2 * rate - 0.5 * (value - rate) ** 2)
        mean = (weight * rate).sum() / weight.sum()
        spread = np.sqrt((weight * rate**2).sum() / weight.sum() - mean**2 + 1)
        assert abs(result.completed[row, 1] - mean) < 4.5 * spread / np.sqrt(float(result.ess[row]))
    alone = impute(GammaRate(), x[1:2], mask[1:2], draws=200, particles=2000, labels=["b"], progress=False)
    assert torch.equal(alone.draws[:, 0], result.draws[:, 1]) and not torch.equal(result.draws[:, 0], result.draws[:, 2])


def test_more_draws_begin_with_the_same_ones():
    x, mask = torch.zeros(3, 3).double(), torch.tensor([[True, False, True]] * 3)
    few, many = (impute(mnar(), x, mask, draws=m, progress=False, particles=500).draws for m in (2, 9))
    assert torch.equal(few, many[:2])


class WrongWhereHigh(PosteriorEncoder):
    """The exact posterior, but in another place for rows whose last cell is above zero: their weights fail."""

    def forward(self, x, mask):
        law = super().forward(x, mask)
        high = (mask[..., -1] & (x[..., -1] > 0)).unsqueeze(-1)
        return dist.MultivariateNormal(law.mean + torch.where(high, 3.0, 0.0), scale_tril=law.scale_tril)


def test_rows_whose_weights_fail_are_handed_to_markov_chains():
    slope, intercept = np.array([2.0, np.nan, np.nan]), np.array([-0.5, np.nan, np.nan])
    model = MNAR(LAW.decoder(), WrongWhereHigh(LAW), self_masking(slope, intercept)).double()
    rows, mask = np.array([[0.0, 0.4, -0.9], [0.0, 0.4, 0.9]]), np.array([False, True, True])
    n = 32
    x, seen = torch.from_numpy(rows).repeat(n, 1), torch.from_numpy(mask).repeat(2 * n, 1)
    result = impute(model, x, seen, draws=40, particles=200, method="auto", progress=False)
    assert result.by_mcmc[1::2].all() and not result.unreliable[1::2].any()
    assert (result.pareto_k[result.by_mcmc] > pareto_threshold(200)).all() and result.rhat[~result.by_mcmc].isnan().all()
    assert (result.ess[1::2] > 200).all() and result.by_mcmc[::2].sum() < n / 4
    for i in range(2):
        exact = LAW.probit_one(rows[i], mask, slope, intercept)
        means, draws = result.completed[i::2, 0], result.draws[:, i::2, 0]
        averages, squares = draws.mean(0), (draws - exact.mean[0]).square().mean(0)
        for estimate, answer in ((means, exact.mean[0]), (averages, exact.mean[0]), (squares, exact.cov[0, 0])):
            assert abs((estimate.mean() - answer) / (estimate.std() / n**0.5)) < 4.5
    assert torch.equal(result.completed[:, 1:], x[:, 1:]) and torch.equal(result.draws[..., 1:], x[:, 1:].expand(40, -1, -1))
    weights_alone = impute(model, x, seen, particles=200, progress=False)
    assert weights_alone.unreliable[1::2].all() and not weights_alone.by_mcmc.any()
    assert torch.equal(weights_alone.completed[~result.by_mcmc], result.completed[~result.by_mcmc])


def test_by_chains_too_a_row_has_one_answer():
    x = torch.tensor([[0.0, 0.4, -0.9], [0.0, 1.4, 0.3], [0.5, -0.4, 0.1]]).double()
    mask = torch.tensor([[False, True, True], [False, True, False], [True, True, True]])
    whole = impute(mnar(), x, mask, draws=7, method="mcmc", labels=["a", "b", "c"], progress=False, particles=500)
    alone = impute(mnar(), x[1:2], mask[1:2], draws=3, method="mcmc", labels=["b"], progress=False, particles=500)
    assert torch.equal(alone.draws[:, 0], whole.draws[:3, 1]) and torch.equal(alone.completed[0], whole.completed[1])
    assert whole.by_mcmc.tolist() == [True, True, False] and torch.equal(whole.completed[2], x[2])
    exact = LAW.ignorable(x[0].numpy(), mask[0].numpy())
    assert abs(whole.completed[0, 0] - exact.mean[0]) < 4.5 * exact.cov[0, 0] ** 0.5 / float(whole.ess[0]) ** 0.5


def test_many_draws_go_round_the_chains():
    x, mask = torch.tensor([[0.0, 0.4, -0.9]]).double(), torch.tensor([[False, True, True]])
    draws = impute(mnar(), x, mask, draws=1100, method="mcmc", progress=False, particles=500).draws[:, 0, 0]
    assert len(draws.unique()) == 1100
    exact = LAW.ignorable(x[0].numpy(), mask[0].numpy())
    assert abs(draws.mean() - exact.mean[0]) < 4.5 * (exact.cov[0, 0] / 500) ** 0.5


def test_global_randomness_is_left_alone_and_the_seed_decides():
    x, mask = torch.zeros(3, 3).double(), torch.tensor([[True, False, True]] * 3)
    model = mnar()
    before = torch.random.get_rng_state()
    first = impute(model, x, mask, draws=2, progress=False, particles=500).draws
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.equal(first, impute(model, x, mask, draws=2, seed=1, progress=False, particles=500).draws)


def test_weights_are_smoothed_as_arviz_does(seed):
    rng = np.random.default_rng(seed)
    for scale in (0.2, 1.0, 3.0):
        log_w = rng.normal(size=(400, 20)) * scale
        ours, k = smooth(torch.from_numpy(log_w))
        for column in range(20):
            theirs, their_k = arviz.psislw(log_w[:, column].copy())
            assert float(k[column]) == pytest.approx(float(their_k), abs=1e-6)
            np.testing.assert_allclose(ours[:, column].exp(), np.exp(theirs), atol=1e-8)


def test_equal_weights_are_whole_and_one_heavy_weight_is_flagged():
    flat, k = smooth(torch.zeros(200, 1))
    assert effective_sample_size(flat).item() == pytest.approx(200) and k.item() == -np.inf
    heavy = torch.randn(500, 1).double() * 6
    assert smooth(heavy)[1].item() > pareto_threshold(500)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"particles": 9}, "particles"),
        ({"draws": -1}, "draws"),
        ({"labels": ["a"]}, "labels: got 1"),
        ({"method": "mice"}, "method: got 'mice'"),
    ],
)
def test_impute_refuses(wrong, said):
    with pytest.raises(ValueError, match=said):
        impute(mnar(), torch.zeros(2, 3).double(), torch.ones(2, 3, dtype=torch.bool), progress=False, **wrong)


def drawn_by(method, n, labels, draws):
    """Draws (M, N) of the one missing cell of n equal rows."""
    x, mask = torch.tensor([[0.5, 0.0, -0.3]]).double().expand(n, 3), torch.tensor([[True, False, True]]).expand(n, 3)
    if method == "chains":
        return sample_posterior(mnar(), x, mask, chains=2, draws=draws // 2, warmup=20, labels=labels, progress=False).x.flatten(0, 1)[
            ..., 1
        ]
    if method == "importance draws":
        return sample_importance(mnar(), x, mask, chains=1, draws=draws, labels=labels, progress=False).x[0, ..., 1]
    return impute(mnar(), x, mask, draws=draws, method=method, labels=labels, progress=False, particles=500).draws[..., 1]


@pytest.mark.parametrize("method", ["importance", "mcmc", "chains", "importance draws"])
def test_rows_of_one_label_have_independent_draws_of_which_the_first_s_are_the_label_s(method):
    by_chains, draws = method in ("mcmc", "chains"), 100
    labels = list("abcabcab") + ["c"] * (4 if by_chains else 62)  # the last beyond a chunk of 64 rows
    found = drawn_by(method, len(labels), labels, draws)
    between = torch.corrcoef(found.T) - torch.eye(len(labels))
    assert float(between.abs().max()) < 0.7  # seven standard errors of independent draws, more than chains' autocorrelation; it was 1
    if method != "chains":  # whose rounding depends on the chunk
        assert torch.equal(drawn_by(method, 3, list("abc"), draws), found[:, :3])
    if not by_chains:
        # Later rows and another order of labels change nothing, and the count is over the whole table and not over a chunk.
        assert torch.equal(drawn_by(method, 66, labels[:66], draws), found[:, :66])
        assert torch.equal(drawn_by(method, 62, ["c"] * 62, draws)[:, 2:], found[:, 8:68])


@pytest.mark.parametrize("repeats", [1, 8])
def test_the_mean_of_a_table_put_below_itself_varies_between_draws_as_one_of_independent_rows(repeats):
    draws = 400
    found = drawn_by("importance", 25 * repeats, list(range(25)) * repeats, draws)
    ratio = found.mean(1).var() / (found.var(0).sum() / found.shape[1] ** 2)
    # Chi-square of 399 degrees of freedom over its number; of shared draws it is as many times as there are repeats.
    assert abs(float(ratio.log())) < Z_MAX * (2 / draws) ** 0.5


def test_rows_of_density_zero_are_named_and_stay_nan_and_leave_the_others_alone():
    model = MNAR(LAW.decoder(), PosteriorEncoder(LAW), SelfMasking(3, [0], "high", THRESHOLD)).double()
    x = torch.tensor([[0.1, 0.4, 0.2], [0.3, 0.0, 0.1], [0.2, 0.1, 0.0]]).double()
    mask = torch.tensor([[True, False, True], [True, False, True], [False, True, True]])
    model.mechanism.initialize(x, mask)  # a threshold at .3
    beyond = x.clone()
    beyond[0, 0] = 5.0
    settings = {"draws": 5, "labels": ["a", "b", "c"], "progress": False}
    plain = impute(model, x, mask, **settings)
    for function in (impute, sample_importance):
        with pytest.warns(UserWarning, match=r"1 of 3 rows have density zero under the model, and NaN in their holes \(rows a\).*link"):
            function(model, beyond, mask, **settings)
    with pytest.warns(UserWarning, match="rows a"):
        result = impute(model, beyond, mask, **settings)
        drawn = sample_importance(model, beyond, mask, **settings)
    for cells in (result.completed, *result.draws, *drawn.x.flatten(0, 1)):
        assert cells[0].isnan().tolist() == [False, True, False] and torch.equal(cells[0, [0, 2]], beyond[0, [0, 2]])
        assert bool(cells[1:].isfinite().all())
    assert torch.equal(result.completed[1:], plain.completed[1:]) and torch.equal(result.draws[:, 1:], plain.draws[:, 1:])
    assert float(result.ess[0]) == 0 and bool(result.pareto_k[0].isnan()) and bool(result.unreliable[0])
    assert bool((drawn.ess[:, 0] == 0).all()) and bool(drawn.unreliable[0]) and not bool(drawn.unreliable[1:].any())
    assert bool(drawn.log_weights.exp().sum(1).sub(1).abs().max() < 1e-9)
    # The worst come first.
    assert weight_table(result, ["a", "b", "c"]).index[0] == "a" and weight_table(drawn, ["a", "b", "c"]).index[0] == "a"
    # Chains do not take such a row over, and one without holes is nobody's concern.
    with pytest.warns(UserWarning, match="rows a"):
        assert not bool(impute(model, beyond, mask, method="auto", **settings).by_mcmc[0])
    impute(model, beyond[:1], torch.ones(1, 3, dtype=torch.bool), progress=False, particles=500)


TOLERANT = {"draws": 2, "progress": False}


def several(n):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(n, 3)))
    mask = torch.from_numpy(rng.random((n, 3)) < 0.6)
    return x, mask


def test_a_row_has_the_particles_that_its_tolerance_takes_and_no_others_decide():
    """What it then gets is that of so many particles for every row, bit for bit."""
    model = MNAR(LAW.decoder(), WrongWhereHigh(LAW), self_masking(np.array([2.0, np.nan, np.nan]), np.zeros(3))).double()
    x, mask = several(40)
    found = impute(model, x, mask, particles=800, tolerance=0.05, **TOLERANT)
    each = [impute(model, x, mask, particles=size, **TOLERANT) for size in (100, 200, 400, 800)]
    stopped = torch.stack([(found.draws == one.draws).all(-1).all(0) & (found.ess == one.ess) for one in each]) & ~mask.all(-1)
    assert bool((stopped.sum(0) == 1).logical_or(mask.all(-1)).all()), "each row is one of the four"
    assert len(set(stopped.int().argmax(0).tolist())) > 1, "rows differ in what they need"
    alone = impute(model, x[7:9], mask[7:9], particles=800, tolerance=0.05, labels=[7, 8], **TOLERANT)
    assert torch.equal(alone.completed, found.completed[7:9]) and torch.equal(alone.draws, found.draws[:, 7:9])
    loose, strict = (impute(model, x, mask, particles=800, tolerance=t, **TOLERANT) for t in (10.0, 1e-9))
    assert torch.equal(strict.completed, each[-1].completed)
    good = each[0].pareto_k <= pareto_threshold(100)
    assert torch.equal(loose.completed[good], each[0].completed[good]) and bool(good.any())
    # However small the error seems, heavy tails are not believed.
    assert bool((loose.ess != each[0].ess)[~good & ~mask.all(-1)].all()) and bool((~good).any())


@pytest.mark.parametrize("function", [None, torch.exp])
def test_the_error_of_means_is_below_the_tolerance(function):
    """Against the exact posterior, 400 rows alike in all but their names: the root mean square of the errors over the cell's spread."""
    x, mask = torch.tensor([[0.5, 0.0, -0.3]]).double().expand(400, 3), torch.tensor([[True, False, True]]).expand(400, 3)
    exact = LAW.ignorable(x[0].numpy(), mask[0].numpy())
    mean, variance = float(exact.mean[0]), float(exact.cov[0, 0])
    if function is not None:  # of a log-normal
        mean, variance = np.exp(mean + variance / 2), (np.exp(variance) - 1) * np.exp(2 * mean + variance)
    found = impute(mnar(), x, mask, tolerance=0.05, particles=3200, functions=function and {1: function}, progress=False)
    share = ((found.completed[:, 1] - mean) / variance**0.5).square().mean().sqrt()
    assert float(share) < 0.05 and bool((found.ess < 3000).all())


def test_a_tolerance_that_is_none_is_refused():
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="tolerance: got"):
            impute(mnar(), *several(2), tolerance=wrong)


class HolesForgotten(nn.Module):
    """Its law of rows is given whatever stands in the holes."""

    def __init__(self, mechanism):
        super().__init__()
        self.mechanism = mechanism

    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))
            cells = dist.Normal(z.expand(*z.shape[:-1], x.shape[-1]), 1.0).to_event(1)
            pyro.sample("x", SelectionDistribution(cells, self.mechanism), obs=x)

    def guide(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x.new_zeros(1), 1.0).to_event(1))


@pytest.mark.parametrize("mechanism", [None, SelfMasking(2, direction="high")])
def test_values_of_missing_cells_that_a_model_takes_for_observed_are_refused(mechanism):
    x, mask, model = torch.zeros(4, 2), torch.tensor([[True, False]] * 4), HolesForgotten(mechanism)
    for call in (impute, sample_importance, sample_posterior):
        settings = {"draws": 4, "progress": False} | ({"warmup": 4} if call is sample_posterior else {})
        with pytest.raises(ValueError, match="took them for observed, expected NaN there"):
            call(model, x, mask, **settings)
        call(model, x[:, :1].expand(-1, 2), torch.ones_like(mask), **settings)
