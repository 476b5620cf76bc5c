"""The three gradient estimators against exact gradients and against one another."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import INTERCEPT, LAW, MASKS, ROWS, SLOPE, Z_MAX, self_masking, z_between, z_score
from torch import nn

from pyro_mnar.distributions import LOGIT
from pyro_mnar.infer.bound import ESTIMATORS, IWELBO
from pyro_mnar.mechanisms import FixedMasking, LinearMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks.decoders import Decoder

X, MASK = torch.tensor(ROWS), torch.tensor(MASKS)
LOC, SCALE = [0.3, -0.2], [0.5, 0.8]


class PerRowGuess(nn.Module):
    """q(z) = N(loc_n, scale_n^2) with parameters for each row: many equal rows give many independent gradients in one
    pass.
    """

    def __init__(self, n, scale=SCALE):
        super().__init__()
        self.loc = nn.Parameter(torch.tensor(LOC).double().repeat(n, 1))
        self.log_scale = nn.Parameter(torch.tensor(scale).double().log().repeat(n, 1))

    def forward(self, x, mask):
        return dist.Normal(self.loc, self.log_scale.exp()).to_event(1)


class PerRowDecoder(Decoder):
    """The linear-Gaussian decoder with a bias and log noise for each row."""

    def __init__(self, n):
        super().__init__(2, 4)
        self.weight = torch.tensor(LAW.weight)
        self.bias = nn.Parameter(torch.tensor(LAW.bias).repeat(n, 1))
        self.log_noise = nn.Parameter(torch.tensor(LAW.noise).log().repeat(n, 1))

    def noise(self):
        return dist.Normal(torch.zeros(4).double(), 1.0).to_event(1)

    def forward(self, z):
        return dist.Normal(z @ self.weight.T + self.bias, self.log_noise.exp()).to_event(1)


def gradients(row, particles, estimator, mechanism=None, n=20_000, scale=SCALE, beta=1.0):
    """Return n independent gradients of the bound of one row, for each parameter (n, P)."""
    model = MNAR(PerRowDecoder(n), PerRowGuess(n, scale), mechanism)
    loss = IWELBO(model, particles, estimator, beta).loss(X[row].expand(n, 4), MASK[row].expand(n, 4))
    parameters = [model.encoder.loc, model.encoder.log_scale, model.decoder.bias, model.decoder.log_noise]
    return [-n * grad for grad in torch.autograd.grad(loss, parameters)]


def mechanisms():
    return {
        "ignorable": None,
        "collapsed": self_masking(SLOPE, INTERCEPT, LOGIT),
        "sampled": FixedMasking(lambda x: 2 * x[..., [1, 0]] - 0.5, 4, [0, 1]),
    }


def safe_z(a, b):
    """z of a difference; zero where both are constant and equal (a parameter that the row does not see)."""
    z = z_between(a, b)
    same = (a.var(0) + b.var(0) < 1e-24) & ((a.mean(0) - b.mean(0)).abs() < 1e-10)
    return torch.where(same, 0.0, z)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("row", [0, 2, 4])
def test_one_particle_gradients_average_to_the_exact_gradient_of_the_evidence_lower_bound(estimator, row):
    w, d = torch.tensor(LAW.weight), torch.tensor(LAW.noise)
    b, loc = torch.tensor(LAW.bias).requires_grad_(), torch.tensor(LOC).double().requires_grad_()
    log_scale, log_noise = torch.tensor(SCALE).double().log().requires_grad_(), d.log().requires_grad_()
    m, scale = MASK[row], log_scale.exp()
    residual = ((X[row] - w @ loc - b) ** 2 + w**2 @ scale**2) / (2 * (2 * log_noise).exp())
    expected = (-residual - log_noise - 0.5 * math.log(2 * math.pi))[m].sum()
    elbo = expected - 0.5 * (scale**2 + loc**2 - 1).sum() + log_scale.sum()
    assert float(elbo.detach()) == pytest.approx(LAW.elbo(ROWS[row], MASKS[row], np.array(LOC), np.array(SCALE)), abs=1e-6)
    exact = torch.autograd.grad(elbo, [loc, log_scale, b, log_noise])
    for draws, value in zip(gradients(row, 1, estimator), exact, strict=True):
        seen = draws.std(0) > 1e-12
        assert float(z_score(draws[:, seen], value[seen]).abs().max()) < Z_MAX
        torch.testing.assert_close(draws[:, ~seen].mean(0), value[~seen])


@pytest.mark.parametrize(("beta", "particles", "estimator"), [(0.4, 4, "dreg"), (2.5, 4, "dreg"), (2.5, 1, "stl"), (0.4, 1, "dreg")])
def test_gradients_of_a_weighted_bound_have_the_mean_of_the_plain_ones(beta, particles, estimator):
    plain, other = (gradients(0, particles, name, n=60_000, beta=beta) for name in ("iwae", estimator))
    assert all(float(z_between(a, b).abs().max()) < Z_MAX for a, b in zip(plain, other, strict=True))


@pytest.mark.parametrize("form", mechanisms())
def test_doubly_reparameterised_gradients_have_the_mean_of_the_plain_ones(form):
    plain = gradients(2, 5, "iwae", mechanisms()[form], 40_000)
    doubly = gradients(2, 5, "dreg", mechanisms()[form], 40_000)
    for a, b in zip(plain, doubly, strict=True):
        assert float(safe_z(a, b).abs().max()) < Z_MAX


@pytest.mark.parametrize("estimator", ["stl", "dreg"])
def test_model_gradients_are_the_plain_ones_draw_by_draw(estimator):
    for form in mechanisms():
        results = []
        for each in ("iwae", estimator):
            torch.manual_seed(4)
            results.append(gradients(2, 5, each, mechanisms()[form], 50)[2:])
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b)


def test_plain_gradients_are_the_finite_differences_of_the_bound_at_fixed_noise():
    n, step = 4, 1e-6
    model = MNAR(PerRowDecoder(n), PerRowGuess(n), mechanisms()["collapsed"])
    bound = IWELBO(model, 5, "iwae")

    def value():
        torch.manual_seed(5)
        return bound.loss(X[:n], MASK[:n])

    value().backward()
    for parameter in model.parameters():
        flat, grad = parameter.data.view(-1), parameter.grad.view(-1)
        for i in range(0, len(flat), 3):
            kept = float(flat[i])
            flat[i] = kept + step
            up = float(value().detach())
            flat[i] = kept - step
            down = float(value().detach())
            flat[i] = kept
            assert float(grad[i]) == pytest.approx((up - down) / (2 * step), abs=1e-7)


def test_sticking_the_landing_is_biased_for_more_particles_as_documented():
    plain, sticking = gradients(2, 5, "iwae", n=40_000), gradients(2, 5, "stl", n=40_000)
    assert float(safe_z(plain[1], sticking[1]).abs().max()) > Z_MAX


def test_sticking_the_landing_has_no_noise_at_the_exact_posterior():
    class Posterior(nn.Module):
        def __init__(self):
            super().__init__()
            w, d = torch.tensor(LAW.weight), torch.tensor(LAW.noise)
            cov = torch.linalg.inv(torch.eye(2).double() + (w.T / d**2) @ w)
            self.loc = nn.Parameter(cov @ (w.T @ ((X[0] - torch.tensor(LAW.bias)) / d**2)))
            self.factor = nn.Parameter(torch.linalg.cholesky(cov))

        def forward(self, x, mask):
            return dist.MultivariateNormal(self.loc, scale_tril=self.factor).expand(x.shape[:-1])

    for estimator in ("stl", "dreg"):
        model = MNAR(LAW.decoder(), Posterior())
        IWELBO(model, 4, estimator).loss(X[:1], MASK[:1]).backward()
        assert float(model.encoder.loc.grad.abs().max()) < 1e-10 and float(model.encoder.factor.grad.abs().max()) < 1e-10


def test_signal_to_noise_of_the_guide_s_gradient_falls_with_particles_for_plain_and_not_for_doubly_reparameterised():
    def ratio(estimator, particles):
        draws = gradients(2, particles, estimator, n=4000 if particles > 50 else 40_000, scale=[1.2, 1.2])[1]
        return float((draws.mean(0).abs() / draws.std(0)).norm())

    # Rainforth et al.: as 1 / sqrt(K) for the plain one, sqrt(K) for the doubly reparameterised (Tucker et al.): a
    # factor 8 each.
    assert ratio("dreg", 256) > 2 * ratio("dreg", 4)
    assert ratio("iwae", 256) < 0.6 * ratio("iwae", 4)


class Hierarchical(nn.Module):
    """Two latents a row; in the guide the second is drawn around the first."""

    def __init__(self, prior=False, linked=True):
        super().__init__()
        self.loc, self.prior, self.linked = nn.Parameter(torch.tensor(0.3)), prior, linked

    def model(self, x):
        with pyro.plate("rows", len(x), dim=-1):
            first = pyro.sample("first", dist.Normal(0.0, 1.0))
            second = pyro.sample("second", dist.Normal(first, 1.0))
            pyro.sample("x", dist.Normal(second, 1.0), obs=x)

    def guide(self, x):
        with pyro.plate("rows", len(x), dim=-1):
            first = pyro.sample("first", dist.Normal(self.loc, 1.0))
            infer = {"prior": True} if self.prior else {}
            pyro.sample("second", dist.Normal(first if self.linked else self.loc, 1.0), infer=infer)


@pytest.mark.parametrize("estimator", ["stl", "dreg"])
@pytest.mark.parametrize("prior", [False, True], ids=["own law", "model's law"])
def test_a_guide_whose_later_site_depends_on_an_earlier_is_refused_by_both_names(estimator, prior):
    with pytest.raises(ValueError, match="'second' of the guide depends on 'first'"):
        IWELBO(Hierarchical(prior), 3, estimator).loss(torch.zeros(4))


def test_a_hierarchical_guide_works_with_the_plain_estimator_and_independent_sites_with_all():
    assert bool(IWELBO(Hierarchical(), 3, "iwae").loss(torch.zeros(4)).isfinite())
    for estimator in ESTIMATORS:
        assert bool(IWELBO(Hierarchical(linked=False), 3, estimator).loss(torch.zeros(4)).isfinite())


def test_a_site_that_the_guide_leaves_out_is_proposed_from_the_model_and_keeps_the_gradients_unbiased():
    class LeftOut(Hierarchical):
        def guide(self, x):
            with pyro.plate("rows", len(x), dim=-1):
                pyro.sample("first", dist.Normal(self.loc.expand(len(x)), 1.0))

    n = 40_000
    draws = {}
    for estimator in ("iwae", "dreg"):
        model = LeftOut()
        model.loc = nn.Parameter(torch.full((n,), 0.3).double())
        IWELBO(model, 4, estimator).loss(torch.ones(n).double()).backward()
        draws[estimator] = -n * model.loc.grad
    assert abs(float(z_between(draws["iwae"], draws["dreg"]))) < Z_MAX


def test_scores_of_masks_learn_the_mechanism_with_the_plain_gradient():
    mechanism = LinearMasking(4, [0, 1]).double()
    results = []
    for estimator in ("iwae", "dreg"):
        mechanism.zero_grad()
        torch.manual_seed(6)
        IWELBO(MNAR(LAW.decoder(), PerRowGuess(5), mechanism), 4, estimator).loss(X, MASK).backward()
        results.append(mechanism.score.weight.grad.clone())
    torch.testing.assert_close(*results)
    assert float(results[0].abs().max()) > 0


@pytest.mark.parametrize("estimator", ["stl", "dreg"])
def test_the_bound_itself_has_its_own_gradient_whatever_the_estimator_of_the_loss(estimator):
    results = []
    for each in ("iwae", estimator):
        model = MNAR(PerRowDecoder(5), PerRowGuess(5), mechanisms()["collapsed"])
        torch.manual_seed(7)
        IWELBO(model, 4, each)(X, MASK).sum().backward()
        results.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*results)


class KeepsAList(dist.Normal):
    """A law whose attributes are not all tensors: its score has to be cancelled, where that of others does not arise."""

    def __init__(self, loc, scale):
        super().__init__(loc, scale, validate_args=False)
        self.kept = [loc, scale]

    def expand(self, batch_shape, _instance=None):
        return KeepsAList(self.loc.expand(batch_shape), self.scale.expand(batch_shape))

    def log_prob(self, value):
        return dist.Normal(*self.kept).log_prob(value)


@pytest.mark.parametrize(("estimator", "beta"), [("stl", 1.0), ("dreg", 1.0), ("dreg", 0.4)])
def test_a_score_that_is_cancelled_leaves_the_gradient_of_one_that_does_not_arise(estimator, beta):
    results = []
    for law in (dist.Normal, KeepsAList):
        model = MNAR(PerRowDecoder(5), PerRowGuess(5), mechanisms()["collapsed"])
        model.encoder.forward = lambda x, mask, q=model.encoder, law=law: law(q.loc, q.log_scale.exp()).to_event(1)
        torch.manual_seed(8)
        IWELBO(model, 4, estimator, beta).loss(X, MASK).backward()
        results.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*results)
