"""The importance-weighted bound: identities, and the exact answers of linear-Gaussian models."""

import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from exact import (
    INTERCEPT,
    LAW,
    MASKS,
    ROWS,
    SLOPE,
    Z_MAX,
    PosteriorEncoder,
    log_self_masking,
    self_masking,
    z_between,
    z_score,
)
from torch import nn

from pyro_mnar.distributions import LOGIT, PROBIT
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.mechanisms import FixedMasking, LinearMasking, MixedMasking, NeuralMasking, SelfMasking
from pyro_mnar.model import MNAR, SelectionDistribution
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder, StudentTDecoder

X, MASK = torch.tensor(ROWS), torch.tensor(MASKS)
A, C = torch.tensor(SLOPE), torch.tensor(INTERCEPT)
MODELLED = [0, 1, 3]


def linear(slope):
    """A LinearMasking that reads only its own columns: the same law as self-masking, in the sampled form."""
    mechanism = LinearMasking(4, MODELLED).double()
    with torch.no_grad():
        mechanism.score.weight.zero_()
        for row, j in enumerate(MODELLED):
            mechanism.score.weight[row, j] = slope[j]
        mechanism.score.bias.copy_(C[MODELLED])
    return mechanism


class GaussianGuess(nn.Module):
    """q(z | x_obs, s) = N(loc, scale^2), the same for every row."""

    def __init__(self, loc, scale):
        super().__init__()
        self.loc, self.scale = nn.Parameter(torch.tensor(loc).double()), nn.Parameter(torch.tensor(scale).double())

    def forward(self, x, mask):
        return dist.Normal(self.loc, self.scale).to_event(1).expand(x.shape[:-1])


@torch.no_grad()
def weights(model, particles, x=X, mask=MASK):
    return IWELBO(model, particles).log_weights(x, mask)


def exact_probit():
    return torch.tensor([LAW.probit(x, m, SLOPE, INTERCEPT) for x, m in zip(ROWS, MASKS, strict=True)]).double()


def exact_logit(rows):
    return torch.tensor(
        [LAW.grid(ROWS[i], MASKS[i], log_self_masking(MASKS[i], SLOPE, INTERCEPT, "logit")).log_prob for i in rows]
    ).double()


# Exact answers ------------------------------------------------------------------------------------


def test_weights_are_unbiased_without_a_mechanism_and_constant_under_the_exact_posterior():
    exact = torch.tensor([LAW.ignorable(x, m).log_prob for x, m in zip(ROWS, MASKS, strict=True)]).double()
    inflated = weights(MNAR(LAW.decoder(), PosteriorEncoder(LAW)), 50_000)
    assert float(z_score((inflated - exact).exp(), 1.0).abs().max()) < Z_MAX
    perfect = weights(MNAR(LAW.decoder(), PosteriorEncoder(LAW, 1.0)), 10)
    torch.testing.assert_close(perfect, exact.expand(10, 5))


def test_collapsed_weights_are_unbiased_under_probit_self_masking():
    log_w = weights(MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), self_masking(SLOPE, INTERCEPT)), 100_000)
    assert float(z_score((log_w - exact_probit()).exp(), 1.0).abs().max()) < Z_MAX


def test_collapsed_weights_are_unbiased_under_logit_self_masking():
    rows = [1, 2, 4]
    log_w = weights(MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), self_masking(SLOPE, INTERCEPT, LOGIT)), 100_000)
    assert float(z_score((log_w[:, rows] - exact_logit(rows)).exp(), 1.0).abs().max()) < Z_MAX


SAMPLED = {
    "fixed": lambda: FixedMasking(lambda x: (A * x + C)[..., MODELLED], 4, MODELLED),
    "linear": lambda: linear(SLOPE),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_sampled_weights_are_unbiased_under_the_same_logit_mechanism(name):
    rows = [1, 2, 4]
    log_w = weights(MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), SAMPLED[name]()), 100_000)
    assert float(z_score((log_w[:, rows] - exact_logit(rows)).exp(), 1.0).abs().max()) < Z_MAX


def test_sampled_weights_are_unbiased_where_masks_read_other_columns():
    # Column 0's mask reads column 1 and the other way round; column 3 is self-masked and integrated out.
    both = LinearMasking(4, [0, 1]).double()
    alone = self_masking([np.nan, np.nan, np.nan, 0.7], [0, 0, 0, -0.5], PROBIT)
    w = both.score.weight.detach().numpy()

    def log_mask(mask):
        alone_log = log_self_masking(mask, np.array([np.nan, np.nan, np.nan, 0.7]), np.array([0, 0, 0, -0.5]))
        sign = np.where(mask[:2], -1.0, 1.0)
        return lambda r: -np.logaddexp(0, -sign * (r @ w.T + both.score.bias.detach().numpy())).sum(-1) + alone_log(r)

    rows = [1, 2, 4]
    exact = torch.tensor([LAW.grid(ROWS[i], MASKS[i], log_mask(MASKS[i])).log_prob for i in rows]).double()
    log_w = weights(MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), MixedMasking(both, alone)), 100_000)
    assert float(z_score((log_w[:, rows] - exact).exp(), 1.0).abs().max()) < Z_MAX


@pytest.mark.parametrize("form", ["ignorable", "collapsed", "sampled"])
def test_bound_stays_below_the_exact_value_rises_with_particles_and_becomes_tight(form):
    mechanism = {
        "ignorable": lambda: None,
        "collapsed": lambda: self_masking(SLOPE, INTERCEPT, LOGIT),
        "sampled": SAMPLED["fixed"],
    }[form]()
    rows = [1, 2, 4]
    exact = (
        torch.tensor([LAW.ignorable(ROWS[i], MASKS[i]).log_prob for i in rows]).double() if form == "ignorable" else exact_logit(rows)
    )
    model = MNAR(LAW.decoder(), GaussianGuess([0.3, -0.2], [1.1, 0.9]), mechanism)
    log_w = weights(model, 128_000, X[rows], MASK[rows])
    # Groups of K of the same independent draws: the expected bound of K particles.
    bounds = {k: log_w.reshape(k, -1, len(rows)).logsumexp(0) - math.log(k) for k in (1, 4, 16, 1000)}
    for k in (1, 4, 16):
        assert bool((z_score(bounds[k], exact) < Z_MAX).all())
    for low, high in ((1, 4), (4, 16)):
        halves = bounds[low][: len(bounds[low]) // 2], bounds[high][len(bounds[high]) // 2 :]
        assert bool((z_between(*halves) < Z_MAX).all())
        assert bool((bounds[high].mean(0) > bounds[low].mean(0)).all())
    variance = (log_w - exact).exp().var(0)
    # To first order the gap is var(w / p) / 2K.
    gap = exact - bounds[1000].mean(0)
    slack = Z_MAX * bounds[1000].std(0) / len(bounds[1000]) ** 0.5
    assert bool((gap < variance / 1000 + slack).all()) and bool((gap > -slack).all())


def test_one_particle_is_the_evidence_lower_bound_in_closed_form():
    loc, scale = np.array([0.3, -0.2]), np.array([0.5, 0.6])
    exact = torch.tensor([LAW.elbo(x, m, loc, scale) for x, m in zip(ROWS, MASKS, strict=True)]).double()
    model = MNAR(LAW.decoder(), GaussianGuess(loc.tolist(), scale.tolist()))
    assert float(z_score(weights(model, 40_000), exact).abs().max()) < Z_MAX
    bound = IWELBO(model, particles=1)
    torch.manual_seed(1)
    value = bound(X, MASK)
    torch.manual_seed(1)
    assert torch.equal(value, bound.log_weights(X, MASK)[0])


@pytest.mark.parametrize("beta", [0.0, 0.3, 4.0])
def test_one_particle_with_a_weight_is_the_reconstruction_less_so_much_divergence(beta):
    loc, scale = np.array([0.3, -0.2]), np.array([0.5, 0.6])
    divergence = 0.5 * (scale**2 + loc**2 - 1).sum() - np.log(scale).sum()
    exact = torch.tensor([LAW.elbo(x, m, loc, scale) for x, m in zip(ROWS, MASKS, strict=True)]) + (1 - beta) * divergence
    bound = IWELBO(MNAR(LAW.decoder(), GaussianGuess(loc.tolist(), scale.tolist())), 40_000, beta=beta)
    with torch.no_grad():
        assert float(z_score(bound.log_weights(X, MASK), exact).abs().max()) < Z_MAX


def test_a_bound_s_weight_can_rise_while_it_is_trained():
    bound = IWELBO(MNAR(GaussianDecoder(1, 4, hidden=()), GaussianEncoder(1, 4, [4])), 1, beta=0.0)
    fit(bound, X.float(), MASK, steps=10, every=2, callback=lambda look: setattr(bound, "beta", look.step / 10))
    assert bound.beta == 1.0


def test_self_normalized_weights_impute_the_exact_posterior_mean():
    rows = [1, 2, 4]
    model = MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), self_masking(SLOPE, INTERCEPT))
    x, mask = X[rows], MASK[rows]
    with torch.no_grad():
        bound = IWELBO(model, 100_000)
        traces = bound.traces(x, mask)
        log_w = bound.weights_of(*traces)
        z = traces[0].nodes["z"]["value"]
        law = SelectionDistribution(model.decoder(z), model.mechanism)
        mean = law.conditional(torch.where(mask, 0.0, torch.nan).double()).mean
    weight = log_w.softmax(0).unsqueeze(-1)
    estimate = (weight * mean).sum(0)
    # The delta method's standard error of a ratio of means.
    error = (weight.square() * (mean - estimate).square()).sum(0).sqrt()
    for i, row in enumerate(rows):
        m = MASKS[row]
        exact = LAW.grid(ROWS[row], m, log_self_masking(m, SLOPE, INTERCEPT)).mean
        z_values = (estimate[i][~mask[i]] - torch.tensor(exact)) / error[i][~mask[i]]
        assert float(z_values.abs().max()) < Z_MAX, row
    closed = LAW.probit_one(ROWS[1], MASKS[1], SLOPE, INTERCEPT).mean
    assert abs(float((estimate[0, 0] - closed[0]) / error[0, 0])) < Z_MAX


# Identities ---------------------------------------------------------------------------------------

MODELS = {
    "ignorable": lambda: MNAR(GaussianDecoder(2, 4, [8]), GaussianEncoder(2, 4, [8])),
    "collapsed": lambda: MNAR(StudentTDecoder(2, 4, [8]), GaussianEncoder(2, 4, [8]), SelfMasking(4, direction="high")),
    "sampled": lambda: MNAR(GaussianDecoder(2, 4, [8]), GaussianEncoder(2, 4, [8]), NeuralMasking(4, hidden=4)),
    "mixed": lambda: MNAR(
        StudentTDecoder(2, 4, [8]), GaussianEncoder(2, 4, [8]), MixedMasking(SelfMasking(4, [0]), LinearMasking(4, [1]))
    ),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def model(request):
    return request.param().double()


@torch.no_grad()
def test_a_row_s_weights_do_not_depend_on_the_rows_beside_it(model):
    bound = IWELBO(model, 6)
    latents = {"z": torch.randn(6, 5, 2).double(), "noise": model.decoder.noise().sample((6, 5))}

    # The same draws whichever rows go along: the model is replayed at given latents.
    def log_joint(rows):
        given = {name: value[:, rows] for name, value in latents.items()}
        trace = bound.model_trace(given, 6, X[rows], MASK[rows])
        trace.compute_log_prob()
        return sum(
            site["log_prob"] for name, site in trace.nodes.items() if site["type"] == "sample" and name not in ("rows", "particles")
        )

    whole = log_joint([0, 1, 2, 3, 4])
    for rows in ([3], [2, 0], [4, 1, 3]):
        torch.testing.assert_close(log_joint(rows), whole[:, rows])


@torch.no_grad()
def test_filler_of_the_holes_changes_no_bit_of_the_bound(model):
    values = []
    for filler in (0.0, 1e6, torch.nan):
        torch.manual_seed(2)
        values.append(IWELBO(model, 6)(torch.where(MASK, X, filler), MASK))
    assert torch.equal(values[0], values[1]) and torch.equal(values[0], values[2])


def test_loss_is_the_negative_mean_bound_for_every_estimator(model):
    for estimator in ("iwae", "stl", "dreg"):
        bound = IWELBO(model, 6, estimator)
        torch.manual_seed(2)
        value = bound(X, MASK).mean()
        torch.manual_seed(2)
        loss = bound.loss(X, MASK)
        torch.testing.assert_close(loss, -value)
        loss.backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize("link", [LOGIT, PROBIT], ids=lambda link: link.name)
@torch.no_grad()
def test_slope_zero_adds_the_masks_bernoulli_log_likelihood(link):
    mechanism = self_masking(np.where(np.isnan(SLOPE), np.nan, 0.0), INTERCEPT, link)
    values = []
    for each in (None, mechanism):
        torch.manual_seed(2)
        values.append(IWELBO(MNAR(LAW.decoder(), PosteriorEncoder(LAW), each), 6).log_weights(X, MASK))
    torch.testing.assert_close(values[1] - values[0], mechanism(X).log_prob(MASK).expand(6, 5), rtol=1e-7, atol=1e-7)


@torch.no_grad()
def test_all_observed_is_a_plain_model_plus_the_log_probability_of_being_seen():
    everything = torch.ones_like(MASK)
    for mechanism in (self_masking(SLOPE, INTERCEPT, LOGIT), SAMPLED["fixed"](), linear(SLOPE)):
        values = []
        for each in (None, mechanism):
            torch.manual_seed(2)
            values.append(IWELBO(MNAR(LAW.decoder(), PosteriorEncoder(LAW), each), 6).log_weights(X, everything))
        seen = mechanism(X).log_prob(everything).expand(6, 5)
        torch.testing.assert_close(values[1] - values[0], seen)


@pytest.mark.parametrize("particles", [1, 10])
def test_collapsed_bound_is_above_the_sampled_one_in_expectation(particles):
    slope = 6 * SLOPE
    bounds = []
    for mechanism in (linear(slope), self_masking(slope, INTERCEPT, LOGIT)):
        log_w = weights(MNAR(LAW.decoder(), PosteriorEncoder(LAW, 1.2), mechanism), 20_000 * particles)
        bounds.append(log_w.reshape(particles, 20_000, 5).logsumexp(0) - math.log(particles))
    z = z_between(bounds[1], bounds[0])
    assert bool((z > -Z_MAX).all())
    # Not merely equal where a modeled cell misses: at this slope the difference is large.
    assert particles > 1 or bool((z[[1, 2, 3, 4]] > 10).all())
    assert abs(float(z[0])) < Z_MAX


def test_collapsed_and_sampled_bounds_meet_at_many_particles():
    bounds = []
    for mechanism in (linear(SLOPE), SAMPLED["fixed"](), self_masking(SLOPE, INTERCEPT, LOGIT)):
        log_w = weights(MNAR(LAW.decoder(), PosteriorEncoder(LAW, 1.5), mechanism), 100_000)
        bounds.append(log_w)
    for sampled in bounds[:2]:
        assert float(z_between(sampled.exp(), bounds[2].exp()).abs().max()) < Z_MAX


@pytest.mark.parametrize(
    ("kwargs", "message"), [({"particles": 0}, "particles: got 0"), ({"estimator": "vimco"}, "estimator: got 'vimco'")]
)
def test_arguments_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        IWELBO(MODELS["ignorable"](), **kwargs)


def test_bound_holds_the_parameters_of_its_module():
    made = MODELS["mixed"]()
    assert {id(p) for p in IWELBO(made).parameters()} == {id(p) for p in made.parameters()}
