"""A tilt on a linear-Gaussian base with a quadratic energy: everything against the closed form; and identities."""

import math

import numpy as np
import pytest
import torch
from exact import ENERGY, INTERCEPT, LAW, MASKS, ROWS, SLOPE, Z_MAX, PosteriorEncoder, log_self_masking, self_masking, z_score
from pyro import poutine
from pyro.infer.mcmc.util import initialize_model

from pyro_mnar.distributions import PROBIT
from pyro_mnar.energy.objectives import SelfNormalized
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.mcmc.posterior import sample_posterior
from pyro_mnar.mechanisms import LinearMasking
from pyro_mnar.model import MNAR, EnergyTilt, energy_net
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder, SkewWarp

X, MASK = torch.tensor(ROWS), torch.tensor(MASKS)
TILTED, LOG_Z = ENERGY.tilted(LAW), ENERGY.log_z(LAW)


def model(mechanism=None, tilt=None, log_z=LOG_Z, inflate=2.0):
    """The linear-Gaussian base with a tilt, frozen, its log_z as given."""
    made = MNAR(LAW.decoder(), PosteriorEncoder(LAW, inflate), mechanism, tilt=tilt or ENERGY.tilt()).double()
    made.freeze_base()
    with torch.no_grad():
        made.log_z.fill_(log_z)
    return made


@torch.no_grad()
def log_weights(module, particles):
    return IWELBO(module, particles).log_weights(X, MASK)


def test_weights_are_unbiased_without_a_mechanism():
    exact = torch.tensor([TILTED.ignorable(x, m).log_prob for x, m in zip(ROWS, MASKS, strict=True)]).double()
    assert float(z_score((log_weights(model(), 50_000) - exact).exp(), 1.0).abs().max()) < Z_MAX


def test_weights_are_unbiased_where_the_masks_are_integrated_out_and_the_values_drawn_given_them():
    exact = torch.tensor([TILTED.probit(x, m, SLOPE, INTERCEPT) for x, m in zip(ROWS, MASKS, strict=True)]).double()
    log_w = log_weights(model(self_masking(SLOPE, INTERCEPT, PROBIT)), 50_000)
    assert float(z_score((log_w - exact).exp(), 1.0).abs().max()) < Z_MAX


def test_weights_are_unbiased_where_columns_are_coupled():
    both = LinearMasking(4, [0, 1]).double()
    weight, bias = np.array([[1.0, -0.8, 0, 0.3], [0.5, 1.2, 0, 0]]), np.array([0.2, -0.4])
    with torch.no_grad():
        both.score.weight.copy_(torch.tensor(weight))
        both.score.bias.copy_(torch.tensor(bias))

    def log_mask(mask):
        sign = np.where(mask, -1.0, 1.0)[:2]
        return lambda rows: -np.logaddexp(0, -sign * (rows @ weight.T + bias)).sum(-1)

    rows = [1, 2, 4]
    exact = torch.tensor([TILTED.grid(ROWS[i], MASKS[i], log_mask(MASKS[i])).log_prob for i in rows]).double()
    log_w = log_weights(model(both), 50_000)[:, rows]
    assert float(z_score((log_w - exact).exp(), 1.0).abs().max()) < Z_MAX


def test_weights_are_unbiased_under_a_tilt_of_the_prior():
    # exp(-|z - c|^2 a / 2) N(z; 0, I) is N(a c / (1 + a), I / (1 + a)): another linear-Gaussian law.
    a, c = 0.7, np.array([0.8, -0.5])
    prior = EnergyTilt(lambda z: 0.5 * a * (z - torch.tensor(c)).square().sum(-1), latent=True)
    log_z = -math.log1p(a) - 0.5 * a / (1 + a) * (c**2).sum()
    law = type(LAW)(LAW.weight / math.sqrt(1 + a), LAW.bias + LAW.weight @ (a * c / (1 + a)), LAW.noise)
    module = model(self_masking(SLOPE, INTERCEPT), prior, log_z)
    assert "missing" not in poutine.trace(module.model).get_trace(X, MASK).nodes
    exact = torch.tensor([law.probit(x, m, SLOPE, INTERCEPT) for x, m in zip(ROWS, MASKS, strict=True)]).double()
    assert float(z_score((log_weights(module, 50_000) - exact).exp(), 1.0).abs().max()) < Z_MAX


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.5])
def test_reported_bound_is_below_the_exact_value_for_any_log_z_and_meets_it_at_the_right_one(shift):
    exact = torch.tensor([TILTED.ignorable(x, m).log_prob for x, m in zip(ROWS, MASKS, strict=True)]).double()
    objective = SelfNormalized(IWELBO(model(log_z=LOG_Z + shift), 20_000), draws=400_000)
    with torch.no_grad():
        found = objective(X, MASK)
    # By the identity log Z - (b + Z / exp(b) - 1), which is 0 at b = log Z.
    gap = -shift - math.expm1(-shift)
    torch.testing.assert_close(found, exact + gap, atol=0.03, rtol=0)
    assert gap <= 0


def test_a_bound_of_few_particles_is_in_expectation_below():
    exact = torch.tensor([TILTED.probit(x, m, SLOPE, INTERCEPT) for x, m in zip(ROWS, MASKS, strict=True)]).double()
    module = model(self_masking(SLOPE, INTERCEPT), inflate=1.0)
    with torch.no_grad():
        log_w = IWELBO(module, 40_000).log_weights(X, MASK)
    means = [float((log_w.reshape(k, -1, 5).logsumexp(0) - math.log(k)).mean()) for k in (1, 5, 50)]
    assert means[0] < means[1] < means[2] < float(exact.mean()) + 0.01
    assert float(z_score(log_w[:, 1:], exact[1:]).max()) < -Z_MAX


def test_what_the_tilt_costs_the_bound_for_want_of_particles_is_reported():
    """Against the exact values: what the bound of 10 particles loses with the tilt, less what it loses without."""
    x, mask, gaps = X.repeat(8000, 1), MASK.repeat(8000, 1), []
    bare = MNAR(LAW.decoder(), PosteriorEncoder(LAW, 1.0)).double()
    for module, law in ((model(inflate=1.0), TILTED), (bare, LAW)):
        exact = torch.tensor([law.ignorable(*row).log_prob for row in zip(ROWS, MASKS, strict=True)]).double()
        with torch.no_grad():
            gaps.append(float((exact.repeat(8000) - IWELBO(module, 10)(x, mask)).mean()))
    with torch.no_grad():
        report = SelfNormalized(IWELBO(model(inflate=1.0), 10)).report(x, mask)
    assert gaps[1] < 1e-6 < gaps[0]  # the base's guide is exact
    assert report.lost == pytest.approx(gaps[0], rel=0.25)
    assert any("tilt: for want of particles" in problem for problem in report.problems) == (report.lost > 0.01)
    with torch.no_grad():
        seen = SelfNormalized(IWELBO(model(inflate=1.0), 5)).report(X, torch.ones_like(MASK))
    assert seen.lost == pytest.approx(0.0, abs=1e-9)
    with torch.no_grad():
        few = SelfNormalized(IWELBO(model(inflate=1.0), 3)).report(x, mask)
    assert any(problem.endswith("take several times the present 3") for problem in few.problems)


# Imputation -----------------------------------------------------------------------------------------


def repeated(module, row, seeds=24, **options):
    """Imputations of one row as if of many rows alike, whose streams differ."""
    x, mask = X[row].expand(seeds, -1), MASK[row].expand(seeds, -1)
    return impute(module, x, mask, particles=2000, progress=False, **options)


@pytest.mark.parametrize("row", [1, 2, 3])
def test_imputed_means_and_draws_are_those_of_the_tilted_law(row, seed):
    missing = ~MASKS[row]
    exact = TILTED.ignorable(ROWS[row], MASKS[row])
    found = repeated(model(), row, draws=200, seed=seed)
    assert torch.equal(found.completed[:, MASKS[row]], X[row][MASKS[row]].expand(24, -1))
    assert float(z_score(found.completed[:, missing], torch.tensor(exact.mean)).abs().max()) < Z_MAX
    draws = found.draws[:, :, missing]
    assert float(z_score(draws.mean(0), torch.tensor(exact.mean)).abs().max()) < Z_MAX
    spread = torch.einsum("mni,mnj->nij", *[draws - torch.tensor(exact.mean)] * 2) / len(draws)
    assert float(z_score(spread, torch.tensor(exact.cov)).abs().max()) < Z_MAX


def test_imputed_mean_is_exact_under_self_masking_too(seed):
    slope = np.array([1.5, np.nan, np.nan, np.nan])
    exact = TILTED.probit_one(ROWS[1], MASKS[1], slope, INTERCEPT)
    found = repeated(model(self_masking(slope, INTERCEPT)), 1, draws=200, seed=seed)
    assert float(z_score(found.completed[:, 0], exact.mean[0]).abs()) < Z_MAX
    spread = (found.draws[:, :, 0] - exact.mean[0]).square().mean(0)
    assert float(z_score(spread, exact.cov[0, 0]).abs()) < Z_MAX


def test_a_row_s_imputation_under_a_tilt_does_not_depend_on_its_table(seed):
    module = model(self_masking(SLOPE, INTERCEPT))
    whole = impute(module, X, MASK, draws=3, particles=100, seed=seed, labels=list("abcde"), progress=False)
    part = impute(module, X[[3, 1]], MASK[[3, 1]], draws=3, particles=100, seed=seed, labels=["d", "b"], progress=False)
    assert torch.equal(whole.draws[:, [3, 1]], part.draws) and torch.equal(whole.completed[[3, 1]], part.completed)


def test_chains_on_latents_and_missing_values_draw_the_same_law(seed):
    exact = TILTED.ignorable(ROWS[2], MASKS[2])
    x, mask = X[2].expand(20, -1), MASK[2].expand(20, -1)
    found = sample_posterior(model(inflate=1.0), x, mask, chains=2, draws=100, warmup=100, seed=seed, progress=False)
    assert set(found.latents) == {"z", "missing"} and torch.equal(found.x[..., 2:], X[2, 2:].expand(2, 100, 20, 2))
    values = found.x[..., :2].flatten(0, 1)  # a row's chains are its own: rows are the independent repetitions
    assert float(z_score(values.mean(0), torch.tensor(exact.mean)).abs().max()) < Z_MAX
    assert float(z_score((values - torch.tensor(exact.mean)).square().mean(0), torch.tensor(exact.cov).diagonal()).abs().max()) < Z_MAX


# Identities -------------------------------------------------------------------------------------------


def test_zero_energy_is_no_tilt():
    mechanism = self_masking(SLOPE, INTERCEPT)
    bare = MNAR(LAW.decoder(), PosteriorEncoder(LAW, 2.0), mechanism).double()
    found = []
    for module in (bare, model(mechanism, EnergyTilt(lambda x: 0 * x.sum(-1)), 0.0)):
        torch.manual_seed(1)
        found.append(log_weights(module, 7))
    assert torch.equal(*found)


def test_a_constant_in_the_energy_is_taken_out_by_log_z():
    found = []
    for c in (0.0, 2.5):
        torch.manual_seed(1)
        objective = SelfNormalized(IWELBO(model(tilt=EnergyTilt(lambda x, c=c: ENERGY(x) + c), log_z=LOG_Z - c), 7))
        with torch.no_grad():
            found.append(torch.cat([objective(X, MASK), objective.loss(X, MASK).reshape(1)]))
    torch.testing.assert_close(*found)


def test_tilts_add():
    half = EnergyTilt(lambda x: 0.5 * ENERGY(x))
    both = half + half + EnergyTilt(lambda z: 0 * z.sum(-1), latent=True)
    assert both.reads_rows
    found = []
    for tilt in (ENERGY.tilt(), both):
        torch.manual_seed(1)
        found.append(log_weights(model(tilt=tilt), 7))
    torch.testing.assert_close(*found)


# For samplers and gradients -------------------------------------------------------------------------


def test_potential_is_a_function_of_the_latents_and_its_conditional_is_that_of_the_tilted_law():
    module, rows = model(self_masking([1.5, np.nan, np.nan, np.nan], INTERCEPT)), slice(1, 2)
    values, potential, *_ = initialize_model(module.model, model_args=(X[rows], MASK[rows]))
    assert set(values) == {"z", "missing"}
    assert torch.equal(potential(values).detach(), potential(values).detach())
    # Integrated over z and the missing value on a grid it is log p(x_obs, s): so nothing is missing and nothing counted twice.
    axis = torch.linspace(-7, 7, 61).double()
    z1, z2, value = torch.meshgrid(axis, axis, axis, indexing="ij")
    n = z1.numel()
    latents = {"z": torch.stack([z1, z2], -1).reshape(n, 2), "missing": torch.zeros(n, 4).double()}
    latents["missing"][:, 0] = value.flatten()
    with torch.no_grad():
        trace = poutine.trace(poutine.condition(module.model, latents)).get_trace(X[rows].expand(n, -1), MASK[rows].expand(n, -1))
        trace.compute_log_prob()
        joint = sum(trace.nodes[name]["log_prob"] for name in ("z", "x", "missing", "tilt"))
    # The three observed cells' unread standard normals stand at 0.
    found = float(joint.logsumexp(0)) + 3 * math.log(float(axis[1] - axis[0])) + 1.5 * math.log(2 * math.pi)
    exact = TILTED.grid(ROWS[1], MASKS[1], log_self_masking(MASKS[1], np.array([1.5, np.nan, np.nan, np.nan]), INTERCEPT))
    assert found == pytest.approx(exact.log_prob, abs=1e-5)


def test_gradient_of_the_bound_reaches_base_and_mechanism_through_the_values_drawn_from_them():
    """Against differences of the expected bound, whose two sides use the same uniforms."""
    n, h = 2000, 0.05
    x, mask = X[2].expand(n, -1), MASK[2].expand(n, -1)

    def made(d_bias=0.0, d_slope=0.0):
        module = model(self_masking(SLOPE, INTERCEPT), inflate=2.0)
        module.decoder.requires_grad_(True)
        module.mechanism.requires_grad_(True)
        with torch.no_grad():
            module.decoder.linear.bias[0] += d_bias
            module.mechanism.raw_slope[0] += d_slope
        return module

    def bounds(module):
        torch.manual_seed(5)
        with torch.no_grad():
            return IWELBO(module, 3, "iwae")(x, mask)

    parameters = {"bias": lambda m: m.decoder.linear.bias, "slope": lambda m: m.mechanism.raw_slope}
    for name, parameter in parameters.items():
        sides = [bounds(made(**{f"d_{name}": step})) for step in (h, -h)]
        slope = (sides[0] - sides[1]) / (2 * h)
        gradients = []
        for i in range(20):
            module = made()
            torch.manual_seed(100 + i)
            IWELBO(module, 3, "iwae").loss(x, mask).backward()
            gradients.append(-parameter(module).grad[0])
        found = torch.stack(gradients)
        error = (slope.var() / n + found.var() / len(found)).sqrt()
        assert float((found.mean() - slope.mean()).abs() / error) < Z_MAX


@pytest.mark.parametrize(("particles", "estimator"), [(5, "dreg"), (5, "stl"), (1, "iwae")])
def test_estimators_that_cannot_learn_a_drawn_value_s_law_are_refused(particles, estimator):
    module = model()
    module.decoder.requires_grad_(True)
    with pytest.raises(ValueError, match="site 'missing' of the model: its law is learned by its score"):
        IWELBO(module, particles, estimator).loss(X, MASK)


def test_tilt_reads_rows_in_the_table_s_units_under_a_warp():
    warp = SkewWarp(4)
    torch.nn.init.constant_(warp.skew, 0.7)
    seen = []

    def energy(x):
        seen.append(x)
        return 0 * x.sum(-1)

    module = MNAR(GaussianDecoder(2, 4, [8]), GaussianEncoder(2, 4), warp=warp, tilt=EnergyTilt(energy))
    z, x = module.draw(50_000)
    y = warp(x)[0]
    assert z.shape == (50_000, 2)
    exact = module.decoder(torch.randn(50_000, 2)).sample()
    torch.testing.assert_close(y.mean(0), exact.mean(0), atol=0.05, rtol=0)
    trace = poutine.trace(module.model).get_trace(X.float(), MASK)
    assert torch.equal(seen[0], trace.nodes["complete"]["value"]) and torch.equal(seen[0][MASK], X.float()[MASK])


def test_energy_of_fully_observed_rows_is_computed_once_for_all_particles():
    net, shapes = energy_net(4, [8]), []
    tilt = EnergyTilt(lambda x: (shapes.append(tuple(x.shape)), net(x))[1])
    module = MNAR(GaussianDecoder(2, 4, [8]), GaussianEncoder(2, 4), tilt=tilt)
    assert IWELBO(module, 6).log_weights(X.float(), torch.ones_like(MASK)).shape == (6, 5)
    assert shapes == [(5, 4)]
