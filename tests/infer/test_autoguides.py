"""Pyro's AutoGuides of a user's own model: weights, gradients and training are those of the closed forms."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import Z_MAX, z_score
from pyro.infer import autoguide
from torch import nn

from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputation.importance import sample_importance
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.infer.streams import RowStreams
from pyro_mnar.mcmc.posterior import sample_posterior

NOISE = 0.7
ROWS = torch.tensor([0.3, -0.5, 1.2, 0.0]).double()
#: Of log t: t ~ LogNormal(0, 1), x ~ N(log t, NOISE^2).
VARIANCE = NOISE**2 / (1 + NOISE**2)
EVIDENCE = dist.Normal(torch.zeros(()).double(), math.sqrt(1 + NOISE**2)).log_prob(ROWS)


class Positive(nn.Module):
    """One positive latent a row, its logarithm seen with noise."""

    def __init__(self, guide, **options):
        super().__init__()
        self.guide = guide(self.model, **options)

    def model(self, x, mask=None):
        with pyro.plate("rows", len(x), dim=-1):
            t = pyro.sample("t", dist.LogNormal(torch.zeros(()).double(), 1.0))
            pyro.sample("x", dist.Normal(t.log(), NOISE), obs=x if x.dim() == 1 else x[:, 0])


def normal_guide(x, loc, scale):
    """An AutoNormal of log t with ``loc`` and ``scale`` (N,)."""
    module = Positive(autoguide.AutoNormal)
    IWELBO(module).traces(x)
    with torch.no_grad():
        module.guide.locs.t = loc
        module.guide.scales.t = torch.as_tensor(scale).double().expand(len(x)).clone()
    return module


def test_every_particle_s_weight_is_the_evidence_under_the_exact_posterior():
    module = normal_guide(ROWS, ROWS * VARIANCE / NOISE**2, VARIANCE**0.5)
    # Pyro's positive parameters go through a softplus and back, which loses half the digits.
    torch.testing.assert_close(IWELBO(module, 6).log_weights(ROWS).detach(), EVIDENCE.expand(6, 4), atol=1e-6, rtol=0)


@pytest.mark.parametrize("guide", ["AutoNormal", "AutoNormalMessenger", "AutoHierarchicalNormalMessenger", "AutoRegressiveMessenger"])
def test_weights_are_unbiased(guide):
    module = Positive(getattr(autoguide, guide), init_scale=1.0)
    with torch.no_grad():
        log_w = IWELBO(module, 50_000).log_weights(ROWS)
    assert float(z_score((log_w - EVIDENCE).exp(), 1.0).abs().max()) < Z_MAX


def gradients(estimator, particles, loc=0.4, scale=0.9, copies=20_000):
    """Gradients (copies, 2) with respect to location and unconstrained scale, of one row each."""
    x = ROWS[2].expand(copies)
    module = normal_guide(x, torch.full((copies,), loc).double(), scale)
    bound = IWELBO(module, particles, estimator)
    (-bound.loss(x) * copies).backward()
    return torch.stack([module.guide.locs.t_unconstrained.grad, module.guide.scales.t_unconstrained.grad], -1)


@pytest.mark.parametrize("estimator", ["iwae", "stl", "dreg"])
def test_gradient_of_one_particle_s_bound_is_the_closed_form_s(estimator):
    loc, scale = torch.tensor(0.4).double().requires_grad_(), torch.tensor(0.9).double().requires_grad_()
    elbo = -0.5 * ((ROWS[2] - loc).square() + scale**2) / NOISE**2 - 0.5 * (loc**2 + scale**2) + scale.log()
    exact = torch.stack(torch.autograd.grad(elbo, (loc, scale)))
    exact[1] *= 1 - math.exp(-0.9)  # the scale is a softplus
    assert float(z_score(gradients(estimator, 1), exact).abs().max()) < Z_MAX


def test_doubly_reparameterised_gradient_is_the_plain_one_with_less_noise():
    plain, doubly = gradients("iwae", 5), gradients("dreg", 5)
    error = (plain.var(0) / len(plain) + doubly.var(0) / len(doubly)).sqrt()
    assert float(((plain.mean(0) - doubly.mean(0)) / error).abs().max()) < Z_MAX
    assert bool((doubly.var(0) < plain.var(0)).all())


@pytest.mark.parametrize("estimator", ["stl", "dreg"])
def test_gradient_has_no_noise_at_the_exact_posterior(estimator):
    module = normal_guide(ROWS, ROWS * VARIANCE / NOISE**2, VARIANCE**0.5)
    IWELBO(module, 4, estimator).loss(ROWS).backward()
    for part in (module.guide.locs.t_unconstrained, module.guide.scales.t_unconstrained):
        torch.testing.assert_close(part.grad, torch.zeros_like(part), atol=1e-6, rtol=0)


def table(n=6):
    x = torch.linspace(-2, 2, n).double().unsqueeze(-1)
    return x, torch.ones(n, 1, dtype=torch.bool)


OPTIONS = {"lr": 5e-2, "weight_decay": 0.0, "progress": False, "every": 100}


def test_fit_trains_each_row_s_own_parameters_in_the_table_s_order():
    x, mask = table()
    module = Positive(autoguide.AutoNormal)
    fit(IWELBO(module, 10), x, mask, steps=600, **OPTIONS)
    torch.testing.assert_close(module.guide.locs.t.detach(), x[:, 0] * VARIANCE / NOISE**2, atol=0.02, rtol=0)
    torch.testing.assert_close(module.guide.scales.t.detach(), torch.full((6,), VARIANCE**0.5).double(), atol=0.02, rtol=0)


def test_a_point_guide_s_weights_are_the_joint_density_and_fit_finds_its_mode():
    x, mask = table()
    module = Positive(autoguide.AutoDelta)
    fit(IWELBO(module, 3), x, mask, steps=600, **OPTIONS)
    t = module.guide.t.detach()
    # d/dt of log p(t) + log p(x | t), with the Jacobian of t: -log t - 1 + (x - log t) / NOISE^2 = 0.
    torch.testing.assert_close(t.log(), (x[:, 0] / NOISE**2 - 1) * VARIANCE, atol=0.01, rtol=0)
    joint = dist.LogNormal(torch.zeros(()).double(), 1.0).log_prob(t) + dist.Normal(t.log(), NOISE).log_prob(x[:, 0])
    torch.testing.assert_close(IWELBO(module, 3)(x, mask).detach(), joint)


JOINT = ["AutoDiagonalNormal", "AutoMultivariateNormal", "AutoLowRankMultivariateNormal", "AutoIAFNormal", "AutoLaplaceApproximation"]


@pytest.mark.parametrize("guide", JOINT)
def test_a_guide_with_one_draw_for_all_rows_is_refused_by_name(guide):
    with pytest.raises(ValueError, match=f"site '_{guide}_latent' of the guide: got one draw for all rows.*AutoNormal"):
        IWELBO(Positive(getattr(autoguide, guide)), 3)(ROWS)


def test_training_on_batches_is_refused_of_a_guide_with_parameters_for_each_row():
    x, mask = table()
    for wrong in ({"batch_size": 5}, {"held_out": 0.5}):
        with pytest.raises(ValueError, match="batch_size, held_out: got .* with an AutoNormal"):
            fit(IWELBO(Positive(autoguide.AutoNormal)), x, mask, steps=2, **OPTIONS, **wrong)


@pytest.mark.parametrize("call", [impute, sample_importance, sample_posterior])
def test_other_rows_are_refused_of_a_guide_with_parameters_for_each_row(call):
    with pytest.raises(ValueError, match="module: its guide, an AutoNormal, has parameters for each row"):
        call(Positive(autoguide.AutoNormal), *table())


def test_two_guides_of_one_class_have_parameters_of_their_own():
    first, second = (normal_guide(ROWS, ROWS + shift, 1.0) for shift in (0.0, 5.0))
    for module in (first, second, first):
        IWELBO(module).loss(ROWS).backward()
    torch.testing.assert_close(first.guide.locs.t.detach() + 5, second.guide.locs.t.detach())
    assert dict(pyro.get_param_store()) == {}


def test_a_guide_of_other_rows_is_told_by_both_sizes():
    module = normal_guide(ROWS, ROWS, 1.0)
    with pytest.raises(ValueError, match=r"Shape mismatch inside plate\('rows'\) at site x dim -1, 3 vs 4"):
        IWELBO(module, 2)(ROWS[:3])


class Written(nn.Module):
    """A guide written by hand, with an auxiliary draw: it takes any rows."""

    def __init__(self):
        super().__init__()
        self.model = Positive(autoguide.AutoNormal).model

    def guide(self, x, mask=None):
        with pyro.plate("rows", len(x), dim=-1):
            u = pyro.sample("u", dist.Normal(x[..., 0] * VARIANCE / NOISE**2, VARIANCE**0.5), infer={"is_auxiliary": True})
            pyro.sample("t", dist.Delta(u.exp(), log_density=-u))


def test_importance_draws_come_from_auxiliary_ones_too():
    bound = IWELBO(Written(), 3)
    log_w = bound.log_weights(*table())
    torch.testing.assert_close(log_w, log_w[:1].expand(3, -1))
    with RowStreams(0, range(6)):
        model, _ = bound.traces(*table())
    assert model.nodes["t"]["value"].shape == (3, 6)
