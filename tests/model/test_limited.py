"""Limits in the model: Tobin's likelihood, interval-censored regression, masks beside limits, warps, encoders, weights, chains."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from torch import Tensor
from torch.distributions import Independent

from pyro_mnar.distributions.continuous import Normal
from pyro_mnar.imputation.ensemble import impute, score_ensemble
from pyro_mnar.imputation.importance import sample_importance
from pyro_mnar.infer.bound import IWELBO
from pyro_mnar.infer.ensembles import fit
from pyro_mnar.mcmc.posterior import sample_posterior
from pyro_mnar.mechanisms.self_masking import SelfMasking
from pyro_mnar.mechanisms.whole_row import LinearMasking
from pyro_mnar.model.mnar import MNAR
from pyro_mnar.model.selection import SelectionDistribution
from pyro_mnar.networks.conjugate_encoder import ConjugateEncoder
from pyro_mnar.networks.decoders import GaussianDecoder
from pyro_mnar.networks.encoders import GaussianEncoder, SetEncoder
from pyro_mnar.networks.warps import SkewWarp

INF = math.inf


def limits_like(x: Tensor) -> Tensor:
    return torch.stack([torch.full_like(x, -INF), torch.full_like(x, INF)], -1)


def number(value: Any) -> float:
    return float(value.detach() if isinstance(value, Tensor) else value)


def selection(mean: Tensor, scale: Tensor, limits: Tensor, **more) -> SelectionDistribution:
    return SelectionDistribution(Independent(Normal(mean, scale), 1), limits=limits, **more)


def test_one_column_with_one_latent_has_tobins_likelihood() -> None:
    torch.manual_seed(0)
    decoder = GaussianDecoder(1, 1, hidden=()).double()
    with torch.no_grad():
        decoder.linear.weight.fill_(0.8)
        decoder.linear.bias.fill_(0.3)
    mnar = MNAR(decoder, ConjugateEncoder(decoder).double()).double()
    noise = float(decoder.scale(torch.zeros(1, 1).double()).detach())
    law = stats.norm(0.3, math.hypot(0.8, noise))
    x = torch.tensor([[0.5], [-1.2], [0.0], [0.0], [0.0], [0.0]], dtype=torch.float64)
    mask = torch.tensor([True, True, False, False, False, False]).unsqueeze(-1)
    limits = limits_like(x)
    limits[2, 0, 1], limits[3, 0, 0], limits[4, 0] = -0.4, 5.0, torch.tensor([-0.2, 0.1])
    known = [law.logpdf(0.5), law.logpdf(-1.2), law.logcdf(-0.4), law.logsf(5.0), math.log(law.cdf(0.1) - law.cdf(-0.2)), 0.0]
    with torch.no_grad():
        weights = (IWELBO(mnar, 4000).log_weights(x, mask, limits) - torch.tensor(known)).exp()
    error = weights.std(0) / math.sqrt(4000)
    assert bool(((weights.mean(0) - 1).abs() < 4.5 * error + 1e-9).all())
    assert float(error.max()) < 0.02
    found = score_ensemble([mnar], x, mask, limits=limits, particles=4000).exp() / torch.tensor(known).exp()
    assert bool(((found - 1).abs() < 4.5 * error + 1e-9).all())
    # Means between limits are those of the cut marginal.
    done = impute(mnar, x, mask, limits=limits, draws=200, particles=4000)
    for row, (low, high) in enumerate([(-INF, -0.4), (5.0, INF), (-0.2, 0.1)], start=2):
        a, b = ((end - 0.3) / law.std() for end in (low, high))
        cut = stats.truncnorm(a, b, 0.3, law.std())
        assert float(done.completed[row, 0]) == pytest.approx(cut.mean(), abs=5e-3)
        assert bool((done.draws[:, row] >= low).all() and (done.draws[:, row] <= high).all())
        assert abs(float(done.draws[:, row].mean()) - cut.mean()) < 4 * cut.std() / math.sqrt(200)


def test_interval_censored_regression_has_scipys_optimum() -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        u = rng.normal(size=400)
        y = 0.5 + 1.5 * u + 0.8 * rng.normal(size=400)
        how = rng.integers(0, 4, 400)  # seen, below, above, between
        low = np.where(how == 2, np.floor(y), np.where(how == 3, np.floor(y * 2) / 2, -INF))
        high = np.where(how == 1, np.ceil(y), np.where(how == 3, np.floor(y * 2) / 2 + 0.5, INF))

        def loss(p: np.ndarray, u=u, y=y, how=how, low=low, high=high) -> float:
            law = stats.norm(p[0] + p[1] * u, np.exp(p[2]))
            with np.errstate(divide="ignore"):
                return -np.where(how == 0, law.logpdf(y), np.log(law.cdf(high) - law.cdf(low))).sum()

        best = optimize.minimize(loss, [0.0, 1.0, 0.0], method="BFGS", options={"gtol": 1e-5})
        p = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64, requires_grad=True)
        rows = torch.from_numpy(np.where(how == 0, y, np.nan)).unsqueeze(-1)
        limits = torch.from_numpy(np.stack([low, high], -1)).unsqueeze(1)
        search = torch.optim.LBFGS([p], max_iter=200, tolerance_grad=1e-8, line_search_fn="strong_wolfe")

        def step(p=p, rows=rows, limits=limits, u=u, search=search) -> Tensor:
            search.zero_grad()
            mean = (p[0] + p[1] * torch.from_numpy(u)).unsqueeze(-1)
            total = -selection(mean, p[2].exp().expand(1), limits).log_prob(rows).sum()
            total.backward()
            return total

        search.step(step)
        assert float(step().detach()) == pytest.approx(best.fun, abs=1e-6)
        assert p.detach().numpy() == pytest.approx(best.x, abs=1e-4)
        error = np.sqrt(best.hess_inv[1, 1])
        assert abs(float(p.detach()[1]) - 1.5) < 4 * error


def test_limits_stand_in_for_the_mask_and_leave_other_holes_to_it() -> None:
    mean, scale = (
        torch.tensor([[0.2, -0.1], [0.2, -0.1], [0.2, -0.1]], dtype=torch.float64),
        torch.tensor([0.5, 0.9], dtype=torch.float64),
    )
    rows = torch.tensor([[torch.nan, 0.3], [torch.nan, 0.3], [1.0, torch.nan]], dtype=torch.float64)
    limits = limits_like(rows)
    limits[0, 0, 1] = 0.0
    mechanism = SelfMasking(2, direction="high").double()
    found = selection(mean, scale, limits, mechanism=mechanism).log_prob(rows)
    plain = selection(mean, scale, limits_like(rows), mechanism=mechanism).log_prob(rows)
    assert torch.equal(found[1:], plain[1:])
    seen = selection(mean[:1, 1:], scale[1:], limits[:1, 1:]).log_prob(rows[:1, 1:])
    mask = mechanism(torch.nan_to_num(rows)).cell_log_prob(torch.ones(3, 2, dtype=torch.bool))[0, 1]
    assert number(found[0]) == pytest.approx(number(seen[0] + mask) + stats.norm(0.2, 0.5).logcdf(0.0), abs=1e-9)
    cut = selection(mean, scale, limits, mechanism=mechanism).conditional(rows)
    free = selection(mean, scale, limits_like(rows), mechanism=mechanism).conditional(rows)
    assert number(cut.mean[0, 0]) == pytest.approx(stats.truncnorm(-INF, -0.4, 0.2, 0.5).mean(), abs=1e-9)
    assert torch.equal(cut.mean[1:], free.mean[1:])


def test_limits_go_through_a_warp() -> None:
    warp = SkewWarp(1).double()
    warp.skew.data.fill_(0.4)
    rows, limits = torch.full((1, 1), torch.nan).double(), torch.tensor([[[-0.3, 1.7]]], dtype=torch.float64)
    law = selection(torch.tensor([[0.2]], dtype=torch.float64), torch.tensor([0.7], dtype=torch.float64), limits, warp=warp)

    def density(x: float) -> float:
        y, log_slope = warp(torch.tensor([[x]], dtype=torch.float64))
        return number(stats.norm(0.2, 0.7).pdf(number(y)) * math.exp(number(log_slope)))

    mass = integrate.quad(density, -0.3, 1.7)[0]
    assert number(law.log_prob(rows)) == pytest.approx(math.log(mass), abs=1e-9)
    (gradient,) = torch.autograd.grad(law.log_prob(rows).sum(), warp.skew)
    step = 1e-5
    ends = []
    for sign in (1, -1):
        warp.skew.data.fill_(0.4 + sign * step)
        ends.append(number(law.log_prob(rows)))
    warp.skew.data.fill_(0.4)
    assert number(gradient) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)
    mean = integrate.quad(lambda x: x * density(x), -0.3, 1.7)[0] / mass
    found = law.conditional(rows)
    assert number(found.mean_of({0: torch.exp})) == pytest.approx(
        integrate.quad(lambda x: math.exp(x) * density(x), -0.3, 1.7)[0] / mass, abs=1e-8
    )
    assert number(found.mean) == pytest.approx(mean, abs=0.02)
    drawn = found.sample((3000,)).flatten()
    assert bool(((drawn >= -0.3) & (drawn <= 1.7)).all())
    assert abs(number(drawn.mean()) - mean) < 4 * number(drawn.std()) / math.sqrt(3000)


@pytest.mark.parametrize("seed", range(20))
def test_draws_and_means_never_leave_the_limits(seed: int) -> None:
    torch.manual_seed(seed)
    warp = SkewWarp(3)
    warp.skew.data.normal_(0, 0.5)
    mean, scale = 3 * torch.randn(4, 50, 3), torch.rand(3).add(0.01)
    low = 10 * torch.randn(50, 3)
    limits = torch.stack([low, low + 10 ** (4 * torch.rand(50, 3) - 3)], -1)
    limits[:20, :, 0], limits[20:30, :, 1] = -INF, INF
    rows = torch.full((50, 3), torch.nan)
    for own in (None, warp):
        law = SelectionDistribution(Independent(Normal(mean, scale), 1), warp=own, limits=limits)
        found = law.conditional(rows)
        for values in (found.sample((5,)), found.mean):
            assert bool((values >= limits[..., 0]).all() and (values <= limits[..., 1]).all())
        assert bool(law.log_prob(rows).isfinite().all())


def _table(seed: int = 0) -> tuple[MNAR, Tensor, Tensor, Tensor]:
    """Return a linear model with its true parameters and a table that is cut below -0.3 in all columns."""
    torch.manual_seed(seed)
    decoder = GaussianDecoder(2, 5, hidden=())
    with torch.no_grad():
        weight = torch.randn(5, 2)
        decoder.linear.weight.copy_(0.85 * weight / weight.norm(dim=1, keepdim=True))
    x = decoder(torch.randn(80, 2)).sample()
    limits = limits_like(x)
    mask = x > -0.3
    limits[..., 1] = torch.where(mask, INF, -0.3)
    return MNAR(decoder, ConjugateEncoder(decoder)), torch.where(mask, x, 0.0), mask, limits


def test_the_encoder_is_told_and_weights_are_good() -> None:
    mnar, x, mask, limits = _table()
    holed = ~mask.all(-1)
    told = impute(mnar, x, mask, limits=limits, particles=400)
    assert float(told.ess[holed].min()) > 200
    assert int(told.unreliable.sum()) == 0
    # Long chains agree on the means, within their own error.
    some = holed.nonzero().flatten()[:6]
    chains = sample_posterior(mnar, x[some], mask[some], limits=limits[some], draws=500, chains=4)
    assert bool(((chains.x <= limits[some][..., 1]) | mask[some]).all())
    hidden = ~mask[some]
    error = (chains.x.flatten(0, 1).std(0) / chains.ess().clamp(max=2000).sqrt().unsqueeze(-1))[hidden]
    z = (chains.x.mean((0, 1)) - told.completed[some])[hidden] / (error.square() + (error * 2).square()).sqrt()
    assert float(z.abs().max()) < 5
    drawn = sample_importance(mnar, x[some], mask[some], limits=limits[some], draws=100, chains=2, particles=200)
    assert bool(((drawn.x <= limits[some][..., 1]) | mask[some]).all())


@pytest.mark.parametrize("encoder", [GaussianEncoder(2, 5), SetEncoder(2, 5)])
def test_other_encoders_read_limits_and_nothing_of_the_holes(encoder: torch.nn.Module) -> None:
    _, x, mask, limits = _table()
    with torch.no_grad():
        other = encoder(torch.where(mask, x, 1e6), mask, limits)
        found = encoder(torch.where(mask, x, torch.nan), mask, limits)
        assert torch.equal(found.mean, other.mean) and bool(found.mean.isfinite().all())
        assert not torch.equal(found.mean, encoder(x, mask).mean)


def test_training_and_ensembles_carry_limits() -> None:
    mnar, x, mask, limits = _table()
    fresh = [MNAR(decoder, ConjugateEncoder(decoder)) for decoder in (GaussianDecoder(2, 5, hidden=()) for _ in range(2))]
    for member in fresh:
        member.initialize(x, mask, limits)
    assert bool((fresh[0].decoder.linear.bias < x.sum(0) / mask.sum(0)).all())  # below the mean of what was seen
    fit([IWELBO(member, 5) for member in fresh], x, mask, limits=limits, steps=400, lr=3e-2, progress=False, seed=1)
    with torch.no_grad():
        means = torch.stack([member.decoder(torch.zeros(1, 2)).mean[0] for member in fresh]).mean(0)
    assert number((means - mnar.decoder.linear.bias).abs().mean()) < 0.35
    with pytest.raises(ValueError, match=r"^limits: got shape \(80, 5\), expected \(80, 5, 2\)"):
        fit(IWELBO(fresh[0], 5), x, mask, limits=x, steps=1, progress=False)
    with pytest.raises(ValueError, match=r"^limits: got 1\.0 and -0\.3\d* in row 0"):
        fit(IWELBO(fresh[0], 5), x, mask, limits=torch.tensor([1.0, -0.3]).expand(80, 5, 2), steps=1, progress=False)


def test_a_model_that_reads_missing_values_elsewhere_refuses() -> None:
    _, x, mask, limits = _table()
    decoder = GaussianDecoder(2, 5, hidden=())
    coupled = MNAR(decoder, ConjugateEncoder(decoder), LinearMasking(5))
    with pytest.raises(ValueError, match=r"^limits: got some for a model whose mechanism, tilt or outcome reads missing values"):
        IWELBO(coupled, 5)(x, mask, limits)


def test_a_model_of_two_arguments_is_called_with_two() -> None:
    mnar, x, mask, _ = _table()

    class Two(torch.nn.Module):
        def model(self, x: Tensor, mask: Tensor) -> None:
            mnar.model(x, mask)

        def guide(self, x: Tensor, mask: Tensor) -> None:
            mnar.guide(x, mask)

    assert torch.equal(impute(Two(), x, mask, particles=100).completed, impute(mnar, x, mask, particles=100).completed)
