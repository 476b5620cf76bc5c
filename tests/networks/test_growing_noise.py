"""Noise that grows with the mean: its law, its prior, what a fit finds, and how it is held."""

import pytest
import torch
from torch.nn.functional import softplus

from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.networks import GaussianDecoder, MixedDecoder, NormalHead, SemicontinuousHead, StudentTDecoder
from pyro_mnar.networks.proportion import ProportionHead

HEADS = {
    "normal": lambda: NormalHead([0]),
    "semicontinuous": lambda: SemicontinuousHead([0], [-5.0], [0.3]),
    "proportion": lambda: ProportionHead([0], [[-5.0, 5.0]], [[0.3, 0.6]]),
}


def exact(raw, growth, mean):
    return softplus(raw + growth * mean.clamp(-4, 4)) + 0.05


@pytest.mark.parametrize("made", HEADS.values(), ids=HEADS.keys())
def test_noise_of_a_head_is_a_line_in_the_mean_before_softplus(made):
    head = made().double()
    with torch.no_grad():
        head.raw_scale.fill_(-0.4)
        head.growth.fill_(0.3)
    mean = torch.tensor([-9.0, -4.0, -1.0, 0.0, 2.0, 4.0, 50.0]).double().unsqueeze(-1)
    eta = torch.cat([mean, head.start[1:].expand(len(mean), -1).double()], -1)
    torch.testing.assert_close(head(eta).scale, exact(head.raw_scale, head.growth, mean))
    assert head(eta).scale[0] == head(eta).scale[1] and head(eta).scale[-1] == head(eta).scale[-2]
    torch.testing.assert_close(head.working(torch.zeros(1, 1).double(), eta[4])[1].flatten()[0], head(eta).scale[4, 0].square())
    torch.testing.assert_close(head.log_prior(), torch.tensor(-0.5).double())  # one standard deviation off


@pytest.mark.parametrize("kind", [GaussianDecoder, StudentTDecoder])
@pytest.mark.parametrize("scale_net", [False, True])
def test_noise_of_a_decoder_grows_with_the_mean_that_it_says(kind, scale_net):
    decoder = kind(2, 3, [8], scale_net=scale_net, growing=True).double()
    even = decoder.log_prior().item()
    with torch.no_grad():
        decoder.growth.copy_(torch.tensor([0.3, -0.6, 0.0]))
    z = torch.randn(5, 2).double()
    law = decoder(z).base_dist
    raw = decoder.raw_scale + (decoder.scale_net(z) if scale_net else 0.0)
    torch.testing.assert_close(law.scale, exact(raw, decoder.growth, decoder.mean(z)))
    torch.testing.assert_close(decoder.scale(z), law.scale)
    assert decoder.log_prior().item() == pytest.approx(even - 0.5 * (1 + 4))
    assert kind(2, 3, [8]).growth is None


def test_what_values_tell_of_a_decoder_is_weighed_by_the_noise_at_its_bias():
    decoder = GaussianDecoder(2, 3, [8], growing=True).double()
    bias, growth = torch.tensor([-2.0, 1.0, 6.0]).double(), torch.tensor([0.3, -0.6, 0.2]).double()
    with torch.no_grad():
        decoder.linear.bias.copy_(bias)
        decoder.growth.copy_(growth)
    x = torch.randn(5, 3).double()
    told, variance = decoder.working(x)
    torch.testing.assert_close(told, x - bias)
    torch.testing.assert_close(variance, exact(decoder.raw_scale, growth, bias).square())


def test_prior_of_a_mixed_decoder_has_that_of_its_heads():
    decoder = MixedDecoder(2, [NormalHead([0, 1]), SemicontinuousHead([2], [0.0], [0.3])], [8])
    even = decoder.log_prior().item()
    with torch.no_grad():
        decoder.heads[0].growth.copy_(torch.tensor([0.3, 0.6]))
        decoder.heads[1].growth.fill_(-0.9)
    assert decoder.log_prior().item() == pytest.approx(even - 0.5 * (1 + 4 + 9), rel=1e-5)


def test_what_noise_is_made_of_is_found():
    """The likelihood's maximum is within four standard errors of the truth, both as its own information says."""
    head, n = NormalHead([0]).double(), 20_000
    eta = torch.randn(n, 1).double()
    truth = torch.tensor([-0.5, 0.25]).double()
    x = eta + exact(*truth, eta) * torch.randn(n, 1).double()

    def loss(raw, growth):
        return -torch.distributions.Normal(eta, exact(raw, growth, eta)).log_prob(x).sum()

    optimizer = torch.optim.LBFGS(head.parameters(), line_search_fn="strong_wolfe", max_iter=100)

    def closure():
        optimizer.zero_grad()
        value = -head(eta).log_prob(x).sum()
        value.backward()
        return value

    optimizer.step(closure)
    found = torch.stack([head.raw_scale, head.growth]).squeeze(-1).detach()
    information = torch.autograd.functional.hessian(lambda pair: loss(*pair), found)
    error = torch.linalg.inv(information).diagonal().sqrt()
    assert bool(((found - truth).abs() < 4 * error).all()), (found, error)


@pytest.mark.parametrize("kinds", [("continuous",) * 2, ("continuous", "count"), ("continuous", "semicontinuous")])
def test_noise_that_is_held_has_no_gradient(kinds):
    cells = {
        "count": {"means": 2.0, "largest": 5.0, "first": 0.0, "step": 1.0},
        "semicontinuous": {"mass": 0.0, "shares": 0.3, "sides": 1},
    }
    cells = tuple(cells.get(kind, {}) for kind in kinds)
    for growing in (True, False):
        (member,) = Specification("none", (), (), kinds, 2, (8,), members=1, cells=cells, growing=growing).models()
        growths = [p for name, p in member.decoder.named_parameters() if name.endswith("growth")]
        assert len(growths) == 1 + ("semicontinuous" in kinds) and all(p.requires_grad == growing for p in growths)
