"""``sample_posterior`` on closed forms, on any Pyro model, row by row, and on bad input."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from exact import INTERCEPT, LAW, MASKS, ROWS, SLOPE, Z_MAX, PosteriorEncoder, self_masking, z_score
from scipy import optimize, special, stats
from torch import nn

from pyro_mnar.mcmc.posterior import sample_posterior
from pyro_mnar.mechanisms import LinearMasking
from pyro_mnar.model import MNAR
from pyro_mnar.networks import GaussianDecoder, GaussianEncoder

COPIES, ROW = 80, 1  # each copy of a row is a seed of its own
PULL, CENTRE = 1.5, np.array([1.0, 0.0, -0.5, 0.5])


class Tilted(nn.Module):
    """The linear-Gaussian law with probit self-masking and a quadratic energy, nothing integrated out."""

    def __init__(self):
        super().__init__()
        self.decoder, self.encoder, self.mechanism = LAW.decoder(), PosteriorEncoder(LAW), self_masking(SLOPE, INTERCEPT)

    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            rows = self.decoder(z).base_dist
            noise = pyro.sample("noise", dist.Normal(torch.zeros(4).double(), 1.0).to_event(1))
            complete = pyro.deterministic("complete", torch.where(mask, x, rows.loc + rows.scale * noise), event_dim=1)
            pyro.sample("x", dist.Normal(rows.loc, rows.scale).mask(mask).to_event(1), obs=torch.where(mask, x, 0.0))
            pyro.sample("mask", self.mechanism(complete), obs=mask)
            pyro.factor("tilt", -0.5 * PULL * (complete - torch.from_numpy(CENTRE)).square().sum(-1))

    def guide(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample("z", self.encoder(x, mask))


def exact(masked, tilted):
    """(mean, variance, quantiles at .1, .5, .9) of the missing cell of ROW and of its two latents."""
    row, mask = ROWS[ROW], MASKS[ROW]
    free = LAW.ignorable(row, mask)
    cell = int((~mask).nonzero()[0][0])
    x = np.linspace(-12, 12, 20001)
    log_w = stats.norm.logpdf(x, free.mean[0], free.cov[0, 0] ** 0.5)
    log_w = log_w + (special.log_ndtr(SLOPE[cell] * x + INTERCEPT[cell]) if masked else 0.0)
    log_w = log_w - (0.5 * PULL * (x - CENTRE[cell]) ** 2 if tilted else 0.0)
    weight = special.softmax(log_w)
    precision = np.eye(2) + LAW.weight.T @ (LAW.weight / LAW.noise[:, None] ** 2)
    complete = np.where(mask, row, 0.0) + np.outer(x, ~mask)
    means = np.linalg.solve(precision, LAW.weight.T @ ((complete - LAW.bias) / LAW.noise**2).T)
    spreads = np.sqrt(np.diag(np.linalg.inv(precision)))
    answers = [(x, np.full_like(x, 1e-3))] + [(means[j], np.full_like(x, spreads[j])) for j in range(2)]
    result = []
    for loc, spread in answers:
        mean = weight @ loc
        variance = weight @ ((loc - mean) ** 2 + spread**2)

        def cdf(q, loc=loc, spread=spread):
            return weight @ special.ndtr((q - loc) / spread)

        result.append((mean, variance, [optimize.brentq(lambda q, p=p: cdf(q) - p, -12, 12) for p in (0.1, 0.5, 0.9)]))
    return result


def scores(posterior, answers):
    """|z| of mean, variance and probabilities below the quantiles, of every quantity, each copy's average being one observation."""
    cell = int((~MASKS[ROW]).nonzero()[0][0])
    quantities = [posterior.x[..., cell], *posterior.latents["z"].unbind(-1)]
    found = []
    for draws, (mean, variance, quantiles) in zip(quantities, answers, strict=True):
        found += [z_score(draws.mean((0, 1)), mean), z_score((draws - mean).square().mean((0, 1)), variance)]
        found += [z_score((draws < q).double().mean((0, 1)), p) for q, p in zip(quantiles, (0.1, 0.5, 0.9), strict=True)]
    return torch.stack(found).abs()


def copies(n=COPIES):
    return torch.from_numpy(ROWS[ROW]).repeat(n, 1), torch.from_numpy(MASKS[ROW]).repeat(n, 1)


MODELS = {
    "ignorable": (lambda: MNAR(LAW.decoder(), PosteriorEncoder(LAW)).double(), False, False),
    "probit": (lambda: MNAR(LAW.decoder(), PosteriorEncoder(LAW), self_masking(SLOPE, INTERCEPT)).double(), True, False),
    "tilted": (Tilted, True, True),
}


SLOW = ("nuts", "pyro-hmc")
# The slow ones without the law that probit has with a mask beside.
PAIRS = [(method, kind) for method in ("hmc", "mala", *SLOW) for kind in MODELS if method not in SLOW or kind != "ignorable"]


@pytest.mark.parametrize(("method", "kind"), PAIRS)
def test_posteriors_are_the_exact_ones(kind, method, seed):
    (made, masked, tilted), slow = MODELS[kind], method in SLOW
    x, mask = copies(COPIES // 2 if slow else COPIES)
    few = {"draws": 60, "warmup": 60, "chains": 1} if slow else {"draws": 150}
    posterior = sample_posterior(made(), x, mask, method=method, seed=seed, progress=False, **few)
    assert scores(posterior, exact(masked, tilted)).max() < Z_MAX
    assert not posterior.diverging.any() and posterior.kernel == method
    assert torch.equal(posterior.x[..., 1:], x[:, 1:].expand_as(posterior.x[..., 1:]))


def test_the_unadjusted_step_is_biased_and_the_exact_answer_shows_it(seed):
    posterior = sample_posterior(MODELS["ignorable"][0](), *copies(), method="ula", draws=300, seed=seed, progress=False)
    found = scores(posterior, exact(False, False)).reshape(3, 5)
    assert (found[1:, 1] > 2 * Z_MAX).all()  # the variances of z
    assert (found[:, [0, 3]] < Z_MAX).all()  # a normal target: mean and median stay


class Rate(nn.Module):
    """A latent above zero whose posterior has no closed form, (N, 1) data: rate ~ Gamma(2, 2), x ~ N(rate, 1)."""

    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            rate = pyro.sample("rate", dist.Gamma(torch.tensor(2.0).double(), 2.0))
            share = pyro.sample("share", dist.Dirichlet(torch.tensor([1.0, 2.0, 3.0]).double()))
            pyro.sample("x", dist.Normal(rate.unsqueeze(-1), 1.0).mask(mask).to_event(1), obs=torch.where(mask, x, 0.0))
            del share

    def guide(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample("rate", dist.Gamma(torch.full((len(x),), 2.0).double(), 2.0))


def test_constrained_latents_are_sampled_through_their_transforms(seed):
    x = torch.full((COPIES, 1), 0.2).double()
    posterior = sample_posterior(Rate(), x, torch.ones(COPIES, 1, dtype=torch.bool), draws=150, seed=seed, progress=False)
    grid = np.linspace(1e-5, 12, 100001)
    weight = special.softmax(np.log(grid) - 2 * grid - 0.5 * (0.2 - grid) ** 2)
    rate, share = posterior.latents["rate"], posterior.latents["share"]
    assert rate.shape == (4, 150, COPIES) and share.shape == (4, 150, COPIES, 3)
    assert z_score(rate.mean((0, 1)), weight @ grid).abs() < Z_MAX
    assert z_score(rate.square().mean((0, 1)), weight @ grid**2).abs() < Z_MAX
    assert (z_score(share.mean((0, 1)), torch.tensor([1 / 6, 1 / 3, 1 / 2])).abs() < Z_MAX).all()


def small(mechanism=None):
    torch.manual_seed(5)
    return MNAR(GaussianDecoder(2, 3, hidden=[8]), GaussianEncoder(2, 3, [8]), mechanism).double()


def table(n):
    torch.manual_seed(6)
    return torch.randn(n, 3).double(), torch.rand(n, 3) > 0.3


@pytest.mark.parametrize("method", ["hmc", "mala", "ula"])
def test_a_row_has_its_own_stream(method):
    x, mask = table(4)
    settings = {"method": method, "draws": 20, "warmup": 20, "progress": False}
    whole = sample_posterior(small(), x, mask, labels=["a", "b", "c", "d"], **settings)
    other, seen = x.clone(), mask.clone()
    other[[0, 1, 3]], seen[[0, 1, 3]] = other[[0, 1, 3]] + 1, ~seen[[0, 1, 3]]
    again = sample_posterior(small(), other, seen, labels=["e", "f", "c", "g"], **settings)
    assert torch.equal(whole.x[:, :, 2], again.x[:, :, 2]) and torch.equal(whole.latents["z"][:, :, 2], again.latents["z"][:, :, 2])
    assert not torch.equal(whole.latents["z"][:, :, 1], again.latents["z"][:, :, 1])
    chunked = sample_posterior(small(), x, mask, labels=["a", "b", "c", "d"], chunk=3, **settings)
    assert torch.allclose(chunked.step_size, whole.step_size) and torch.allclose(chunked.x, whole.x)


def test_rows_that_fall_short_go_on_and_the_others_rest(seed):
    x, mask = table(30)
    wanted = {"method": "mala", "draws": 60, "warmup": 100, "seed": seed, "progress": False}
    plain = sample_posterior(small(), x, mask, **wanted)
    enough = float(plain.ess().quantile(0.4))
    longer = sample_posterior(small(), x, mask, ess=enough, chunk=7, **wanted)
    assert (plain.thinning == 1).all()
    assert (longer.ess() >= enough).all() and longer.thinning.max() > 1
    rested = longer.thinning == 1
    assert rested.any() and torch.allclose(longer.latents["z"][:, :, rested], plain.latents["z"][:, :, rested])
    assert longer.latents["z"].shape == plain.latents["z"].shape
    given_up = sample_posterior(small(), x, mask, ess=1e6, max_thinning=4, **wanted)
    assert (given_up.thinning == 4).all()
    # The kept draws of a doubled chain are every second of the first ones, then new ones.
    twice = sample_posterior(small(), x, mask, ess=1e6, max_thinning=2, **wanted)
    assert torch.allclose(twice.latents["z"][:, :30], plain.latents["z"][:, 1::2])


def test_nothing_of_the_callers_is_changed():
    module, (x, mask), before = small(), table(3), torch.random.get_rng_state()
    for method in ("hmc", "nuts"):
        sample_posterior(module, x, mask, method=method, draws=5, warmup=5, chains=1, progress=False)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())


def test_randomness_is_the_seeds_alone():
    module, (x, mask) = small(), table(3)
    for method in ("hmc", "nuts"):
        draws = []
        for other, seed in ((1, 0), (2, 0), (2, 1)):
            torch.manual_seed(other)
            draws.append(sample_posterior(module, x, mask, method=method, draws=5, warmup=5, chains=1, seed=seed, progress=False).x)
        assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[1], draws[2])


@pytest.mark.parametrize("method", ["hmc", "nuts"])
@pytest.mark.parametrize(("rows", "chains"), [(1, 1), (1, 3), (5, 1)])
def test_one_row_or_one_chain(method, rows, chains):
    x, mask = table(rows)
    posterior = sample_posterior(small(), x, mask, method=method, chains=chains, draws=40, warmup=40, progress=False)
    assert posterior.x.shape == (chains, 40, rows, 3) and posterior.latents["z"].shape == (chains, 40, rows, 2)
    for part in (posterior.acceptance, posterior.diverging, posterior.energy):
        assert part.shape == (chains, 40, rows)
    assert posterior.step_size.shape == (chains, rows) and posterior.thinning.shape == (rows,)
    assert posterior.rhat().shape == (rows,) and posterior.rhat().isfinite().all() and (posterior.ess() > 1).all()


def test_nothing_missing():
    x, _ = table(4)
    posterior = sample_posterior(small(), x, torch.ones_like(x, dtype=torch.bool), draws=20, warmup=20, progress=False)
    assert torch.equal(posterior.x, x.expand_as(posterior.x)) and posterior.latents["z"].std() > 0


def test_energy_is_minus_the_log_density():
    x, mask = table(3)
    posterior = sample_posterior(small(), x, mask, draws=5, warmup=20, progress=False)
    module = small()
    z = posterior.latents["z"][1, 2]
    with torch.no_grad():
        rows = module.decoder(z).base_dist.log_prob(torch.where(mask, x, 0.0))
    log_joint = torch.where(mask, rows, 0.0).sum(-1) + dist.Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert torch.allclose(posterior.energy[1, 2], -log_joint)


def test_missing_values_that_are_latents_are_sampled_and_a_steep_mechanism_is_named():
    mechanism = LinearMasking(3, [0])
    module = small(mechanism)
    with torch.no_grad():
        mechanism.score.weight.copy_(torch.tensor([[0.0, 1.0, 0.0]]))
    posterior = sample_posterior(module, *table(20), draws=20, warmup=20, progress=False)
    assert posterior.latents["noise"].shape == (4, 20, 20, 3)
    with torch.no_grad():
        mechanism.score.weight.mul_(500.0)
    with pytest.warns(UserWarning, match="nats a standard deviation"):
        sample_posterior(module, *table(20), draws=20, warmup=20, progress=False)


class DiscreteInModelOnly(Rate):
    def model(self, x, mask):
        super().model(x, mask)
        with pyro.plate("again", len(x), dim=-1):
            pyro.sample("kind", dist.Bernoulli(0.5))


class DiscreteInGuide(DiscreteInModelOnly):
    def guide(self, x, mask):
        super().guide(x, mask)
        with pyro.plate("again", len(x), dim=-1):
            pyro.sample("kind", dist.Bernoulli(0.5))


class SampleOutside(Rate):
    def model(self, x, mask):
        super().model(x, mask)
        pyro.sample("global", dist.Normal(0.0, 1.0))


class FactorOutside(Rate):
    def model(self, x, mask):
        super().model(x, mask)
        pyro.factor("penalty", torch.tensor(-1.0))


class Nowhere(Rate):
    def model(self, x, mask):
        super().model(x, mask)
        with pyro.plate("again", len(x), dim=-1):
            pyro.factor("nan", torch.where(torch.arange(len(x)) == 2, torch.nan, 0.0))


class Above(Rate):
    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            rate = pyro.sample("rate", dist.Gamma(torch.tensor(2.0).double(), 2.0))
            pyro.factor("edge", torch.where(rate < 1, torch.nan, 0.0))
            pyro.sample("x", dist.Normal(rate, 1.0), obs=x[:, 0])


def test_chains_start_where_the_density_is_finite():
    x, mask = torch.zeros(30, 1).double(), torch.ones(30, 1, dtype=torch.bool)
    posterior = sample_posterior(Above(), x, mask, method="mala", draws=4, warmup=0, progress=False)
    assert posterior.energy.isfinite().all() and (posterior.latents["rate"] >= 1).all() and posterior.diverging.any()


class Neighbors(Rate):
    def model(self, x, mask):
        with pyro.plate("rows", len(x), dim=-1):
            rate = pyro.sample("rate", dist.Gamma(torch.tensor(2.0).double(), 2.0))
            pyro.sample("x", dist.Normal(rate.flip(-1), 1.0), obs=x[:, 0])


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (DiscreteInModelOnly, "site 'kind': Bernoulli is discrete"),
        (DiscreteInGuide, "site 'kind': Bernoulli is discrete"),
        (SampleOutside, "site 'global' of the model: got no plate"),
        (FactorOutside, "site 'penalty' of the model: got no plate"),
    ],
)
def test_models_that_break_the_conventions_are_refused_by_site(broken, said):
    with pytest.raises(ValueError, match=said):
        sample_posterior(broken(), torch.zeros(4, 1), torch.ones(4, 1, dtype=torch.bool), progress=False)


def test_models_without_an_answer_are_refused():
    x, mask = torch.zeros(4, 1).double(), torch.ones(4, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"not finite at any of 128 draws .* 1 of 4 rows, the first of them row 'c'"):
        sample_posterior(Nowhere(), x, mask, labels=list("abcd"), progress=False)
    with pytest.raises(ValueError, match="reads another row's latents"):
        sample_posterior(Neighbors(), x, mask, progress=False)
    with pytest.raises(ValueError, match="names no missing cells"):
        sample_posterior(Rate(), x, ~mask, progress=False)


X, MASK = torch.zeros(2, 3).double(), torch.ones(2, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"x": torch.full((2, 3), torch.nan)}, "x: got nan in row 0, column 0"),
        ({"x": X[:0], "mask": MASK[:0]}, "x: got no rows"),
        ({"mask": MASK[:1]}, "mask: got"),
        ({"mask": MASK.double()}, "mask: got"),
        ({"method": "gibbs"}, "method: got 'gibbs', expected one of hmc, mala"),
        ({"chains": 0}, "chains"),
        ({"draws": 3}, "draws"),
        ({"warmup": -1}, "warmup"),
        ({"leapfrog": 0}, "leapfrog"),
        ({"leapfrog": 3, "method": "mala"}, "leapfrog"),
        ({"ess": 100.0, "method": "nuts"}, "ess"),
        ({"labels": ["a"]}, "labels: got 1"),
        ({"chunk": 0}, "chunk"),
    ],
)
def test_bad_arguments_are_refused(wrong, said):
    given = {"x": X, "mask": MASK} | wrong
    with pytest.raises((TypeError, ValueError), match=said):
        sample_posterior(small(), given.pop("x"), given.pop("mask"), progress=False, **given)
