"""One missing cell integrated out, against adaptive quadrature in float64."""

import itertools
import math

import numpy as np
import pytest
import torch
from exact import Z_MAX, z_score
from scipy import integrate, special, stats
from torch.distributions import Normal, StudentT

from pyro_mnar.distributions.censored import (
    draw_free,
    draw_missing,
    log_missing,
    mean_missing,
    missing_components,
    ndtri_exp,
)
from pyro_mnar.distributions.links import LOGIT, PROBIT, THRESHOLD
from pyro_mnar.distributions.open_cells import cells_of
from pyro_mnar.distributions.point_mass_normal import PointMassNormal

LOC, SCALE = 0.4, 0.8
LAWS = {
    "normal": (Normal, stats.norm(LOC, SCALE), ()),
    **{f"student-{df:g}": (StudentT, stats.t(df, LOC, SCALE), (df,)) for df in (2.5, 5.0, 30.0)},
}
SMOOTH = {"logit": (LOGIT, special.expit), "probit": (PROBIT, special.ndtr)}
SLOPES = (0.0, 0.5, 3.0, 50.0, 500.0, -0.5, -3.0, -500.0)
PLACES = (-1.5, 0.0, 1.0, 3.0)  # of the score's zero, in units of x


def cells(law, loc=LOC, scale=SCALE, dtype=torch.float64):
    cls, _, df = LAWS[law]
    return cls(*[torch.tensor([v], dtype=dtype) for v in (*df, loc, scale)])


def normals(law):
    return cells_of(law).normals()


def components(law, link, slope, intercept, **kwargs):
    a, c = (torch.tensor([v], dtype=kwargs.get("dtype", torch.float64)) for v in (slope, intercept))
    return missing_components(normals(cells(law, **kwargs)), a, c, link)


def density(law):
    """Of a law at a number; scipy's own checks its arguments anew at each, which takes twenty times as long."""
    df = LAWS[law][2]
    if not df:
        return lambda x: math.exp(-0.5 * ((x - LOC) / SCALE) ** 2) / (SCALE * math.sqrt(2 * math.pi))
    (df,) = df
    factor = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / (SCALE * math.sqrt(df * math.pi))
    return lambda x: factor * (1 + ((x - LOC) / SCALE) ** 2 / df) ** (-(df + 1) / 2)


def by_quadrature(law, link, slope, place):
    """P(s = 0) and E[x; s = 0] of score slope (x - place), or slope 0 with the score ``place``."""
    pdf = density(law)
    if link is THRESHOLD:
        cdf, jumps = (lambda u: float(u > 0)), [place]
    else:
        cdf = SMOOTH[link.name][1]
        near = 40 / abs(slope) if slope else 0.0
        jumps = [place - near, place - near / 10, place, place + near / 10, place + near] if slope else []
    score = (lambda x: slope * (x - place)) if slope else (lambda x: place)
    edges = sorted({-np.inf, *jumps, LOC - 6, LOC, LOC + 6, np.inf})
    pieces = list(itertools.pairwise(edges))

    def total(f):
        return sum(integrate.quad(f, lo, hi, epsabs=1e-13, epsrel=1e-11, limit=400)[0] for lo, hi in pieces)

    return total(lambda x: pdf(x) * cdf(score(x))), total(lambda x: x * pdf(x) * cdf(score(x)))


def cases():
    for law, link, slope, place in itertools.product(LAWS, (LOGIT, PROBIT), SLOPES, PLACES):
        yield law, link, slope, place
    for law, slope, place in itertools.product(LAWS, (1.0, -1.0), PLACES):
        yield law, THRESHOLD, slope, place


@pytest.mark.parametrize("law", LAWS)
def test_probability_and_mean_agree_with_quadrature(law):
    assert [density(law)(x) for x in (-9.0, 0.0, 2.0)] == pytest.approx(LAWS[law][1].pdf([-9.0, 0.0, 2.0]), rel=1e-12)
    # A mean under a tail of x^-3.5 is cut at the quadrature's end.
    loose = 2e-5 if law == "student-2.5" else 1e-6
    for _, link, slope, place in (case for case in cases() if case[0] == law):
        parts = components(law, link, slope, -slope * place if slope else place)
        probability, first = by_quadrature(law, link, slope, place)
        where = f"{law} {link.name} slope {slope} place {place}"
        # The logit's mixture is good to 3e-9 in probability; closed forms and the trapezoid rule to rounding.
        assert log_missing(parts).exp().item() == pytest.approx(probability, abs=1e-8, rel=1e-7), where
        if probability > 1e-6:
            assert log_missing(parts).item() == pytest.approx(np.log(probability), abs=2e-8 / probability + 1e-7), where
            assert mean_missing(parts).item() == pytest.approx(first / probability, abs=loose + 1e-7 / probability, rel=5 * loose), (
                where
            )


@pytest.mark.parametrize("law", LAWS)
def test_deep_tail_beyond_a_threshold_is_right_in_the_logarithm(law):
    # Twelve deviations for all, fifty for the heavy tails (a t with 30 degrees of freedom has probability 1e-30 there).
    for place in (10.0, 40.0) if law != "student-30" else (10.0,):
        parts = components(law, THRESHOLD, 1.0, -place)
        assert log_missing(parts).item() == pytest.approx(LAWS[law][1].logsf(place), rel=1e-4)


@pytest.mark.parametrize(("law", "link", "slope"), [(a, b, s) for a in LAWS for b in (LOGIT, PROBIT) for s in (0.5, 3, 50, -3)])
def test_draws_have_the_law_of_the_missing_value(law, link, slope):
    n, place = 40_000, 0.8
    parts = components(law, link, slope, -slope * place)
    x = draw_missing(parts, torch.rand(n, 1, 3, dtype=torch.float64).clamp_min(1e-300)).squeeze(-1)
    reference, cdf = LAWS[law][1], SMOOTH[link.name][1]
    # The tilted density on a grid in the decoder's own quantiles: exact whatever the tail.
    u = (np.arange(400_000) + 0.5) / 400_000
    values = reference.ppf(u)
    weight = cdf(slope * (values - place))
    weight = weight / weight.sum()
    cumulative = weight.cumsum()
    # Probability integral transform: uniform if and only if the law is right. Mean, variance, and Kolmogorov-Smirnov.
    pit = torch.tensor(np.interp(x.numpy(), values, cumulative - weight / 2))
    assert abs(z_score(pit, 0.5)) < Z_MAX
    assert abs(z_score((pit - 0.5) ** 2, 1 / 12)) < Z_MAX
    assert stats.kstest(pit.numpy(), "uniform").pvalue > 1e-6
    # A bounded function of x has a finite variance whatever the degrees of freedom.
    assert abs(z_score(torch.tanh(x), float(weight @ np.tanh(values)))) < Z_MAX


@pytest.mark.parametrize("link", [LOGIT, PROBIT, THRESHOLD], ids=lambda link: link.name)
def test_normal_draws_have_the_closed_mean(link):
    slope = 1.0 if link is THRESHOLD else 4.0
    parts = components("normal", link, slope, -slope * 0.8)
    x = draw_missing(parts, torch.rand(40_000, 1, 3, dtype=torch.float64)).squeeze(-1)
    assert abs(z_score(x, mean_missing(parts).item())) < Z_MAX
    if link is THRESHOLD:
        assert float(x.min()) >= 0.8


def test_student_components_have_the_density_of_student_t():
    for df in (2.05, 2.5, 5.0, 30.0, 200.0):
        log_weight, mean, scale = normals(StudentT(torch.tensor([df]).double(), torch.zeros(1).double(), torch.ones(1).double()))
        x = torch.linspace(-8, 8, 65, dtype=torch.float64).unsqueeze(-1)
        density = (log_weight + Normal(mean, scale).log_prob(x)).logsumexp(-1)
        np.testing.assert_allclose(density.numpy(), stats.t(df).logpdf(x.squeeze(-1).numpy()), atol=1e-6, err_msg=str(df))


def test_free_draws_of_a_scale_mixture_have_its_law():
    n, df = 20_000, torch.tensor([3.0, 9.0], dtype=torch.float64)
    parts = normals(StudentT(df, torch.tensor([0.5, -1.0]).double(), torch.tensor([2.0, 0.3]).double()))
    x = draw_free(parts, torch.rand(n, 2, 3, dtype=torch.float64).clamp_min(1e-300))
    for j, (loc, scale) in enumerate([(0.5, 2.0), (-1.0, 0.3)]):
        # Kolmogorov's distance exceeds 2.2 / sqrt(n) with probability 1.3e-4.
        assert stats.kstest(x[:, j].numpy(), stats.t(float(df[j]), loc, scale).cdf).statistic < 2.2 / n**0.5


@pytest.mark.parametrize(("dtype", "rel"), [(torch.float64, 1e-11), (torch.float32, 1e-5)], ids=["float64", "float32"])
def test_ndtri_exp_agrees_with_scipy(dtype, rel):
    values = [-1e4, -1e3, -800.0, -104.0, -60.0, -10.0, -2.0, -1.0, -0.999, -0.7, -0.5, -0.1, -1e-3, -1e-6, -1e-12]
    log_p = torch.tensor(values, dtype=dtype)
    exact = special.ndtri_exp(log_p.double().numpy())
    np.testing.assert_allclose(ndtri_exp(log_p).double().numpy(), exact, rtol=rel, atol=rel)


@pytest.mark.parametrize("link", [LOGIT, PROBIT, THRESHOLD], ids=lambda link: link.name)
@pytest.mark.parametrize("law", LAWS)
def test_gradients_are_finite_at_extreme_scores_in_single_precision(law, link):
    loc = torch.tensor([-3e4, -300.0, -30.0, 0.0, 30.0, 300.0, 3e4], requires_grad=True)
    scale = torch.full((7,), 0.01, requires_grad=True)
    slope = torch.full((7,), 1.0 if link is THRESHOLD else 500.0, requires_grad=True)
    df = torch.full((7,), 5.0, requires_grad=True)
    law_of_cells = Normal(loc, scale) if law == "normal" else StudentT(df, loc, scale)
    value = log_missing(missing_components(normals(law_of_cells), slope, torch.zeros(7), link))
    # Single precision holds Phi(k) in the logarithm to k = -1e6 and beyond.
    assert bool(value.isfinite().all()), value
    for grad in torch.autograd.grad(value.sum(), [loc, scale, slope], allow_unused=True):
        assert grad is None or bool(grad.isfinite().all()), grad


@pytest.mark.parametrize("link", [LOGIT, PROBIT, THRESHOLD], ids=lambda link: link.name)
def test_mean_and_draws_stay_in_the_right_place_far_in_the_tail_in_single_precision(link):
    # The decoder puts the cell 30 to 3000 deviations below the threshold 0: the value is then just above it, or under a logit, whose
    # tail is an exponential, a slope times a variance above the decoder's mean, if that is lower.
    for deviations in (30.0, 300.0, 3000.0):
        slope = 1.0 if link is THRESHOLD else 1e4
        kwargs = {"loc": -deviations * 0.01, "scale": 0.01}
        exact = mean_missing(components("normal", link, slope, 0.0, **kwargs)).item()
        single = components("normal", link, slope, 0.0, dtype=torch.float32, **kwargs)
        assert mean_missing(single).item() == pytest.approx(exact, abs=1e-5 * deviations * 0.01 + 1e-4 * 0.01)
        draws = draw_missing(single, torch.rand(100, 1, 3).clamp_min(1e-30))
        assert bool(draws.isfinite().all()) and float((draws - exact).abs().max()) < (0.05 if link is LOGIT else 0.02)
        assert exact == pytest.approx(min(-deviations * 0.01 + 1.0, 0.0) if link is LOGIT else 0.0, abs=0.01)


# Far below the logit's threshold ------------------------------------------------------------------

#: Of score a x + c under cells of mean m and scale d: scores from 5 to -2000, gentle, steep and of either sign.
FAR = [
    (a, c, m, d)
    for a, d in ((1.0, 1.0), (-1.0, 1.0), (0.3, 0.2), (-4.0, 0.5), (3.0, 2.0), (20.0, 0.4), (0.0, 1.0))
    for c in (5.0, -5.0, -10.0, -14.0, -18.0, -22.0, -30.0, -50.0, -120.0, -2000.0)
    for m in (0.0, 0.7)
]


def far_by_quadrature(log_density, a, c, m, d, points=8_001):
    """log P(s = 0) and E[x given s = 0] by the trapezoid rule over all places where the integrand may lie."""
    # The integrand's mode is between the law's own and that of the law times exp(a x + c).
    low, high = sorted((m, m + a * d * d))
    x = np.linspace(low - 12 * d, high + 12 * d, points)
    log_joint = log_density(x) + special.log_expit(a * x + c)
    total = special.logsumexp(log_joint)
    return total + np.log(x[1] - x[0]), float(np.exp(log_joint - total) @ x)


def far_components(cells, a, c):
    return missing_components(normals(cells), torch.tensor([a]).double(), torch.tensor([c]).double(), LOGIT)


def one(*values):
    return [torch.tensor([value]).double() for value in values]


def test_logit_is_right_in_the_logarithm_however_far_below_its_threshold_a_cell_is():
    for a, c, m, d in FAR:
        exact, mean = far_by_quadrature(stats.norm(m, d).logpdf, a, c, m, d)
        parts = far_components(Normal(*one(m, d)), a, c)
        assert log_missing(parts).item() == pytest.approx(exact, abs=0.006, rel=1e-9), (a, c, m, d)
        assert mean_missing(parts).item() == pytest.approx(mean, abs=0.006 * d), (a, c, m, d)
        if a * m + c + 2 * (a * d) ** 2 < -70:  # both are closed
            assert log_missing(parts).item() == pytest.approx(a * m + c + 0.5 * (a * d) ** 2, rel=1e-9)
            assert mean_missing(parts).item() == pytest.approx(m + a * d * d, rel=1e-6, abs=1e-6)


def test_gradients_of_the_far_logit_are_those_of_the_quadrature():
    for a, c, m, d in FAR[::6]:
        values = [value.requires_grad_() for value in one(m, d, a, c)]
        parts = missing_components(normals(Normal(*values[:2])), *values[2:], LOGIT)
        found = [float(grad) for grad in torch.autograd.grad(log_missing(parts).sum(), values)]
        assert all(np.isfinite(found))
        # Of the mean's derivative too, as the mean is read in training where a covariate is missing.
        slope = torch.autograd.grad(mean_missing(missing_components(normals(Normal(*values[:2])), *values[2:], LOGIT)).sum(), values)
        assert all(bool(grad.isfinite().all()) for grad in slope)
        step = 1e-4
        for i in range(4):
            ends = []
            for sign in (1, -1):
                moved = [a, c, m, d]
                moved[(2, 3, 0, 1)[i]] += sign * step
                ends.append(far_by_quadrature(stats.norm(moved[2], moved[3]).logpdf, *moved)[0])
            exact = (ends[0] - ends[1]) / (2 * step)
            # The fit's error is a wave of .006 over some units of score.
            assert found[i] == pytest.approx(exact, abs=0.01 * (1, abs(a * d) + 1, abs(m) + d, 1)[i] + 0.01 * abs(a), rel=0.01), (
                a,
                c,
                m,
                d,
                i,
            )


def test_student_t_and_semicontinuous_cells_are_right_far_below_a_logit_too():
    for c in (-10.0, -18.0, -25.0):
        # A Student-t's value is near its mean or, by its tail, beyond the threshold 30 away: by odds to the fit's hundredth.
        x = np.linspace(-60, 400, 200_001)
        log_joint = stats.t(8, 0.3, 0.5).logpdf(x) + special.log_expit(0.8 * x + c)
        total = special.logsumexp(log_joint)
        parts = far_components(StudentT(*one(8.0, 0.3, 0.5)), 0.8, c)
        assert log_missing(parts).item() == pytest.approx(total + np.log(x[1] - x[0]), abs=0.01), c
        assert mean_missing(parts).item() == pytest.approx(float(np.exp(log_joint - total) @ x), abs=0.1), c
        # A value that repeats, with probability sigmoid(.4), and a normal beside it.
        exact, mean = far_by_quadrature(stats.norm(1.0, 0.7).logpdf, 1.5, c, 1.0, 0.7)
        logs = [special.log_expit(0.4) + special.log_expit(1.5 * -0.5 + c), special.log_expit(-0.4) + exact]
        parts = far_components(PointMassNormal(*one(-0.5, 0.4, 1.0, 0.7)), 1.5, c)
        assert log_missing(parts).item() == pytest.approx(special.logsumexp(logs), abs=0.006), c
        share = special.expit(logs[0] - logs[1])
        assert mean_missing(parts).item() == pytest.approx(share * -0.5 + (1 - share) * mean, abs=0.01), c


@pytest.mark.parametrize(("a", "c", "d"), [(1.0, -25.0, 1.0), (-2.0, -20.0, 0.7), (3.0, -60.0, 1.5), (1.0, -15.0, 1.0)])
def test_draws_far_below_a_logit_have_the_law_of_the_missing_value(a, c, d):
    draws = draw_missing(far_components(Normal(*one(0.2, d)), a, c), torch.rand(20_000, 1, 3).double().clamp_min(1e-300)).squeeze(-1)
    low, high = sorted((0.2, 0.2 + a * d * d))
    x = np.linspace(low - 10 * d, high + 10 * d, 200_001)
    weight = np.exp((log_joint := stats.norm(0.2, d).logpdf(x) + special.log_expit(a * x + c)) - special.logsumexp(log_joint))
    # The fit moves a distribution function by less than .002.
    assert stats.kstest(draws.numpy(), lambda at: np.interp(at, x, weight.cumsum())).statistic < 2.2 / 20_000**0.5 + 0.002


def test_steep_slopes_keep_their_digits_in_single_precision():
    """exp(a m + c + a^2 d^2 / 2) and the probability beside it are large and small together; by their product nothing is lost."""
    for a in (1e3, 1e5, 1e7):
        for place in (-2.0, 0.0, 2.0, 5.0):
            values = [value.float().requires_grad_() for value in one(0.0, 1.0, a, -a * place)]
            found = log_missing(missing_components(normals(Normal(*values[:2])), *values[2:], LOGIT))
            assert found.item() == pytest.approx(special.log_ndtr(-place), abs=2e-3), (a, place)
            assert all(bool(grad.isfinite().all()) for grad in torch.autograd.grad(found.sum(), values))
