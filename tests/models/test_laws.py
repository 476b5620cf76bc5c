"""Laws that keep their parameters as given are torch's own, of the same shapes, draws and gradients."""

import pytest
import torch
from torch.distributions import Normal, StudentT

from pyro_mnar.models import laws

LOC, SCALE, DF = torch.randn(7, 3).double(), torch.tensor([0.3, 1.0, 2.0]).double(), torch.tensor([2.5, 4.0, 30.0]).double()
ZEROS = torch.zeros(3).double()
PAIRS = {
    "normal": (lambda *p: laws.Normal(*p[:2]), lambda *p: Normal(*p[:2])),
    "standard normal": (lambda *p: laws.StandardNormal(ZEROS), lambda *p: Normal(ZEROS, 1.0)),
    "student": (lambda loc, scale, df: laws.StudentT(df, loc, scale), lambda loc, scale, df: StudentT(df, loc, scale)),
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
    law = laws.StudentT(DF, LOC, SCALE).expand((5, 7, 3))
    assert [laws.parameters(law)[name].shape for name in ("df", "loc", "scale")] == [(3,), (7, 3), (3,)]
    assert law.df.shape == law.loc.shape == law.scale.shape == law.batch_shape == (5, 7, 3)
    assert laws.parameters(StudentT(DF, LOC, SCALE)).keys() == {"df", "loc", "scale"}
