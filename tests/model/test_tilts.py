"""Tilts by themselves, and the law of the missing rows that they read."""

import itertools

import numpy as np
import pytest
import torch
from exact import LAW, MASKS, ROWS, Z_MAX, self_masking, z_score
from torch import nn
from torch.distributions import Normal

from pyro_mnar.distributions import LOGIT, PROBIT
from pyro_mnar.infer.streams import RowStreams
from pyro_mnar.model import Constraint, EnergyTilt, MissingRows, SelectionDistribution, energy_net
from pyro_mnar.networks import SkewWarp, StudentTDecoder

X, MASK = torch.tensor(ROWS), torch.tensor(MASKS)
SLOPE, INTERCEPT = np.array([1.5, -2.0, np.nan, 0.7]), np.array([0.3, -0.2, 0.0, -0.5])


def test_ceiling_is_a_smooth_minimum():
    energy = torch.linspace(-50, 50, 101).double()
    capped = EnergyTilt(lambda x: x[..., 0], ceiling=2.0)(energy.unsqueeze(-1))
    assert bool((capped < 2).logical_or(capped == 2).all()) and bool((capped <= -energy).all())
    torch.testing.assert_close(capped[energy > 30], -energy[energy > 30])
    torch.testing.assert_close(capped[energy < -30], torch.full_like(capped[energy < -30], 2.0))


def test_strength_counts_nats_for_each_unit():
    x = torch.randn(5, 3)
    torch.testing.assert_close(Constraint(lambda v: v.sum(-1), 2.5)(x), 2.5 * x.sum(-1))
    assert bool((Constraint(lambda v: v.sum(-1), 0.0)(x) == 0).all())


def test_a_spectral_network_s_energy_rises_by_no_more_than_about_one_a_unit():
    net = energy_net(3, [16, 16], spectral=True)
    for _ in range(200):  # power iterations, in training mode
        net(torch.randn(2, 3))
    net.eval()
    x = (5 * torch.randn(500, 3)).requires_grad_()
    (slope,) = torch.autograd.grad(net(x).sum(), x)
    assert float(slope.norm(dim=-1).max()) < 1.1**3 and float(slope.norm(dim=-1).max()) > 0.01


def test_energy_net_is_zero_at_first_and_learns():
    net = energy_net(3, [8])
    x = torch.randn(7, 3)
    assert net(x).shape == (7, 1) and bool((net(x) == 0).all())
    net(x).square().sum().backward()
    assert all(isinstance(p, nn.Parameter) for p in net.parameters())
    (net(x) - 1).square().sum().backward()
    assert bool((net[-1].weight.grad != 0).any())


def missing_rows(mask, link=PROBIT, warp=False, student=False):
    decoder = LAW.decoder()
    if student:
        decoder = StudentTDecoder(2, 4, hidden=()).double()
        decoder.load_state_dict(LAW.decoder().state_dict(), strict=False)
    bent = SkewWarp(4).double() if warp else None
    if bent is not None:
        nn.init.constant_(bent.skew, 0.6)
    z = torch.tensor([0.4, -0.7]).double().expand(*mask.shape[:-1], 2)
    holed = torch.where(mask, X if mask.dim() == 2 else X[0], torch.nan)
    with torch.no_grad():
        return MissingRows(SelectionDistribution(decoder(z), self_masking(SLOPE, INTERCEPT, link), bent), holed)


LAWS = {
    f"{link.name}{' warped' * warp}{' Student' * student}": {"link": link, "warp": warp, "student": student}
    for link, warp, student in itertools.product((PROBIT, LOGIT), (False, True), (False, True))
}


@pytest.mark.parametrize("options", LAWS.values(), ids=LAWS.keys())
@pytest.mark.parametrize("column", [0, 1, 2])
def test_density_integrates_to_one_and_its_moments_are_the_draws(options, column):
    mask = torch.arange(4) != column
    law = missing_rows(mask, **options)
    axis = torch.cat([-torch.logspace(4, -3, 6001), torch.zeros(1), torch.logspace(-3, 4, 6001)]).double()
    rows = torch.zeros(len(axis), 4).double()
    rows[:, column] = axis
    with torch.no_grad():
        density = (law.log_prob(rows) - 3 * Normal(0.0, 1.0).log_prob(torch.zeros(()).double())).exp()
        assert float(torch.trapezoid(density, axis)) == pytest.approx(1.0, abs=2e-4)
        # A bounded function, whose mean exists for heavy tails too.
        exact = float(torch.trapezoid(density * axis.tanh(), axis))
        draws = law.sample((50_000,))
    assert float(z_score(draws[:, column].tanh(), exact).abs()) < Z_MAX
    others = draws[:, mask]
    assert float(z_score(others, 0.0).abs().max()) < Z_MAX and float(z_score(others.square(), 1.0).abs().max()) < Z_MAX


@torch.no_grad()
def test_log_probability_is_that_of_the_complete_row_less_that_of_the_row_with_holes():
    law = missing_rows(MASK)
    value = torch.randn(3, 5, 4).double()
    full = torch.where(MASK, X, value)
    selection = law.selection
    slope, intercept = torch.tensor(SLOPE).nan_to_num(), torch.tensor(INTERCEPT)
    score = torch.where(MASK, -1.0, 1.0) * (slope * full + intercept)
    modeled = torch.tensor(~np.isnan(SLOPE))
    joint = selection.decoder.log_prob(full) + torch.where(modeled, torch.special.log_ndtr(score), 0.0).sum(-1)
    unread = torch.where(MASK, Normal(0.0, 1.0).log_prob(value), 0.0).sum(-1)
    torch.testing.assert_close(law.log_prob(value), joint - selection.log_prob(torch.where(MASK, X, torch.nan)) + unread)


def test_broadcasts_expands_and_is_drawn_from_a_row_s_own_stream():
    law = missing_rows(MASK)
    assert law.expand((7, 5)).sample().shape == (7, 5, 4) and law.expand((7, 5)).log_prob(torch.zeros(4).double()).shape == (7, 5)
    streams = RowStreams(3, list("abcde"))
    draws = streams._draw(law.expand((7, 5)), "missing", (7, 5, 4), 2)
    again = RowStreams(3, list("abcde"))._draw(law.expand((7, 5)), "missing", (7, 5, 4), 2)
    other = RowStreams(3, list("abcdf"))._draw(law.expand((7, 5)), "missing", (7, 5, 4), 2)
    assert torch.equal(draws, again) and torch.equal(draws[:, :4], other[:, :4]) and not torch.equal(draws[:, 4], other[:, 4])
    assert draws.shape == (7, 5, 4) and len(set(draws.flatten().tolist())) == draws.numel()


def test_rows_without_holes_cost_no_draw_of_the_decoder():
    law = missing_rows(torch.ones_like(MASK))
    law.selection = None
    assert bool(law.log_prob(torch.zeros(5, 4).double()).isclose(4 * Normal(0.0, 1.0).log_prob(torch.zeros(()).double())).all())
