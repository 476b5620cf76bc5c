"""Masks of values near a middle or far from it: integrals, means and draws against quadrature and sums."""

import itertools

import numpy as np
import pytest
import torch
from exact import LAW, MASKS, ROWS, Z_MAX, PosteriorEncoder, z_score
from mpmath import erfc, mp, mpf, sqrt
from scipy import special, stats
from torch.distributions import Independent, Normal, StudentT

from pyro_mnar.distributions import PROBIT, PointMassNormal, double_cut
from pyro_mnar.distributions.open_cells import cells_of
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.mechanisms import MixedMasking, SelfMasking, SequentialMasking, TwoSidedMasking
from pyro_mnar.mechanisms.base import Anchors
from pyro_mnar.mechanisms.prior_scales import FREE_SLOPE, LOG_SLOPE
from pyro_mnar.mechanisms.starts import two_sided_normal
from pyro_mnar.model import MNAR, Prior, SelectionDistribution
from pyro_mnar.model.priors import TRUSTED
from pyro_mnar.networks import CountHead, GaussianEncoder, MixedDecoder, NormalHead, OrdinalHead, SkewWarp

SIDES = ["middle", "tails"]
LOC, SCALE = torch.tensor([[0.4, -0.3, 0.1]]).double(), torch.tensor([0.8, 0.5, 1.2]).double()
NAN = torch.full((1, 3), torch.nan).double()


def placed(side, slope=2.0, middle=0.2, c=0.6, columns=(0, 1, 2), n=3):
    made = TwoSidedMasking(n, list(columns), side).double()
    with torch.no_grad():
        made.reach.zero_()
        made.raw_slope.fill_(np.log(slope))
        made.middle.fill_(middle)
        made.offset.fill_(c)
    return made


def rate(x, side, slope=2.0, middle=0.2, c=0.6, missing=True):
    """P(missing), or P(observed), in numpy, from the formula."""
    u, w = slope * (x - middle), np.logaddexp(0.0, c if side == "middle" else -c)
    if (side == "middle") == missing:
        return special.ndtr(w - abs(u)) - special.ndtr(-w - abs(u))
    return special.ndtr(u - w) + special.ndtr(-u - w)


def near(found, expected, tolerance=1e-7):
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=tolerance, atol=tolerance)


PLACES = [(u, w) for u in (0.0, 0.3, -1.5, 4.0, -12.0, 40.0) for w in (1e-9, 1e-3, 0.02, 0.4, 1.0, 5.0, 30.0)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_mass_mean_and_gradients_of_a_normal_cut_on_both_sides_are_right_in_both_tails(dtype):
    mp.dps = 60
    u, w = (torch.tensor(part, dtype=dtype, requires_grad=True) for part in zip(*PLACES, strict=True))
    log_mass = double_cut.log_mass(u, w)
    grads = torch.autograd.grad(log_mass.sum(), [u, w])
    mean = double_cut.mean(u, w)

    def tail(t):
        return erfc(t / sqrt(mpf(2))) / 2

    def density(t):
        return mp.exp(-t * t / 2) / sqrt(2 * mp.pi)

    for i in range(len(PLACES)):
        a, b = mpf(u[i].item()), mpf(w[i].item())
        mass = tail(abs(a) - b) - tail(abs(a) + b)
        exact = float(mp.log(mass)), float((density(a + b) - density(a - b)) / mass), float((density(a + b) + density(a - b)) / mass)
        # An error of eps in u moves log P by eps u^2.
        tolerance = (1e-9, 1e-9) if dtype is torch.float64 else (2e-5, 2e-5)
        for found, expected in zip((log_mass[i], mean[i], grads[1][i]), exact, strict=True):
            assert found.item() == pytest.approx(expected, rel=tolerance[0], abs=tolerance[1]), PLACES[i]
        assert grads[0][i].item() == pytest.approx(exact[1], rel=tolerance[0], abs=10 * tolerance[1]), PLACES[i]
    assert bool(double_cut.log_mass(u, 0 * w).isfinite().all())


CELLS = {
    "normal": Normal(LOC, SCALE),
    "student": StudentT(torch.tensor([2.5, 5.0, 30.0]).double(), LOC, SCALE),
    "semicontinuous": PointMassNormal(torch.tensor([-0.7, 0.2, 1.5]).double(), torch.tensor([[0.3, -1.0, 0.2]]).double(), LOC, SCALE),
}


def integrated(cells, function):
    """Sum over the law of each cell, (3,): trapezoid in asinh x, and the value that repeats."""
    t = np.linspace(-14, 14, 40_001)
    x = torch.tensor(np.sinh(t)).unsqueeze(-1)
    weight = np.cosh(t)[:, None] * (t[1] - t[0])
    if isinstance(cells, PointMassNormal):
        share = torch.sigmoid(cells.given["logit"]).numpy()
        mass = cells.given["mass"].numpy()
        total = ((1 - share) * stats.norm.pdf(x.numpy(), LOC.numpy(), SCALE.numpy()) * function(x.numpy()) * weight).sum(0)
        return total + share[0] * function(mass)
    return (cells.log_prob(x).exp().numpy() * function(x.numpy()) * weight).sum(0)


@pytest.mark.parametrize("law", CELLS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("slope", "c"), [(0.3, 0.5), (2.0, 0.6), (2.0, -4.0), (40.0, 15.0), (40.0, -15.0), (2.0, 6.0)])
@torch.no_grad()
def test_missing_and_observed_cells_have_the_formula_s_probability_mean_and_draws(law, side, slope, c):
    mechanism = placed(side, slope, 0.2, c)
    selection = SelectionDistribution(Independent(CELLS[law], 1), mechanism)

    def chance(x):
        return rate(x, side, slope, 0.2, c)

    mass, first = (integrated(CELLS[law], lambda x, p=p: chance(x) * x**p) for p in (0, 1))
    near(selection.log_prob(NAN).squeeze(), np.log(mass).sum(), 1e-6)
    near(selection.conditional(NAN).mean.squeeze(0), first / mass, 1e-6)
    draws = selection.conditional(NAN).sample((20_000,))[:, 0]
    for bounded in (np.tanh, lambda x: np.tanh(x) ** 2):
        exact = torch.tensor(integrated(CELLS[law], lambda x, f=bounded: chance(x) * f(x)) / mass)
        assert float(z_score(torch.tensor(bounded(draws.numpy())), exact).abs().max()) < Z_MAX
    x = torch.tensor([[0.3, -0.2, 1.1]]).double()
    seen = rate(x.numpy(), side, slope, 0.2, c, missing=False).prod(-1)
    near(selection.log_prob(x).exp(), CELLS[law].log_prob(x).sum(-1).exp() * torch.tensor(seen), 1e-6)
    near(mechanism(x).log_missing.exp(), chance(x.numpy()), 1e-6)


@pytest.mark.parametrize("side", SIDES)
def test_draws_by_inversion_follow_the_uniform_on_both_sides_of_the_centre(side):
    mechanism = placed(side, 3.0, 0.2, 0.8)
    for loc in (-3.0, 0.2, 3.0):
        cells = Normal(torch.full((1, 3), loc).double(), SCALE)
        uniforms = torch.rand(4000, 1, 3, 3).double()
        draws = cells_of(cells).censored(mechanism.score()).draw(uniforms).detach()[:, 0].numpy()
        t = np.linspace(-12, 12, 48_001)
        for j in range(3):
            density = stats.norm.pdf(t, loc, SCALE[j]) * rate(t, side, 3.0, 0.2, 0.8)
            cdf = np.cumsum(density) / density.sum()
            assert stats.kstest(draws[:, j], lambda x, t=t, cdf=cdf: np.interp(x, t, cdf)).pvalue > 1e-5


@pytest.mark.parametrize("side", SIDES)
@torch.no_grad()
def test_levels_and_counts_are_summed(side):
    decoder = MixedDecoder(
        1, [OrdinalHead([0], [[0.2, 0.5, 0.3]], [-0.6], [0.6]), NormalHead([1]), CountHead([2], [2.0], [7.0], [-0.8], [0.4])], []
    ).double()
    mechanism = placed(side, 2.0, 0.2, 0.6)
    selection = SelectionDistribution(decoder(torch.tensor([[0.4]]).double()), mechanism)
    missing = selection.conditional(NAN)
    total = 0.0
    for j, grid in ((0, -0.6 + 0.6 * torch.arange(3)), (2, -0.8 + 0.4 * torch.arange(200)), (1, torch.linspace(-9, 9, 4001))):
        x = NAN.nan_to_num().expand(len(grid), 3).index_copy(-1, torch.tensor([j]), grid.double().unsqueeze(-1))
        joint = selection.decoder.base_dist.log_prob(x)[:, j].exp().numpy() * rate(grid.double().numpy(), side)
        joint = joint * (18 / 4000 if j == 1 else 1.0)
        total += np.log(joint.sum())
        assert float(missing.mean[0, j]) == pytest.approx((joint * grid.numpy()).sum() / joint.sum(), abs=1e-6)
    assert float(selection.log_prob(NAN)) == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize("side", SIDES)
@torch.no_grad()
def test_in_a_mixture_and_an_order_effects_move_the_width(side):
    own = MixedMasking(placed(side, columns=[0, 2]), SelfMasking(3, [1], "high", PROBIT)).double()
    mechanism = SequentialMasking(own, [1, 0, 2]).double()
    mechanism.effects.normal_()
    mechanism.absences.normal_()
    x, mask = torch.tensor([[0.3, -0.5, 0.7]]).double(), torch.tensor([[False, True, False]])
    selection = SelectionDistribution(Independent(CELLS["normal"], 1), mechanism)
    moved = [
        0.6 + float(-0.5 * mechanism.effects[0, 1]),
        0.6 + float(-0.5 * mechanism.effects[2, 1] + mechanism.absences[2, 0]),
    ]
    plain = [integrated(CELLS["normal"], lambda v, c=c: rate(v, side, c=c))[j] for j, c in zip((0, 2), moved, strict=True)]
    seen = CELLS["normal"].log_prob(x)[0, 1] + own.parts[1](x).log_observed[0, 1]
    near(selection.log_prob(torch.where(mask, x, torch.nan))[0], seen + float(np.log(plain).sum()), 1e-6)


@pytest.mark.parametrize("side", SIDES)
def test_gradients_are_finite_differences(side):
    mechanism = placed(side)
    loc = LOC.clone().requires_grad_()
    holed = torch.tensor([[0.3, torch.nan, 1.1], [torch.nan, 0.6, torch.nan]]).double()

    def value():
        return SelectionDistribution(Independent(Normal(loc.expand(2, 3), SCALE), 1), mechanism).log_prob(holed).sum()

    parameters = [*mechanism.parameters(), loc]
    grads = torch.autograd.grad(value(), parameters)
    for parameter, grad in zip(parameters, grads, strict=True):
        flat = parameter.data.view(-1)
        for i in range(len(flat)):
            ends = []
            for step in (1e-6, -2e-6):
                flat[i] += step
                ends.append(value().item())
            flat[i] += 1e-6
            assert grad.view(-1)[i].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_the_start_is_the_normal_column_that_has_what_is_seen_and_the_missing_rate(side, share):
    x = torch.special.ndtri((torch.arange(100_000).double() + 0.5) / 100_000)
    outside = x.abs() > float(stats.norm.ppf(1 - share / 2))
    inside = x.abs() < float(stats.norm.ppf(0.5 + share / 2))
    mask = ~(inside if side == "middle" else outside)
    made = TwoSidedMasking(1, None, side).double()
    shift = made.initialize((3 + 2 * x).unsqueeze(-1), mask.unsqueeze(-1))
    cut = stats.norm.ppf(0.5 + share / 2) if side == "middle" else stats.norm.ppf(1 - share / 2)
    assert made.middle.item() == pytest.approx(3, abs=1e-6) and made.reach.item() == pytest.approx(2 * cut, rel=1e-3)
    assert made.slope.item() == pytest.approx(2 if side == "middle" else 1) and shift.tolist() == [0]
    law = SelectionDistribution(Independent(Normal(torch.tensor([3.0]).double(), torch.tensor([2.0]).double()), 1), made)
    assert float(law.log_prob(torch.tensor([torch.nan]).double()).detach().exp()) == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize("side", SIDES)
def test_a_slope_that_grows_leaves_the_ends_where_they_are(side):
    made = TwoSidedMasking(1, None, side).double()
    made.initialize(torch.randn(500, 1).double(), torch.rand(500, 1) < 0.6)
    with torch.no_grad():
        made.raw_slope.fill_(np.log(300.0))
    for end in (made.middle - made.reach, made.middle + made.reach):
        rates = made(torch.stack([end - 0.05, end + 0.05]).detach()).log_missing.exp().detach()
        assert sorted(rates.flatten().tolist()) == pytest.approx([0, 1], abs=1e-4)


def test_the_slope_about_a_middle_has_the_prior_of_a_free_one():
    (prior,) = Prior.members(1, 3, 0)
    decoder, mechanism = LAW.decoder(), placed("middle", 3.0)
    found = prior.double().log_prob(200, decoder, None, mechanism) - prior.log_prob(200, decoder, None, None)
    assert found.item() == pytest.approx(-0.5 * (1 + 200 / TRUSTED) * 3 * (3.0 / FREE_SLOPE) ** 2)
    prior.start(None, mechanism)
    assert mechanism.slope.tolist() == pytest.approx([3.0] * 3)


@pytest.mark.parametrize("scale", [1.0, 0.2])
def test_the_slope_of_tails_has_the_prior_of_a_known_direction_in_the_spread_that_is_supposed(scale):
    """Members have anchors of their own. The prior is the same in any units of the column."""
    *others, prior = Prior.members(8, 3, 3)
    assert len(torch.stack([one.slope for one in (*others, prior)]).unique()) == 8
    decoder, mechanism = LAW.decoder(), placed("tails")
    x = scale * torch.randn(500, 3).double()
    mask = x.abs() < torch.tensor([0.8, 1.0, 2.0]) * scale
    mechanism.initialize(x, mask)
    whole = [two_sided_normal(1 - seen.double().mean(), "tails")[0] * x[seen, j].std(unbiased=False) for j, seen in enumerate(mask.T)]
    assert float(whole[1]) == pytest.approx(scale, rel=0.15)
    with torch.no_grad():
        mechanism.raw_slope.copy_(np.log(3.0) - torch.stack(whole).log())
    found = prior.double().log_prob(200, decoder, None, mechanism) - prior.log_prob(200, decoder, None, None)
    off = (np.log(3.0) - LOG_SLOPE[0]) / LOG_SLOPE[1] - prior.slope
    assert found.item() == pytest.approx(float(-0.5 * (1 + 200 / TRUSTED) * off.square().sum()))
    mechanism.initialize(x, torch.zeros_like(mask))  # nothing is seen of any
    assert bool(mechanism.log_prior(Anchors(prior.slope, prior.by_level)).unseen.isfinite())


@torch.no_grad()
def test_parts_of_a_mixture_have_their_own_anchors():
    parts = SelfMasking(6, [0, 4], ["high", "free"], PROBIT), TwoSidedMasking(6, [1], "middle"), TwoSidedMasking(6, [2, 5], "tails")
    mixed, anchors = MixedMasking(*parts), Anchors(torch.tensor([0.5, -1.0, 2.0, -0.3]), torch.zeros(0))
    assert mixed.anchored == 4 and SequentialMasking(mixed, [3, 0, 1]).anchored == 4
    mixed.start(anchors)
    assert float(parts[0].slope[0]) == pytest.approx(np.exp(LOG_SLOPE[0] + 0.5 * LOG_SLOPE[1]))
    alone = (parts[0], anchors.slope[:2]), (parts[1], anchors.slope[:0]), (parts[2], anchors.slope[2:])
    expected = sum(float(part.log_prior(Anchors(own, anchors.by_level)).unseen) for part, own in alone)
    assert float(mixed.log_prior(anchors).unseen) == pytest.approx(expected)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("warped", [False, True], ids=["plain", "warped"])
def test_weights_are_unbiased_and_imputations_those_of_quadrature(side, warped, seed):
    x, mask = torch.tensor(ROWS), torch.tensor(MASKS)
    rows = [i for i, m in enumerate(MASKS) if 0 < (~m).sum() <= 2]
    warp = SkewWarp(4).double() if warped else None
    model = MNAR(LAW.decoder(), PosteriorEncoder(LAW), placed(side, columns=range(4), n=4), warp).double()

    def log_mask(m):
        return lambda y: np.log(np.where(m, rate(y, side, missing=False), rate(y, side)).clip(1e-300)).sum(-1)

    exact = [LAW.grid(ROWS[i], MASKS[i], log_mask(MASKS[i])) for i in rows]
    torch.manual_seed(seed)
    with torch.no_grad():
        log_w = IWELBO(model, 4000).log_weights(torch.where(mask, x, torch.nan)[rows], mask[rows])
    assert float(z_score((log_w - torch.tensor([e.log_prob for e in exact])).exp(), 1.0).abs().max()) < Z_MAX
    found = impute(model, x[rows], mask[rows], particles=2000, seed=seed, progress=False).completed
    for row, i, e in zip(found, rows, exact, strict=True):
        np.testing.assert_allclose(row[~mask[i]], e.mean, atol=0.1)


def test_training_moves_every_parameter_and_steep_ones_have_finite_gradients_in_single_precision():
    for side, slope, c in itertools.product(SIDES, (1e-3, 2.0, 1e4), (-60.0, 0.0, 1e4)):
        mechanism = placed(side, slope, 0.2, c).float()
        decoder = MixedDecoder(1, [NormalHead([0, 1, 2])], [])
        model = MNAR(decoder, GaussianEncoder(1, 3, [4]), mechanism)
        x, mask = torch.randn(50, 3), torch.rand(50, 3) < 0.5
        IWELBO(model, 3).log_weights(torch.where(mask, x, torch.nan), mask).sum().backward()
        assert all(bool(p.grad.isfinite().all()) for p in model.parameters()), (side, slope, c)
        if slope == 2.0 and c == 0.0:
            assert all(bool((p.grad != 0).all()) for p in mechanism.parameters())
