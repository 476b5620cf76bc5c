"""The Langevin kernel under ``pyro.infer.MCMC``: any model, per-row acceptance, the bias of the unadjusted step, bad input."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import LAW, MASKS, ROWS, Z_MAX, PosteriorEncoder
from pyro.infer import MCMC

from pyro_mnar.mcmc.convergence import ess, rhat
from pyro_mnar.mcmc.langevin import Langevin
from pyro_mnar.model import MNAR


def run(model, *args, draws=800, warmup=400, kernel=None, **kwargs):
    kernel = kernel or Langevin(model)
    mcmc = MCMC(kernel, draws, warmup, disable_progbar=True, **kwargs)
    mcmc.run(*args)
    return mcmc, kernel


def z_of_mean(draws, exact):
    """z scores of the mean of autocorrelated ``draws`` (M, ...)."""
    chain = draws.double().unsqueeze(0)
    return (draws.double().mean(0) - exact) / (draws.double().std(0) / ess(chain).sqrt())


def test_global_latents_with_constraints_move_together(seed):
    x = torch.from_numpy(np.random.default_rng(seed).normal(0.5, 1.5, 30))

    def model(x):
        precision = pyro.sample("precision", dist.Gamma(torch.tensor(3.0).double(), 2.0))
        loc = pyro.sample("loc", dist.Normal(0.0, (2 / precision).sqrt()))
        with pyro.plate("rows", len(x)):
            pyro.sample("x", dist.Normal(loc, precision.rsqrt()), obs=x)

    mcmc, kernel = run(model, x)
    draws = mcmc.get_samples()
    # Normal-Gamma: the posterior is Gamma(a, b) and, given it, a normal.
    a, n, k = 3 + 15, 30, 0.5
    b = 2 + 0.5 * ((x - x.mean()).square().sum() + k * n * x.mean() ** 2 / (k + n))
    assert kernel.step_size.shape == (1,) and abs(mcmc.diagnostics()["acceptance rate"]["chain 0"] - 0.574) < 0.12
    assert abs(z_of_mean(draws["precision"], a / b)) < Z_MAX
    assert abs(z_of_mean((draws["precision"] - a / b).square(), a / b**2)) < Z_MAX
    assert abs(z_of_mean(draws["loc"], n * x.mean() / (k + n))) < Z_MAX
    assert mcmc.diagnostics()["divergences"]["chain 0"] == []


def test_rows_are_accepted_one_by_one_where_they_can_be():
    mnar = MNAR(LAW.decoder(), PosteriorEncoder(LAW)).double()
    x, mask = torch.from_numpy(np.tile(ROWS, (4, 1))), torch.from_numpy(np.tile(MASKS, (4, 1)))
    mcmc, kernel = run(mnar.model, x, mask)
    z = mcmc.get_samples()["z"]
    law = PosteriorEncoder(LAW, inflate=1.0)(x, mask)
    assert z.shape == (800, 20, 2) and kernel.step_size.shape == (20,)
    assert (z_of_mean(z, law.mean).abs() < Z_MAX).all()
    assert (z_of_mean((z - law.mean).square(), law.variance).abs() < Z_MAX).all()
    assert rhat(z.unsqueeze(0)).max() < 1.1


def test_rows_that_read_each_other_move_together():
    def model(x):
        with pyro.plate("rows", 3, dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(3).double(), 1.0))
            pyro.sample("x", dist.Normal(z.sum(), 0.5), obs=x)

    x = torch.tensor([1.0, 2.0, 1.5]).double()
    mcmc, kernel = run(model, x)
    precision = np.eye(3) + 3 / 0.25
    mean = np.linalg.solve(precision, np.full(3, float(x.sum()) / 0.25))
    assert kernel.step_size.shape == (1,)
    assert (z_of_mean(mcmc.get_samples()["z"], torch.from_numpy(mean)).abs() < Z_MAX).all()


def test_a_discrete_latent_that_can_be_enumerated_is_summed_out():
    def model(x):
        loc = pyro.sample("loc", dist.Normal(torch.tensor(0.0).double(), 1.0))
        with pyro.plate("rows", len(x), dim=-1):
            kind = pyro.sample("kind", dist.Bernoulli(torch.tensor(0.3).double()))
            pyro.sample("x", dist.Normal(loc + 2 * kind, 0.7), obs=x)

    x = torch.tensor([0.3, 2.4, 1.9, -0.4]).double()
    draws = run(model, x)[0].get_samples()
    grid = torch.linspace(-6, 6, 4001).double()
    normal = torch.distributions.Normal(0.0, 0.7)
    each = torch.logaddexp(np.log(0.7) + normal.log_prob(x[:, None] - grid), np.log(0.3) + normal.log_prob(x[:, None] - grid - 2))
    weight = (each.sum(0) - 0.5 * grid.square()).softmax(0)
    assert set(draws) == {"loc"} and abs(z_of_mean(draws["loc"], (weight * grid).sum())) < Z_MAX


def normal_rows(n):
    with pyro.plate("rows", n, dim=-1):
        pyro.sample("z", dist.Normal(torch.zeros(n).double(), 2.0))


def test_unadjusted_and_tempered_draws_have_their_known_variance():
    for noise, step in ((1.0, 1.8), (0.4, 1.0)):
        kernel = Langevin(normal_rows, step, adjusted=False, noise=noise, anneal=3.0)
        mcmc, _ = run(normal_rows, 400, draws=150, warmup=60, kernel=kernel)
        z = mcmc.get_samples()["z"]
        exact = noise**2 * 4 / (1 - step**2 / 16)
        rows = z.square().mean(0)
        assert abs((rows.mean() - exact) / (rows.std() / 20)) < Z_MAX
        assert abs((rows.mean() - 4) / (rows.std() / 20)) > Z_MAX
        assert float(kernel.step_size.mean()) == pytest.approx(step)


def test_annealing_begins_wide_and_ends_where_it_should():
    kernel = Langevin(normal_rows, 0.5, adjusted=False, noise=0.1, anneal=40.0)
    kernel.setup(50, 500)
    params, spread = {"z": torch.zeros(500).double()}, []
    for _ in range(100):
        params = kernel.sample(params)
        spread.append(float(params["z"].std()))
    assert max(spread) > 2 and spread[-1] < 0.5


def test_a_start_can_be_given_and_a_second_run_starts_anew():
    kernel = Langevin(normal_rows, adjusted=False)
    first = run(normal_rows, 3, draws=2, warmup=0, kernel=kernel, initial_params={"z": torch.full((3,), 50.0).double()})[0]
    assert (first.get_samples()["z"] > 45).all()
    assert (run(normal_rows, 3, draws=2, warmup=0, kernel=kernel)[0].get_samples()["z"].abs() < 10).all()


def test_divergences_are_counted():
    def model():
        with pyro.plate("rows", 200, dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(200), 1.0))
            pyro.factor("edge", torch.where(z > 2.5, torch.nan, 0.0))

    mcmc, _ = run(model, draws=30, warmup=100)
    assert mcmc.diagnostics()["divergences"]["chain 0"] and (mcmc.get_samples()["z"] <= 2.5).all()


def test_bad_models_are_refused():
    def counted():
        pyro.sample("count", dist.Poisson(3.0))

    def nowhere():
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.factor("nan", z * torch.nan)

    with pytest.raises(ValueError, match="site 'count': Poisson is discrete"):
        run(counted)
    with pytest.raises(ValueError, match="potential or gradient is finite at none"):
        run(nowhere)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"step_size": 0.0}, "step_size"), ({"noise": -1.0}, "noise"), ({"noise": 0.5}, "adjusted"), ({"clip": -1.0}, "clip")],
)
def test_bad_arguments_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Langevin(normal_rows, **wrong)
