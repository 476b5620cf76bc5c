"""Latent masks, outcomes, flows and cells of finite support: weights against exact evidence, gradients against enumeration."""

import itertools
import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from exact import INTERCEPT, LAW, MASKS, ROWS, SLOPE, Z_MAX, PosteriorEncoder, log_self_masking, self_masking, z_score
from pyro.distributions import transforms
from pyro.nn import DenseNN
from scipy import special, stats
from torch import nn

from pyro_mnar.distributions import LOGIT, PROBIT
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputation.predict import predict
from pyro_mnar.infer.bound import ESTIMATORS, IWELBO
from pyro_mnar.mcmc.posterior import sample_posterior
from pyro_mnar.mechanisms import LatentMasking, LinearMasking, SelfMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks import (
    CategoricalOutcome,
    CategoryHead,
    ConjugateEncoder,
    Decoder,
    FlowEncoder,
    FlowPrior,
    GaussianDecoder,
    GaussianEncoder,
    GaussianOutcome,
    MixedDecoder,
    NormalHead,
    OrdinalHead,
)
from pyro_mnar.networks.layers import MIN_SCALE

X, MASK = torch.tensor(ROWS), torch.tensor(MASKS)
EFFECT, SHIFT = np.array([0.9, -1.2, 0.4, 0.7]), np.array([0.5, -0.3, 0.2, -0.6])
# z_m by the trapezoid rule.
NODES = np.linspace(-8, 8, 161)
LOG_NODE = stats.norm.logpdf(NODES) + np.log(NODES[1] - NODES[0])


class Wide(nn.Module):
    """q = N(0, 1.3^2) whatever the row."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x, mask):
        return dist.Normal(x.new_zeros(*x.shape[:-1], self.size), 1.3).to_event(1)


@torch.no_grad()
def log_weights(particles, rows, **parts):
    model = MNAR(parts.pop("decoder", LAW.decoder()), parts.pop("encoder", PosteriorEncoder(LAW, 2.0)), **parts).double()
    return IWELBO(model, particles).log_weights(torch.where(MASK, X, torch.nan)[rows], MASK[rows])


def with_latent(base):
    """The mechanism with a linear effect of one latent."""
    made = LatentMasking(base, 1, []).double()
    made.encoder = Wide(1)
    with torch.no_grad():
        made.net[0].weight.copy_(torch.tensor(EFFECT).unsqueeze(-1))
        made.net[0].bias.copy_(torch.tensor(SHIFT))
    return made


# Latent masks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [PROBIT, LOGIT], ids=lambda link: link.name)
def test_weights_with_a_latent_mask_are_unbiased_where_values_are_integrated_out(link):
    def log_mask(mask):
        # Columns not modeled have a score of 0 here, and their factor is left out.
        slope, modeled = np.where(np.isnan(SLOPE), 0, SLOPE), ~np.isnan(SLOPE)
        log_cdf = special.log_ndtr if link is PROBIT else special.log_expit

        def given(rows):
            score = (rows * slope + INTERCEPT + SHIFT)[..., None] + EFFECT[:, None] * NODES
            cells = log_cdf(np.where(mask, -1.0, 1.0)[:, None] * score)[..., modeled, :]
            return special.logsumexp(cells.sum(-2) + LOG_NODE, -1)

        return given

    exact = [LAW.grid(ROWS[i], MASKS[i], log_mask(MASKS[i]), points=101).log_prob for i in (1, 2)]
    log_w = log_weights(200_000, [1, 2], mechanism=with_latent(self_masking(SLOPE, INTERCEPT, link)))
    assert float(z_score((log_w - torch.tensor(exact)).exp(), 1.0).abs().max()) < Z_MAX


def test_weights_with_a_latent_mask_are_unbiased_where_values_are_sampled():
    base = LinearMasking(4, [0, 1]).double()
    weight, bias = base.score.weight.detach().numpy(), base.score.bias.detach().numpy()

    def log_mask(mask):
        sign = np.where(mask, -1.0, 1.0)[:2]

        def given(rows):
            score = (rows @ weight.T + bias + SHIFT[:2])[..., None] + EFFECT[:2, None] * NODES
            return special.logsumexp(special.log_expit(sign[:, None] * score).sum(-2) + LOG_NODE, -1)

        return given

    exact = [LAW.grid(ROWS[i], MASKS[i], log_mask(MASKS[i]), points=101).log_prob for i in (1, 2)]
    log_w = log_weights(200_000, [1, 2], mechanism=with_latent(base))
    assert float(z_score((log_w - torch.tensor(exact)).exp(), 1.0).abs().max()) < Z_MAX


def test_a_latent_without_effect_changes_nothing():
    base = self_masking(SLOPE, INTERCEPT)
    silent = with_latent(base)
    with torch.no_grad():
        silent.net[0].weight.zero_()
        silent.net[0].bias.zero_()
    silent.encoder.forward = lambda x, mask: dist.Normal(x.new_zeros(*x.shape[:-1], 1), 1.0).to_event(1)
    z = torch.randn(6, 5, 2).double()
    scored = []
    for mechanism in (base, silent):
        bound = IWELBO(MNAR(LAW.decoder(), PosteriorEncoder(LAW), mechanism).double(), 6)
        _, guide = bound.traces(X, MASK)
        latents = {name: site["value"] for name, site in guide.nodes.items() if name in ("z_m",)} | {"z": z}
        trace = bound.model_trace(latents, 6, X, MASK)
        trace.compute_log_prob()
        scored.append(trace.nodes["x"]["log_prob"])
    torch.testing.assert_close(*scored)


def test_a_cell_s_rate_is_that_of_the_probit_with_the_latent_averaged_out():
    mechanism = with_latent(self_masking(SLOPE, INTERCEPT))
    modeled = ~np.isnan(SLOPE)
    exact = special.ndtr((SLOPE * ROWS + INTERCEPT + SHIFT) / np.sqrt(1 + EFFECT**2))[:, modeled]
    np.testing.assert_allclose(mechanism(X).log_missing.exp().detach().numpy()[:, modeled], exact, atol=2e-3)


def test_imputation_with_a_latent_mask_has_the_exact_posterior_mean():
    # Row 1, one missing cell: p(x_0 | x_obs, s) by the grid, z_m summed out.
    def log_mask(rows):
        score = (rows * np.where(np.isnan(SLOPE), 0, SLOPE) + INTERCEPT + SHIFT)[..., None] + EFFECT[:, None] * NODES
        cells = special.log_ndtr(np.where(MASKS[1], -1.0, 1.0)[:, None] * score)[..., ~np.isnan(SLOPE), :]
        return special.logsumexp(cells.sum(-2) + LOG_NODE, -1)

    exact = LAW.grid(ROWS[1], MASKS[1], log_mask)
    mnar = MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), with_latent(self_masking(SLOPE, INTERCEPT)))
    result = impute(mnar, X[[1]].expand(40, 4), MASK[[1]].expand(40, 4), particles=1000)
    assert abs(float(z_score(result.completed[:, 0], exact.mean[0]))) < Z_MAX
    assert bool((result.completed[:, 1:] == X[1, 1:]).all())


# Outcomes -----------------------------------------------------------------------------------------

WEIGHT, BIAS = np.array([0.8, -0.5, 0.3, 0.6]), 0.2


def regressor():
    made = GaussianOutcome(4, []).double()
    with torch.no_grad():
        made.net[0].weight.copy_(torch.tensor(WEIGHT))
        made.net[0].bias.fill_(BIAS)
    return made


def with_outcome(y, seen=True):
    column = torch.tensor(y).double().expand(5, 1)
    return torch.cat([X, column], -1), torch.cat([MASK, torch.full((5, 1), seen)], -1)


def exact_rows(y=None, noise=None):
    """Conditionals of rows 1 and 2 under self-masking of columns 0 and 1, with or without the outcome's factor."""

    def log_factor(mask):
        masks = log_self_masking(mask, SLOPE, INTERCEPT)
        return masks if y is None else lambda rows: masks(rows) + stats.norm.logpdf(y, rows @ WEIGHT + BIAS, noise)

    return [LAW.grid(ROWS[i], MASKS[i], log_factor(MASKS[i])) for i in (1, 2)]


@torch.no_grad()
def test_weights_with_an_outcome_are_unbiased_and_without_its_value_are_those_of_the_rows():
    outcome = regressor()
    mnar = MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), self_masking(SLOPE, INTERCEPT), outcome=outcome)
    noise = float(outcome(X).scale.mean())
    for y, given in ((1.4, exact_rows(1.4, noise)), (None, exact_rows())):
        x, mask = with_outcome(0.0 if y is None else y, y is not None)
        log_w = IWELBO(mnar, 100_000).log_weights(x[[1, 2]], mask[[1, 2]])
        exact = torch.tensor([row.log_prob for row in given])
        assert float(z_score((log_w - exact).exp(), 1.0).abs().max()) < Z_MAX


def test_prediction_of_a_linear_outcome_is_exact_and_its_table_has_it_as_last_column():
    mnar = MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), self_masking(SLOPE, INTERCEPT), outcome=regressor())
    for i, row in zip((1, 2), exact_rows(), strict=True):
        full = ROWS[i].copy()
        full[~MASKS[i]] = row.mean
        exact = float(full @ WEIGHT + BIAS)
        found = predict(mnar, X[[i]].expand(40, 4), MASK[[i]].expand(40, 4), draws=300, particles=500)
        assert abs(float(z_score(found, exact))) < Z_MAX
        x, mask = with_outcome(0.0, False)
        result = impute(mnar, x[[i]].expand(40, 5), mask[[i]].expand(40, 5), particles=500)
        assert abs(float(z_score(result.completed[:, -1], exact))) < Z_MAX


def test_an_observed_outcome_moves_imputations_to_what_it_says():
    outcome = regressor()
    mnar = MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), self_masking(SLOPE, INTERCEPT), outcome=outcome)
    exact = exact_rows(2.5, float(outcome(X).scale.mean().detach()))[0].mean[0]
    x, mask = with_outcome(2.5)
    result = impute(mnar, x[[1]].expand(60, 5), mask[[1]].expand(60, 5), particles=1000)
    assert abs(float(z_score(result.completed[:, 0], exact))) < Z_MAX
    assert abs(exact - exact_rows()[0].mean[0]) > 0.1


def test_class_probabilities_are_averaged_over_the_missing_values():
    outcome = CategoricalOutcome(4, 2, []).double()
    with torch.no_grad():
        outcome.net[0].weight.copy_(torch.tensor([[0.0] * 4, [3.0, 0, 0, 0]]))
        outcome.net[0].bias.copy_(torch.tensor([0.0, -1.0]))
    mnar = MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), self_masking(SLOPE, INTERCEPT), outcome=outcome)
    log_masks = log_self_masking(MASKS[1], SLOPE, INTERCEPT)
    parts = [LAW.grid(ROWS[1], MASKS[1], lambda r, s=s: log_masks(r) + special.log_expit(s * (3 * r[..., 0] - 1))) for s in (-1, 1)]
    odds = np.array([part.log_prob for part in parts])
    found = predict(mnar, X[[1]].expand(40, 4), MASK[[1]].expand(40, 4), draws=300)
    assert float(z_score(found, torch.tensor(special.softmax(odds))).abs().max()) < Z_MAX
    torch.testing.assert_close(found.sum(-1), torch.ones(40).double())


# Flows --------------------------------------------------------------------------------------------


FLOWS = {
    "autoregressive": lambda: transforms.affine_autoregressive(2, [8]),
    "coupling": lambda: transforms.affine_coupling(2, hidden_dims=[8]),
}


class Single(nn.Module):
    """An encoder in double precision, its law in single: Pyro's autoregressive flows have no inverse in double."""

    def forward(self, x, mask):
        law = PosteriorEncoder(LAW, 3.0)(x.double(), mask)
        return dist.MultivariateNormal(law.loc.float(), law.covariance_matrix.float())


@pytest.mark.parametrize("kind", FLOWS)
def test_weights_of_a_flow_guide_are_unbiased(kind):
    exact = torch.tensor([LAW.probit(ROWS[i], MASKS[i], SLOPE, INTERCEPT) for i in range(3)])
    model = MNAR(LAW.decoder(), FlowEncoder(Single(), FLOWS[kind]()), self_masking(SLOPE, INTERCEPT)).float()
    with torch.no_grad():
        log_w = IWELBO(model, 100_000).log_weights(X[:3].float(), MASK[:3])
    assert float(z_score((log_w - exact).exp(), 1.0).abs().max()) < Z_MAX


@torch.no_grad()
def test_weights_under_a_flow_prior_are_unbiased():
    steps = [transforms.AffineCoupling(1, DenseNN(1, [8], [1, 1], nn.Tanh())) for _ in range(2)]
    prior = FlowPrior(2, steps[0], transforms.Permute(torch.tensor([1, 0])), steps[1]).double()
    axis = torch.linspace(-16, 16, 641).double()
    plane = torch.cartesian_prod(axis, axis)
    log_p = prior().log_prob(plane) + 2 * math.log(32 / 640)
    assert float(log_p.logsumexp(0)) == pytest.approx(0.0, abs=1e-5)
    cells = LAW.decoder()(plane).base_dist
    exact = torch.stack([(torch.where(MASK[i], cells.log_prob(X[i]), 0.0).sum(-1) + log_p).logsumexp(0) for i in range(3)])
    log_w = log_weights(100_000, [0, 1, 2], encoder=Wide(2), latent_prior=prior)
    assert float(z_score((log_w - exact).exp(), 1.0).abs().max()) < Z_MAX


@torch.no_grad()
def test_a_flow_s_law_is_the_change_of_variables_through_all_its_steps_in_order():
    steps = [FLOWS["coupling"](), transforms.Permute(torch.tensor([1, 0])), FLOWS["coupling"]()]
    base, unit = torch.randn(7, 2), nn.Module()
    unit.forward = lambda x, mask: dist.Normal(torch.zeros(7, 2), 2.0).to_event(1)
    for law, scale in ((FlowPrior(2, *steps)(), 1.0), (FlowEncoder(unit, *steps)(X.float(), MASK), 2.0)):
        z, slope = base, torch.zeros(7)
        for step in steps:
            moved = step(z)
            z, slope = moved, slope + step.log_abs_det_jacobian(z, moved)
        expected = dist.Normal(0.0, scale).log_prob(base).sum(-1) - slope
        torch.testing.assert_close(law.log_prob(z), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_flow_s_parameters_learn_with_every_estimator(estimator):
    encoder, prior = FlowEncoder(GaussianEncoder(2, 4, [8]), FLOWS["autoregressive"]()), FlowPrior(2, FLOWS["coupling"]())
    mnar = MNAR(GaussianDecoder(2, 4, []), encoder, latent_prior=prior)
    IWELBO(mnar, 3, estimator).loss(X.float(), MASK).backward()
    for part in (encoder, prior):
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in part.parameters())
        assert any(bool(p.grad.abs().sum() > 0) for p in part.transforms.parameters())


# Cells of finite support --------------------------------------------------------------------------


def enumerated(law, values, row, mask, log_mask):
    """log p(x_obs, s) given z of one row, and E of each cell, by a sum over all complete rows (trapezoids over real values)."""
    rows = torch.cartesian_prod(*(row[j : j + 1] if mask[j] else values[j] for j in range(len(row))))
    log_joint = law.log_prob(rows) + log_mask(rows)
    widths = [math.log(v[1] - v[0]) for v, seen in zip(values, mask, strict=True) if not seen]
    return log_joint.logsumexp(0) + sum(widths), log_joint.softmax(0) @ rows


def coins(columns):
    return OrdinalHead(columns, [[0.6, 0.4]] * len(columns), [0.0] * len(columns), [1.0] * len(columns))


#: Values of each column that are summed over, and the decoder.
GRID = torch.linspace(-9, 9, 601, dtype=torch.float64)
DISCRETE = {
    "yes or no": ([torch.arange(2.0).double()] * 3, lambda: MixedDecoder(2, [coins([0, 1, 2])], [])),
    "ratings": ([torch.arange(4.0).double()] * 3, lambda: MixedDecoder(2, [CategoryHead([2, 0, 1], [[0.25] * 4] * 3)], [5])),
    "beside a real column": (
        [torch.arange(2.0).double(), GRID, torch.arange(2.0).double()],
        lambda: MixedDecoder(2, [NormalHead([1]), coins([2, 0])], [5]),
    ),
}
COUPLED = {"self": lambda: SelfMasking(3, [0, 2], ["high", "free"], LOGIT), "linear": lambda: LinearMasking(3, [0, 2])}
ROW, HOLES = torch.tensor([1.0, 0.0, 1.0]).double(), [[0, 1, 0], [0, 0, 0], [1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize("name", COUPLED)
@pytest.mark.parametrize("cells", DISCRETE)
def test_weights_of_discrete_rows_are_unbiased_given_z_and_exact_where_masks_read_their_own_cells(name, cells):
    values, make = DISCRETE[cells]
    mechanism, mask = COUPLED[name]().double(), torch.tensor(HOLES).bool()
    with torch.no_grad():
        for parameter in mechanism.parameters():
            parameter.copy_(torch.randn_like(parameter))
    mnar = MNAR(make().double(), Wide(2), mechanism).double()
    x, z = ROW.expand(4, 3), torch.randn(4, 2).double()
    n = 3 if name == "self" else 50_000
    with torch.no_grad():
        trace = IWELBO(mnar, n).model_trace({"z": z.expand(n, 4, 2)}, n, torch.where(mask, x, torch.nan), mask)
        trace.compute_log_prob()
        nodes = trace.nodes
        log_w = nodes["x"]["log_prob"] + (nodes["mask"]["log_prob"] if name == "linear" else 0.0)
        for i in range(4):
            law = mnar.decoder(z[i])
            exact, mean = enumerated(law, values, ROW, mask[i], lambda r, i=i: mechanism(r).log_prob(mask[i].expand(len(r), 3)))
            if name == "self":
                torch.testing.assert_close(log_w[:, i], exact.expand(n))
                found = nodes["x"]["fn"].conditional(torch.where(mask, x, torch.nan)).mean[0, i]
                torch.testing.assert_close(found[~mask[i]], mean[~mask[i]])
            elif not bool(mask[i, [0, 2]].all()) or not bool(mask[i].all()):
                assert abs(float(z_score((log_w[:, i] - exact).exp(), 1.0))) < Z_MAX
    # What is imputed has the support of the cells.
    drawn = impute(mnar, x, mask, draws=20, particles=500).draws
    assert torch.equal(drawn[:, mask], x[mask].expand(20, -1)) and set(drawn[..., [0, 2]].unique().tolist()) <= set(range(4))


def test_chains_refuse_missing_values_that_are_discrete_latents():
    mnar, mask = MNAR(DISCRETE["ratings"][1](), GaussianEncoder(2, 3, [4]), COUPLED["linear"]()), torch.tensor(HOLES).bool()
    with pytest.raises(ValueError, match="site 'missing': MissingRows is discrete"):
        sample_posterior(mnar, ROW.float().expand(4, 3), mask, draws=4)
    mnar = MNAR(DISCRETE["ratings"][1](), GaussianEncoder(2, 3, [4]), COUPLED["self"]())
    assert sample_posterior(mnar, ROW.float().expand(4, 3), mask, draws=4, warmup=5, chains=2).x.shape[2:] == (4, 3)


def test_gradients_by_scores_are_those_of_the_enumerated_bound():
    """One yes-or-no cell missing, its mask read by its neighbor: the bound of two particles is a sum over four outcomes."""
    n = 40_000

    class PerRow(Decoder):
        def __init__(self):
            super().__init__(1, 2)
            self.logits = nn.Parameter(torch.tensor([0.4, -0.3]).double().repeat(n, 1))

        def forward(self, z):
            return dist.Bernoulli(logits=self.logits + 0 * z, validate_args=False).to_event(1)

    mechanism = LinearMasking(2).double()
    with torch.no_grad():
        mechanism.score.weight.copy_(torch.tensor([[1.0, 2.0], [-1.5, 0.5]]))
    x, mask = torch.tensor([0.0, 1.0]).double().expand(n, 2), torch.tensor([False, True]).expand(n, 2)
    unit = nn.Module()
    unit.forward = lambda x, mask: dist.Normal(x.new_zeros(*x.shape[:-1], 1), 1.0).to_event(1)
    mnar = MNAR(PerRow(), unit, mechanism).double()
    loss = IWELBO(mnar, 2, "iwae").loss(x, mask)
    (found,) = torch.autograd.grad(loss, [mnar.decoder.logits])
    logits = torch.tensor([0.4, -0.3]).double().requires_grad_()
    law = dist.Bernoulli(logits=logits)
    rows = torch.tensor([[0.0, 1.0], [1.0, 1.0]]).double()
    log_p = law.log_prob(rows)[:, 0]
    weights = (law.log_prob(rows)[:, 1] + mechanism(rows).log_prob(mask[:2]).detach()).exp()
    bound = sum((log_p[a] + log_p[b]).exp() * ((weights[a] + weights[b]) / 2).log() for a, b in itertools.product(range(2), range(2)))
    (exact,) = torch.autograd.grad(bound, [logits])
    assert abs(float(z_score(-n * found[:, 0], exact[0]))) < Z_MAX
    torch.testing.assert_close(-n * found[:, 1], exact[1].expand(n))  # of what is seen there is no noise


# Special cases ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["factor analysis", "probabilistic principal components"])
def test_a_linear_decoder_without_a_mechanism_is_the_closed_form_model(method):
    from sklearn.decomposition import PCA, FactorAnalysis

    x = torch.randn(400, 2).double() @ torch.randn(2, 5).double() + 0.5 * torch.randn(400, 5).double() + 1.0
    decoder = GaussianDecoder(2, 5, hidden=()).double()
    if method == "factor analysis":
        known = FactorAnalysis(2).fit(x.numpy())
        weight, noise = known.components_.T, np.sqrt(known.noise_variance_)
    else:  # Tipping and Bishop 1999, at its maximum of the likelihood
        known = PCA(2).fit(x.numpy())
        weight = known.components_.T * np.sqrt(known.explained_variance_ - known.noise_variance_)
        noise = np.full(5, np.sqrt(known.noise_variance_))
    with torch.no_grad():
        decoder.linear.weight.copy_(torch.tensor(weight))
        decoder.linear.bias.copy_(torch.tensor(known.mean_))
        decoder.raw_scale.copy_(torch.tensor(np.log(np.expm1(noise - MIN_SCALE))))
        # Its encoder is then the exact posterior: every particle's weight is the likelihood.
        log_w = IWELBO(MNAR(decoder, ConjugateEncoder(decoder, [4]).double()), 3).log_weights(x, torch.ones(400, 5, dtype=torch.bool))
    torch.testing.assert_close(log_w, torch.tensor(known.score_samples(x.numpy())).expand(3, 400))
