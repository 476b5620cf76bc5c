"""Kernels on densities known in closed form: stationarity, detailed balance, the bias of the unadjusted step, divergences."""

import math

import pytest
import torch
from exact import Z_MAX, z_score

from pyro_mnar.mcmc import kernels
from pyro_mnar.mcmc.adaptation import MAX_DENSE, TARGET_ACCEPTANCE, adapt_step, learn_scale, start_step

B = 200_000


def skewed(x):
    """A mixture of two normals, (B, 1), and how to draw from it exactly."""
    return torch.logaddexp(math.log(0.7) - 0.5 * (x + 0.5).square(), math.log(0.3) + math.log(2) - 2 * (x - 1.5).square()).squeeze(-1)


def exact_draws(n):
    left = torch.rand(n, 1).double() < 0.7
    normal = torch.randn(n, 1).double()
    return torch.where(left, normal - 0.5, 0.5 * normal + 1.5)


def asymmetry(step):
    """z scores of E[f(x) g(x') - g(x) f(x')] and of E[f(x') - f(x)] for x from the target, x' a step later: zero if it is balanced."""
    x = exact_draws(B)
    after = step(kernels.init(skewed, x), torch.randn(B, 1).double(), torch.rand(B).double()).position
    functions = [lambda v: v, torch.tanh, lambda v: (v > 0.8).double(), lambda v: v.square()]
    pairs = [f(x) * g(after) - g(x) * f(after) for i, f in enumerate(functions) for g in functions[:i]]
    return z_score(torch.cat(pairs + [f(after) - f(x) for f in functions], -1), 0.0).abs().max()


@pytest.mark.parametrize("leapfrog", [1, 2, 5])
@pytest.mark.parametrize("scale", [1.0, torch.tensor([0.7]).double(), torch.full((B, 1, 1), 1.3).double()])
def test_detailed_balance(leapfrog, scale):
    assert asymmetry(lambda s, n, u: kernels.hmc(skewed, s, 0.9, n, u, scale, leapfrog)[0]) < Z_MAX


def test_detailed_balance_finds_what_is_broken():
    def uncorrected(s, n, u):
        return kernels.langevin(skewed, s, 0.9, n)[0]

    def wrong_sign(s, n, u):
        there, info = kernels.hmc(skewed, s, 0.9, n, u * 0, 1.0, 1)
        return kernels._where(u < 1 - info.acceptance, there, s)

    def half_corrected(s, n, u):
        there, info = kernels.hmc(skewed, s, 0.9, n, u * 0, 1.0, 1)
        accepted = u < (there.log_density - s.log_density).exp()  # the ratio of densities, without the proposals'
        return kernels._where(accepted, there, s)

    for broken in (uncorrected, wrong_sign, half_corrected):
        assert asymmetry(broken) > 2 * Z_MAX


@pytest.mark.parametrize("dense", [False, True])
def test_one_leapfrog_is_the_metropolis_adjusted_langevin_step(dense):
    x, noise, e = torch.randn(50, 3).double(), torch.randn(50, 3).double(), 0.7
    factor = torch.tensor([[0.5, 0.0, 0.0], [0.8 * dense, 1.0, 0.0], [-0.4 * dense, 0.3 * dense, 2.0]]).double()
    covariance, precision = factor @ factor.T, torch.linalg.inv(factor @ factor.T)
    scale = factor.expand(50, 3, 3) if dense else factor.diagonal()

    def target(v):
        return -v.square().square().sum(-1) / 4 - (v[:, 0] * v[:, 1]).sin()

    def drift(of):
        return of.position + e**2 / 2 * of.gradient @ covariance

    def log_proposal(to, of):
        return -0.5 * torch.einsum("bi,ij,bj->b", to - drift(of), precision, to - drift(of)) / e**2

    here = kernels.init(target, x)
    there, info = kernels.mala(target, here, e, noise, torch.zeros(50), scale)
    moved = kernels.init(target, drift(here) + e * noise @ factor.T)
    assert torch.allclose(there.position[info.accepted], moved.position[info.accepted])
    ratio = moved.log_density - here.log_density + log_proposal(x, moved) - log_proposal(moved.position, here)
    assert torch.allclose(info.acceptance, ratio.exp().clamp(max=1))
    unadjusted, _ = kernels.langevin(target, here, e, noise, scale)
    assert torch.allclose(unadjusted.position, moved.position)


def test_a_trajectory_through_a_hole_is_a_divergence():
    def target(v):
        return torch.where((v[:, 0] - 1).abs() < 0.1, torch.nan, v[:, 0] * 0)

    here = kernels.init(target, torch.zeros(1, 1))
    there, info = kernels.hmc(target, here, 1.0, torch.ones(1, 1), torch.zeros(1), leapfrog=2)
    assert info.diverging.item() and not info.accepted.item() and there.position.item() == 0


@pytest.mark.parametrize(("noise", "step"), [(1.0, 0.5), (1.0, 1.2), (0.3, 1.0)])
def test_the_unadjusted_step_has_the_bias_it_is_said_to_have(noise, step):
    width = torch.tensor([1.0, 3.0]).double()
    scale, s = torch.tensor([1.0, 2.0]).double(), torch.tensor([1.0, 1.5]).double()  # s: the target's width in whitened units

    def target(v):
        return -0.5 * (v / width).square().sum(-1)

    exact = noise**2 * width**2 / (1 - step**2 / (4 * s**2))
    # One step from the stationary law must leave it, and the chain must go there.
    state = kernels.init(target, torch.randn(B, 2).double() * exact.sqrt())
    state, _ = kernels.langevin(target, state, step, torch.randn(B, 2).double(), scale, noise)
    assert (z_score(state.position.square(), exact).abs() < Z_MAX).all()
    state = kernels.init(target, torch.zeros(20_000, 2).double())
    for _ in range(80):
        state, _ = kernels.langevin(target, state, step, torch.randn(20_000, 2).double(), scale, noise)
    assert (z_score(state.position.square(), exact).abs() < Z_MAX).all()
    assert noise < 1 or (z_score(state.position.square(), width**2).abs() > Z_MAX).any()


def test_a_clipped_gradient_moves_no_further():
    state = kernels.init(lambda v: -1e6 * v.square().sum(-1), torch.ones(4, 2))
    moved, _ = kernels.langevin(lambda v: -1e6 * v.square().sum(-1), state, 0.5, torch.zeros(4, 2), clip=2.0)
    assert torch.allclose(moved.position, torch.full((4, 2), 1 - 0.125 * 2.0))


def test_where_the_density_is_not_finite_no_chain_goes():
    def target(v):
        density = -0.5 * v.square().sum(-1)
        return torch.where(v[:, 0] > 0.5, torch.nan, torch.where(v[:, 0] < -2.0, -torch.inf, density))

    state = kernels.init(target, torch.zeros(500, 2))
    counted = torch.zeros(500)
    for step in (kernels.mala, kernels.hmc):
        for _ in range(30):
            state, info = step(target, state, 0.8, torch.randn(500, 2), torch.rand(500))
            counted += info.diverging
            assert not (info.diverging & info.accepted).any() and (info.acceptance[info.diverging] == 0).all()
    for _ in range(30):
        state, info = kernels.langevin(target, state, 0.8, torch.randn(500, 2))
        counted += info.diverging
    assert state.position.isfinite().all() and (state.position[:, 0] <= 0.5).all() and counted.mean() > 5


def test_a_start_of_density_zero_is_left():
    def target(v):
        return torch.where(v[:, 0] > 3, -torch.inf, -0.5 * v.square().sum(-1))

    state = kernels.init(target, torch.full((300, 1), 3.5))
    for _ in range(200):
        state, _ = kernels.mala(target, state, 1.0, torch.randn(300, 1), torch.rand(300))
    assert (state.position < 3).all()


@pytest.mark.parametrize("kernel", ["mala", "hmc"])
@pytest.mark.parametrize("first", [0.01, 0.5, 20.0])
def test_each_target_gets_the_step_size_of_its_own_scale(kernel, first):
    width = torch.tensor([0.1, 1.0, 10.0]).repeat(40)[:, None]

    def target(v):
        return -0.5 * (v / width).square().sum(-1) - 0.1 * (v / width).pow(4).sum(-1)

    state = kernels.init(target, 0.7 * torch.randn(120, 8) * width)
    adapted, acceptance = start_step(torch.full((120,), first)), []
    for t in range(500):
        step = adapted.log_step if t < 300 else adapted.log_mean
        # Two leapfrog steps: with more, a trajectory of a whole period is accepted too.
        state, info = kernels.hmc(target, state, step.exp(), torch.randn(120, 8), torch.rand(120), 1.0, 1 if kernel == "mala" else 2)
        if t < 300:
            adapted = adapt_step(adapted, info.acceptance, TARGET_ACCEPTANCE[kernel])
        else:
            acceptance.append(info.acceptance)
    assert abs(torch.stack(acceptance).mean() - TARGET_ACCEPTANCE[kernel]) < 0.02
    steps = (adapted.log_mean.exp() / width.squeeze(-1)).reshape(40, 3)
    assert (steps.mean(0) / steps.mean() - 1).abs().max() < 0.05
    assert (adapt_step(adapted, torch.ones(120), 0.5, 0.2).log_step <= math.log(0.2)).all()


def test_preconditioners_are_the_targets_covariances():
    factor = torch.tensor([[1.0, 0.0], [30.0, 2.0]]).double()
    scale = learn_scale(torch.randn(4000, 3, 2).double() @ factor.T)
    assert scale.shape == (3, 2, 2) and torch.allclose(scale, factor.expand(3, 2, 2), rtol=0.1, atol=1.0)
    wide = learn_scale(torch.randn(2000, 2, MAX_DENSE + 1) * torch.linspace(0.1, 9, MAX_DENSE + 1))
    assert torch.allclose(wide, torch.linspace(0.1, 9, MAX_DENSE + 1).expand_as(wide), rtol=0.15)
    # Chains that never moved, and fewer positions than dimensions.
    for odd in (torch.zeros(10, 2, 3), torch.randn(2, 2, 5)):
        assert learn_scale(odd).isfinite().all()
