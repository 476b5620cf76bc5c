"""Laws of cells without an integral: their masks are scored on sampled values, and bound and imputations are those of quadrature."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from exact import Z_MAX, z_score
from scipy import special, stats
from torch import nn

from pyro_mnar import IWELBO, fit, impute
from pyro_mnar.distributions import LOGIT, cells_of
from pyro_mnar.mechanisms import SelfMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks import GaussianDecoder, MixedDecoder, NormalHead
from pyro_mnar.networks.head import Head

WEIGHT, BIAS, SCALE = np.array([0.8, -0.6]), np.array([0.2, 0.4]), 0.7
SLOPE, INTERCEPT = np.array([1.5, -2.0]), np.array([-0.3, 0.4])
NAN = float("nan")
ROWS = torch.tensor([[NAN, 0.3], [0.9, NAN], [NAN, NAN], [-0.4, 1.1]]).double()


class LaplaceDecoder(GaussianDecoder):
    """A decoder of the user's own, of a law that the library does not know."""

    def forward(self, z):
        return dist.Laplace(self.mean(z), torch.tensor(SCALE).to(z), validate_args=False).expand(self.mean(z).shape).to_event(1)

    def noise(self):
        return dist.Laplace(torch.zeros_like(self.raw_scale), 1.0, validate_args=False).to_event(1)


class LaplaceWithoutNoise(LaplaceDecoder):
    def noise(self):
        return None


class LaplaceHead(Head):
    def __init__(self, columns):
        super().__init__(columns, range(len(columns)), torch.zeros(len(columns)))

    def forward(self, eta):
        return dist.Laplace(eta, torch.full_like(eta, SCALE), validate_args=False)


class Wide(nn.Module):
    def forward(self, x, mask):
        return dist.Normal(x.new_zeros(*x.shape[:-1], 1), 1.2).to_event(1)


def mixed():
    made = MixedDecoder(1, [NormalHead([1]), LaplaceHead([0])], [])
    with torch.no_grad():
        made.linear.weight.copy_(torch.tensor(WEIGHT[::-1].copy()).unsqueeze(-1))
        made.linear.bias.copy_(torch.tensor(BIAS[::-1].copy()))
        made.heads[0].raw_scale.fill_(np.log(np.expm1(SCALE - 0.05)))
    return made


def alone(cls):
    made = cls(1, 2, hidden=())
    with torch.no_grad():
        made.linear.weight.copy_(torch.tensor(WEIGHT).unsqueeze(-1))
        made.linear.bias.copy_(torch.tensor(BIAS))
    return made


#: Decoder, the laws of its columns, and the columns whose masks are left to a site of their own.
MODELS = {
    "mean and noise": (lambda: alone(LaplaceDecoder), (stats.laplace, stats.laplace), [True, True]),
    "no noise": (lambda: alone(LaplaceWithoutNoise), (stats.laplace, stats.laplace), [True, True]),
    "a block of a mixed decoder": (mixed, (stats.laplace, stats.norm), [True, False]),
}


def model(name):
    mechanism = SelfMasking(2, None, ["high", "low"], LOGIT).double()
    mechanism.line = lambda: (torch.tensor(SLOPE), torch.tensor(INTERCEPT))
    return MNAR(MODELS[name][0]().double(), Wide(), mechanism).double()


def by_quadrature(laws, row):
    """p(x_obs, s) and E[x | x_obs, s] of a row, by sums over z and over each value."""
    z, x = np.linspace(-7, 7, 1401), np.linspace(-16, 16, 6401)
    joint, means = stats.norm.pdf(z) * (z[1] - z[0]), []
    for j, law in enumerate(laws):
        loc = BIAS[j] + WEIGHT[j] * z
        if np.isnan(row[j]):
            each = law.pdf(x, loc[:, None], SCALE) * special.expit(SLOPE[j] * x + INTERCEPT[j]) * (x[1] - x[0])
            joint = joint * each.sum(1)
            means.append((each * x).sum(1) / each.sum(1))
        else:
            joint = joint * law.pdf(row[j], loc, SCALE) * special.expit(-SLOPE[j] * row[j] - INTERCEPT[j])
            means.append(np.full(len(z), row[j]))
    return joint.sum(), np.array([(joint * mean).sum() for mean in means]) / joint.sum()


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_bound_and_imputations_are_those_of_quadrature(name):
    made, (_, laws, coupled) = model(name), MODELS[name]
    assert made.coupled.tolist() == coupled
    exact = [by_quadrature(laws, row) for row in ROWS.numpy()]
    weights = IWELBO(made, 20_000).log_weights(ROWS, ~ROWS.isnan()).exp()
    assert float(z_score(weights / torch.tensor([e[0] for e in exact]), 1.0).abs().max()) < Z_MAX
    result = impute(made, ROWS, ~ROWS.isnan(), particles=4000, draws=400, progress=False)
    for i, (_, mean) in enumerate(exact):
        assert np.abs(result.completed[i].numpy() - mean).max() < 0.08, i
        assert np.abs(result.draws[:, i].mean(0).numpy() - mean).max() < 0.2, i


def test_such_a_model_is_trained_and_its_mechanism_learns():
    torch.manual_seed(0)
    z = torch.randn(2000, 1)
    x = z + 0.3 * dist.Laplace(torch.zeros(2000, 2), 1.0).sample()
    mask = torch.ones_like(x, dtype=torch.bool)
    mask[:, 0] = torch.rand(2000) < torch.sigmoid(-2 * x[:, 0] + 1)
    made = MNAR(LaplaceDecoder(1, 2, hidden=()), Amortized(), SelfMasking(2, [0], "high", LOGIT))
    made.initialize(x, mask)
    with torch.no_grad():
        made.mechanism.slope = 0.5
    fit(IWELBO(made, 5), x, mask, steps=150, batch_size=200, lr=2e-2, seed=1, progress=False, mechanism_lr=1e-1, weight_decay=0.3)
    assert float(made.mechanism.slope[0].detach()) > 1


class Amortized(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 2)

    def forward(self, x, mask):
        loc, raw = self.net(torch.cat([torch.where(mask, x, 0.0), mask.float()], -1)).chunk(2, -1)
        return dist.Normal(loc, nn.functional.softplus(raw) + 0.05).to_event(1)


def test_a_law_that_cannot_be_drawn_by_inversion_and_has_no_noise_says_so():
    cells = cells_of(torch.distributions.VonMises(torch.zeros(3), torch.ones(3)))
    with pytest.raises(TypeError, match="VonMises, which has no inverse distribution function"):
        cells.at(torch.ones(3, dtype=torch.bool)).censored(None).draw(torch.full((3, 3), 0.5))
    with pytest.raises(TypeError, match="VonMises, which has no integral"):
        cells.at(torch.ones(3, dtype=torch.bool)).censored(SelfMasking(3).score())


def test_functions_of_missing_cells_are_averaged_over_equal_shares_of_the_law():
    law = torch.distributions.Laplace(torch.tensor([0.3, -1.0]).double(), torch.tensor([0.4, 0.2]).double())
    found = cells_of(law).at(torch.tensor([True, False])).censored(None)
    exact = np.exp(0.3) / (1 - 0.4**2)
    assert float(found.mean_of(torch.exp)) == pytest.approx(exact, rel=0.01) and float(found.mean) == pytest.approx(0.3)
