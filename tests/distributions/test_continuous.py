"""Laws that keep their parameters as given, and a normal by its precision, are torch's own in shapes, draws and gradients."""

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, StudentT

from pyro_mnar.distributions import continuous
from pyro_mnar.distributions.links import PROBIT
from pyro_mnar.mechanisms.self_masking import LinearScore

LOC, SCALE, DF = torch.randn(7, 3).double(), torch.tensor([0.3, 1.0, 2.0]).double(), torch.tensor([2.5, 4.0, 30.0]).double()
ZEROS = torch.zeros(3).double()
PAIRS = {
    "normal": (lambda *p: continuous.Normal(*p[:2]), lambda *p: Normal(*p[:2])),
    "standard normal": (lambda *p: continuous.StandardNormal(ZEROS), lambda *p: Normal(ZEROS, 1.0)),
    "student": (lambda loc, scale, df: continuous.StudentT(df, loc, scale), lambda loc, scale, df: StudentT(df, loc, scale)),
}


@pytest.mark.parametrize(("ours", "torch_own"), PAIRS.values(), ids=PAIRS.keys())
@pytest.mark.parametrize("shape", [(7, 3), (3,), (4, 7, 3), (1, 3)])
def test_log_probabilities_and_their_gradients_are_torch_s(ours, torch_own, shape):
    value, results = torch.randn(shape).double(), []
    for make in (ours, torch_own):
        leaves = [p.clone().requires_grad_() for p in (value, LOC, SCALE, DF)]
        law = make(*leaves[1:]).expand((7, 3))
        log_prob = law.log_prob(leaves[0])
        log_prob.square().sum().backward()
        results.append([log_prob.detach(), law.mean, law.stddev, *(p.grad for p in leaves if p.grad is not None)])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize(("ours", "torch_own"), PAIRS.values(), ids=PAIRS.keys())
def test_draws_and_their_gradients_are_torch_s(ours, torch_own):
    results = []
    for make in (ours, torch_own):
        leaves = [p.clone().requires_grad_() for p in (LOC, SCALE, DF)]
        law = make(*leaves).expand((5, 7, 3))
        torch.manual_seed(1)
        draw = law.rsample((2,))
        assert draw.shape == (2, 5, 7, 3)
        if draw.requires_grad:
            draw.square().sum().backward()
        results.append([draw.detach(), *(p.grad for p in leaves if p.grad is not None)])
    torch.testing.assert_close(*results)


def test_parameters_stay_unbroadcast_and_read_broadcast():
    law = continuous.StudentT(DF, LOC, SCALE).expand((5, 7, 3))
    assert [law.given[name].shape for name in ("df", "loc", "scale")] == [(3,), (7, 3), (3,)]
    assert law.df.shape == law.loc.shape == law.scale.shape == law.batch_shape == (5, 7, 3)
    assert law.given.keys() == {"df", "loc", "scale"}


L = 3
ROOT = torch.randn(7, L, L).double()
PRECISION, MOMENT = ROOT @ ROOT.mT + torch.eye(L).double(), torch.randn(7, L).double()


def same_by_precision(moment=MOMENT, precision=PRECISION):
    loc = torch.linalg.solve(precision, moment)
    return MultivariateNormal(loc, precision_matrix=precision, validate_args=False)


@pytest.mark.parametrize("shape", [(7, L), (L,), (4, 7, L), (2, 4, 7, L), (2, 1, L)])
def test_normal_by_its_precision_has_torch_s_log_probability(shape):
    value = torch.randn(shape).double()
    torch.testing.assert_close(continuous.PrecisionNormal.of(MOMENT, PRECISION).log_prob(value), same_by_precision().log_prob(value))


@pytest.mark.parametrize("batch", [(4, 7), (2, 4, 7), (1, 7)])
def test_normal_by_its_precision_expands_over_particles_and_keeps_one_factor_for_all(batch):
    law = continuous.PrecisionNormal.of(MOMENT, PRECISION).expand(batch)
    assert law.batch_shape == batch and law.event_shape == (L,) and law.factor.shape == (7, L, L)
    value = torch.randn(*batch, L).double()
    torch.testing.assert_close(law.log_prob(value), same_by_precision().expand(batch).log_prob(value))
    torch.testing.assert_close(law.log_prob(value[..., 0, :].unsqueeze(-2)), same_by_precision().log_prob(value[..., :1, :]))
    assert law.rsample((5,)).shape == (5, *batch, L) and law.sample().shape == (*batch, L)
    # One law for several rows, and a law for each particle.
    one = continuous.PrecisionNormal.of(MOMENT[:1], PRECISION[:1]).expand(batch)
    torch.testing.assert_close(one.log_prob(value), same_by_precision(MOMENT[:1], PRECISION[:1]).log_prob(value))
    each = continuous.PrecisionNormal.of(MOMENT.expand(*batch, L), PRECISION.expand(*batch, L, L).contiguous())
    torch.testing.assert_close(each.log_prob(value), law.log_prob(value))
    torch.testing.assert_close(each.from_normals(value), law.from_normals(value))


def test_draws_of_a_normal_by_its_precision_are_affine_in_normals_with_its_moments():
    law = continuous.PrecisionNormal.of(MOMENT, PRECISION)
    torch.testing.assert_close(law.from_normals(torch.zeros(7, L).double()), law.loc)
    torch.testing.assert_close(law.loc, same_by_precision().mean)
    # The images of the unit vectors are the columns of a root of the covariance: mean and covariance of all draws, exactly.
    root = (law.from_normals(torch.eye(L).double().unsqueeze(1).expand(L, 7, L)) - law.loc).permute(1, 2, 0)
    torch.testing.assert_close(root @ root.mT, same_by_precision().covariance_matrix)
    noise = torch.randn(5, 4, 7, L).double()
    torch.testing.assert_close(law.from_normals(noise), law.loc + (root @ noise.unsqueeze(-1)).squeeze(-1))
    state = torch.get_rng_state()
    draws = law.expand((4, 7)).rsample((5,))
    torch.set_rng_state(state)
    torch.testing.assert_close(draws, law.from_normals(torch.randn(5, 4, 7, L, dtype=torch.float64)))


def test_gradients_of_draws_and_log_probabilities_by_precision_are_finite_differences():
    moment, root = MOMENT[:2].clone().requires_grad_(), ROOT[:2].clone().requires_grad_()
    noise, value = torch.randn(3, 2, L).double(), torch.randn(3, 2, L).double().requires_grad_()

    def law(moment, root):
        return continuous.PrecisionNormal.of(moment, root @ root.mT + torch.eye(L).double()).expand((3, 2))

    assert torch.autograd.gradcheck(lambda m, r: law(m, r).from_normals(noise), (moment, root))
    assert torch.autograd.gradcheck(lambda m, r, v: law(m, r).log_prob(v), (moment, root, value))


@pytest.mark.parametrize("shape", [(4,), (8, 4), (5, 8, 4)])
def test_masks_scored_cell_by_cell_are_those_scored_together(shape):
    """Without gradients what particles share is taken once, and of missing cells alone what they do not."""
    torch.manual_seed(0)
    law = continuous.Normal(torch.randn(5, 8, 4).double(), torch.rand(4).double() + 0.5).expand([5, 8, 4])
    own = LinearScore(torch.randn(4).double(), torch.randn(shape).double(), PROBIT)
    for mask in (torch.rand(8, 4) > 0.4, torch.ones(8, 4, dtype=torch.bool)):
        x = torch.randn(8, 4).double()
        together = law.log_mask(own, x, mask)
        with torch.no_grad():
            torch.testing.assert_close(law.log_mask(own, x, mask), together, rtol=1e-13, atol=0)
